"""Distances between proteins by their domains.

Three distances, all symmetric, zero between equals and between 0 and 1:

- `profile_distances`: the angle between profile-score vectors. A protein's vector has
  one number per family, the bit score of the whole sequence (0 where there is no hit).
  Scores are not negative, so angles reach 90 degrees at most; divided by that, the
  distance is a metric.
- `architecture_distances`, ``"alignment"``: domains in order, the architectures aligned
  so that matched domains are worth most (1 for the same family, 1/2 for families of one
  clan, gaps cost nothing), and the distance is one minus twice the worth over the number of
  domains of both: for whole matches, the Dice distance of a longest common subsequence.
- `architecture_distances`, ``"sets"``: domains without order or number. The mean of the
  Jaccard distances of the sets of families and of clans, a metric.

A protein without a domain is at distance 1 from those with one; two of them are equal for
architectures, while for vectors each is equal to itself alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from omicsai.domains.architectures import SEPARATOR

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = [
    "architecture_distances",
    "distance_blocks",
    "nearest_architectures",
    "nearest_neighbours",
    "profile_distances",
    "profile_vectors",
]

Kind = Literal["alignment", "sets"]
FAMILY_WORTH = 2  # of a match, in halves; one of the same clan is worth 1
EQUAL = 1e-12  # cosines this near to 1 are 1: rounding, which the angle would magnify
BLOCK = 1000


def profile_vectors(
    domains: pd.DataFrame, ids: Sequence[str]
) -> tuple[csr_array, list[str]]:
    """Vectors of profile scores, scaled to length one.

    Parameters
    ----------
    domains
        Table of `omicsai.domains.search_domains`; a search with ``cutoff="evalue"`` and a
        large E-value also tells remote likeness.
    ids
        n proteins.

    Returns
    -------
    vectors : (n, p) sparse float64
        One row per protein; zero where nothing was found.
    profiles : list of str
        Names of the p profiles found, in alphabetical order.
    """
    from scipy.sparse import csr_array

    place = {key: i for i, key in enumerate(ids)}
    best = domains[domains["id"].isin(place)].groupby(["id", "profile"], sort=True)
    scores = best["sequence_score"].max().clip(lower=0).reset_index()
    profiles = sorted(set(scores["profile"]))
    column = {name: j for j, name in enumerate(profiles)}
    values = scores["sequence_score"].to_numpy(dtype=float)
    rows = scores["id"].map(place).to_numpy(dtype=int)
    squares = np.bincount(rows, values**2, minlength=len(ids))
    values = values / np.sqrt(np.maximum(squares, np.finfo(float).tiny))[rows]
    columns = scores["profile"].map(column).to_numpy(dtype=int)
    shape = (len(ids), len(profiles))
    return csr_array((values, (rows, columns)), shape=shape), profiles


def profile_distances(
    vectors: csr_array, others: csr_array | None = None
) -> NDArray[np.float64]:
    """Angular distances between profile-score vectors.

    Parameters
    ----------
    vectors
        (n, p) of `profile_vectors`.
    others
        (m, p), or None for `vectors` themselves.

    Returns
    -------
    (n, m) float64
        Between 0 and 1. Against themselves the diagonal is 0, also for rows of zeros.
    """
    same = others is None
    product = vectors @ (vectors if others is None else others).T
    distances = _angles(product.toarray())
    if same:
        np.fill_diagonal(distances, 0.0)
    return distances


def _angles(cosines: NDArray[np.float64]) -> NDArray[np.float64]:
    cosines[cosines > 1 - EQUAL] = 1.0
    return np.arccos(np.clip(cosines, 0.0, 1.0)) / (np.pi / 2)


def distance_blocks(
    vectors: csr_array, *, size: int = BLOCK
) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """All-against-all angular distances, some rows at a time.

    Yields
    ------
    start : int
        First row of the block.
    distances : (b, n) float64
        Distances of rows ``start`` to ``start + b - 1`` to all.
    """
    n = vectors.shape[0]
    for start in range(0, n, size):
        block = profile_distances(vectors[start : start + size], vectors)
        rows = np.arange(len(block))
        block[rows, start + rows] = 0.0
        yield start, block


def nearest_neighbours(
    vectors: csr_array, k: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Nearest other rows of each row by angular distance; ties in order of row.

    Returns
    -------
    neighbours : (n, k) int64
        Nearest first.
    distances : (n, k) float64
        Theirs.
    """
    neighbours, distances = [], []
    for start, block in distance_blocks(vectors):
        rows = np.arange(len(block))
        block[rows, start + rows] = np.inf
        nearest = np.argsort(block, axis=1, kind="stable")[:, :k]
        neighbours.append(nearest)
        distances.append(np.take_along_axis(block, nearest, axis=1))
    return np.concatenate(neighbours), np.concatenate(distances)


def architecture_distances(
    architectures: Sequence[str],
    clans: Sequence[str],
    *,
    others: tuple[Sequence[str], Sequence[str]] | None = None,
    kind: Kind = "alignment",
) -> NDArray[np.float64]:
    """Distances between architectures.

    Call it with the different architectures only, and rows at a time where they are many.

    Parameters
    ----------
    architectures
        n architectures, domains joined by ``", "`` (column ``architecture``).
    clans
        Theirs in clans (column ``clans``).
    others
        The m architectures and clans to compare with; None for the same.
    kind
        ``"alignment"`` respects order and number, ``"sets"`` neither.

    Returns
    -------
    (n, m) float64
        Between 0 and 1.
    """
    theirs = others or (architectures, clans)
    codes: dict[str, int] = {}
    left = [_coded(text, codes) for text in (architectures, clans)]
    right = [_coded(text, codes) for text in theirs]
    if kind == "sets":
        return (_jaccard(left[0], right[0]) + _jaccard(left[1], right[1])) / 2
    return _alignment(left, right)


def nearest_architectures(counts: pd.DataFrame) -> pd.DataFrame:
    """Find the most similar other architecture of each, by alignment.

    Parameters
    ----------
    counts
        The `ARCHITECTURE_COUNTS` table.

    Returns
    -------
    pandas.DataFrame
        The same rows with ``nearest`` and ``nearest_distance``; of equally near ones the
        commoner, and none where no other shares a clan.
    """
    names, clans = list(counts["architecture"]), list(counts["clans"])
    nearest, distance = [], []
    for start in range(0, len(names), BLOCK):
        rows = slice(start, start + BLOCK)
        block = architecture_distances(names[rows], clans[rows], others=(names, clans))
        own = np.arange(len(block))
        block[own, start + own] = 1.0
        best = block.argmin(axis=1)
        near = block[own, best]
        nearest += [names[j] if d < 1 else "" for j, d in zip(best, near, strict=True)]
        distance += [d if d < 1 else np.nan for d in near]
    return counts.assign(nearest=nearest, nearest_distance=distance)


def _coded(texts: Sequence[str], codes: dict[str, int]) -> list[list[int]]:
    return [
        [codes.setdefault(word, len(codes)) for word in text.split(SEPARATOR)]
        if text
        else []
        for text in texts
    ]


def _jaccard(left: list[list[int]], right: list[list[int]]) -> NDArray[np.float64]:
    from scipy.sparse import csr_array

    width = 1 + max((code for row in [*left, *right] for code in row), default=0)

    def sets(rows: list[list[int]]) -> csr_array:
        owner = np.repeat(np.arange(len(rows)), [len(set(row)) for row in rows])
        columns = [code for row in rows for code in sorted(set(row))]
        shape = (len(rows), width)
        return csr_array((np.ones(len(columns)), (owner, columns)), shape=shape)

    a, b = sets(left), sets(right)
    shared = (a @ b.T).toarray()
    union = a.sum(axis=1)[:, None] + b.sum(axis=1)[None, :] - shared
    return 1 - np.divide(shared, union, out=np.ones_like(shared), where=union > 0)


def _alignment(
    left: list[list[list[int]]], right: list[list[list[int]]]
) -> NDArray[np.float64]:
    """Align each architecture on the left with all on the right at once."""
    lengths = np.array([len(row) for row in right[0]])
    longest = lengths.max(initial=1)
    families, clans = (
        np.array([row + [-1] * (longest - len(row)) for row in rows]).T.copy()
        for rows in right
    )
    distances = np.empty((len(left[0]), len(lengths)))
    for i, (names, groups) in enumerate(zip(*left, strict=True)):
        worth = np.zeros((longest + 1, len(lengths)), np.int16)
        for name, group in zip(names, groups, strict=True):
            match = np.where(families == name, np.int16(FAMILY_WORTH), clans == group)
            above, worth = worth, np.zeros_like(worth)
            for j in range(longest):
                worth[j + 1] = np.maximum(
                    above[j] + match[j], np.maximum(above[j + 1], worth[j])
                )
        both = len(names) + lengths
        distances[i] = 1 - np.divide(
            worth[-1], both, out=np.ones(len(lengths)), where=both > 0
        )
    return distances
