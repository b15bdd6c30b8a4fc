"""Planting wrong labels, for experiments whose truth has to be known.

Every function takes class indices and returns a copy in which some are wrong. How many is
exact: the integer part of rate × examples (for `class_dependent_noise` of each class), so
that repeated experiments differ in which labels are wrong, not in how many.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from omicsai.errors import InputError
from omicsai.robust.neighbours import unit_rows
from omicsai.tables import Column, Table

__all__ = [
    "NOISY",
    "class_dependent_noise",
    "cluster_dependent_noise",
    "neighbour_dependent_noise",
    "symmetric_noise",
]

NOISY = Table(
    "noisy",
    (
        Column("id", "text", "sequence id"),
        Column("label", "text", "label after planting, to be given to the experiment"),
        Column("true_label", "text", "label before planting"),
        Column("wrong", "boolean", "whether the two differ"),
    ),
)
BLOCK = 1024  # rows compared at a time, so that memory stays bounded


def symmetric_noise(
    labels: NDArray[np.int64], classes: int, rate: float, *, seed: int = 1
) -> NDArray[np.int64]:
    """Move labels to any other class, each with the same probability.

    Parameters
    ----------
    labels
        (n,) class indices.
    classes
        Number of classes C.
    rate
        Share of wrong labels, 0 to 1. A label never stays what it was, so beyond
        1 - 1/C the labels say more about what an example is not.
    seed
        Seed of every choice.

    Returns
    -------
    (n,) int64

    Raises
    ------
    InputError
        If there are fewer than two classes, an index is out of range or the rate is.
    """
    rng = _checked(labels, classes, rate, seed)
    moved = rng.permutation(len(labels))[: _share(rate, len(labels))]
    noisy = labels.copy()
    noisy[moved] = (labels[moved] + rng.integers(1, classes, len(moved))) % classes
    return noisy


def class_dependent_noise(
    labels: NDArray[np.int64], classes: int, rate: float, *, seed: int = 1
) -> NDArray[np.int64]:
    """Move labels of each class to one other class, as confusable names do.

    The classes form a random cycle; each is mistaken for the next.

    Parameters
    ----------
    labels, classes, rate, seed
        As in `symmetric_noise`; `rate` holds for each class.

    Returns
    -------
    (n,) int64

    Raises
    ------
    InputError
        As `symmetric_noise`.
    """
    rng = _checked(labels, classes, rate, seed)
    cycle = rng.permutation(classes)
    mistaken_for = np.empty(classes, dtype=np.int64)
    mistaken_for[cycle] = np.roll(cycle, -1)
    noisy = labels.copy()
    for k in range(classes):
        members = rng.permutation(np.flatnonzero(labels == k))
        noisy[members[: _share(rate, len(members))]] = mistaken_for[k]
    return noisy


def neighbour_dependent_noise(
    labels: NDArray[np.int64],
    classes: int,
    rate: float,
    features: NDArray,
    *,
    seed: int = 1,
) -> NDArray[np.int64]:
    """Move labels of hard examples to the class of their nearest foreign neighbour.

    An example is hard if its nearest neighbour of another class is nearly as close as, or
    closer than, the nearest one of its own class. Examples are drawn without replacement,
    with probability falling linearly from the hardest to the easiest.

    Parameters
    ----------
    labels, classes, rate, seed
        As in `symmetric_noise`.
    features
        (n, d) features; similarity is the cosine.

    Returns
    -------
    (n,) int64

    Raises
    ------
    InputError
        As `symmetric_noise`, and if only one class has examples.
    """
    rng = _checked(labels, classes, rate, seed)
    if len(np.unique(labels)) < 2:
        raise InputError("noise by neighbours needs examples of two classes")
    own, foreign, foreign_class = _nearest_by_class(labels, features)
    order = np.argsort(own - foreign, kind="stable")  # hardest first
    weight = np.empty(len(labels))
    weight[order] = np.arange(len(labels), 0, -1)
    moved = rng.choice(
        len(labels), _share(rate, len(labels)), replace=False, p=weight / weight.sum()
    )
    noisy = labels.copy()
    noisy[moved] = foreign_class[moved]
    return noisy


def cluster_dependent_noise(
    labels: NDArray[np.int64],
    classes: int,
    rate: float,
    cluster: NDArray,
    *,
    seed: int = 1,
) -> NDArray[np.int64]:
    """Mislabel whole clusters, as annotation copied from one homologue to the next does.

    Clusters are taken in random order; all members of one get the same wrong class, drawn
    among those that none of them has (a member of the last cluster may be spared, to keep
    the number exact).

    Parameters
    ----------
    labels, classes, rate, seed
        As in `symmetric_noise`.
    cluster
        (n,) cluster ids.

    Returns
    -------
    (n,) int64

    Raises
    ------
    InputError
        As `symmetric_noise`, and if clusters that hold every class leave too few
        examples to mislabel.
    """
    rng = _checked(labels, classes, rate, seed)
    left = _share(rate, len(labels))
    noisy = labels.copy()
    _, index = np.unique(np.asarray(cluster).astype(str), return_inverse=True)
    by_cluster = np.argsort(index, kind="stable")
    groups = np.split(by_cluster, np.cumsum(np.bincount(index))[:-1])
    for number in rng.permutation(len(groups)):
        members = groups[number]
        absent = np.setdiff1d(np.arange(classes), labels[members])
        if left and len(absent):
            chosen = rng.permutation(members)[:left]
            noisy[chosen] = rng.choice(absent)
            left -= len(chosen)
    if left:
        raise InputError(
            f"{left} labels too few can be made wrong by whole clusters: most clusters "
            "hold every class; choose another kind of noise"
        )
    return noisy


def _share(rate: float, count: int) -> int:
    """Integer part of rate × count, the rate as it is written: 0.29 of 100 is 29."""
    return math.floor(Fraction(str(float(rate))) * count)


def _checked(
    labels: NDArray[np.int64], classes: int, rate: float, seed: int
) -> np.random.Generator:
    if classes < 2:
        raise InputError(f"wrong labels need two classes, there is {classes}")
    if not 0 <= rate <= 1:
        raise InputError(f"the rate of wrong labels is from 0 to 1, not {rate:g}")
    if len(labels) and not 0 <= labels.min() <= labels.max() < classes:
        raise InputError(f"class indices are from 0 to {classes - 1}")
    return np.random.default_rng(seed)


def _nearest_by_class(
    labels: NDArray[np.int64], features: NDArray
) -> tuple[NDArray, NDArray, NDArray[np.int64]]:
    """Similarity to the nearest of the own and of another class, and which that is."""
    rows = unit_rows(features)
    n = len(rows)
    own, foreign = np.empty(n), np.empty(n)
    foreign_class = np.empty(n, dtype=np.int64)
    for start in range(0, n, BLOCK):
        block = np.arange(start, min(start + BLOCK, n))
        similar = rows[block] @ rows.T
        same = labels[block, None] == labels
        among_others = np.where(same, -np.inf, similar)
        nearest = among_others.argmax(axis=1)
        foreign[block] = among_others[np.arange(len(block)), nearest]
        foreign_class[block] = labels[nearest]
        same[np.arange(len(block)), block] = False
        # the only example of its class is as hard as can be
        own[block] = np.where(same, similar, -1.0).max(axis=1)
    return own, foreign, foreign_class
