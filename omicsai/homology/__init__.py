"""Homology: the pair graph, splits that leak nothing, and the leakage audit (floor 2)."""

from omicsai.homology.audit import (
    CROSSING,
    IDENTITY_TO_TRAIN,
    align_between,
    audit_split,
)
from omicsai.homology.balance import assign_groups
from omicsai.homology.cover import vertex_cover
from omicsai.homology.mmseqs import cluster_sequences, mmseqs_version
from omicsai.homology.pairs import Definition, Pairs
from omicsai.homology.partition import Partition, partition_graph
from omicsai.homology.search import find_pairs, search_pairs
from omicsai.homology.split import (
    CLUSTERS,
    COMPARISON,
    REMOVED,
    SPLIT,
    Split,
    split_sequences,
)

__all__ = [
    "CLUSTERS",
    "COMPARISON",
    "CROSSING",
    "IDENTITY_TO_TRAIN",
    "REMOVED",
    "SPLIT",
    "Definition",
    "Pairs",
    "Partition",
    "Split",
    "align_between",
    "assign_groups",
    "audit_split",
    "cluster_sequences",
    "find_pairs",
    "mmseqs_version",
    "partition_graph",
    "search_pairs",
    "split_sequences",
    "vertex_cover",
]
