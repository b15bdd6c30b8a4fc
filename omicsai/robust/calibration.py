"""Calibration: temperature scaling and the expected calibration error."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

__all__ = ["cluster_weights", "expected_calibration_error", "fit_temperature"]

WIDEST = np.log(100.0)  # temperatures from 1/100 to 100


def cluster_weights(cluster: NDArray) -> NDArray[np.float64]:
    """Weights (n,) that give every cluster the same total, with mean 1."""
    _, inverse, counts = np.unique(cluster, return_inverse=True, return_counts=True)
    weights = 1.0 / counts[inverse]
    return weights / weights.mean()


def fit_temperature(logits: NDArray, labels: NDArray[np.int64], cluster: NDArray) -> float:
    """Temperature T that minimises the negative log-likelihood of softmax(z / T).

    Guo et al. 2017 (arXiv 1706.04599). Every cluster has one vote. The labels may be
    noisy; T then also answers for the noise, on the cautious side.

    Parameters
    ----------
    logits
        (n, C) logits of held-out examples.
    labels
        (n,) class indices.
    cluster
        (n,) cluster ids.

    Returns
    -------
    float
        Between 0.01 and 100.
    """
    return _scaled(logits, labels, cluster)[0]


def calibrated_loss(logits: NDArray, labels: NDArray[np.int64], cluster: NDArray) -> float:
    """Negative log-likelihood, in nats, at the temperature of `fit_temperature`."""
    return _scaled(logits, labels, cluster)[1]


def _scaled(
    logits: NDArray, labels: NDArray[np.int64], cluster: NDArray
) -> tuple[float, float]:
    """Best temperature and the loss there, every cluster with one vote."""
    weights = cluster_weights(cluster)
    rows = np.arange(len(labels))
    scores = np.asarray(logits, dtype=np.float64)

    def loss(log_temperature: float) -> float:
        log_p = log_softmax(scores / np.exp(log_temperature), axis=1)
        return -float(np.average(log_p[rows, labels], weights=weights))

    found = minimize_scalar(loss, bounds=(-WIDEST, WIDEST), method="bounded")
    return float(np.exp(found.x)), float(found.fun)


def confidence_bins(confidence: NDArray, bins: int) -> NDArray[np.int64]:
    """Equal-width bin (n,) of each confidence, the last bin closed on the right."""
    return np.minimum((confidence * bins).astype(np.int64), bins - 1)


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
