"""Function logos: what a base at a position tells about the amino acid a tRNA carries.

Freyhult et al. 2006 (Nucleic Acids Res. 34:905): the information of a feature is the drop
in entropy of the classes when it is seen, I = H(class) - H(class | feature), corrected for
small samples (Miller & Madow) and tested by shuffling the classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from omicsai.tables import Column, Table
from omicsai.trna.bases import ALPHABET
from omicsai.trna.positions import INDEX, LABELS, STEM_PAIRS

__all__ = ["FEATURES", "HEIGHTS", "function_logo", "position_information", "unique_trnas"]

FEATURES = Table(
    "logo_features",
    (
        Column("feature", "text", "position and base, or two positions and their pair"),
        Column("position", "text", "canonical position, or pair such as 3:70"),
        Column("state", "text", "base or pair; '-' is no base"),
        Column("trnas", "integer", "tRNAs that have it"),
        Column("information", "number", "bits about the class, small-sample corrected"),
        Column("top_class", "text", "class it speaks for most"),
        Column("p", "number", "share of label permutations with as much information"),
        Column("q", "number", "p adjusted for all features (Benjamini & Hochberg)"),
    ),
)
HEIGHTS = Table(
    "logo_heights",
    (
        Column("feature", "text", "feature of the logo"),
        Column("position", "text", "canonical position or pair"),
        Column("state", "text", "base or pair"),
        Column("isotype", "text", "amino acid"),
        Column("height", "number", "its part of the information, bits"),
    ),
)
LEAST_TRNAS = 5  # features of fewer tRNAs tell nothing reliable


def function_logo(
    matrix: NDArray[np.int8],
    classes: Sequence[str],
    *,
    permutations: int = 200,
    seed: int = 1,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Information of every single-base and base-pair feature.

    Parameters
    ----------
    matrix
        (n, 99) base codes.
    classes
        (n,) amino acids; tRNAs without one are left out.
    permutations
        Shuffles of the classes behind the p-values; p is never below 1 / (1 + shuffles).
    seed
        Seed of the shuffles.

    Returns
    -------
    features, heights : pandas.DataFrame
        The `FEATURES` table, most informative first, and the `HEIGHTS` table.
    """
    given = np.array(classes, dtype=object)
    known = given != ""
    names, code = np.unique(given[known].astype(str), return_inverse=True)
    if len(names) < 2:
        return FEATURES.frame([]), HEIGHTS.frame([])
    F, described = _features(matrix[known])
    Y = np.eye(len(names))[code]
    counts = F.T @ Y
    information = _information(counts, Y.sum(axis=0))
    rng = np.random.default_rng(seed)
    above = np.zeros(len(F.T))
    for _ in range(permutations):
        shuffled = F.T @ Y[rng.permutation(len(Y))]
        above += _information(shuffled, Y.sum(axis=0)) >= information
    p = (1 + above) / (1 + permutations)
    share = counts / counts.sum(axis=1, keepdims=True)
    odds = share / (Y.mean(axis=0))
    odds = odds / odds.sum(axis=1, keepdims=True)  # letter heights follow class odds
    order = np.argsort(-information, kind="stable")
    features = FEATURES.frame(
        {
            "feature": [f"{described[i][0]}{described[i][1]}" for i in order],
            "position": [described[i][0] for i in order],
            "state": [described[i][1] for i in order],
            "trnas": counts.sum(axis=1)[order].astype(int),
            "information": information[order],
            "top_class": names[odds.argmax(axis=1)][order],
            "p": p[order],
            "q": _benjamini_hochberg(p)[order],
        }
    )
    row, column = np.nonzero(odds * information[:, None] >= 0.01)
    heights = HEIGHTS.frame(
        {
            "feature": [f"{described[i][0]}{described[i][1]}" for i in row],
            "position": [described[i][0] for i in row],
            "state": [described[i][1] for i in row],
            "isotype": names[column],
            "height": (odds * information[:, None])[row, column],
        }
    )
    return features, heights


def _features(
    matrix: NDArray[np.int8],
) -> tuple[NDArray[np.float64], list[tuple[str, str]]]:
    """Make indicator columns of every base at a position and every pair of a stem."""
    columns, described = [], []
    for position, label in enumerate(LABELS):
        for code in (0, 1, 2, 3, 5):
            columns.append(matrix[:, position] == code)
            described.append((label, ALPHABET[code]))
    for a, b in STEM_PAIRS:
        first, second = matrix[:, INDEX[a]], matrix[:, INDEX[b]]
        for x in range(4):
            for y in range(4):
                columns.append((first == x) & (second == y))
                described.append((f"{a}:{b}", ALPHABET[x] + ALPHABET[y]))
    F = np.array(columns, dtype=float).T
    kept = (F.sum(axis=0) >= LEAST_TRNAS) & (F.sum(axis=0) < len(F))
    return F[:, kept], [d for d, k in zip(described, kept, strict=True) if k]


def _information(counts: NDArray, totals: NDArray) -> NDArray[np.float64]:
    """I = H(class) - H(class | feature), both with the Miller-Madow correction."""
    return np.maximum(_entropy(totals[None]) - _entropy(counts), 0.0)


def _entropy(counts: NDArray) -> NDArray[np.float64]:
    n = counts.sum(axis=1, keepdims=True)
    p = counts / np.maximum(n, 1)
    plain = -(p * np.log2(np.where(p > 0, p, 1))).sum(axis=1)
    seen = (counts > 0).sum(axis=1)
    return plain + (seen - 1) / (2 * np.log(2) * np.maximum(n[:, 0], 1))


def _benjamini_hochberg(p: NDArray) -> NDArray[np.float64]:
    order = np.argsort(p, kind="stable")
    scaled = p[order] * len(p) / np.arange(1, len(p) + 1)
    adjusted = np.minimum.accumulate(scaled[::-1])[::-1]
    q = np.empty_like(adjusted)
    q[order] = np.minimum(adjusted, 1)
    return q


def position_information(
    matrix: NDArray[np.int8], classes: Sequence[str]
) -> NDArray[np.float64]:
    """Mutual information (bits) between each position's base and the class.

    Parameters
    ----------
    matrix
        (n, 99) base codes.
    classes
        (n,) amino acids; empty where unknown.

    Returns
    -------
    (99,) float64
        Corrected for small samples, never negative.
    """
    given = np.array(classes, dtype=object)
    known = given != ""
    _, code = np.unique(given[known].astype(str), return_inverse=True)
    result = np.zeros(len(LABELS))
    if not known.any():
        return result
    Y = np.eye(code.max() + 1)[code]
    for position in range(len(LABELS)):
        states = np.stack([matrix[known, position] == s for s in range(6)]).astype(float)
        counts = states @ Y
        share = counts.sum(axis=1) / len(Y)
        value = _entropy(Y.sum(axis=0)[None])[0] - (share * _entropy(counts)).sum()
        result[position] = max(float(value), 0.0)
    return result


def unique_trnas(matrix: NDArray[np.int8], classes: Sequence[str]) -> NDArray[np.int64]:
    """Rows (m,) of the first of each set of equal tRNAs: gene copies are no evidence."""
    rows = np.column_stack([matrix, np.unique(np.array(classes), return_inverse=True)[1]])
    return np.sort(np.unique(rows, axis=0, return_index=True)[1])
