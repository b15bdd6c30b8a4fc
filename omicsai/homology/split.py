"""Homology-aware train/validation/test split: whole MMseqs2 clusters to parts."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from omicsai.errors import InputError
from omicsai.homology.audit import LOWEST_BAND, audit_split, find_pairs
from omicsai.homology.mmseqs import cluster_sequences
from omicsai.homology.partition import assign_clusters
from omicsai.sequences import Sequence as Record
from omicsai.sequences import split_labels
from omicsai.tables import Column, Table

__all__ = ["CLUSTERS", "PARTS", "SPLIT", "Split", "split_sequences"]

logger = logging.getLogger(__name__)

PARTS = ("train", "validation", "test")

SPLIT = Table(
    "split",
    (
        Column("id", "text", "sequence id"),
        Column("part", "text", "train, validation, test or removed"),
        Column("cluster", "text", "id of the cluster's representative sequence"),
        Column("fold", "integer", "cross-fitting fold within train, from 1", True),
    ),
)
CLUSTERS = Table(
    "clusters",
    (
        Column("id", "text", "id of the cluster's representative sequence"),
        Column("size", "integer", "number of sequences"),
        Column("part", "text", "part the whole cluster belongs to"),
        Column("labels", "text", "labels of its members with their counts"),
    ),
)


@dataclass(frozen=True)
class Split:
    """A split, its clusters, what still crosses it, and the audit's summary."""

    split: pd.DataFrame
    clusters: pd.DataFrame
    crossing: pd.DataFrame
    audit: dict[str, Any]


def split_sequences(
    sequences: Sequence[Record],
    labels: Mapping[str, str] | None = None,
    *,
    identity: float = 0.3,
    coverage: float = 0.5,
    fractions: Sequence[float] = (0.6, 0.2, 0.2),
    folds: int = 5,
    seed: int = 1,
    threads: int = 1,
) -> Split:
    """Split sequences by homology and audit the result.

    Parameters
    ----------
    sequences
        n canonical sequences with unique ids.
    labels
        Label by id (several joined by ``;``); ids without one count as unknown.
    identity, coverage
        MMseqs2 clustering thresholds, fractions of the alignment and of both sequences.
    fractions
        Target shares of train, validation and test.
    folds
        Number of cross-fitting folds within the training part.
    seed
        Seed of the assignment.
    threads
        CPU threads of MMseqs2.

    Returns
    -------
    Split
        Tables in input order and the audit of `omicsai.homology.audit_split`.

    Raises
    ------
    InputError
        If a threshold or share is out of range, or there are fewer clusters than parts.
    ToolError
        If MMseqs2 is missing or fails.
    """
    if len(fractions) != len(PARTS) or min(fractions) <= 0:
        raise InputError(
            f"fractions are three positive shares (train, validation, test), not "
            f"{list(fractions)}"
        )
    ids = np.array([record.id for record in sequences], dtype=object)
    residues = [record.residues for record in sequences]
    given = [(labels or {}).get(record.id, "") for record in sequences]
    unlisted = set(labels or {}) - set(ids)
    if unlisted:
        logger.warning(
            "%d labels are for ids that are not among the sequences, for example '%s'",
            len(unlisted), min(unlisted),
        )  # fmt: skip
    cluster = cluster_sequences(
        residues, identity=identity, coverage=coverage, threads=threads
    )
    logger.info("%d sequences in %d clusters", len(ids), len(np.unique(cluster)))
    strata = label_strata(given)
    part = assign_clusters(cluster, strata, fractions, seed=seed)
    fold = _assign_folds(cluster, strata, part == 0, folds, seed)
    pairs = find_pairs(residues, identity=min(identity, LOWEST_BAND), threads=threads)
    parts = np.array(PARTS, dtype=object)[part]
    audit, crossing = audit_split(
        pairs, ids, parts, given, identity=identity, coverage=coverage, seed=seed
    )
    audit["clusters"] = len(np.unique(cluster))
    audit["untestable_labels"] = _single_cluster_labels(cluster, given)
    return Split(
        SPLIT.frame({"id": ids, "part": parts, "cluster": ids[cluster], "fold": fold}),
        _cluster_table(ids, cluster, parts, given),
        crossing,
        audit,
    )


def label_strata(labels: Sequence[str]) -> NDArray[np.bool_]:
    """Membership (n, k) of each item in each label; unknown is a stratum of its own."""
    sets = [split_labels(cell) or [""] for cell in labels]
    names = sorted({label for labels in sets for label in labels})
    column = {name: i for i, name in enumerate(names)}
    membership = np.zeros((len(sets), len(names)), dtype=bool)
    for row, cell in enumerate(sets):
        membership[row, [column[label] for label in cell]] = True
    return membership


def _assign_folds(
    cluster: NDArray, strata: NDArray, training: NDArray, folds: int, seed: int
) -> pd.Series:
    """Fold 1 to k of each training sequence, missing elsewhere."""
    folds = min(folds, len(np.unique(cluster[training])))
    fold = pd.Series(pd.NA, index=range(len(cluster)), dtype="Int64")
    if folds >= 2:
        assigned = assign_clusters(
            cluster[training], strata[training], np.ones(folds), seed=seed, pin=False
        )
        fold[training] = assigned + 1
    return fold


def _single_cluster_labels(cluster: NDArray, labels: Sequence[str]) -> list[str]:
    """Labels whose members all sit in one cluster: no independent test is possible."""
    homes: dict[str, set[int]] = {}
    for index, cell in zip(cluster, labels, strict=True):
        for label in split_labels(cell):
            homes.setdefault(label, set()).add(int(index))
    return sorted(label for label, where in homes.items() if len(where) == 1)


def _cluster_table(
    ids: NDArray, cluster: NDArray, parts: NDArray, labels: Sequence[str]
) -> pd.DataFrame:
    frame = pd.DataFrame({"cluster": cluster, "part": parts, "label": list(labels)})
    rows = []
    for representative, members in frame.groupby("cluster", sort=True):
        counts = members["label"].replace("", "unknown").value_counts().sort_index()
        rows.append(
            {
                "id": ids[representative],
                "size": len(members),
                "part": members["part"].iloc[0],
                "labels": ", ".join(f"{name} {n}" for name, n in counts.items()),
            }
        )
    rows.sort(key=lambda row: (-row["size"], row["id"]))
    return CLUSTERS.frame(rows)
