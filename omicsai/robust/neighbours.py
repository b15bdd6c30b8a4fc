"""Nearest training examples in embedding space."""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["known_rows", "nearest_examples", "neighbour_distance"]

logger = logging.getLogger(__name__)

NOVELTY_NEIGHBOURS = 5
SAME = 0.999  # cosine from which a vector of the same id is the same, embedded again
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


def known_rows(
    features: NDArray, ids: ArrayLike, reference: NDArray, reference_ids: ArrayLike
) -> NDArray[np.int64]:
    """Row (n,) of the reference that each example is itself, -1 for none.

    It is the same sequence if the vectors are equal, or if the ids are and the vectors
    nearly (embedded again in another precision). An equal id alone does not make it the
    same: batches number their sequences alike.

    Parameters
    ----------
    features, reference
        (n, d) and (m, d) standardised float32 features.
    ids, reference_ids
        (n,) and (m,) ids.
    """
    names = {key: row for row, key in enumerate(np.asarray(reference_ids))}
    vectors = {row.tobytes(): i for i, row in reversed(list(enumerate(reference)))}
    named = np.array([names.get(key, -1) for key in np.asarray(ids)], dtype=np.int64)
    at = np.flatnonzero(named >= 0)
    similar = (unit_rows(features[at]) * unit_rows(reference[named[at]])).sum(axis=1)
    equal = (features[at] == reference[named[at]]).all(axis=1)
    strangers = at[(similar < SAME) & ~equal]
    if len(strangers):
        logger.warning(
            "%d sequences have the id of a training sequence and another embedding, and "
            "are taken for others", len(strangers),
        )  # fmt: skip
    named[strangers] = -1
    return np.array(
        [
            row if row >= 0 else vectors.get(vector.tobytes(), -1)
            for row, vector in zip(named, features, strict=True)
        ],
        dtype=np.int64,
    )


def neighbour_distance(
    features: NDArray,
    reference: NDArray,
    *,
    count: int = NOVELTY_NEIGHBOURS,
    skip: NDArray[np.int64] | None = None,
) -> NDArray[np.float64]:
    """Mean cosine distance (n,) to the nearest examples; see `nearest_examples`."""
    _, similarity = nearest_examples(features, reference, count=count, skip=skip)
    return 1 - similarity.mean(axis=1)
