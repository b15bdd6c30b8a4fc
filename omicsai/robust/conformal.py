"""Conformal prediction: p-values and sets of labels with a stated coverage.

Both rest on exchangeability, which homologues break: a cluster counts once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from omicsai.errors import InputError

__all__ = [
    "benjamini_hochberg",
    "conformal_p_values",
    "label_scores",
    "one_per_cluster",
    "prediction_sets",
]


def one_per_cluster(cluster: NDArray) -> NDArray[np.int64]:
    """Index of the first member of each cluster, in the order of the cluster ids."""
    return np.unique(np.asarray(cluster).astype(str), return_index=True)[1]


def conformal_p_values(
    scores: NDArray[np.float64], calibration: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Conformal p-values of "no stranger than the calibration examples".

    p = (1 + #{calibration ≥ score}) / (1 + n), Vovk et al. 2005.

    Parameters
    ----------
    scores
        (n,) scores, large means strange.
    calibration
        (m,) sorted scores of examples that are not strange.

    Returns
    -------
    (n,) float64
        Small means strange; never below 1 / (1 + m).
    """
    above = len(calibration) - np.searchsorted(calibration, scores, side="left")
    return (1 + above) / (1 + len(calibration))


def benjamini_hochberg(p_values: NDArray[np.float64], rate: float) -> NDArray[np.bool_]:
    """Discoveries (n,) whose expected share of false ones is at most `rate`.

    Benjamini & Hochberg 1995; valid for conformal p-values that share their calibration
    examples (Bates et al. 2023, arXiv 2104.08279).
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.sort(p)
    passed = np.flatnonzero(order <= rate * np.arange(1, len(p) + 1) / max(len(p), 1))
    return p <= order[passed[-1]] if len(passed) else np.zeros(len(p), dtype=bool)


def label_scores(
    probabilities: NDArray, labels: NDArray, cluster: NDArray
) -> NDArray[np.float64]:
    """Scores 1 - p(y) of labelled examples, one example per cluster.

    Parameters
    ----------
    probabilities
        (n, C) calibrated probabilities of held-out examples.
    labels
        (n, C) probability that y is the true class, from a noise model that has seen the
        given label; one-hot where labels are taken at their word.
    cluster
        (n,) cluster ids.

    Returns
    -------
    (m, 2) float64
        Score and weight, by score; the weights of a cluster sum to 1.
    """
    first = one_per_cluster(cluster)
    scores = 1 - np.asarray(probabilities, dtype=np.float64)[first].ravel()
    weights = np.asarray(labels, dtype=np.float64)[first].ravel()
    order = np.argsort(scores, kind="stable")
    order = order[weights[order] > 0]
    return np.stack([scores[order], weights[order]], axis=1)


def prediction_sets(
    probabilities: NDArray, calibration: NDArray[np.float64], *, coverage: float
) -> NDArray[np.bool_]:
    """Choose labels so that the true one is among them with a stated probability.

    Sadinle et al. 2019 (arXiv 1609.00451): all labels with conformal p-value above
    1 - coverage; the smallest sets on average. The most probable label is always in.

    Parameters
    ----------
    probabilities
        (n, C) calibrated probabilities.
    calibration
        From `label_scores`.
    coverage
        Between 0 and 1.

    Returns
    -------
    (n, C) bool
        With fewer than coverage / (1 - coverage) calibration clusters, all labels.

    Raises
    ------
    InputError
        If the coverage is not between 0 and 1.
    """
    if not 0 < coverage < 1:
        raise InputError(f"the coverage is between 0 and 1, not {coverage:g}")
    P = np.asarray(probabilities, dtype=np.float64)
    scores, weights = calibration.T
    from_here = np.append(np.cumsum(weights[::-1])[::-1], 0.0)
    above = from_here[np.searchsorted(scores, 1 - P, side="left")]
    chosen = (1 + above) / (1 + from_here[0]) > 1 - coverage
    chosen[np.arange(len(P)), P.argmax(axis=1)] = True
    return chosen
