"""Canonical numbering of tRNA sequences, with a status and a reason for each record."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from omicsai.errors import InputError
from omicsai.tables import Column, Table
from omicsai.trna.cloverleaf import Model, Segmentation, load_model, segment
from omicsai.trna.formats import Trna
from omicsai.trna.isotypes import amino_acid, anticodon_amino_acid, normal_isotype
from omicsai.trna.positions import (
    ARM_3,
    ARM_5,
    ARM_LOOP,
    INDEX,
    LABELS,
    REGIONS,
    STEM_PAIRS,
)

__all__ = [
    "ALPHABET",
    "GAP",
    "INVARIANTS",
    "MATRIX",
    "NUMBERING",
    "TRNA_RECORDS",
    "Collection",
    "Numbered",
    "classes_of",
    "formed_positions",
    "matrix_table",
    "number_sequences",
    "number_trnas",
    "numbering_table",
    "pairs_form",
    "read_collection",
    "read_matrix",
]

ALPHABET = "ACGUN-"
OTHER, GAP = 4, 5
INVARIANTS = {
    "8": "U", "14": "A", "18": "G", "19": "G", "21": "A", "33": "U", "53": "G",
    "54": "U", "55": "U", "56": "C", "58": "A", "61": "C",
}  # fmt: skip
SHORTEST, LONGEST = 55, 250
LEADER, TRAILER = -2, -3  # bases before position 1 and after the last canonical one
OUTSIDE = -1  # beyond the end of a sequence
# nats; the best of 19,340 shuffled seed sequences scores -18, of 967 reversed ones -14
FOUND_SCORE, OK_SCORE, ARMLESS_SCORE = -10.0, 20.0, -40.0
OK_PAIRS, OK_ANTICODON_PAIRS, OK_INVARIANTS, OK_POSTERIOR = 17, 4, 8, 0.5
LONG_ENOUGH_FOR_INTRON = 78
PARTIAL_SCORE = 5.0  # nats, of a tRNA without its acceptor stem
PARTIAL_BELOW, INSERTION_BELOW = -5.0, 5.0  # readings that score more are left alone
PARTIAL_GAIN = 10.0  # nats it must gain on the whole reading
MOST_MISSING, MOST_SKIPPED = 9, 10
INTRON_COST, SELENOCYSTEINE_COST = 8.0, 3.0
SEC_TAILS = 5
LONG_INTRON = 62  # bases; the longest nuclear ones of yeast have about 60
INTRON_SCORE = 25.0  # nats; what scores more has no intron
USUAL_LENGTHS = range(69, 94)
INSERTION_COST, LONGEST_INSERTION = 10.0, 24
INSERTION_PLACES = (7, 16, 17, 20)  # index of the first inserted base
SHORTEST_INTRON, LONGEST_INTRON = 3, 160
LONG_VARIABLE = 26
SURELY_ONE = 110  # bases: no longer record can hold two tRNAs
D_LOOP = re.compile("A[AG].{0,4}GG")  # A14 R15 to G18 G19
T_LOOP_CORE = re.compile("G[UG]UC[AG]A")
T_LOOP = re.compile("G[UG]UC.A|GUUC[AG]")  # G53 to A58, or nearly
WATSON_CRICK_WOBBLE = ("AU", "UA", "GC", "CG", "GU", "UG")

NUMBERING = Table(
    "numbering",
    (
        Column("id", "text", "tRNA id"),
        Column("index", "integer", "position in the sequence as given, from 1"),
        Column("base", "text", "nucleotide"),
        Column(
            "label", "text",
            "canonical position; 'Xik' is the k-th base inserted after X; empty in "
            "leader, intron and trailer",
        ),
        Column("region", "text", "part of the cloverleaf, or leader, intron, trailer"),
        Column("pair", "text", "label it pairs with (Watson-Crick or G-U), empty if none"),
    ),
)  # fmt: skip
TRNA_RECORDS = Table(
    "trna_records",
    (
        Column("id", "text", "tRNA id"),
        Column("status", "text", "ok, low, unsupported or failed"),
        Column(
            "confidence", "number",
            "posterior x share of 21 stem pairs formed x share of 12 invariants met",
        ),
        Column("reason", "text", "why it is not ok, or what is special about it"),
        Column("anticodon", "text", "bases 34-36"),
        Column("isotype", "text", "stated isotype, normalised; empty if none"),
        Column("stated_anticodon", "text", "anticodon of header or table, empty if none"),
        Column("posterior", "number", "probability of the segmentation among all"),
        Column("margin_bits", "number", "its log-odds against all others"),
        Column("score_bits", "number", "log-odds of a cloverleaf against random bases"),
        Column("stem_pairs", "integer", "of 21 stem pairs, those that form"),
        Column("invariants", "integer", "of 12 invariant bases, those that are there"),
        Column("variable_length", "integer", "bases between 43 and 49"),
        Column("intron", "text", "first and last index of the intron, empty if none"),
        Column("cca", "boolean", "ends with CCA after 73"),
        Column("method", "text", "enumeration or cmalign; empty if not numbered"),
    ),
)  # fmt: skip
MATRIX = Table(
    "matrix",
    (
        Column("id", "text", "tRNA id"),
        *(Column(label, "text", f"base at {label}, '-' if none") for label in LABELS),
    ),
)


@dataclass(frozen=True)
class Numbered:
    """Numbered tRNAs, in the order given; failed ones carry gaps alone.

    Attributes
    ----------
    ids, sequences
        As given, sequences in canonical RNA.
    position, insertion
        (n, longest) int16 and int8: index into `LABELS` of each base and the number of
        the base inserted after it (0: none). Negative positions: leader, trailer (or
        intron), beyond the end.
    matrix
        (n, 99) int8 codes into `ALPHABET`: the base at each canonical position.
    records
        The `TRNA_RECORDS` table.
    """

    ids: list[str]
    sequences: list[str]
    position: NDArray[np.int16]
    insertion: NDArray[np.int8]
    matrix: NDArray[np.int8]
    records: pd.DataFrame

    def usable(self, *statuses: str) -> NDArray[np.bool_]:
        """(n,) which records have one of the statuses (default: ok and low)."""
        return self.records["status"].isin(statuses or ("ok", "low")).to_numpy()


@dataclass(frozen=True)
class _Found:
    """Best reading of each sequence: what was cut out before it was segmented."""

    segmentation: Segmentation
    cut: NDArray[np.int64]  # (n, 2) start and length of what was cut out before reading
    is_intron: NDArray[np.bool_]  # what was cut out is an intron, else an insertion
    selenocysteine: NDArray[np.bool_]  # one more pair closes the acceptor stem: 7a, 65a
    missing: NDArray[np.int64]  # (n, 2) bases missing at the 5' and the 3' end
    skipped: NDArray[np.int64]  # leading bases left out of the reading


def number_sequences(
    sequences: Sequence[str],
    ids: Sequence[str] | None = None,
    *,
    problems: Sequence[str] | None = None,
    isotypes: Sequence[str] | None = None,
    anticodons: Sequence[str] | None = None,
    introns: Sequence[tuple[int, int] | None] | None = None,
    model: Model | None = None,
) -> Numbered:
    """Give every base of every tRNA its canonical position.

    Parameters
    ----------
    sequences
        Canonical RNA (upper case, U for T); anything may stand where `problems` says why
        a record is unusable.
    ids
        Names; 1, 2, ... if None.
    problems
        Why a record cannot be numbered; empty where it can.
    isotypes, anticodons
        What header or table state, to report and compare; they never steer the numbering.
    introns
        First index (from 0) and length of a known intron, where the source tells.
    model
        Parameters; the shipped ones by default.

    Returns
    -------
    Numbered
        Every record, whatever its status.
    """
    n = len(sequences)
    ids = list(ids) if ids is not None else [str(k + 1) for k in range(n)]
    told = list(problems) if problems is not None else [""] * n
    told = [t or _unusable(s) for t, s in zip(told, sequences, strict=True)]
    good = np.array([not t for t in told], dtype=bool)
    where = np.flatnonzero(good)
    rows = where.tolist()
    usable = [sequences[i] for i in rows]
    known = [introns[i] if introns is not None else None for i in rows]
    found = _read(usable, known, model or load_model())
    longest = max((len(s) for s in usable), default=0)
    position = np.full((n, longest), OUTSIDE, dtype=np.int16)
    insertion = np.zeros((n, longest), dtype=np.int8)
    matrix = np.full((n, len(LABELS)), GAP, dtype=np.int8)
    position[where], insertion[where] = _labels(usable, found, longest)
    matrix[where] = matrix_of(usable, position[where], insertion[where])
    records = _judge(
        [sequences[i] for i in range(n)], told, where, found, matrix,
        _stated(anticodons, n), _stated(isotypes, n), position, insertion,
    )  # fmt: skip
    records.insert(0, "id", ids)
    records = TRNA_RECORDS.frame(records)
    failed = (records["status"] == "failed").to_numpy()
    position[failed], insertion[failed], matrix[failed] = OUTSIDE, 0, GAP
    return Numbered(ids, list(sequences), position, insertion, matrix, records)


def _stated(values: Sequence[str] | None, n: int) -> list[str]:
    return list(values) if values is not None else [""] * n


def _unusable(sequence: str) -> str:
    length = len(sequence)
    unknown = sum(base not in "ACGU" for base in sequence)
    if length < SHORTEST:
        return f"{length} bases: too short for a tRNA (shortest read: {SHORTEST})"
    if length > LONGEST:
        return f"{length} bases: too long for one tRNA (longest read: {LONGEST})"
    if unknown > 0.15 * length:
        return f"{unknown} of {length} bases are unknown: too many to place the rest"
    return ""


# --- reading: plain, spliced, with a longer acceptor stem ---------------------------------


def _read(
    sequences: list[str], known: list[tuple[int, int] | None], model: Model
) -> _Found:
    n = len(sequences)
    cut = np.array([told or (0, 0) for told in known], dtype=np.int64).reshape(n, 2)
    spliced = [_cut(s, *cut[row]) for row, s in enumerate(sequences)]
    no = np.zeros(n, dtype=bool)
    found = _Found(
        segment(spliced, model), cut, cut[:, 1] > 0, no, np.zeros((n, 2), np.int64),
        np.zeros(n, np.int64),
    )  # fmt: skip
    for attempt in (_try_selenocysteine, _try_introns, _try_insertions, _try_partial):
        found = attempt(spliced, found, model)
    return found


def _cut(sequence: str, start: int, length: int) -> str:
    return sequence[:start] + sequence[start + length :]


def _take(found: Segmentation, rows: NDArray) -> Segmentation:
    return Segmentation(**{f.name: getattr(found, f.name)[rows] for f in fields(found)})


def _merge(into: Segmentation, rows: NDArray, other: Segmentation) -> Segmentation:
    merged = {}
    for field in fields(into):
        values = getattr(into, field.name).copy()
        values[rows] = getattr(other, field.name)
        merged[field.name] = values
    return Segmentation(**merged)


def _best_variants(owner: NDArray, segmentation: Segmentation) -> tuple[NDArray, NDArray]:
    """Best variant of each owner: owners, and the index of their variant."""
    order = np.lexsort((-segmentation.score, owner))
    owners, first = np.unique(owner[order], return_index=True)
    return owners, order[first]


def _try_selenocysteine(sequences: list[str], found: _Found, model: Model) -> _Found:
    """Read UCA tRNAs that are canonical without an eighth acceptor pair (7a:65a)."""
    owner, variants = [], []
    for row, s in enumerate(sequences):
        if not 84 <= len(s) <= 105 or "UCA" not in s[28:48] or found.cut[row, 1]:
            continue
        for tail in range(SEC_TAILS):
            at = len(s) - tail - 9  # 65a, given position 73 at -tail - 1
            owner.append(row)
            variants.append(s[:7] + s[8:at] + s[at + 1 :])
    if not variants:
        return found
    tried = segment(variants, model)
    # the cut must fall where the reading has its ends, and leave UCA at 34-36
    anticodon = [
        v[a + 7 : a + 10] for v, a in zip(variants, _arm_start(tried), strict=True)
    ]
    placed = (tried.lead == 0) & (tried.tail == np.arange(len(variants)) % SEC_TAILS)
    placed &= (np.array(anticodon) == "UCA") & (tried.variable >= 11)
    tried = replace(tried, score=np.where(placed, tried.score, -np.inf))
    owners, best = _best_variants(np.array(owner), tried)
    chosen = _take(tried, best)
    better = chosen.score - SELENOCYSTEINE_COST > found.segmentation.score[owners]
    rows = owners[better]
    flags = found.selenocysteine.copy()
    flags[rows] = True
    merged = _merge(found.segmentation, rows, _take(chosen, np.flatnonzero(better)))
    return replace(found, segmentation=merged, selenocysteine=flags)


def _arm_start(s: Segmentation) -> NDArray[np.int64]:
    """Index of position 27 within what was segmented."""
    return s.lead + 7 + s.linker + 6 + s.alpha + 2 + s.beta + 1 + 4 + s.hinge


def _try_introns(sequences: list[str], found: _Found, model: Model) -> _Found:
    """Cut out every intron after 37 that leaves an anticodon stem; keep one that pays."""
    owner: list[int] = []
    cuts: list[tuple[int, int]] = []
    doubtful = (found.segmentation.score < INTRON_SCORE) & (found.cut[:, 1] == 0)
    for row in np.flatnonzero(doubtful).tolist():
        if len(sequences[row]) >= LONG_ENOUGH_FOR_INTRON:
            cuts += (mine := _possible_introns(sequences[row]))
            owner += [row] * len(mine)
    if not owner:
        return found
    tried = segment(
        [_cut(sequences[r], *c) for r, c in zip(owner, cuts, strict=True)], model
    )
    # the cut must fall where the reading has its anticodon loop: after 37
    placed = _arm_start(tried) + 11 == np.array(cuts)[:, 0]
    placed &= (tried.anticodon_loop == 7) & (tried.variable >= 3)
    tried = replace(tried, score=np.where(placed, tried.score, -np.inf))
    return _adopt_cuts(found, np.array(owner), np.array(cuts), tried, INTRON_COST, True)


def _try_insertions(sequences: list[str], found: _Found, model: Model) -> _Found:
    """Cut a run of bases out of the linker or the D loop of weak readings."""
    cuts = [
        (row, start, length)
        for row in _rows_with_t_loop(sequences, found, INSERTION_BELOW)
        for start in INSERTION_PLACES
        for length in range(2, LONGEST_INSERTION + 1)
        if len(sequences[row]) - length in USUAL_LENGTHS
    ]
    if not cuts:
        return found
    tried = segment([_cut(sequences[r], a, k) for r, a, k in cuts], model)
    placed = (tried.lead == 0) & (tried.linker <= 2) & (tried.alpha + tried.beta <= 6)
    tried = replace(tried, score=np.where(placed, tried.score, -np.inf))
    table = np.array(cuts)
    return _adopt_cuts(found, table[:, 0], table[:, 1:], tried, INSERTION_COST, False)


def _rows_with_t_loop(
    sequences: list[str], found: _Found, below: float
) -> NDArray[np.int64]:
    """Rows read poorly that have a T loop where one may be: worth costlier attempts."""
    doubtful = (found.segmentation.score < below) & (found.cut[:, 1] == 0)
    return np.array(
        [r for r in np.flatnonzero(doubtful) if T_LOOP.search(sequences[r][-45:])],
        dtype=np.int64,
    )


def _adopt_cuts(
    found: _Found, owner: NDArray, cuts: NDArray, tried: Segmentation, cost: float,
    is_intron: bool,
) -> _Found:  # fmt: skip
    """Take the best cut of each owner where it beats the reading without one."""
    owners, best = _best_variants(owner, tried)
    least = np.maximum(found.segmentation.score[owners], FOUND_SCORE) + cost
    better = tried.score[best] > least
    rows, best = owners[better], best[better]
    cut, kind, special = (
        found.cut.copy(),
        found.is_intron.copy(),
        found.selenocysteine.copy(),
    )
    cut[rows], kind[rows], special[rows] = cuts[best], is_intron, False
    merged = _merge(found.segmentation, rows, _take(tried, best))
    return replace(
        found, segmentation=merged, cut=cut, is_intron=kind, selenocysteine=special
    )


def _try_partial(sequences: list[str], found: _Found, model: Model) -> _Found:
    """Read what lacks bases at an end, or has more than a few before position 1."""
    ends = range(MOST_MISSING + 1)
    shapes = [(a, b, 0) for a in ends for b in ends if a + b]
    shapes += [(0, b, k) for b in range(4) for k in range(1, MOST_SKIPPED + 1)]
    doubtful = _rows_with_t_loop(sequences, found, PARTIAL_BELOW)
    if not len(doubtful):
        return found
    drawn = [
        (row, *ends)
        for row in doubtful
        if D_LOOP.search(sequences[row][:40])
        for ends in shapes
        if len(sequences[row]) + ends[0] + ends[1] - ends[2] in USUAL_LENGTHS
    ]
    if not drawn:
        return found
    owner, shape = np.split(np.array(drawn), [1], axis=1)
    owner = owner[:, 0]
    tried = segment(
        [
            "N" * a + sequences[row][skip:] + "N" * b
            for row, (a, b, skip) in zip(owner, shape, strict=True)
        ],
        model,
    )
    placed = (shape[:, 0] == 0) | (tried.lead == 0)
    placed &= (shape[:, 1] == 0) | (tried.tail == 0)
    tried = replace(tried, score=np.where(placed, tried.score, -np.inf))
    owners, best = _best_variants(owner, tried)
    least = np.maximum(found.segmentation.score[owners] + PARTIAL_GAIN, PARTIAL_SCORE)
    better = tried.score[best] > least
    rows, best = owners[better], best[better]
    missing, skipped = found.missing.copy(), found.skipped.copy()
    missing[rows], skipped[rows] = shape[best, :2], shape[best, 2]
    special = found.selenocysteine.copy()
    special[rows] = False
    return replace(
        found,
        segmentation=_merge(found.segmentation, rows, _take(tried, best)),
        selenocysteine=special, missing=missing, skipped=skipped,
    )  # fmt: skip


def _possible_introns(s: str) -> list[tuple[int, int]]:
    """List starts and lengths of introns whose removal leaves a paired anticodon stem."""
    cuts = []
    for arm in range(24, 33):
        if s[arm + 6 : arm + 7] != "U":  # position 33
            continue
        longest = min(LONGEST_INTRON, len(s) - arm - 17 - 26)
        for length in range(SHORTEST_INTRON, longest + 1):
            last = arm + 16 + length
            stem = [s[arm + k] + s[last - k] for k in range(5)]
            if sum(pair in WATSON_CRICK_WOBBLE for pair in stem) >= 4:
                cuts.append((arm + 11, length))
    return cuts


# --- labels -------------------------------------------------------------------------------


def _labels(
    sequences: list[str], found: _Found, longest: int
) -> tuple[NDArray[np.int16], NDArray[np.int8]]:
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
        whole = _cut(sequence, start, cut) if cut else sequence
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


# --- judging ------------------------------------------------------------------------------


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


def _judge(
    sequences: list[str], problems: list[str], where: NDArray, found: _Found,
    matrix: NDArray, stated: list[str], isotypes: list[str], position: NDArray,
    insertion: NDArray,
) -> pd.DataFrame:  # fmt: skip
    n = len(sequences)
    formed = pairs_form(matrix, STEM_PAIRS)
    stems = _by_stem(formed)
    met = np.column_stack(
        [matrix[:, INDEX[p]] == ALPHABET.index(b) for p, b in INVARIANTS.items()]
    )
    s = found.segmentation
    score = np.full(n, np.nan)
    posterior, variable = np.full(n, np.nan), np.full(n, -1)
    intron = np.zeros((n, 2), dtype=np.int64)
    special = np.zeros(n, dtype=bool)
    score[where], posterior[where], variable[where] = s.score, s.posterior, s.variable
    cut = np.where(found.is_intron[:, None], found.cut, 0)
    inserted = np.zeros(n, dtype=np.int64)
    inserted[where] = np.where(found.is_intron, 0, found.cut[:, 1])
    intron[where], special[where] = cut, found.selenocysteine
    ends = np.zeros((n, 4), dtype=np.int64)
    ends[where] = np.column_stack([found.missing, found.skipped, inserted[where]])
    anticodons = matrix[:, [INDEX[p] for p in ("34", "35", "36")]]
    cca = (matrix[:, [INDEX[p] for p in ("74", "75", "76")]] == [1, 1, 0]).all(axis=1)
    pairs, invariants = formed.sum(axis=1), met.sum(axis=1)
    letters = np.array(list(ALPHABET))[anticodons]
    anticodon = np.char.add(np.char.add(letters[:, 0], letters[:, 1]), letters[:, 2])
    told = np.array(stated, dtype=object)
    plain = (score >= OK_SCORE) & (posterior >= OK_POSTERIOR) & (pairs >= OK_PAIRS)
    plain &= (stems["anticodon_stem"] >= OK_ANTICODON_PAIRS) & (invariants >= OK_INVARIANTS)
    for key, (_, size) in STEM_NAMES.items():
        plain &= stems[key] >= 0.5 * size
    plain &= (anticodons < 4).all(axis=1) & (intron[:, 1] == 0) & ~special
    plain &= (ends == 0).all(axis=1) & (variable <= LONG_VARIABLE)
    plain &= (told == "") | (told == anticodon)
    plain &= np.array(
        [len(q) <= SURELY_ONE and not t for q, t in zip(sequences, problems, strict=True)],
        bool,
    )
    status = np.where(plain, "ok", "failed").astype(object)
    reason = np.full(n, "", dtype=object)
    for i in np.flatnonzero(~plain):
        status[i], reason[i] = _verdict(
            problems[i], score[i], posterior[i], formed[i],
            {k: v[i] for k, v in stems.items()},
            met[i], ends[i], bool(special[i]), intron[i], str(anticodon[i]), stated[i],
            len(T_LOOP_CORE.findall(sequences[i])) if len(sequences[i]) > SURELY_ONE else 1,
            int(variable[i]),
        )  # fmt: skip
    failed = status == "failed"
    with np.errstate(divide="ignore", invalid="ignore"):
        margin = np.log2(np.maximum(posterior, 1e-9) / np.maximum(1 - posterior, 1e-9))
    share = posterior * formed.mean(axis=1) * met.mean(axis=1)
    return pd.DataFrame(
        {
            "status": status,
            "confidence": np.where(failed, 0.0, share),
            "reason": reason,
            "anticodon": np.where(failed, "", anticodon).astype(object),
            "isotype": isotypes,
            "stated_anticodon": stated,
            "posterior": np.where(failed, np.nan, posterior),
            "margin_bits": np.where(failed, np.nan, margin),
            "score_bits": np.where(np.isfinite(score), score / np.log(2), np.nan),
            "stem_pairs": _unless(failed, pairs),
            "invariants": _unless(failed, invariants),
            "variable_length": _unless(failed, variable),
            "intron": [
                f"{first + 1}-{first + size}" if size and not bad else ""
                for (first, size), bad in zip(intron.tolist(), failed, strict=True)
            ],
            "cca": pd.array(cca, dtype="boolean").copy(),
            "method": np.where(failed, "", "enumeration").astype(object),
        }
    ).assign(cca=lambda frame: frame["cca"].mask(failed))


def _unless(failed: NDArray, values: NDArray) -> pd.Series:
    return pd.Series(values, dtype="Int64").mask(failed)


def _by_stem(formed: NDArray) -> dict[str, NDArray[np.int64]]:
    """Pairs that form in each stem."""
    names = np.array([REGIONS[a] for a, _ in STEM_PAIRS])
    return {str(k): formed[:, names == k].sum(axis=1) for k in dict.fromkeys(names)}


STEM_NAMES = {
    "acceptor_stem": ("acceptor stem", 7), "d_stem": ("D stem", 4),
    "anticodon_stem": ("anticodon stem", 5), "t_stem": ("T stem", 5),
}  # fmt: skip


def _verdict(
    problem: str, score: float, posterior: float, formed: NDArray,
    stems: dict[str, int], met: NDArray, ends: NDArray, selenocysteine: bool,
    intron: NDArray, anticodon: str, stated: str, t_loops: int, variable: int,
) -> tuple[str, str]:  # fmt: skip
    """Status and reason of one record."""
    if problem:
        return "failed", problem
    absent = [name for key, (name, size) in STEM_NAMES.items() if stems[key] < 0.5 * size]
    if not np.isfinite(score) or score < FOUND_SCORE:
        firm = stems["acceptor_stem"] >= 6 and stems["anticodon_stem"] >= 4
        firm = firm and score > ARMLESS_SCORE and met[list(INVARIANTS).index("33")]
        if firm and absent in (["D stem"], ["T stem"]):
            return "unsupported", f"no {absent[0]}: an armless (mitochondrial) tRNA?"
        bits = f"{score / np.log(2):.0f} bits" if np.isfinite(score) else "no fit"
        return "failed", f"no cloverleaf found ({bits} against random bases)"
    doubts = [
        text
        for count, text in zip(
            ends,
            (
                f"{ends[0]} bases missing at the 5' end",
                f"{ends[1]} bases missing at the 3' end",
                f"{ends[2]} bases before position 1 do not fit",
                f"{ends[3]} bases inserted in linker or D loop",
            ),
            strict=True,
        )
        if count
    ]
    if score < OK_SCORE:
        doubts.append(f"weak cloverleaf ({score / np.log(2):.0f} bits)")
    if absent:
        doubts.append(f"{' and '.join(absent)} mostly unpaired")
    if formed.sum() < OK_PAIRS:
        doubts.append(f"{formed.sum()} of 21 stem pairs form")
    if stems["anticodon_stem"] < OK_ANTICODON_PAIRS and "anticodon stem" not in absent:
        doubts.append(f"{stems['anticodon_stem']} of 5 anticodon stem pairs form")
    if met.sum() < OK_INVARIANTS:
        doubts.append(f"{met.sum()} of 12 invariant bases")
    if posterior < OK_POSTERIOR:
        doubts.append(f"another segmentation is as likely (posterior {posterior:.2f})")
    if "N" in anticodon or "-" in anticodon:
        doubts.append("anticodon not readable")
    if intron[1] > LONG_INTRON or t_loops > 1:
        told = f"an intron of {intron[1]} bases" if intron[1] else f"{t_loops} T loops"
        doubts.append(f"{told}: two tRNAs in one record?")
    if variable > LONG_VARIABLE:
        doubts.append(f"variable loop of {variable} bases")
    notes = []
    if selenocysteine:
        notes.append("selenocysteine tRNA: eighth acceptor pair 7i1:65i1")
    if intron[1] and not (intron[1] > LONG_INTRON or t_loops > 1):
        notes.append(f"intron of {intron[1]} bases cut out")
    if len(stated) == 3 and set(stated) <= set("ACGU") and stated != anticodon:
        doubts.append(f"stated anticodon {stated} but 34-36 is {anticodon}")
    return ("low" if doubts else "ok"), "; ".join([*doubts, *notes])


# --- tables -------------------------------------------------------------------------------


def number_trnas(
    trnas: Sequence[Trna], labels: Mapping[str, str] | None = None
) -> Numbered:
    """Give positions to tRNAs as `omicsai.trna.read_trnas` gives them.

    Parameters
    ----------
    trnas
        Records with what their source states.
    labels
        Stated isotypes by id, which win over those of headers.
    """
    told = labels or {}
    return number_sequences(
        [t.sequence for t in trnas],
        [t.id for t in trnas],
        problems=[t.problem for t in trnas],
        isotypes=[normal_isotype(told.get(t.id, "")) or t.isotype for t in trnas],
        anticodons=[t.anticodon for t in trnas],
        introns=[t.intron for t in trnas],
    )


def classes_of(numbered: Numbered) -> list[str]:
    """Amino acid of each tRNA: by the stated isotype, else by the anticodon; else empty."""
    return _classes(numbered.records)


def _classes(records: pd.DataFrame) -> list[str]:
    return [
        amino_acid(stated) or anticodon_amino_acid(anticodon)
        for stated, anticodon in zip(records["isotype"], records["anticodon"], strict=True)
    ]


def matrix_table(numbered: Numbered) -> pd.DataFrame:
    """Return the wide `MATRIX` table of every record that has labels."""
    kept = numbered.usable("ok", "low", "unsupported")
    letters = np.array(list(ALPHABET), dtype=object)[numbered.matrix[kept]]
    frame = pd.DataFrame(letters, columns=list(LABELS))
    frame.insert(0, "id", np.array(numbered.ids, dtype=object)[kept])
    return MATRIX.frame(frame)


def read_matrix(path: Path | str) -> tuple[list[str], NDArray[np.int8]]:
    """Read ``matrix.tsv``: ids, and base codes (n, 99)."""
    frame = MATRIX.read(path)
    codes = {letter: code for code, letter in enumerate(ALPHABET)}
    values = frame[list(LABELS)].to_numpy()
    wrong = sorted(set(values.ravel()) - set(codes))
    if wrong:
        raise InputError(f"{path}: {wrong[0]!r} is no base: expected one of {ALPHABET}")
    matrix = np.vectorize(codes.__getitem__, otypes=[np.int8])(values)
    return frame["id"].tolist(), matrix.reshape(len(frame), len(LABELS))


def numbering_table(numbered: Numbered) -> pd.DataFrame:
    """Return the long `NUMBERING` table, one row a base, of what has labels."""
    row, column = np.nonzero(numbered.position != OUTSIDE)
    position = numbered.position[row, column]
    insertion = numbered.insertion[row, column]
    letters = np.array([c for r in np.unique(row) for c in numbered.sequences[r]], object)
    names = np.array([*LABELS], dtype=object)
    label = np.where(position >= 0, names[np.maximum(position, 0)], "").astype(object)
    extra = np.flatnonzero(insertion > 0)
    label[extra] = [f"{label[i]}i{insertion[i]}" for i in extra]
    regions = np.array([REGIONS[name] for name in LABELS], dtype=object)
    region = np.where(position >= 0, regions[np.maximum(position, 0)], "").astype(object)
    region[position == LEADER] = "leader"
    region[position == TRAILER] = "trailer"
    starts = {r: s.split("-") for r, s in enumerate(numbered.records["intron"]) if s}
    for r, (first, last) in starts.items():
        region[(row == r) & (column + 1 >= int(first)) & (column < int(last))] = "intron"
    partner = np.array([PARTNERS.get(name, "") for name in LABELS], dtype=object)
    formed = formed_positions(numbered.matrix)
    inside = (position >= 0) & (insertion == 0)
    pair = np.where(
        inside & formed[row, np.maximum(position, 0)], partner[np.maximum(position, 0)], ""
    )
    return NUMBERING.frame(
        {
            "id": np.array(numbered.ids, dtype=object)[row],
            "index": column + 1,
            "base": letters,
            "label": label,
            "region": region,
            "pair": pair,
        }
    )


ARM_PAIRS = tuple((f"e1{k}", f"e2{k}") for k in range(1, 8))
PARTNERS = {
    **dict((*STEM_PAIRS, *ARM_PAIRS)),
    **{b: a for a, b in (*STEM_PAIRS, *ARM_PAIRS)},
}


def formed_positions(matrix: NDArray[np.int8]) -> NDArray[np.bool_]:
    """(n, 99) whether the base at a position is in a pair that forms."""
    pairs = (*STEM_PAIRS, *ARM_PAIRS)
    formed = pairs_form(matrix, pairs)
    positions = np.zeros(matrix.shape, dtype=bool)
    positions[:, [INDEX[a] for a, _ in pairs]] = formed
    positions[:, [INDEX[b] for _, b in pairs]] = formed
    return positions


@dataclass(frozen=True)
class Collection:
    """What later stages read of a folder that ``omicsai number`` wrote.

    Attributes
    ----------
    ids
        (n,) tRNAs with status ok or low, in the order of the table.
    matrix
        (n, 99) base codes.
    classes
        (n,) amino acid: by the stated isotype, else by the anticodon; empty if neither.
    records
        Their rows of the `TRNA_RECORDS` table.
    """

    ids: list[str]
    matrix: NDArray[np.int8]
    classes: list[str]
    records: pd.DataFrame


def read_collection(folder: Path | str) -> Collection:
    """Read the tRNAs that a folder of ``omicsai number`` holds.

    Raises
    ------
    InputError
        If a table is missing, or no tRNA has the status ok or low.
    """
    folder = Path(folder)
    ids, matrix = read_matrix(folder / "matrix.tsv")
    records = TRNA_RECORDS.read(folder / "records.tsv")
    # repeated ids have one usable record at most
    kept = records[records["status"].isin(["ok", "low"])].drop_duplicates("id")
    row = {key: i for i, key in enumerate(ids)}
    kept = kept[kept["id"].isin(row.keys())].reset_index(drop=True)
    if kept.empty:
        raise InputError(
            f"{folder} has no usable tRNA: see the reasons in {folder / 'records.tsv'}"
        )
    return Collection(
        kept["id"].tolist(),
        matrix[[row[key] for key in kept["id"]]],
        _classes(kept),
        kept,
    )
