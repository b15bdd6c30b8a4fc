"""From a reading to the canonical position of each base."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from omicsai.trna.bases import GAP, OTHER, WATSON_CRICK_WOBBLE
from omicsai.trna.positions import ARM_3, ARM_5, ARM_LOOP, INDEX, LABELS
from omicsai.trna.reading import Reading, cut_out

__all__ = ["LEADER", "OUTSIDE", "TRAILER", "label_bases", "matrix_of"]

LEADER, TRAILER = -2, -3  # bases before position 1 and after the last canonical one
OUTSIDE = -1  # beyond the end of a sequence


def label_bases(
    sequences: list[str], found: Reading, longest: int
) -> tuple[NDArray[np.int16], NDArray[np.int8]]:
    """Position (n, longest) of each base, and its number among those inserted there.

    Parameters
    ----------
    sequences
        Canonical RNA.
    found
        Their readings.
    longest
        Columns; what lies beyond a sequence is `OUTSIDE`.
    """
    n = len(sequences)
    position = np.full((n, longest), OUTSIDE, dtype=np.int16)
    insertion = np.zeros((n, longest), dtype=np.int8)
    s = found.segmentation
    shape = np.column_stack(
        [s.lead, s.linker, s.alpha, s.beta, s.hinge, s.anticodon_loop, s.variable,
         s.t_loop, s.tail, found.selenocysteine]
    ).tolist()  # fmt: skip
    for row, sequence in enumerate(sequences):
        lead, linker, alpha, beta, hinge, loop, variable, t_loop, tail, sec = shape[row]
        start, cut = found.cut[row]
        whole = cut_out(sequence, start, cut) if cut else sequence
        before, after = found.missing[row]
        skip = found.skipped[row]
        whole = "N" * before + whole[skip:] + "N" * after
        if variable < 0 or not np.isfinite(s.score[row]):
            continue
        end = len(whole) - tail
        first_49 = end - 18 - t_loop - sec
        region = whole[first_49 - variable : first_49]
        arm = _arm_pairs(region[2:-3]) if variable >= 6 else 0
        marks = _end_marks(whole, lead, end)
        where, extra = _template(
            lead, linker, alpha, beta, hinge, loop, variable, t_loop, tail, sec, arm, marks
        )
        where = np.concatenate(
            [np.full(skip, LEADER, np.int16), where[before : len(where) - after]]
        )
        extra = np.concatenate(
            [np.zeros(skip, np.int8), extra[before : len(extra) - after]]
        )
        if cut:
            intron = found.is_intron[row]
            inside = TRAILER if intron else where[start - 1]
            count = np.zeros(cut) if intron else extra[start - 1] + 1 + np.arange(cut)
            where = np.insert(where, start, np.full(cut, inside))
            extra = np.insert(extra, start, count)
        position[row, : len(where)] = where
        insertion[row, : len(extra)] = extra
    return position, insertion


def _end_marks(whole: str, lead: int, end: int) -> tuple[bool, int]:
    """Whether the base before 1 is -1, and how many bases after 73 begin CCA."""
    pairs = lead > 0 and (
        whole[lead - 1] + whole[end - 1] in WATSON_CRICK_WOBBLE
        or whole[lead - 1] + whole[end - 1] == "GA"
    )
    tail = whole[end : end + 3]
    return pairs, len(tail) if "CCA".startswith(tail) else 0


def _arm_pairs(arm: str) -> int:
    """Pairs of the variable arm: outermost ones nested, loop of at least three."""
    best, value, chosen = 0, 0, 0
    for k in range(1, min(7, (len(arm) - 3) // 2) + 1):
        value += 1 if arm[k - 1] + arm[-k] in WATSON_CRICK_WOBBLE else -1
        if value >= best:
            best, chosen = value, k
    return chosen


@cache
def _template(
    lead: int, linker: int, alpha: int, beta: int, hinge: int, loop: int, variable: int,
    t_loop: int, tail: int, sec: int, arm: int, marks: tuple[bool, int],
) -> tuple[NDArray[np.int16], NDArray[np.int8]]:  # fmt: skip
    """Positions and insertion numbers of a segmentation, base by base."""
    cca = marks[1]
    minus = ["-1"] if marks[0] else []
    labels: list[str | int] = [
        *[LEADER] * (lead - len(minus)), *minus,
        *_run(1, 7), *(["+7"] if sec else []),
        *_fill(["8", "9"], linker),
        *_run(10, 15), *_fill(["16", "17", "17a"], alpha, "15"),
        "18", "19", *_fill(["20", "20a", "20b"], beta, "19"), *_run(21, 25),
        *_fill(["26"], hinge, "25"),
        *_run(27, 31), *_loop(32, 37, loop), *_run(39, 43),
        *_variable(variable, arm),
        *_run(49, 53), *_loop(54, 59, t_loop), *_run(61, 65),
        *(["+65"] if sec else []), *_run(66, 73),
        *["74", "75", "76"][:cca], *[TRAILER] * (tail - cca),
    ]  # fmt: skip
    where, extra = [], []
    for label in labels:
        if isinstance(label, int):
            where.append(label)
            extra.append(0)
        elif label.startswith("+"):
            same = where[-1] == INDEX[label[1:]]
            where.append(INDEX[label[1:]])
            extra.append(extra[-1] + 1 if same else 1)
        else:
            where.append(INDEX[label])
            extra.append(0)
    return np.array(where, dtype=np.int16), np.array(extra, dtype=np.int8)


def _run(first: int, last: int) -> list[str]:
    return [str(k) for k in range(first, last + 1)]


def _fill(places: list[str], count: int, before: str = "") -> list[str]:
    """Fill places in order; what is left over is inserted after the last one."""
    return [*places[:count], *[f"+{places[-1]}"] * (count - len(places))]


def _loop(first: int, last: int, length: int) -> list[str]:
    """Label a loop of seven; a missing base is `last`, a further one is inserted there."""
    if length < 7:
        return [*_run(first, last - 1), str(last + 1)]
    return [*_run(first, last), *[f"+{last}"] * (length - 7), str(last + 1)]


def _variable(length: int, pairs: int) -> list[str]:
    if length < 6:
        kept = {0: [], 1: [44], 2: [44, 48], 3: [44, 45, 48], 4: [44, 45, 46, 48]}
        return [str(k) for k in kept.get(length, [44, 45, 46, 47, 48])]
    loop = length - 5 - 2 * pairs
    return [
        "44", "45", *ARM_5[:pairs], *_fill(list(ARM_LOOP), loop),
        *ARM_3[len(ARM_3) - pairs :], "46", "47", "48",
    ]  # fmt: skip


def matrix_of(
    sequences: list[str], position: NDArray, insertion: NDArray
) -> NDArray[np.int8]:
    """Return base codes (n, 99) at the canonical positions."""
    matrix = np.full((len(sequences), len(LABELS)), GAP, dtype=np.int8)
    codes = np.full(position.shape, OTHER, dtype=np.int8)
    lookup = np.full(256, OTHER, dtype=np.int8)
    for code, base in enumerate("ACGU"):
        lookup[ord(base)] = code
    for row, sequence in enumerate(sequences):
        codes[row, : len(sequence)] = lookup[np.frombuffer(sequence.encode(), np.uint8)]
    rows, columns = np.nonzero((position >= 0) & (insertion == 0))
    matrix[rows, position[rows, columns]] = codes[rows, columns]
    return matrix
