"""Homology-aware splits: no similar pair between parts, the fewest sequences removed."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from omicsai.errors import InputError, ToolError
from omicsai.homology.audit import (
    Checked,
    align_between,
    audit_split,
    count_pairs,
    cross,
    remote_relatives,
    search_sample,
)
from omicsai.homology.balance import assign_groups
from omicsai.homology.build import build_pairs, close_gaps
from omicsai.homology.graph import adjacency, components, star_clusters
from omicsai.homology.mmseqs import cluster_sequences, mmseqs_version
from omicsai.homology.pairs import CoverageOf, Definition, IdentityOver, Pairs
from omicsai.homology.partition import Partition
from omicsai.homology.plan import OUT, Plan
from omicsai.homology.schemes import family_groups, ordered_parts, value_groups
from omicsai.homology.strata import category_shares, classes_of, strata_of
from omicsai.sequences import Molecule, split_labels
from omicsai.sequences import Sequence as Record
from omicsai.tables import Column, Table

__all__ = [
    "CLUSTERS",
    "COMPARISON",
    "PARTS",
    "REMOVED",
    "SPLIT",
    "Method",
    "Split",
    "split_sequences",
]

logger = logging.getLogger(__name__)

PARTS = ("train", "validation", "test")
AUDIT_ROUNDS = 5
COMPLETE_UP_TO_CELLS = 1e12  # about 3,000 proteins
FIRST_SENSITIVITY = 4.0  # of the k-mer search that the first partition is built on
Method = Literal["homology", "kfold", "cluster", "random", "family", "column", "time"]

SPLIT = Table(
    "split",
    (
        Column("id", "text", "sequence id"),
        Column("part", "text", "train, validation, test or removed"),
        Column(
            "cluster", "text",
            "id of a representative that the sequence is similar to, within its part",
        ),
        Column("fold", "integer", "cross-fitting fold within train, from 1", True),
        Column(
            "component", "text",
            "sequences connected by chains of similar pairs, named by one of them", True,
        ),
    ),
)  # fmt: skip
CLUSTERS = Table(
    "clusters",
    (
        Column("id", "text", "id of the cluster's representative sequence"),
        Column("size", "integer", "number of sequences"),
        Column("part", "text", "part the whole cluster belongs to"),
        Column("labels", "text", "labels of its members with their counts"),
    ),
)
REMOVED = Table(
    "removed",
    (
        Column("id", "text", "sequence that no part could take, or that train took"),
        Column("part", "text", "'removed', or 'train' with keep_for_training"),
        Column("neighbour", "text", "the most similar kept sequence of one part"),
        Column("neighbour_part", "text", "that part"),
        Column("identity_fraction", "number", "identity as the split defines it"),
        Column("evalue", "number", "E-value of the alignment"),
    ),
)
COMPARISON = Table(
    "comparison",
    (
        Column("method", "text", "how the sequences were split"),
        Column("train", "integer", "sequences"),
        Column("validation", "integer", "sequences"),
        Column("test", "integer", "sequences"),
        Column("removed", "integer", "sequences"),
        Column("crossing_pairs", "integer", "similar pairs between parts"),
        Column("leaking_fraction", "number", "share of kept sequences in such a pair"),
        Column("leaking_test_fraction", "number", "share of test with one in train"),
        Column("largest_identity", "number", "of a crossing pair"),
        Column("size_deviation", "number", "largest |share of a part - its target|"),
        Column(
            "class_deviation", "number", "largest |share of a class in a part - overall|"
        ),
    ),
)


@dataclass(frozen=True)
class Split:
    """A split, its clusters, what was removed or crosses it, and the audit's summary."""

    split: pd.DataFrame
    clusters: pd.DataFrame
    removed: pd.DataFrame
    crossing: pd.DataFrame
    identity_to_train: pd.DataFrame
    comparison: pd.DataFrame
    audit: dict[str, Any]


def split_sequences(
    sequences: Sequence[Record],
    labels: Mapping[str, str] | None = None,
    *,
    method: Method = "homology",
    identity: float = 0.3,
    coverage: float = 0.5,
    identity_over: IdentityOver = "alignment",
    coverage_of: CoverageOf = "either",
    fractions: Sequence[float] = (0.6, 0.2, 0.2),
    folds: int = 5,
    tolerance: float = 0.05,
    columns: Mapping[str, Mapping[str, str]] | None = None,
    groups: Mapping[str, str] | None = None,
    clans: Mapping[str, str] | None = None,
    keep: Mapping[str, str] | None = None,
    extend: bool = False,
    kept_folds: Mapping[str, int] | None = None,
    unremovable: Collection[str] = (),
    keep_for_training: bool = False,
    compare: bool = True,
    exhaustive_up_to: int = 100_000,
    sensitivity: float = 7.5,
    audit_queries: int = 3000,
    phmmer_queries: int = 0,
    molecule: Molecule = "protein",
    seed: int = 1,
    threads: int = 1,
    done: Path | None = None,
) -> Split:
    """Split sequences and audit the result.

    Parameters
    ----------
    sequences
        n canonical sequences with unique ids; their order changes nothing.
    labels
        Label by id (several joined by ``;``); ids without one count as unknown.
    method
        ``homology``: no similar pair between parts, guaranteed. ``kfold``: the same between
        `folds` equal folds, everything in train; for nested cross-validation each fold is
        the test part and each other one the validation part in turn. ``cluster``: whole
        MMseqs2 clusters. ``random``. ``family``: no family of `groups` in two parts.
        ``column``: no value of `groups` in two parts. ``time``: in order of `groups`.
    identity, coverage, identity_over, coverage_of
        What is alike, see `omicsai.homology.Definition`.
    fractions
        Target shares of train, validation and test.
    folds
        Cross-fitting folds within train; with ``kfold`` the folds.
    tolerance
        By how much of all sequences a part may exceed its share before a family is cut.
    columns
        More columns to balance, each a value by id; numbers are cut at their quintiles.
    groups, clans
        Value or architecture by id, clan by family, for the methods that need them.
    keep
        Part by id of sequences that stay where they are.
    extend
        `keep` is an earlier split: its sequences stay even if the shares are off, and
        only new sequences may be removed.
    kept_folds
        Fold by id of kept training sequences.
    unremovable
        Ids that must be in some part.
    keep_for_training
        Put removed sequences that are like training sequences alone into train.
    compare
        Fill the comparison with other splits, counted by the pairs that became known,
        which may miss some between sequences that this split keeps together.
    exhaustive_up_to
        Up to so many sequences every pair between parts is examined; above, a sensitive
        k-mer search does that and a random sample is examined.
    sensitivity
        Of the k-mer search between parts above `exhaustive_up_to`.
    audit_queries
        So many random sequences are audited by MMseqs2 too, if they are a tenth of all or
        less, or the set is above `exhaustive_up_to`.
    phmmer_queries
        So many test sequences are searched by phmmer against train; 0 for none.
    molecule
        ``"protein"`` or ``"trna"``.
    seed
        Of every random choice.
    threads
        CPU threads of MMseqs2.
    done
        Folder where finished searches are kept: a split that was killed goes on after them.

    Returns
    -------
    Split
        Tables in input order and the audit of `omicsai.homology.audit_split`.

    Raises
    ------
    InputError
        If an option is out of range, a part would be empty, or kept sequences of different
        parts are alike.
    ToolError
        If MMseqs2 is missing or fails, or the audit still finds a pair between parts.
    """
    definition = Definition(identity, coverage, identity_over, coverage_of)
    shares = _checked_fractions(fractions)
    _check_ids(sequences, labels or {}, keep or {}, unremovable)
    # everything below works in an order of its own, so that input order changes nothing;
    # of equal sequences the first one decides, so it is one that stays if there is one
    pinned = frozenset(unremovable)

    def rank(record: Record) -> tuple[str, int, str]:
        code = _part_code(keep, record.id)
        stays = 0 if code >= 0 else 1 if record.id in pinned else 2
        return record.residues, 3 if code == OUT else stays, record.id

    order = sorted(range(len(sequences)), key=lambda i: rank(sequences[i]))
    records = [sequences[i] for i in order]
    ids = np.array([record.id for record in records], dtype=object)
    residues = [record.residues for record in records]
    given = [(labels or {}).get(key, "") for key in ids]
    strata = strata_of(
        [given, *([c.get(key, "") for key in ids] for c in (columns or {}).values())]
    )
    fixed = np.array([_part_code(keep, key) for key in ids], dtype=np.int64)
    must_stay = np.isin(ids, list(pinned)) | (fixed >= 0)
    exhaustive = len(ids) <= exhaustive_up_to or molecule == "trna"
    guaranteed = method in ("homology", "kfold")
    if keep and method != "homology":
        raise InputError(
            f"kept parts and an earlier split are for the method homology, not {method}"
        )
    if method == "kfold":
        shares = np.ones(folds)
    # of few sequences all pairs are examined at once
    cells = float(sum(map(len, residues))) ** 2
    complete = molecule == "trna" or (exhaustive and cells <= COMPLETE_UP_TO_CELLS)
    pairs = build_pairs(
        residues, definition.wider(),
        sensitivity=None if complete else FIRST_SENSITIVITY, molecule=molecule,
        threads=threads, done=done,
    )  # fmt: skip
    _refuse_clashes(pairs, ids, fixed, definition)
    earlier_fold = np.array([(kept_folds or {}).get(key, 1) for key in ids]) - 1
    _, firsts, which = np.unique(
        np.array(residues, dtype=object), return_index=True, return_inverse=True
    )
    plan = Plan(
        definition.wider(), strata, shares, fixed, must_stay, firsts[which],
        kept_fold=np.where((fixed == 0) & extend, earlier_fold, -1),
        folds=1 if method == "kfold" else folds,
        tolerance=1.0 if extend else tolerance,
        classes=None if method == "kfold" or extend else classes_of(given),
        seed=seed,
    )  # fmt: skip
    cluster: NDArray[np.int64] | None = None
    if guaranteed:
        cell = plan(pairs, plan.earlier_cells() if extend else None)
    else:
        values = [(groups or {}).get(key, "") for key in ids]
        part, group = _without_guarantee(
            method, residues, strata, shares, definition, values, clans, seed, threads
        )
        cluster = group if method == "cluster" else None
        # folds keep groups whole, and families as far as they are known
        alike = pairs.select(plan.definition.holds(pairs))
        everything = np.arange(len(ids))
        cell = plan.cells(
            part,
            np.concatenate([alike.first, group]),
            np.concatenate([alike.second, everything]),
            np.concatenate([alike.identical / alike.longer, np.ones(len(ids))]),
        )
    # folds of train are one part here; without a guarantee parts are only audited
    missed = 0
    if not complete:
        pairs, cell, missed = close_gaps(
            residues, pairs, cell, definition.wider(),
            plan if guaranteed else lambda pairs, cell, settled: cell, parts=len(shares),
            sensitivity=None if exhaustive else sensitivity, threads=threads, done=done,
        )  # fmt: skip
    _refuse_clashes(pairs, ids, fixed, definition)
    repaired = 0
    checks: list[Checked] = []
    for attempt in range(AUDIT_ROUNDS):
        names = _names(method, plan.parts(cell))
        checks = _checks(
            residues, names, definition, exhaustive, audit_queries, molecule, checks,
            seed + attempt, threads, done,
        )  # fmt: skip
        found = Pairs.concatenate([check.pairs for check in checks])
        violating = definition.holds(found) & cross(found, names)
        if not guaranteed or not violating.any() or attempt == AUDIT_ROUNDS - 1:
            break
        # an aligner may see at the threshold what another one does not: learn, look again
        repaired += count_pairs(found, violating)
        logger.warning(
            "the audit found %d pairs between parts: repairing", int(violating.sum())
        )
        pairs, before = Pairs.concatenate([pairs, found]), cell
        _refuse_clashes(found, ids, fixed, definition)
        cell = plan(pairs, cell, settled=True)
        if not complete:
            pairs, cell, more = close_gaps(
                residues, pairs, cell, definition.wider(), plan, parts=len(shares),
                before=before,
                sensitivity=None if exhaustive else sensitivity, threads=threads,
                done=done,
            )  # fmt: skip
            missed += more
    result = plan.last or Partition(plan.parts(cell))
    part, fold_of = plan.parts(cell), plan.fold(cell)
    near = pairs.select(plan.definition.holds(pairs))
    returned = None
    if keep_for_training:
        returned = _kept_for_training(near, part, plan.original)
    if returned is not None:
        part[returned] = 0
    parts = _names(method, part)
    if returned is not None and len(returned):  # nothing has checked them
        checks = _checks(
            residues, parts, definition, exhaustive, audit_queries, molecule, checks,
            seed + AUDIT_ROUNDS, threads, done,
        )  # fmt: skip
        found = Pairs.concatenate([check.pairs for check in checks])
        found = found.select(definition.holds(found) & cross(found, parts))
        leaking = np.isin(returned, np.union1d(found.first, found.second))
        part[returned[leaking]] = -1
        returned, parts = returned[~leaking], _names(method, part)
    audit, crossing, to_train = audit_split(pairs, checks, ids, parts, given, definition)
    if guaranteed and not audit["guarantee_holds"]:
        worst = crossing.iloc[0]
        raise ToolError(
            f"the guarantee does not hold: '{worst['id']}' ({worst['part']}) and "
            f"'{worst['other_id']}' ({worst['other_part']}) are "
            f"{worst['identity_fraction']:.0%} identical, and {len(crossing) - 1} more "
            "pairs; nothing was written, please report this"
        )
    back = np.empty(len(order), dtype=np.int64)
    back[order] = np.arange(len(order))
    same = (part[near.first] == part[near.second]) & (part[near.first] >= 0)
    graph = adjacency(len(ids), near.first[same], near.second[same])
    component = components(len(ids), near.first[same], near.second[same])
    cluster = star_clusters(graph) if cluster is None else cluster
    named = np.where(part >= 0, "train", "removed") if method == "kfold" else parts
    numbers = part + 1 if method == "kfold" else fold_of
    fold = pd.Series(numbers, dtype="Int64").where(numbers > 0)
    _, first_of = np.unique(component, return_index=True)
    audit |= {
        "method": method,
        "search": _search_words(complete, exhaustive, molecule, sensitivity),
        "mmseqs": mmseqs_version() if molecule == "protein" else "not used",
        "clusters": len(np.unique(cluster[part >= 0])),
        "components": len(np.unique(component[part >= 0])),
        "largest_component": int(np.bincount(component[part >= 0]).max()),
        "pairs_above_threshold": count_pairs(pairs, definition.holds(pairs)),
        "cut_components": result.cut_components,
        "removed": int((part < 0).sum()),
        "removed_at_least_for_these_cuts": result.removal_bound,
        "removed_kept_for_training": 0 if returned is None else len(returned),
        "pairs_the_first_search_missed": missed,
        "pairs_the_audit_repaired": repaired,
        "fold_sizes": np.bincount(fold_of)[1:].tolist(),
        "size_deviation": _size_deviation(part, shares),
        "class_deviation": category_shares(strata, part, len(shares))[1],
        "too_short_for_the_evalue": _too_short(residues, definition, molecule),
        "untestable_labels": _single_cluster_labels(component, given),
    }
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(parts)
    crosses = cross(pairs, shuffled)
    both = Definition(identity, coverage, identity_over, "both").holds(pairs)
    audit["random_split_control"] = {
        "crossing_pairs": count_pairs(pairs, crosses & definition.holds(pairs)),
        "crossing_pairs_coverage_of_both": count_pairs(pairs, crosses & both),
    }
    if phmmer_queries and method != "kfold":
        audit["phmmer"] = remote_relatives(
            residues, parts, queries=phmmer_queries, seed=seed
        )
    comparison = COMPARISON.frame()
    if compare and method != "kfold":
        comparison = _compare(
            method, part, pairs, definition, residues, strata, shares, seed, threads,
            [(groups or {}).get(key, "") for key in ids] if groups else None, molecule,
        )  # fmt: skip
    table = pd.DataFrame(
        {
            "id": ids,
            "part": named,
            "cluster": ids[cluster],
            "fold": fold,
            "component": ids[first_of[component]],
        }
    )
    return Split(
        SPLIT.frame(table.iloc[back].reset_index(drop=True)),
        _cluster_table(ids, cluster, named, given),
        _removed_table(near, ids, part, parts, definition, returned),
        crossing,
        to_train,
        comparison,
        audit,
    )


# --- checking what was asked -------------------------------------------------------------


def _checked_fractions(fractions: Sequence[float]) -> NDArray[np.float64]:
    if len(fractions) != len(PARTS) or min(fractions) <= 0:
        raise InputError(
            f"fractions are three positive shares (train, validation, test), not "
            f"{list(fractions)}"
        )
    return np.asarray(fractions, dtype=np.float64) / np.sum(fractions)


def _check_ids(
    sequences: Sequence[Record],
    labels: Mapping[str, str],
    keep: Mapping[str, str],
    unremovable: Collection[str],
) -> None:
    if not sequences:
        raise InputError("nothing to split: no sequences were given")
    known = {record.id for record in sequences}
    if len(known) < len(sequences):
        seen: set[str] = set()
        twice = next(r.id for r in sequences if r.id in seen or seen.add(r.id))  # type: ignore[func-returns-value]
        raise InputError(f"id '{twice}' names several sequences: rename all but one")
    for what, names in (("labels", labels), ("kept parts", keep), ("pins", unremovable)):
        unlisted = set(names) - known
        if unlisted:
            logger.warning(
                "%d %s are for ids that are not among the sequences, for example '%s'",
                len(unlisted), what, min(unlisted),
            )  # fmt: skip


def _part_code(keep: Mapping[str, str] | None, key: str) -> int:
    name = (keep or {}).get(key, "")
    if not name:
        return -1
    if name == "removed":
        return OUT
    if name not in PARTS:
        raise InputError(
            f"'{key}' is to stay in '{name}': parts are {', '.join(PARTS)} and removed"
        )
    return PARTS.index(name)


def _refuse_clashes(
    pairs: Pairs, ids: NDArray, fixed: NDArray, definition: Definition
) -> None:
    """Kept sequences of two parts that are alike make any guarantee impossible."""
    a, b = fixed[pairs.first], fixed[pairs.second]
    clash = definition.holds(pairs) & (a >= 0) & (b >= 0) & (a != b)
    if clash.any():
        over = pairs.identity(definition.identity_over)
        worst = int(np.flatnonzero(clash)[np.argmax(over[clash])])
        x, y = pairs.first[worst], pairs.second[worst]
        raise InputError(
            f"the kept parts already leak: '{ids[x]}' ({PARTS[fixed[x]]}) and '{ids[y]}' "
            f"({PARTS[fixed[y]]}) are {over[worst]:.0%} identical, and "
            f"{count_pairs(pairs, clash) - 1} more pairs; keep the sequences of one part "
            "only, or raise the threshold"
        )


# --- parts of the work -------------------------------------------------------------------


def _names(method: Method, part: NDArray[np.int64]) -> NDArray:
    """Names of what must not share a pair: parts, or folds."""
    if method != "kfold":
        return np.array([*PARTS, "removed"], dtype=object)[part]
    return np.array([f"fold {p + 1}" if p >= 0 else "removed" for p in part], dtype=object)


def _checks(
    residues: Sequence[str],
    parts: NDArray,
    definition: Definition,
    exhaustive: bool,
    sample: int,
    molecule: Molecule,
    earlier: Sequence[Checked],
    seed: int,
    threads: int,
    done: Path | None,
) -> list[Checked]:
    """Search between the parts in other ways than the build did."""
    checks = [
        align_between(
            residues, parts, definition, molecule=molecule,
            earlier=earlier[0] if earlier else None, seed=seed, threads=threads,
        )
    ]  # fmt: skip
    if molecule == "protein" and (not exhaustive or sample * 10 <= len(residues)):
        sampled = search_sample(
            residues,
            parts,
            definition,
            sample=sample,
            seed=seed,
            threads=threads,
            done=done,
        )
        checks.append(sampled)
    return checks


def _without_guarantee(
    method: Method,
    residues: Sequence[str],
    strata: NDArray,
    shares: NDArray,
    definition: Definition,
    cells: Sequence[str],
    clans: Mapping[str, str] | None,
    seed: int,
    threads: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Parts by one of the other methods, and the group of each sequence."""
    n = len(residues)
    if method in ("family", "column", "time") and not any(cells):
        raise InputError(
            f"the method '{method}' needs a table with a value for each sequence: "
            "--groups TABLE --group-column NAME"
        )
    if method == "time":
        return ordered_parts(cells, shares), np.arange(n)
    if method == "random":
        group = np.arange(n)
    elif method == "cluster":
        group = cluster_sequences(
            residues, identity=definition.identity, coverage=definition.coverage,
            threads=threads,
        )  # fmt: skip
    elif method == "family":
        group = family_groups(cells, dict(clans or {}))
    else:
        group = value_groups(cells)
    part = assign_groups(group, strata, shares, seed=seed, pin=method != "random")
    _, first, which = np.unique(group, return_index=True, return_inverse=True)
    return part, group if method == "cluster" else first[which]


def _kept_for_training(pairs: Pairs, part: NDArray, original: NDArray) -> NDArray[np.int64]:
    """Find removed sequences without a relative in validation or test."""
    a = original[np.concatenate([pairs.first, pairs.second])]
    b = np.concatenate([pairs.second, pairs.first])
    near_tested = np.unique(a[part[b] > 0])
    removed = np.flatnonzero(part < 0)
    return removed[~np.isin(original[removed], near_tested)]


def _size_deviation(part: NDArray, shares: NDArray) -> float:
    """Largest difference between a part's share of what is kept and its target."""
    filled = np.bincount(part[part >= 0], minlength=len(shares))
    return float(np.abs(filled / filled.sum() - shares / shares.sum()).max())


def _compare(
    method: Method,
    part: NDArray,
    pairs: Pairs,
    definition: Definition,
    residues: Sequence[str],
    strata: NDArray,
    shares: NDArray,
    seed: int,
    threads: int,
    cells: Sequence[str] | None,
    molecule: Molecule,
) -> pd.DataFrame:
    """Put the split beside others of the same sequences, by the same pairs."""
    others: list[Method] = ["random"]
    others += ["cluster"] if molecule == "protein" else []
    others += ["family"] if cells is not None and method == "family" else []
    made: dict[str, NDArray] = {method: part}
    for other in others:
        if other in made:
            continue
        try:
            made[other] = _without_guarantee(
                other,
                residues,
                strata,
                shares,
                definition,
                cells or [],
                None,
                seed,
                threads,
            )[0]
        except InputError as error:
            logger.warning("no comparison with '%s': %s", other, error)
    alike = definition.holds(pairs)
    return COMPARISON.frame(
        [
            {"method": name, **_compared(p, pairs, alike, definition, strata, shares)}
            for name, p in made.items()
        ]
    )


def _compared(
    part: NDArray,
    pairs: Pairs,
    alike: NDArray,
    definition: Definition,
    strata: NDArray,
    shares: NDArray,
) -> dict[str, Any]:
    a, b = part[pairs.first], part[pairs.second]
    crossing = alike & (a != b) & (a >= 0) & (b >= 0)
    leaking = np.union1d(pairs.first[crossing], pairs.second[crossing])
    test_train = crossing & (np.minimum(a, b) == 0) & (np.maximum(a, b) == 2)
    tested = np.union1d(
        pairs.first[test_train & (a == 2)], pairs.second[test_train & (b == 2)]
    )
    over = pairs.identity(definition.identity_over)
    sizes = np.bincount(part[part >= 0], minlength=len(PARTS))
    return {
        **dict(zip(PARTS, sizes.tolist(), strict=True)),
        "removed": int((part < 0).sum()),
        "crossing_pairs": count_pairs(pairs, crossing),
        "leaking_fraction": len(leaking) / sizes.sum(),
        "leaking_test_fraction": len(tested) / max(sizes[2], 1),
        "largest_identity": float(over[crossing].max(initial=0.0)),
        "size_deviation": _size_deviation(part, shares),
        "class_deviation": category_shares(strata, part, len(PARTS))[1],
    }


def _too_short(residues: Sequence[str], definition: Definition, molecule: Molecule) -> int:
    """Sequences too short for any E-value below the limit: only equal ones are pairs."""
    lengths = np.array([len(s) for s in residues], dtype=float)
    bits = 2.0 if molecule == "protein" else 1.8  # of an identical residue, on average
    needed = np.log2(np.maximum(lengths * lengths.sum() / definition.evalue, 1))
    return int((bits * lengths < needed).sum())


def _single_cluster_labels(cluster: NDArray, labels: Sequence[str]) -> list[str]:
    """Labels whose members are all connected: no independent test is possible."""
    homes: dict[str, set[int]] = {}
    for index, cell in zip(cluster, labels, strict=True):
        for label in split_labels(cell):
            homes.setdefault(label, set()).add(int(index))
    return sorted(label for label, where in homes.items() if len(where) == 1)


# --- tables and words --------------------------------------------------------------------


def _cluster_table(
    ids: NDArray, cluster: NDArray, parts: NDArray, labels: Sequence[str]
) -> pd.DataFrame:
    frame = pd.DataFrame({"cluster": cluster, "part": parts, "label": list(labels)})
    frame["label"] = frame["label"].replace("", "unknown")
    counted = frame.groupby(["cluster", "label"], sort=True).size()
    words: dict[int, list[str]] = {}
    for (home, label), n in counted.items():
        words.setdefault(home, []).append(f"{label} {n}")
    sizes = frame["cluster"].value_counts()
    part_of = frame.drop_duplicates("cluster").set_index("cluster")["part"]
    rows = [
        {"id": ids[c], "size": int(sizes[c]), "part": part_of[c], "labels": ", ".join(told)}
        for c, told in words.items()
    ]
    rows.sort(key=lambda row: (-row["size"], row["id"]))
    return CLUSTERS.frame(rows)


def _removed_table(
    pairs: Pairs,
    ids: NDArray,
    part: NDArray,
    parts: NDArray,
    definition: Definition,
    returned: NDArray | None,
) -> pd.DataFrame:
    """Each removed sequence with its most similar kept sequence of each part."""
    gone = part < 0
    if returned is not None:
        gone = gone.copy()
        gone[returned] = True
    a = np.concatenate([pairs.first, pairs.second])
    b = np.concatenate([pairs.second, pairs.first])
    over = np.tile(pairs.identity(definition.identity_over), 2)
    evalue = np.tile(pairs.evalue, 2)
    use = gone[a] & (part[b] >= 0) & ~gone[b]
    frame = pd.DataFrame(
        {"v": a[use], "u": b[use], "to": part[b][use], "identity": over[use],
         "evalue": evalue[use]}
    )  # fmt: skip
    frame = frame.sort_values(
        ["v", "to", "identity", "u"], ascending=[True, True, False, True]
    )
    frame = frame.drop_duplicates(["v", "to"])
    alone = np.setdiff1d(np.flatnonzero(gone), frame["v"])
    listed = REMOVED.frame(
        {
            "id": ids[frame["v"]],
            "part": parts[frame["v"]],
            "neighbour": ids[frame["u"]],
            "neighbour_part": parts[frame["u"]],
            "identity_fraction": frame["identity"].to_numpy(dtype=float),
            "evalue": frame["evalue"].to_numpy(dtype=float),
        }
    )
    if not len(alone):
        return listed
    rest = REMOVED.frame(
        {
            "id": ids[alone],
            "part": parts[alone],
            "neighbour": [""] * len(alone),
            "neighbour_part": [""] * len(alone),
            "identity_fraction": np.full(len(alone), np.nan),
            "evalue": np.full(len(alone), np.nan),
        }
    )
    return pd.concat([listed, rest], ignore_index=True) if len(listed) else rest


def _search_words(
    complete: bool, exhaustive: bool, molecule: Molecule, sensitivity: float
) -> str:
    if molecule == "trna":
        return "Smith-Waterman of every pair (Opal)"
    if complete:
        return "MMseqs2 ungapped prefilter, every pair"
    between = (
        "the ungapped prefilter for every pair between parts"
        if exhaustive
        else f"sensitivity {sensitivity:g} between parts, which may miss pairs: see checks"
    )
    return f"MMseqs2 k-mer prefilter, sensitivity {FIRST_SENSITIVITY:g}, then {between}"
