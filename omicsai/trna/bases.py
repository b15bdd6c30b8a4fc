"""Codes of bases at canonical positions, and which of them pair."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from omicsai.trna.positions import ARM_3, ARM_5, INDEX, STEM_PAIRS

__all__ = [
    "ALPHABET",
    "ARM_PAIRS",
    "GAP",
    "OTHER",
    "PARTNERS",
    "WATSON_CRICK_WOBBLE",
    "formed_positions",
    "pairs_form",
]

ALPHABET = "ACGUN-"
OTHER, GAP = 4, 5
WATSON_CRICK_WOBBLE = ("AU", "UA", "GC", "CG", "GU", "UG")
ARM_PAIRS = tuple(zip(ARM_5, reversed(ARM_3), strict=True))
PARTNERS = {
    **dict((*STEM_PAIRS, *ARM_PAIRS)),
    **{b: a for a, b in (*STEM_PAIRS, *ARM_PAIRS)},
}


def pairs_form(
    matrix: NDArray[np.int8], pairs: Sequence[tuple[str, str]]
) -> NDArray[np.bool_]:
    """(n, pairs) whether two positions hold a Watson-Crick or G-U pair."""
    table = np.zeros((6, 6), dtype=bool)
    for pair in WATSON_CRICK_WOBBLE:
        table[ALPHABET.index(pair[0]), ALPHABET.index(pair[1])] = True
    first = [INDEX[a] for a, _ in pairs]
    second = [INDEX[b] for _, b in pairs]
    return table[matrix[:, first], matrix[:, second]]


def formed_positions(matrix: NDArray[np.int8]) -> NDArray[np.bool_]:
    """(n, 99) whether the base at a position is in a pair that forms."""
    pairs = (*STEM_PAIRS, *ARM_PAIRS)
    formed = pairs_form(matrix, pairs)
    positions = np.zeros(matrix.shape, dtype=bool)
    positions[:, [INDEX[a] for a, _ in pairs]] = formed
    positions[:, [INDEX[b] for _, b in pairs]] = formed
    return positions
