"""Alignments of pairs of sequences, and the definition of what is alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from omicsai.errors import InputError

__all__ = ["CoverageOf", "Definition", "IdentityOver", "Pairs"]

IdentityOver = Literal["alignment", "shorter", "longer"]
CoverageOf = Literal["either", "both"]

EVALUE = 1e-3
# A split is built on a slightly wider definition than it promises, because two aligners,
# or one aligner in two directions or on two database sizes, differ by a residue or so.
WIDER_EVALUE = 3.0
NARROWER_FRACTION = 0.003


@dataclass(frozen=True)
class Definition:
    """What makes two sequences alike.

    Attributes
    ----------
    identity
        Least share of identical positions, fraction.
    coverage
        Least aligned share, fraction.
    identity_over
        Denominator of the identity: columns of the local alignment (gaps included), or
        residues of the shorter or of the longer sequence.
    coverage_of
        Whether the aligned share must be reached by either or by both sequences.
    evalue
        Largest E-value in a database of all sequences.
    """

    identity: float = 0.3
    coverage: float = 0.5
    identity_over: IdentityOver = "alignment"
    coverage_of: CoverageOf = "either"
    evalue: float = EVALUE

    def __post_init__(self) -> None:
        """Refuse thresholds that are no fractions."""
        for name in ("identity", "coverage"):
            value = getattr(self, name)
            if not 0 < value <= 1:
                raise InputError(
                    f"{name} is a fraction above 0 and up to 1, not {value:g}"
                    + (f": did you mean {value / 100:g}?" if 1 < value <= 100 else "")
                )

    def wider(self) -> Definition:
        """Return the definition with the safety margin a split is built on."""
        return replace(
            self,
            identity=max(self.identity - NARROWER_FRACTION, 0.01),
            coverage=max(self.coverage - NARROWER_FRACTION, 0.01),
            evalue=self.evalue * WIDER_EVALUE,
        )

    def holds(self, pairs: Pairs) -> NDArray[np.bool_]:
        """Whether each alignment makes its two sequences alike: (m,)."""
        return (
            (pairs.identity(self.identity_over) >= np.float32(self.identity))
            & (pairs.covered(self.coverage_of) >= np.float32(self.coverage))
            & (pairs.evalue <= np.float32(self.evalue))
        )


@dataclass(frozen=True)
class Pairs:
    """Alignments of pairs of sequences, with ``first < second``.

    A pair may be listed twice, because a search aligns it in both directions and the two
    alignments can differ; it is alike if either alignment says so.

    Attributes
    ----------
    first, second
        (m,) int32 indices of the two sequences of each alignment.
    identical
        (m,) int32 identical positions.
    columns
        (m,) int32 alignment length, gaps included.
    shorter, longer
        (m,) int32 lengths of the two sequences, residues.
    coverage_first, coverage_second
        (m,) float32 aligned fraction of each sequence.
    evalue
        (m,) float32 E-value.
    """

    first: NDArray[np.int32]
    second: NDArray[np.int32]
    identical: NDArray[np.int32]
    columns: NDArray[np.int32]
    shorter: NDArray[np.int32]
    longer: NDArray[np.int32]
    coverage_first: NDArray[np.float32]
    coverage_second: NDArray[np.float32]
    evalue: NDArray[np.float32]

    def __len__(self) -> int:
        """Return the number of alignments."""
        return len(self.first)

    def identity(self, over: IdentityOver = "alignment") -> NDArray[np.float32]:
        """Identical positions over alignment columns, or a sequence's length: (m,)."""
        length = {
            "alignment": self.columns,
            "shorter": self.shorter,
            "longer": self.longer,
        }[over]
        return (self.identical / np.maximum(length, 1)).astype(np.float32)

    def covered(self, of: CoverageOf) -> NDArray[np.float32]:
        """Aligned share, the larger or the smaller one of the two sequences: (m,)."""
        meets = np.maximum if of == "either" else np.minimum
        return meets(self.coverage_first, self.coverage_second)

    def select(self, chosen: NDArray) -> Pairs:
        """Return some of the alignments, by mask or by index."""
        return Pairs(*(getattr(self, field.name)[chosen] for field in fields(self)))

    @classmethod
    def empty(cls) -> Pairs:
        """Return no alignment."""
        return cls.concatenate([])

    @classmethod
    def concatenate(cls, several: Sequence[Pairs]) -> Pairs:
        """Join alignments of several searches over the same sequences."""
        kinds = [*[np.int32] * 6, *[np.float32] * 3]
        return cls(
            *(
                np.concatenate([getattr(p, f.name) for p in several])
                if several
                else np.zeros(0, dtype=kind)
                for f, kind in zip(fields(cls), kinds, strict=True)
            )
        )

    @classmethod
    def from_alignments(
        cls,
        query: NDArray,
        target: NDArray,
        identical: NDArray,
        columns: NDArray,
        query_coverage: NDArray,
        target_coverage: NDArray,
        evalue: NDArray,
        lengths: NDArray,
    ) -> Pairs:
        """Order each alignment by index and drop those of a sequence with itself."""
        swap = query > target
        a, b = np.where(swap, target, query), np.where(swap, query, target)
        made = cls(
            a.astype(np.int32),
            b.astype(np.int32),
            np.asarray(identical, dtype=np.int32),
            np.asarray(columns, dtype=np.int32),
            np.minimum(lengths[a], lengths[b]).astype(np.int32),
            np.maximum(lengths[a], lengths[b]).astype(np.int32),
            np.where(swap, target_coverage, query_coverage).astype(np.float32),
            np.where(swap, query_coverage, target_coverage).astype(np.float32),
            np.asarray(evalue, dtype=np.float32),
        )
        return made.select(a != b)
