"""Nearest training examples in embedding space."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["nearest_examples", "neighbour_distance"]

BLOCK = 1024  # rows compared at a time, so that memory stays bounded


def unit_rows(features: NDArray) -> NDArray[np.float64]:
    """Rows scaled to length one; a row of zeros stays as it is."""
    rows = np.asarray(features, dtype=np.float64)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(length > 0, length, 1)


def nearest_examples(
    features: NDArray,
    reference: NDArray,
    *,
    count: int = 1,
    skip: NDArray[np.int64] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Nearest reference examples by cosine similarity.

    Parameters
    ----------
    features
        (n, d) standardised features.
    reference
        (m, d) standardised training features.
    count
        Neighbours per example; fewer if the reference is smaller.
    skip
        (n,) reference index that is the example itself and must not be its own
        neighbour; -1 for none.

    Returns
    -------
    index : (n, count) int64
        Reference indices, most similar first.
    similarity : (n, count) float64
        Cosine similarity, -1 to 1.
    """
    rows, known = unit_rows(features), unit_rows(reference)
    count = min(count, len(known) - (skip is not None and len(known) > 1))
    index = np.empty((len(rows), count), dtype=np.int64)
    similarity = np.empty((len(rows), count))
    for start in range(0, len(rows), BLOCK):
        block = slice(start, start + BLOCK)
        similar = rows[block] @ known.T
        if skip is not None:
            at = np.flatnonzero(skip[block] >= 0)
            similar[at, skip[block][at]] = -np.inf
        best = np.argpartition(-similar, count - 1, axis=1)[:, :count]
        best.sort(axis=1)  # equal similarities in reference order
        found = np.take_along_axis(similar, best, axis=1)
        order = np.argsort(-found, axis=1, kind="stable")
        index[block] = np.take_along_axis(best, order, axis=1)
        similarity[block] = np.take_along_axis(found, order, axis=1)
    return index, similarity


def neighbour_distance(
    features: NDArray,
    reference: NDArray,
    *,
    count: int = 5,
    skip: NDArray[np.int64] | None = None,
) -> NDArray[np.float64]:
    """Mean cosine distance (n,) to the nearest examples; see `nearest_examples`."""
    _, similarity = nearest_examples(features, reference, count=count, skip=skip)
    return 1 - similarity.mean(axis=1)
