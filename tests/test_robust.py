"""Learning from uncertain labels: losses, training, calibration, metrics, novelty."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import softmax

from omicsai.errors import InputError
from omicsai.robust import (
    Options,
    classification_metrics,
    conformal_p_values,
    corrected_labels,
    cross_entropy,
    expected_calibration_error,
    fit_calibration,
    global_trust,
    load_classifier,
    local_trust,
    nearest_examples,
    neighbour_distance,
    novelty_calibration,
    proselflc,
    proselflc_target,
    save_classifier,
    train_classifier,
)
from omicsai.robust.calibration import (
    adaptive_calibration_error,
    brier_score,
    calibration_bins,
    cluster_weights,
)
from omicsai.robust.evaluation import evaluate
from omicsai.robust.metrics import metric_values, paired_difference, resampled_weights
from omicsai.robust.mislabels import suspected_mislabels
from omicsai.robust.neighbours import known_rows
from omicsai.robust.prediction import predict

close = {"rtol": 0, "atol": 1e-6}


def tensor(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def array(value: torch.Tensor) -> np.ndarray:
    return value.detach().numpy()


# --- ProSelfLC: published numbers ------------------------------------------------------
# One example: z = (2, 0, -1), the second class is labelled, t/Γ = 0.75, B = 16, τ = 0.5.

Z, Q = (2.0, 0.0, -1.0), (0.0, 1.0, 0.0)
G = 0.98201379
P = (0.84379473, 0.1141952, 0.04201007)
P_T = (0.97962921, 0.01794253, 0.00242826)  # T = 0.5


def logits_of_example() -> torch.Tensor:
    return tensor(*Z).requires_grad_(True)


def test_the_example_has_the_published_probabilities():
    p = torch.softmax(tensor(*Z), dim=-1)
    np.testing.assert_allclose(array(p), P, **close)
    assert float(-(p * p.log()).sum()) == pytest.approx(0.52426662, abs=1e-6)


@pytest.mark.parametrize(
    ("exp_base", "expected"),
    [
        (8, (0.0180, 0.1192, 0.5, 0.8808, 0.9820)),
        (10, (0.0067, 0.0759, 0.5, 0.9241, 0.9933)),
        (12, (0.0025, 0.0474, 0.5, 0.9526, 0.9975)),
        (14, (0.0009, 0.0293, 0.5, 0.9707, 0.9991)),
        (16, (0.0003, 0.0180, 0.5, 0.9820, 0.9997)),
        (0, (0.5, 0.5, 0.5, 0.5, 0.5)),
    ],
)
def test_global_trust_follows_the_published_table(exp_base, expected):
    found = [
        global_trust(time, 100, exp_base=exp_base, transit=0.5)
        for time in (0, 25, 50, 75, 100)
    ]
    np.testing.assert_allclose(found, expected, atol=6e-5)


def test_global_trust_is_exact_where_the_example_needs_it():
    assert global_trust(75, 100, exp_base=16, transit=0.5) == pytest.approx(G, abs=1e-8)
    assert global_trust(30, 100, exp_base=16, transit=0.3) == 0.5


@pytest.mark.parametrize(
    ("time", "total", "exp_base"), [(-1, 10, 16), (11, 10, 16), (0, 0, 16), (1, 10, -1)]
)
def test_global_trust_refuses_impossible_times(time, total, exp_base):
    with pytest.raises(InputError, match=r"is outside 0\.\.|exp_base is not negative"):
        global_trust(time, total, exp_base=exp_base)


@pytest.mark.parametrize(
    ("p", "mode", "expected"),
    [
        (P, "entropy", 0.52279196),
        (P_T, "entropy", 0.90267647),
        (P, "max", 0.84379473),
        (P, "global", 1.0),
        ((0.95, 0.01, 0.04), "entropy", 0.796529),
        ((1.0, 0.0, 0.0), "entropy", 1.0),
        ((1 / 3, 1 / 3, 1 / 3), "entropy", 0.0),
    ],
)
def test_local_trust_has_the_published_values(p, mode, expected):
    assert float(local_trust(tensor(*p).log(), mode)) == pytest.approx(expected, abs=1e-6)


def test_low_temperature_saturates_binary_trust():
    """Measured consequence of T = 0.2 on two classes; see the published discussion."""
    for p, plain, sharpened in ((0.7, 0.119, 0.892), (0.8, 0.278, 0.989)):
        logits = tensor(p, 1 - p).log()
        cold = torch.log_softmax(logits / 0.2, dim=-1)
        assert float(local_trust(logits)) == pytest.approx(plain, abs=5e-4)
        assert float(local_trust(cold)) == pytest.approx(sharpened, abs=5e-4)


def test_an_unknown_kind_of_trust_is_refused():
    with pytest.raises(InputError, match="trust is 'entropy', 'max' or 'global'"):
        local_trust(tensor(*P).log(), "median")


@pytest.mark.parametrize(
    ("temperature", "trust", "epsilon", "target", "loss", "divergence"),
    [
        (1.0, "entropy", 0.51338891, (0.43319486, 0.54523764, 0.0215675), 1.3250238,
         0.5491769),
        (1.0, "max", 0.82861807, None, None, None),
        (1.0, "global", 0.98201379, None, None, None),
        (0.5, "entropy", 0.88644074, (0.86838324, 0.12946425, 0.00215251), 0.43523205,
         0.03479483),
        (0.5, "max", 0.96200939, (0.9424125, 0.0552515, 0.00233601), 0.28735703,
         0.05730528),
        (0.5, "global", 0.98201379, (0.96200939, 0.03560603, 0.00238458), 0.24821182,
         0.07779766),
    ],
)  # fmt: skip
def test_corrected_targets_and_losses_have_the_published_values(
    temperature, trust, epsilon, target, loss, divergence
):
    g = global_trust(75, 100, exp_base=16, transit=0.5)
    options = {"temperature": temperature, "trust": trust}
    found, eps = proselflc_target(tensor(*Z), tensor(*Q), g, **options)
    assert float(eps) == pytest.approx(epsilon, abs=1e-6)
    if target is None:
        return
    np.testing.assert_allclose(array(found), target, **close)
    value = proselflc(tensor(*Z), tensor(*Q), g, **options, allow_reweighting=True)
    assert float(value) == pytest.approx(loss, abs=1e-6)
    entropy = float(-(found * found.log()).sum())
    assert float(value) - entropy == pytest.approx(divergence, abs=1e-6)


@pytest.mark.parametrize(
    ("options", "gradient"),
    [
        ({"temperature": 1.0, "allow_reweighting": True},
         (0.41059987, -0.43104244, 0.02044256)),
        ({"temperature": 1.0, "target_gradient": True},
         (0.25706669, -0.33456779, 0.0775011)),
        ({"temperature": 0.5}, (-0.02458851, -0.01526905, 0.03985756)),
    ],
    ids=["detached, T=1", "live target (2021)", "low temperature (2022)"],
)  # fmt: skip
def test_gradients_have_the_published_values(options, gradient):
    g = global_trust(75, 100, exp_base=16, transit=0.5)
    logits = logits_of_example()
    proselflc(logits, tensor(*Q), g, **options).backward()
    np.testing.assert_allclose(logits.grad.numpy(), gradient, **close)


def test_the_published_example_moves_a_label_to_another_class():
    # p = (.95, .01, .04) with weight .8 against the third class
    logits = tensor(0.95, 0.01, 0.04).log()
    target, _ = proselflc_target(
        logits, tensor(0, 0, 1), 0.8, temperature=1, trust="global"
    )
    np.testing.assert_allclose(array(target), (0.76, 0.008, 0.232), **close)
    assert int(target.argmax()) == 0


# --- ProSelfLC: identities and properties ----------------------------------------------


@st.composite
def examples(draw):
    classes = draw(st.integers(2, 6))
    logits = draw(hnp.arrays(np.float64, (3, classes), elements=st.floats(-30, 30)))
    targets = draw(
        hnp.arrays(np.float64, (3, classes), elements=st.floats(0.01, 1))
        | st.just(np.eye(classes)[:1].repeat(3, axis=0))
    )
    targets = targets / targets.sum(axis=1, keepdims=True)
    return torch.from_numpy(logits.copy()), torch.from_numpy(targets)


trusts = st.sampled_from(["entropy", "max", "global"])


@given(examples(), trusts, st.floats(0, 1), st.floats(0.05, 0.99))
def test_trust_is_a_weight_and_targets_and_gradients_sum_right(
    example, trust, g, temperature
):
    logits, targets = example
    logits.requires_grad_(True)
    target, epsilon = proselflc_target(
        logits, targets, g, temperature=temperature, trust=trust
    )
    assert epsilon.shape == (3, 1)
    assert ((epsilon >= 0) & (epsilon <= 1)).all()
    assert not target.requires_grad
    np.testing.assert_allclose(array(target.sum(dim=-1)), 1, atol=1e-9)
    loss = proselflc(logits, targets, g, temperature=temperature, trust=trust)
    assert loss.shape == (3,)
    assert torch.isfinite(loss).all()
    loss.sum().backward()
    gradient = logits.grad
    np.testing.assert_allclose(gradient.sum(dim=-1).numpy(), 0, atol=1e-9)
    # 2022 form: p - q̃
    p = torch.softmax(logits.detach(), dim=-1)
    np.testing.assert_allclose(gradient.numpy(), (p - target).numpy(), atol=1e-9)


@given(examples(), trusts, st.floats(0, 1))
def test_temperature_one_with_a_detached_target_only_reweights(example, trust, g):
    logits, targets = example
    logits.requires_grad_(True)
    _, epsilon = proselflc_target(logits, targets, g, temperature=1, trust=trust)
    proselflc(
        logits, targets, g, temperature=1, trust=trust, allow_reweighting=True
    ).sum().backward()
    p = torch.softmax(logits.detach(), dim=-1)
    expected = (1 - epsilon) * (p - targets)
    np.testing.assert_allclose(logits.grad.numpy(), expected.numpy(), atol=1e-9)


@given(examples(), trusts, st.floats(0, 1))
def test_a_live_target_adds_the_gradient_of_the_entropy(example, trust, g):
    logits, targets = example
    logits.requires_grad_(True)
    options = {"temperature": 1.0, "trust": trust, "target_gradient": True}
    _, epsilon = proselflc_target(logits, targets, g, **options)
    assert not epsilon.requires_grad
    proselflc(logits, targets, g, **options).sum().backward()
    z = logits.detach()
    p, log_p = torch.softmax(z, dim=-1), torch.log_softmax(z, dim=-1)
    entropy = -(p * log_p).sum(dim=-1, keepdim=True)
    expected = (1 - epsilon) * (p - targets) - epsilon * p * (log_p + entropy)
    np.testing.assert_allclose(logits.grad.numpy(), expected.numpy(), atol=1e-9)


def test_the_combination_that_corrects_nothing_is_refused():
    with pytest.raises(InputError, match="temperature 1 with a detached target corrects"):
        proselflc(tensor(*Z), tensor(*Q), 0.5, temperature=1)


@pytest.mark.parametrize("temperature", [0, -0.5, 1.01])
def test_temperatures_are_above_zero_and_up_to_one(temperature):
    with pytest.raises(InputError, match="temperature is above 0 and up to 1"):
        proselflc(tensor(*Z), tensor(*Q), 0.5, temperature=temperature)


def test_without_trust_proselflc_is_cross_entropy():
    z, q = tensor(*Z), tensor(*Q)
    expected = -math.log(P[1])
    assert float(cross_entropy(z, q)) == pytest.approx(expected, abs=1e-6)
    early = global_trust(0, 100, exp_base=40, transit=0.5)
    assert float(proselflc(z, q, early)) == pytest.approx(expected, abs=1e-6)
    flat = torch.zeros(4, dtype=torch.float64)
    q = tensor(0, 1, 0, 0)
    assert float(proselflc(flat, q, 1.0)) == pytest.approx(math.log(4), abs=1e-12)


def test_soft_labels_are_accepted_and_large_logits_stay_finite():
    soft = cross_entropy(tensor(*Z), tensor(0.2, 0.5, 0.3))
    log_p = np.log(softmax(Z))
    assert float(soft) == pytest.approx(-(log_p @ [0.2, 0.5, 0.3]), abs=1e-12)
    logits = tensor(1000, 0, -1000).requires_grad_(True)
    loss = proselflc(logits, tensor(0, 0, 1), 0.5)
    loss.backward()
    assert torch.isfinite(loss)
    assert logits.grad.abs().max() > 0.1  # no dead gradient


# --- calibration -----------------------------------------------------------------------


def naive_ece(confidence, correct, weights, bins):
    error = 0.0
    for b in range(bins):
        inside = [
            i
            for i, c in enumerate(confidence)
            if b <= c * bins < b + 1 or (b == bins - 1 and c == 1.0)
        ]
        w = sum(weights[i] for i in inside)
        if w:
            hit = sum(weights[i] * correct[i] for i in inside) / w
            believed = sum(weights[i] * confidence[i] for i in inside) / w
            error += w / sum(weights) * abs(hit - believed)
    return error


@given(
    st.lists(
        st.tuples(
            st.floats(0, 1) | st.sampled_from([0.0, 0.2, 0.6, 1.0]),
            st.booleans(),
            st.integers(1, 3),
        ),
        min_size=1,
        max_size=30,
    ),
    st.sampled_from([1, 10, 15]),
)
def test_ece_agrees_with_a_naive_loop(rows, bins):
    confidence, correct, weights = map(np.array, zip(*rows, strict=True))
    found = expected_calibration_error(confidence, correct, bins=bins, weights=weights)
    expected = naive_ece(confidence, correct, weights, bins)
    assert found == pytest.approx(expected, abs=1e-12)
    assert 0 <= found <= 1 + 1e-12


def test_certainty_belongs_to_the_last_bin():
    weight, believed, hit = calibration_bins(
        np.array([1.0, 1.0, 0.95]), np.array([True, False, True]), bins=10
    )
    assert len(weight) == 10
    assert (weight[-1], believed[-1], hit[-1]) == (3, pytest.approx(2.95), 2)
    assert expected_calibration_error(np.ones(4), np.ones(4, bool)) == 0
    assert expected_calibration_error(np.float32([1, 1]), np.array([1, 0])) == 0.5


@pytest.mark.parametrize("temperature", [0.25, 1.0, 4.0])
def test_the_temperature_of_synthetic_logits_is_recovered(temperature):
    rng = np.random.default_rng(3)
    true_logits = rng.normal(0, 2, size=(6000, 4))
    cumulative = softmax(true_logits, axis=1).cumsum(axis=1)
    labels = (rng.random((6000, 1)) > cumulative).sum(axis=1)
    found = fit_calibration(true_logits * temperature, labels, np.arange(6000))
    assert found.scale == pytest.approx(np.full(4, 1 / temperature), rel=0.06)
    assert (found.bias == 0).all()


def test_every_cluster_has_one_vote_in_the_temperature():
    logits = np.array([[2.0, 0.0]] * 9 + [[2.0, 0.0]] * 3)
    labels = np.array([1] * 9 + [0] * 3)  # one big wrong cluster, three right ones
    cluster = np.array(["big"] * 9 + ["a", "b", "c"])
    weights = cluster_weights(cluster)
    assert weights[:9].sum() == pytest.approx(weights[9])
    assert weights.mean() == pytest.approx(1)
    # three votes of four are right: the best p is 3/4, so T = 2 / ln 3
    assert fit_calibration(logits, labels, cluster).scale == pytest.approx(
        np.full(2, math.log(3) / 2), rel=1e-3
    )


def synthetic_scores(n=6000, classes=3, seed=5):
    """Logits, and labels drawn from their softmax."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, size=(n, classes))
    cumulative = softmax(logits, axis=1).cumsum(axis=1)
    return logits, (rng.random((n, 1)) > cumulative).sum(axis=1)


def test_vector_scaling_mends_each_class():
    logits, labels = synthetic_scores()
    scale, shift = np.array([0.5, 1.0, 2.0]), np.array([1.0, 0.0, -1.0])
    found = fit_calibration(
        logits / scale - shift / scale, labels, np.arange(6000), scaling="vector"
    )
    assert found.scale == pytest.approx(scale, rel=0.15)
    assert found.bias - found.bias[1] == pytest.approx(shift, abs=0.15)


@pytest.mark.parametrize("scaling", ["temperature", "vector"])
def test_wrong_labels_are_allowed_for(scaling):
    """Labels are wrong by a known matrix; probabilities are those of the true class."""
    logits, true = synthetic_scores()
    transition = np.array([[0.7, 0.3, 0.0], [0.1, 0.8, 0.1], [0.0, 0.0, 1.0]])
    rng = np.random.default_rng(6)
    given_ = (rng.random((6000, 1)) > transition[true].cumsum(axis=1)).sum(axis=1)
    aware = fit_calibration(
        logits, given_, np.arange(6000), scaling=scaling, transition=transition
    )
    naive = fit_calibration(logits, given_, np.arange(6000), scaling=scaling)
    assert aware.scale == pytest.approx(np.ones(3), rel=0.12)
    assert naive.scale.max() < 0.9
    np.testing.assert_allclose(aware.recorded(logits), aware(logits) @ transition)
    rows = np.arange(6000)
    nll = [-np.log(p[rows, given_]).mean() for p in (aware.recorded(logits), naive(logits))]
    assert nll[0] < nll[1]


def test_adaptive_bins_hold_the_same_number():
    # two bins of two: (.1, .2) all wrong, (.9, 1.) all right
    confidence, correct = np.array([0.1, 0.2, 0.9, 1.0]), np.array([0, 0, 1, 1])
    found = adaptive_calibration_error(confidence, correct, bins=2)
    assert found == pytest.approx((0.3 + 0.1) / 4)
    assert adaptive_calibration_error(np.full(5, 0.8), np.array([1, 1, 1, 1, 0])) == (
        pytest.approx(0, abs=1e-12)
    )


def test_brier_score_of_hand_made_cases():
    P = np.array([[1.0, 0, 0], [0.5, 0.25, 0.25]])
    assert brier_score(P, np.array([0, 1])) == pytest.approx([0, 0.875])
    assert brier_score(P[:1], np.array([2])) == pytest.approx([2])


# --- metrics ---------------------------------------------------------------------------


@st.composite
def predictions(draw):
    classes = draw(st.integers(2, 4))
    n = draw(st.integers(2, 25))
    codes = st.integers(0, classes - 1)
    labels = draw(st.lists(codes, min_size=n, max_size=n))
    predicted = draw(st.lists(codes, min_size=n, max_size=n))
    weights = draw(st.lists(st.integers(0, 3), min_size=n, max_size=n).filter(any))
    P = np.full((n, classes), 0.1 / classes)
    P[np.arange(n), predicted] += 0.9
    return P, np.array(labels), np.array(weights)


@pytest.mark.filterwarnings("ignore::UserWarning:sklearn")
@given(predictions())
def test_metrics_agree_with_scikit_learn_on_repeated_examples(problem):
    from sklearn import metrics

    P, labels, weights = problem
    found = metric_values(P, labels, weights)
    # whole weights mean repeated examples
    repeated = np.repeat(np.arange(len(labels)), weights)
    true, predicted = labels[repeated], P.argmax(axis=1)[repeated]
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(true, predicted))
    expected = metrics.f1_score(true, predicted, average="macro", zero_division=0)
    assert found["macro_f1"] == pytest.approx(expected)
    assert found["mcc"] == pytest.approx(
        metrics.matthews_corrcoef(true, predicted), abs=1e-9
    )
    nll = metrics.log_loss(true, P[repeated], labels=range(P.shape[1]))
    assert found["nll"] == pytest.approx(nll)
    plain = metric_values(P[repeated], labels[repeated])
    assert found == {name: pytest.approx(value) for name, value in plain.items()}


def test_a_probability_of_zero_for_the_truth_stays_finite():
    assert np.isfinite(metric_values(np.array([[1.0, 0.0]]), np.array([1]))["nll"])


def test_the_bootstrap_draws_whole_clusters():
    cluster = np.array(["a", "b", "a", "c", "c", "c"])
    weights = resampled_weights(cluster, resamples=200, seed=1)
    assert weights.shape == (200, 6)
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, 3] == weights[:, 4]).all()
    per_cluster = weights[:, [0, 1, 3]]
    assert (per_cluster.sum(axis=1) == 3).all()
    assert len(np.unique(per_cluster, axis=0)) > 5
    np.testing.assert_array_equal(
        weights, resampled_weights(cluster, resamples=200, seed=1)
    )


def test_intervals_are_wider_when_examples_come_in_clusters():
    rng = np.random.default_rng(1)
    right = rng.random(20) < 0.7
    labels = np.zeros(200, dtype=np.int64)
    P = np.tile([0.9, 0.1], (200, 1))
    P[~np.repeat(right, 10)] = [0.1, 0.9]
    alone = classification_metrics(P, labels, np.arange(200), resamples=300)
    grouped = classification_metrics(P, labels, np.repeat(range(20), 10), resamples=300)
    for told in (alone["accuracy"], grouped["accuracy"]):
        assert told["low"] <= told["value"] <= told["high"]
        assert told["value"] == pytest.approx(right.mean())
    width = [told["high"] - told["low"] for told in
             (alone["accuracy"], grouped["accuracy"])]  # fmt: skip
    assert width[1] > 2 * width[0]


def test_the_difference_of_a_model_to_itself_is_zero():
    rng = np.random.default_rng(2)
    P = softmax(rng.normal(size=(30, 3)), axis=1)
    labels = rng.integers(3, size=30)
    same = paired_difference(P, P, labels, np.arange(30), resamples=100)
    assert {v for told in same.values() for v in told.values()} == {0}
    flipped = paired_difference(P, P[:, ::-1], labels, np.arange(30), resamples=100)
    expected = metric_values(P, labels)["nll"] - metric_values(P[:, ::-1], labels)["nll"]
    assert flipped["nll"]["value"] == pytest.approx(expected, abs=1e-6)


# --- neighbours and novelty ------------------------------------------------------------

vectors = hnp.arrays(
    np.float64,
    st.tuples(st.integers(1, 8), st.just(3)),
    elements=st.floats(-5, 5).map(lambda x: round(x, 2)),
)


def brute_force(row, reference, skip):
    similar = []
    for j, other in enumerate(reference):
        if j == skip:
            continue
        norm = np.linalg.norm(row) * np.linalg.norm(other)
        similar.append(row @ other / norm if norm else 0.0)
    return sorted(similar, reverse=True)


@given(vectors, vectors, st.integers(1, 5), st.data())
def test_neighbours_agree_with_brute_force(features, reference, count, data):
    skip = np.array(
        data.draw(
            st.lists(
                st.integers(-1, len(reference) - 1),
                min_size=len(features),
                max_size=len(features),
            )
        )
    )
    if len(reference) == 1:
        skip[:] = -1
    index, similarity = nearest_examples(features, reference, count=count, skip=skip)
    kept = index.shape[1]
    assert index.shape == similarity.shape == (len(features), kept)
    assert 1 <= kept <= count
    for row, own, found, near in zip(features, skip, index, similarity, strict=True):
        assert own not in found
        np.testing.assert_allclose(near, brute_force(row, reference, own)[:kept], atol=1e-9)
    distance = neighbour_distance(features, reference, count=count, skip=skip)
    np.testing.assert_allclose(distance, 1 - similarity.mean(axis=1))


def test_neighbours_are_found_across_blocks_of_rows(monkeypatch):
    features = np.random.default_rng(1).normal(size=(25, 4))
    skip = np.arange(25)
    whole = nearest_examples(features, features, count=3, skip=skip)
    monkeypatch.setattr("omicsai.robust.neighbours.BLOCK", 7)
    blocks = nearest_examples(features, features, count=3, skip=skip)
    np.testing.assert_array_equal(whole[0], blocks[0])
    np.testing.assert_allclose(whole[1], blocks[1])


def test_conformal_p_values_count_at_least_as_novel():
    calibration = np.array([1.0, 2.0, 2.0, 3.0])
    scores = np.array([0.5, 1.0, 2.0, 2.5, 3.0, 9.0])
    np.testing.assert_allclose(
        conformal_p_values(scores, calibration), [1, 1, 4 / 5, 2 / 5, 2 / 5, 1 / 5]
    )


@given(
    st.lists(st.floats(-5, 5), min_size=1, max_size=20),
    st.lists(st.floats(-5, 5), min_size=1, max_size=20),
)
def test_conformal_p_values_are_bounded_and_fall_with_novelty(scores, calibration):
    p = conformal_p_values(np.sort(scores), np.sort(calibration))
    assert (p >= 1 / (1 + len(calibration))).all()
    assert (p <= 1).all()
    assert (np.diff(p) <= 0).all()


def test_conformal_p_values_of_exchangeable_scores_are_uniform():
    rng = np.random.default_rng(5)
    p = np.concatenate(
        [
            conformal_p_values(rng.normal(size=40), np.sort(rng.normal(size=99)))
            for _ in range(100)
        ]
    )
    for level in (0.05, 0.1, 0.25, 0.5, 0.9):
        assert (p <= level).mean() == pytest.approx(level, abs=0.02)


def test_novelty_is_calibrated_once_per_cluster_and_without_itself():
    rng = np.random.default_rng(1)
    features = rng.normal(size=(12, 4))
    cluster = np.array(["a"] * 5 + ["b"] * 4 + ["c"] * 3, dtype=object)
    scores = novelty_calibration(features, cluster)
    assert (np.diff(scores) >= 0).all()
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    similar = unit @ unit.T
    np.fill_diagonal(similar, -1)  # of the five nearest others
    expected = 1 - np.sort(similar, axis=1)[:, -5:].mean(axis=1)
    np.testing.assert_allclose(scores, np.sort(expected[[0, 5, 9]]))


def test_a_further_member_of_a_known_family_is_seldom_called_novel():
    """Families of six near copies and one more; a new family has no copy."""
    rng = np.random.default_rng(3)
    families = np.repeat(rng.normal(size=(200, 6)), 7, axis=0)
    families += 0.05 * rng.normal(size=families.shape)
    families = families.reshape(200, 7, 6)
    known, cluster = families[:150, :6].reshape(-1, 6), np.repeat(np.arange(150), 6)
    calibration = novelty_calibration(known, cluster)
    further, new = families[:150, 6], families[150:, 0]
    p = conformal_p_values(neighbour_distance(further, known), calibration)
    assert (p < 0.1).mean() < 0.18
    assert (conformal_p_values(neighbour_distance(new, known), calibration) < 0.1).all()


# --- training --------------------------------------------------------------------------

QUICK = Options(
    loss="proselflc",
    head="linear",
    members=2,
    epochs=40,
    learning_rate=3e-3,
    weight_decay=0.01,
)
CLASSES = np.array(["a", "b", "c"], dtype=object)


def gaussians(n: int = 600, d: int = 100, noise: float = 0.4, seed: int = 0) -> dict:
    """Three well separated classes; `noise` of the labels replaced by another class."""
    rng = np.random.default_rng(seed)
    true = rng.integers(3, size=n)
    centre = rng.normal(size=(3, d))
    centre *= 5 / np.linalg.norm(centre, axis=1, keepdims=True)
    features = (centre[true] + rng.normal(size=(n, d))).astype(np.float32)
    wrong = rng.random(n) < noise
    given_ = np.where(wrong, (true + rng.integers(1, 3, size=n)) % 3, true)
    part = np.repeat(np.array(["train", "validation", "test"], object), [n // 2, n // 4,
                     n - n // 2 - n // 4])  # fmt: skip
    return {
        "features": features, "true": true, "given": given_, "wrong": wrong, "part": part,
        "labels": CLASSES[given_], "cluster": np.arange(n).astype(str).astype(object),
        "fold": np.where(part == "train", np.arange(n) % 3 + 1, 0),
    }  # fmt: skip


def fit(problem: dict, options: Options = QUICK, **changes):
    values = {**problem, **changes}
    return train_classifier(
        values["features"], values["labels"], values["part"], values["cluster"],
        values["fold"], options,
    )  # fmt: skip


def with_loss(loss: str, **changes) -> Options:
    return Options(**{**vars(QUICK), "loss": loss, **changes})


@pytest.fixture(scope="module")
def noisy() -> dict:
    return gaussians()


@pytest.fixture(scope="module")
def robust(noisy):
    return fit(noisy)


@pytest.fixture(scope="module")
def small() -> dict:
    return gaussians(n=120, d=8, noise=0.1, seed=3)


def test_proselflc_fits_fewer_wrong_labels_than_cross_entropy(noisy, robust):
    plain = fit(noisy, with_loss("cross_entropy"))
    fitted, right = {}, {}
    for name, trained in (("robust", robust), ("plain", plain)):
        predicted = trained.classifier.logits(noisy["features"]).argmax(axis=1)
        wrong_training = (noisy["part"] == "train") & noisy["wrong"]
        fitted[name] = (predicted == noisy["given"])[wrong_training].mean()
        right[name] = (predicted == noisy["true"])[noisy["part"] == "test"].mean()
    assert fitted["robust"] < fitted["plain"] - 0.1
    assert right["robust"] > right["plain"] + 0.1


@pytest.mark.parametrize("loss", ["proselflc", "cross_entropy"])
@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_training_twice_gives_the_same_bits(small, loss, head):
    options = with_loss(loss, head=head, hidden=8, epochs=6)
    one, two = fit(small, options), fit(small, options)
    for name, value in one.classifier.parameters.items():
        np.testing.assert_array_equal(value, two.classifier.parameters[name])
    np.testing.assert_array_equal(one.held_out_logits, two.held_out_logits)
    np.testing.assert_array_equal(
        one.classifier.calibration.scale, two.classifier.calibration.scale
    )
    pd.testing.assert_frame_equal(one.history, two.history)


def test_seeds_and_members_differ(small):
    trained = fit(small, with_loss("proselflc", epochs=3))
    other = fit(small, with_loss("proselflc", epochs=3, seed=2))
    weight = trained.classifier.parameters["weight"]
    assert weight.shape == (2, 8, 3)
    assert not np.allclose(weight[0], weight[1])
    assert not np.allclose(weight, other.classifier.parameters["weight"])


def test_a_member_does_not_depend_on_how_many_there_are(small):
    two = fit(small, with_loss("cross_entropy", epochs=3))
    three = fit(small, with_loss("cross_entropy", epochs=3, members=3))
    np.testing.assert_allclose(
        two.classifier.parameters["weight"],
        three.classifier.parameters["weight"][:2],
        atol=1e-6,
    )


def test_held_out_logits_cover_exactly_the_labelled_train_and_validation_rows(small):
    labels = small["labels"].copy()
    labels[::7] = ""
    trained = fit(small, with_loss("proselflc", epochs=3), labels=labels)
    expected = np.isin(small["part"], ["train", "validation"]) & (labels != "")
    missing = np.isnan(trained.held_out_logits)
    assert (missing.all(axis=1) == ~expected).all()
    assert (missing.any(axis=1) == ~expected).all()
    validation = expected & (small["part"] == "validation")
    np.testing.assert_allclose(
        trained.held_out_logits[validation],
        trained.classifier.logits(small["features"])[validation],
        atol=1e-5,
    )


def test_the_held_out_logits_of_a_fold_never_saw_its_labels(small):
    """Changing the labels of one fold leaves that fold's own held-out logits alone."""
    options = with_loss("cross_entropy", epochs=4)
    shuffled = small["labels"].copy()
    inside = small["fold"] == 2
    shuffled[inside] = np.roll(shuffled[inside], 1)
    before, after = (fit(small, options, labels=x) for x in (small["labels"], shuffled))
    others = (small["part"] == "train") & ~inside
    np.testing.assert_allclose(
        before.held_out_logits[inside], after.held_out_logits[inside], atol=1e-6
    )
    assert not np.allclose(before.held_out_logits[others], after.held_out_logits[others])


def test_the_test_part_does_not_touch_the_model(small):
    options = with_loss("proselflc", epochs=4)
    labels = small["labels"].copy()
    labels[small["part"] == "test"] = "d"
    before, after = fit(small, options), fit(small, options, labels=labels)
    assert after.classifier.classes == ["a", "b", "c"]
    for name, value in before.classifier.parameters.items():
        np.testing.assert_array_equal(value, after.classifier.parameters[name])
    np.testing.assert_array_equal(
        before.classifier.calibration.scale, after.classifier.calibration.scale
    )


def test_the_history_tells_every_epoch_member_and_part(small):
    trained = fit(small, with_loss("proselflc", epochs=5, transit=0.4))
    history = trained.history
    assert len(history) == 5 * 2 * 2
    assert set(history["part"]) == {"train", "validation"}
    assert history["accuracy"].between(0, 1).all()
    assert history["corrected_fraction"].between(0, 1).all()
    trust = history.drop_duplicates("epoch").set_index("epoch")["global_trust"]
    assert trust.is_monotonic_increasing
    assert trust[2] == pytest.approx(0.5)
    plain = fit(small, with_loss("cross_entropy", epochs=5)).history
    assert plain["global_trust"].isna().all()
    assert plain["corrected_fraction"].isna().all()


def test_the_transit_comes_from_a_pilot_unless_it_is_given(small, robust):
    found = robust.classifier.settings["transit"]
    assert 0.02 <= found <= 0.5
    given_ = fit(small, with_loss("proselflc", epochs=2, transit=0.3))
    assert given_.classifier.settings["transit"] == 0.3
    plain = fit(small, with_loss("cross_entropy", epochs=2))
    assert plain.classifier.settings["transit"] is None


@pytest.mark.parametrize(
    "fold",
    [None, np.zeros(120, dtype=np.int64), pd.Series([pd.NA] * 120, dtype="Int64")],
    ids=["absent", "zero", "missing"],
)
def test_without_folds_only_validation_is_held_out(small, fold):
    trained = fit(small, with_loss("proselflc", epochs=2), fold=fold)
    known = ~np.isnan(trained.held_out_logits[:, 0])
    assert (known == (small["part"] == "validation")).all()


def test_constant_features_do_no_harm(small):
    features = small["features"].copy()
    features[:, 0] = 7
    trained = fit(small, with_loss("proselflc", epochs=2), features=features)
    assert np.isfinite(trained.classifier.logits(features)).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p["labels"].__setitem__(slice(None), "a"), "has 1 labelled class "
         r"\(a\): a classifier needs two"),
        (lambda p: p["labels"].__setitem__(slice(None), ""), "has 0 labelled classes "
         r"\(all labels unknown\)"),
        (lambda p: p["features"].__setitem__((3, 2), np.nan), "NaN or infinity: embed"),
        (lambda p: p["features"].__setitem__((3, 2), np.inf), "NaN or infinity: embed"),
        (lambda p: p["labels"].__setitem__(p["part"] == "validation", ""),
         "no sequence of the validation part has a known label"),
        (lambda p: p["labels"].__setitem__(p["part"] == "validation", "new"),
         "no sequence of the validation part has a known label"),
        (lambda p: p["part"].__setitem__(p["part"] == "train", "test"), "0 labelled"),
        (lambda p: p["fold"].__setitem__(p["part"] == "train", 1),
         "a cross-fitting fold leaves no labelled example"),
    ],
    ids=["one class", "all unknown", "NaN", "infinity", "validation unknown",
         "validation foreign", "no training part", "one fold only"],
)  # fmt: skip
def test_what_cannot_be_trained_on_is_refused(change, message):
    problem = gaussians(n=40, d=4)
    change(problem)
    with pytest.raises(InputError, match=message):
        fit(problem)


def test_confidence_is_in_the_truth_and_recorded_confidence_in_the_labels(noisy, robust):
    """40 % of the labels are wrong."""
    validation = noisy["part"] == "validation"
    classifier = robust.classifier
    logits = classifier.logits(noisy["features"][validation])
    P, R = classifier.calibrated(logits), classifier.calibration.recorded(logits)
    right = (P.argmax(axis=1) == noisy["true"][validation]).mean()
    agreement = (P.argmax(axis=1) == noisy["given"][validation]).mean()
    assert agreement < P.max(axis=1).mean() <= right + 0.08
    assert R[np.arange(len(P)), P.argmax(axis=1)].mean() == pytest.approx(
        agreement, abs=0.08
    )
    np.testing.assert_allclose(P.sum(axis=1), 1)
    np.testing.assert_allclose(R.sum(axis=1), 1)


# --- the model folder ------------------------------------------------------------------


def test_a_model_survives_the_round_trip(tmp_path, small):
    classifier = fit(small, with_loss("proselflc", epochs=2)).classifier
    save_classifier(classifier, tmp_path / "model")
    back = load_classifier(tmp_path / "model")
    assert (back.classes, back.settings) == (classifier.classes, classifier.settings)
    for name in ("scale", "bias", "transition"):
        np.testing.assert_array_equal(
            getattr(back.calibration, name), getattr(classifier.calibration, name)
        )
    np.testing.assert_array_equal(back.label_calibration, classifier.label_calibration)
    np.testing.assert_array_equal(
        back.logits(small["features"]), classifier.logits(small["features"])
    )
    np.testing.assert_array_equal(back.reference, classifier.reference)
    first = {p.name: p.read_bytes() for p in (tmp_path / "model").iterdir()}
    save_classifier(classifier, tmp_path / "again")
    assert first == {p.name: p.read_bytes() for p in (tmp_path / "again").iterdir()}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("weights.safetensors", None, r"weights\.safetensors is missing \(run 'omicsai"),
        ("model.json", None, r"model\.json is missing"),
        ("weights.safetensors", b"\xff" * 40, "holds a damaged model"),
        ("weights.safetensors", b"", "holds a damaged model"),
        ("model.json", b"{", "holds a damaged model"),
        ("model.json", b"{}", "holds a damaged model"),
    ],
)
def test_a_damaged_model_folder_is_refused(tmp_path, small, name, content, message):
    save_classifier(fit(small, with_loss("proselflc", epochs=1)).classifier, tmp_path)
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        load_classifier(tmp_path)


def test_features_of_another_length_are_refused(small):
    classifier = fit(small, with_loss("proselflc", epochs=1)).classifier
    with pytest.raises(InputError, match="expects 8 features and was given 5: embed with"):
        classifier.logits(np.zeros((2, 5), dtype=np.float32))


# --- suspected mislabels ---------------------------------------------------------------


def test_a_label_is_overruled_only_by_confidence():
    logits = np.array([[6.0, 0, 0], [0.3, 0, 0], [0.0, 6, 0], [0.0, 0.0, 0.0]])
    labels = np.array([1, 1, 1, 2])
    np.testing.assert_array_equal(corrected_labels(logits, labels), [0, 1, 1, 2])


@pytest.fixture(scope="module")
def flipped() -> dict:
    return gaussians(noise=0.15, seed=4)


@pytest.fixture(scope="module")
def trained_on_flipped(flipped):
    return fit(flipped)


def test_planted_flips_are_flagged(flipped, trained_on_flipped):
    logits = trained_on_flipped.held_out_logits
    held = ~np.isnan(logits[:, 0])
    given_, wrong = flipped["given"][held], flipped["wrong"][held]
    flagged = trained_on_flipped.detector.judge(logits[held], given_).flagged
    assert flagged[wrong].mean() > 0.85  # recall
    assert wrong[flagged].mean() > 0.85  # precision


@pytest.mark.parametrize("action", ["downweight", "drop", "correct"])
def test_acting_on_doubts_helps_a_model_that_would_memorise(flipped, action):
    """Cross entropy without decay learns the flips by heart; without them it cannot."""
    options = with_loss("cross_entropy", epochs=40)
    report, acted = fit(flipped, options), fit(flipped, replace(options, mislabels=action))
    test = flipped["part"] == "test"
    right = [
        (t.classifier.logits(flipped["features"][test]).argmax(1) == flipped["true"][test])
        for t in (report, acted)
    ]
    assert right[1].mean() >= right[0].mean()
    wrong = (flipped["part"] == "train") & flipped["wrong"]
    fitted = [
        t.classifier.logits(flipped["features"][wrong]).argmax(1) == flipped["given"][wrong]
        for t in (report, acted)
    ]
    assert fitted[1].mean() < 0.5 * fitted[0].mean()


def test_acting_on_doubts_needs_folds(flipped):
    with pytest.raises(InputError, match="mislabels: drop needs cross-fitting folds"):
        train_classifier(
            flipped["features"], list(flipped["labels"]), flipped["part"],
            flipped["cluster"], None, replace(QUICK, mislabels="drop"),
        )  # fmt: skip


def test_suspects_name_the_proposal_and_the_nearest_other_sequences(
    flipped, trained_on_flipped
):
    ids = np.array([f"s{i}" for i in range(600)], dtype=object)
    columns = {name: flipped[name] for name in ("part", "cluster")}
    examples = pd.DataFrame({"id": ids, **columns, "label": flipped["labels"]})
    examples.loc[::10, "label"] = ""
    table = suspected_mislabels(
        trained_on_flipped.classifier,
        trained_on_flipped.detector,
        examples,
        flipped["features"],
        trained_on_flipped.held_out_logits,
        examples,
        {"AUM": trained_on_flipped.low_margin},
    )
    row = pd.Series(range(600), index=ids)[table["id"]].to_numpy()
    assert (examples["label"].to_numpy()[row] == table["given"]).all()
    assert (table["given"] != table["proposed"]).all()
    assert (CLASSES[flipped["true"][row]] == table["proposed"]).mean() > 0.85
    assert np.isin(flipped["part"][row], ["train", "validation"]).all()
    assert (np.diff(table["wrong_probability"]) <= 1e-9).all()
    assert (table["probability"] <= table["wrong_probability"] + 1e-9).all()
    assert table["agreeing"].str.contains("label correction").mean() > 0.5
    doubted = table["agreeing"].str.contains("AUM")
    assert doubted[table["part"] == "train"].mean() > 0.5
    assert not doubted[table["part"] != "train"].any()
    tested = set(ids[flipped["part"] == "test"])
    label = dict(zip(ids, examples["label"], strict=True))
    for suspect in table.itertuples():
        near = [cell.split(" (") for cell in suspect.neighbours.rstrip(")").split("), ")]
        assert len({key for key, _ in near}) == 3
        assert not {key for key, _ in near} & {suspect.id, *tested}
        assert [told.split(", ")[0] for _, told in near] == [label[k] for k, _ in near]


# --- prediction and evaluation ---------------------------------------------------------


def test_predictions_rank_labels_and_flag_what_is_unlike_training():
    """A known id is not its own neighbour; far points are novel, familiar ones are not."""
    whole = gaussians(n=400, d=8, noise=0.1, seed=3)
    held_back = whole["part"] == "test"
    small = {name: values[~held_back] for name, values in whole.items()}
    classifier = fit(small).classifier
    known, new = small["features"], whole["features"][held_back]
    ids = np.array([f"s{i}" for i in range(len(known))], dtype=object)
    far = np.random.default_rng(1).normal(-20, 1, size=(20, 8))
    batch = np.concatenate([known[:5], new, far]).astype(np.float32)
    names = np.array([*ids[:5], *(f"n{i}" for i in range(120))], dtype=object)
    table = predict(
        classifier,
        batch,
        names,
        reference_ids=ids,
        reference_labels=small["labels"],
        novel_fdr=0.3,  # the clusters are few
        coverage=0.8,
    )
    assert list(table["id"]) == list(names)
    assert (table["nearest_id"] != table["id"]).all()
    assert (table["probability"] >= table["runner_up_probability"]).all()
    assert (table["label"] != table["runner_up"]).all()
    P = classifier.calibrated(classifier.logits(batch))
    np.testing.assert_allclose(table["probability"], P.max(axis=1))
    assert (table["label"] == CLASSES[P.argmax(axis=1)]).all()
    label = dict(zip(ids, small["labels"], strict=True))
    assert list(table["nearest_label"]) == [label[key] for key in table["nearest_id"]]
    assert table["novel"][105:].all()
    assert table["novel"][5:105].sum() <= 16  # at most about a third of the list
    sets = [cell.split(";") for cell in table["label_set"]]
    assert all(row[0] == top for row, top in zip(sets, table["label"], strict=True))
    true = CLASSES[whole["true"][held_back]]
    covered = [t in row for t, row in zip(true, sets[5:105], strict=True)]
    assert np.mean(covered) > 0.7


def test_what_is_known_is_told_by_the_vector_not_by_the_id():
    reference = np.random.default_rng(2).normal(size=(6, 8)).astype(np.float32)
    names = [f"s{i}" for i in range(6)]
    batch = reference[[0, 1, 2, 3]].copy()
    batch[1] *= 1.00001  # embedded again
    batch[3] = -batch[3]
    ids = ["s0", "s1", "copy", "s3"]
    assert known_rows(batch, ids, reference, names).tolist() == [0, 1, 2, -1]
    # the id wins where several vectors are equal
    reference[5] = reference[4]
    again = known_rows(reference[[5, 5]], ["s5", "other"], reference, names)
    assert again.tolist() == [5, 4]


def test_an_evaluation_agrees_with_its_own_tables(noisy, robust):
    test = noisy["part"] == "test"
    ids = np.array([f"s{i}" for i in range(600)], dtype=object)[test]
    given_, cluster = noisy["given"][test], noisy["cluster"][test]
    control = fit(noisy, with_loss("cross_entropy", epochs=5)).classifier
    result = evaluate(
        robust.classifier, noisy["features"][test], given_, cluster, ids,
        control=control, resamples=100,
    )  # fmt: skip
    metrics, tested = result.metrics, result.tested
    assert metrics["loss"] == "proselflc"
    assert metrics["control"]["loss"] == "cross_entropy"
    assert metrics["accuracy"] == pytest.approx(tested["correct"].mean(), abs=1e-6)
    other = (tested["control_predicted"] == tested["label"]).mean()
    assert metrics["control"]["accuracy"] == pytest.approx(other, abs=1e-6)
    for name in ("accuracy", "macro_f1", "mcc", "nll", "ece"):
        low, high = metrics["intervals"][name]
        assert low <= high
        assert len(metrics["members"][name]) == 2
        gain = metrics[name] - metrics["control"][name]
        assert metrics["difference"][name] == pytest.approx(gain, abs=2e-6)
    assert list(tested["id"]) == list(ids)
    assert result.confusion["sequences"].sum() == len(ids)
    agreeing = result.confusion["label"] == result.confusion["predicted"]
    right = result.confusion["sequences"][agreeing].sum()
    assert right == tested["correct"].sum()
    groups = result.calibration.groupby(["model", "calibrated"])["sequences"].sum()
    assert set(groups) == {len(ids)}
    assert len(groups) == 4
