"""Calibration: scores to probabilities, and how far these are from the truth.

Labels to calibrate on may be wrong themselves. Then p(given label) = Σ_y p(y) T[y, given],
with the transition matrix T of `omicsai.robust.noise_model`, is fitted to them, and p(y)
speaks of the true class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax

__all__ = [
    "Calibration",
    "Scaling",
    "adaptive_calibration_error",
    "brier_score",
    "calibrated_loss",
    "choose_scaling",
    "cluster_weights",
    "expected_calibration_error",
    "fit_calibration",
]

Scaling = Literal["temperature", "vector"]
WIDEST = np.log(100.0)  # temperatures from 1/100 to 100
PENALTY = 1e-3  # on squared biases and deviations of log scales from their mean
FOLDS = 5
LEAST_CLUSTERS = 5  # of a class, for a scale and a bias of its own


@dataclass(frozen=True)
class Calibration:
    """Probabilities softmax(scale * z + bias).

    Attributes
    ----------
    scale, bias
        (C,) each; equal scales and no bias for temperature scaling (1/T).
    transition
        (C, C) how true classes (rows) are recorded (columns) in the labels it was fitted
        to.
    """

    scale: NDArray[np.float64]
    bias: NDArray[np.float64]
    transition: NDArray[np.float64]

    @classmethod
    def none(cls, classes: int) -> Calibration:
        """Scores taken at their word."""
        return cls(np.ones(classes), np.zeros(classes), np.eye(classes))

    def log_probabilities(self, logits: NDArray) -> NDArray[np.float64]:
        """Log-probabilities (..., C) of logits."""
        scores = np.asarray(logits, dtype=np.float64) * self.scale + self.bias
        return log_softmax(scores, axis=-1)

    def __call__(self, logits: NDArray) -> NDArray[np.float64]:
        """Probabilities (..., C) of the true class."""
        return np.exp(self.log_probabilities(logits))

    def recorded(self, logits: NDArray) -> NDArray[np.float64]:
        """Probabilities (..., C) of the label that would be recorded, noise included."""
        return self(logits) @ self.transition


def cluster_weights(cluster: NDArray) -> NDArray[np.float64]:
    """Weights (n,) that give every cluster the same total, with mean 1."""
    _, inverse, counts = np.unique(cluster, return_inverse=True, return_counts=True)
    weights = 1.0 / counts[inverse]
    return weights / weights.mean()


def fit_calibration(
    logits: NDArray,
    labels: NDArray[np.int64],
    cluster: NDArray,
    *,
    scaling: Scaling = "temperature",
    transition: NDArray | None = None,
) -> Calibration:
    """Calibration that minimises the negative log-likelihood of held-out labels.

    Guo et al. 2017 (arXiv 1706.04599). Every cluster has one vote.

    Parameters
    ----------
    logits
        (n, C) logits of held-out examples.
    labels
        (n,) class indices.
    cluster
        (n,) cluster ids.
    scaling
        ``"temperature"``: one number; ``"vector"``: a scale and a bias for each class,
        which can also mend class frequencies and needs examples of every class.
    transition
        (C, C) how true classes (rows) are recorded (columns); None if the labels are taken
        at their word.

    Returns
    -------
    Calibration
        Temperatures are between 0.01 and 100.
    """
    scores = np.asarray(logits, dtype=np.float64)
    classes = scores.shape[1]
    weights = cluster_weights(cluster) / len(scores)
    transition = np.eye(classes) if transition is None else transition
    recorded = transition[:, labels].T
    vector = scaling == "vector"

    def unpack(x: NDArray) -> Calibration:
        if vector:
            return Calibration(np.exp(x[:classes]), x[classes:], transition)
        return Calibration(np.full(classes, np.exp(x[0])), np.zeros(classes), transition)

    def loss(x: NDArray) -> tuple[float, NDArray]:
        found = unpack(x)
        p = found(scores)
        seen = np.maximum((p * recorded).sum(axis=1), 1e-300)
        by_score = -weights[:, None] * p * (recorded / seen[:, None] - 1)
        by_scale = (by_score * scores).sum(axis=0) * found.scale
        value = -(weights * np.log(seen)).sum()
        if not vector:
            return value, np.array([by_scale.sum()])
        log_scale, bias = x[:classes], x[classes:]
        apart = log_scale - log_scale.mean()
        value += PENALTY / 2 * ((apart**2).sum() + (bias**2).sum())
        return value, np.r_[
            by_scale + PENALTY * apart, by_score.sum(axis=0) + PENALTY * bias
        ]

    scales, biases = (classes, classes) if vector else (1, 0)
    bounds = [(-WIDEST, WIDEST)] * scales + [(None, None)] * biases
    fits = [
        minimize(
            loss,
            np.r_[np.full(scales, start), np.zeros(biases)],
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
        )
        for start in (0.0, 1.0)
    ]
    return unpack(min(fits, key=lambda fit: fit.fun).x)


def choose_scaling(
    logits: NDArray,
    labels: NDArray[np.int64],
    cluster: NDArray,
    *,
    transition: NDArray | None = None,
) -> Scaling:
    """Scaling that explains the labels of clusters better that it was not fitted to.

    Cross-validation over five folds of clusters, every cluster with one vote.

    Parameters
    ----------
    logits, labels, cluster, transition
        As in `fit_calibration`.

    Returns
    -------
    str
        ``"temperature"`` too where some class has fewer than five clusters.
    """
    names, inverse = np.unique(cluster, return_inverse=True)
    homes = np.unique(np.stack([labels, inverse]), axis=1)[0]
    if np.bincount(homes, minlength=logits.shape[1]).min() < LEAST_CLUSTERS:
        return "temperature"
    order = np.random.default_rng(0).permutation(len(names))
    fold = (order % FOLDS)[inverse]
    weights = cluster_weights(cluster)
    losses: dict[Scaling, float] = {}
    for scaling in get_args(Scaling):
        losses[scaling] = 0.0
        for held in (fold == k for k in range(FOLDS)):
            found = fit_calibration(
                logits[~held], labels[~held], cluster[~held],
                scaling=scaling, transition=transition,
            )  # fmt: skip
            seen = found.recorded(logits[held])[np.arange(held.sum()), labels[held]]
            losses[scaling] -= float(weights[held] @ np.log(np.maximum(seen, 1e-300)))
    return min(losses, key=lambda scaling: losses[scaling])


def calibrated_loss(logits: NDArray, labels: NDArray[np.int64], cluster: NDArray) -> float:
    """Negative log-likelihood, in nats, at the best temperature; one vote per cluster."""
    log_p = fit_calibration(logits, labels, cluster).log_probabilities(logits)
    chosen = log_p[np.arange(len(labels)), labels]
    return -float(np.average(chosen, weights=cluster_weights(cluster)))


def confidence_bins(confidence: NDArray, bins: int) -> NDArray[np.int64]:
    """Equal-width bin (n,) of each confidence, the last bin closed on the right."""
    return np.minimum((confidence * bins).astype(np.int64), bins - 1)


def adaptive_bins(confidence: NDArray, bins: int) -> NDArray[np.int64]:
    """Bin (n,) of each confidence so that bins hold equally many; ties stay together."""
    _, index, count = np.unique(confidence, return_inverse=True, return_counts=True)
    middle = np.cumsum(count) - count / 2
    of_value = (middle / len(confidence) * bins).astype(np.int64)
    return np.minimum(of_value, bins - 1)[index]


def calibration_bins(
    confidence: NDArray,
    correct: NDArray,
    *,
    bins: int = 15,
    weights: NDArray | None = None,
) -> tuple[NDArray, NDArray, NDArray]:
    """Sum up per equal-width confidence bin, the last one closed on the right.

    Parameters
    ----------
    confidence
        (n,) largest probability, 0 to 1.
    correct
        (n,) whether the prediction was right.
    bins
        Number of bins.
    weights
        (n,) example weights, 1 if None.

    Returns
    -------
    weight, confidence, correct : (bins,) float64
        Sum of weights, of weighted confidences and of weighted hits.
    """
    confidence = np.asarray(confidence, dtype=np.float64)
    weights = np.ones(len(confidence)) if weights is None else weights
    index = confidence_bins(confidence, bins)
    return (
        np.bincount(index, weights, minlength=bins),
        np.bincount(index, weights * confidence, minlength=bins),
        np.bincount(index, weights * np.asarray(correct, np.float64), minlength=bins),
    )


def expected_calibration_error(
    confidence: NDArray,
    correct: NDArray,
    *,
    bins: int = 15,
    weights: NDArray | None = None,
) -> float:
    """ECE = Σ_b (n_b / n) |accuracy_b - confidence_b|, in float64.

    Parameters
    ----------
    confidence, correct, bins, weights
        As in `calibration_bins`.

    Returns
    -------
    float
        Between 0 and 1.
    """
    weight, believed, hit = calibration_bins(
        confidence, correct, bins=bins, weights=weights
    )
    return float(np.abs(hit - believed).sum() / weight.sum())


def adaptive_calibration_error(
    confidence: NDArray, correct: NDArray, *, bins: int = 15
) -> float:
    """Calibration error over bins that hold equally many (Nguyen & O'Connor 2015).

    Equal-width bins leave most examples of a sure classifier in one; these do not.

    Parameters
    ----------
    confidence, correct, bins
        As in `calibration_bins`.

    Returns
    -------
    float
        Between 0 and 1.
    """
    confidence = np.asarray(confidence, dtype=np.float64)
    gap = np.asarray(correct, np.float64) - confidence
    sums = np.bincount(adaptive_bins(confidence, bins), gap)
    return float(np.abs(sums).sum() / len(confidence))


def brier_score(probabilities: NDArray, labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Squared error Σ_k (p_k - [y = k])² (n,) of probabilities (n, C), each 0 to 2."""
    squared = np.asarray(probabilities, dtype=np.float64).copy()
    squared[np.arange(len(labels)), labels] -= 1
    return (squared**2).sum(axis=1)
