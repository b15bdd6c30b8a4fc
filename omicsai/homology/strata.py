"""Strata: what should have the same share in every part."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from omicsai.sequences import split_labels

__all__ = ["category_shares", "classes_of", "label_strata", "quantile_strata", "strata_of"]

QUANTILES = 5
MOST_CATEGORIES = 256  # of a column: rarer ones are not balanced
FEWEST_VALUES = 12  # distinct numbers from which a column is continuous, not a category


def strata_of(columns: Sequence[Sequence[str]]) -> NDArray[np.bool_]:
    """Membership in the strata of several columns, side by side: (n, k).

    A column whose known cells are all numbers, with at least twelve different ones, is cut
    at its quintiles; any other is a column of labels, several joined by ``;``, of which
    the 256 most common count.
    """
    blocks = []
    for cells in columns:
        numbers = _numbers(cells)
        if numbers is not None:
            blocks.append(quantile_strata(numbers))
            continue
        members = label_strata(cells)
        common = np.argsort(-members.sum(axis=0), kind="stable")[:MOST_CATEGORIES]
        blocks.append(members[:, np.sort(common)])
    return np.hstack(blocks) if blocks else np.zeros((0, 0), dtype=bool)


def classes_of(labels: Sequence[str]) -> NDArray[np.bool_]:
    """Membership (n, c) of each item in each class; none if the labels are numbers."""
    if _numbers(labels) is not None:
        return np.zeros((len(labels), 0), dtype=bool)
    members = label_strata(labels)
    unknown = any(not split_labels(cell) for cell in labels)  # the first stratum
    return members[:, int(unknown) :]


def label_strata(labels: Sequence[str]) -> NDArray[np.bool_]:
    """Membership (n, k) of each item in each label, by name; unknown is a stratum too."""
    sets = [split_labels(cell) or [""] for cell in labels]
    names = sorted({label for labels in sets for label in labels})
    column = {name: i for i, name in enumerate(names)}
    membership = np.zeros((len(sets), len(names)), dtype=bool)
    for row, cell in enumerate(sets):
        membership[row, [column[label] for label in cell]] = True
    return membership


def quantile_strata(values: NDArray, quantiles: int = QUANTILES) -> NDArray[np.bool_]:
    """Membership (n, q) in the quantiles of a number; missing is a stratum of its own."""
    known = ~np.isnan(values)
    edges = np.unique(np.quantile(values[known], np.linspace(0, 1, quantiles + 1)[1:-1]))
    code = np.where(known, np.searchsorted(edges, values, side="right"), len(edges) + 1)
    membership = np.eye(len(edges) + 2, dtype=bool)[code]
    return membership[:, membership.any(axis=0)]


def category_shares(
    strata: NDArray, part: NDArray[np.int64], parts: int
) -> tuple[NDArray[np.float64], float]:
    """Share of each stratum within each part, and how far the worst is off.

    Parameters
    ----------
    strata
        (n, k) membership.
    part
        (n,) part of each item, -1 for removed.
    parts
        Number of parts p.

    Returns
    -------
    shares : (p, k)
        Members of a stratum over items of a part.
    largest_deviation : float
        Largest absolute difference to the share among all n items, removed ones included.
    """
    counts = np.zeros((parts, strata.shape[1]))
    np.add.at(counts, part[part >= 0], strata[part >= 0].astype(float))
    sizes = np.bincount(part[part >= 0], minlength=parts)
    shares = counts / np.maximum(sizes, 1)[:, None]
    off = np.abs(shares - strata.mean(axis=0))[sizes > 0]
    return shares, float(off.max(initial=0.0))


def _numbers(cells: Sequence[str]) -> NDArray[np.float64] | None:
    """Read the cells as numbers, missing as nan; None if it is no continuous column."""
    try:
        values = np.array([float(cell) if cell else np.nan for cell in cells])
    except ValueError:
        return None
    known = values[np.isfinite(values)]
    return values if len(np.unique(known)) >= FEWEST_VALUES else None
