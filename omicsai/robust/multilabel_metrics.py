"""Metrics of several labels, with intervals that resample clusters.

Protein-centric precision, recall, remaining uncertainty and misinformation follow CAFA
(Radivojac et al. 2013; Clark and Radivojac 2013). Everything that a bootstrap needs is
summed up once per example, so that a resample is a product with weights.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from omicsai.robust.metrics import resampled_weights

__all__ = [
    "MULTILABEL_METRICS",
    "best_thresholds",
    "fmax",
    "information_accretion",
    "label_metrics",
    "macro_average_precision",
    "macro_mcc",
    "micro_average_precision",
    "smin",
]

MULTILABEL_METRICS = ("fmax", "smin", "micro_aupr", "macro_aupr", "macro_mcc")
FEW = 5  # fewer positives tell nothing about a label of its own
THRESHOLDS = np.arange(1, 101) / 100  # as CAFA


def information_accretion(
    truth: NDArray, parents: list[list[int]] | None = None
) -> NDArray[np.float64]:
    """Information accretion ia(t) = -log2 P(t | all parents of t), in bits.

    Clark and Radivojac 2013. Estimated from the training annotation alone.

    Parameters
    ----------
    truth
        (n, C) 0 or 1, labels propagated to their ancestors.
    parents
        Columns of the parents of each label; none for flat labels, whose accretion is
        -log2 of their frequency.

    Returns
    -------
    (C,) float64
        0 for a label that no example has.
    """
    Y = np.asarray(truth) > 0
    above = parents or [[] for _ in range(Y.shape[1])]
    eligible = np.array([Y[:, p].all(axis=1).sum() for p in above], dtype=np.float64)
    count = Y.sum(axis=0)
    share = np.divide(count, eligible, out=np.ones(len(count)), where=count > 0)
    return -np.log2(np.minimum(share, 1)) + 0.0


def _protein_sums(
    P: NDArray, Y: NDArray, known: NDArray, weight: NDArray, thresholds: NDArray
) -> tuple[NDArray, NDArray, NDArray]:
    """Weight called, true, and both, of each example at each threshold: (T, n) or (n,)."""
    W = np.where(known, weight, 0.0)
    true = (W * Y).sum(axis=1)
    called = np.empty((len(thresholds), len(P)))
    both = np.empty_like(called)
    for i, threshold in enumerate(thresholds):
        above = np.where(threshold <= P, W, 0.0)
        called[i] = above.sum(axis=1)
        both[i] = (above * Y).sum(axis=1)
    return called, true, both


def fmax(
    probabilities: NDArray,
    truth: NDArray,
    known: NDArray | None = None,
    *,
    weights: NDArray | None = None,
    thresholds: NDArray = THRESHOLDS,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fmax: the best F1 of mean precision and mean recall over one common threshold.

    Precision is averaged over the examples with at least one label called, recall over all
    examples with at least one true label (CAFA); others are left out.

    Parameters
    ----------
    probabilities, truth
        (n, C) scores from 0 to 1, and 0 or 1.
    known
        (n, C) entries that count; all if None.
    weights
        (R, n) example weights, one row a resample; 1 if None (R = 1).
    thresholds
        Candidates; a label is called at or above one.

    Returns
    -------
    value, threshold : (R,) float64
        Fmax of each resample and the threshold that reaches it, the lowest of equals.
    """
    P, Y, K, W = _checked(probabilities, truth, known, weights)
    called, true, both = _protein_sums(P, Y, K, np.ones(P.shape[1]), thresholds)
    counted = true > 0
    some = (called > 0) & counted
    precision = np.divide(both, called, out=np.zeros_like(both), where=some)
    recall = np.where(counted, both / np.where(counted, true, 1), 0.0)
    n_called = W @ some.T.astype(np.float64)
    mean_precision = (W @ precision.T) / np.maximum(n_called, 1e-300)
    mean_recall = (W @ recall.T) / np.maximum(W @ counted.astype(float), 1e-300)[:, None]
    total = mean_precision + mean_recall
    f = np.divide(
        2 * mean_precision * mean_recall, total, out=np.zeros_like(total), where=total > 0
    )
    best = f.argmax(axis=1)
    return f[np.arange(len(f)), best], thresholds[best]


def smin(
    probabilities: NDArray,
    truth: NDArray,
    accretion: NDArray,
    known: NDArray | None = None,
    *,
    weights: NDArray | None = None,
    thresholds: NDArray = THRESHOLDS,
) -> NDArray[np.float64]:
    """Smin (R,): least √(ru² + mi²) over one common threshold, in bits.

    ru is the mean accretion of true labels not called, mi that of labels called and not
    true; see `fmax` for the parameters and `information_accretion`.
    """
    P, Y, K, W = _checked(probabilities, truth, known, weights)
    called, true, both = _protein_sums(P, Y, K, accretion, thresholds)
    counted = (Y * K).sum(axis=1) > 0
    total = np.maximum(W @ counted.astype(float), 1e-300)[:, None]
    ru = (W @ np.where(counted, true - both, 0).T) / total
    mi = (W @ np.where(counted, called - both, 0).T) / total
    return np.sqrt(ru**2 + mi**2).min(axis=1)


def micro_average_precision(
    probabilities: NDArray,
    truth: NDArray,
    known: NDArray | None = None,
    *,
    weights: NDArray | None = None,
) -> NDArray[np.float64]:
    """Average precision (R,) of all entries ranked together; see `fmax`."""
    P, Y, K, W = _checked(probabilities, truth, known, weights)
    example = np.broadcast_to(np.arange(len(P))[:, None], P.shape)[K]
    order, last = _ranking(P[K])
    hit, example = Y[K][order], example[order]
    return np.array([_average_precision(hit, w[example], last) for w in W])


def macro_average_precision(
    probabilities: NDArray,
    truth: NDArray,
    known: NDArray | None = None,
    *,
    weights: NDArray | None = None,
) -> NDArray[np.float64]:
    """Mean over the labels with a positive of each one's average precision (R,)."""
    P, Y, K, W = _checked(probabilities, truth, known, weights)
    found = []
    for c in range(P.shape[1]):
        rows = np.flatnonzero(K[:, c])
        if not Y[rows, c].any():
            continue
        order, last = _ranking(P[rows, c])
        hit, rows = Y[rows, c][order], rows[order]
        found.append([_average_precision(hit, w[rows], last) for w in W])
    if not found:
        return np.full(len(W), np.nan)
    # a resample may have lost every positive of a label
    return np.nanmean(np.array(found), axis=0)


def _ranking(scores: NDArray) -> tuple[NDArray, NDArray]:
    """Order by falling score, and the last place of each group of equal scores."""
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    return order, np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))


def _average_precision(hit: NDArray, weight: NDArray, last: NDArray) -> float:
    """Σ (R_k - R_k-1) P_k over distinct scores; NaN without positives."""
    positives = np.cumsum(hit * weight)[last]
    if not positives[-1] > 0:
        return float("nan")
    precision = positives / np.maximum(np.cumsum(weight)[last], 1e-300)
    return float((np.diff(positives, prepend=0) * precision).sum() / positives[-1])


def macro_mcc(
    called: NDArray,
    truth: NDArray,
    known: NDArray | None = None,
    *,
    weights: NDArray | None = None,
) -> NDArray[np.float64]:
    """Mean over labels of Matthews' correlation (R,).

    Parameters
    ----------
    called
        (n, C) decisions.
    truth, known, weights
        See `fmax`. Labels without a known positive are left out.
    """
    D, Y, K, W = _checked(called, truth, known, weights)
    present = (Y * K).sum(axis=0) > 0
    return _mcc(D > 0, Y > 0, K, W)[:, present].mean(axis=1)


def _mcc(D: NDArray, Y: NDArray, K: NDArray, W: NDArray) -> NDArray[np.float64]:
    """Matthews' correlation (R, C) of weighted decisions; 0 where undefined."""
    tp, fp, fn, tn = (
        W @ (K & a & b).astype(np.float64) for a, b in ((D, Y), (D, ~Y), (~D, Y), (~D, ~Y))
    )
    spread = np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    return np.divide(tp * tn - fp * fn, spread, out=np.zeros_like(tp), where=spread > 0)


def best_thresholds(
    probabilities: NDArray,
    truth: NDArray,
    known: NDArray,
    *,
    weights: NDArray | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Threshold of each label with the best Matthews' correlation.

    Parameters
    ----------
    probabilities, truth, known
        (n, C) of held-out validation examples, never of test examples.
    weights
        (n,) example weights, such as one vote a cluster; 1 if None.

    Returns
    -------
    threshold, mcc : (C,) float64
        Half way between the scores that it parts. Labels with fewer than `FEW` known
        positives or negatives take the one threshold that is best for all entries
        together, because one of their own would follow single examples; their MCC is NaN.
    """
    P, Y, K, W = _checked(
        probabilities, truth, known, None if weights is None else weights[None]
    )
    w = np.broadcast_to(W[0][:, None], P.shape)
    common, _ = _best_threshold(P[K], Y[K], w[K])
    threshold, found = np.full(P.shape[1], common), np.full(P.shape[1], np.nan)
    positives = (Y * K).sum(axis=0)
    enough = (positives >= FEW) & (K.sum(axis=0) - positives >= FEW)
    for c in np.flatnonzero(enough):
        rows = K[:, c]
        own, mcc = _best_threshold(P[rows, c], Y[rows, c], w[rows, c])
        if mcc > 0:
            threshold[c], found[c] = own, mcc
    return threshold, found


def _best_threshold(p: NDArray, y: NDArray, w: NDArray) -> tuple[float, float]:
    order, last = _ranking(p)
    tp = np.cumsum((w * y)[order])[last]
    fp = np.cumsum((w * (1 - y))[order])[last]
    fn, tn = tp[-1] - tp, fp[-1] - fp
    spread = np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    mcc = np.divide(tp * tn - fp * fn, spread, out=np.zeros_like(tp), where=spread > 0)
    best = int(mcc.argmax())
    ranked = p[order][last]
    below = ranked[best + 1] if best + 1 < len(ranked) else 0.0
    return float((ranked[best] + below) / 2), float(mcc[best])


def label_metrics(
    probabilities: NDArray,
    truth: NDArray,
    known: NDArray,
    cluster: NDArray,
    *,
    called: NDArray,
    accretion: NDArray,
    resamples: int = 1000,
    seed: int = 1,
) -> dict[str, dict[str, float]]:
    """Every metric of `MULTILABEL_METRICS` with a 95 % percentile interval.

    Parameters
    ----------
    probabilities, truth, known
        (n, C), see `fmax`.
    cluster
        (n,) cluster ids, the unit that is resampled.
    called
        (n, C) decisions at the thresholds chosen on validation data, for ``macro_mcc``.
    accretion
        (C,) `information_accretion` of the training annotation.
    resamples, seed
        Bootstrap.

    Returns
    -------
    dict
        For each metric ``value``, ``low`` and ``high``. Means over labels are over those
        with at least `FEW` positives, if any has: a resample of fewer says little.
    """
    drawn = resampled_weights(cluster, resamples=resamples, seed=seed)
    W = np.vstack([np.ones(len(cluster)), drawn])
    P, Y, K = probabilities, truth, known
    positives = (np.asarray(Y) * K).sum(axis=0)
    often = positives >= FEW if (positives >= FEW).any() else positives > 0
    measured = {
        "fmax": fmax(P, Y, K, weights=W)[0],
        "smin": smin(P, Y, accretion, K, weights=W),
        "micro_aupr": micro_average_precision(P, Y, K, weights=W),
        "macro_aupr": macro_average_precision(
            P[:, often], Y[:, often], K[:, often], weights=W
        ),
        "macro_mcc": macro_mcc(called[:, often], Y[:, often], K[:, often], weights=W),
    }
    return {
        name: {
            "value": round(float(values[0]), 6),
            "low": round(float(np.nanpercentile(values[1:], 2.5)), 6),
            "high": round(float(np.nanpercentile(values[1:], 97.5)), 6),
        }
        for name, values in measured.items()
    }


def _checked(
    values: NDArray, truth: NDArray, known: NDArray | None, weights: NDArray | None
) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Arrays as numbers: scores, truth, known entries and weights (R, n)."""
    P = np.asarray(values, dtype=np.float64)
    K = np.ones(P.shape, dtype=bool) if known is None else np.asarray(known, dtype=bool)
    Y = np.asarray(truth, dtype=np.float64)
    W = np.ones((1, len(P))) if weights is None else np.asarray(weights, np.float64)
    return P, Y, K, W
