"""Finding the cloverleaf: all segmentations of a sequence scored at once.

A tRNA is a chain of stems and loops. Given where its 5' end, its anticodon stem and its 3'
end lie, the rest of the score is a sum of parts, so that the best of the millions of ways
to cut a sequence is found by a handful of array operations over all sequences at once; no
step decides before another has been seen. The sum over all ways gives the posterior
probability of the best one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
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
CHUNK = 128  # sequences at a time: their tables stay in the cache


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
        (n,) float32 probability of this segmentation among all.
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
) -> NDArray[np.int64]:
    """Codes (n, width) of the first bases, or of the last ones counted from the end."""
    letters = np.full(256, UNKNOWN, dtype=np.int64)
    for code, base in enumerate(NUCLEOTIDES):
        letters[ord(base)] = code
    codes = np.full((len(sequences), width), UNKNOWN, dtype=np.int64)
    for row, sequence in enumerate(sequences):
        shown = sequence[::-1] if from_end else sequence
        raw = np.frombuffer(shown[:width].encode("ascii"), dtype=np.uint8)
        codes[row, : len(raw)] = letters[raw]
    return codes


def segment(sequences: Sequence[str], model: Model | None = None) -> Segmentation:
    """Find the best segmentation of each sequence.

    Parameters
    ----------
    sequences
        Upper-case RNA without introns.
    model
        Parameters; the shipped ones by default.

    Returns
    -------
    Segmentation
        Also for sequences that are no tRNA: judge by score and posterior.
    """
    model = model or load_model()
    if not len(sequences):
        none = np.zeros(0, dtype=np.int64)
        empty = none.astype(np.float32)
        spans = list(Segmentation.__dataclass_fields__)[:-2]
        return Segmentation(**dict.fromkeys(spans, none), score=empty, posterior=empty)
    chunks = [
        _segment_chunk(sequences[i : i + CHUNK], model)
        for i in range(0, len(sequences), CHUNK)
    ]
    names = Segmentation.__dataclass_fields__
    return Segmentation(
        **{name: np.concatenate([getattr(c, name) for c in chunks]) for name in names}
    )


@dataclass(frozen=True)
class _Table:
    """Best way to reach each state, how, and the sum over all ways (log)."""

    best: NDArray[np.float32]
    how: NDArray[np.int64]
    total: NDArray[np.float32]


def _choose(candidates: NDArray, extra: NDArray) -> _Table:
    """Reduce the last axis; `extra` is what the sum of a candidate exceeds its best by."""
    how = candidates.argmax(axis=-1)
    best = np.take_along_axis(candidates, how[..., None], axis=-1)[..., 0]
    safe = np.where(np.isfinite(best), best, 0)
    mass = np.exp(candidates + extra - safe[..., None]).sum(axis=-1)
    with np.errstate(divide="ignore"):
        return _Table(best, how, safe + np.log(mass))


def _excess(table: _Table) -> NDArray:
    """By how much the sum over all ways exceeds the best one; 0 where there is none."""
    reached = np.isfinite(table.best)
    with np.errstate(invalid="ignore"):
        return np.where(reached, table.total - table.best, 0)


def _segment_chunk(sequences: Sequence[str], model: Model) -> Segmentation:
    n = len(sequences)
    rows = np.arange(n)
    lengths = np.array([len(s) for s in sequences], dtype=np.int64)
    X = encode(sequences, width=ARM_STARTS.stop + 24)
    R = encode(sequences, width=TAILS + 28, from_end=True)

    d_loop, d_arm, start = _to_anticodon_arm(X, model)
    end = _through_anticodon_arm(X, start, model)
    three_prime = (
        _acceptor(X, R, model)[..., None] + _t_arm(R, model)[:, None]
    )  # lead, tail, T loop
    # anticodon arms end before b; T arms begin `first` bases before the end
    b = np.arange(ARM_STARTS.start + 16, ARM_STARTS.stop + 18)
    first = np.arange(TAILS)[:, None] + 18 + np.array(LOOP_7)
    variable = lengths[:, None, None, None] - first - b[:, None, None]
    known = model.length["variable"]
    possible = (variable >= 0) & (variable < len(known))
    span = np.where(possible, known[np.where(possible, variable, 0)], -np.inf)
    span = span + _singles(X, b, ("44", "45", "46"), model)[:, :, None, None]
    total = end.best[..., None, None] + span[:, None] + three_prime[:, :, None]
    excess = np.broadcast_to(_excess(end)[..., None, None], total.shape)
    whole = _choose(total.reshape(n, -1), excess.reshape(n, -1))

    lead, at_end, tail, t = np.unravel_index(whole.how, total.shape[1:])
    loop = end.how[rows, lead, at_end]
    at_start = at_end - loop
    linker = start.how[rows, lead, at_start] + 1
    d_start = lead + 7 + linker - D_STARTS.start
    hinge = d_arm.how[rows, d_start, at_start]
    extra = at_start + ARM_STARTS.start - (d_start + D_STARTS.start) - 13 - hinge
    alpha = d_loop.how[rows, d_start, np.clip(extra, 0, D_LOOP_EXTRA - 1)]
    return Segmentation(
        lead=lead,
        linker=linker,
        alpha=alpha,
        beta=extra - alpha,
        hinge=hinge,
        anticodon_loop=loop + LOOP_7[0],
        variable=lengths - first[tail, t] - b[at_end],
        t_loop=t + LOOP_7[0],
        tail=tail,
        score=whole.best.astype(np.float32),
        posterior=np.exp(-_excess(whole)).astype(np.float32),
    )


def _singles(
    codes: NDArray, starts: NDArray, labels: Sequence[str], model: Model, step: int = 1
) -> NDArray[np.float32]:
    """Score of consecutive unpaired positions that begin at each start."""
    total: NDArray[np.float32] = np.zeros((len(codes), *np.shape(starts)), np.float32)
    for k, label in enumerate(labels):
        if label not in model.base:  # the first round of training
            continue
        total += model.base[label][codes[:, starts + step * k]]
    return total


def _pairs(
    five: NDArray, three: NDArray, labels: Sequence[str], model: Model
) -> NDArray[np.float32]:
    """Score of stem pairs: codes (n, ..., pairs) of both strands, outermost first."""
    total = np.zeros(np.broadcast_shapes(five.shape, three.shape)[:-1], dtype=np.float32)
    for k, label in enumerate(labels):
        total += model.pair[label][5 * five[..., k] + three[..., k]]
    return total


STEM_STARTS = {
    name: tuple(a for a, _ in STEM_PAIRS if low <= int(a) <= high)
    for name, low, high in (
        ("acceptor", 1, 7), ("d", 10, 13), ("anticodon", 27, 31), ("t", 49, 53),
    )
}  # fmt: skip


def _to_anticodon_arm(X: NDArray, model: Model) -> tuple[_Table, _Table, _Table]:
    """From the 5' end to the anticodon arm.

    Returns
    -------
    d_loop : (n, d, w)
        D stem begins at d and its loop has w bases more than the fixed ones; how = alpha.
    d_arm : (n, d, a)
        Anticodon arm begins at a; how = hinge.
    start : (n, lead, a)
        how = linker - 1.
    """
    d, w = np.array(D_STARTS), np.arange(D_LOOP_EXTRA)
    second = d[:, None] + 9 + w  # position 22
    k = np.arange(4)
    stem = _pairs(
        X[:, d[:, None, None] + k], X[:, second[..., None] + 3 - k],
        STEM_STARTS["d"], model,
    ) + _singles(X, second - 1, ("21",), model)  # fmt: skip
    stem += _singles(X, d + 4, ("14", "15"), model)[..., None]
    alpha = np.arange(len(model.length["alpha"]))
    seat = d[:, None] + 6 + alpha  # position 18
    gg = _singles(X, seat, ("18", "19"), model) + model.length["alpha"]
    for filled, label in enumerate(("16", "17", "17a")):
        gg[..., filled + 1 :] += _singles(X, d + 6 + filled, (label,), model)[..., None]
    beta = w[:, None] - alpha
    known = model.length["beta"]
    possible = (beta >= 0) & (beta < len(known))
    spans = np.where(possible, known[np.where(possible, beta, 0)], -np.inf)
    candidates = stem[..., None] + gg[:, :, None] + spans
    for filled, label in enumerate(("20", "20a", "20b")):
        after = _singles(X, seat + 2 + filled, (label,), model)
        candidates += np.where(beta > filled, after[:, :, None], 0)
    d_loop = _choose(candidates, np.zeros(1, np.float32))

    hinge = np.arange(len(model.length["hinge"]))
    arms = np.array(ARM_STARTS)
    extra = arms[:, None] - d[:, None, None] - 13 - hinge
    possible = (extra >= 0) & (extra < D_LOOP_EXTRA)
    place = np.where(possible, extra, 0)
    which = np.arange(len(d))[:, None, None]
    base_26 = _singles(X, arms - 1, ("26",), model)
    step = model.length["hinge"] + np.where(hinge > 0, base_26[..., None], 0)
    candidates = np.where(possible, d_loop.best[:, which, place], -np.inf)
    d_arm = _choose(candidates + step[:, None], _excess(d_loop)[:, which, place])

    lead, linker = np.arange(LEADS)[:, None], np.arange(1, 4)
    which = lead + 7 + linker - D_STARTS.start
    step = model.length["linker"] + LEAD_PRIOR.astype(np.float32)[:, None]
    step = (
        step
        + model.base["8"][X[:, lead + 7]]
        + np.where(linker > 1, model.base["9"][X[:, lead + 8]], 0)
    )
    candidates = d_arm.best[:, which] + step[..., None]  # n, lead, linker, a
    start = _choose(
        np.moveaxis(candidates, 2, 3), np.moveaxis(_excess(d_arm)[:, which], 2, 3)
    )
    return d_loop, d_arm, start


def _through_anticodon_arm(X: NDArray, start: _Table, model: Model) -> _Table:
    """(n, lead, end): the arm's last base is before `end`; how = loop - 6."""
    arms, loop = np.array(ARM_STARTS), np.array(LOOP_7)
    k = np.arange(5)
    last = arms[:, None] + 9 + loop
    arm = _pairs(
        X[:, arms[:, None, None] + k], X[:, last[..., None] - k],
        STEM_STARTS["anticodon"], model,
    )  # fmt: skip
    arm += _singles(X, arms + 5, ("32", "33"), model)[..., None]
    arm += _singles(X, last - 6, ("37", "38"), model) + model.length["anticodon_loop"]
    ends = np.arange(len(arms) + len(loop) - 1)
    begins = ends[:, None] - np.arange(len(loop))
    possible = (begins >= 0) & (begins < len(arms))
    place = np.where(possible, begins, 0)
    arm = np.where(possible, arm[:, place, np.arange(len(loop))], -np.inf)
    return _choose(start.best[:, :, place] + arm[:, None], _excess(start)[:, :, place])


def _acceptor(X: NDArray, R: NDArray, model: Model) -> NDArray[np.float32]:
    """(n, lead, tail): acceptor stem, discriminator and what follows it."""
    lead, tail, k = np.arange(LEADS), np.arange(TAILS), np.arange(7)
    stem = _pairs(
        X[:, lead[:, None] + k][:, :, None],
        R[:, tail[:, None] + 1 + k][:, None],
        STEM_STARTS["acceptor"], model,
    )  # fmt: skip
    end = _singles(R, tail, ("73",), model) + TAIL_PRIOR.astype(np.float32)
    for place, code in enumerate((1, 1, 0)):  # CCA
        inside = tail > place
        found = R[:, np.where(inside, tail - 1 - place, 0)] == code
        odds = np.where(found, CCA_LOG_ODDS[True], CCA_LOG_ODDS[False])
        end += np.where(inside, odds, 0).astype(np.float32)
    return stem + end[:, None]


def _t_arm(R: NDArray, model: Model) -> NDArray[np.float32]:
    """(n, tail, T loop - 6): T arm and base 48 before it."""
    tail, loop, k = np.arange(TAILS)[:, None], np.array(LOOP_7), np.arange(5)
    first = tail + 17 + loop  # position 49, counted from the end
    arm = _pairs(
        R[:, first[..., None] - k],
        R[:, np.broadcast_to(tail[..., None], (*first.shape, 1)) + 8 + k],
        STEM_STARTS["t"], model,
    )  # fmt: skip
    arm += _singles(R, first - 5, ("54", "55", "56", "57", "58"), model, step=-1)
    arm += _singles(R, tail + 14, ("59", "60"), model, step=-1)
    arm += _singles(R, first + 1, ("48",), model)
    return arm + model.length["t_loop"]
