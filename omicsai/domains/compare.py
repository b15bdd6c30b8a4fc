"""Domains compared: by class, and between two sets of proteins or two libraries."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from omicsai.sequences import split_labels
from omicsai.tables import Column, Table

__all__ = [
    "CHANGES",
    "ENRICHMENT",
    "FAMILY_CHANGES",
    "changed_hits",
    "enrichment",
    "family_changes",
]

ENRICHMENT = Table(
    "enrichment",
    (
        Column("class", "text", "given class"),
        Column("profile", "text", "family more frequent in the class than elsewhere"),
        Column("in_class", "integer", "proteins of the class with it"),
        Column("class_fraction", "number", "their share of the class"),
        Column("other_fraction", "number", "share of all other classes' proteins"),
        Column("p_adjusted", "number", "one-sided Fisher test, Benjamini-Hochberg"),
    ),
)
CHANGES = Table(
    "changes",
    (
        Column("id", "text", "sequence id, in both sets"),
        Column("profile", "text", "name of the profile"),
        Column("start", "integer", "first aligned residue"),
        Column("end", "integer", "last aligned residue"),
        Column("score", "number", "bit score"),
        Column("change", "text", "gained or lost"),
    ),
)
FAMILY_CHANGES = Table(
    "family_changes",
    (
        Column("profile", "text", "name of the profile"),
        Column("change", "text", "gained, lost, or both (found in both)"),
        Column("before", "integer", "proteins with it before"),
        Column("after", "integer", "proteins with it after"),
        Column("before_fraction", "number", "their share before"),
        Column("after_fraction", "number", "their share after"),
    ),
)


def _owners(domains: pd.DataFrame) -> pd.DataFrame:
    """Which protein has which family, of the domains that are kept."""
    kept = domains[domains["kept"].to_numpy(dtype=bool)]
    return kept[["id", "profile"]].drop_duplicates()


def enrichment(domains: pd.DataFrame, classes: Mapping[str, str]) -> pd.DataFrame:
    """Families that a class has more often than the other classes.

    Parameters
    ----------
    domains
        Table of `resolve_overlaps`.
    classes
        Class of each labelled protein, or several joined by ``;``; others do not count.

    Returns
    -------
    pandas.DataFrame
        The `ENRICHMENT` table, one row per class and family it holds at least once, most
        significant first. Proteins of one class are related, so p-values are too small:
        they rank, they do not prove.
    """
    from scipy.stats import hypergeom

    owners = _owners(domains)
    owners = owners[owners["id"].isin(classes)]
    if owners.empty:
        return ENRICHMENT.frame([])
    groups = pd.Series(dict(classes), name="group").map(split_labels).explode()
    sizes = groups.value_counts()
    total = len(classes)
    having = owners["profile"].value_counts()
    grouped = owners.join(groups, on="id")
    inside = grouped.groupby(["group", "profile"], sort=True).size().reset_index(name="n")
    size = inside["group"].map(sizes).to_numpy(dtype=int)
    n = inside["n"].to_numpy(dtype=int)
    owned = inside["profile"].map(having).to_numpy(dtype=int)
    p = hypergeom.sf(n - 1, total, owned, size)
    frame = pd.DataFrame(
        {
            "class": inside["group"],
            "profile": inside["profile"],
            "in_class": n,
            "class_fraction": n / size,
            "other_fraction": (owned - n) / np.maximum(total - size, 1),
            "p_adjusted": _adjusted(p),
        }
    )
    more = frame[frame["class_fraction"] > frame["other_fraction"]]
    return ENRICHMENT.frame(
        more.sort_values(
            ["p_adjusted", "in_class", "class", "profile"],
            ascending=[True, False, True, True],
            ignore_index=True,
        )
    )


def _adjusted(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """P-values adjusted for the false discovery rate (Benjamini and Hochberg 1995)."""
    order = np.argsort(p)[::-1]
    ranks = np.arange(len(p), 0, -1)
    adjusted = np.minimum.accumulate(p[order] * len(p) / ranks)
    result = np.empty(len(p))
    result[order] = np.minimum(adjusted, 1)
    return result


def changed_hits(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """Domains gained and lost on the same proteins, between two libraries or releases.

    A domain is the same if the other table has one of the same family on the same protein
    whose alignment shares a residue with it. Families are compared by accession without
    version where they have one, else by name.

    Returns
    -------
    pandas.DataFrame
        The `CHANGES` table, by protein and start; proteins in one table only are left out.
    """
    both = set(before["id"]) & set(after["id"])
    rows = [
        _missing(table[table["id"].isin(both)], other).assign(change=word)
        for table, other, word in ((before, after, "lost"), (after, before, "gained"))
    ]
    frame = pd.concat(rows, ignore_index=True)[CHANGES.names]
    return CHANGES.frame(
        frame.sort_values(
            ["id", "start", "end", "profile"], kind="stable", ignore_index=True
        )
    )


def _family(table: pd.DataFrame) -> pd.Series:
    accession = table["accession"].str.split(".").str[0]
    return accession.where(accession != "", table["profile"])


def _missing(table: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """Kept rows of `table` that `other` has no kept counterpart of."""
    table, other = (t[t["kept"].to_numpy(dtype=bool)] for t in (table, other))
    spans: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for key, family, start, end in zip(
        other["id"], _family(other), other["start"], other["end"], strict=True
    ):
        spans.setdefault((key, family), []).append((start, end))
    absent = [
        not any(
            start <= last and first <= end for first, last in spans.get((key, family), [])
        )
        for key, family, start, end in zip(
            table["id"], _family(table), table["start"], table["end"], strict=True
        )
    ]
    return table[absent]


def family_changes(
    before: pd.DataFrame, after: pd.DataFrame, sizes: tuple[int, int]
) -> pd.DataFrame:
    """Families gained and lost between two sets of different proteins.

    Parameters
    ----------
    before, after
        Tables of `resolve_overlaps`.
    sizes
        Number of proteins of each set.

    Returns
    -------
    pandas.DataFrame
        The `FAMILY_CHANGES` table: lost, gained, then those in both by change of share.
    """
    counts = pd.DataFrame(
        {
            "before": _owners(before)["profile"].value_counts(),
            "after": _owners(after)["profile"].value_counts(),
        }
    )
    counts = counts.fillna(0).astype(int).rename_axis("profile").reset_index()
    counts["before_fraction"] = counts["before"] / max(sizes[0], 1)
    counts["after_fraction"] = counts["after"] / max(sizes[1], 1)
    counts["change"] = np.select(
        [counts["after"] == 0, counts["before"] == 0], ["lost", "gained"], "both"
    )
    rank = counts["change"].map({"lost": 0, "gained": 1, "both": 2})
    shift = -(counts["after_fraction"] - counts["before_fraction"]).abs()
    order = np.lexsort((counts["profile"].to_numpy(dtype=str), shift, rank))
    return FAMILY_CHANGES.frame(counts.iloc[order].reset_index(drop=True))
