"""Distances between tRNAs on the canonical axis.

d(a, b) = sum_p w_p [a_p != b_p] / sum_p w_p; a gap is a symbol of its own. Counted by stem
pairs, each pair is one position of the mean weight of its two, and a change that leaves
both tRNAs paired (Watson-Crick or G-U) costs one half. Both are metrics.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.optimize import minimize
from scipy.spatial.distance import squareform

from omicsai.tables import Column, Table
from omicsai.trna.bases import pairs_form
from omicsai.trna.positions import INDEX, LABELS, STEM_PAIRS

__all__ = [
    "CLUSTERS",
    "MAP",
    "NEIGHBOURS",
    "cluster_distances",
    "core_weights",
    "distance_blocks",
    "distances",
    "identity_weights",
    "learned_weights",
    "map_distances",
    "nearest",
]

STATES = 6
CHUNK = 1024
CLUSTERS = Table(
    "trna_clusters",
    (
        Column("id", "text", "tRNA id"),
        Column("cluster", "integer", "cluster, numbered by its first tRNA"),
        Column("isotype", "text", "amino acid, empty if unknown"),
    ),
)
NEIGHBOURS = Table(
    "trna_neighbours",
    (
        Column("id", "text", "tRNA id"),
        Column("nearest_id", "text", "nearest other tRNA"),
        Column("distance", "number", "distance to it, 0 to 1"),
        Column("isotype", "text", "amino acid, empty if unknown"),
        Column("nearest_isotype", "text", "amino acid of the nearest"),
    ),
)
MAP = Table(
    "trna_map",
    (
        Column("id", "text", "tRNA id"),
        Column("x", "number", "first principal coordinate"),
        Column("y", "number", "second principal coordinate"),
        Column("isotype", "text", "amino acid, empty if unknown"),
    ),
)


def core_weights() -> NDArray[np.float64]:
    """Weight 1 for positions 1 to 73, 0 for -1, the variable arm and CCA; (99,)."""
    outside = {"-1", "74", "75", "76"}
    return np.array([float(p not in outside and not p.startswith("e")) for p in LABELS])


def identity_weights(positions: dict[str, list[str]]) -> NDArray[np.float64]:
    """Weight of each position: number of isotypes that have an identity element there."""
    weights = np.zeros(len(LABELS))
    for mine in positions.values():
        for position in mine:
            weights[INDEX[position]] += 1
    return weights


def learned_weights(
    matrix: NDArray[np.int8],
    classes: list[str],
    *,
    pairs: int = 20_000,
    penalty: float = 1e-3,
    seed: int = 1,
) -> NDArray[np.float64]:
    """Weights that best tell tRNAs of two isotypes from tRNAs of one.

    A logistic model of "different isotype" on the positions that differ, with weights kept
    from falling below zero, on random pairs of which half are of one isotype.

    Parameters
    ----------
    matrix
        (n, 99) base codes.
    classes
        (n,) amino acids; empty where unknown.
    pairs, seed
        Number of pairs drawn, and the seed.
    penalty
        Ridge penalty.

    Returns
    -------
    (99,) float64
        Non-negative; the largest is 1. Uniform weights if there is nothing to learn.
    """
    given = np.array(classes, dtype=object)
    known = np.flatnonzero(given != "")
    rng = np.random.default_rng(seed)
    members = {c: known[given[known] == c] for c in sorted(set(given[known]))}
    several = [c for c, rows in members.items() if len(rows) > 1]
    if len(members) < 2 or not several:
        return core_weights()
    half = pairs // 2
    same = []
    for c in rng.choice(several, half):
        same.append(rng.choice(members[str(c)], 2, replace=False))
    two = rng.choice(known, (4 * half, 2))
    two = two[given[two[:, 0]] != given[two[:, 1]]][:half]
    drawn = np.concatenate([np.array(same), two])
    D = (matrix[drawn[:, 0]] != matrix[drawn[:, 1]]).astype(float) * core_weights()
    target = np.concatenate([np.zeros(len(same)), np.ones(len(two))])

    def loss(parameters: NDArray) -> tuple[float, NDArray]:
        w, bias = parameters[:-1], parameters[-1]
        z = D @ w + bias
        residual = 1 / (1 + np.exp(-z)) - target
        value = np.mean(np.logaddexp(0, z) - target * z) + penalty * (w @ w)
        slope = np.append(D.T @ residual / len(D) + 2 * penalty * w, residual.mean())
        return float(value), slope

    start = np.append(0.1 * core_weights(), -1.0)
    bounds = [(0.0, None)] * len(LABELS) + [(None, None)]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x[:-1]
    found *= core_weights()
    return found / found.max() if found.max() > 0 else core_weights()


def _embedding(
    matrix: NDArray[np.int8], weights: NDArray, by_pairs: bool
) -> NDArray[np.float32]:
    """Vectors whose inner products are similarities: 1 - d, for weights that sum to one."""
    total = weights.sum()
    if not total > 0 or (weights < 0).any():
        raise ValueError("weights must be non-negative, and one of them positive")
    w = weights / total
    blocks = []
    paired = {p for pair in STEM_PAIRS for p in pair} if by_pairs else set()
    for position, label in enumerate(LABELS):
        if w[position] > 0 and label not in paired:
            one = np.eye(STATES, dtype=np.float32)[matrix[:, position]]
            blocks.append(one * np.sqrt(w[position]))
    if by_pairs:
        formed = pairs_form(matrix, STEM_PAIRS)
        for k, (a, b) in enumerate(STEM_PAIRS):
            unit = (w[INDEX[a]] + w[INDEX[b]]) / 2
            state = STATES * matrix[:, INDEX[a]].astype(int) + matrix[:, INDEX[b]]
            one = np.eye(STATES * STATES, dtype=np.float32)[state]
            half = np.where(formed[:, k], 0.5, 1.0)[:, None]
            blocks.append(one * np.sqrt(unit * half))
            blocks.append((formed[:, k, None] * np.sqrt(0.5 * unit)).astype(np.float32))
        scale = 1 / np.sqrt(sum(_unit_weights(w)))
        return np.concatenate(blocks, axis=1).astype(np.float32) * np.float32(scale)
    return np.concatenate(blocks, axis=1).astype(np.float32)


def _unit_weights(w: NDArray) -> list[float]:
    """Weights of the units that a pair-aware distance counts."""
    paired = {p for pair in STEM_PAIRS for p in pair}
    single = [float(w[INDEX[p]]) for p in LABELS if p not in paired]
    return single + [float(w[INDEX[a]] + w[INDEX[b]]) / 2 for a, b in STEM_PAIRS]


def distance_blocks(
    matrix: NDArray[np.int8], weights: NDArray | None = None, *, by_pairs: bool = False
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield all-against-all distances in blocks of rows.

    Parameters
    ----------
    matrix
        (n, 99) base codes.
    weights
        (99,) non-negative; positions 1 to 73 alike if None.
    by_pairs
        Count stem pairs once, and pair-preserving change half.

    Yields
    ------
    first : int
        Index of the block's first row.
    block : (rows, n) float32
        Distances, 0 to 1, exact to about 1e-6.
    """
    E = _embedding(matrix, core_weights() if weights is None else weights, by_pairs)
    for first in range(0, len(matrix), CHUNK):
        block = 1 - E[first : first + CHUNK] @ E.T
        np.clip(block, 0, 1, out=block)
        block[block < 2e-6] = 0
        yield first, block


def distances(
    matrix: NDArray[np.int8], weights: NDArray | None = None, *, by_pairs: bool = False
) -> NDArray[np.float32]:
    """All-against-all distances (n, n); see `distance_blocks`."""
    result = np.empty((len(matrix), len(matrix)), dtype=np.float32)
    for first, block in distance_blocks(matrix, weights, by_pairs=by_pairs):
        result[first : first + len(block)] = block
    return np.minimum(result, result.T)  # sums in another order differ in the last bit


def cluster_distances(D: NDArray[np.float32], threshold: float) -> NDArray[np.int64]:
    """Average-linkage clusters (n,), cut at a distance, numbered by first member from 1."""
    if len(D) < 2:
        return np.ones(len(D), dtype=np.int64)
    tree = linkage(squareform(D, checks=False), method="average")
    raw = fcluster(tree, t=threshold, criterion="distance")
    _, first, inverse = np.unique(raw, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))
    return rank[inverse] + 1


def nearest(D: NDArray[np.float32]) -> NDArray[np.int64]:
    """Index (n,) of each tRNA's nearest other one; itself where there is no other."""
    if len(D) < 2:
        return np.zeros(len(D), dtype=np.int64)
    others = D + 2 * np.eye(len(D), dtype=np.float32)
    return others.argmin(axis=1)


def map_distances(D: NDArray[np.float32]) -> NDArray[np.float64]:
    """Classical scaling (principal coordinates) of distances to the plane, (n, 2)."""
    n = len(D)
    if n < 3:
        return np.zeros((n, 2))
    squared = D.astype(np.float64) ** 2
    centred = (
        squared - squared.mean(axis=0) - squared.mean(axis=1)[:, None] + squared.mean()
    )
    from scipy.sparse.linalg import eigsh

    values, vectors = eigsh(-0.5 * centred, k=2, which="LA", v0=np.ones(n))
    order = np.argsort(-values)
    places = vectors[:, order] * np.sqrt(np.maximum(values[order], 0))
    flip = np.sign(places[np.abs(places).argmax(axis=0), [0, 1]])
    return places * np.where(flip == 0, 1, flip)
