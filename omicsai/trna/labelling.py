"""From a reading to the canonical position of each base."""

from __future__ import annotations

from collections import defaultdict
from functools import cache

import numpy as np
from numpy.typing import NDArray

from omicsai.trna.bases import GAP, WATSON_CRICK_WOBBLE
from omicsai.trna.cloverleaf import encode
from omicsai.trna.positions import ARM_3, ARM_5, ARM_LOOP, INDEX, LABELS
from omicsai.trna.reading import Reading, cut_out

__all__ = ["LEADER", "OUTSIDE", "TRAILER", "label_bases", "matrix_of"]

LEADER, TRAILER = -2, -3  # bases before position 1 and after the last canonical one
OUTSIDE = -1  # beyond the end of a sequence
# lead, linker, alpha, beta, hinge, anticodon loop, variable, T loop, tail, selenocysteine
Shape = tuple[int, ...]
# start and length of the cut, whether it is an intron, missing 5' and 3', skipped
Edit = tuple[int, ...]


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
    shapes = np.column_stack(
        [s.lead, s.linker, s.alpha, s.beta, s.hinge, s.anticodon_loop, s.variable,
         s.t_loop, s.tail, found.selenocysteine]
    ).tolist()  # fmt: skip
    edits = np.column_stack(
        [found.cut, found.is_intron, found.missing, found.skipped]
    ).tolist()
    alike: dict[tuple, list[int]] = defaultdict(list)
    for row in np.flatnonzero((s.variable >= 0) & np.isfinite(s.score)).tolist():
        shape, edit = tuple(shapes[row]), tuple(edits[row])
        alike[shape, *_read_off(sequences[row], shape, edit), edit].append(row)
    for key, rows in alike.items():
        where, extra = _edited(*key)
        position[rows, : len(where)] = where
        insertion[rows, : len(extra)] = extra
    return position, insertion


def _read_off(sequence: str, shape: Shape, edit: Edit) -> tuple[int, tuple[bool, int]]:
    """Pairs of the variable arm, and the marks of the ends: what the bases decide."""
    if any(edit):
        start, cut, _, before, after, skip = edit
        sequence = cut_out(sequence, start, cut)
        sequence = "N" * before + sequence[skip:] + "N" * after
    lead, *_, variable, t_loop, tail, sec = shape
    end = len(sequence) - tail
    arm = 0
    if variable >= 6:
        first_49 = end - 18 - t_loop - sec
        arm = _arm_pairs(sequence[first_49 - variable + 2 : first_49 - 3])
    return arm, _end_marks(sequence, lead, end)


def _edited(
    shape: Shape, arm: int, marks: tuple[bool, int], edit: Edit
) -> tuple[NDArray[np.int16], NDArray[np.int8]]:
    """Positions and insertion numbers of a reading, in the sequence as given."""
    start, cut, intron, before, after, skip = edit
    where, extra = _template(*shape, arm, marks)
    where = np.concatenate(
        [np.full(skip, LEADER, np.int16), where[before : len(where) - after]]
    )
    extra = np.concatenate([np.zeros(skip, np.int8), extra[before : len(extra) - after]])
    if cut:
        inside = TRAILER if intron else where[start - 1]
        count = np.zeros(cut) if intron else extra[start - 1] + 1 + np.arange(cut)
        where = np.insert(where, start, np.full(cut, inside))
        extra = np.insert(extra, start, count)
    return where, extra


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
    codes = encode(sequences, width=position.shape[1])
    rows, columns = np.nonzero((position >= 0) & (insertion == 0))
    matrix[rows, position[rows, columns]] = codes[columns, rows]
    return matrix
