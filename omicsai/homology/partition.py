"""Assigning whole clusters to parts so that sizes and labels keep their proportions."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from omicsai.errors import InputError

__all__ = ["assign_clusters"]

MAX_SWEEPS = 10


def assign_clusters(
    cluster: ArrayLike,
    strata: ArrayLike,
    fractions: ArrayLike,
    *,
    seed: int = 1,
    pin: bool = True,
) -> NDArray[np.int64]:
    """Assign whole clusters to parts, stratified.

    Clusters are placed largest first where they least increase the chi-square distance of
    the stratum counts from their targets; then single clusters move while that helps.

    Parameters
    ----------
    cluster
        (n,) cluster index of each item.
    strata
        (n, k) membership of each item in k strata, for example one column per label.
    fractions
        (p,) target share of each part; part 0 is the training part.
    seed
        Breaks ties between clusters of equal size.
    pin
        Keep a stratum that lives in one cluster only in part 0, because a class that was
        never trained on cannot be tested.

    Returns
    -------
    (n,) int64
        Part of each item, 0 to p - 1.

    Raises
    ------
    InputError
        If there are fewer clusters than parts.
    """
    _, cluster_of = np.unique(np.asarray(cluster), return_inverse=True)
    membership = np.asarray(strata, dtype=np.float64)
    shares = np.asarray(fractions, dtype=np.float64)
    shares = shares / shares.sum()
    n_clusters = int(cluster_of.max()) + 1
    if n_clusters < len(shares):
        raise InputError(
            f"{n_clusters} cluster{'s' if n_clusters > 1 else ''} cannot fill "
            f"{len(shares)} parts: raise the identity threshold, ask for fewer parts, or "
            "add more diverse sequences"
        )
    # the number of items counts as a stratum of its own, so that sizes stay on target
    columns = np.column_stack([membership, np.ones(len(membership))])
    counts = np.zeros((n_clusters, columns.shape[1]))
    np.add.at(counts, cluster_of, columns)
    target = shares[:, None] * counts.sum(axis=0)
    weight = 1.0 / np.maximum(counts.sum(axis=0), 1.0)

    present: NDArray[np.bool_] = counts[:, :-1] > 0
    pinned = np.asarray(present[:, present.sum(axis=0) == 1].any(axis=1))
    if not pin or n_clusters - pinned.sum() < len(shares) - 1:
        pinned[:] = False
    order = np.random.default_rng(seed).permutation(n_clusters)
    order = order[np.argsort(-counts[order, -1], kind="stable")]
    part = np.zeros(n_clusters, dtype=np.int64)
    filled = np.zeros_like(target)
    filled[0] = counts[pinned].sum(axis=0)
    free = order[~pinned[order]]
    for c in free:
        part[c] = np.argmin(_added_cost(filled, target, counts[c], weight))
        filled[part[c]] += counts[c]
    for _ in range(MAX_SWEEPS):
        moved = False
        for c in free:
            filled[part[c]] -= counts[c]
            cost = _added_cost(filled, target, counts[c], weight)
            best = int(np.argmin(cost))
            if cost[best] < cost[part[c]] - 1e-12:
                part[c], moved = best, True
            filled[part[c]] += counts[c]
        if not moved:
            break
    _fill_empty_parts(part, filled, counts, free)
    return part[cluster_of]


def _added_cost(
    filled: NDArray, target: NDArray, added: NDArray, weight: NDArray
) -> NDArray[np.float64]:
    """Increase of the weighted squared distance to target, for each part: (p,)."""
    gap = filled - target
    return ((2 * gap + added) * added * weight).sum(axis=1)


def _fill_empty_parts(
    part: NDArray, filled: NDArray, counts: NDArray, free: NDArray
) -> None:
    """Give each empty part the smallest free cluster of the fullest part."""
    for empty in np.flatnonzero(filled[:, -1] == 0):
        for donor in np.argsort(-filled[:, -1], kind="stable"):
            candidates = [c for c in free if part[c] == donor]
            if len(candidates) > 1 or (candidates and (part == donor).sum() > 1):
                chosen = min(candidates, key=lambda c: counts[c, -1])
                filled[donor] -= counts[chosen]
                filled[empty] += counts[chosen]
                part[chosen] = empty
                break
