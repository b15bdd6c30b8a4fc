"""Splits that leak nothing: cover, partition, audit, repair, extension, other methods."""

from __future__ import annotations

import json
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import LinearConstraint, milp

from omicsai.errors import InputError, ToolError
from omicsai.homology import (
    Definition,
    Pairs,
    partition_graph,
    split_sequences,
    vertex_cover,
)
from omicsai.homology import audit as audit_module
from omicsai.homology import build as build_module
from omicsai.homology import search as search_module
from omicsai.homology import split as split_module
from omicsai.homology.audit import Checked, align_between, audit_split, cross, search_sample
from omicsai.homology.graph import adjacency, capped_linkage, components, star_clusters
from omicsai.homology.plan import Plan
from omicsai.homology.schemes import family_groups, ordered_parts, value_groups
from omicsai.homology.search import search_pairs
from omicsai.homology.strata import category_shares, quantile_strata, strata_of
from omicsai.sequences import Sequence
from omicsai.sequences.alphabet import AMINO_ACIDS

# --- vertex cover ----------------------------------------------------------------------


@st.composite
def graphs(draw, most=12):
    n = draw(st.integers(2, most))
    edges = draw(st.lists(st.sampled_from(list(combinations(range(n), 2))), max_size=30))
    weight = draw(st.lists(st.integers(1, 4), min_size=n, max_size=n))
    ends = np.array(edges, dtype=int).reshape(-1, 2)
    return n, ends[:, 0], ends[:, 1], np.array(weight)


def optimum(a, b, weight) -> int:
    """Weight of a minimum vertex cover by integer programming."""
    if not len(a):
        return 0
    rows = np.zeros((len(a), len(weight)))
    rows[np.arange(len(a)), a] = 1
    rows[np.arange(len(a)), b] = 1
    solved = milp(
        weight, constraints=LinearConstraint(rows, lb=1), integrality=np.ones(len(weight)),
        bounds=(0, 1),
    )  # fmt: skip
    return round(solved.fun)


@settings(deadline=None)
@given(graphs(), st.data())
def test_the_cover_of_two_parts_is_the_minimum(graph, data):
    n, a, b, weight = graph
    side = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    across = side[a] != side[b]
    a, b = a[across], b[across]
    cover, bound = vertex_cover(a, b, weight, side=side)
    assert (cover[a] | cover[b]).all()
    assert weight[cover].sum() == bound == optimum(a, b, weight)


@settings(deadline=None)
@given(graphs())
def test_the_cover_of_more_parts_has_a_bound_that_holds(graph):
    _, a, b, weight = graph
    cover, bound = vertex_cover(a, b, weight)
    assert (cover[a] | cover[b]).all()
    assert bound <= optimum(a, b, weight) <= weight[cover].sum() <= 2 * bound + 3


# --- partition -------------------------------------------------------------------------


@st.composite
def problems(draw):
    n = draw(st.integers(12, 60))
    seed = draw(st.integers(0, 10_000))
    rng = np.random.default_rng(seed)
    m = int(n * draw(st.floats(0, 1.2)))
    a, b = rng.integers(0, n, m), rng.integers(0, n, m)
    labels = np.eye(3)[rng.integers(0, 3, n)]
    return n, a[a != b], b[a != b], rng.random((a != b).sum()), labels


def divide(problem, **options):
    n, a, b, strength, labels = problem
    return partition_graph(n, a, b, strength, labels, [0.6, 0.2, 0.2], **options)


@settings(deadline=None, max_examples=60)
@given(problems())
def test_no_edge_joins_two_parts_and_sizes_are_within_tolerance(problem):
    n, a, b, *_ = problem
    try:
        result = divide(problem)
    except InputError:
        return  # one family of nearly all: see below
    part = result.part
    kept = (part[a] >= 0) & (part[b] >= 0)
    assert (part[a] == part[b])[kept].all()
    sizes = np.bincount(part[part >= 0], minlength=3)
    assert (sizes <= np.ceil((np.array([0.6, 0.2, 0.2]) + 0.05) * n)).all()
    assert (sizes > 0).all()
    assert (part < 0).sum() <= result.covered
    assert result.removal_bound <= result.covered
    assert (divide(problem).part == part).all()
    if not result.cut_components:
        assert (part >= 0).all()


@settings(deadline=None, max_examples=40)
@given(problems(), st.data())
def test_fixed_vertices_stay_and_pinned_ones_are_not_removed(problem, data):
    n, a, b, *_ = problem
    free = data.draw(st.lists(st.integers(0, n - 1), max_size=4, unique=True))
    fixed = np.full(n, -1)
    fixed[free] = np.arange(len(free)) % 3
    pinned = np.zeros(n, dtype=bool)
    pinned[data.draw(st.lists(st.integers(0, n - 1), max_size=3))] = True
    try:
        part = divide(problem, fixed=fixed, unremovable=pinned, tolerance=0.2).part
    except InputError:
        return  # they touch one another, or leave a part empty
    assert (part[free] == fixed[free]).all()
    assert (part[pinned] >= 0).all()
    kept = (part[a] >= 0) & (part[b] >= 0)
    assert (part[a] == part[b])[kept].all()


@settings(deadline=None, max_examples=40)
@given(problems(), st.data())
def test_copies_share_the_relatives_and_the_fate_of_their_original(problem, data):
    n, a, b, _, labels = problem
    repeated = data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=10))
    original = np.concatenate([np.arange(n), repeated])
    copies = np.arange(n, len(original))
    lengths = np.full(len(original), 100)
    ends = np.concatenate([a, original[copies]]), np.concatenate([b, copies])
    whole = np.ones(len(ends[0]))
    pairs = Pairs.from_alignments(
        *ends, 100 * whole, 100 * whole, whole, whole, 0 * whole, lengths
    )
    plan = Plan(
        Definition(), labels[np.concatenate([np.arange(n), repeated])], np.array([3, 1, 1]),
        fixed=np.full(len(original), -1), must_stay=np.zeros(len(original), dtype=bool),
        original=original, kept_fold=np.full(len(original), -1), folds=2, tolerance=0.05,
        classes=None, seed=1,
    )  # fmt: skip
    try:
        cell = plan(pairs)
    except InputError:
        return
    part = plan.parts(cell)
    assert (part[copies] == part[original[copies]]).all()
    kept = (part[a] >= 0) & (part[b] >= 0)
    assert (part[a] == part[b])[kept].all()


def test_an_extension_keeps_the_folds_of_a_family_that_grows_together():
    n = 21  # 0-2 in fold 1, 3-5 in fold 2, 20 is new and like 2 and 3
    fixed = np.where(np.arange(n) < 18, 0, -1)
    fold = np.arange(n) // 3 % 2
    ends = np.array([0, 1, 3, 4, 2, 3]), np.array([1, 2, 4, 5, 20, 20])
    whole = np.ones(6)
    pairs = Pairs.from_alignments(
        *ends, 100 * whole, 100 * whole, whole, whole, 0 * whole, np.full(n, 100)
    )
    plan = Plan(
        Definition(), np.ones((n, 1)), np.array([3, 1, 1]), fixed, fixed >= 0,
        original=np.arange(n), kept_fold=np.where(fixed == 0, fold, -1), folds=2,
        tolerance=1.0, classes=None, seed=1,
    )  # fmt: skip
    cell = plan(pairs, plan.earlier_cells())
    np.testing.assert_array_equal(plan.fold(cell)[:18], fold[:18] + 1)
    assert plan.parts(cell)[20] == 0


def test_two_families_joined_by_one_protein_lose_that_protein_alone():
    # two cliques of ten and a bridge; neither part can hold both
    clique = list(combinations(range(10), 2))
    edges = np.array([*clique, *[(x + 10, y + 10) for x, y in clique], (3, 20), (14, 20)])
    part = partition_graph(
        21, edges[:, 0], edges[:, 1], np.ones(len(edges)), np.ones((21, 1)), [0.5, 0.5]
    ).part
    assert np.flatnonzero(part < 0).tolist() == [20]
    assert len(set(part[:10])) == len(set(part[10:20])) == 1
    assert part[0] != part[10]


def test_what_is_settled_moves_for_edges_alone():
    start = np.repeat([0, 1, 2], [20, 6, 6])
    first, second, strength = np.array([19]), np.array([20]), np.ones(1)
    given = (32, first, second, strength, np.ones((32, 1)), [1, 1, 1])
    moved = partition_graph(*given, tolerance=0.5, start=start).part
    assert np.bincount(moved).max() < 20
    kept = partition_graph(*given, tolerance=0.5, start=start, settled=True).part
    assert kept[19] == kept[20]
    np.testing.assert_array_equal(np.delete(kept, [19, 20]), np.delete(start, [19, 20]))


def test_one_family_of_all_cannot_be_split():
    edges = np.array(list(combinations(range(12), 2)))
    with pytest.raises(InputError, match="12 of them are one connected family"):
        partition_graph(
            12, edges[:, 0], edges[:, 1], np.ones(len(edges)), np.ones((12, 1)),
            [0.6, 0.2, 0.2],
        )  # fmt: skip


def test_graph_helpers():
    a, b = np.array([0, 1, 3]), np.array([1, 2, 4])
    assert components(6, a, b).tolist() == [0, 0, 0, 1, 1, 2]
    assert star_clusters(adjacency(6, a, b)).tolist() == [1, 1, 1, 3, 3, 5]
    piece = capped_linkage(4, np.array([0, 1, 2]), np.array([1, 2, 3]),
                           np.array([0.9, 0.1, 0.8]), 2)  # fmt: skip
    assert piece[0] == piece[1] != piece[2] == piece[3]


# --- strata and other methods ----------------------------------------------------------


def test_strata_of_labels_numbers_and_missing_values():
    values = np.array([*range(20), np.nan])
    membership = quantile_strata(values)
    assert membership.sum(axis=0).tolist() == [4, 4, 4, 4, 4, 1]
    both = strata_of([["a;b", "a", ""], ["1", "2", "3"]])
    assert both.shape == (3, 3 + 3)  # few numbers are categories
    shares, off = category_shares(np.eye(2)[[0, 0, 1, 1]], np.array([0, 0, 1, 1]), 2)
    assert shares.tolist() == [[1, 0], [0, 1]]
    assert off == 0.5


def test_families_and_clans_hold_proteins_together():
    cells = ["A, B", "B", "C", "", "D", ""]
    assert len(set(family_groups(cells))) == 5
    assert family_groups(cells)[0] == family_groups(cells)[1]
    clans = family_groups(cells, {"A": "CL1", "C": "CL1"})
    assert clans[0] == clans[1] == clans[2] != clans[4]
    assert len(set(value_groups(["x", "", "x", ""]))) == 3


def test_parts_are_evened_out_once_when_all_families_are_known(monkeypatch):
    monkeypatch.setattr(build_module, "search_between", lambda *_, **__: Pairs.empty())
    part, other = np.array([0, 0, 1, 2]), np.array([0, 1, 1, 2])
    asked = []

    def repair(pairs, now, settled):
        asked.append((now.tolist(), settled))
        return other

    def closed(**given):
        return build_module.close_gaps(
            ["A"] * 4, Pairs.empty(), part, Definition(), repair, parts=3, **given
        )[1]

    np.testing.assert_array_equal(closed(), other)
    assert asked == [(part.tolist(), False)]
    # what an audit found is repaired without that
    np.testing.assert_array_equal(closed(before=part), part)
    assert len(asked) == 1


@given(st.lists(st.integers(0, 30), min_size=3, max_size=60))
def test_ordered_parts_follow_the_order(values):
    cells = [str(v) for v in values]
    if len(set(values)) < 3:
        with pytest.raises(InputError, match="different values cannot be cut"):
            ordered_parts(cells, np.array([0.6, 0.2, 0.2]))
        return
    part = ordered_parts(cells, np.array([0.6, 0.2, 0.2]))
    assert set(part) == {0, 1, 2}
    by_value = sorted(zip(values, part, strict=True))
    assert [p for _, p in by_value] == sorted(p for _, p in by_value)


# --- the whole split -------------------------------------------------------------------


def family(rng, size: int, length: int = 120, changes: int = 40) -> list[str]:
    root = rng.choice(list(AMINO_ACIDS), length)
    members = []
    for _ in range(size):
        letters = root.copy()
        at = rng.choice(length, changes, replace=False)
        letters[at] = rng.choice(list(AMINO_ACIDS), changes)
        members.append("".join(letters))
    return members


@pytest.fixture(scope="module")
def proteins() -> list[Sequence]:
    rng = np.random.default_rng(3)
    sizes = [14, 9, 7, 6, 5, 5, 4, 4, 3, 3, *[1] * 20]
    families = [family(rng, size) for size in sizes]
    return [
        Sequence(f"f{i}_{j}", residues)
        for i, members in enumerate(families)
        for j, residues in enumerate(members)
    ]


@pytest.fixture(scope="module")
def labels(proteins) -> dict[str, str]:
    return {p.id: "abc"[sum(map(ord, p.id)) % 3] for p in proteins}


@pytest.fixture(scope="module")
def made(proteins, labels):
    return split_sequences(proteins, labels, folds=3, compare=False)


def test_families_stay_whole_and_the_audit_finds_nothing(made, proteins):
    split, audit = made.split, made.audit
    assert list(split["id"]) == [p.id for p in proteins]
    name = split["id"].str.split("_").str[0]
    assert split.groupby(name)["part"].nunique().max() == 1
    assert split.groupby("cluster")["part"].nunique().max() == 1
    assert audit["guarantee_holds"]
    assert audit["removed"] == len(made.removed) == len(made.crossing) == 0
    assert audit["crossing_pairs"]["coverage_of_either"] == 0
    check = audit["checks"][0]
    assert check["sequences_compared_with_all_other_parts"] == len(proteins)
    assert check["crossing_pairs"] == check["upper_95_leaking_fraction"] == 0
    assert audit["random_split_control"]["crossing_pairs"] > 50
    assert audit["size_deviation"] <= 0.05
    train = split["part"] == "train"
    assert split["fold"][~train].isna().all()
    assert set(split["fold"][train]) == {1, 2, 3}
    assert split[train].groupby("component")["fold"].nunique().max() == 1


def test_the_result_does_not_depend_on_input_order_or_on_the_run(made, proteins, labels):
    again = split_sequences(proteins[::-1], labels, folds=3, compare=False)
    mine = again.split.set_index("id").loc[made.split["id"]].reset_index()
    pd.testing.assert_frame_equal(mine, made.split, check_dtype=False)
    assert json.dumps(again.audit) == json.dumps(made.audit)


def test_extension_moves_nothing_and_keeps_the_guarantee(proteins, labels):
    rng = np.random.default_rng(5)
    old = proteins[:-8]
    first = split_sequences(old, labels, folds=3, compare=False)
    part = first.split.set_index("id")["part"]
    train = next(p for p in old if part[p.id] == "train")
    test = next(p for p in old if part[p.id] == "test")
    straddler = Sequence("straddler", train.residues + test.residues)
    new = [*proteins[-8:], straddler, Sequence("copy", test.residues[:-2])]
    new.append(Sequence("novel", "".join(rng.choice(list(AMINO_ACIDS), 120))))
    second = split_sequences(
        [*new, *old], labels, folds=3, compare=False, extend=True, keep=part.to_dict(),
        kept_folds=first.split.set_index("id")["fold"].dropna().astype(int).to_dict(),
    )  # fmt: skip
    after = second.split.set_index("id")
    assert (after.loc[part.index, "part"] == part).all()
    fold = first.split.set_index("id")["fold"]
    pd.testing.assert_series_equal(after.loc[part.index, "fold"], fold)
    assert after.at["copy", "part"] == "test"
    assert after.at["straddler", "part"] == "removed"
    assert set(second.removed["neighbour_part"]) >= {"train", "test"}
    assert set(second.removed["id"]) == {"straddler"}
    assert (after.drop(index="straddler")["part"] != "removed").all()
    assert second.audit["guarantee_holds"]


def test_a_family_of_repeated_sequences_that_is_cut_leaks_nothing():
    rng = np.random.default_rng(9)
    relatives = family(rng, 36)
    hubs = [relatives[0][:60] + relatives[0][60:][::-1], relatives[1][::-1]]
    residues = [*relatives, *[hub for hub in hubs for _ in range(5)]]
    records = [Sequence(f"s{i}", s) for i, s in enumerate(residues)]
    made = split_sequences(records, fractions=(0.4, 0.3, 0.3), compare=False, folds=2)
    assert made.audit["guarantee_holds"]
    part = made.split["part"].to_numpy()
    for start in (36, 41):
        assert len(set(part[start : start + 5])) == 1


def test_a_copy_of_a_kept_sequence_joins_it(proteins, labels):
    kept = {"f0_0": "test", "f1_0": "validation"}
    copies = [Sequence("a copy", proteins[0].residues)]
    made = split_sequences(
        [*copies, *proteins], labels, keep=kept, compare=False, folds=3
    ).split.set_index("id")
    assert made.at["a copy", "part"] == made.at["f0_0", "part"] == "test"


@pytest.mark.parametrize("method", ["random", "cluster", "kfold", "time"])
def test_methods_that_cannot_keep_parts_refuse_to(proteins, method):
    with pytest.raises(InputError, match=f"for the method homology, not {method}"):
        split_sequences(proteins, method=method, keep={"f0_0": "test"}, compare=False)


def test_kept_parts_that_leak_are_refused_by_name(proteins, labels):
    with pytest.raises(InputError, match=r"the kept parts already leak: 'f0_\d+'"):
        split_sequences(
            proteins, labels, keep={"f0_0": "train", "f0_1": "test"}, compare=False
        )


@pytest.mark.parametrize("method", ["random", "column", "time", "family"])
def test_other_methods_are_audited_without_a_promise(proteins, labels, method):
    groups = {p.id: p.id.split("_")[0].replace("f", "2") for p in proteins}
    made = split_sequences(
        proteins, labels, method=method, groups=groups, folds=3, compare=False
    )
    assert set(made.split["part"]) == {"train", "validation", "test"}
    parts = made.split["part"].groupby(made.split["id"].map(groups)).nunique()
    train = made.split[made.split["part"] == "train"]
    assert train.groupby("component")["fold"].nunique().max() == 1
    assert train.groupby("cluster")["fold"].nunique().max() == 1
    if method == "random":
        assert not made.audit["guarantee_holds"]
        assert len(made.crossing) > 50
        assert (made.crossing["part"] != made.crossing["other_part"]).all()
        found = made.identity_to_train["identity_fraction"]
        assert found.max() > 0.4
    else:
        assert parts.max() == 1


def test_kfold_separates_folds(proteins, labels):
    made = split_sequences(proteins, labels, method="kfold", folds=4, compare=False)
    assert set(made.split["part"]) <= {"train", "removed"}
    assert set(made.split["fold"].dropna()) == {1, 2, 3, 4}
    name = made.split["id"].str.split("_").str[0]
    assert made.split.groupby(name)["fold"].nunique().max() == 1
    assert made.audit["guarantee_holds"]


def test_the_comparison_shows_what_other_splits_leak(proteins, labels):
    table = split_sequences(proteins, labels, folds=3).comparison.set_index("method")
    assert list(table.index) == ["homology", "random", "cluster"]
    assert table.at["homology", "crossing_pairs"] == 0
    assert table.at["random", "leaking_fraction"] > 0.3


def test_trnas_are_split_by_exhaustive_alignment():
    rng = np.random.default_rng(2)
    records = []
    for i in range(12):
        root = rng.choice(list("ACGU"), 76)
        for j in range(3):
            letters = root.copy()
            letters[rng.choice(76, 6, replace=False)] = rng.choice(list("ACGU"), 6)
            records.append(Sequence(f"t{i}_{j}", "".join(letters)))
    made = split_sequences(records, identity=0.8, molecule="trna", folds=3)
    name = made.split["id"].str.split("_").str[0]
    assert made.split.groupby(name)["part"].nunique().max() == 1
    assert made.audit["mmseqs"] == "not used"


def test_larger_sets_are_searched_between_parts_until_nothing_is_found(
    proteins, labels, monkeypatch
):
    """The tiers for many sequences, forced onto few."""
    monkeypatch.setattr(split_module, "COMPLETE_UP_TO_CELLS", 0)
    monkeypatch.setattr(build_module, "find_pairs", lambda *a, **k: Pairs.empty())
    made = split_sequences(proteins, labels, folds=2, compare=False)
    assert made.audit["guarantee_holds"]
    assert made.audit["pairs_the_first_search_missed"] > 20
    name = made.split["id"].str.split("_").str[0]
    assert made.split.groupby(name)["part"].nunique().max() == 1
    parts = made.split["part"].to_numpy(dtype=object)
    asked = []
    run = search_module.run_mmseqs
    monkeypatch.setattr(
        search_module, "run_mmseqs", lambda *a, **k: asked.append(a) or run(*a, **k)
    )
    sample = search_sample([p.residues for p in proteins], parts, Definition(), sample=20)
    assert len(sample.queries) == 20
    scores = [a[a.index("--min-ungapped-score") + 1] for a in asked if "ungapped" in a[0]]
    assert max(scores) == audit_module.SAMPLE_SCORE < search_module.LEAST_UNGAPPED_SCORE
    assert not Definition().holds(sample.pairs).any()


@given(
    st.lists(st.integers(20, 900), min_size=1, max_size=25),
    st.lists(st.integers(20, 900), max_size=25),
    st.booleans(),
)
def test_of_every_pair_the_shorter_sequence_is_a_query(some, more, long):
    lengths = np.array([*some, *more])
    queries, targets = np.arange(len(some)), np.arange(len(some), len(lengths))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(search_module, "LEAST_CELLS_AT_A_TIME", 1 if long else 3e10)
        jobs = search_module._jobs(queries, targets, lengths, exhaustive=True)
        same = search_module._jobs(queries, queries, lengths, exhaustive=True)
    for found, wanted in (
        (jobs, {(q, t) for q in queries for t in targets}),
        (same, set(combinations(queries, 2))),
    ):
        seen = {(q, t) for job in found for q in job[0] for t in job[1]}
        assert {tuple(sorted(pair)) for pair in seen if pair[0] != pair[1]} == wanted
        for a, b in wanted:
            short, long_ = (a, b) if lengths[a] <= lengths[b] else (b, a)
            equal = lengths[a] == lengths[b]
            assert (short, long_) in seen or (equal and (long_, short) in seen)
        for job in found:
            below = [(lengths[side] < search_module.SHORT) for side in job]
            assert all(one.all() or not one.any() for one in below)


def test_a_short_and_a_long_sequence_are_a_pair_whichever_is_the_query():
    """MMseqs2's E-value of a long query is some hundred times that of a short one."""
    rng = np.random.default_rng(4)

    def anything(n):
        return "".join(rng.choice(list(AMINO_ACIDS), n))

    short, definition = anything(66), Definition(0.3, 0.5)
    others = [anything(90) for _ in range(4000)]
    crowd, alone = np.array([0, *range(2, 4002)]), np.array([1])
    borderline = 0
    for kept in range(15, 23):
        changed = list(short)
        for i in rng.permutation(66)[kept:]:
            changed[i] = anything(1)
        residues = [short, anything(400) + "".join(changed) + anything(450), *others]
        one, two = (
            search_pairs(residues, queries, targets, definition)
            for queries, targets in ((crowd, alone), (alone, crowd))
        )
        assert len(one) == len(two)
        borderline += len(one) > 0 and one.evalue.min() > 1e-5
    assert borderline


def test_a_killed_split_goes_on_after_its_finished_searches(
    proteins, labels, made, monkeypatch, tmp_path, caplog
):
    run, calls = search_module.run_mmseqs, []

    def killed_at(number):
        def mmseqs(*arguments, threads=None):
            calls.append(arguments[0])
            if calls.count("ungappedprefilter") == number:
                raise ToolError("killed")
            return run(*arguments, threads=threads)

        calls.clear()
        monkeypatch.setattr(search_module, "run_mmseqs", mmseqs)

    def split():
        return split_sequences(proteins, labels, folds=3, done=tmp_path / "done")

    monkeypatch.setattr(search_module, "LEAST_CELLS_AT_A_TIME", 1)
    killed_at(4)
    with pytest.raises(ToolError, match="killed"):
        split()
    assert len(list((tmp_path / "done").iterdir())) == 3
    killed_at(None)
    first = split()
    rest = calls.count("ungappedprefilter")
    pd.testing.assert_frame_equal(first.split, made.split)
    every = sorted((tmp_path / "done").iterdir())
    assert len(every) > rest == search_module.PIECES - 3
    every[0].write_bytes(every[0].read_bytes()[:-40])
    every[1].write_bytes(b"")
    killed_at(None)
    pd.testing.assert_frame_equal(split().split, made.split)
    assert 0 < len(calls) < 20
    assert caplog.text.count("is damaged") == 2
    killed_at(None)
    split_sequences(proteins, labels, folds=3, identity=0.4, done=tmp_path / "done")
    assert calls.count("ungappedprefilter") == search_module.PIECES


def test_a_full_disk_costs_the_memory_of_searches_not_the_split(
    proteins, labels, made, monkeypatch, tmp_path, caplog
):
    def full(*arguments, **arrays):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    again = split_sequences(proteins, labels, folds=3, compare=False, done=tmp_path)
    pd.testing.assert_frame_equal(again.split, made.split)
    assert "cannot be kept for a later run" in caplog.text


def test_what_the_search_missed_the_audit_repairs(proteins, labels, monkeypatch):
    monkeypatch.setattr(build_module, "find_pairs", lambda *a, **k: Pairs.empty())
    made = split_sequences(proteins, labels, folds=3, compare=False)
    assert made.audit["pairs_the_audit_repaired"] > 20
    assert made.audit["guarantee_holds"]


def test_an_audit_after_a_repair_aligns_what_moved(proteins, monkeypatch):
    residues = [p.residues for p in proteins]
    parts = np.array(["train", "test"], dtype=object)[np.arange(len(proteins)) % 2]
    moved = parts.copy()
    moved[:2], moved[2] = moved[1::-1].copy(), "removed"
    whole = align_between(residues, moved, Definition())
    jobs = []
    align = audit_module.align_pairs
    monkeypatch.setattr(
        audit_module, "align_pairs",
        lambda residues, some, *a, **k: jobs.extend(some) or align(residues, some, *a, **k),
    )  # fmt: skip
    first = align_between(residues, parts, Definition())
    every = sum(len(others) for _, others in jobs)
    jobs.clear()
    second = align_between(residues, moved, Definition(), earlier=first)
    assert 0 < sum(len(others) for _, others in jobs) < every / 10

    def crossing(check):
        chosen = check.pairs.select(cross(check.pairs, moved))
        return set(zip(chosen.first.tolist(), chosen.second.tolist(), strict=True))

    assert crossing(second) == crossing(whole) != set()


def test_a_split_that_still_leaks_is_an_error(proteins, labels, monkeypatch):
    monkeypatch.setattr(build_module, "find_pairs", lambda *a, **k: Pairs.empty())
    monkeypatch.setattr(split_module, "AUDIT_ROUNDS", 1)
    with pytest.raises(ToolError, match=r"the guarantee does not hold: 'f\d+_\d+'"):
        split_sequences(proteins, labels, folds=3, compare=False)


def test_removed_sequences_name_their_neighbours_and_may_train(labels):
    rng = np.random.default_rng(8)
    left, right = family(rng, 16), family(rng, 16)
    bridge = left[0][:100] + right[0][:100]
    alone = [member for _ in range(4) for member in family(rng, 1)]
    records = [Sequence(f"x{i}", s) for i, s in enumerate([*left, *right, bridge, *alone])]
    made = split_sequences(
        records, fractions=(0.45, 0.45, 0.1), tolerance=0.02, folds=2, compare=False
    )
    assert made.audit["guarantee_holds"]
    assert made.audit["cut_components"] == 1
    assert "x32" in set(made.removed["id"])
    assert len(made.removed) >= made.audit["removed"] >= 1
    listed = made.removed.set_index("id").loc[["x32"]]
    assert len(set(listed["neighbour_part"])) >= 2
    again = split_sequences(
        records, fractions=(0.45, 0.45, 0.1), tolerance=0.02, folds=2, compare=False,
        keep_for_training=True,
    )  # fmt: skip
    assert again.audit["guarantee_holds"]
    assert again.audit["removed"] + again.audit["removed_kept_for_training"] == len(
        set(again.removed["id"])
    )


# --- the audit by hand -----------------------------------------------------------------


def by_hand(rows) -> Pairs:
    """Pairs from (first, second, identity, coverage of first, of second)."""
    a, b, identity, first, second = map(np.array, zip(*rows, strict=True))
    return Pairs.from_alignments(
        a, b, np.rint(identity * 100), np.full(len(a), 100), first, second,
        np.full(len(a), 1e-9), np.full(a.max() + b.max() + 1, 100),
    )  # fmt: skip


def test_the_audit_counts_a_hand_made_split():
    pairs = by_hand([
        (0, 1, 0.9, 1.0, 1.0), (0, 2, 0.45, 0.6, 0.6), (0, 2, 0.50, 0.4, 0.4),
        (1, 3, 0.35, 0.2, 0.7), (2, 4, 0.31, 0.6, 0.3), (3, 4, 0.8, 0.1, 0.1),
    ])  # fmt: skip
    ids = np.array(["a", "b", "c", "d", "e"], dtype=object)
    parts = np.array(["train", "train", "test", "test", "validation"], dtype=object)
    check = Checked(pairs.select(np.array([1])), np.array([0, 1]), parts, "by hand")
    audit, crossing, to_train = audit_split(
        pairs, [check], ids, parts, ["u", "u;v", "", "v", "v"], Definition()
    )
    assert audit["sequences"] == {"test": 2, "train": 2, "validation": 1}
    # 0-2 (one of its two alignments is too short), 1-3, 2-4; 3-4 covers too little
    assert audit["crossing_pairs"] == {
        "coverage_of_either": 3,
        "coverage_of_both": 1,
        "by_parts": {"test-train": 2, "test-validation": 1, "train-validation": 0},
        "largest_identity": pytest.approx(0.45),
    }
    assert audit["crossing_sequences"] == 5
    assert audit["checks"][0]["leaking_sequences"] == 1
    # one of two leaks: p with P(X <= 1) = 0.05 is sqrt(0.95)
    assert audit["checks"][0]["upper_95_leaking_fraction"] == pytest.approx(
        0.95**0.5, abs=1e-5
    )
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
    assert dict(zip(to_train["id"], to_train["nearest_train_id"], strict=True)) == {
        "c": "a",
        "d": "b",
        "e": "",
    }


# --- bad input -------------------------------------------------------------------------


@pytest.mark.parametrize("fractions", [(0.5, 0.5), (1, 0, 0), (0.8, 0.3, -0.1)])
def test_fractions_are_three_positive_shares(fractions):
    with pytest.raises(InputError, match="three positive shares"):
        split_sequences([Sequence("a", "MKTAYIAKQR")], fractions=fractions)


@pytest.mark.parametrize(("name", "value"), [("identity", 0), ("coverage", 1.01)])
def test_thresholds_are_fractions(name, value):
    with pytest.raises(InputError, match=f"{name} is a fraction above 0 and up to 1"):
        split_sequences([Sequence("a", "MKTAYIAKQR")], **{name: value})


def test_a_percentage_is_recognised():
    with pytest.raises(InputError, match=r"did you mean 0\.3"):
        Definition(identity=30)


def test_one_sequence_cannot_be_split():
    with pytest.raises(InputError, match="1 sequence cannot fill 3 parts"):
        split_sequences([Sequence("a", "MKTAYIAKQRMKTAYIAKQR")])


def test_all_alike_cannot_be_split():
    rng = np.random.default_rng(1)
    records = [Sequence(f"x{i}", s) for i, s in enumerate(family(rng, 12))]
    with pytest.raises(InputError, match="12 of them are one connected family; raise"):
        split_sequences(records, compare=False)


def test_short_peptides_and_copies_are_split_and_said():
    rng = np.random.default_rng(4)
    peptides = ["".join(rng.choice(list(AMINO_ACIDS), 10)) for _ in range(30)]
    records = [Sequence(f"p{i}", s) for i, s in enumerate([*peptides, *peptides[:5]])]
    made = split_sequences(records, {"p0": "u", "p30": "v"}, compare=False)
    part = made.split.set_index("id")["part"]
    assert all(part[f"p{i}"] == part[f"p{30 + i}"] for i in range(5))
    assert made.audit["too_short_for_the_evalue"] == 35


def test_a_class_smaller_than_the_parts_goes_to_train(proteins):
    labels = {p.id: "common" for p in proteins} | {"f20_0": "rare"}
    made = split_sequences(proteins, labels, folds=3, compare=False)
    assert made.split.set_index("id").at["f20_0", "part"] == "train"
    assert made.audit["untestable_labels"] == ["rare"]


def test_a_method_that_needs_groups_says_so(proteins):
    with pytest.raises(InputError, match="needs a table with a value for each sequence"):
        split_sequences(proteins, method="family")
