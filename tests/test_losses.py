"""The rivals of ProSelfLC: published numbers, and every gradient beside its formula."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from omicsai import config
from omicsai.errors import InputError
from omicsai.robust import LOSSES, Options, elr, elr_memory, losses, sop, train_classifier
from omicsai.robust.objectives import new_objective

close = {"rtol": 0, "atol": 1e-6}


def tensor(*values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def gradient(loss, logits, *arguments, **options) -> np.ndarray:
    """Gradient of the sum over examples (of a mean times its number)."""
    leaf = logits.clone().requires_grad_(True)
    loss(leaf, *arguments, **options).sum().backward()
    return leaf.grad.numpy()


# z = (2, 0, -1), the second class is labelled
Z, Q = tensor([2.0, 0.0, -1.0]), tensor([0.0, 1.0, 0.0])


def test_gce_and_mae_have_the_published_values():
    value = losses.generalised_cross_entropy(Z, Q, exponent=0.7)
    assert float(value) == pytest.approx(1.1157795606, abs=1e-9)
    found = gradient(losses.generalised_cross_entropy, Z, Q, exponent=0.7)
    np.testing.assert_allclose(found[0], (0.18475249, -0.19395078, 0.00919828), **close)
    found = gradient(losses.mean_absolute_error, Z, Q)
    np.testing.assert_allclose(found[0], (0.09635731, -0.10115466, 0.00479735), **close)


@pytest.mark.parametrize(
    ("mode", "beta", "weight"),
    [(0, 2, 5.88031070), (0.5, 8, 10.96495803), (1, 8, 2.24619404)],
)
def test_emphasis_has_the_published_values(mode, beta, weight):
    p_y = torch.softmax(Z, dim=-1)[0, 1]
    found = losses.emphasis(p_y, emphasis_mode=mode, beta=beta)
    assert float(found) == pytest.approx(weight, abs=1e-6)


def test_emphasis_peaks_at_its_mode():
    p = torch.linspace(0, 1, 100_001, dtype=torch.float64)
    for mode in (0.25, 0.5, 1.0, 2.0):
        peak = p[losses.emphasis(p, emphasis_mode=mode, beta=8).argmax()]
        assert float(peak) == pytest.approx(mode / (mode + 1), abs=1e-4)
    assert (losses.emphasis(p, emphasis_mode=0.5, beta=0) == 1).all()


def test_derivative_manipulation_has_the_published_gradients():
    logits = tensor([2.0, 0.0, -1.0], [0.5, 1.5, 0.0])
    leaf = logits.requires_grad_(True)
    targets = Q.expand(2, 3)
    losses.derivative_manipulation(
        leaf, targets, emphasis_mode=0.5, beta=8
    ).mean().backward()
    expected = [
        (0.24275155, -0.25483744, 0.01208589),
        (0.15260372, -0.24516256, 0.09255884),
    ]
    np.testing.assert_allclose(leaf.grad.numpy(), expected, **close)
    assert float(leaf.grad.abs().sum()) == pytest.approx(1, abs=1e-9)


def test_imae_is_derivative_manipulation_with_lambda_one():
    found = losses.imae(Z, Q, beta=8)
    expected = losses.derivative_manipulation(Z, Q, emphasis_mode=1, beta=8)
    assert torch.equal(found, expected)


# --- gradients by autograd beside their formulas ----------------------------------------


@st.composite
def batches(draw):
    """Logits (b, C) and hard labels of a small batch."""
    size, classes = draw(st.integers(1, 4)), draw(st.integers(2, 6))
    logits = draw(hnp.arrays(np.float64, (size, classes), elements=st.floats(-15, 15)))
    labels = draw(hnp.arrays(np.int64, size, elements=st.integers(0, classes - 1)))
    return torch.from_numpy(logits.copy()), torch.eye(classes).double()[labels]


def parts(logits, targets):
    p = torch.softmax(logits, dim=-1)
    p_y = (p * targets).sum(-1, keepdim=True)
    entropy_gradient = -p * (
        p.log() - (p * p.log()).sum(-1, keepdim=True)
    )  # dH/dz = -p (ln p + H)
    return p, p_y, entropy_gradient


GRADIENTS = {
    "cross_entropy": (losses.cross_entropy, lambda p, q, y, h: p - q),
    "label_smoothing": (
        losses.label_smoothing,
        lambda p, q, y, h: p - 0.875 * q - 0.125 / p.shape[-1],
    ),
    "confidence_penalty": (
        losses.confidence_penalty,
        lambda p, q, y, h: 0.75 * (p - q) - 0.25 * h,
    ),
    "boot_soft with a live target": (
        lambda z, q: losses.label_correction(
            z, q, epsilon=0.25, temperature=1, target_gradient=True
        ),
        lambda p, q, y, h: 0.75 * (p - q) + 0.25 * h,
    ),
    "mae": (losses.mean_absolute_error, lambda p, q, y, h: y * (p - q)),
    "mse": (losses.mean_squared_error, lambda p, q, y, h: 2 * y * (1 - y) * (p - q)),
    "gce": (losses.generalised_cross_entropy, lambda p, q, y, h: y**0.7 * (p - q)),
    "sce": (losses.symmetric_cross_entropy, lambda p, q, y, h: (0.1 + 4 * y) * (p - q)),
}


@pytest.mark.parametrize("name", GRADIENTS)
@given(batch=batches())
def test_gradients_agree_with_their_formulas(name, batch):
    loss, formula = GRADIENTS[name]
    logits, targets = batch
    p, p_y, entropy_gradient = parts(logits, targets)
    expected = formula(p, targets, p_y, entropy_gradient)
    np.testing.assert_allclose(gradient(loss, logits, targets), expected, atol=1e-9)


@given(batches())
def test_low_temperature_correction_moves_towards_the_sharpened_prediction(batch):
    logits, targets = batch
    p, sharp = torch.softmax(logits, -1), torch.softmax(logits / 0.5, -1)
    expected = 0.75 * (p - targets) + 0.25 * (p - sharp)
    found = gradient(losses.label_correction, logits, targets)
    np.testing.assert_allclose(found, expected, atol=1e-9)


@given(batches())
def test_hard_bootstrapping_moves_towards_the_decision(batch):
    logits, targets = batch
    p = torch.softmax(logits, -1)
    decision = torch.eye(p.shape[1]).double()[logits.argmax(-1)]
    expected = p - 0.8 * targets - 0.2 * decision
    found = gradient(losses.bootstrap_hard, logits, targets)
    np.testing.assert_allclose(found, expected, atol=1e-9)


@given(batches(), st.sampled_from([0.0, 0.5, 1.0, 2.0]), st.floats(-2, 12))
def test_derivative_manipulation_designs_the_norms(batch, mode, beta):
    logits, targets = batch
    _, p_y, _ = parts(logits, targets)
    weight = losses.emphasis(p_y[:, 0], emphasis_mode=mode, beta=beta)
    found = gradient(
        losses.derivative_manipulation, logits, targets, emphasis_mode=mode, beta=beta
    )
    norms = np.abs(found).sum(axis=1) / len(logits)
    expected = np.where(p_y[:, 0] > 1 - 1e-7, norms, weight / weight.sum())
    np.testing.assert_allclose(norms, expected, atol=1e-7)


@pytest.mark.parametrize("name", [name for name in LOSSES if name not in ("elr", "sop")])
@given(batch=batches())
def test_every_gradient_sums_to_zero_and_large_logits_stay_finite(name, batch):
    logits, targets = batch
    objective = new_objective(
        Options(loss=name, transit=0.5), members=1, examples=9, classes=4, total=10
    )
    rows = torch.arange(len(logits))[None]
    for scale in (1, 60):
        leaf = (logits * scale)[None].requires_grad_(True)
        value = objective(leaf, targets[None], rows, 7)
        value.sum().backward()
        assert value.shape == (1, len(logits))
        assert torch.isfinite(value).all()
        assert torch.isfinite(leaf.grad).all()
        np.testing.assert_allclose(leaf.grad.sum(-1).numpy(), 0, atol=1e-6)


def test_reduced_forms_that_correct_nothing_are_refused():
    with pytest.raises(InputError, match="temperature 1 with a detached target"):
        losses.label_correction(Z, Q, temperature=1)
    with pytest.raises(InputError, match="exponent is above 0 and up to 1"):
        losses.generalised_cross_entropy(Z, Q, exponent=0)


def test_gce_bridges_cross_entropy_and_the_absolute_error():
    near = losses.generalised_cross_entropy(Z, Q, exponent=1e-7)
    assert float(near) == pytest.approx(float(losses.cross_entropy(Z, Q)), abs=1e-5)
    far = losses.generalised_cross_entropy(Z, Q, exponent=1)
    assert float(far) == pytest.approx(float(losses.mean_absolute_error(Z, Q)), abs=1e-12)


# --- losses that remember ---------------------------------------------------------------


def test_elr_follows_its_definition():
    p = torch.softmax(Z, dim=-1)
    memory = elr_memory(Z, torch.zeros_like(Z), decay=0.7)
    np.testing.assert_allclose(memory, 0.3 * p, atol=1e-12)
    memory = elr_memory(Z, memory, decay=0.7)
    np.testing.assert_allclose(memory, 0.51 * p, atol=1e-12)
    value = elr(Z, Q, memory, strength=3)
    agreement = 0.51 * (p**2).sum()
    expected = losses.cross_entropy(Z, Q) + 3 * torch.log(1 - agreement)
    np.testing.assert_allclose(value, expected, atol=1e-12)
    # the regulariser pulls towards the remembered class: g = λ p (s - t) / (1 - <t, p>)
    found = gradient(elr, Z, Q, memory, strength=3)
    s = (memory * p).sum(-1, keepdim=True)
    pull = 3 * p * (s - memory) / (1 - s)
    np.testing.assert_allclose(found, p - Q + pull, atol=1e-9)


def test_elr_without_memory_is_cross_entropy():
    nothing = torch.zeros_like(Z)
    np.testing.assert_allclose(elr(Z, Q, nothing), losses.cross_entropy(Z, Q), atol=1e-12)


def test_sop_without_noise_is_cross_entropy_plus_the_decision_error():
    u, v = torch.zeros(1, 1).double(), torch.zeros(1, 3).double()
    # the decision (first class) differs from the label in two places
    expected = losses.cross_entropy(Z, Q) + 2
    np.testing.assert_allclose(sop(Z, Q, u, v), expected, atol=1e-9)


def test_sop_explains_a_wrong_label_by_noise():
    """Once U and V account for the label, nothing pulls the prediction towards it."""
    confident = tensor([12.0, 0.0, 0.0])
    u, v = tensor([1.0]), tensor([1.0, 0.0, 0.0])
    unexplained = gradient(losses.cross_entropy, confident, Q)
    explained = gradient(sop, confident, Q, u, v)
    assert np.abs(unexplained).sum() > 1.9
    assert np.abs(explained).sum() < 0.01
    assert float(sop(confident, Q, u, v)) < 0.01


def test_sop_moves_its_noise_only_for_the_rows_of_the_batch():
    objective = new_objective(
        Options(loss="sop", seed=3), members=2, examples=5, classes=3, total=10
    )
    before = objective.u.clone()
    logits = torch.randn(2, 2, 3, generator=torch.Generator().manual_seed(1))
    rows = torch.tensor([[0, 2], [4, 1]])
    labels = torch.eye(3)[torch.tensor([[0, 1], [2, 2]])]
    leaf = logits.requires_grad_(True)
    objective(leaf, labels, rows, 1).mean(dim=1).sum().backward()
    objective.update()
    moved = (objective.u != before)[..., 0]
    assert moved.nonzero().tolist() == [[0, 0], [0, 2], [1, 1], [1, 4]]


# --- training with each -----------------------------------------------------------------


def test_configuration_and_library_know_the_same_losses():
    assert get_args(config.Loss) == tuple(LOSSES)
    with pytest.raises(InputError, match="no loss is called 'hinge'"):
        new_objective(Options(loss="hinge"), members=1, examples=1, classes=2, total=1)


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_learns_from_clean_labels_and_repeats_itself(name):
    rng = np.random.default_rng(1)
    centre = rng.normal(size=(3, 8)) * 3
    code = np.repeat([0, 1, 2], 30)
    features = (centre[code] + rng.normal(size=(90, 8))).astype(np.float32)
    part = np.where(np.arange(90) % 3 == 0, "validation", "train")
    arguments = (features, [f"c{k}" for k in code], part, np.arange(90).astype(str))
    options = Options(
        loss=name, head="linear", members=2, epochs=15, learning_rate=0.03, weight_decay=0.1
    )
    trained = train_classifier(*arguments, None, options)
    predicted = trained.classifier.logits(features).argmax(axis=1)
    assert (predicted == code).mean() > 0.9
    again = train_classifier(*arguments, None, options)
    for key, value in trained.classifier.parameters.items():
        np.testing.assert_array_equal(value, again.classifier.parameters[key])
