"""Novelty: how unlike everything in the training batches a sequence is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from omicsai.robust.neighbours import neighbour_distance

__all__ = ["conformal_p_values", "novelty_calibration"]


def novelty_calibration(features: NDArray, cluster: NDArray) -> NDArray[np.float64]:
    """Novelty of known sequences, one per cluster, each without itself.

    Parameters
    ----------
    features
        (n, d) standardised features of every sequence of the training batches.
    cluster
        (n,) cluster ids. Members of a cluster are alike, so only its first one counts.

    Returns
    -------
    (clusters,) float64
        Sorted neighbour distances.
    """
    _, first = np.unique(cluster.astype(str), return_index=True)
    return np.sort(neighbour_distance(features[first], features, skip=first))


def conformal_p_values(
    scores: NDArray[np.float64], calibration: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Conformal p-values of "as familiar as a known sequence".

    p = (1 + #{calibration ≥ score}) / (1 + n), Vovk et al. 2005.

    Parameters
    ----------
    scores
        (n,) novelty scores.
    calibration
        (m,) sorted scores of known sequences.

    Returns
    -------
    (n,) float64
        Small means novel; never below 1 / (1 + m).
    """
    above = len(calibration) - np.searchsorted(calibration, scores, side="left")
    return (1 + above) / (1 + len(calibration))
