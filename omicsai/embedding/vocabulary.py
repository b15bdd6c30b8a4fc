"""Tokens of a protein by look-up table, instead of by a tokenizer.

Protein language models give each residue one token and put a fixed few in front and
behind, so a table of 256 entries does what a tokenizer does, some hundred times faster.
The table of a model is read off its tokenizer once, and checked against it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omicsai.errors import InputError, ToolError
from omicsai.sequences.alphabet import AMINO_ACIDS

__all__ = ["MASK", "PROTT5", "STANDARD", "VOCABULARY_SIZE", "Vocabulary", "read_vocabulary"]

CANONICAL = AMINO_ACIDS + "X"
RARE = "BJOUZ"  # read as X, as ProtTrans does
PROSTT5_PREFIX = "<AA2fold>"


@dataclass(frozen=True)
class Vocabulary:
    """What turns residues into tokens.

    Attributes
    ----------
    table
        (256,) int64, token of each ASCII code; -1 where there is none.
    before, behind
        Tokens in front of the residues and behind them.
    """

    table: NDArray[np.int64]
    before: tuple[int, ...] = ()
    behind: tuple[int, ...] = ()

    @property
    def specials(self) -> int:
        """Number of tokens of a sequence that stand for no residue."""
        return len(self.before) + len(self.behind)

    def tokens(self, residues: str) -> NDArray[np.int64]:
        """Tokens of a sequence.

        Parameters
        ----------
        residues
            Canonical residues.

        Returns
        -------
        (specials + len(residues),) int64
            ``before``, one token per residue, ``behind``.

        Raises
        ------
        InputError
            If a residue has no token.
        """
        first, last = len(self.before), len(self.before) + len(residues)
        tokens = np.empty(last + len(self.behind), dtype=np.int64)
        tokens[:first], tokens[last:] = self.before, self.behind
        found = tokens[first:last]
        codes = np.frombuffer(residues.encode("ascii"), dtype=np.uint8)
        self.table.take(codes, out=found, mode="clip")  # unbuffered; all codes are in it
        if len(found) and found.min() < 0:
            missing = sorted({residues[i] for i in np.flatnonzero(found < 0)})
            raise InputError(
                f"the model's vocabulary has no token for {', '.join(missing)}: it made "
                f"{int((found >= 0).sum())} residue tokens of {len(residues)} residues"
            )
        return tokens


def _table(tokens: dict[str, int]) -> NDArray[np.int64]:
    """Table of the tokens of single letters; rare residues share that of X."""
    table = np.full(256, -1, dtype=np.int64)
    for letter, token in tokens.items():
        table[ord(letter)] = token
    for letter in RARE:
        table[ord(letter)] = tokens.get("X", -1)
    return table


# ProtT5: <pad>, </s>, <unk>, the letters in this order, unused entries, 100 <extra_id_*>
PROTT5_LETTERS = "ALGVSREDTIPKFQNYMHWCXBOUZ"
VOCABULARY_SIZE = 128
MASK = VOCABULARY_SIZE - 1  # <extra_id_0>
PROTT5 = Vocabulary(
    _table({letter: 3 + i for i, letter in enumerate(PROTT5_LETTERS)}), behind=(1,)
)
STANDARD = PROTT5.tokens(AMINO_ACIDS)[:-1]


def read_vocabulary(tokenizer: Any, name: str) -> Vocabulary:
    """Read the table off a tokenizer of `transformers`.

    Parameters
    ----------
    tokenizer
        The model's tokenizer. Whether it wants blanks between residues is found by trying
        (Ankh's vocabulary has none: joined by blanks, its residues become unknown).
    name
        The model, for messages.

    Returns
    -------
    Vocabulary
        With ProstT5's ``<AA2fold>`` in front where the vocabulary has it.

    Raises
    ------
    ToolError
        If the tokenizer does not give one token per amino acid, or disagrees with the
        table on a protein of all residues in another order.
    """
    entries = tokenizer.get_vocab()
    special = set(tokenizer.all_special_ids)
    front: tuple[int, ...] = ()
    if PROSTT5_PREFIX in entries:
        front = (entries[PROSTT5_PREFIX],)
    for joint in (" ", ""):
        ids = list(tokenizer(joint.join(AMINO_ACIDS))["input_ids"])
        residues = [token for token in ids if token not in special]
        if tokenizer.unk_token_id in ids or len(set(residues)) != len(AMINO_ACIDS):
            continue
        first = ids.index(residues[0])
        if ids[first : first + len(residues)] != residues:
            continue
        known = dict(zip(AMINO_ACIDS, residues, strict=True))
        x = [t for t in tokenizer(joint.join("AXA"))["input_ids"] if t not in special]
        if len(x) == 3:
            known["X"] = x[1]
        vocabulary = Vocabulary(
            _table(known),
            (*ids[:first], *front), tuple(ids[first + len(residues) :]),
        )  # fmt: skip
        probe = CANONICAL[::-1] * 2 if "X" in known else AMINO_ACIDS[::-1] * 2
        text = joint.join(probe)
        expected = list(
            tokenizer(f"{PROSTT5_PREFIX} {text}" if front else text)["input_ids"]
        )
        if vocabulary.tokens(probe).tolist() == expected:
            return vocabulary
    raise ToolError(
        f"the tokenizer of '{name}' does not give one token per amino acid: this is not a "
        "protein language model, or its tokenizer files are missing"
    )
