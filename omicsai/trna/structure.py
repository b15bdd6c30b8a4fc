"""Structures of numbered tRNAs: dot-bracket and an alignment on the canonical axis."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from omicsai.trna.bases import ALPHABET, ARM_PAIRS, formed_positions
from omicsai.trna.labelling import OUTSIDE
from omicsai.trna.numbering import Numbered
from omicsai.trna.positions import LABELS, STEM_PAIRS
from omicsai.trna.stockholm import stockholm_text

__all__ = ["consensus_brackets", "dot_bracket_text", "dot_brackets", "stockholm"]

OPENING = frozenset(a for a, _ in (*STEM_PAIRS, *ARM_PAIRS))


def consensus_brackets() -> str:
    """Return the structure of the canonical axis, one character a position."""
    closing = {b for _, b in (*STEM_PAIRS, *ARM_PAIRS)}
    return "".join("<" if p in OPENING else ">" if p in closing else "." for p in LABELS)


def dot_brackets(numbered: Numbered) -> list[str]:
    """Secondary structure of each sequence as given; empty where it was not numbered.

    A pair is drawn where both canonical positions hold a Watson-Crick or G-U pair.
    """
    formed = formed_positions(numbered.matrix)
    opens = np.array([label in OPENING for label in LABELS])
    shown = []
    for row, sequence in enumerate(numbered.sequences):
        position = numbered.position[row, : len(sequence)]
        if (position == OUTSIDE).all():
            shown.append("")
            continue
        inside = (position >= 0) & (numbered.insertion[row, : len(sequence)] == 0)
        place = np.maximum(position, 0)
        paired = inside & formed[row, place]
        marks = np.where(paired, np.where(opens[place], "(", ")"), ".")
        shown.append("".join(marks))
    return shown


def stockholm(numbered: Numbered) -> str:
    """Alignment of every numbered tRNA on the canonical axis, as Stockholm text.

    Insertions are not part of the axis and left out; they are in the long table. The
    ``#=GC`` lines give the structure and the position names, read downwards.
    """
    usable: NDArray[np.bool_] = numbered.usable("ok", "low", "unsupported")
    letters = np.array(list(ALPHABET.replace("-", ".")))
    rows = {
        numbered.ids[i]: "".join(letters[numbered.matrix[i]])
        for i in np.flatnonzero(usable)
    }
    columns = {"SS_cons": consensus_brackets()}
    for line in range(3):
        columns[f"POSITION_{line + 1}"] = "".join(f"{p:<3}"[line] for p in LABELS).replace(
            " ", "."
        )
    return stockholm_text(rows, columns)


def dot_bracket_text(numbered: Numbered) -> str:
    """Name, sequence and structure of each numbered tRNA, three lines each."""
    rows = zip(numbered.ids, numbered.sequences, dot_brackets(numbered), strict=True)
    return "".join(f">{name}\n{s}\n{shown}\n" for name, s, shown in rows if shown)
