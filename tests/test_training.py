"""The trainer: optimiser, batches, pilots, resuming, rare classes, unknown labels."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from omicsai.errors import InputError
from omicsai.robust import Options, cross_entropy, load_classifier, train_classifier
from omicsai.robust import checkpoint as checkpoints
from omicsai.robust.attention import (
    light_attention_logits,
    new_light_attention,
    on_residues,
)
from omicsai.robust.calibration import choose_scaling
from omicsai.robust.fit import Watched, fit_members
from omicsai.robust.heads import new_head, on_vectors
from omicsai.robust.margins import area_under_margin
from omicsai.robust.model import save_classifier
from omicsai.robust.objectives import new_objective
from omicsai.robust.optimiser import AdamW
from omicsai.robust.pilot import DECAYS, PILOT, best_times, ranked
from omicsai.robust.sampling import class_weights, generator_of, new_sampler

QUICK = Options(
    loss="proselflc",
    head="linear",
    members=2,
    epochs=8,
    learning_rate=0.01,
    weight_decay=0.1,
    batch_size=32,
    temperature=0.5,
    target_gradient=False,
)


def blobs(counts=(60, 60, 60), d=6, distance=3.0, seed=0):
    """Gaussian classes, every third example for validation."""
    rng = np.random.default_rng(seed)
    code = np.repeat(np.arange(len(counts)), counts)
    centre = rng.normal(size=(len(counts), d))
    centre *= distance / np.linalg.norm(centre, axis=1, keepdims=True)
    features = (centre[code] + rng.normal(size=(len(code), d))).astype(np.float32)
    part = np.where(np.arange(len(code)) % 3 == 0, "validation", "train").astype(object)
    labels = np.array([f"c{k}" for k in code], dtype=object)
    return features, labels, part, np.arange(len(code)).astype(str)


def same(one, two):
    for name, value in one.classifier.parameters.items():
        np.testing.assert_array_equal(value, two.classifier.parameters[name])
    np.testing.assert_array_equal(one.held_out_logits, two.held_out_logits)
    pd.testing.assert_frame_equal(one.history, two.history)
    pd.testing.assert_frame_equal(one.pilot, two.pilot)
    assert one.classifier.settings == two.classifier.settings


# --- optimiser and batches --------------------------------------------------------------


def test_adamw_is_that_of_torch_with_a_decay_for_each_member():
    generator = torch.Generator().manual_seed(1)
    start = torch.randn(2, 4, 3, generator=generator)
    pulls = [torch.randn(2, 4, 3, generator=generator) for _ in range(12)]
    ours = {"weight": start.clone().requires_grad_(True)}
    optimiser = AdamW(ours, rate=0.1, decay=torch.tensor([0.5, 3.0]), total=12)
    for time, pull in enumerate(pulls, start=1):
        ours["weight"].grad = pull.clone()
        optimiser.step(time)
    for member, decay in enumerate((0.5, 3.0)):
        theirs = start[member].clone().requires_grad_(True)
        reference = torch.optim.AdamW([theirs], lr=0.1, weight_decay=decay)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            reference, lambda step: 0.5 * (1 + np.cos(np.pi * step / 12))
        )
        for pull in pulls:
            theirs.grad = pull[member].clone()
            reference.step()
            schedule.step()
        np.testing.assert_allclose(
            ours["weight"][member].detach(), theirs.detach(), atol=1e-6
        )


def test_biases_do_not_decay():
    parameters = {"bias": torch.ones(1, 1, 3, requires_grad=True)}
    optimiser = AdamW(parameters, rate=0.1, decay=torch.tensor([5.0]), total=10)
    parameters["bias"].grad = torch.zeros(1, 1, 3)
    optimiser.step(1)
    assert (parameters["bias"] == 1).all()


def test_an_epoch_passes_once_over_the_largest_member():
    members = [torch.arange(10), torch.arange(20, 24)]
    batches = new_sampler(members, 4, seed=1)(3)
    assert [tuple(batch.shape) for batch in batches] == [(2, 4)] * 3
    rows = torch.cat(batches, dim=1)
    assert set(rows[0].tolist()) == set(range(10))
    assert set(rows[1].tolist()) == set(range(20, 24))
    again = new_sampler(members, 4, seed=1)(3)
    assert all(torch.equal(a, b) for a, b in zip(batches, again, strict=True))


def test_balanced_batches_draw_every_class_equally_often():
    code = torch.tensor([0] * 900 + [1] * 90 + [2] * 10)
    given = torch.eye(4)[code]  # the fourth class has no example
    given = torch.cat([given, torch.zeros(500, 4)])  # a third without a label
    weights = class_weights(given)
    rows = torch.cat(new_sampler([torch.arange(1500)], 1500, 1, [weights])(1), dim=1)[0]
    drawn = torch.bincount(code[rows[rows < 1000]], minlength=3) / 1500
    np.testing.assert_allclose(drawn, [2 / 9] * 3, atol=0.04)
    assert float((rows >= 1000).float().mean()) == pytest.approx(1 / 3, abs=0.04)


@pytest.mark.parametrize("imbalance", ["batches", "logits"])
def test_rare_classes_are_found_more_often(imbalance):
    problem = blobs(counts=(400, 400, 24), distance=1.5, seed=2)
    recall = {}
    for name in ("none", imbalance):
        options = Options(**{**vars(QUICK), "loss": "cross_entropy", "imbalance": name})
        trained = train_classifier(*problem, None, options)
        predicted = trained.classifier.logits(problem[0]).argmax(axis=1)
        recall[name] = (predicted == 2)[problem[1] == "c2"].mean()
    assert recall[imbalance] > recall["none"] + 0.1


# --- pilots -----------------------------------------------------------------------------


def test_what_is_left_open_is_settled_and_recorded():
    problem = blobs()
    options = Options(**{**vars(QUICK), "weight_decay": None})
    trained = train_classifier(*problem, None, options)
    settings = trained.classifier.settings
    assert settings["weight_decay"] in DECAYS
    assert 0.02 <= settings["transit"] <= 0.5
    same(trained, train_classifier(*problem, None, options))
    given = train_classifier(*problem, None, Options(**{**vars(QUICK), "transit": 0.3}))
    assert given.classifier.settings["transit"] == 0.3
    assert given.pilot.empty
    timed = train_classifier(*problem, None, QUICK).pilot  # only the transit is open
    assert timed["transit"].notna().tolist() == [True]
    assert timed[["validation_accuracy", "validation_nll"]].isna().all(axis=None)


OPEN = replace(QUICK, loss=None, head=None, weight_decay=None, hidden=5)


def test_loss_and_decay_left_open_are_chosen_by_validation_accuracy():
    problem = blobs()
    trained = train_classifier(*problem, None, OPEN)
    assert list(trained.pilot.columns) == PILOT.names
    tried = trained.pilot.groupby(["head", "loss"])["weight_decay"].agg(set)
    assert tried.to_dict() == {
        ("mlp", loss): set(DECAYS)
        for loss in ("proselflc", "sce", "elr", "label_smoothing")
    }
    assert (trained.pilot["transit"].isna() == (trained.pilot["loss"] != "proselflc")).all()
    best, others = trained.pilot.iloc[0], trained.pilot.iloc[1:]
    assert others["validation_accuracy"].is_monotonic_decreasing
    for _, equal in others.groupby("validation_accuracy"):
        assert equal["validation_nll"].is_monotonic_increasing
    if best["loss"] != "label_smoothing":
        robust = trained.pilot[trained.pilot["loss"] != "label_smoothing"]
        assert best["validation_accuracy"] == robust["validation_accuracy"].max()
    settings = trained.classifier.settings
    for name in ("head", "loss", "weight_decay"):
        assert settings[name] == best[name]
    same(trained, train_classifier(*problem, None, OPEN))
    # what the pilot chose, chosen by hand, gives the same model
    fixed = {name: settings[name] for name in ("head", "loss", "weight_decay", "transit")}
    by_hand = train_classifier(*problem, None, replace(OPEN, **fixed))
    for name, value in by_hand.classifier.parameters.items():
        np.testing.assert_array_equal(value, trained.classifier.parameters[name])
    assert by_hand.pilot.empty


def candidates(*losses: str) -> list[dict]:
    return [{"loss": loss, "validation_nll": 1.0} for loss in losses]


@pytest.mark.parametrize(
    ("better", "worse", "first"),
    [
        (6, 5, "sce"),  # ahead by less than half a standard error of the difference
        (20, 5, "label_smoothing"),
        (5, 6, "sce"),
    ],
)
def test_label_smoothing_is_taken_only_if_it_is_clearly_ahead(better, worse, first):
    rows = candidates("sce", "label_smoothing", "elr")
    votes = np.zeros((3, 100))
    votes[:2, 30:80] = 1
    votes[1, :better] = 1
    votes[0, 30 - worse : 30] = 1
    for row, one in zip(rows, votes, strict=True):
        row["validation_accuracy"] = one.mean()
    order = ranked(rows, votes)
    assert rows[order[0]]["loss"] == first
    assert order[-1] == 2
    only = candidates("label_smoothing", "label_smoothing")
    for row, accuracy in zip(only, (0.5, 0.6), strict=True):
        row["validation_accuracy"] = accuracy
    assert ranked(only, votes[:2]) == [1, 0]


def scores_of(labels, scale, bias, seed):
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(len(labels), 3)) + 2 * np.eye(3)[labels]
    return (2 * scores - bias) / scale  # of softmax(2 * scores), the true posterior


@pytest.mark.parametrize(
    ("bias", "wanted"), [((0.0, 0.0, 0.0), "temperature"), ((0.0, 2.0, -2.0), "vector")]
)
def test_the_scaling_is_what_explains_held_out_clusters(bias, wanted):
    labels = np.random.default_rng(1).integers(3, size=300)
    scores = scores_of(labels, 3.0, np.array(bias), seed=2)
    cluster = np.repeat(np.arange(150), 2)
    assert choose_scaling(scores, labels, cluster) == wanted
    order = np.random.default_rng(3).permutation(300)
    assert choose_scaling(scores[order], labels[order], cluster[order]) == wanted
    # a class of four clusters gets no scale of its own
    few = (labels != 2) | (np.cumsum(labels == 2) <= 4)
    cluster = np.arange(300)
    rare = scores[few], labels[few], cluster[few]
    assert choose_scaling(*rare) == "temperature"


def test_calibration_left_open_is_chosen_and_recorded():
    problem = blobs()
    calibrations = {
        name: train_classifier(*problem, None, replace(QUICK, calibration=name)).classifier
        for name in ("temperature", "vector", None)
    }
    chosen = calibrations[None]
    assert chosen.settings["calibration"] in ("temperature", "vector")
    by_hand = calibrations[chosen.settings["calibration"]].calibration
    np.testing.assert_array_equal(chosen.calibration.scale, by_hand.scale)
    balanced = replace(QUICK, calibration=None, imbalance="logits")
    settings = train_classifier(*problem, None, balanced).classifier.settings
    assert settings["calibration"] == "temperature"


def test_a_given_head_is_the_one_that_is_tried():
    trained = train_classifier(*blobs(), None, replace(OPEN, head="linear"))
    assert set(trained.pilot["head"]) == {"linear"}
    assert trained.classifier.settings["head"] == "linear"


def test_every_validation_cluster_has_one_vote():
    features, labels, part, _ = blobs(counts=(300, 30, 30), distance=1.0, seed=2)
    cluster = np.where(part == "validation", labels, np.arange(len(labels)).astype(str))
    options = replace(QUICK, loss="cross_entropy", weight_decay=None)
    trained = train_classifier(features, labels, part, cluster, None, options)
    best = trained.pilot.iloc[0]
    model = train_classifier(
        features, labels, part, cluster, None,
        replace(options, weight_decay=best["weight_decay"]),
    ).classifier  # fmt: skip
    rows = part == "validation"
    right = np.array(model.classes)[model.logits(features).argmax(axis=1)] == labels
    votes = pd.Series(right[rows]).groupby(cluster[rows]).mean()
    assert right[rows].mean() > votes.mean() + 0.2  # the common class has the most
    assert best["validation_accuracy"] == pytest.approx(votes.mean(), abs=0.1)


def test_pilots_do_not_look_at_test_labels():
    features, labels, part, cluster = blobs()
    part[::5] = "test"
    options = OPEN
    before = train_classifier(features, labels, part, cluster, None, options)
    labels = labels.copy()
    labels[::5] = "c0"
    after = train_classifier(features, labels, part, cluster, None, options)
    assert before.classifier.settings == after.classifier.settings


def test_the_transit_is_where_the_validation_loss_is_lowest():
    history = pd.DataFrame(
        [
            {"epoch": e, "member": m, "part": "validation", "nll": abs(e - 3 * m) + m}
            for e in range(1, 11)
            for m in (1, 2, 3)
        ]
    )
    np.testing.assert_allclose(best_times(history, 10), [0.3, 0.5, 0.5])  # capped
    assert best_times(history, 100)[0] == 0.03
    np.testing.assert_allclose(best_times(history, 20, repeats=3), [0.3])


# --- last and best ----------------------------------------------------------------------


def test_the_best_state_is_the_one_with_the_lowest_validation_loss():
    problem = blobs(distance=1.0, d=60)
    options = {
        **vars(QUICK), "loss": "cross_entropy", "weight_decay": 0.0, "epochs": 20,
        "learning_rate": 0.1,
    }  # fmt: skip
    last, best = (
        train_classifier(*problem, None, Options(**{**options, "keep": keep}))
        for keep in ("last", "best")
    )
    pd.testing.assert_frame_equal(last.history, best.history)
    judged = last.history[last.history["part"] == "validation"]
    expected = judged.loc[judged.groupby("member")["nll"].idxmin(), "epoch"].tolist()
    assert best.classifier.settings["best_epochs"] == expected
    assert last.classifier.settings["best_epochs"] == expected
    assert max(expected) < 20
    features, labels, part, _ = problem
    rows = part == "validation"
    code = np.array([best.classifier.classes.index(label) for label in labels[rows]])
    logits = torch.from_numpy(best.classifier.member_logits(features[rows]))
    nll = cross_entropy(logits, torch.eye(3)[torch.from_numpy(code)]).mean(dim=1)
    np.testing.assert_allclose(nll, judged.groupby("member")["nll"].min(), rtol=1e-4)


# --- resuming ---------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["proselflc", "elr", "sop", None])
def test_an_interrupted_run_goes_on_to_the_same_bits(loss, tmp_path, monkeypatch):
    problem = (*blobs(), np.tile([1, 2], 90))
    options = OPEN  # with pilot runs of each head and loss
    if loss is not None:
        options = replace(QUICK, loss=loss, head="mlp", hidden=5, target_memory=0.5)
    expected = train_classifier(*problem, options)
    monkeypatch.setattr(checkpoints, "SAVE_EVERY_SECONDS", 0)
    saves = []

    def save_and_stop(self, state, epoch, history, save=checkpoints.Checkpoint.save):
        save(self, state, epoch, history)
        saves.append((self.path.stem, epoch))
        if len(saves) % 3 == 0:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints.Checkpoint, "save", save_and_stop)
    for _ in range(40):
        try:
            found = train_classifier(*problem, options, checkpoints=tmp_path / "state")
            break
        except KeyboardInterrupt:
            continue
    same(expected, found)
    runs = [name for name, _ in saves]
    assert saves == [(name, e) for name in dict.fromkeys(runs) for e in range(1, 9)]
    assert runs[-1] == "train"


def test_the_state_of_another_run_is_not_taken_up(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "SAVE_EVERY_SECONDS", 0)
    problem = blobs()
    train_classifier(*problem, None, QUICK, checkpoints=tmp_path)
    other = Options(**{**vars(QUICK), "temperature": 0.7})
    found = train_classifier(*problem, None, other, checkpoints=tmp_path)
    same(train_classifier(*problem, None, other), found)
    for path in tmp_path.glob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:100])  # damaged
    same(found, train_classifier(*problem, None, other, checkpoints=tmp_path))


KILLED = """
import os, signal, sys
from omicsai.cli import main
from omicsai.robust import checkpoint
checkpoint.SAVE_EVERY_SECONDS = 0
save, saves = checkpoint.Checkpoint.save, []
def save_and_die(self, *arguments):
    save(self, *arguments)
    saves.append(1)
    if len(saves) == int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)
checkpoint.Checkpoint.save = save_and_die
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize("task", ["single", "multi"])
def test_a_killed_command_is_repeated_to_the_same_files(tmp_path, task):
    from omicsai.embedding.hdf5 import write_embeddings

    features, labels, part, cluster = blobs(counts=(30, 30))
    ids = [f"p{i}" for i in range(60)]
    write_embeddings(tmp_path / "x.h5", ids, features, {"encoder": "test"})
    pd.DataFrame({"id": ids, "label": labels}).to_csv(
        tmp_path / "labels.tsv", sep="\t", index=False
    )
    pd.DataFrame({"id": ids, "part": part, "cluster": cluster, "fold": 1}).assign(
        fold=np.where(part == "train", np.arange(60) % 2 + 1, 0)
    ).to_csv(tmp_path / "split.tsv", sep="\t", index=False)
    command = [
        "train", "--embeddings", "x.h5", "--labels", "labels.tsv", "--split", "split.tsv",
        "--task", task, "--members", "2", "--epochs", "5", "--out",
    ]  # fmt: skip

    def call(kill: int, out: str) -> int:
        return subprocess.run(
            [sys.executable, "-c", KILLED, str(kill), *command, out], cwd=tmp_path,
            capture_output=True, check=False, env={**os.environ, "PYTHONHASHSEED": "0"},
        ).returncode  # fmt: skip

    assert call(0, "whole") == 0
    assert call(7, "killed") == -signal.SIGKILL
    assert (tmp_path / "killed" / ".unfinished").is_dir()
    assert not (tmp_path / "killed" / "model.json").exists()
    assert call(0, "killed") == 0

    def files(name: str) -> dict[str, bytes]:
        folder: Path = tmp_path / name
        return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*.*")}

    assert files("killed") == files("whole")
    assert ".unfinished" not in files("killed")


# --- unknown labels ---------------------------------------------------------------------


def test_masked_labels_change_nothing_but_pseudo_labels_help():
    features, labels, part, cluster = blobs(counts=(200, 200), distance=2.0, d=40, seed=3)
    hidden = np.random.default_rng(1).random(400) < 0.9
    given = labels.copy()
    given[hidden & (part == "train")] = ""
    right = {}
    for unknown in ("mask", "pseudo", "random"):
        options = Options(
            **{**vars(QUICK), "epochs": 40, "unknown": unknown, "weight_decay": 0.0}
        )
        trained = train_classifier(features, given, part, cluster, None, options)
        predicted = trained.classifier.logits(features).argmax(axis=1)
        right[unknown] = (predicted == (labels == "c1"))[hidden].mean()
        held = ~np.isnan(trained.held_out_logits[:, 0])
        assert (held == (part == "validation")).all()
    assert right["mask"] > 0.6
    assert right["pseudo"] > right["random"]
    labelled = (given != "") | (part != "train")
    masked = Options(**{**vars(QUICK), "transit": 0.4})
    without = train_classifier(
        features[labelled], given[labelled], part[labelled], cluster[labelled], None, masked
    )
    with_them = train_classifier(features, given, part, cluster, None, masked)
    np.testing.assert_allclose(
        without.classifier.parameters["weight"], with_them.classifier.parameters["weight"],
        atol=1e-5,
    )  # fmt: skip


def test_pseudo_labels_need_the_loss_that_defines_them():
    features, labels, part, cluster = blobs()
    labels[5] = ""
    options = Options(**{**vars(QUICK), "loss": "gce", "unknown": "pseudo"})
    with pytest.raises(InputError, match="pseudo is defined for the loss 'proselflc'"):
        train_classifier(features, labels, part, cluster, None, options)


def test_pseudo_labels_bring_their_loss_with_them():
    features, labels, part, cluster = blobs()
    labels[5] = ""
    options = replace(OPEN, unknown="pseudo", weight_decay=1.0)
    trained = train_classifier(features, labels, part, cluster, None, options)
    assert trained.classifier.settings["loss"] == "proselflc"
    assert set(trained.pilot["loss"]) == {"proselflc"}


def test_an_unknown_label_pulls_towards_what_is_known_and_trusted():
    objective = new_objective(
        replace(QUICK, transit=0.5, exp_base=16.0),
        members=1,
        examples=1,
        classes=3,
        total=100,
    )
    logits = torch.tensor([[[2.0, 0.0, -1.0]]], requires_grad=True)
    objective(logits, torch.zeros(1, 1, 3), torch.zeros(1, 1).long(), 75).sum().backward()
    p = torch.softmax(logits.detach(), -1)
    sharp = torch.softmax(logits.detach() / 0.5, -1)
    epsilon = 0.88644074  # the published example's trust
    np.testing.assert_allclose(logits.grad, epsilon * (p - sharp), atol=1e-6)


# --- margins ----------------------------------------------------------------------------


def test_margins_are_those_of_the_logits_that_were_learned_from():
    X = torch.randn(30, 4, generator=torch.Generator().manual_seed(1))
    code = torch.arange(30) % 3
    options = replace(QUICK, loss="cross_entropy", learning_rate=1e-12, dropout=0.0)
    start, forward = new_head("linear", 2, 4, 3, 0, seed=1), on_vectors(X)
    learning = np.arange(30) < 20
    fitted = fit_members(
        start, forward, torch.eye(3)[code], [learning, learning], options, watched={}
    )
    logits = forward(start, torch.arange(30), 0.0)
    for member, z in enumerate(logits.numpy()):
        for i in range(20):
            others = np.delete(z[i], code[i])
            expected = z[i, code[i]] - others.max()
            assert fitted.margins[member, i] == pytest.approx(expected, abs=1e-5)
    assert np.isnan(fitted.margins[:, 20:]).all()


def test_wrong_labels_have_a_small_area_under_the_margin():
    features, labels, _, _ = blobs(counts=(200, 200, 200), distance=5.0)
    code = np.array([int(label[1]) for label in labels])
    rng = np.random.default_rng(2)
    wrong = rng.random(600) < 0.15
    given = np.where(wrong, (code + rng.integers(1, 3, 600)) % 3, code)
    learning = rng.random(600) < 0.9
    options = replace(QUICK, weight_decay=1.0, epochs=20)
    area = area_under_margin(
        new_head("linear", 2, 6, 4, 0, seed=1), on_vectors(torch.from_numpy(features)),
        given, learning, options,
    )  # fmt: skip
    assert np.isnan(area[~learning]).all()
    assert np.isfinite(area[learning]).all()
    flagged = area[learning] <= 0
    assert flagged[wrong[learning]].mean() > 0.8  # recall
    assert wrong[learning][flagged].mean() > 0.8  # precision


# --- ProSelfLC's variants ---------------------------------------------------------------


def test_the_target_memory_is_a_mean_of_predictions():
    options = replace(QUICK, transit=0.0, exp_base=1e4, trust="global", target_memory=0.6)
    objective = new_objective(options, members=1, examples=4, classes=2, total=10)
    given, rows = torch.tensor([[[1.0, 0.0]]]), torch.tensor([[2]])
    first, second = torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[-1.0, 0.0]]])
    objective(first, given, rows, 9)
    found = objective(second, given, rows, 10)
    mean = 0.6 * 0.4 * torch.softmax(first, -1) + 0.4 * torch.softmax(second, -1)
    mean /= mean.sum()
    target = mean**2 / (mean**2).sum()  # T = 1/2, trust 1
    np.testing.assert_allclose(found, cross_entropy(second, target), atol=1e-5)
    assert (objective.memory[0, [0, 1, 3]] == 0).all()


def test_the_form_of_2021_trains_and_the_degenerate_one_is_refused():
    live = Options(**{**vars(QUICK), "temperature": 1.0, "target_gradient": True})
    trained = train_classifier(*blobs(), None, live)
    assert trained.history["accuracy"].iloc[-1] > 0.8
    with pytest.raises(InputError, match="corrects no label"):
        train_classifier(*blobs(), None, Options(**{**vars(QUICK), "temperature": 1.0}))


# --- members that differ ----------------------------------------------------------------


def test_members_may_have_labels_and_settings_of_their_own():
    features, labels, *_ = blobs(counts=(40, 40))
    code = torch.from_numpy((labels == "c1").astype(np.int64))
    given = torch.stack([torch.eye(2)[code], torch.eye(2)[1 - code]])
    everything = np.ones(80, dtype=bool)
    X = torch.from_numpy(features)
    options = Options(**{**vars(QUICK), "transit": 0.5})
    fitted = fit_members(
        new_head("linear", 2, 6, 2, 0, 1), on_vectors(X), given, [everything] * 2, options,
        watched={"all": Watched(everything, given)}, transit=[0.1, 0.5],
        weight_decay=[0.0, 1.0], shared_batches=True,
    )  # fmt: skip
    history = pd.DataFrame(fitted.history)
    ends = history[history["epoch"] == options.epochs]
    assert (ends["accuracy"] > 0.85).all()
    assert ends["global_trust"].is_monotonic_decreasing
    predicted = on_vectors(X)(fitted.last, torch.arange(80), 0.0).argmax(-1)
    assert (predicted[0] != predicted[1]).float().mean() > 0.8


# --- light attention --------------------------------------------------------------------


def proteins_with_a_motif(count=60, d=5, seed=1):
    """Class 1 has three residues of its own somewhere in a protein of noise."""
    rng = np.random.default_rng(seed)
    features = np.empty(count, dtype=object)
    code = np.arange(count) % 2
    for i, k in enumerate(code):
        protein = rng.normal(size=(rng.integers(15, 60), d))
        at = rng.integers(3, len(protein) - 3)
        protein[at : at + 3] += 3.0 * k * np.array([1, -1, 1, 0, 0])
        features[i] = protein.astype(np.float32)
    part = np.where(np.arange(count) % 5 < 3, "train", "validation").astype(object)
    return features, [f"c{k}" for k in code], part, np.arange(count).astype(str)


def test_few_proteins_are_padded_together(monkeypatch):
    rng = np.random.default_rng(1)
    proteins = [rng.normal(size=(n, 3)).astype(np.float32) for n in rng.integers(1, 9, 150)]
    parameters = new_light_attention(2, 3, 2, 4, seed=1)
    together, pad = [], torch.nn.utils.rnn.pad_sequence

    def padded(chosen, **options):
        together.append(len(chosen))
        return pad(chosen, **options)

    monkeypatch.setattr(torch.nn.utils.rnn, "pad_sequence", padded)
    logits = on_residues(proteins)(parameters, torch.arange(150), 0.0)
    assert logits.shape == (2, 150, 2)
    assert max(together) == 64
    for row in (0, 70, 149):
        alone = on_residues(proteins[row : row + 1])(parameters, torch.arange(1), 0.0)
        torch.testing.assert_close(logits[:, row], alone[:, 0])


def test_batches_of_any_seed_differ():
    seeds = (0, 1, 185_000_000, 2**32 - 1)
    drawn = [
        torch.rand(3, generator=generator_of(seed, member, epoch)).tolist()
        for seed in seeds
        for member in (0, 1)
        for epoch in (1, 2)
    ]
    assert len({tuple(one) for one in drawn}) == len(drawn)


def test_light_attention_learns_from_ragged_residues(tmp_path):
    problem = proteins_with_a_motif(count=120)
    options = Options(
        loss="cross_entropy", head="light_attention", hidden=8, members=2, epochs=15,
        batch_size=16, learning_rate=0.02, weight_decay=0.01,
    )  # fmt: skip
    trained = train_classifier(*problem, None, options)
    judged = trained.history[trained.history["part"] == "validation"]
    assert judged["accuracy"].iloc[-1] > 0.85
    save_classifier(trained.classifier, tmp_path)
    logits = load_classifier(tmp_path).logits(problem[0])
    rows = problem[2] == "validation"
    np.testing.assert_allclose(logits[rows], trained.held_out_logits[rows], atol=1e-5)
    same(trained, train_classifier(*problem, None, options))
    with pytest.raises(InputError, match="for embeddings of each residue"):
        train_classifier(*blobs(), None, options)


def test_padding_does_not_reach_a_protein():
    parameters = {
        name: value[0] for name, value in new_light_attention(1, 3, 2, 4, seed=1).items()
    }
    short, long = torch.randn(1, 7, 3), torch.randn(1, 30, 3)
    alone = light_attention_logits(parameters, short, torch.ones(1, 7).bool())
    padded = torch.zeros(2, 30, 3)
    padded[0, :7], padded[1] = short[0], long[0]
    inside = torch.arange(30) < torch.tensor([[7], [30]])
    together = light_attention_logits(parameters, padded, inside)
    np.testing.assert_allclose(together[:1], alone, atol=1e-6)


# --- awkward input ----------------------------------------------------------------------


def test_one_example_of_a_class_and_a_cluster_that_is_a_class_are_trained_on():
    features, labels, part, cluster = blobs(counts=(30, 30, 1))
    part[60] = "train"
    fold = np.where(part == "train", np.arange(61) % 2 + 1, 0)
    cluster[30:60] = "whole class"
    fold[(part == "train") & (cluster == "whole class")] = 2
    trained = train_classifier(features, labels, part, cluster, fold, QUICK)
    assert trained.classifier.classes == ["c0", "c1", "c2"]
    # the member of fold 2 never saw c1: it cannot predict it, and says so by its logits
    inside = (fold == 2) & (part == "train")
    assert np.isfinite(trained.held_out_logits[inside]).all()


def test_more_classes_than_examples_in_a_batch_or_almost_as_many_as_examples():
    rng = np.random.default_rng(1)
    features = rng.normal(size=(40, 4)).astype(np.float32)
    labels = np.array([f"c{i // 2}" for i in range(40)], dtype=object)
    part = np.tile(["train", "validation"], 20).astype(object)
    options = Options(**{**vars(QUICK), "batch_size": 4, "imbalance": "batches"})
    trained = train_classifier(features, labels, part, np.arange(40).astype(str), None,
                               options)  # fmt: skip
    assert len(trained.classifier.classes) == 20
    assert np.isfinite(trained.classifier.logits(features)).all()
