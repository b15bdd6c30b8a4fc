"""Classification metrics with intervals that resample clusters, not sequences."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from omicsai.robust.calibration import adaptive_bins, brier_score, confidence_bins

__all__ = ["METRICS", "classification_metrics", "metric_draws", "paired_difference"]

ECE_BINS = 15
METRICS = ("accuracy", "macro_f1", "mcc", "nll", "brier", "ece", "adaptive_ece")


def metric_values(
    probabilities: NDArray,
    labels: NDArray[np.int64],
    weights: NDArray | None = None,
    recorded: NDArray | None = None,
) -> dict[str, float]:
    """Metrics of weighted examples.

    Parameters
    ----------
    probabilities
        (n, C) probabilities of the true class, whose largest is the prediction.
    labels
        (n,) class indices.
    weights
        (n,) example weights, 1 if None.
    recorded
        (n, C) probabilities of the recorded label, if labels may be wrong: what the
        likelihood, Brier score and calibration errors judge. The same as `probabilities`
        if None.

    Returns
    -------
    dict of str to float
        ``accuracy``; ``macro_f1`` over the classes that are present or predicted; ``mcc``
        (Gorodkin 2004, several classes); ``nll`` in nats; ``brier``; ``ece`` and
        ``adaptive_ece`` with 15 bins.
    """
    w = np.ones(len(labels)) if weights is None else np.asarray(weights, np.float64)
    drawn = metric_draws(probabilities, labels, w[None], recorded)
    return {name: float(values[0]) for name, values in drawn.items()}


def metric_draws(
    probabilities: NDArray,
    labels: NDArray[np.int64],
    weights: NDArray,
    recorded: NDArray | None = None,
) -> dict[str, NDArray[np.float64]]:
    """Metrics of each row of weights (R, n), by name: (R,), see `metric_values`."""
    P = np.asarray(probabilities, dtype=np.float64)
    R = P if recorded is None else np.asarray(recorded, dtype=np.float64)
    predicted = P.argmax(axis=1)
    confidence = R[np.arange(len(R)), predicted]
    right = predicted == labels
    true = _sums(weights, labels, P.shape[1])
    called = _sums(weights, predicted, P.shape[1])
    hit = _sums(weights * right, labels, P.shape[1])
    total, correct = weights.sum(axis=1), hit.sum(axis=1)
    present = true + called > 0
    f1 = np.divide(2 * hit, true + called, out=np.zeros_like(hit), where=present)
    squares = total**2
    spread = (squares - (called**2).sum(axis=1)) * (squares - (true**2).sum(axis=1))
    agreement = correct * total - (called * true).sum(axis=1)
    log_p = np.log(np.maximum(R[np.arange(len(labels)), labels], 1e-300))
    gaps = [
        _sums(weights * (right - confidence), bins(confidence, ECE_BINS), ECE_BINS)
        for bins in (confidence_bins, adaptive_bins)
    ]
    root = np.sqrt(np.where(spread > 0, spread, 1))
    return {
        "accuracy": correct / total,
        "macro_f1": f1.sum(axis=1) / present.sum(axis=1),
        "mcc": np.where(spread > 0, agreement / root, 0.0),
        "nll": -(weights @ log_p) / total,
        "brier": weights @ brier_score(R, labels) / total,
        "ece": np.abs(gaps[0]).sum(axis=1) / total,
        "adaptive_ece": np.abs(gaps[1]).sum(axis=1) / total,
    }


def _sums(weights: NDArray, index: NDArray[np.int64], size: int) -> NDArray[np.float64]:
    """Sum weights (R, n) by index (n,): (R, size)."""
    n = len(index)
    member = csr_array((np.ones(n), (np.arange(n), index)), shape=(n, size))
    return weights @ member


def resampled_weights(
    cluster: NDArray, *, resamples: int, seed: int
) -> NDArray[np.float64]:
    """Bootstrap weights (resamples, n): whole clusters drawn with replacement."""
    _, index = np.unique(cluster, return_inverse=True)
    n_clusters = int(index.max()) + 1
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(n_clusters, np.full(n_clusters, 1 / n_clusters), resamples)
    return draws[:, index].astype(np.float64)


def classification_metrics(
    probabilities: NDArray,
    labels: NDArray[np.int64],
    cluster: NDArray,
    *,
    recorded: NDArray | None = None,
    resamples: int = 1000,
    seed: int = 1,
) -> dict[str, dict[str, float]]:
    """Metrics with 95 % percentile intervals over resampled clusters.

    Parameters
    ----------
    probabilities, labels, recorded
        As in `metric_values`.
    cluster
        (n,) cluster ids: the unit of independence.
    resamples
        Number of bootstrap samples.
    seed
        Seed of the bootstrap.

    Returns
    -------
    dict
        For each metric ``value``, ``low`` and ``high``.
    """
    value = metric_values(probabilities, labels, recorded=recorded)
    weights = resampled_weights(cluster, resamples=resamples, seed=seed)
    drawn = metric_draws(probabilities, labels, weights, recorded)
    return {name: _interval(value[name], drawn[name]) for name in METRICS}


def paired_difference(
    probabilities: NDArray,
    control: NDArray,
    labels: NDArray[np.int64],
    cluster: NDArray,
    *,
    recorded: NDArray | None = None,
    control_recorded: NDArray | None = None,
    resamples: int = 1000,
    seed: int = 1,
) -> dict[str, dict[str, float]]:
    """Metrics of one model less those of another on the same resampled clusters.

    Parameters
    ----------
    probabilities, control
        (n, C) probabilities of the model and of its control.
    recorded, control_recorded
        Of each, as in `metric_values`.
    labels, cluster, resamples, seed
        As in `classification_metrics`.

    Returns
    -------
    dict
        For each metric ``value``, ``low`` and ``high`` of the difference.
    """
    weights = resampled_weights(cluster, resamples=resamples, seed=seed)
    weights = np.vstack([np.ones((1, len(labels))), weights])
    x = metric_draws(probabilities, labels, weights, recorded)
    y = metric_draws(control, labels, weights, control_recorded)
    apart = {name: x[name] - y[name] for name in METRICS}
    return {name: _interval(float(d[0]), d[1:]) for name, d in apart.items()}


def _interval(value: float, drawn: NDArray) -> dict[str, float]:
    low, high = np.percentile(drawn, [2.5, 97.5])
    return {
        "value": round(value, 6),
        "low": round(float(low), 6),
        "high": round(float(high), 6),
    }
