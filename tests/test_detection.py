"""Finding wrong labels: noise models, the detector, confident learning, votes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import approx_fprime
from scipy.special import softmax

from omicsai.errors import InputError
from omicsai.robust import noise_model
from omicsai.robust.detection import (
    confident_joint,
    confident_learning,
    fit_detector,
    load_detector,
    neighbour_votes,
    save_detector,
)
from omicsai.robust.noise import class_dependent_noise, symmetric_noise
from omicsai.robust.noise_model import NoiseModel, anchored_noise, uniform_noise


def scores(n: int = 4000, classes: int = 4, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Logits of a calibrated classifier, and classes drawn from them."""
    rng = np.random.default_rng(seed)
    logits = 3 * rng.normal(size=(n, classes))
    drawn = (softmax(logits, axis=1).cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
    return logits, np.minimum(drawn, classes - 1)


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.3])
def test_the_rate_of_uniform_noise_is_found(rate):
    logits, true = scores()
    given = symmetric_noise(true, 4, rate, seed=2)
    detector = fit_detector(logits, given)
    assert detector.rates[0] == pytest.approx(rate, abs=0.015)
    assert detector.rate == pytest.approx(rate, abs=0.03)
    assert detector.uniform.temperature == pytest.approx(1, abs=0.1)


def test_the_matrix_of_noise_between_pairs_is_found():
    logits, true = scores(n=8000)
    given = class_dependent_noise(true, 4, 0.3, seed=2)
    truth = np.array(
        [np.bincount(given[true == k], minlength=4) / (true == k).sum() for k in range(4)]
    )
    detector = fit_detector(logits, given)
    assert detector.weights[1] > detector.weights[0]
    apart = detector.transition - np.diag(np.diag(detector.transition))
    assert (apart.argmax(axis=1) == (truth - np.diag(np.diag(truth))).argmax(axis=1)).all()
    assert detector.transition == pytest.approx(truth, abs=0.2)  # rows are shrunk
    assert detector.rate == pytest.approx(0.3, rel=0.2)


def test_the_flagged_list_is_as_good_as_the_detector_expects():
    logits, true = scores()
    given = symmetric_noise(true, 4, 0.2, seed=3)
    judged = fit_detector(logits, given).judge(logits, given)
    wrong = given != true
    precision = wrong[judged.flagged].mean()
    assert judged.wrong[judged.flagged].mean() == pytest.approx(precision, abs=0.1)
    recall = judged.flagged[wrong].mean()
    assert 2 * precision * recall / (precision + recall) > 0.75
    assert (judged.proposed != given).all()
    right = judged.proposed[judged.flagged] == true[judged.flagged]
    assert right.mean() == pytest.approx(judged.probability[judged.flagged].mean(), abs=0.1)


def test_it_beats_confident_learning_on_noise_of_both_kinds():
    for make in (symmetric_noise, class_dependent_noise):
        logits, true = scores(seed=5)
        given = make(true, 4, 0.1, seed=6)
        wrong = given != true
        ours = fit_detector(logits, given).judge(logits, given).flagged
        rival = confident_learning(softmax(logits, axis=1), given)
        assert f1(ours, wrong) > f1(rival, wrong)


def f1(flagged: np.ndarray, wrong: np.ndarray) -> float:
    return float(2 * (flagged & wrong).sum() / (flagged.sum() + wrong.sum()))


def test_slopes_are_those_of_the_likelihood():
    logits, true = scores(n=200, classes=3)
    transition = np.array([[0.8, 0.15, 0.05], [0.1, 0.9, 0.0], [0.2, 0.1, 0.7]])
    x = np.array([0.3, 0.2, -0.1, 0.4])

    def value(x: np.ndarray) -> float:
        return noise_model._loss(logits, true, x, transition)[0]

    slope = noise_model._loss(logits, true, x, transition)[1]
    assert slope == pytest.approx(approx_fprime(x, value, 1e-7), abs=1e-5)


@settings(max_examples=10, deadline=None)
@given(st.integers(2, 6), st.integers(2, 60), st.integers(0, 1000))
def test_any_small_table_gets_probabilities(classes, n, seed):
    rng = np.random.default_rng(seed)
    logits, labels = rng.normal(size=(n, classes)), rng.integers(0, classes, n)
    judged = fit_detector(logits, labels).judge(logits, labels)
    assert ((judged.wrong >= 0) & (judged.wrong <= 1)).all()
    assert ((judged.probability >= 0) & (judged.probability <= 1)).all()
    for k in np.unique(labels):
        assert not judged.flagged[labels == k].all()


def test_posteriors_follow_bayes_rule():
    model = NoiseModel(1.0, np.zeros(2), np.array([[0.9, 0.1], [0.2, 0.8]]))
    logits = np.log([[0.75, 0.25]])
    assert model.posterior(logits, np.array([1])) == pytest.approx(
        np.array([[0.75 * 0.1, 0.25 * 0.8]]) / (0.75 * 0.1 + 0.25 * 0.8)
    )
    assert model.log_likelihood(logits, np.array([1])) == pytest.approx(np.log(0.075 + 0.2))


def test_a_detector_survives_being_written(tmp_path):
    logits, true = scores(n=300)
    detector = fit_detector(logits, symmetric_noise(true, 4, 0.1))
    save_detector(detector, tmp_path / "detector.json")
    again = load_detector(tmp_path / "detector.json")
    assert again.judge(logits, true).wrong == pytest.approx(
        detector.judge(logits, true).wrong
    )
    assert again.rate == pytest.approx(detector.rate)
    (tmp_path / "detector.json").write_text("{}")
    with pytest.raises(InputError, match="run 'omicsai train' again"):
        load_detector(tmp_path / "detector.json")


# Four classes' worth of small numbers, worked out by hand from the rules of the paper.
P = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.2, 0.8], [0.4, 0.6], [0.85, 0.15]])
GIVEN = np.array([0, 0, 0, 1, 1, 1])


def test_confident_learning_counts_confident_examples():
    # thresholds: mean of (.9, .8, .3) = .667 for class 0, of (.8, .6, .15) = .517 for 1
    # class 0: two confident in 0, one in 1; class 1: two confident in 1, one in 0
    assert confident_joint(P, GIVEN) == pytest.approx(np.array([[2, 1], [1, 2]]) / 6)
    assert confident_learning(P, GIVEN).tolist() == [False, False, True, False, False, True]


def test_homologues_have_no_vote():
    features = np.array([[1, 0], [1, 0.01], [1, 0.02], [0, 1], [0.01, 1]])
    labels = np.array([1, 1, 0, 1, 1])
    cluster = np.array(["a", "a", "b", "c", "c"])
    votes = neighbour_votes(
        features, cluster, features, labels, cluster, classes=2, count=1
    )
    assert votes[0].tolist() == [1, 0]  # its twin in cluster a says 1 and is not asked
    alone = np.zeros(5)
    lonely = neighbour_votes(features, alone, features, labels, alone, classes=2)
    assert (lonely == 0).all()


def test_one_rate_and_anchors_agree_where_noise_is_uniform():
    logits, true = scores(n=10000)
    given = symmetric_noise(true, 4, 0.2, seed=4)
    a, u = anchored_noise(logits, given), uniform_noise(logits, given)
    assert a.transition == pytest.approx(u.transition, abs=0.05)
