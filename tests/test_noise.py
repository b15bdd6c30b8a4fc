"""Planted wrong labels: exact numbers, the right victims, the same under a seed."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from omicsai.cli import main
from omicsai.errors import InputError
from omicsai.robust import noise

labelled = st.integers(2, 6).flatmap(
    lambda classes: st.tuples(
        hnp.arrays(np.int64, st.integers(1, 80), elements=st.integers(0, classes - 1)),
        st.just(classes),
    )
)
rates = st.floats(0, 1)


@given(labelled, rates, st.integers(0, 99))
def test_symmetric_noise_makes_an_exact_number_wrong(example, rate, seed):
    labels, classes = example
    noisy = noise.symmetric_noise(labels, classes, rate, seed=seed)
    assert (noisy != labels).sum() == int(Decimal(str(rate)) * len(labels))
    assert set(noisy) <= set(range(classes))
    again = noise.symmetric_noise(labels, classes, rate, seed=seed)
    np.testing.assert_array_equal(noisy, again)


@pytest.mark.parametrize(("rate", "wrong"), [(0.29, 29), (0.57, 57), (0.07, 7), (0.5, 50)])
def test_the_number_is_that_of_the_rate_as_it_is_written(rate, wrong):
    labels = np.zeros(100, dtype=np.int64)
    assert (noise.symmetric_noise(labels, 3, rate) != 0).sum() == wrong
    assert (noise.class_dependent_noise(labels, 3, rate) != 0).sum() == wrong


def test_symmetric_noise_treats_all_other_classes_alike():
    labels = np.zeros(30_000, dtype=np.int64)
    noisy = noise.symmetric_noise(labels, 4, 0.5)
    shares = np.bincount(noisy, minlength=4) / len(labels)
    np.testing.assert_allclose(shares, [0.5, 1 / 6, 1 / 6, 1 / 6], atol=0.01)


@given(labelled, rates, st.integers(0, 99))
def test_class_noise_mistakes_each_class_for_one_other(example, rate, seed):
    labels, classes = example
    noisy = noise.class_dependent_noise(labels, classes, rate, seed=seed)
    taken = set()
    for k in range(classes):
        members = noisy[labels == k]
        wrong = set(members) - {k}
        assert (members != k).sum() == int(Decimal(str(rate)) * len(members))
        assert len(wrong) <= 1
        assert not wrong & taken  # a cycle: no class absorbs two others
        taken |= wrong


def test_neighbour_noise_prefers_examples_at_the_border():
    rng = np.random.default_rng(1)
    angle = rng.uniform(0, np.pi / 2, 600)
    features = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    labels = (angle > np.pi / 4).astype(np.int64)
    noisy = noise.neighbour_dependent_noise(labels, 2, 0.2, features, seed=3)
    wrong = noisy != labels
    assert wrong.sum() == 120
    border = np.abs(angle - np.pi / 4) < np.pi / 16  # a quarter of all
    assert wrong[border].mean() > 1.3 * wrong[~border].mean()


def test_neighbour_noise_moves_to_the_nearest_foreign_class():
    rng = np.random.default_rng(1)
    centre = np.array([[1, 0, 0], [0.8, 0.6, 0], [0, 0, 1.0]])
    labels = np.repeat([0, 1, 2], 40)
    features = centre[labels] + rng.normal(scale=0.02, size=(120, 3))
    noisy = noise.neighbour_dependent_noise(labels, 3, 0.5, features)
    assert set(noisy[(labels == 0) & (noisy != labels)]) == {1}
    assert set(noisy[(labels == 1) & (noisy != labels)]) == {0}
    assert len(set(noisy[(labels == 2) & (noisy != labels)])) >= 1


def test_the_only_example_of_a_class_can_be_judged():
    features = np.eye(3)
    noisy = noise.neighbour_dependent_noise(np.array([0, 1, 2]), 3, 1.0, features)
    assert (noisy != [0, 1, 2]).all()


@given(labelled, rates, st.integers(0, 99), st.data())
def test_cluster_noise_mislabels_whole_clusters(example, rate, seed, data):
    labels, classes = example
    cluster = data.draw(hnp.arrays(np.int64, len(labels), elements=st.integers(0, 20)))
    everything = [c for c in set(cluster) if len(set(labels[cluster == c])) == classes]
    if any(np.isin(cluster, everything)):
        return
    noisy = noise.cluster_dependent_noise(labels, classes, rate, cluster, seed=seed)
    wrong = noisy != labels
    assert wrong.sum() == int(Decimal(str(rate)) * len(labels))
    broken = 0
    for c in set(cluster):
        mine = wrong[cluster == c]
        assert len(set(noisy[cluster == c][mine])) <= 1
        broken += bool(mine.any() and not mine.all())
    assert broken <= 1  # only the last cluster may be spared in part


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0, 0], 1, 0.2), "need two classes"),
        (([0, 1], 2, 1.2), "rate of wrong labels is from 0 to 1"),
        (([0, 2], 2, 0.2), "class indices are from 0 to 1"),
    ],
)
def test_impossible_noise_is_refused(arguments, message):
    labels, classes, rate = arguments
    with pytest.raises(InputError, match=message):
        noise.symmetric_noise(np.array(labels), classes, rate)


def test_clusters_that_hold_every_class_cannot_be_mislabelled():
    with pytest.raises(InputError, match="choose another kind of noise"):
        noise.cluster_dependent_noise(np.array([0, 1]), 2, 0.5, np.array(["a", "a"]))
    with pytest.raises(InputError, match="needs examples of two classes"):
        noise.neighbour_dependent_noise(np.array([0, 0]), 2, 0.5, np.eye(2))


# --- the command -------------------------------------------------------------------------


@pytest.fixture
def labels(tmp_path):
    path = tmp_path / "labels.tsv"
    rows = "".join(f"p{i}\t{'AB'[i % 2]}\n" for i in range(20))
    path.write_text(f"id\tlabel\n{rows}unknown1\t\nboth\tA;B\n")
    return path


def test_command_records_what_it_made_wrong(labels, tmp_path):
    out = tmp_path / "noisy.tsv"
    arguments = ["noise", str(labels), "--rate", "0.25", "--seed", "7", "--out", str(out)]
    assert main(arguments) == 0
    first = out.read_bytes()
    table = pd.read_csv(out, sep="\t", keep_default_na=False)
    assert table["wrong"].sum() == 5
    assert ((table["label"] != table["true_label"]) == table["wrong"]).all()
    spared = table.set_index("id").loc[["unknown1", "both"]]
    assert list(spared["label"]) == ["", "A;B"]
    assert main(arguments) == 0
    assert out.read_bytes() == first


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--kind", "neighbour"], "needs --embeddings"),
        (["--kind", "cluster"], "needs --split"),
        (["--kind", "random"], "not one of symmetric, class, neighbour, cluster"),
        (["--rate", "2"], "--rate '2'"),
    ],
)
def test_command_says_what_is_missing(labels, tmp_path, capsys, options, message):
    out = tmp_path / "noisy.tsv"
    assert main(["noise", str(labels), *options, "--out", str(out)]) == 1
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_command_reads_clusters_of_a_split(labels, tmp_path, capsys):
    split = tmp_path / "split.tsv"
    rows = "".join(f"p{i}\ttrain\tc{i // 4 * 2 + i % 2}\t1\n" for i in range(20))
    split.write_text(f"id\tpart\tcluster\tfold\n{rows}")
    out = tmp_path / "noisy.tsv"
    arguments = ["noise", str(labels), "--kind", "cluster", "--split", str(split)]
    assert main([*arguments, "--rate", "0.4", "--out", str(out)]) == 0
    table = pd.read_csv(out, sep="\t", keep_default_na=False).head(20)
    assert table["wrong"].sum() == 8
    cluster = [f"c{i // 4 * 2 + i % 2}" for i in range(20)]
    assert (table.groupby(cluster)["wrong"].nunique() == 1).all()
    split.write_text("id\tpart\tcluster\tfold\np0\ttrain\tc0\t1\n")
    assert main([*arguments, "--out", str(out)]) == 1
    assert "19 labelled ids have no cluster" in capsys.readouterr().err
