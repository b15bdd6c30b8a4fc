"""Finding the cloverleaf: all segmentations of a sequence scored at once.

A tRNA is a chain of stems and loops. Given where its 5' end, its anticodon stem and its 3'
end lie, the rest of the score is a sum of parts, so that the best of the millions of ways
to cut a sequence is found by a handful of array operations over all sequences at once; no
step decides before another has been seen. The sum over all ways gives the posterior
probability of the best one.

Sequences are the last axis of every array, so that each operation runs along many of them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omicsai.trna.positions import STEM_PAIRS

__all__ = [
    "LEADS",
    "TAILS",
    "Model",
    "Segmentation",
    "as_model",
    "encode",
    "load_model",
    "segment",
]

NUCLEOTIDES = "ACGU"
UNKNOWN = 4  # any other letter, and what lies outside the sequence: scores zero
LEADS = 5  # bases before position 1: 0 to 4
TAILS = 8  # bases after position 73: 0 to 7, CCA among them
D_STARTS = range(8, LEADS + 10)  # where position 10 may lie
D_LOOP_EXTRA = 12  # alpha + beta: 0 to 11
ARM_STARTS = range(21, LEADS + 36)  # where position 27 may lie
LOOP_7 = (6, 7, 8)  # lengths of anticodon and T loop
# log prior of leads and tails: genes begin at position 1, and end at 73 or with CCA
LEAD_PRIOR = np.log([0.90, 0.07, 0.01, 0.01, 0.01])
TAIL_PRIOR = np.log([0.50, 0.015, 0.015, 0.45, 0.005, 0.005, 0.005, 0.005])
CCA_LOG_ODDS = {True: 1.3, False: -3.0}
CHUNK = 192  # sequences at a time: their tables stay in the cache
NEVER = np.float32(-1e9)  # what cannot be; finite, so that differences of it are no NaN
CODES = np.full(256, UNKNOWN, dtype=np.intp)
CODES[list(NUCLEOTIDES.encode())] = range(4)


@dataclass(frozen=True)
class Model:
    """Parameters of the numbering model, as lookup tables in nats.

    Attributes
    ----------
    base
        (5,) log-odds of A, C, G, U and unknown, by position.
    pair
        (25,) log-odds of a stem pair, 5 times the 5' code plus the 3' code, by 5' position.
    length
        Log probability of each length of a span, from ``shortest[span]`` on.
    """

    base: dict[str, NDArray[np.float32]]
    pair: dict[str, NDArray[np.float32]]
    length: dict[str, NDArray[np.float32]]
    shortest: dict[str, int]

    def span(self, name: str, length: int) -> float:
        """Log probability of a span's length."""
        return float(self.length[name][length - self.shortest[name]])


@dataclass(frozen=True)
class Segmentation:
    """Where the parts of each sequence lie; arrays of (n,) int64 unless said otherwise.

    Attributes
    ----------
    lead
        Bases before position 1.
    linker, alpha, beta, hinge
        Bases between 7 and 10, 15 and 18, 19 and 21, 25 and 27.
    anticodon_loop, variable, t_loop
        Bases between 31 and 39, 43 and 49, 53 and 61.
    tail
        Bases after position 73.
    score
        (n,) float32 log-odds against random bases, nats.
    posterior
        (n,) float32 probability of this segmentation among all; NaN if it was not asked
        for.
    """

    lead: NDArray[np.int64]
    linker: NDArray[np.int64]
    alpha: NDArray[np.int64]
    beta: NDArray[np.int64]
    hinge: NDArray[np.int64]
    anticodon_loop: NDArray[np.int64]
    variable: NDArray[np.int64]
    t_loop: NDArray[np.int64]
    tail: NDArray[np.int64]
    score: NDArray[np.float32]
    posterior: NDArray[np.float32]


@cache
def load_model() -> Model:
    """Read the parameters that the package ships (see ``data/numbering.md``)."""
    text = resources.files("omicsai.trna").joinpath("data/numbering.json").read_text()
    return as_model(json.loads(text))


def as_model(raw: dict[str, Any]) -> Model:
    """Make lookup tables of the parameters that `omicsai.trna.training` estimates."""
    base = {k: np.array([*v, 0.0], dtype=np.float32) for k, v in raw["base"].items()}
    pair = {}
    for name, values in raw["pair"].items():
        table = np.zeros((5, 5), dtype=np.float32)
        table[:4, :4] = np.reshape(values, (4, 4))
        pair[name.split(":")[0]] = table.ravel()
    length = {
        k: np.array(v["log_probability"], np.float32) for k, v in raw["length"].items()
    }
    return Model(base, pair, length, {k: v["shortest"] for k, v in raw["length"].items()})


def encode(
    sequences: Sequence[str], *, width: int, from_end: bool = False
) -> NDArray[np.intp]:
    """Codes (width, n) of the first bases, or of the last ones counted from the end."""
    shown = [s[: -width - 1 : -1] if from_end else s[:width] for s in sequences]
    text = "".join([s.ljust(width) for s in shown]).encode("ascii", "replace")
    return CODES[np.frombuffer(text, np.uint8).reshape(len(shown), width).T.copy()]


def segment(
    sequences: Sequence[str], model: Model | None = None, *, posterior: bool = True
) -> Segmentation:
    """Find the best segmentation of each sequence.

    Parameters
    ----------
    sequences
        Upper-case RNA without introns.
    model
        Parameters; the shipped ones by default.
    posterior
        Whether to sum over all segmentations too, which takes half of the time.

    Returns
    -------
    Segmentation
        Also for sequences that are no tRNA: judge by score and posterior.
    """
    model = model or load_model()
    lengths = np.array([len(s) for s in sequences], dtype=np.int64)
    order = np.argsort(lengths, kind="stable")  # those of one length have fewer ways
    chunks = [order[i : i + CHUNK] for i in range(0, len(order), CHUNK)]
    read = [_segment_chunk([sequences[i] for i in c], model, posterior) for c in chunks]
    found: dict[str, Any] = {}
    for field in fields(Segmentation):
        kind = np.float32 if field.name in ("score", "posterior") else np.int64
        found[field.name] = np.zeros(len(order), kind)
        for rows, part in zip(chunks, read, strict=True):
            found[field.name][rows] = part[field.name]
    return Segmentation(**found)


@dataclass(frozen=True)
class _Table:
    """Ways to reach each state.

    Attributes
    ----------
    candidates
        (choices, states..., n) score of the best way by each choice.
    best
        (states..., n) score of the best of them.
    excess
        (states..., n) log of the sum over all ways, less the best; None if not wanted.
    """

    candidates: NDArray[np.float32]
    best: NDArray[np.float32]
    excess: NDArray[np.float32] | None

    def choice(self, first: NDArray, second: NDArray) -> NDArray[np.int64]:
        """Return the best choice (n,) for one state of each sequence, first of equals."""
        options = self.candidates[:, first, second, np.arange(len(first))]
        return options.argmax(axis=0).astype(np.int64)


def _choose(candidates: NDArray, excess: NDArray | None) -> _Table:
    """Reduce the first axis; `excess` is that of each candidate, None for no sums."""
    best = candidates.max(axis=0)
    if excess is None:
        return _Table(candidates, best, None)
    return _Table(candidates, best, np.log(np.exp(candidates - best + excess).sum(axis=0)))


def _segment_chunk(
    sequences: list[str], model: Model, posterior: bool
) -> dict[str, NDArray]:
    """Fields of the `Segmentation` of sequences of about the same length."""
    n = len(sequences)
    if n == 1:  # NumPy adds up a single column in another order
        alone = _segment_chunk(sequences * 2, model, posterior)
        return {name: values[:1] for name, values in alone.items()}
    lengths = np.array([len(s) for s in sequences], dtype=np.int64)
    X = encode(sequences, width=ARM_STARTS.stop + 24)
    R = encode(sequences, width=TAILS + 28, from_end=True)
    # the shortest T arm and acceptor stem take 24 bases, the anticodon arm 16
    last = max(ARM_STARTS.start, min(ARM_STARTS.stop - 1, int(lengths.max()) - 40))
    arms = np.arange(ARM_STARTS.start, last + 1)
    none = np.zeros(1, np.float32) if posterior else None
    d_loop = _d_loop(X, model, none)
    d_arm = _d_arm(X, d_loop, arms, model)
    start = _start(X, d_arm, model)
    end = _through_anticodon_arm(X, start, arms, model)
    # anticodon arms end before b; T arms begin `first` bases before the end
    b = np.arange(arms[0] + 16, arms[-1] + 19)
    tail, loop = np.arange(TAILS)[:, None], np.arange(len(LOOP_7))
    first = tail + 18 + LOOP_7[0] + loop
    three_prime = _acceptor(X, R, model)[:, :, None] + _t_arm(R, model)
    span = _variable(lengths - first[0, 0] - b[0], len(b) + TAILS + 2, model)
    span = span[np.arange(len(b))[:, None, None] + tail + loop]
    span += _singles(X, b, ("44", "45", "46"), model)[:, None, None]
    total = end.best[:, :, None, None] + span
    total += three_prime[:, None]  # lead, end, tail, T loop
    flat = total.reshape(-1, n)
    how = flat.argmax(axis=0)
    score = flat[how, np.arange(n)]
    chance = np.full(n, np.nan, np.float32)
    if end.excess is not None:
        total -= score
        total += end.excess[:, :, None, None]
        chance = 1 / np.exp(flat, out=flat).sum(axis=0)

    lead, at_end, at_tail, t = np.unravel_index(how, total.shape[:-1])
    at_loop = end.choice(lead, at_end)
    at_start = at_end - at_loop
    linker = start.choice(lead, at_start) + 1
    d_start = lead + linker - 1
    hinge = d_arm.choice(d_start, at_start)
    extra = np.clip(at_start - d_start - hinge, 0, D_LOOP_EXTRA - 1)
    alpha = d_loop.choice(d_start, extra)
    return {
        "lead": lead,
        "linker": linker,
        "alpha": alpha,
        "beta": extra - alpha,
        "hinge": hinge,
        "anticodon_loop": at_loop + LOOP_7[0],
        "variable": lengths - first[at_tail, t] - b[at_end],
        "t_loop": t + LOOP_7[0],
        "tail": at_tail,
        "score": np.where(score > NEVER / 2, score, -np.inf),
        "posterior": chance,
    }


def _singles(
    codes: NDArray, starts: NDArray, labels: Sequence[str], model: Model, step: int = 1
) -> NDArray[np.float32]:
    """Score (starts..., n) of consecutive unpaired positions that begin at each start."""
    total = np.zeros((*np.shape(starts), codes.shape[1]), np.float32)
    for k, label in enumerate(labels):
        if label in model.base:  # not yet in the first round of training
            total += model.base[label].take(codes[starts + step * k])
    return total


def _pairs(
    five: NDArray, starts: NDArray, three: NDArray, ends: NDArray, stem: str,
    model: Model, steps: tuple[int, int] = (1, -1),
) -> NDArray[np.float32]:  # fmt: skip
    """Score (starts x ends..., n) of a stem, from its outermost pair inwards.

    Parameters
    ----------
    five, three
        Codes that hold the 5' and the 3' strand.
    starts, ends
        Rows of the outermost pair, which broadcast.
    stem
        Which of `STEM_STARTS`.
    steps
        From one pair to the next in either.
    """
    shape = np.broadcast_shapes(np.shape(starts), np.shape(ends))
    total = np.zeros((*shape, five.shape[1]), dtype=np.float32)
    for k, label in enumerate(STEM_STARTS[stem]):
        pair = 5 * five[starts + steps[0] * k] + three[ends + steps[1] * k]
        total += model.pair[label].take(pair)
    return total


STEM_STARTS = {
    name: tuple(a for a, _ in STEM_PAIRS if low <= int(a) <= high)
    for name, low, high in (
        ("acceptor", 1, 7), ("d", 10, 13), ("anticodon", 27, 31), ("t", 49, 53),
    )
}  # fmt: skip


def _d_loop(X: NDArray, model: Model, none: NDArray | None) -> _Table:
    """D stem begins at d, its loop has w bases beyond the fixed ones: (alpha, d, w, n)."""
    d = np.array(D_STARTS)
    second = d[:, None] + 9 + np.arange(D_LOOP_EXTRA)  # position 22
    stem = _pairs(X, d[:, None], X, second + 3, "d", model)
    stem += _singles(X, second - 1, ("21",), model)
    stem += _singles(X, d + 4, ("14", "15"), model)[:, None]
    alphas = np.arange(len(model.length["alpha"]))
    seat = d + 6 + alphas[:, None]  # position 18
    gg = _singles(X, seat, ("18", "19"), model) + model.length["alpha"][:, None, None]
    for filled, label in enumerate(("16", "17", "17a")):
        gg[filled + 1 :] += _singles(X, d + 6 + filled, (label,), model)
    after = [
        _singles(X, seat + 2 + filled, (label,), model)
        for filled, label in enumerate(("20", "20a", "20b"))
    ]
    spans = model.length["beta"][:, None]
    candidates = np.full((len(alphas), *stem.shape), NEVER)
    for a in alphas:
        ways = candidates[a, :, a : a + len(spans)]  # by beta
        np.add(stem[:, a : a + len(spans)], gg[a, :, None], out=ways)
        ways += spans
        for filled, scores in enumerate(after):
            ways[:, filled + 1 :] += scores[a, :, None]
    return _choose(candidates, none)


def _d_arm(X: NDArray, d_loop: _Table, arms: NDArray, model: Model) -> _Table:
    """D stem begins at d, anticodon arm at a: (hinge, d, a, n)."""
    hinge = np.arange(len(model.length["hinge"]))[:, None, None]
    d = np.arange(len(D_STARTS))[:, None]
    extra = np.arange(len(arms)) - d - hinge
    possible = (extra >= 0) & (extra < D_LOOP_EXTRA)
    place = np.where(possible, extra, 0)
    step = np.empty((len(hinge), len(arms), X.shape[1]), np.float32)
    step[:] = model.length["hinge"][:, None, None]
    step[1:] += _singles(X, arms - 1, ("26",), model)
    candidates = d_loop.best[d, place]
    candidates[~possible] = NEVER
    candidates += step[:, None]
    return _choose(candidates, _at(d_loop.excess, d, place))


def _start(X: NDArray, d_arm: _Table, model: Model) -> _Table:
    """From `lead` bases before 1 to the anticodon arm: (linker - 1, lead, a, n)."""
    lead, linker = np.arange(LEADS), np.arange(len(model.length["linker"]))[:, None]
    prior = model.length["linker"][:, None] + LEAD_PRIOR.astype(np.float32)
    step = prior[..., None] + _singles(X, lead + 7, ("8",), model)
    step[1:] += _singles(X, lead + 8, ("9",), model)
    candidates = d_arm.best[lead + linker] + step[:, :, None]
    return _choose(candidates, _at(d_arm.excess, lead + linker))


def _through_anticodon_arm(
    X: NDArray, start: _Table, arms: NDArray, model: Model
) -> _Table:
    """To the end of the anticodon arm: (loop - 6, lead, end, n)."""
    loop = np.array(LOOP_7)[:, None]
    last = arms + 9 + loop
    arm = _pairs(X, arms, X, last, "anticodon", model)
    arm += _singles(X, arms + 5, ("32", "33"), model)
    arm += (
        _singles(X, last - 6, ("37", "38"), model)
        + model.length["anticodon_loop"][:, None, None]
    )
    leads, states, n = start.best.shape
    shape = (len(loop), leads, states + len(loop) - 1, n)
    candidates = np.full(shape, NEVER)
    excess = None if start.excess is None else np.zeros(shape, np.float32)
    for k in range(len(loop)):
        candidates[k, :, k : k + states] = start.best + arm[k]
        if excess is not None:
            excess[k, :, k : k + states] = start.excess
    return _choose(candidates, excess)


def _at(excess: NDArray | None, *states: NDArray) -> NDArray | None:
    return None if excess is None else excess[states]


def _acceptor(X: NDArray, R: NDArray, model: Model) -> NDArray[np.float32]:
    """(lead, tail, n): acceptor stem, discriminator and what follows it."""
    lead, tail = np.arange(LEADS)[:, None], np.arange(TAILS)
    stem = _pairs(X, lead, R, tail + 1, "acceptor", model, steps=(1, 1))
    end = _singles(R, tail, ("73",), model) + TAIL_PRIOR.astype(np.float32)[:, None]
    for place, code in enumerate((1, 1, 0)):  # CCA
        found = R[: TAILS - 1 - place] == code
        odds = np.where(found, CCA_LOG_ODDS[True], CCA_LOG_ODDS[False])
        end[place + 1 :] += odds.astype(np.float32)
    return stem + end


def _t_arm(R: NDArray, model: Model) -> NDArray[np.float32]:
    """(tail, T loop - 6, n): T arm and base 48 before it."""
    tail, loop = np.arange(TAILS)[:, None], np.array(LOOP_7)
    first = tail + 17 + loop  # position 49, counted from the end
    arm = _pairs(R, first, R, tail + 8, "t", model, steps=(-1, 1))
    arm += _singles(R, first - 5, ("54", "55", "56", "57", "58"), model, step=-1)
    arm += _singles(R, tail + 14, ("59", "60"), model, step=-1)
    arm += _singles(R, first + 1, ("48",), model)
    return arm + model.length["t_loop"][:, None]


def _variable(longest: NDArray, count: int, model: Model) -> NDArray[np.float32]:
    """(count, n) score of the variable loop's length, from `longest` downwards."""
    known = model.length["variable"]
    length = longest - np.arange(count)[:, None]
    possible = (length >= 0) & (length < len(known))
    return np.where(possible, known[np.where(possible, length, 0)], NEVER)
