"""Novelty: how unlike everything in the training batches an example is.

Every score is larger for stranger examples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp, softmax

from omicsai.robust.conformal import one_per_cluster
from omicsai.robust.neighbours import neighbour_distance

__all__ = ["Mahalanobis", "logit_scores", "novelty_calibration"]

COMPONENTS = 50  # principal components that Mahalanobis distances are taken in
SHRINKAGE = 0.1  # of the pooled covariance towards a multiple of the identity


def novelty_calibration(features: NDArray, cluster: NDArray) -> NDArray[np.float64]:
    """Novelty of known sequences, one per cluster, each without itself.

    Its homologues stay: a familiar sequence is a further member of a known cluster. One of
    a new cluster is novel, however common its kind.

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
    first = one_per_cluster(cluster)
    return np.sort(neighbour_distance(features[first], features, skip=first))


def logit_scores(logits: NDArray) -> dict[str, NDArray[np.float64]]:
    """Scores that need logits alone.

    Parameters
    ----------
    logits
        (n, C).

    Returns
    -------
    dict
        ``"msp"`` 1 - max p (Hendrycks & Gimpel 2017); ``"max_logit"`` - max z (Hendrycks et
        al. 2022); ``"energy"`` - ln Σ exp z (Liu et al. 2020); (n,) each.
    """
    z = np.asarray(logits, dtype=np.float64)
    return {
        "msp": 1 - softmax(z, axis=1).max(axis=1),
        "max_logit": -z.max(axis=1),
        "energy": -logsumexp(z, axis=1),
    }


@dataclass(frozen=True)
class Mahalanobis:
    """Distance to the nearest class mean in the metric of the pooled covariance.

    Lee et al. 2018 (arXiv 1807.03888), in principal components, because with a few
    examples per class the full covariance says nothing.

    Attributes
    ----------
    centre, axes
        (d,) and (d, k): projection on principal components.
    means
        (C, k) class means.
    precision
        (k, k) inverse of the shrunk covariance, float64.
    """

    centre: NDArray[np.float64]
    axes: NDArray[np.float64]
    means: NDArray[np.float64]
    precision: NDArray[np.float64]

    @classmethod
    def fit(cls, features: NDArray, labels: NDArray[np.int64]) -> Mahalanobis:
        """Fit to (n, d) standardised features and (n,) class indices."""
        X = np.asarray(features, dtype=np.float64)
        centre = X.mean(axis=0)
        _, _, axes = np.linalg.svd(X - centre, full_matrices=False)
        axes = axes[: min(COMPONENTS, len(axes))].T
        Y = (X - centre) @ axes
        classes = np.unique(labels)
        means = np.stack([Y[labels == k].mean(axis=0) for k in classes])
        apart = Y - means[np.searchsorted(classes, labels)]
        covariance = apart.T @ apart / len(Y)
        level = np.trace(covariance) / len(covariance)
        shrunk = (1 - SHRINKAGE) * covariance + SHRINKAGE * level * np.eye(len(covariance))
        return cls(centre, axes, means, np.linalg.inv(shrunk))

    def __call__(self, features: NDArray) -> NDArray[np.float64]:
        """Squared distances (n,) of (n, d) standardised features."""
        Y = (np.asarray(features, dtype=np.float64) - self.centre) @ self.axes
        apart = Y[:, None] - self.means
        return np.einsum("nck,kl,ncl->nc", apart, self.precision, apart).min(axis=1)
