"""The noise laboratory: planting, running, summing up, and its command."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from omicsai.embedding.hdf5 import write_embeddings
from omicsai.errors import InputError
from omicsai.report.dynamics import dynamics_figure, weighting_figure
from omicsai.robust import Options
from omicsai.robust.laboratory import METHODS, Condition, experiment, new_laboratory
from omicsai.robust.metrics import metric_values
from omicsai.robust.options import LOSSES
from omicsai.robust.outcomes import (
    DYNAMICS,
    RUNS,
    SUMMARY,
    load_outcome,
    run_rows,
    save_outcome,
    summary_rows,
)
from omicsai.robust.weighting import example_weights, weighting_table

QUICK = Options(
    loss="proselflc",
    head="linear",
    members=2,
    epochs=6,
    batch_size=32,
    learning_rate=0.02,
    weight_decay=0.1,
)


def problem(n=300, d=20, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    code = rng.integers(classes, size=n)
    centre = rng.normal(size=(classes, d)) * 0.8
    features = (centre[code] + rng.normal(size=(n, d))).astype(np.float32)
    part = np.array(["train", "train", "train", "validation", "test"], dtype=object)
    labels = np.array([f"c{k}" for k in code], dtype=object)
    return features, labels, np.tile(part, n // 5), (np.arange(n) // 2).astype(str)


@pytest.fixture(scope="module")
def laboratory():
    return new_laboratory(*problem(), QUICK)


@pytest.mark.parametrize("kind", ["symmetric", "class", "neighbour", "cluster"])
def test_wrong_labels_are_planted_outside_test_and_differ_between_seeds(laboratory, kind):
    given = laboratory.planted(Condition(kind, 0.3))
    assert given.shape == (2, 300)
    wrong = given != laboratory.code
    assert not wrong[:, laboratory.parts["test"]].any()
    assert wrong.mean(axis=1) == pytest.approx([0.24, 0.24], abs=0.01)  # 30 % of 4/5
    assert (wrong[0] != wrong[1]).any()
    np.testing.assert_array_equal(given, laboratory.planted(Condition(kind, 0.3)))


@pytest.mark.parametrize("text", ["symmetric", "symmetric:x", "symmetric:2", "typo:0.1"])
def test_a_condition_is_a_kind_and_a_rate(text):
    assert Condition.parse("class:0.25") == Condition("class", 0.25)
    with pytest.raises(InputError, match=rf"'{text}' is not a condition"):
        Condition.parse(text)


def test_an_outcome_tells_what_happened_to_the_wrong_labels(laboratory, tmp_path):
    given = laboratory.planted(Condition("symmetric", 0.4))
    plain = experiment(laboratory, given, "cross_entropy", watch=True)
    test = laboratory.parts["test"]
    assert plain.logits.shape == (2, 2, test.sum(), 3)
    ends = pd.DataFrame(plain.dynamics).query("epoch == 6").set_index("subset")
    assert ends.loc["wrong", "accuracy"] == pytest.approx(plain.wrong_fit[0].mean())
    assert ends.loc["corrected", "accuracy"] == pytest.approx(plain.corrected[0].mean())
    right = (plain.logits[0].argmax(-1) == laboratory.code[test]).mean()
    assert ends.loc["test", "accuracy"] == pytest.approx(right)
    assert np.isnan(plain.transit).all()
    robust = experiment(laboratory, given, "proselflc", plain.pilot)
    np.testing.assert_array_equal(robust.transit, plain.pilot)
    assert not robust.dynamics
    half = experiment(laboratory, given, "proselflc_half", plain.pilot)
    assert (half.transit == 0.5).all()
    save_outcome(robust, tmp_path / "one.safetensors", "key")
    back = load_outcome(tmp_path / "one.safetensors", "key")
    np.testing.assert_array_equal(back.logits, robust.logits)
    assert load_outcome(tmp_path / "one.safetensors", "other") is None
    assert load_outcome(tmp_path / "two.safetensors", "key") is None


def test_each_seed_chooses_by_the_labels_it_is_given(laboratory):
    given = laboratory.planted(Condition("symmetric", 0.4))
    chosen = experiment(laboratory, given, "chosen", watch=True)
    assert chosen.logits.shape == (2, 2, laboratory.parts["test"].sum(), 3)
    assert {row["epoch"] for row in chosen.dynamics} == set(range(1, 7))
    # the second seed of two is the first of one that begins with its number
    alone = replace(laboratory, options=replace(QUICK, members=1, seed=2))
    again = experiment(alone, given[1:], "chosen")
    np.testing.assert_array_equal(again.logits[:, 0], chosen.logits[:, 1])
    tuned = experiment(laboratory, given, "proselflc_tuned")
    assert ((tuned.transit >= 0.02) & (tuned.transit <= 0.5)).all()
    assert np.isnan(experiment(laboratory, given, "cross_entropy_tuned").transit).all()


def test_the_head_in_closed_form_is_one_of_the_methods(laboratory):
    given = laboratory.planted(Condition("symmetric", 0.2))
    outcome = experiment(laboratory, given, "ridge", watch=True)
    assert outcome.logits.shape == (2, 2, laboratory.parts["test"].sum(), 3)
    right = outcome.logits[0].argmax(-1) == laboratory.code[laboratory.parts["test"]]
    assert (right.mean(axis=1) > 0.8).all()
    assert not outcome.dynamics
    assert np.isnan(outcome.pilot).all()


def test_without_noise_there_is_nothing_wrong_to_fit(laboratory):
    given = laboratory.planted(Condition("symmetric", 0.0))
    outcome = experiment(laboratory, given, "mae", watch=True)
    assert np.isnan(outcome.wrong_fit).all()
    assert {row["subset"] for row in outcome.dynamics} == {"clean", "test"}


def test_summaries_are_means_over_seeds_with_paired_differences(laboratory):
    given = laboratory.planted(Condition("class", 0.3))
    outcomes = {
        (name, "class", 0.3): experiment(laboratory, given, name)
        for name in ("cross_entropy", "gce")
    }
    test = laboratory.parts["test"]
    code, cluster = laboratory.code[test], laboratory.cluster[test]
    runs = RUNS.frame(
        [row for run, one in outcomes.items() for row in run_rows(run, one, code)]
    )
    table = summary_rows(outcomes, code, cluster, "cross_entropy", resamples=100)
    assert list(table.columns) == SUMMARY.names
    means = runs.groupby(["method", "state"])[["accuracy", "nll"]].mean()
    for metric in ("accuracy", "nll"):
        mine = table[table["metric"] == metric].set_index(["method", "state"])
        np.testing.assert_allclose(mine["value"], means[metric].reindex(mine.index))
        assert (mine["low"] <= mine["value"]).all()
        assert (mine["value"] <= mine["high"]).all()
        assert (mine.loc["cross_entropy", "difference"] == 0).all()
        gap = mine.loc["gce", "value"] - mine.loc["cross_entropy", "value"]
        np.testing.assert_allclose(mine.loc["gce", "difference"], gap)
    P = np.eye(3)[code]
    assert metric_values(P, code)["accuracy"] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y, part, c: part.__setitem__(part == "test", "train"),
         "no labelled sequence is in the part 'test'"),
        (lambda x, y, part, c: y.__setitem__(slice(None), "a"), "has one class"),
        (lambda x, y, part, c: y.__setitem__(int(np.flatnonzero(part == "test")[0]), "new"),
         "no training sequence has the label 'new'"),
    ],
    ids=["no test", "one class", "foreign class"],
)  # fmt: skip
def test_what_cannot_be_compared_is_refused(change, message):
    data = problem(n=50)
    change(*data)
    with pytest.raises(InputError, match=message):
        new_laboratory(*data, QUICK)


def test_the_command_adds_what_is_missing_and_repeats_itself(
    tmp_path, run_omicsai, monkeypatch
):
    features, labels, part, cluster = problem(n=150)
    ids = [f"p{i}" for i in range(150)]
    write_embeddings(tmp_path / "x.h5", ids, features, {"encoder": "test"})
    pd.DataFrame({"id": ids, "label": labels}).to_csv(
        tmp_path / "y.tsv", sep="\t", index=False
    )
    pd.DataFrame({"id": ids, "part": part, "cluster": cluster}).to_csv(
        tmp_path / "split.tsv", sep="\t", index=False
    )
    out = tmp_path / "out"

    def call(*methods: str, condition: str = "symmetric:0.4", reference=()) -> int:
        return run_omicsai(
            "benchmark", "noise", "--embeddings", tmp_path / "x.h5", "--labels",
            tmp_path / "y.tsv", "--split", tmp_path / "split.tsv", "--out", out,
            "--members", "2", "--epochs", "3", "--head", "linear", "--resamples", "100",
            "--weight-decay", "1", "--conditions", condition, "--methods", *methods,
            *reference,
        )  # fmt: skip

    assert call("mae") == 0
    first = {p: p.stat().st_mtime_ns for p in out.rglob("*.safetensors")}
    assert {p.stem for p in first} == {"cross_entropy", "chosen", "mae"}
    content = {p.name: p.read_bytes() for p in out.glob("*.*")}
    assert call("mae") == 0
    assert {p.name: p.read_bytes() for p in out.glob("*.*")} == content
    assert call("mae", "sop") == 0
    assert {p: p.stat().st_mtime_ns for p in first} == first
    runs = RUNS.read(out / "runs.tsv")
    assert len(runs) == 4 * 2 * 2
    assert set(DYNAMICS.read(out / "dynamics.tsv")["method"]) == {
        "cross_entropy", "chosen"
    }  # fmt: skip
    assert (out / "dynamics.svg").read_text().startswith("<svg")
    assert (out / "weighting.svg").exists()
    assert call("mae", reference=("--loss", "proselflc")) == 0
    assert (out / "outcomes" / "symmetric_0.4" / "proselflc.safetensors").exists()
    assert set(DYNAMICS.read(out / "dynamics.tsv")["method"]) == {
        "cross_entropy", "proselflc"
    }  # fmt: skip
    # a method that was a rival before has no learning curve yet, the reference needs one
    assert call("cross_entropy", reference=("--loss", "mae")) == 0
    assert "mae" in set(DYNAMICS.read(out / "dynamics.tsv")["method"])
    assert call("hinge") == 1
    assert call("mae", condition="typo") == 1


def test_outcomes_of_another_split_are_not_taken_up(tmp_path, run_omicsai):
    features, labels, part, cluster = problem(n=150)
    ids = [f"p{i}" for i in range(150)]
    write_embeddings(tmp_path / "x.h5", ids, features, {"encoder": "test"})
    pd.DataFrame({"id": ids, "label": labels}).to_csv(
        tmp_path / "y.tsv", sep="\t", index=False
    )
    turned = {"validation": "test", "test": "validation", "train": "train"}

    def accuracies(part, out) -> list[float]:
        split = pd.DataFrame({"id": ids, "part": part, "cluster": cluster})
        split.to_csv(tmp_path / "split.tsv", sep="\t", index=False)
        assert run_omicsai(
            "benchmark", "noise", "--embeddings", tmp_path / "x.h5", "--labels",
            tmp_path / "y.tsv", "--split", tmp_path / "split.tsv", "--out", out,
            "--members", "1", "--epochs", "3", "--head", "linear", "--resamples", "100",
            "--weight-decay", "1", "--conditions", "symmetric:0", "--methods", "mae",
            "--loss", "mae",
        ) == 0  # fmt: skip
        return RUNS.read(out / "runs.tsv")["nll"].tolist()

    first = accuracies(part, tmp_path / "one")
    other = [turned[name] for name in part]
    again = accuracies(other, tmp_path / "one")
    assert again == accuracies(other, tmp_path / "two") != first


# --- how losses weigh examples ----------------------------------------------------------


def test_weights_follow_the_published_formulas():
    p = np.linspace(0.05, 0.95, 19)
    expected = {
        "cross_entropy": 2 * (1 - p),
        "mae": 2 * p * (1 - p),
        "mse": 4 * p * (1 - p) ** 2,
        "gce": 2 * p**0.7 * (1 - p),
        "sce": 2 * (0.1 + 4 * p) * (1 - p),
    }
    for loss, formula in expected.items():
        weight, pull = example_weights(Options(loss=loss), p)
        np.testing.assert_allclose(weight, formula, atol=1e-5)
        np.testing.assert_allclose(pull, formula, atol=1e-5)


def test_trust_turns_the_pull_of_an_unlikely_label_around():
    p = np.array([0.02, 0.5, 0.98])
    _, without = example_weights(Options(loss="proselflc"), p, global_trust=0.0)
    np.testing.assert_allclose(without, 2 * (1 - p), atol=1e-5)
    _, trusted = example_weights(Options(loss="proselflc"), p, global_trust=1.0)
    assert trusted[0] < 0 < trusted[1]
    form_2021 = Options(loss="proselflc", temperature=1.0, target_gradient=True)
    _, live = example_weights(form_2021, p, global_trust=1.0)
    assert live[0] < 0.1 * without[0]


def test_every_loss_is_in_the_table_and_in_the_figure():
    table = weighting_table(points=9)
    assert set(table["loss"]) == set(LOSSES) < set(METHODS)
    assert np.isfinite(table[["weight", "pull"]]).all(axis=None)
    for drawing in (weighting_figure(table).wide, weighting_figure(table).narrow):
        assert drawing.startswith("<svg")


def test_dynamics_are_drawn_for_a_phone_too():
    rows = [
        {"method": "mae", "noise": "class", "rate": 0.2, "epoch": e, "subset": subset,
         "accuracy": 0.5, "confidence": 0.5}
        for e in (1, 2)
        for subset in ("clean", "wrong", "corrected", "test")
    ]  # fmt: skip
    drawing = dynamics_figure(DYNAMICS.frame(rows))
    assert "MAE, class noise 20%" in drawing.wide
    assert drawing.narrow != drawing.wide
