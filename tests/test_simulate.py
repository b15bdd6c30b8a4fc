"""The simulated data set: the same each time, with a truth that holds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omicsai.sequences import check_batch, read_labels, read_sequences
from omicsai.sequences.alphabet import AMINO_ACIDS
from omicsai.simulate import FILES, TRUTH, simulate, write_example
from omicsai.simulate.evolve import (
    background,
    evolve_family,
    profile_family,
    random_family,
    random_tree,
    rate_matrix,
)

SMALL = {"classes": 3, "family_size": 6, "near_duplicates": 6}  # as `simulated`


@pytest.fixture(scope="module")
def example(simulated, tmp_path_factory):
    folder = tmp_path_factory.mktemp("example")
    write_example(simulated, folder)
    return folder


# --- the data set ----------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bytes(example, tmp_path):
    write_example(simulate(**SMALL, seed=1), tmp_path)
    for file in FILES.values():
        assert (tmp_path / file).read_bytes() == (example / file).read_bytes()


def test_another_seed_gives_other_proteins_and_no_wrong_label_can_be_asked_for(simulated):
    other = simulate(**SMALL, mislabelled_fraction=0.0, seed=2)
    assert not other.truth["mislabelled"].any()
    assert not {r.residues for r in other.known} & {r.residues for r in simulated.known}


def test_a_label_is_wrong_exactly_where_the_truth_says_so(simulated):
    truth = simulated.truth
    labelled = truth[truth["given_label"] != ""]
    differs = labelled["given_label"] != labelled["true_label"]
    assert (differs == labelled["mislabelled"].astype(bool)).all()
    assert not truth["mislabelled"][truth["given_label"] == ""].any()
    assert differs.mean() == pytest.approx(0.2, abs=0.06)
    assert (truth["given_label"][truth["batch"] == "new"] == "").all()
    classes = {"His", "Trp", "Tyr"}
    assert set(labelled["given_label"]) == set(labelled["true_label"]) == classes
    unknown = (truth["given_label"] == "") & (truth["batch"] == "known")
    assert 0 < unknown.sum() < 0.15 * len(simulated.known)


def test_the_truth_covers_every_sequence_once(simulated):
    truth = simulated.truth
    known = [record.id for record in simulated.known]
    new = [record.id for record in simulated.new]
    assert sorted(truth["id"]) == sorted(known + new)
    assert truth["id"].is_unique
    assert set(truth["id"][truth["batch"] == "known"]) == set(known)
    assert list(truth.columns) == TRUTH.names


def test_novel_families_are_absent_from_training(simulated):
    truth = simulated.truth
    novel = truth["novel"].astype(bool)
    assert novel.any()
    assert set(truth["batch"][novel]) == {"new"}
    assert (truth["true_label"][novel] == "").all()
    training = set(truth["family"][truth["batch"] == "known"])
    assert not training & set(truth["family"][novel])


def test_near_duplicates_are_at_least_94_percent_identical(simulated):
    truth = simulated.truth.set_index("id")
    residues = {record.id: record.residues for record in simulated.known}
    copies = truth[truth["near_duplicate_of"] != ""]
    assert len(copies) == 6
    for key, row in copies.iterrows():
        copy, source = residues[key], residues[row["near_duplicate_of"]]
        assert len(copy) == len(source)
        same = np.mean([a == b for a, b in zip(copy, source, strict=True)])
        assert 0.94 <= same < 1
        assert row["family"] == truth["family"][row["near_duplicate_of"]]
        assert row["true_label"] == truth["true_label"][row["near_duplicate_of"]]


def test_simulated_proteins_are_plausible(simulated):
    for record in [*simulated.known, *simulated.new]:
        assert record.residues.startswith("M")
        assert set(record.residues) <= set(AMINO_ACIDS)
        assert 150 < len(record) < 1600


# --- the files -------------------------------------------------------------------------


def test_the_example_is_what_a_user_would_have(simulated, example):
    assert {path.name for path in example.iterdir()} == set(FILES.values())
    checked = check_batch(example / FILES["known"], labels=example / FILES["labels"])
    kept = {record.id: record.residues for record in checked.sequences}
    assert kept == {record.id: record.residues for record in simulated.known}
    reasons = " | ".join(checked.rejected["reason"])
    for reason in (
        "stop codon inside", "empty sequence", "looks like nucleotides",
        "fewer than check.min_length", "of residues are X", "label for an id that is not",
    ):  # fmt: skip
        assert reason in reasons
    assert checked.records["label_conflict"].sum() == 1
    assert "merged" in set(checked.duplicates["relation"])
    assert [s.id for s in read_sequences(example / FILES["new"])] == [
        record.id for record in simulated.new
    ]


def test_the_files_agree_with_the_truth(simulated, example):
    back = TRUTH.read(example / FILES["truth"])
    pd.testing.assert_frame_equal(back, simulated.truth)
    given_ = dict(zip(back["id"], back["given_label"], strict=True))
    labels = read_labels(example / FILES["labels"])
    for record in simulated.known:
        assert labels[record.id] == given_[record.id]


# --- evolution -------------------------------------------------------------------------


def test_background_frequencies_are_those_of_proteins():
    p = background()
    assert p.shape == (20,)
    assert p.sum() == pytest.approx(1)
    assert (p > 0).all()
    letters = dict(zip(AMINO_ACIDS, p, strict=True))
    assert max(letters, key=letters.get) in "LA"
    assert min(letters, key=letters.get) in "WC"


@given(st.integers(0, 200))
def test_the_substitution_process_is_reversible(seed):
    equilibrium = random_family(np.random.default_rng(seed), 10, spread=0.35).equilibrium
    assert equilibrium.sum() == pytest.approx(1)
    Q = rate_matrix(equilibrium)
    np.testing.assert_allclose(Q.sum(axis=1), 0, atol=1e-12)
    flow = equilibrium[:, None] * Q
    np.testing.assert_allclose(flow, flow.T, atol=1e-12)  # detailed balance
    assert (Q[~np.eye(20, dtype=bool)] > 0).all()
    # one expected substitution per unit of time
    assert -(equilibrium @ np.diag(Q)) == pytest.approx(1)


@given(st.integers(0, 500), st.integers(1, 12), st.floats(0.05, 1.5))
def test_the_rows_of_a_family_are_one_alignment(seed, tips, depth):
    rng = np.random.default_rng(seed)
    family = random_family(rng, 40, spread=0.3)
    rows = evolve_family(rng, family, random_tree(rng, tips, depth=depth), stem=0.5)
    assert len(rows) == tips
    assert len({len(row) for row in rows}) == 1
    assert set("".join(rows)) <= set(AMINO_ACIDS + "-")
    assert all(len(row.replace("-", "")) >= 5 for row in rows)
    assert all(set(column) != {"-"} for column in zip(*rows, strict=True))


def test_a_family_of_a_profile_keeps_what_the_profile_conserves():
    rng = np.random.default_rng(3)
    conserved = np.full((400, 20), 1 / 20)
    conserved[::2] = np.eye(20)[rng.integers(20, size=200)]
    families = [profile_family(rng, conserved, sharpness=0.9) for _ in range(2)]
    same = families[0].root == families[1].root
    assert same[::2].mean() > 0.7 > 0.3 > same[1::2].mean()
    assert families[0].rate_class[::2].max() <= families[0].rate_class[1::2].min()
    assert families[0].equilibrium.sum() == pytest.approx(1)


def test_more_time_means_more_substitutions():
    def identity(depth: float) -> float:
        rng = np.random.default_rng(4)
        family = random_family(rng, 200, spread=0.3)
        a, b = evolve_family(rng, family, random_tree(rng, 2, depth=depth), stem=0.0)
        both = [(x, y) for x, y in zip(a, b, strict=True) if "-" not in (x, y)]
        return float(np.mean([x == y for x, y in both]))

    values = [identity(depth) for depth in (0.0, 0.1, 0.5, 2.0)]
    assert values[0] == 1
    assert values == sorted(values, reverse=True)
    assert values[-1] < 0.6
