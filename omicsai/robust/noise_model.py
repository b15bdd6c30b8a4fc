"""What a classifier's scores and the given labels together say about wrong labels.

A noise model joins p(y|x) = softmax(z/τ + b), the class that an example truly has, with a
transition matrix T[y, s], the chance that class y is recorded as s. Then
p(s|x) = Σ_y p(y|x) T[y, s] explains the labels that were given, and Bayes' rule turns it
round: how probable is it that this label is wrong, and which class is the right one.

How much of the disagreement is noise of the labels and how much is the classifier's own
error cannot be told from scores alone. Two opposite assumptions are fitted, so that users
see the range between them:

- *uniform*: every wrong class is equally likely. One rate, found by maximum likelihood. It
  finds random errors even with a weak classifier, and takes systematic confusion of two
  classes for the truth.
- *anchored*: for each class there are examples that leave no doubt (Liu & Tao 2016, arXiv
  1411.7718; Patrini et al. 2017, arXiv 1609.03683). The labels of those that the
  classifier is surest about are one row of T. It finds systematic confusion too, and takes
  sure errors of a weak classifier for wrong labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, log_softmax, logit

__all__ = ["NoiseModel", "anchored_noise", "anchors_explain_better", "uniform_noise"]

ANCHOR_SHARE, FEWEST_ANCHORS = 0.03, 30  # of the label count of a class
LARGEST_ANCHOR_SHARE = 1 / 3  # of a small class, most of which may not be sure at all
PSEUDO_ANCHORS = 200.0  # weight of the pooled rate in each row of T
SMOOTHING = 1e-3  # the same where the anchors shall speak for themselves
SMALLEST = 1e-9  # no transition is impossible
PENALTY = 1e-3  # on squared biases
LARGEST_RATE = 0.95  # of the rate at which a label says nothing
TEMPERATURES = (1.0, 0.5)  # where the search starts
RATES = (0.05, 0.3)


@dataclass(frozen=True)
class NoiseModel:
    """True classes, and how they are recorded.

    Attributes
    ----------
    temperature, bias
        τ and b (C,) of p(y|x) = softmax(z/τ + b).
    transition
        (C, C) T[y, s], rows sum to 1.
    """

    temperature: float
    bias: NDArray[np.float64]
    transition: NDArray[np.float64]

    def probabilities(self, logits: NDArray) -> NDArray[np.float64]:
        """Probability (n, C) of each true class before the given label is looked at."""
        scores = np.asarray(logits, np.float64) / self.temperature + self.bias
        return np.exp(log_softmax(scores, axis=1))

    def posterior(self, logits: NDArray, labels: NDArray[np.int64]) -> NDArray[np.float64]:
        """Probability (n, C) of each true class, given the label too."""
        joint = self.probabilities(logits) * self.transition[:, labels].T
        return joint / joint.sum(axis=1, keepdims=True)

    def log_likelihood(self, logits: NDArray, labels: NDArray[np.int64]) -> float:
        """Log-likelihood of the given labels, nats."""
        joint = self.probabilities(logits) * self.transition[:, labels].T
        return float(np.log(joint.sum(axis=1)).sum())


def uniform_noise(logits: NDArray, labels: NDArray[np.int64]) -> NoiseModel:
    """Maximum likelihood with one rate of wrong labels, spread over all other classes.

    Parameters
    ----------
    logits
        (n, C) of a classifier that has not seen the example (nor its homologues).
    labels
        (n,) given class indices.

    Returns
    -------
    NoiseModel
    """
    scores = np.asarray(logits, np.float64)
    classes = scores.shape[1]
    largest = LARGEST_RATE * (classes - 1) / classes
    starts = [
        np.r_[np.log(t), np.zeros(classes), logit(r / largest)]
        for t in TEMPERATURES
        for r in RATES
        if r < largest
    ]

    def loss(x: NDArray) -> tuple[float, NDArray]:
        rate = largest * expit(x[-1])
        value, slope, p_given = _loss(scores, labels, x[:-1], _spread(rate, classes))
        seen = p_given * (1 - rate) + (1 - p_given) * rate / (classes - 1)
        by_rate = (-p_given + (1 - p_given) / (classes - 1)) / seen
        return value, np.r_[slope, -by_rate.mean() * rate * (1 - rate / largest)]

    best = _minimum(loss, starts)
    rate = largest * expit(best[-1])
    return NoiseModel(float(np.exp(best[0])), best[1:-1], _spread(rate, classes))


def anchored_noise(logits: NDArray, labels: NDArray[np.int64]) -> NoiseModel:
    """Transitions from the examples that the classifier is surest about.

    Parameters
    ----------
    logits, labels
        As in `uniform_noise`.

    Returns
    -------
    NoiseModel
        Rows of T are the labels of the most probable examples of each class (3 % of its
        label count, at least 30 but at most a third of it), shrunk towards the rate of all
        classes; τ and b by maximum likelihood.
    """
    return _anchored(np.asarray(logits, np.float64), labels, PSEUDO_ANCHORS)


def anchors_explain_better(
    logits: NDArray, labels: NDArray[np.int64], uniform: NoiseModel
) -> bool:
    """Whether the labels of the surest examples, as they are, beat uniform noise.

    By the Bayesian information criterion. They do if the classifier is good and wrong
    labels prefer some classes; a weak classifier's sure errors do not fit the rest.
    """
    raw = _anchored(np.asarray(logits, np.float64), labels, SMOOTHING)
    classes = len(raw.transition)
    extra = classes * (classes - 1) - 1  # parameters beyond one rate
    gain = raw.log_likelihood(logits, labels) - uniform.log_likelihood(logits, labels)
    return bool(gain > extra / 2 * np.log(len(labels)))


def _anchored(scores: NDArray, labels: NDArray[np.int64], pseudo: float) -> NoiseModel:
    classes = scores.shape[1]
    transition = _anchor_counts(scores, labels)
    rate = 1 - np.trace(transition) / transition.sum()
    transition += pseudo * _spread(rate, classes) + SMALLEST
    transition /= transition.sum(axis=1, keepdims=True)

    def loss(x: NDArray) -> tuple[float, NDArray]:
        return _loss(scores, labels, x, transition)[:2]

    best = _minimum(loss, [np.r_[np.log(t), np.zeros(classes)] for t in TEMPERATURES])
    return NoiseModel(float(np.exp(best[0])), best[1:], transition)


def _anchor_counts(scores: NDArray, labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Labels (C, C) of the surest examples of each class."""
    classes = scores.shape[1]
    log_p = log_softmax(scores, axis=1)
    counts = np.bincount(labels, minlength=classes)
    wanted = np.maximum(np.ceil(ANCHOR_SHARE * counts), FEWEST_ANCHORS)
    wanted = np.minimum(wanted, np.ceil(LARGEST_ANCHOR_SHARE * counts))
    wanted = np.maximum(wanted, 1).astype(np.int64)
    return np.array(
        [
            np.bincount(
                labels[np.argsort(-log_p[:, k], kind="stable")[: wanted[k]]],
                minlength=classes,
            )
            for k in range(classes)
        ],
        dtype=np.float64,
    )


def _spread(rate: float, classes: int) -> NDArray[np.float64]:
    """Transition matrix of uniform noise."""
    transition = np.full((classes, classes), rate / (classes - 1))
    np.fill_diagonal(transition, 1 - rate)
    return transition


def _loss(
    scores: NDArray, labels: NDArray[np.int64], x: NDArray, transition: NDArray
) -> tuple[float, NDArray, NDArray]:
    """Mean negative log-likelihood of the labels, its slope by (ln τ, b), and p(s|x)."""
    scaled = scores * np.exp(-x[0])
    p = np.exp(log_softmax(scaled + x[1:], axis=1))
    recorded = transition[:, labels].T
    seen = (p * recorded).sum(axis=1)
    by_score = -p * (recorded / seen[:, None] - 1) / len(scores)
    value = -np.log(seen).mean() + PENALTY / 2 * (x[1:] ** 2).sum()
    slope = np.r_[-(by_score * scaled).sum(), by_score.sum(axis=0) + PENALTY * x[1:]]
    return float(value), slope, p[np.arange(len(scores)), labels]


def _minimum(loss, starts: list[NDArray]) -> NDArray:  # type: ignore[no-untyped-def]
    found = [minimize(loss, start, jac=True, method="L-BFGS-B") for start in starts]
    return min(found, key=lambda result: result.fun).x
