"""From pairs to parts and folds, again and again as more pairs become known."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from omicsai.homology.balance import group_counts, place_groups
from omicsai.homology.graph import capped_linkage, components
from omicsai.homology.pairs import Definition, Pairs
from omicsai.homology.partition import Partition, partition_graph

__all__ = ["OUT", "Plan"]

OUT = -2  # in `fixed`: a sequence that an earlier split removed


@dataclass
class Plan:
    """How sequences are divided; calling it with pairs divides them.

    Parts and the folds of part 0 are told apart by one number a sequence, its cell: -1
    removed, 1 to p - 1 the other parts, from p on the folds of part 0.

    Attributes
    ----------
    definition
        What is alike.
    strata
        (n, k) membership in strata.
    shares
        (p,) target shares.
    fixed
        (n,) part that a sequence stays in, -1 free, `OUT` stays removed.
    must_stay
        (n,) sequences that must be in some part.
    original
        (n,) the first of the sequences equal to each. Copies share its relatives and its
        part; it is a fixed one if any of them is, and one that must stay if any of them is.
    kept_fold
        (n,) fold from 0 that a sequence of part 0 stays in, -1 for free.
    folds
        Folds of part 0.
    tolerance, classes, seed
        As in `omicsai.homology.partition_graph`.
    last
        The last partition.
    """

    definition: Definition
    strata: NDArray
    shares: NDArray
    fixed: NDArray
    must_stay: NDArray
    original: NDArray
    kept_fold: NDArray
    folds: int
    tolerance: float
    classes: NDArray | None
    seed: int
    last: Partition | None = field(default=None, init=False)

    def __call__(
        self, pairs: Pairs, cell: NDArray | None = None, settled: bool = False
    ) -> NDArray[np.int64]:
        """Divide the sequences, near an earlier division if there is one: (n,) cells.

        If that one is `settled`, nothing moves for balance alone.
        """
        first, second, strength = self.edges(pairs)
        inside = np.flatnonzero(self.fixed != OUT)
        place = np.cumsum(self.fixed != OUT) - 1
        a, b = self.fixed[first], self.fixed[second]
        # where both stay there is nothing to decide
        used = (a != OUT) & (b != OUT) & ~((a >= 0) & (b >= 0))
        result = partition_graph(
            len(inside),
            place[first[used]],
            place[second[used]],
            strength[used],
            self.strata[inside],
            self.shares,
            tolerance=self.tolerance,
            fixed=self.fixed[inside],
            unremovable=self.must_stay[inside],
            start=None if cell is None else self.parts(cell)[inside],
            settled=settled,
            classes=None if self.classes is None else self.classes[inside],
            seed=self.seed,
        )
        part = np.full(len(self.fixed), -1, dtype=np.int64)
        part[inside] = result.part
        part = np.where(self.fixed == OUT, -1, part[self.original])
        self.last = result
        return self.cells(part, first, second, strength, cell)

    def edges(self, pairs: Pairs) -> tuple[NDArray, NDArray, NDArray]:
        """Return what binds sequences: ends and strengths (m,) of alike pairs of originals.

        A copy is bound to its original alone.
        """
        alike = pairs.select(self.definition.holds(pairs))
        a, b = self.original[alike.first], self.original[alike.second]
        different = a != b
        copies = np.flatnonzero(self.original != np.arange(len(self.original)))
        return (
            np.concatenate([a[different], self.original[copies]]),
            np.concatenate([b[different], copies]),
            np.concatenate(
                [(alike.identical / alike.longer)[different], np.ones(len(copies))]
            ),
        )

    def cells(
        self,
        part: NDArray,
        first: NDArray,
        second: NDArray,
        strength: NDArray,
        earlier: NDArray | None = None,
    ) -> NDArray[np.int64]:
        """Cells of parts, folds of part 0 by the edges within it: (n,)."""
        p = len(self.shares)
        same = (part[first] == 0) & (part[second] == 0)
        group = components(len(part), first[same], second[same])
        # a family larger than a fold is cut at its weakest links, for folds alone
        cap = int(np.ceil((part == 0).sum() / self.folds))
        if np.bincount(group).max(initial=0) > cap:
            group = capped_linkage(
                len(part), first[same], second[same], strength[same], cap
            )
        training = np.flatnonzero(part == 0)
        cell = part.copy()
        _, inside = np.unique(group[training], return_inverse=True)
        counts = group_counts(inside, self.strata[training])
        folds = max(min(self.folds, len(counts)), 1)
        start = None
        if earlier is not None:
            start = np.full(len(counts), -1, dtype=np.int64)
            was = earlier[training] - p
            start[inside[was >= 0]] = was[was >= 0]
            folds = max(folds, int(start.max(initial=0)) + 1)
        chosen = place_groups(
            counts, np.ones(folds), seed=self.seed,
            fixed=np.full(len(counts), -1) if start is None else start,
        )  # fmt: skip
        # a copy goes with its original, whatever else its family keeps
        kept = np.where(self.kept_fold < 0, self.kept_fold[self.original], self.kept_fold)
        kept = kept[training]
        cell[training] = p + np.where(kept >= 0, kept, chosen[inside])
        return cell

    def earlier_cells(self) -> NDArray[np.int64]:
        """Cells of the fixed sequences alone: (n,)."""
        p = len(self.shares)
        return np.where(self.kept_fold >= 0, p + self.kept_fold, np.maximum(self.fixed, -1))

    def parts(self, cell: NDArray) -> NDArray[np.int64]:
        """Part of each cell: (n,)."""
        return np.where(cell >= len(self.shares), 0, cell)

    def fold(self, cell: NDArray) -> NDArray[np.int64]:
        """Fold within part 0, from 1; 0 elsewhere: (n,)."""
        return np.maximum(cell - len(self.shares) + 1, 0)
