"""Overlaps of related families: what stays, by Pfam's rules.

Of two matches that overlap and whose families are of one clan, the one with the lower
E-value stays, as in ``pfam_scan.pl``. Families of different clans, and families without a
clan, may overlap; so may a family that Pfam lists as nested in the other.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from omicsai.domains.clans import Clans
from omicsai.domains.search import DOMAINS

__all__ = ["Overlap", "resolve_overlaps"]

Overlap = Literal["alignment", "envelope"]


def resolve_overlaps(
    domains: pd.DataFrame, clans: Clans, *, by: Overlap = "alignment"
) -> pd.DataFrame:
    """Say of each domain whether it stays.

    Parameters
    ----------
    domains
        Table of `search_domains`.
    clans
        Of `read_clans`.
    by
        Whether alignments or envelopes must share a residue to overlap. Alignments are
        what ``pfam_scan.pl`` compares.

    Returns
    -------
    pandas.DataFrame
        The same rows with ``clan`` and ``kept`` filled in.
    """
    pairs = zip(domains["profile"], domains["accession"], strict=True)
    clan = np.array([clans.clan(name, accession) for name, accession in pairs], object)
    prefix = "" if by == "alignment" else "envelope_"
    start = domains[f"{prefix}start"].to_numpy(dtype=int)
    end = domains[f"{prefix}end"].to_numpy(dtype=int)
    name = domains["profile"].to_numpy(dtype=object)
    score = domains["score"].to_numpy(dtype=float)
    evalue = domains["evalue"].to_numpy(dtype=float)
    kept = np.ones(len(domains), bool)
    rivals = pd.DataFrame({"id": domains["id"].to_numpy(), "clan": clan})[clan != ""]
    for rows in rivals.groupby(["id", "clan"], sort=False).indices.values():
        rows = rivals.index.to_numpy()[rows]
        ranked = rows[np.lexsort((start[rows], -score[rows], evalue[rows]))]
        winners: list[int] = []
        for row in ranked:
            kept[row] = all(
                end[row] < start[other]
                or end[other] < start[row]
                or frozenset((name[row], name[other])) in clans.nested
                for other in winners
            )
            if kept[row]:
                winners.append(row)
    return DOMAINS.frame(domains.assign(clan=clan, kept=kept))
