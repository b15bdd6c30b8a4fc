"""Conformal sets, false discoveries and novelty scores."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax

from omicsai.errors import InputError
from omicsai.robust.conformal import (
    benjamini_hochberg,
    conformal_p_values,
    label_scores,
    one_per_cluster,
    prediction_sets,
)
from omicsai.robust.novelty import Mahalanobis, logit_scores


def test_benjamini_hochberg_steps_up():
    # ranks 1 to 4 of 5 at 0.05: limits .01, .02, .03, .04; the third is over its own
    # limit, the fourth is not, so all four count
    p = np.array([0.001, 0.04, 0.035, 0.02, 0.9])
    assert benjamini_hochberg(p, 0.05).tolist() == [True, True, True, True, False]
    assert not benjamini_hochberg(np.array([0.06, 0.5]), 0.05).any()
    assert benjamini_hochberg(np.array([]), 0.05).shape == (0,)


def test_false_discoveries_stay_at_the_stated_rate():
    rng = np.random.default_rng(1)
    shares = []
    for _ in range(200):
        calibration = np.sort(rng.normal(size=200))
        scores = np.concatenate([rng.normal(size=80), rng.normal(4, 1, size=20)])
        called = benjamini_hochberg(conformal_p_values(scores, calibration), 0.2)
        shares.append(called[:80].sum() / max(called.sum(), 1))
    assert np.mean(shares) <= 0.2 + 2 * np.std(shares) / np.sqrt(200)


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.95])
def test_sets_hold_the_label_as_often_as_stated(coverage):
    rng = np.random.default_rng(2)
    hits, sizes = [], []
    for _ in range(50):
        logits = rng.normal(0, 2, size=(300, 5))
        drawn = softmax(logits, axis=1).cumsum(axis=1)
        labels = (rng.random((300, 1)) > drawn).sum(axis=1)
        P = softmax(logits * 3, axis=1)  # badly calibrated on purpose
        scores = label_scores(P[:150], np.eye(5)[labels[:150]], np.arange(150))
        sets = prediction_sets(P[150:], scores, coverage=coverage)
        hits.append(sets[np.arange(150), labels[150:]].mean())
        sizes.append(sets.sum(axis=1).mean())
    assert coverage - 0.02 <= np.mean(hits)
    if coverage >= 0.8:  # below, the most probable label alone holds more than stated
        assert np.mean(hits) <= coverage + 0.03
    assert np.mean(sizes) < 5


@given(st.integers(0, 50))
def test_larger_coverage_gives_larger_sets(seed):
    rng = np.random.default_rng(seed)
    P = softmax(rng.normal(size=(20, 3)), axis=1)
    scores = np.stack([np.sort(rng.random(30)), np.ones(30)], axis=1)
    small, large = (prediction_sets(P, scores, coverage=c) for c in (0.6, 0.9))
    assert (large | ~small).all()
    assert small[np.arange(20), P.argmax(axis=1)].all()


def test_too_few_clusters_give_all_labels():
    P = np.array([[0.98, 0.01, 0.01]])
    assert prediction_sets(P, np.array([[0.1, 1.0], [0.2, 1.0]]), coverage=0.9).all()
    with pytest.raises(InputError, match="between 0 and 1, not 1"):
        prediction_sets(P, np.array([[0.1, 1.0]]), coverage=1)


def test_a_cluster_calibrates_once():
    cluster = np.array(["b", "a", "b", "a", "c"])
    assert one_per_cluster(cluster).tolist() == [1, 0, 4]
    P = np.tile([0.7, 0.3], (5, 1))
    scores = label_scores(P, np.eye(2)[[0, 1, 1, 0, 0]], cluster)
    assert scores == pytest.approx(np.array([[0.3, 1], [0.3, 1], [0.7, 1]]))


def test_doubted_labels_count_as_what_they_may_be():
    P, doubt = np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([[0.2, 0.8], [1.0, 0.0]])
    scores = label_scores(P, doubt, np.array(["a", "b"]))
    assert scores == pytest.approx(np.array([[0.1, 0.2], [0.4, 1], [0.9, 0.8]]))
    # (1 + weight of scores >= s) / (1 + 2): for s = .5 that is 1.8 / 3
    assert prediction_sets(np.array([[0.5, 0.5]]), scores, coverage=0.41).all()
    chosen = prediction_sets(np.array([[0.51, 0.49]]), scores, coverage=0.39)
    assert chosen.tolist() == [[True, False]]


def test_logit_scores_of_a_hand_made_row():
    scores = logit_scores(np.log([[2.0, 1.0, 1.0]]))
    assert scores["msp"] == pytest.approx(0.5)
    assert scores["max_logit"] == pytest.approx(-np.log(2))
    assert scores["energy"] == pytest.approx(-np.log(4))


def test_mahalanobis_measures_in_units_of_the_spread():
    rng = np.random.default_rng(3)
    spread = np.array([1.0, 5.0])
    labels = np.repeat([0, 1], 2000)
    X = rng.normal(size=(4000, 2)) * spread + np.array([[0, 0], [30, 0]])[labels]
    model = Mahalanobis.fit(X, labels)
    near, wide, odd = model(np.array([[0, 0], [0, 5.0], [5.0, 0]]))
    assert near == pytest.approx(0, abs=0.05)
    assert wide == pytest.approx(1, rel=0.2)
    assert odd > 5 * wide  # as far, but across the spread
    assert model(np.array([[30.0, 0]])) == pytest.approx([0], abs=0.05)
