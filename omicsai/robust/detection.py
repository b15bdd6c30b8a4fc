"""Which given labels are probably wrong: the detector, its rivals, and their votes.

All of them judge out-of-fold scores: logits of a classifier that has seen neither the
example nor its homologues.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omicsai.errors import InputError
from omicsai.robust.neighbours import unit_rows
from omicsai.robust.noise_model import (
    NoiseModel,
    anchored_noise,
    anchors_explain_better,
    uniform_noise,
)
from omicsai.tables import write_json

__all__ = [
    "Detector",
    "Judgement",
    "confident_joint",
    "confident_learning",
    "fit_detector",
    "load_detector",
    "neighbour_votes",
    "save_detector",
    "self_confidence",
]

BLOCK = 1024  # rows compared at a time, so that memory stays bounded


@dataclass(frozen=True)
class Judgement:
    """What a detector says of n labelled examples.

    Attributes
    ----------
    wrong
        (n,) probability that the given label is wrong.
    flagged
        (n,) whether it is called wrong.
    proposed
        (n,) most probable other class.
    probability
        (n,) probability of `proposed`, given the scores and the given label.
    posterior
        (n, C) probability of each class, given both.
    """

    wrong: NDArray[np.float64]
    flagged: NDArray[np.bool_]
    proposed: NDArray[np.int64]
    probability: NDArray[np.float64]
    posterior: NDArray[np.float64]


@dataclass(frozen=True)
class Detector:
    """Two noise models, and the cut above which a label is called wrong.

    Attributes
    ----------
    uniform, anchored
        Noise models under the two assumptions of `omicsai.robust.noise_model`.
    weights
        Say of each, 1/3 and 2/3: neither is dismissed, because scores alone cannot decide.
    cut
        Weighted probability of being wrong at which an example is flagged.
    rates
        Share of wrong labels that each expects.
    """

    uniform: NoiseModel
    anchored: NoiseModel
    weights: tuple[float, float]
    cut: float
    rates: tuple[float, float]

    @property
    def rate(self) -> float:
        """Share of wrong labels expected by the model that explains them better."""
        return self.rates[int(np.argmax(self.weights))]

    @property
    def transition(self) -> NDArray[np.float64]:
        """Estimated noise matrix (C, C) of that model: rows true, columns given class."""
        return (self.uniform, self.anchored)[int(np.argmax(self.weights))].transition

    def judge(self, logits: NDArray, labels: NDArray[np.int64]) -> Judgement:
        """Judge labelled examples.

        Parameters
        ----------
        logits
            (n, C) out-of-fold logits.
        labels
            (n,) given class indices.

        Returns
        -------
        Judgement
            At least one label of each given class is left unflagged.
        """
        P = np.average(
            [m.posterior(logits, labels) for m in (self.uniform, self.anchored)],
            axis=0,
            weights=self.weights,
        )
        rows = np.arange(len(labels))
        wrong = 1 - P[rows, labels]
        flagged = wrong >= self.cut
        for k in np.unique(labels[flagged]):
            members = np.flatnonzero(labels == k)
            if flagged[members].all():
                flagged[members[wrong[members].argmin()]] = False
        others = P.copy()
        others[rows, labels] = -1
        proposed = others.argmax(axis=1)
        return Judgement(wrong, flagged, proposed, P[rows, proposed], P)


def fit_detector(logits: NDArray, labels: NDArray[np.int64]) -> Detector:
    """Learn from all labels together how often and how they are wrong.

    Parameters
    ----------
    logits
        (n, C) out-of-fold logits.
    labels
        (n,) given class indices.

    Returns
    -------
    Detector
        The noise model that explains the labels better has twice the say of the other.
        The cut gives the list whose F1 is expected to be largest: if the first k of a
        ranking are flagged, a model whose probabilities of being wrong are w expects
        2 Σ_{i≤k} w_i / (k + Σ w).
    """
    uniform, anchored = uniform_noise(logits, labels), anchored_noise(logits, labels)
    weights = (1 / 3, 2 / 3)
    if not anchors_explain_better(logits, labels, uniform):
        weights = (2 / 3, 1 / 3)
    rows = np.arange(len(labels))
    wrong = [1 - m.posterior(logits, labels)[rows, labels] for m in (uniform, anchored)]
    rates = (float(wrong[0].mean()), float(wrong[1].mean()))
    return Detector(uniform, anchored, weights, _best_cut(wrong, weights), rates)


def _best_cut(wrong: list[NDArray], weights: tuple[float, float]) -> float:
    mean = np.average(wrong, axis=0, weights=weights)
    order = np.argsort(-mean, kind="stable")
    count = np.arange(1, len(mean) + 1)
    expected = np.average(
        [2 * np.cumsum(w[order]) / (count + w.sum()) for w in wrong],
        axis=0,
        weights=weights,
    )
    return float(mean[order[expected.argmax()]])


def save_detector(detector: Detector, path: Path | str) -> None:
    """Write a detector as JSON, atomically."""
    write_json(
        Path(path),
        asdict(detector)
        | {
            name: {
                "temperature": model.temperature,
                "bias": model.bias.tolist(),
                "transition": model.transition.tolist(),
            }
            for name, model in (
                ("uniform", detector.uniform),
                ("anchored", detector.anchored),
            )
        },
    )


def load_detector(path: Path | str) -> Detector:
    """Read a detector written by `save_detector`.

    Raises
    ------
    InputError
        If the file is missing or damaged.
    """
    try:
        about = json.loads(Path(path).read_text(encoding="utf-8"))
        uniform, anchored = (
            NoiseModel(
                float(about[name]["temperature"]),
                np.array(about[name]["bias"], dtype=np.float64),
                np.array(about[name]["transition"], dtype=np.float64),
            )
            for name in ("uniform", "anchored")
        )
        first, second = map(float, about["weights"])
        low, high = map(float, about["rates"])
        return Detector(
            uniform, anchored, (first, second), float(about["cut"]), (low, high)
        )
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} is missing or damaged ({error}): run 'omicsai train' again"
        ) from error


def self_confidence(
    probabilities: NDArray, labels: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Probability (n,) of the given label: small means suspicious."""
    return np.asarray(probabilities, np.float64)[np.arange(len(labels)), labels]


def confident_joint(
    probabilities: NDArray, labels: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Joint distribution of given and true class by confident learning.

    Northcutt et al. 2021 (arXiv 1911.00068), calibrated to the counts of given labels.

    Parameters
    ----------
    probabilities
        (n, C) out-of-fold.
    labels
        (n,) given class indices.

    Returns
    -------
    (C, C) float64
        Rows: given class; columns: true class; sums to 1. The noise rate is 1 less its
        trace.
    """
    P = np.asarray(probabilities, dtype=np.float64)
    classes = P.shape[1]
    given = np.bincount(labels, minlength=classes)
    own = np.bincount(labels, self_confidence(P, labels), minlength=classes)
    # no example can be confident in a class without labels
    threshold = np.where(given > 0, own / np.maximum(given, 1), 2.0)
    confident = (P - threshold) >= -1e-6
    joint = np.zeros((classes, classes))
    # an example that is confident in several classes counts for its most probable one
    several = confident.sum(axis=1) > 1
    chosen = np.where(several, P.argmax(axis=1), confident.argmax(axis=1))
    counted = confident.any(axis=1)
    np.add.at(joint, (labels[counted], chosen[counted]), 1)
    np.fill_diagonal(joint, np.maximum(np.diag(joint), 1))
    joint *= (given / joint.sum(axis=1))[:, None]
    return joint / joint.sum()


def confident_learning(
    probabilities: NDArray, labels: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Labels called wrong by confident learning, pruned by noise rate.

    For each pair of given class s and true class y, as many examples as `confident_joint`
    expects, those with the largest P[y] - P[s]; none whose most probable class is s.

    Parameters
    ----------
    probabilities, labels
        As in `confident_joint`.

    Returns
    -------
    (n,) bool
    """
    P = np.asarray(probabilities, dtype=np.float64)
    expected = _rounded(confident_joint(P, labels) * len(labels))
    flagged = np.zeros(len(labels), dtype=bool)
    for s, y in zip(*np.nonzero(expected), strict=True):
        if s != y:
            members = np.flatnonzero(labels == s)
            margin = P[members, y] - P[members, s]
            worst = np.argsort(-margin, kind="stable")[: expected[s, y]]
            flagged[members[worst]] = True
    return flagged & (P.max(axis=1) > self_confidence(P, labels))


def _rounded(counts: NDArray) -> NDArray[np.int64]:
    """Round counts (C, C), keeping the rounded sum of each row."""
    whole = np.rint(counts)
    for row, exact in zip(whole, counts, strict=True):
        missing = int(np.rint(exact.sum()) - row.sum())
        order = np.argsort(exact - row)[:: -1 if missing > 0 else 1]
        row[order[: abs(missing)]] += np.sign(missing)
    return whole.astype(np.int64)


def neighbour_votes(
    features: NDArray,
    cluster: NDArray,
    reference: NDArray,
    reference_labels: NDArray[np.int64],
    reference_cluster: NDArray,
    *,
    classes: int,
    count: int = 10,
) -> NDArray[np.float64]:
    """Share (n, C) of votes of the nearest labelled examples of other clusters.

    Parameters
    ----------
    features, cluster
        (n, d) standardised features, compared by cosine, and (n,) cluster ids.
    reference, reference_labels, reference_cluster
        (m, d), (m,) class indices and (m,) cluster ids of the voters. Members of the own
        cluster do not vote: homologues share mistakes.
    classes
        Number of classes C.
    count
        Voters per example; fewer if other clusters hold fewer. None gives zeros.
    """
    rows, known = unit_rows(features), unit_rows(reference)
    own, theirs = np.asarray(cluster).astype(str), np.asarray(reference_cluster).astype(str)
    votes = np.zeros((len(rows), classes))
    count = min(count, len(known))
    for start in range(0, len(rows), BLOCK):
        block = np.arange(start, min(start + BLOCK, len(rows)))
        similar = rows[block] @ known.T
        similar[own[block, None] == theirs] = -np.inf
        near = np.argpartition(-similar, count - 1, axis=1)[:, :count]
        allowed = np.isfinite(np.take_along_axis(similar, near, axis=1))
        voters = np.broadcast_to(block[:, None], near.shape)[allowed]
        np.add.at(votes, (voters, reference_labels[near][allowed]), 1)
    return votes / np.maximum(votes.sum(axis=1, keepdims=True), 1)
