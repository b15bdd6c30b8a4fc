"""Placing whole groups into parts so that sizes and strata keep their proportions."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from omicsai.errors import InputError

__all__ = ["assign_groups", "group_counts", "place_groups"]

MAX_SWEEPS = 10
SWAP_TRIES = 20_000


def assign_groups(
    group: ArrayLike,
    strata: ArrayLike,
    fractions: ArrayLike,
    *,
    seed: int = 1,
    pin: bool = True,
) -> NDArray[np.int64]:
    """Assign whole groups of items to parts, stratified.

    Parameters
    ----------
    group
        (n,) group index of each item, for example its cluster.
    strata
        (n, k) membership of each item in k strata, for example one column per label.
    fractions
        (p,) target share of each part; part 0 is the training part.
    seed
        Breaks ties between groups of equal size.
    pin
        Keep a stratum that lives in one group only in part 0, because a class that was
        never trained on cannot be tested.

    Returns
    -------
    (n,) int64
        Part of each item, 0 to p - 1.

    Raises
    ------
    InputError
        If there are fewer groups than parts.
    """
    _, group_of = np.unique(np.asarray(group), return_inverse=True)
    membership = np.asarray(strata)
    shares = np.asarray(fractions, dtype=np.float64)
    counts = group_counts(group_of, membership)
    if len(counts) < len(shares):
        raise InputError(
            f"{len(counts)} cluster{'s' if len(counts) > 1 else ''} cannot fill "
            f"{len(shares)} parts: raise the identity threshold, ask for fewer parts, or "
            "add more diverse sequences"
        )
    fixed = np.full(len(counts), -1)
    if pin:
        fixed[lonely(group_of, membership, len(shares))] = 0
    return place_groups(counts, shares, fixed=fixed, seed=seed)[group_of]


def group_counts(group: NDArray, strata: NDArray) -> NDArray[np.float64]:
    """Items of each stratum (last column: all items) in each group: (groups, k + 1)."""
    # the number of items counts as a stratum of its own, so that sizes stay on target
    columns = np.column_stack([strata, np.ones(len(strata))]).astype(np.float64)
    counts = np.zeros((int(group.max(initial=-1)) + 1, columns.shape[1]))
    np.add.at(counts, group, columns)
    return counts


def lonely(group: NDArray, classes: NDArray, parts: int) -> NDArray[np.bool_]:
    """Tell groups that hold all of some class; none if too few others would be left.

    Parameters
    ----------
    group
        (n,) group of each item, from 0.
    classes
        (n, c) membership of each item in each class.
    parts
        Number of parts that the groups are to fill.

    Returns
    -------
    (groups,) bool
    """
    item, of = np.nonzero(classes)
    homes = np.unique(np.stack([of, group[item]]), axis=1)
    alone = np.zeros(int(group.max(initial=-1)) + 1, dtype=bool)
    alone[homes[1, np.bincount(homes[0], minlength=classes.shape[1])[homes[0]] == 1]] = True
    if len(alone) - alone.sum() < parts - 1:
        alone[:] = False
    return alone


def place_groups(
    counts: NDArray,
    fractions: NDArray,
    *,
    fixed: NDArray,
    start: NDArray | None = None,
    room: NDArray | None = None,
    swap: bool = True,
    seed: int = 1,
) -> NDArray[np.int64]:
    """Place groups where they least disturb the proportions.

    Groups are placed largest first where they least increase the chi-square distance of
    the counts from their targets; then single groups move, and pairs swap, while that
    helps.

    Parameters
    ----------
    counts
        (g, k + 1) from `group_counts`.
    fractions
        (p,) target shares.
    fixed
        (g,) part that a group must go to, -1 if it is free.
    start
        (g,) part that a group begins in, -1 if it is to be placed.
    room
        (p,) largest size of each part; exceeded only where nothing else is left.
    swap
        Also swap pairs of groups; False keeps more of what has a start.
    seed
        Breaks ties between groups of equal size.

    Returns
    -------
    (g,) int64
        Part of each group.
    """
    rng = np.random.default_rng(seed)
    shares = np.asarray(fractions, dtype=np.float64) / np.sum(fractions)
    n_parts = len(shares)
    target = shares[:, None] * counts.sum(axis=0)
    weight = 1.0 / np.maximum(counts.sum(axis=0), 1.0)
    room = np.full(n_parts, np.inf) if room is None else room
    part = np.where(fixed >= 0, fixed, -1 if start is None else start).astype(np.int64)
    filled = np.zeros_like(target)
    np.add.at(filled, part[part >= 0], counts[part >= 0])
    order = rng.permutation(len(counts))
    order = order[np.argsort(-counts[order, -1], kind="stable")]
    for g in order[part[order] < 0]:
        cost = _added_cost(filled, target, counts[g], weight)
        full = filled[:, -1] + counts[g, -1] > room
        part[g] = np.argmin(np.where(full & ~full.all(), np.inf, cost))
        filled[part[g]] += counts[g]
    free = order[fixed[order] < 0]
    for _ in range(MAX_SWEEPS):
        if not _move_singles(part, filled, counts, target, weight, room, free):
            break
    if swap:
        _swap_pairs(part, filled, counts, target, weight, room, free, rng)
    _fill_empty_parts(part, filled, counts, free)
    return part


def _move_singles(
    part: NDArray,
    filled: NDArray,
    counts: NDArray,
    target: NDArray,
    weight: NDArray,
    room: NDArray,
    free: NDArray,
) -> bool:
    moved = False
    for g in free:
        home = part[g]
        filled[home] -= counts[g]
        cost = _added_cost(filled, target, counts[g], weight)
        full = filled[:, -1] + counts[g, -1] > room
        full[home] = False
        cost = np.where(full, np.inf, cost)
        best = int(np.argmin(cost))
        if cost[best] < cost[home] - 1e-12:
            part[g], moved = best, True
        filled[part[g]] += counts[g]
    return moved


def _swap_pairs(
    part: NDArray,
    filled: NDArray,
    counts: NDArray,
    target: NDArray,
    weight: NDArray,
    room: NDArray,
    free: NDArray,
    rng: np.random.Generator,
) -> None:
    """Swap random pairs of groups between parts while that lowers the distance."""
    if len(free) < 2:
        return
    tries = min(SWAP_TRIES, 50 * len(free))
    for g, h in rng.choice(free, (tries, 2)):
        p, q = part[g], part[h]
        if p == q:
            continue
        change = counts[h] - counts[g]
        gap_p, gap_q = filled[p] - target[p], filled[q] - target[q]
        gain = (((2 * gap_p + change) - (2 * gap_q - change)) * change * weight).sum()
        fits = filled[p, -1] + change[-1] <= max(room[p], filled[p, -1]) and filled[
            q, -1
        ] - change[-1] <= max(room[q], filled[q, -1])
        if gain < -1e-12 and fits:
            filled[p] += change
            filled[q] -= change
            part[g], part[h] = q, p


def _added_cost(
    filled: NDArray, target: NDArray, added: NDArray, weight: NDArray
) -> NDArray[np.float64]:
    """Increase of the weighted squared distance to target, for each part: (p,)."""
    gap = filled - target
    return ((2 * gap + added) * added * weight).sum(axis=1)


def _fill_empty_parts(
    part: NDArray, filled: NDArray, counts: NDArray, free: NDArray
) -> None:
    """Give each empty part the smallest free group of the fullest part."""
    for empty in np.flatnonzero(filled[:, -1] == 0):
        for donor in np.argsort(-filled[:, -1], kind="stable"):
            candidates = [g for g in free if part[g] == donor]
            if len(candidates) > 1 or (candidates and (part == donor).sum() > 1):
                chosen = min(candidates, key=lambda g: counts[g, -1])
                filled[donor] -= counts[chosen]
                filled[empty] += counts[chosen]
                part[chosen] = empty
                break
