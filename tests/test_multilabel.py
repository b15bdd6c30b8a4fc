"""Several labels per sequence: losses, training, metrics, hierarchies, command line."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from omicsai.errors import InputError
from omicsai.robust import multilabel as ml

LN2 = math.log(2)
close = {"rtol": 0, "atol": 1e-9}


def tensor(*rows) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def every(like: torch.Tensor) -> torch.Tensor:
    return torch.ones_like(like, dtype=torch.bool)


# --- losses by hand ---------------------------------------------------------------------
# x = 0 gives p = 1/2, x = ln 3 gives p = 3/4; first entry positive, second negative

X = (0.0, math.log(3))
Y = (1.0, 0.0)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (ml.binary_cross_entropy, (LN2, math.log(4))),
        (ml.focal, (LN2 / 4, 9 / 16 * math.log(4))),
        (ml.asymmetric, (LN2, -(0.7**4) * math.log(0.3))),
        # sigmoid(0 - 1) = 1 / (1 + e); (1.5 - 0.75) 0.75^2
        (
            ml.hill,
            ((math.e / (1 + math.e)) ** 2 * math.log(1 + math.e), 0.75**3),
        ),
        # 0.75 > 0.6: the second entry counts as a positive that is not shifted
        (
            ml.splc,
            (
                (math.e / (1 + math.e)) ** 2 * math.log(1 + math.e),
                1 / 16 * math.log(4 / 3),
            ),
        ),
    ],
)
def test_losses_have_the_values_of_their_papers(loss, expected):
    x, y = tensor(X), tensor(Y)
    np.testing.assert_allclose(loss(x, y, every(x)).numpy()[0], expected, **close)


def test_parameters_of_the_losses_do_what_their_papers_say():
    x, y = tensor(X), tensor(Y)
    plain = ml.binary_cross_entropy(x, y, every(x))
    same = [
        ml.focal(x, y, every(x), gamma=0),
        ml.asymmetric(x, y, every(x), gamma_negative=0, clip=0),
        ml.splc(x, y, every(x), correct=False, gamma=0, margin=0),
    ]
    for loss in same:
        np.testing.assert_allclose(loss.numpy(), plain.numpy(), **close)
    moved = ml.asymmetric(x, y, every(x), gamma_positive=1)
    np.testing.assert_allclose(moved[0, 0], LN2 / 2, **close)
    before = ml.splc(x, y, every(x), correct=False)
    np.testing.assert_allclose(before[0, 1], 9 / 16 * math.log(4), **close)
    # a negative below the margin of ASL costs nothing
    assert float(ml.asymmetric(tensor([-4.0]), tensor([0.0]), every(tensor([0.0])))) == 0


def test_the_non_negative_risk_is_that_of_kiryo():
    # three examples, one positive (x = 0), others x = ln 3 and x = -ln 3; π = 1/2
    x = tensor([0.0], [math.log(3)], [-math.log(3)])
    y = tensor([1.0], [0.0], [0.0])
    u = (LN2 + math.log(4) + math.log(4 / 3)) / 3
    risk = ml.non_negative_pu(x, y, every(x), prior=tensor(0.5))
    np.testing.assert_allclose(float(risk), 0.5 * LN2 + u - 0.5 * LN2, **close)
    # a large prior makes U - π B negative: it counts as 0 ...
    x = tensor([5.0], [-5.0], [-5.0]).requires_grad_(True)
    risk = ml.non_negative_pu(x, y, every(x), prior=tensor(0.9))
    np.testing.assert_allclose(float(risk.detach()), 0.9 * math.log1p(math.exp(-5)))
    # ... and the step goes up along it: gradient of -(U - π B)
    risk.sum().backward()
    p = 1 / (1 + math.exp(-5))
    expected = [-(p / 3 - 0.9 * p), -(1 - p) / 3, -(1 - p) / 3]
    np.testing.assert_allclose(x.grad[:, 0], expected, **close)


def test_a_class_without_positives_has_no_risk_and_no_gradient():
    x = tensor([1.0, 1.0], [2.0, 2.0]).requires_grad_(True)
    y = tensor([1.0, 0.0], [0.0, 0.0])
    risk = ml.non_negative_pu(x, y, every(x), prior=torch.tensor([0.5, 0.5]))
    risk.sum().backward()
    assert float(risk.detach()[1]) == 0
    assert x.grad[:, 1].tolist() == [0, 0]


def test_the_bernoulli_target_by_hand():
    # T = 1/2: p_T = sigmoid(2 ln 3) = 9/10; h = 0.4689955936 bits
    x = tensor(X)
    trust = 1 - 0.468995593589281
    target, epsilon = ml.bernoulli_target(x, tensor(Y), 0.5, missing=True)
    np.testing.assert_allclose(epsilon[0], [0, trust / 2], **close)
    np.testing.assert_allclose(target[0], [1, 0.9 * trust / 2], **close)
    wrong, epsilon = ml.bernoulli_target(x, tensor((1.0, 1.0)), 0.5, missing=False)
    np.testing.assert_allclose(epsilon[0], [0, trust / 2], **close)
    np.testing.assert_allclose(wrong[0, 1], 1 - trust / 2 + 0.9 * trust / 2, **close)
    with pytest.raises(InputError, match="corrects none"):
        ml.bernoulli_target(x, tensor(Y), 0.5, temperature=1.0)


def test_unknown_entries_are_learned_from_only_when_asked():
    x = tensor((math.log(3), math.log(3))).requires_grad_(True)
    known = torch.tensor([[True, False]])
    y = tensor((0.0, 0.0))
    loss = ml.bernoulli_proselflc(x, y, known, 1.0)
    assert float(loss[0, 1].detach()) == 0
    loss = ml.bernoulli_proselflc(x, y, known, 1.0, pseudo=True)
    loss.sum().backward()
    trust = 1 - 0.468995593589281
    np.testing.assert_allclose(x.grad[0, 1], trust * (0.75 - 0.9), **close)


LOSSES = {
    "bce": ml.binary_cross_entropy,
    "focal": ml.focal,
    "asl": ml.asymmetric,
    "hill": ml.hill,
    "splc": ml.splc,
    "proselflc": lambda x, y, k: ml.bernoulli_proselflc(x, y, k, 0.7, missing=False),
}


def gradient(name: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The formulas, written down once more in numpy."""
    p = 1 / (1 + np.exp(-x))
    m = 1 / (1 + np.exp(-(x - 1)))
    positive_focal = lambda q: (1 - q) ** 2 * (2 * q * np.log(q) - (1 - q))  # noqa: E731
    negative_focal = p**2 * (p - 2 * (1 - p) * np.log(1 - p))
    if name == "bce":
        return p - y
    if name == "focal":
        return np.where(y > 0, positive_focal(p), negative_focal)
    if name == "asl":
        s = np.maximum(p - 0.05, 0)
        slope = p * (1 - p) * (-4 * s**3 * np.log(1 - s) + s**4 / (1 - s))
        return np.where(y > 0, p - 1, slope)
    if name == "hill":
        return np.where(y > 0, positive_focal(m), (3 - 3 * p) * p * p * (1 - p))
    if name == "splc":
        corrected = np.where(p > 0.6, positive_focal(p), negative_focal)
        return np.where(y > 0, positive_focal(m), corrected)
    own = 1 / (1 + np.exp(-x / 0.5))
    entropy = -(own * np.log(own) + (1 - own) * np.log(1 - own)) / LN2
    epsilon = 0.7 * (1 - entropy)
    return (1 - epsilon) * (p - y) + epsilon * (p - own)


numbers = hnp.arrays(np.float64, (3, 4), elements=st.floats(-6, 6))
marks = hnp.arrays(np.bool_, (3, 4))


@pytest.mark.parametrize("name", LOSSES)
@given(x=numbers, y=marks, known=marks)
def test_gradients_are_the_formulas_and_unknown_entries_are_silent(name, x, y, known):
    logits = torch.from_numpy(x).requires_grad_(True)
    targets = torch.from_numpy(y.astype(float))
    loss = LOSSES[name](logits, targets, torch.from_numpy(known))
    loss.sum().backward()
    value = loss.detach().numpy()
    assert (value[~known] == 0).all()
    assert (value >= 0).all()
    expected = np.where(known, gradient(name, x, targets.numpy()), 0)
    np.testing.assert_allclose(logits.grad.numpy(), expected, atol=1e-7)


@given(x=numbers, y=marks, g=st.floats(0, 1))
def test_corrected_targets_stay_between_the_label_and_the_model(x, y, g):
    logits, targets = torch.from_numpy(x), torch.from_numpy(y.astype(float))
    target, trust = ml.bernoulli_target(logits, targets, g, missing=False)
    own = torch.sigmoid(logits / 0.5)
    low, high = torch.minimum(targets, own), torch.maximum(targets, own)
    assert ((target >= low - 1e-12) & (target <= high + 1e-12)).all()
    assert ((trust >= 0) & (trust <= g)).all()
    kept, _ = ml.bernoulli_target(logits, targets, g, missing=True)
    assert (kept[targets > 0] == 1).all()


@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_finite_where_probabilities_are_not(name):
    x = tensor((80.0, -80.0, 80.0, -80.0)).requires_grad_(True)
    y = tensor((1.0, 1.0, 0.0, 0.0))
    loss = LOSSES[name](x, y, every(x))
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert torch.isfinite(x.grad).all()
