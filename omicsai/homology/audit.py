"""The leakage audit: an all-against-all search that states what crosses the parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from omicsai.homology.mmseqs import mmseqs_version, run_mmseqs, sequence_database
from omicsai.sequences import split_labels
from omicsai.tables import Column, Table

__all__ = ["CROSSING", "Pairs", "audit_split", "find_pairs"]

# The ungapped prefilter misses no pair but is quadratic; beyond this many sequences the
# most sensitive k-mer prefilter takes over, and the audit says so.
EXHAUSTIVE_UP_TO = 20_000
LEAST_UNGAPPED_SCORE = 30  # half the time of the default 15, same pairs found
LARGEST_EVALUE = 1e-3
LOWEST_BAND = 0.3  # test sequences are counted from this identity to training on

CROSSING = Table(
    "crossing",
    (
        Column("id", "text", "a sequence of one part"),
        Column("part", "text", "its part"),
        Column("other_id", "text", "a similar sequence of another part"),
        Column("other_part", "text", "its part"),
        Column("identity_fraction", "number", "identical positions over alignment length"),
        Column("coverage_fraction", "number", "aligned fraction of the first sequence"),
        Column("other_coverage_fraction", "number", "aligned fraction of the second"),
        Column("evalue", "number", "E-value of the alignment"),
    ),
)


@dataclass(frozen=True)
class Pairs:
    """Alignments of similar sequences, with ``first < second``.

    A pair may be listed twice, because the search aligns it in both directions and the
    two alignments can differ; it counts as similar if either alignment says so.

    Attributes
    ----------
    first, second
        (m,) int64 indices of the two sequences of each alignment.
    identity
        (m,) identical positions over alignment length, fraction.
    coverage_first, coverage_second
        (m,) aligned fraction of each sequence.
    evalue
        (m,) E-value.
    exhaustive
        Whether every pair was examined by the ungapped prefilter.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    identity: NDArray[np.float64]
    coverage_first: NDArray[np.float64]
    coverage_second: NDArray[np.float64]
    evalue: NDArray[np.float64]
    exhaustive: bool


def find_pairs(
    residues: Sequence[str], *, identity: float = 0.3, threads: int = 1
) -> Pairs:
    """Search all sequences against all.

    Parameters
    ----------
    residues
        Canonical residues of n sequences.
    identity
        Least identity over the alignment, fraction.
    threads
        CPU threads.

    Returns
    -------
    Pairs
        All pairs found with E-value up to 1e-3 and at least this identity, any coverage.
    """
    exhaustive = len(residues) <= EXHAUSTIVE_UP_TO
    prefilter: list[str | float] = (
        ["--prefilter-mode", 1, "--min-ungapped-score", LEAST_UNGAPPED_SCORE]
        if exhaustive
        else ["-s", 7.5]
    )
    with sequence_database(residues) as (database, folder):
        hits, table = folder / "hits", folder / "hits.tsv"
        run_mmseqs(
            "search", database, database, hits, folder / "tmp", *prefilter,
            "-e", LARGEST_EVALUE, "--min-seq-id", identity, "--alignment-mode", 3,
            "--max-seqs", max(len(residues), 300), threads=threads,
        )  # fmt: skip
        run_mmseqs(
            "convertalis", database, database, hits, table,
            "--format-output", "query,target,fident,qcov,tcov,evalue", threads=threads,
        )  # fmt: skip
        frame = pd.read_csv(
            table, sep="\t", names=["q", "t", "identity", "qcov", "tcov", "evalue"]
        )
    frame = frame[frame.q != frame.t]
    swap = frame.q > frame.t
    pairs = pd.DataFrame(
        {
            "first": np.where(swap, frame.t, frame.q),
            "second": np.where(swap, frame.q, frame.t),
            "identity": frame.identity,
            "coverage_first": np.where(swap, frame.tcov, frame.qcov),
            "coverage_second": np.where(swap, frame.qcov, frame.tcov),
            "evalue": frame.evalue,
        }
    )
    pairs = pairs.sort_values(list(pairs.columns))
    return Pairs(**{name: pairs[name].to_numpy() for name in pairs}, exhaustive=exhaustive)


def audit_split(
    pairs: Pairs,
    ids: NDArray,
    parts: NDArray,
    labels: Sequence[str],
    *,
    identity: float,
    coverage: float,
    seed: int = 1,
) -> tuple[dict[str, Any], pd.DataFrame]:
    """State what crosses the parts of a split.

    Parameters
    ----------
    pairs
        Pairs from `find_pairs`, at or above the lower of `identity` and 0.3.
    ids, parts
        (n,) id and part of each sequence.
    labels
        Label of each sequence, for the balance table.
    identity, coverage
        Thresholds of the split, fractions.
    seed
        Seed of the random split that serves as control.

    Returns
    -------
    audit : dict
        Definition, sizes, crossing pairs by pair of parts, test sequences with a training
        relative at 30, 40 and 50 % identity, label shares, and the same count for a
        random split of the same sizes.
    crossing : pandas.DataFrame
        The crossing pairs (coverage of either sequence), most similar first.
    """
    covered = np.maximum(pairs.coverage_first, pairs.coverage_second) >= coverage
    alike = pairs.identity >= identity
    either = alike & covered
    both = alike & (np.minimum(pairs.coverage_first, pairs.coverage_second) >= coverage)
    shuffled = np.random.default_rng(seed).permutation(parts)
    crosses = parts[pairs.first] != parts[pairs.second]
    crosses_at_random = shuffled[pairs.first] != shuffled[pairs.second]
    listed = crosses & either
    audit: dict[str, Any] = {
        "definition": {
            "identity": "identical positions over alignment length",
            "identity_threshold": identity,
            "coverage_threshold": coverage,
            "largest_evalue": LARGEST_EVALUE,
            "search": (
                "MMseqs2 ungapped prefilter, exhaustive"
                if pairs.exhaustive
                else "MMseqs2 k-mer prefilter, sensitivity 7.5: pairs may be missed"
            ),
            "mmseqs": mmseqs_version(),
        },
        "sequences": {name: int((parts == name).sum()) for name in sorted(set(parts))},
        "pairs_above_threshold": _count(pairs, either),
        "crossing_pairs": {
            "coverage_of_either": _count(pairs, listed),
            "coverage_of_both": _count(pairs, crosses & both),
            "by_parts": _by_parts(pairs, parts, listed),
            "largest_identity": float(pairs.identity[listed].max(initial=0.0)),
        },
        "crossing_sequences": len(np.union1d(pairs.first[listed], pairs.second[listed])),
        "test_with_training_relative": _test_hits(pairs, parts, covered),
        "random_split_control": {
            "crossing_pairs": _count(pairs, crosses_at_random & either),
            "crossing_pairs_coverage_of_both": _count(pairs, crosses_at_random & both),
        },
        "label_shares": _label_shares(parts, labels),
    }
    return audit, _crossing_table(pairs, ids, parts, listed)


def _crossing_table(
    pairs: Pairs, ids: NDArray, parts: NDArray, listed: NDArray
) -> pd.DataFrame:
    order = np.flatnonzero(listed)[np.argsort(-pairs.identity[listed], kind="stable")]
    first, second = pairs.first[order], pairs.second[order]
    frame = CROSSING.frame(
        {
            "id": ids[first],
            "part": parts[first],
            "other_id": ids[second],
            "other_part": parts[second],
            "identity_fraction": pairs.identity[order],
            "coverage_fraction": pairs.coverage_first[order],
            "other_coverage_fraction": pairs.coverage_second[order],
            "evalue": pairs.evalue[order],
        }
    )
    return frame.drop_duplicates(["id", "other_id"], ignore_index=True)


def _count(pairs: Pairs, chosen: NDArray) -> int:
    """Count the different pairs among the chosen alignments."""
    return len(np.unique(np.stack([pairs.first, pairs.second])[:, chosen], axis=1).T)


def _by_parts(pairs: Pairs, parts: NDArray, listed: NDArray) -> dict[str, int]:
    a, b = parts[pairs.first], parts[pairs.second]
    return {
        f"{x}-{y}": _count(pairs, listed & (((a == x) & (b == y)) | ((a == y) & (b == x))))
        for x, y in combinations(sorted(set(parts)), 2)
    }


def _test_hits(pairs: Pairs, parts: NDArray, covered: NDArray) -> dict[str, int]:
    """Test sequences with at least one training relative, by least identity."""
    hits = {}
    for least in (LOWEST_BAND, 0.4, 0.5):
        chosen = covered & (pairs.identity >= least)
        a, b = pairs.first[chosen], pairs.second[chosen]
        forward = a[(parts[a] == "test") & (parts[b] == "train")]
        backward = b[(parts[b] == "test") & (parts[a] == "train")]
        hits[f"identity_{least:.0%}"] = len(np.union1d(forward, backward))
    return hits


def _label_shares(parts: NDArray, labels: Sequence[str]) -> dict[str, dict[str, float]]:
    """Share of each label within each part (unknown included)."""
    shares: dict[str, dict[str, float]] = {}
    for name in sorted(set(parts)):
        cells = [
            split_labels(cell) or ["unknown"]
            for cell, part in zip(labels, parts, strict=True)
            if part == name
        ]
        counts: dict[str, int] = {}
        for cell in cells:
            for label in cell:
                counts[label] = counts.get(label, 0) + 1
        shares[name] = {k: round(v / len(cells), 4) for k, v in sorted(counts.items())}
    return shares
