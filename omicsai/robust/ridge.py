"""A linear head in closed form, for features of a kernel and labels that may be wrong.

Ridge regression on the indicators of the classes needs no epochs and no seed, and tells
without further fits what it would say of each example had it not seen it. These opinions,
made probabilities, and one rate of random errors are fitted to the given labels by maximum
likelihood; each label then becomes the posterior of what it should be, and the regression
is done again: label correction as in ProSelfLC, with a trust that is estimated.

An unlabelled batch can be adapted to in the same way: it is predicted, and its own
predictions are learned from as uncertain labels (self-training).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from omicsai.robust.heads import Parameters

__all__ = ["Ridge", "adapt", "balanced_weights", "fit_ridge", "regress"]

PENALTY = 0.2  # of the mean squared norm of the examples
ROUNDS = 10  # of label correction
SHARPNESSES = (4, 6, 8, 10, 12, 15, 20, 25, 30)  # of the softmax of the scores
EM_STEPS = 30
ADAPTATIONS = 10  # rounds of self-training
# of an unlabelled example, if it were certain, against a labelled one; and of a batch that
# is larger than the labelled set, against all of that
BATCH_WEIGHT = 0.3


@dataclass(frozen=True)
class Ridge:
    """A fitted regression.

    Attributes
    ----------
    weight
        (d, C) float64: scores are ``bias + (X - centre) @ weight``.
    bias, centre
        (C,) and (d,) weighted means of labels and features.
    precision, moment
        (d, d) and (d, C) of the normal equations, for what is learned later.
    sharpness
        What the scores are multiplied by before their softmax is a probability.
    error_rate
        Estimated share of labels that are wrong, uniformly among the other classes.
    labels
        (n, C) posterior of the label of each example learned from.
    left_out
        (n, C) scores of each example by the regression without it.
    """

    weight: Tensor
    bias: Tensor
    centre: Tensor
    precision: Tensor
    moment: Tensor
    sharpness: float
    error_rate: float
    labels: Tensor
    left_out: Tensor

    def scores(self, features: Tensor) -> Tensor:
        """Scores (n, C) of (n, d) features; about one for a clear case, about zero else."""
        return self.bias + (features.double() - self.centre) @ self.weight

    def parameters(self) -> Parameters:
        """Return one member of a linear head, whose softmax is a probability."""
        return {
            "weight": (self.sharpness * self.weight)[None].float(),
            "bias": (self.sharpness * (self.bias - self.centre @ self.weight))[
                None, None
            ].float(),
        }


def balanced_weights(code: NDArray, group: NDArray) -> NDArray[np.float64]:
    """Weights that give every class the same say, and large groups no more than small.

    Parameters
    ----------
    code, group
        (n,) class and group (clade, cluster) of each example.

    Returns
    -------
    (n,) float64
        With mean one; within a class, in proportion to one over the size of the group.
    """
    weight = np.ones(len(code))
    for of in (group, code):
        _, number = np.unique(of, return_inverse=True)
        weight /= np.bincount(number, weight)[number]
    return weight / weight.mean()


def fit_ridge(features: Tensor, given: Tensor, importance: Tensor) -> Ridge:
    """Regress on labels and correct them by the opinions of regressions without each.

    Parameters
    ----------
    features
        (n, d).
    given
        (n, C) label distributions.
    importance
        (n,) weight of each example, mean one.
    """
    given, importance = given.double(), importance.double()
    total = importance.sum()
    centre = importance @ features.double() / total
    X = features.double() - centre
    weighted = importance[:, None] * X
    precision = X.T @ weighted
    precision.diagonal().add_(PENALTY * (X**2).sum(dim=1).mean())
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(precision))
    hat = importance * (((X @ inverse) * X).sum(dim=1) + 1 / total)

    def fit_to(labels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        bias = importance @ labels / total
        moment = weighted.T @ (labels - bias)
        weight = inverse @ moment
        # the hat matrix tells each example's pull on its own score
        left_out = (bias + X @ weight - hat[:, None] * labels) / (1 - hat[:, None])
        return weight, bias, moment, left_out

    labels = given
    for _ in range(ROUNDS):
        left_out = fit_to(labels)[-1]
        sharpness, rate = _noise(left_out, given, importance)
        labels = _posterior(left_out, given, sharpness, rate)
    weight, bias, moment, left_out = fit_to(labels)
    return Ridge(weight, bias, centre, precision, moment, sharpness, rate, labels, left_out)


def regress(
    features: Tensor, given: Tensor, mask: NDArray[np.bool_], cluster: NDArray
) -> Ridge:
    """Fit to the examples of a mask (n,), every class and cluster with the same say.

    Parameters
    ----------
    features, given
        As in `fit_ridge`.
    mask, cluster
        (n,) examples to learn from, and their clusters.
    """
    rows = torch.from_numpy(np.flatnonzero(mask))
    labels = given[rows]
    weight = balanced_weights(labels.argmax(dim=1).numpy(), cluster[mask].astype(str))
    return fit_ridge(features[rows], labels, torch.from_numpy(weight))


def adapt(ridge: Ridge, features: Tensor) -> Ridge:
    """Learn from an unlabelled batch too, by what is predicted of it.

    Parameters
    ----------
    ridge
        Fitted on labelled examples.
    features
        (b, d) the batch to be predicted.

    Returns
    -------
    Ridge
        For this batch; each of its examples weighs as much as it is certain, and a large
        batch no more than one of the size of the labelled set.
    """
    X = features.double() - ridge.centre
    weight = ridge.weight
    most = BATCH_WEIGHT * min(1.0, len(ridge.labels) / max(len(X), 1))
    for _ in range(ADAPTATIONS):
        guess = torch.softmax(ridge.sharpness * (ridge.bias + X @ weight), dim=1)
        weighted = most * guess.amax(dim=1)[:, None] * X
        factor = torch.linalg.cholesky(ridge.precision + X.T @ weighted)
        moment = ridge.moment + weighted.T @ (guess - ridge.bias)
        weight = torch.cholesky_solve(moment, factor)
    return replace(ridge, weight=weight)


def _noise(scores: Tensor, given: Tensor, importance: Tensor) -> tuple[float, float]:
    """Sharpness and rate of random errors under which the given labels are likeliest."""
    share = importance / importance.sum()
    others = given.shape[1] - 1
    best = (-np.inf, 0.0, 0.0)
    for sharpness in SHARPNESSES:
        p = (torch.softmax(sharpness * scores, dim=1) * given).sum(dim=1)
        rate = 0.2
        for _ in range(EM_STEPS):
            wrong, right = rate / others * (1 - p), (1 - rate) * p
            rate = float(share @ (wrong / (wrong + right)))
        likelihood = float(share @ ((1 - rate) * p + rate / others * (1 - p)).log())
        best = max(best, (likelihood, float(sharpness), rate))
    return best[1], best[2]


def _posterior(scores: Tensor, given: Tensor, sharpness: float, rate: float) -> Tensor:
    """Distribution of the right label given the scores and the label that was given."""
    others = given.shape[1] - 1
    told = (1 - rate) * given + rate / others * (1 - given)
    joint = torch.softmax(sharpness * scores, dim=1) * told
    return joint / joint.sum(dim=1, keepdim=True)
