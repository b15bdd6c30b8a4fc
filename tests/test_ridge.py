"""The closed-form head: what it knows without refitting, and what it corrects."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from omicsai.errors import InputError
from omicsai.robust import Options, load_classifier, save_classifier, train_classifier
from omicsai.robust.calibration import fit_calibration
from omicsai.robust.ridge import PENALTY, adapt, balanced_weights, fit_ridge

CLASSES, DIMENSION = 4, 12


def clouds(n: int, seed: int, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Points about one centre for each class; the same centres whatever the seed."""
    centres = np.random.default_rng(0).normal(size=(CLASSES, DIMENSION))
    rng = np.random.default_rng(seed)
    code = rng.integers(CLASSES, size=n)
    X = centres[code] + rng.normal(size=(n, DIMENSION)) * 0.7 + shift
    return X.astype(np.float32), code


def planted(code: np.ndarray, share: float) -> np.ndarray:
    rng = np.random.default_rng(7)
    wrong = rng.random(len(code)) < share
    return np.where(wrong, (code + rng.integers(1, CLASSES, len(code))) % CLASSES, code)


def fit(X: np.ndarray, code: np.ndarray, weight: np.ndarray):
    return fit_ridge(
        torch.from_numpy(X), torch.eye(CLASSES)[code], torch.from_numpy(weight)
    )


def test_left_out_scores_are_those_of_regressions_without_the_example():
    X, code = clouds(40, 1)
    weight = np.random.default_rng(2).uniform(0.5, 2, 40)
    ridge = fit(X, code, weight)
    labels = ridge.labels.numpy()
    centred = X - np.average(X, axis=0, weights=weight)
    penalty = PENALTY * (centred.astype(float) ** 2).sum(axis=1).mean()
    for i in (0, 17, 39):
        others = np.arange(40) != i
        A = np.column_stack([X[others], np.ones(39)]).astype(float)
        w = weight[others, None]
        precision = A.T @ (w * A) + penalty * np.diag([*np.ones(DIMENSION), 0])
        solution = np.linalg.solve(precision, A.T @ (w * labels[others]))
        assert ridge.left_out[i].numpy() == pytest.approx(
            np.append(X[i], 1) @ solution, abs=1e-5
        )


@pytest.mark.parametrize("share", [0.0, 0.2, 0.4])
def test_the_share_of_wrong_labels_is_estimated_and_the_labels_are_corrected(share):
    X, code = clouds(1500, 3)
    given = planted(code, share)
    ridge = fit(X, given, np.ones(len(X)))
    assert ridge.error_rate == pytest.approx((given != code).mean(), abs=0.05)
    right = (ridge.labels.argmax(dim=1).numpy() == code).mean()
    assert right > 0.95


def test_head_and_scores_agree():
    X, code = clouds(300, 4)
    ridge = fit(X, code, np.ones(len(X)))
    head = ridge.parameters()
    logits = torch.from_numpy(X) @ head["weight"][0] + head["bias"][0]
    scores = ridge.sharpness * ridge.scores(torch.from_numpy(X))
    assert logits.numpy() == pytest.approx(scores.numpy(), abs=1e-3)


def test_a_shifted_batch_is_read_better_after_adapting_to_it():
    X, code = clouds(400, 5)
    there, truth = clouds(300, 6, shift=0.8)
    ridge = fit(X, code, np.ones(len(X)))
    batch = torch.from_numpy(there)
    alone = (ridge.scores(batch).argmax(dim=1).numpy() == truth).mean()
    with_batch = adapt(ridge, batch).scores(batch).argmax(dim=1).numpy()
    assert (with_batch == truth).mean() > alone


def test_weights_give_every_class_the_same_say():
    group = np.array(["a"] * 8 + ["b"] * 2)
    code = np.array([0, 0, 0, 0, 0, 0, 1, 1, 0, 1])
    weight = balanced_weights(code, group)
    assert weight.mean() == pytest.approx(1)
    assert weight[code == 0].sum() == pytest.approx(weight[code == 1].sum())
    assert weight[8] > 3 * weight[0]


def test_the_ridge_head_trains_cross_fits_saves_and_needs_no_seed(tmp_path):
    X, code = clouds(500, 8)
    given = planted(code, 0.2)
    labels = [f"class {c}" for c in given]
    part = np.where(np.arange(500) % 5 == 0, "validation", "train")
    fold = np.where(part == "train", np.arange(500) % 3 + 1, 0)
    options = Options(head="ridge", scaling="common")
    trained = train_classifier(X, labels, part, np.arange(500), fold, options)
    again = train_classifier(
        X, labels, part, np.arange(500), fold, replace(options, seed=2, members=3)
    )
    logits = trained.classifier.logits(X)
    assert (logits == again.classifier.logits(X)).all()
    assert (logits.argmax(axis=1) == code).mean() > 0.95
    assert np.isfinite(trained.held_out_logits).all()
    flagged = trained.detector.judge(trained.held_out_logits, given).flagged
    assert (given != code)[flagged].mean() > 0.9
    save_classifier(trained.classifier, tmp_path)
    assert (load_classifier(tmp_path).logits(X) == logits).all()
    adapted = trained.for_batch(X[:100])
    assert (adapted.logits(X[:100]).argmax(axis=1) == code[:100]).mean() > 0.95
    held = np.flatnonzero(part == "validation")
    again = fit_calibration(
        adapted.logits(X[held]), given[held], held, transition=trained.detector.transition
    )
    assert adapted.calibration.scale == pytest.approx(again.scale, rel=1e-3)
    assert len(adapted.label_calibration) == len(trained.classifier.label_calibration)


def test_a_large_batch_does_not_drown_the_labels():
    X, code = clouds(60, 5)
    there, truth = clouds(6000, 6)
    one_sided = np.flatnonzero((truth == 0) | (np.arange(6000) < 300))
    ridge = fit(X, code, np.ones(len(X)))
    batch = torch.from_numpy(there[one_sided])
    alone, adapted = (
        (one.scores(batch).argmax(dim=1).numpy() == truth[one_sided])
        for one in (ridge, adapt(ridge, batch))
    )
    others = truth[one_sided] != 0
    assert adapted[others].mean() > alone[others].mean() - 0.05


@pytest.mark.parametrize("wrong", [{"unknown": "pseudo"}, {"imbalance": "logits"}])
def test_the_ridge_head_refuses_what_it_does_by_itself(wrong):
    X, code = clouds(60, 4)
    part = np.where(np.arange(60) % 5 == 0, "validation", "train")
    options = Options(head="ridge", **wrong)
    with pytest.raises(InputError, match="'ridge' corrects labels"):
        train_classifier(X, list(map(str, code)), part, np.arange(60), options=options)
