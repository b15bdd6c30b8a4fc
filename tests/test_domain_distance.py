"""Distances by domains, domains compared, the shipped library's own promises."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omicsai.domains import (
    architecture_distances,
    builtin_files,
    builtin_table,
    nearest_architectures,
    nearest_neighbours,
    profile_distances,
    profile_vectors,
    read_clans,
    read_profiles,
)
from omicsai.domains.compare import changed_hits, enrichment, family_changes

FAMILIES = {"A": "C1", "B": "C1", "C": "C2", "D": "D"}
architecture = st.lists(st.sampled_from(sorted(FAMILIES)), max_size=5)


def told(rows):
    """Architectures and clans of lists of families."""
    return (
        [", ".join(row) for row in rows],
        [", ".join(FAMILIES[name] for name in row) for row in rows],
    )


def hit(key, profile, score=50.0, start=1, end=40, accession="", kept=True):
    return {
        "id": key, "profile": profile, "sequence_score": score, "score": score,
        "start": start, "end": end, "accession": accession, "kept": kept,
    }  # fmt: skip


# --- distances -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["alignment", "sets"])
@given(rows=st.lists(architecture, min_size=1, max_size=6))
def test_architecture_distances_are_symmetric_bounded_and_zero_on_identity(kind, rows):
    distances = architecture_distances(*told(rows), kind=kind)
    np.testing.assert_allclose(distances, distances.T)
    assert (np.diag(distances) == 0).all()
    assert ((distances >= 0) & (distances <= 1)).all()
    for i, a in enumerate(rows):
        for j, b in enumerate(rows):
            if bool(a) != bool(b):
                assert distances[i, j] == 1


@given(rows=st.lists(architecture, min_size=3, max_size=6))
def test_the_distance_of_sets_is_a_metric(rows):
    d = architecture_distances(*told(rows), kind="sets")
    assert (d[:, None, :] <= d[:, :, None] + d[None, :, :] + 1e-12).all()


@given(a=architecture, b=architecture)
def test_the_alignment_is_the_best_one(a, b):
    """Against the recursion that defines it."""

    def worth(i: int, j: int) -> float:
        if i == len(a) or j == len(b):
            return 0.0
        same = 1.0 if a[i] == b[j] else 0.5 * (FAMILIES[a[i]] == FAMILIES[b[j]])
        return max(same + worth(i + 1, j + 1), worth(i + 1, j), worth(i, j + 1))

    both = len(a) + len(b)
    expected = 1 - 2 * worth(0, 0) / both if both else 0.0
    assert architecture_distances(*told([a, b]))[0, 1] == pytest.approx(expected)


def test_order_counts_for_alignments_and_not_for_sets():
    rows = [["A", "C", "D"], ["D", "C", "A"], ["A", "C", "D", "D"], ["B", "C", "D"]]
    aligned = architecture_distances(*told(rows))
    sets = architecture_distances(*told(rows), kind="sets")
    assert aligned[0, 1] == pytest.approx(2 / 3)
    assert sets[0, 1] == 0
    assert aligned[0, 2] == pytest.approx(1 / 7)
    assert aligned[0, 3] == pytest.approx(1 / 6)  # A and B are of one clan
    assert sets[0, 3] == pytest.approx((1 - 2 / 4) / 2)
    part = architecture_distances(*told(rows[:1]), others=told(rows[1:]))
    np.testing.assert_allclose(part, aligned[:1, 1:])


def test_the_nearest_architecture_of_each():
    rows = [["A"], ["A", "C"], ["D"], ["B"]]
    names, clans = told(rows)
    counts = pd.DataFrame({"architecture": names, "clans": clans})
    told_ = nearest_architectures(counts)
    assert list(told_["nearest"]) == ["A, C", "A", "", "A"]
    np.testing.assert_allclose(told_["nearest_distance"], [1 / 3, 1 / 3, np.nan, 0.5])


def test_profile_vectors_take_the_best_score_and_have_length_one():
    table = pd.DataFrame(
        [hit("p", "A", 30), hit("p", "A", 30, 50, 90), hit("p", "B", 40), hit("q", "B", 9)]
    )
    vectors, names = profile_vectors(table, ["q", "none", "p"])
    assert names == ["A", "B"]
    np.testing.assert_allclose(vectors.toarray(), [[0, 1], [0, 0], [0.6, 0.8]])
    distances = profile_distances(vectors)
    assert (np.diag(distances) == 0).all()
    np.testing.assert_allclose(distances, distances.T)
    assert distances[0, 1] == distances[1, 2] == 1
    assert distances[0, 2] == pytest.approx(np.arccos(0.8) / (np.pi / 2))


@given(st.integers(0, 100))
def test_the_distance_of_vectors_is_a_metric_and_blocks_agree(seed):
    rng = np.random.default_rng(seed)
    rows = [
        hit(f"p{i}", name, float(rng.uniform(1, 500)))
        for i in range(12)
        for name in rng.choice(list("ABCDE"), rng.integers(0, 4), replace=False)
    ]
    rows.append(hit("p0", "A", 10.0))
    vectors, _ = profile_vectors(pd.DataFrame(rows), [f"p{i}" for i in range(12)])
    d = profile_distances(vectors)
    np.testing.assert_allclose(d, d.T)
    assert ((d >= 0) & (d <= 1)).all()
    assert (d[:, None, :] <= d[:, :, None] + d[None, :, :] + 1e-9).all()
    neighbours, near = nearest_neighbours(vectors, 3)
    np.fill_diagonal(d, np.inf)
    np.testing.assert_allclose(near, np.sort(d, axis=1)[:, :3])
    assert all(i not in row for i, row in enumerate(neighbours))


# --- comparisons -----------------------------------------------------------------------


def test_enrichment_is_fishers_test():
    from scipy.stats import fisher_exact

    classes = {f"p{i}": "x" if i < 6 else "y" for i in range(20)}
    rows = [hit(f"p{i}", "A") for i in range(5)] + [hit("p10", "A"), hit("p11", "B")]
    told_ = enrichment(pd.DataFrame([*rows, rows[0], hit("stranger", "A")]), classes)
    first = told_.iloc[0]
    assert (first["class"], first["profile"], first["in_class"]) == ("x", "A", 5)
    assert (first["class_fraction"], first["other_fraction"]) == (5 / 6, 1 / 14)
    p = [
        fisher_exact(table, alternative="greater")[1]
        for table in ([[5, 1], [1, 13]], [[1, 13], [5, 1]], [[1, 13], [0, 6]])
    ]
    assert first["p_adjusted"] == pytest.approx(min(p) * 3)
    # of several labels each is a class
    several = {key: f"{name};all" for key, name in classes.items()}
    again = enrichment(pd.DataFrame([*rows, rows[0]]), several)
    assert list(again.iloc[0])[:5] == list(first)[:5]
    assert (again.loc[again["class"] == "all", "p_adjusted"] == 1).all()


def test_gained_and_lost_between_two_libraries():
    before = [
        hit("p", "Old", accession="PF00001.1"), hit("p", "B", start=50, end=90),
        hit("gone", "B"), hit("q", "D", kept=False),
    ]  # fmt: skip
    after = [
        hit("p", "New name", accession="PF00001.2"), hit("p", "B", start=200, end=240),
        hit("q", "D"),
    ]  # fmt: skip
    told_ = changed_hits(pd.DataFrame(before), pd.DataFrame(after))
    rows = list(zip(told_["id"], told_["profile"], told_["change"], strict=True))
    assert rows == [("p", "B", "lost"), ("p", "B", "gained"), ("q", "D", "gained")]


def test_gained_and_lost_between_two_batches():
    before = [hit("p", "A"), hit("q", "A"), hit("q", "B")]
    after = [hit("r", "A"), hit("r", "A", start=60, end=90), hit("r", "C")]
    told_ = family_changes(pd.DataFrame(before), pd.DataFrame(after), (4, 2))
    assert list(zip(told_["profile"], told_["change"], strict=True)) == [
        ("B", "lost"), ("C", "gained"), ("A", "both"),
    ]  # fmt: skip
    both = told_.iloc[2]
    assert (both["before"], both["after"]) == (2, 1)
    assert (both["before_fraction"], both["after_fraction"]) == (0.5, 0.5)


# --- the library that ships ------------------------------------------------------------


def test_the_shipped_library_covers_the_twenty_amino_acids():
    about, profiles = builtin_table(), read_profiles(builtin_files().profiles)
    assert list(about["profile"]) == [profile.name for profile in profiles]
    assert list(about["gathering"]) == [
        pytest.approx(profile.cutoffs.gathering1, abs=0.01) for profile in profiles
    ]
    assert about["class"].where(about["class"] != "").nunique() == 20
    clans = read_clans(builtin_files().clans)
    told_ = [clans.clan(name, "") for name in about["profile"]]
    assert told_ == list(about["clan"])


def test_the_shipped_library_is_small():
    folder = builtin_files().profiles.parent
    assert sum(file.stat().st_size for file in folder.iterdir()) < 5e6
