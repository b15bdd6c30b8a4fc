"""Classification metrics with intervals that resample clusters, not sequences."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from omicsai.robust.calibration import (
    adaptive_calibration_error,
    brier_score,
    expected_calibration_error,
)

__all__ = ["METRICS", "classification_metrics", "paired_difference"]

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
    P = np.asarray(probabilities, dtype=np.float64)
    w = np.ones(len(labels)) if weights is None else np.asarray(weights, np.float64)
    classes = P.shape[1]
    predicted = P.argmax(axis=1)
    right = predicted == labels
    true = np.bincount(labels, w, minlength=classes)
    called = np.bincount(predicted, w, minlength=classes)
    hit = np.bincount(labels[right], w[right], minlength=classes)
    total, correct = w.sum(), hit.sum()
    present = true + called > 0
    spread = (total**2 - (called**2).sum()) * (total**2 - (true**2).sum())
    R = P if recorded is None else np.asarray(recorded, dtype=np.float64)
    rows = np.arange(len(labels))
    log_p = np.log(np.maximum(R[rows, labels], 1e-300))
    confidence = R[rows, predicted]
    return {
        "accuracy": float(correct / total),
        "macro_f1": float((2 * hit[present] / (true + called)[present]).mean()),
        "mcc": float((correct * total - called @ true) / np.sqrt(spread))
        if spread > 0
        else 0.0,
        "nll": float(-(w * log_p).sum() / total),
        "brier": brier_score(R, labels, w),
        "ece": expected_calibration_error(confidence, right, weights=w),
        "adaptive_ece": adaptive_calibration_error(confidence, right, weights=w),
    }


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
    drawn = [
        metric_values(probabilities, labels, w, recorded)
        for w in resampled_weights(cluster, resamples=resamples, seed=seed)
        if w.sum() > 0
    ]
    return {name: _interval(value[name], [d[name] for d in drawn]) for name in METRICS}


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
    ones = np.ones((1, len(labels)))
    weights = [*ones, *resampled_weights(cluster, resamples=resamples, seed=seed)]
    (a, b), *drawn = [
        (
            metric_values(probabilities, labels, w, recorded),
            metric_values(control, labels, w, control_recorded),
        )
        for w in weights
    ]
    return {
        name: _interval(a[name] - b[name], [x[name] - y[name] for x, y in drawn])
        for name in METRICS
    }


def _interval(value: float, drawn: list[float]) -> dict[str, float]:
    low, high = np.percentile(drawn, [2.5, 97.5])
    return {
        "value": round(value, 6),
        "low": round(float(low), 6),
        "high": round(float(high), 6),
    }
