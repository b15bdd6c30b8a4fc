"""Domains: profile HMM search, architectures, GFF3 (floor 2)."""

from omicsai.domains.architectures import ARCHITECTURES, domain_architectures
from omicsai.domains.gff3 import write_gff3
from omicsai.domains.profiles import (
    Library,
    build_profile,
    open_library,
    read_profiles,
    write_profiles,
)
from omicsai.domains.search import DOMAINS, Cutoff, search_domains

__all__ = [
    "ARCHITECTURES",
    "DOMAINS",
    "Cutoff",
    "Library",
    "build_profile",
    "domain_architectures",
    "open_library",
    "read_profiles",
    "search_domains",
    "write_gff3",
    "write_profiles",
]
