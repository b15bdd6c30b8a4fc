"""Domain architectures: which domains a protein has, in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from omicsai.sequences import Sequence as Record
from omicsai.tables import Column, Table

__all__ = ["ARCHITECTURES", "domain_architectures", "winning_hits"]

LARGEST_OVERLAP = 0.5

ARCHITECTURES = Table(
    "architectures",
    (
        Column("id", "text", "sequence id"),
        Column("architecture", "text", "profiles in order of start, joined by ', '"),
        Column("domains", "integer", "number of domains in the architecture"),
        Column("covered_fraction", "number", "residues inside their envelopes"),
    ),
)


def domain_architectures(
    domains: pd.DataFrame, sequences: Sequence[Record]
) -> pd.DataFrame:
    """Reduce overlapping hits to one architecture per protein.

    Of two hits whose alignments overlap by more than half of the shorter one, the one with
    the lower E-value stays (then the higher score).

    Parameters
    ----------
    domains
        Table of `search_domains`.
    sequences
        All proteins of the batch, also those without a domain.

    Returns
    -------
    pandas.DataFrame
        The `ARCHITECTURES` table, one row per protein, in the order of `sequences`.
    """
    hits = dict(iter(domains.groupby("id", sort=False)))
    rows = []
    for record in sequences:
        kept = winning_hits(hits[record.id]) if record.id in hits else []
        covered: set[int] = set()
        for hit in kept:
            covered.update(range(hit.envelope_start, hit.envelope_end + 1))
        rows.append(
            {
                "id": record.id,
                "architecture": ", ".join(hit.profile for hit in kept),
                "domains": len(kept),
                "covered_fraction": len(covered) / len(record),
            }
        )
    return ARCHITECTURES.frame(rows)


def winning_hits(hits: pd.DataFrame) -> list[Any]:
    """Find the rows of one protein that win their overlaps, ordered by start."""
    kept: list = []
    ranked = hits.sort_values(["evalue", "score"], ascending=[True, False], kind="stable")
    for hit in ranked.itertuples():
        if all(_overlap(hit, other) <= LARGEST_OVERLAP for other in kept):
            kept.append(hit)
    return sorted(kept, key=lambda hit: (hit.start, hit.end))


def _overlap(a: Any, b: Any) -> float:
    """Overlap of two alignments as a fraction of the shorter one."""
    shared = min(a.end, b.end) - max(a.start, b.start) + 1
    return max(shared, 0) / (min(a.end - a.start, b.end - b.start) + 1)
