"""ProtT5's vocabulary, and tokens by look-up table."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from omicsai.sequences.alphabet import AMINO_ACIDS

__all__ = ["END", "LETTERS", "MASK", "STANDARD", "TABLE", "VOCABULARY_SIZE", "lookup"]

# <pad>, </s> and <unk>, the letters in ProtT5's order, unused entries, 100 <extra_id_*>
END = 1
LETTERS = "ALGVSREDTIPKFQNYMHWCXBOUZ"
VOCABULARY_SIZE = 128
MASK = VOCABULARY_SIZE - 1  # <extra_id_0>
UNREAD = "BJOUZ"  # read as X, as ProtTrans does

TABLE = np.full(256, -1, dtype=np.int64)
for _letter in LETTERS:
    TABLE[ord(_letter)] = 3 + LETTERS.index(_letter)
for _letter in UNREAD:
    TABLE[ord(_letter)] = 3 + LETTERS.index("X")
STANDARD = TABLE[np.frombuffer(AMINO_ACIDS.encode(), dtype=np.uint8)]


def lookup(residues: str, table: NDArray[np.int64] = TABLE) -> NDArray[np.int64]:
    """Token of each residue.

    Parameters
    ----------
    residues
        Canonical residues.
    table
        (256,) token of each ASCII code, negative where there is none.

    Returns
    -------
    (len(residues),) int64
        One token per residue.
    """
    return table[np.frombuffer(residues.encode("ascii"), dtype=np.uint8)]
