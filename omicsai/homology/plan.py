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
    folds
        Folds of part 0.
    tolerance, pin_lonely, seed
        As in `omicsai.homology.partition_graph`.
    last
        The last partition.
    """

    definition: Definition
    strata: NDArray
    shares: NDArray
    fixed: NDArray
    must_stay: NDArray
    folds: int
    tolerance: float
    pin_lonely: bool
    seed: int
    last: Partition | None = field(default=None, init=False)

    def __call__(
        self, pairs: Pairs, cell: NDArray | None = None, settled: bool = False
    ) -> NDArray[np.int64]:
        """Divide the sequences, near an earlier division if there is one: (n,) cells.

        If that one is `settled`, nothing moves for balance alone.
        """
        pairs = pairs.select(self.definition.holds(pairs))
        inside = np.flatnonzero(self.fixed != OUT)
        place = np.cumsum(self.fixed != OUT) - 1
        a, b = self.fixed[pairs.first], self.fixed[pairs.second]
        # where both stay there is nothing to decide
        used = pairs.select((a != OUT) & (b != OUT) & ~((a >= 0) & (b >= 0)))
        result = partition_graph(
            len(inside),
            place[used.first],
            place[used.second],
            used.identical / used.longer,
            self.strata[inside],
            self.shares,
            tolerance=self.tolerance,
            fixed=self.fixed[inside],
            unremovable=self.must_stay[inside],
            start=None if cell is None else self.parts(cell)[inside],
            settled=settled,
            pin_lonely=self.pin_lonely,
            seed=self.seed,
        )
        part = np.full(len(self.fixed), -1, dtype=np.int64)
        part[inside] = result.part
        self.last = result
        same = pairs.select((part[pairs.first] == 0) & (part[pairs.second] == 0))
        group = components(len(part), same.first, same.second)
        # a family larger than a fold is cut at its weakest links, for folds alone
        cap = int(np.ceil((part == 0).sum() / self.folds))
        if np.bincount(group).max(initial=0) > cap:
            group = capped_linkage(
                len(part), same.first, same.second, same.identical / same.longer, cap
            )
        return self.cells(part, group, cell)

    def cells(
        self, part: NDArray, group: NDArray, earlier: NDArray | None
    ) -> NDArray[np.int64]:
        """Cells of parts, whole groups of part 0 to folds: (n,)."""
        p = len(self.shares)
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
        cell[training] = p + chosen[inside]
        return cell

    def earlier_cells(self, fold: NDArray[np.int64]) -> NDArray[np.int64]:
        """Cells of the fixed sequences alone, with the folds (from 1) they had: (n,)."""
        p = len(self.shares)
        return np.where(self.fixed == 0, p + fold - 1, np.maximum(self.fixed, -1))

    def parts(self, cell: NDArray) -> NDArray[np.int64]:
        """Part of each cell: (n,)."""
        return np.where(cell >= len(self.shares), 0, cell)

    def fold(self, cell: NDArray) -> NDArray[np.int64]:
        """Fold within part 0, from 1; 0 elsewhere: (n,)."""
        return np.maximum(cell - len(self.shares) + 1, 0)
