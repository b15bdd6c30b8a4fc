"""Domains: profile HMM search, architectures, distances, outputs (floor 2)."""

from omicsai.domains.architectures import (
    ARCHITECTURE_COUNTS,
    ARCHITECTURES,
    count_architectures,
    domain_architectures,
    presence,
    read_architectures,
)
from omicsai.domains.clans import Clans, read_clans
from omicsai.domains.distance import (
    architecture_distances,
    distance_blocks,
    nearest_architectures,
    nearest_neighbours,
    profile_distances,
    profile_vectors,
)
from omicsai.domains.domtblout import write_domtblout
from omicsai.domains.gff3 import write_gff3
from omicsai.domains.libraries import builtin_files, builtin_table, pfam_files
from omicsai.domains.ontology import GO_TERMS, go_terms, read_go
from omicsai.domains.profiles import (
    Library,
    build_profile,
    open_library,
    read_profiles,
    write_profiles,
)
from omicsai.domains.resolution import resolve_overlaps
from omicsai.domains.search import DOMAINS, Cutoff, search_domains

__all__ = [
    "ARCHITECTURES",
    "ARCHITECTURE_COUNTS",
    "DOMAINS",
    "GO_TERMS",
    "Clans",
    "Cutoff",
    "Library",
    "architecture_distances",
    "build_profile",
    "builtin_files",
    "builtin_table",
    "count_architectures",
    "distance_blocks",
    "domain_architectures",
    "go_terms",
    "nearest_architectures",
    "nearest_neighbours",
    "open_library",
    "pfam_files",
    "presence",
    "profile_distances",
    "profile_vectors",
    "read_architectures",
    "read_clans",
    "read_go",
    "read_profiles",
    "resolve_overlaps",
    "search_domains",
    "write_domtblout",
    "write_gff3",
    "write_profiles",
]
