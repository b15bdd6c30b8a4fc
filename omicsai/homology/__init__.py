"""Homology: MMseqs2 clusters, cluster-wise splits and the leakage audit (floor 2)."""

from omicsai.homology.audit import CROSSING, Pairs, audit_split, find_pairs
from omicsai.homology.mmseqs import cluster_sequences, mmseqs_version
from omicsai.homology.partition import assign_clusters
from omicsai.homology.split import CLUSTERS, SPLIT, Split, split_sequences

__all__ = [
    "CLUSTERS",
    "CROSSING",
    "SPLIT",
    "Pairs",
    "Split",
    "assign_clusters",
    "audit_split",
    "cluster_sequences",
    "find_pairs",
    "mmseqs_version",
    "split_sequences",
]
