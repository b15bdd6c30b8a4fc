"""Other splits: random, by given groups or families, and by order; without a guarantee."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from omicsai.errors import InputError
from omicsai.homology.graph import components

__all__ = ["family_groups", "ordered_parts", "value_groups"]


def value_groups(cells: Sequence[str]) -> NDArray[np.int64]:
    """Group of each item by the value of its cell; an empty cell is a group of its own."""
    known: dict[str, int] = {}
    group = np.empty(len(cells), dtype=np.int64)
    for i, cell in enumerate(cells):
        group[i] = known.setdefault(cell, len(known)) if cell else len(cells) + i
    return np.unique(group, return_inverse=True)[1].astype(np.int64)


def family_groups(
    architectures: Sequence[str], clans: dict[str, str] | None = None
) -> NDArray[np.int64]:
    """Group of each protein such that no family is in two groups.

    Parameters
    ----------
    architectures
        Families of each protein, joined by ``,``; empty where none was found.
    clans
        Clan by family; families of a clan count as one.

    Returns
    -------
    (n,) int64
        Connected components of proteins that share a family. A protein without a family is
        alone.
    """
    family: dict[str, int] = {}
    first, second = [], []
    n = len(architectures)
    for i, cell in enumerate(architectures):
        for name in filter(None, (part.strip() for part in cell.split(","))):
            name = (clans or {}).get(name) or name
            first.append(i)
            second.append(n + family.setdefault(name, len(family)))
    return components(
        n + len(family), np.array(first, dtype=np.int64), np.array(second, dtype=np.int64)
    )[:n]


def ordered_parts(cells: Sequence[str], fractions: NDArray) -> NDArray[np.int64]:
    """Part of each item in order of a number or ISO date, from train to test.

    Equal values stay together; an item without a value goes to train (part 0).

    Raises
    ------
    InputError
        If there are fewer different values than parts.
    """
    known = sorted({cell for cell in cells if cell}, key=_order_of)
    if len(known) < len(fractions):
        raise InputError(
            f"{len(known)} different values cannot be cut into {len(fractions)} parts in "
            "order: choose a column with more of them"
        )
    place = {value: i for i, value in enumerate(known)}
    count = np.bincount([place[cell] for cell in cells if cell], minlength=len(known))
    middle = (np.cumsum(count) - count / 2) / count.sum()
    ends = np.cumsum(fractions) / np.sum(fractions)
    part = np.minimum(np.searchsorted(ends, middle), len(fractions) - 1)
    for p in range(len(fractions)):  # an empty part takes the value at its edge
        part[min(p, len(part) - 1)] = min(part[min(p, len(part) - 1)], p)
        part[-1 - p] = max(part[-1 - p], len(fractions) - 1 - p)
    by_value = dict(zip(known, part, strict=True))
    return np.array([by_value.get(cell, 0) for cell in cells], dtype=np.int64)


def _order_of(cell: str) -> tuple[int, float, str]:
    try:
        return 0, float(cell), ""
    except ValueError:
        return 1, 0.0, cell
