"""Reading cloverleaves: plain, spliced, with an eighth acceptor pair, or incomplete.

Each attempt reads variants of what has been read poorly, and is kept where it gains more
than it costs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from omicsai.trna.bases import WATSON_CRICK_WOBBLE
from omicsai.trna.cloverleaf import Model, Segmentation, segment

__all__ = ["FOUND_SCORE", "Reading", "cut_out", "read_cloverleaves"]

FOUND_SCORE = -10.0  # nats; shuffled seed sequences reach -18, all reversed but two -14
LONG_ENOUGH_FOR_INTRON = 78
PARTIAL_SCORE = 5.0  # nats, of a tRNA without its acceptor stem
PARTIAL_BELOW, INSERTION_BELOW = -5.0, 5.0  # readings that score more are left alone
PARTIAL_GAIN = 10.0  # nats it must gain on the whole reading
MOST_MISSING, MOST_SKIPPED = 9, 10
INTRON_COST, SELENOCYSTEINE_COST = 8.0, 3.0
SEC_TAILS = 5
INTRON_SCORE = 25.0  # nats; what scores more has no intron
USUAL_LENGTHS = range(69, 94)
INSERTION_COST, LONGEST_INSERTION = 10.0, 24
INSERTION_PLACES = (7, 16, 17, 20)  # index of the first inserted base
SHORTEST_INTRON, LONGEST_INTRON = 3, 160
SEAT_14, FROM_53 = 13, 21  # index of A14; bases from G53 to the end, without CCA
D_LOOP = re.compile("(?=A[AG].{0,4}GG)")  # A14 R15 to G18 G19
BASES_PAIRED_WITH = {
    a: "".join(pair[1] for pair in WATSON_CRICK_WOBBLE if pair[0] == a) for a in "ACGU"
}
T_LOOP = re.compile("(?=G[UG]UC.A|GUUC[AG])")  # G53 to A58, or nearly


@dataclass(frozen=True)
class Reading:
    """Best reading of each sequence.

    Attributes
    ----------
    segmentation
        Of what is left after the cut.
    spliced
        (n,) introns that the source tells of were cut out before; nothing else is tried.
    cut
        (n, 2) start (from 0) and length of what was cut out before it was segmented.
    is_intron
        (n,) what was cut out is an intron, else an insertion.
    selenocysteine
        (n,) one more pair closes the acceptor stem, 7a:65a.
    missing
        (n, 2) bases missing at the 5' and the 3' end.
    skipped
        (n,) leading bases left out.
    """

    segmentation: Segmentation
    spliced: NDArray[np.bool_]
    cut: NDArray[np.int64]
    is_intron: NDArray[np.bool_]
    selenocysteine: NDArray[np.bool_]
    missing: NDArray[np.int64]
    skipped: NDArray[np.int64]


def read_cloverleaves(
    sequences: list[str], spliced: NDArray[np.bool_], model: Model
) -> Reading:
    """Read every sequence in the way that fits it best.

    Parameters
    ----------
    sequences
        Canonical RNA, without the introns that the source tells of.
    spliced
        (n,) whether it told of any.
    model
        Parameters of the cloverleaf.
    """
    n = len(sequences)
    no, none = np.zeros(n, dtype=bool), np.zeros((n, 2), dtype=np.int64)
    found = Reading(
        segment(sequences, model), spliced, none, no, no, none, np.zeros(n, np.int64)
    )
    for attempt in (_try_selenocysteine, _try_introns, _try_insertions, _try_partial):
        found = attempt(sequences, found, model)
    return found


def cut_out(sequence: str, start: int, length: int) -> str:
    """Return a sequence without `length` bases from `start` on."""
    return sequence[:start] + sequence[start + length :]


def _adopt(found: Reading, rows: NDArray, variants: list[str], model: Model) -> Reading:
    """Put full segmentations of variants in the place of those of some rows."""
    chosen = segment(variants, model)
    merged = {}
    for field in fields(chosen):
        values = getattr(found.segmentation, field.name).copy()
        values[rows] = getattr(chosen, field.name)
        merged[field.name] = values
    return replace(found, segmentation=Segmentation(**merged))


def _untouched(found: Reading, below: float) -> NDArray[np.bool_]:
    """Rows read poorly from which nothing has been cut out."""
    poor = found.segmentation.score < below
    return poor & (found.cut[:, 1] == 0) & ~found.spliced


def _best_variants(owner: NDArray, segmentation: Segmentation) -> tuple[NDArray, NDArray]:
    """Best variant of each owner: owners, and the index of their variant."""
    order = np.lexsort((-segmentation.score, owner))
    owners, first = np.unique(owner[order], return_index=True)
    return owners, order[first]


def _try_selenocysteine(sequences: list[str], found: Reading, model: Model) -> Reading:
    """Read UCA tRNAs that are canonical without an eighth acceptor pair (7a:65a)."""
    owner, variants = [], []
    for row, s in enumerate(sequences):
        if not 84 <= len(s) <= 105 or "UCA" not in s[28:48] or found.spliced[row]:
            continue
        for tail in range(SEC_TAILS):
            at = len(s) - tail - 9  # 65a, given position 73 at -tail - 1
            owner.append(row)
            variants.append(s[:7] + s[8:at] + s[at + 1 :])
    if not variants:
        return found
    tried = segment(variants, model, posterior=False)
    # the cut must fall where the reading has its ends, and leave UCA at 34-36
    anticodon = [
        v[a + 7 : a + 10] for v, a in zip(variants, _arm_start(tried), strict=True)
    ]
    placed = (tried.lead == 0) & (tried.tail == np.arange(len(variants)) % SEC_TAILS)
    placed &= (np.array(anticodon) == "UCA") & (tried.variable >= 11)
    tried = replace(tried, score=np.where(placed, tried.score, -np.inf))
    owners, best = _best_variants(np.array(owner), tried)
    better = tried.score[best] - SELENOCYSTEINE_COST > found.segmentation.score[owners]
    rows = owners[better]
    flags = found.selenocysteine.copy()
    flags[rows] = True
    found = _adopt(found, rows, [variants[i] for i in best[better]], model)
    return replace(found, selenocysteine=flags)


def _arm_start(s: Segmentation) -> NDArray[np.int64]:
    """Index of position 27 within what was segmented."""
    return s.lead + 7 + s.linker + 6 + s.alpha + 2 + s.beta + 1 + 4 + s.hinge


def _try_introns(sequences: list[str], found: Reading, model: Model) -> Reading:
    """Cut out every intron after 37 that leaves an anticodon stem; keep one that pays."""
    owner: list[int] = []
    cuts: list[tuple[int, int]] = []
    for row in np.flatnonzero(_untouched(found, INTRON_SCORE)).tolist():
        if len(sequences[row]) >= LONG_ENOUGH_FOR_INTRON:
            cuts += (mine := _possible_introns(sequences[row]))
            owner += [row] * len(mine)
    if not owner:
        return found
    variants = [cut_out(sequences[r], *c) for r, c in zip(owner, cuts, strict=True)]
    tried = segment(variants, model, posterior=False)
    # the cut must fall where the reading has its anticodon loop: after 37
    placed = _arm_start(tried) + 11 == np.array(cuts)[:, 0]
    placed &= (tried.anticodon_loop == 7) & (tried.variable >= 3)
    tried = replace(tried, score=np.where(placed, tried.score, -np.inf))
    return _adopt_cuts(found, np.array(owner), np.array(cuts), variants, tried, True, model)


def _try_insertions(sequences: list[str], found: Reading, model: Model) -> Reading:
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
    variants = [cut_out(sequences[r], a, k) for r, a, k in cuts]
    tried = segment(variants, model, posterior=False)
    placed = (tried.lead == 0) & (tried.linker <= 2) & (tried.alpha + tried.beta <= 6)
    tried = replace(tried, score=np.where(placed, tried.score, -np.inf))
    table = np.array(cuts)
    return _adopt_cuts(found, table[:, 0], table[:, 1:], variants, tried, False, model)


def _rows_with_t_loop(
    sequences: list[str], found: Reading, below: float
) -> NDArray[np.int64]:
    """Rows read poorly that have a T loop where one may be: worth costlier attempts."""
    doubtful = np.flatnonzero(_untouched(found, below))
    return np.array([r for r in doubtful if T_LOOP.search(sequences[r][-45:])], np.int64)


def _adopt_cuts(
    found: Reading, owner: NDArray, cuts: NDArray, variants: list[str],
    tried: Segmentation, is_intron: bool, model: Model,
) -> Reading:  # fmt: skip
    """Take the best cut of each owner where it beats the reading without one."""
    owners, best = _best_variants(owner, tried)
    cost = INTRON_COST if is_intron else INSERTION_COST
    least = np.maximum(found.segmentation.score[owners], FOUND_SCORE) + cost
    better = tried.score[best] > least
    rows, best = owners[better], best[better]
    cut, kind = found.cut.copy(), found.is_intron.copy()
    special = found.selenocysteine.copy()
    cut[rows], kind[rows], special[rows] = cuts[best], is_intron, False
    found = _adopt(found, rows, [variants[i] for i in best], model)
    return replace(found, cut=cut, is_intron=kind, selenocysteine=special)


def _try_partial(sequences: list[str], found: Reading, model: Model) -> Reading:
    """Read what lacks bases at an end, or has more than a few before position 1."""
    doubtful = _rows_with_t_loop(sequences, found, PARTIAL_BELOW)
    drawn = [
        (row, *ends)
        for row in doubtful
        for ends in _possible_ends(sequences[row])
        if len(sequences[row]) + ends[0] + ends[1] - ends[2] in USUAL_LENGTHS
    ]
    if not drawn:
        return found
    owner, shape = np.split(np.array(drawn), [1], axis=1)
    owner = owner[:, 0]
    variants = [
        "N" * a + sequences[row][skip:] + "N" * b
        for row, (a, b, skip) in zip(owner, shape, strict=True)
    ]
    tried = segment(variants, model, posterior=False)
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
    found = _adopt(found, rows, [variants[i] for i in best], model)
    return replace(found, selenocysteine=special, missing=missing, skipped=skipped)


def _possible_ends(s: str) -> list[tuple[int, int, int]]:
    """List bases missing at either end, or to leave out, that D and T loops allow."""
    before = {0} | {
        SEAT_14 + k - match.start()
        for match in D_LOOP.finditer(s[:40])
        for k in (-1, 0, 1)  # linker: one to three bases
    }
    after = {0} | {
        FROM_53 + k - (len(s) - match.start())
        for match in T_LOOP.finditer(s)
        for k in (-1, 0, 1)  # the T loop has six to eight
    }
    missing = range(MOST_MISSING + 1)
    ends = [(a, b, 0) for a in missing for b in missing if a in before and b in after]
    late = [-a for a in before if -MOST_SKIPPED <= a < 0]
    return [e for e in ends if e[0] + e[1]] + [(0, b, k) for b in range(4) for k in late]


def _possible_introns(s: str) -> list[tuple[int, int]]:
    """List starts and lengths of introns whose removal leaves a paired anticodon stem."""
    cuts = []
    for arm in range(24, 33):
        if s[arm + 6 : arm + 7] != "U":  # position 33
            continue
        partners = [BASES_PAIRED_WITH.get(base, "") for base in s[arm : arm + 5]]
        longest = min(LONGEST_INTRON, len(s) - arm - 17 - 26)
        for length in range(SHORTEST_INTRON, longest + 1):
            last = arm + 16 + length
            if sum(map(str.__contains__, partners, s[last : last - 5 : -1])) >= 4:
                cuts.append((arm + 11, length))
    return cuts
