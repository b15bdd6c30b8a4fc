"""Features of a tRNA's body for classifiers: what is alike, base by base and pair by pair.

A linear model of single bases carries over to distant clades, one of base combinations
tells close relatives apart. Both are one kernel, k = (s + s^3) / 2 with s the similarity of
two tRNAs over positions and stem pairs, whose explicit features are those of Nystroem: the
similarities to some landmarks, whitened (Williams & Seeger 2001).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from omicsai.tables import Column, Table
from omicsai.trna.positions import ANTICODON, INDEX, LABELS, STEM_PAIRS

__all__ = [
    "ISOTYPES",
    "BodyFeatures",
    "body_similarity",
    "choose_landmarks",
    "make_features",
    "unit_columns",
    "unit_names",
    "unit_weights",
]

ISOTYPES = Table(
    "isotypes",
    (
        Column("id", "text", "tRNA id; one of each set of equal bodies"),
        Column("stated", "text", "stated amino acid"),
        Column("predicted", "text", "amino acid by members that saw none of its cluster"),
        Column("probability", "number", "its calibrated probability"),
        Column("stated_probability", "number", "calibrated probability of the stated one"),
        Column("novelty", "number", "mean cosine distance to the 5 nearest other bodies"),
        Column("novelty_p", "number", "conformal p-value of being like a known one"),
        Column("cluster", "text", "cluster by identity of the body"),
    ),
)
STATES = 6
LEAST_INFORMATION = 0.05  # bits, so that no position is blind
JITTER = 1e-3  # on the diagonal of the landmarks' kernel, which may be singular


def unit_names(keep_anticodon: bool = False) -> list[str]:
    """Name what is compared: positions, then stem pairs."""
    return [*_used(keep_anticodon), *(f"{a}:{b}" for a, b in STEM_PAIRS)]


def _used(keep_anticodon: bool) -> list[str]:
    outside = {"-1", "74", "75", "76"} | (set() if keep_anticodon else set(ANTICODON))
    return [p for p in LABELS if p not in outside and not p.startswith("e")]


def unit_columns(matrix: NDArray[np.int8], keep_anticodon: bool) -> NDArray[np.int64]:
    """Column (n, u) of a one-hot table that each unit fills: positions, then stem pairs."""
    bases = matrix.astype(np.int64)
    units = [bases[:, INDEX[p]] for p in _used(keep_anticodon)]
    sizes = [STATES] * len(units) + [STATES * STATES] * len(STEM_PAIRS)
    units += [STATES * bases[:, INDEX[a]] + bases[:, INDEX[b]] for a, b in STEM_PAIRS]
    return np.column_stack(units) + np.concatenate([[0], np.cumsum(sizes)[:-1]])


def _one_hot(
    matrix: NDArray[np.int8], keep_anticodon: bool, weights: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Bases and stem pairs as weighted unit vectors; equal tRNAs have inner product 1."""
    columns = unit_columns(matrix, keep_anticodon)
    width = STATES * len(_used(keep_anticodon)) + STATES * STATES * len(STEM_PAIRS)
    table = np.zeros((len(matrix), width), dtype=np.float32)
    scale = np.sqrt(weights / np.sum(weights)).astype(np.float32)
    np.put_along_axis(table, columns, np.broadcast_to(scale, columns.shape), axis=1)
    return table


def unit_weights(
    information: NDArray[np.float64], *, keep_anticodon: bool = False
) -> NDArray[np.float64]:
    """Weights (u,) to begin with: the square root of what a position tells of the class.

    Parameters
    ----------
    information
        (99,) bits, `omicsai.trna.position_information` of the training part.
    keep_anticodon
        Whether positions 34 to 36 are looked at.

    Returns
    -------
    (u,) float64
        Of each position, then of each stem pair, which has the mean of its two.
    """
    root = np.sqrt(information + LEAST_INFORMATION)
    single = [root[INDEX[p]] for p in _used(keep_anticodon)]
    paired = [(root[INDEX[a]] + root[INDEX[b]]) / 2 for a, b in STEM_PAIRS]
    return np.array(single + paired)


def body_similarity(
    a: NDArray[np.int8],
    b: NDArray[np.int8],
    weights: NDArray[np.float64],
    *,
    keep_anticodon: bool = False,
) -> NDArray[np.float32]:
    """Kernel (n, m) of the bodies of two sets of tRNAs.

    Parameters
    ----------
    a, b
        (n, 99) and (m, 99) base codes.
    weights
        (u,) weight of each position and stem pair (`unit_weights`, or learned).
    keep_anticodon
        Whether positions 34 to 36 are looked at.

    Returns
    -------
    (n, m) float32
        (s + s^3) / 2, where s is the weighted share of positions and stem pairs that agree.
    """
    s = _one_hot(a, keep_anticodon, weights) @ _one_hot(b, keep_anticodon, weights).T
    return ((s + s**3) / 2).astype(np.float32)


def choose_landmarks(matrix: NDArray[np.int8], count: int, seed: int) -> NDArray[np.int64]:
    """Rows of up to `count` different tRNAs, drawn at random with a seed."""
    unique = np.sort(np.unique(matrix, axis=0, return_index=True)[1])
    if len(unique) <= count:
        return unique
    return np.sort(np.random.default_rng(seed).choice(unique, count, replace=False))


@dataclass(frozen=True)
class BodyFeatures:
    """The map from base codes to features.

    Attributes
    ----------
    landmarks
        (m, 99) base codes of the landmarks.
    weights
        (u,) weight of each position and stem pair.
    keep_anticodon
        Whether positions 34 to 36 are looked at.
    whitening
        (m, m) from similarities to features.
    """

    landmarks: NDArray[np.int8]
    weights: NDArray[np.float64]
    keep_anticodon: bool
    whitening: NDArray[np.float32]

    def __call__(self, matrix: NDArray[np.int8]) -> NDArray[np.float32]:
        """Features (n, d) float32 of (n, 99) base codes."""
        similarity = body_similarity(
            matrix, self.landmarks, self.weights, keep_anticodon=self.keep_anticodon
        )
        return similarity @ self.whitening


def make_features(
    landmarks: NDArray[np.int8],
    weights: NDArray[np.float64],
    *,
    keep_anticodon: bool = False,
) -> BodyFeatures:
    """Make the feature map of some landmarks.

    Parameters
    ----------
    landmarks
        (m, 99) base codes.
    weights
        (u,) weight of each position and stem pair (`unit_weights`, or learned).
    keep_anticodon
        Whether positions 34 to 36 are looked at (the control, not the question).
    """
    K = body_similarity(landmarks, landmarks, weights, keep_anticodon=keep_anticodon)
    # any root will do: a ridge does not depend on the axes of its features (AdamW does)
    root = np.linalg.cholesky(K.astype(np.float64) + JITTER * np.eye(len(K)))
    whitening = solve_triangular(root, np.eye(len(K)), lower=True).T
    return BodyFeatures(
        landmarks, weights, keep_anticodon, np.ascontiguousarray(whitening, np.float32)
    )
