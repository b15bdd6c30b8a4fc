"""Domain architectures: which domains a protein has, in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from omicsai.sequences import Sequence as Record
from omicsai.tables import Column, Table

__all__ = [
    "ARCHITECTURES",
    "ARCHITECTURE_COUNTS",
    "SEPARATOR",
    "count_architectures",
    "domain_architectures",
    "presence",
    "read_architectures",
]

SEPARATOR = ", "
ARCHITECTURES = Table(
    "architectures",
    (
        Column("id", "text", "sequence id"),
        Column("architecture", "text", "profiles in order of start, joined by ', '"),
        Column("domains", "integer", "number of domains in the architecture"),
        Column("covered_fraction", "number", "residues inside their envelopes"),
        Column(
            "clans",
            "text",
            "the same in clans, a family without clan as itself",
        ),
    ),
)
ARCHITECTURE_COUNTS = Table(
    "architecture_counts",
    (
        Column("architecture", "text", "profiles in order of start, joined by ', '"),
        Column("proteins", "integer", "proteins with this architecture"),
        Column("fraction", "number", "their share of all proteins"),
        Column("members", "text", "their ids, joined by blanks"),
        Column("clans", "text", "the same in clans"),
        Column(
            "nearest", "text", "most similar other architecture by alignment", optional=True
        ),
        Column("nearest_distance", "number", "its distance, 0 to 1", optional=True),
    ),
)


def domain_architectures(
    domains: pd.DataFrame, sequences: Iterable[Record]
) -> pd.DataFrame:
    """Tell the architecture of each protein from the domains that are kept.

    Parameters
    ----------
    domains
        Table of `search_domains` or `resolve_overlaps`.
    sequences
        All proteins of the batch, also those without a domain.

    Returns
    -------
    pandas.DataFrame
        The `ARCHITECTURES` table, one row per protein, in the order of `sequences`.
    """
    found = _told(domains[domains["kept"].to_numpy(dtype=bool)])
    columns: dict[str, list] = {name: [] for name in ARCHITECTURES.names}
    for record in sequences:
        names, clans, spans = found.get(record.id, ([], [], []))
        columns["id"].append(record.id)
        columns["architecture"].append(SEPARATOR.join(names))
        columns["domains"].append(len(names))
        columns["covered_fraction"].append(_covered(spans) / len(record))
        columns["clans"].append(SEPARATOR.join(clans))
    return ARCHITECTURES.frame(columns)


def _told(
    kept: pd.DataFrame,
) -> dict[str, tuple[list[str], list[str], list[tuple[int, int]]]]:
    """Names, clans and envelopes of each protein's domains, in order of start."""
    rows = kept.sort_values(["start", "end", "profile"], kind="stable")
    columns = ["id", "profile", "clan", "envelope_start", "envelope_end"]
    found: dict[str, tuple[list[str], list[str], list[tuple[int, int]]]] = {}
    for key, name, clan, start, end in zip(
        *(rows[c].tolist() for c in columns), strict=True
    ):
        names, clans, spans = found.setdefault(key, ([], [], []))
        names.append(name)
        clans.append(clan or name)
        spans.append((start, end))
    return found


def _covered(spans: list[tuple[int, int]]) -> int:
    """Count residues inside at least one of the spans."""
    covered, reached = 0, 0
    for start, end in sorted(spans):
        covered += max(0, end - max(start - 1, reached))
        reached = max(reached, end)
    return covered


def read_architectures(*paths: Path | str) -> dict[str, str]:
    """Read the architecture of each protein of one or several batches.

    Parameters
    ----------
    paths
        ``architectures.tsv`` of `omicsai annotate`.

    Returns
    -------
    dict of str to str
        Architecture by id, empty for a protein without a domain.
    """
    tables = [ARCHITECTURES.read(path) for path in paths]
    return {
        key: architecture
        for table in tables
        for key, architecture in zip(table["id"], table["architecture"], strict=True)
    }


def count_architectures(architectures: pd.DataFrame) -> pd.DataFrame:
    """Count each architecture, commonest first, then by name.

    Returns
    -------
    pandas.DataFrame
        The `ARCHITECTURE_COUNTS` table; proteins without a domain are not counted.
    """
    total = len(architectures)
    named = architectures[architectures["architecture"] != ""]
    rows = [
        {
            "architecture": name,
            "proteins": len(members),
            "fraction": len(members) / total,
            "members": " ".join(members["id"]),
            "clans": members["clans"].iloc[0],
        }
        for name, members in named.groupby("architecture", sort=True)
    ]
    rows.sort(key=lambda row: -row["proteins"])
    return ARCHITECTURE_COUNTS.frame(rows)


def presence(domains: pd.DataFrame, ids: Iterable[str]) -> Iterator[str]:
    """Lines of the presence matrix: how often each protein has each family found.

    Parameters
    ----------
    domains
        Table of `search_domains` or `resolve_overlaps`; only domains that are kept count.
    ids
        All proteins of the batch, in the order of the table.

    Yields
    ------
    str
        A header ``id`` and family names in alphabetical order, then one line a protein.
    """
    kept = domains[domains["kept"].to_numpy(dtype=bool)]
    families, columns = np.unique(kept["profile"].to_numpy(dtype=str), return_inverse=True)
    yield "\t".join(["id", *families]) + "\n"
    owned = pd.Series(columns).groupby(kept["id"].to_numpy(), sort=False).indices
    empty = "\t0" * len(families)
    for key in ids:
        if key not in owned:
            yield key + empty + "\n"
            continue
        counts = np.bincount(columns[owned[key]], minlength=len(families))
        yield "\t".join([key, *map(str, counts)]) + "\n"
