"""The leakage audit: a search of its own that states what crosses the parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import betaincinv

from omicsai.homology.align import align_pairs
from omicsai.homology.pairs import Definition, Pairs
from omicsai.homology.search import LEAST_UNGAPPED_SCORE, search_pairs
from omicsai.sequences import Molecule, split_labels
from omicsai.tables import Column, Table

__all__ = [
    "CROSSING",
    "IDENTITY_TO_TRAIN",
    "Checked",
    "align_between",
    "audit_split",
    "count_pairs",
    "cross",
    "remote_relatives",
    "search_sample",
]

ALIGNED_CELLS = 5e10  # Smith-Waterman cells of the independent check: about 30 s of a CPU
SAMPLE_SCORE = 33  # of the prefilter: lower than the one a split is built with
REPORTED_FROM = 0.05  # least identity of the pairs an audit collects
BANDS = (0.3, 0.4, 0.5)  # test sequences are counted from these identities to training on

CROSSING = Table(
    "crossing",
    (
        Column("id", "text", "a sequence of one part"),
        Column("part", "text", "its part"),
        Column("other_id", "text", "a similar sequence of another part"),
        Column("other_part", "text", "its part"),
        Column("identity_fraction", "number", "identity as the split defines it"),
        Column("coverage_fraction", "number", "aligned fraction of the first sequence"),
        Column("other_coverage_fraction", "number", "aligned fraction of the second"),
        Column("evalue", "number", "E-value of the alignment"),
    ),
)
IDENTITY_TO_TRAIN = Table(
    "identity_to_train",
    (
        Column("id", "text", "sequence of the validation or test part"),
        Column("part", "text", "its part"),
        Column(
            "identity_fraction", "number",
            "largest identity to a covered training sequence, E-value up to 1e-3; empty if "
            "there is none",
        ),
        Column("nearest_train_id", "text", "that training sequence"),
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Checked:
    """What an exhaustive check of some sequences found between the parts.

    Attributes
    ----------
    pairs
        Alignments between parts, from 5 % identity on.
    queries
        Indices of the sequences that were compared with every sequence of another part.
    parts
        (n,) names of the parts.
    method
        How, in words.
    """

    pairs: Pairs
    queries: NDArray[np.int64]
    parts: NDArray
    method: str

    def compared(self, one: int, others: NDArray) -> NDArray[np.bool_]:
        """Whether one sequence was compared with each of some others: (n,)."""
        asked = np.isin(others, self.queries) | np.isin(one, self.queries)
        kept = (self.parts[others] != "removed") & (self.parts[one] != "removed")
        return asked & kept & (self.parts[others] != self.parts[one])


def align_between(
    residues: Sequence[str],
    parts: NDArray,
    definition: Definition,
    *,
    molecule: Molecule = "protein",
    earlier: Checked | None = None,
    seed: int = 1,
    threads: int = 1,
) -> Checked:
    """Align sequences with all of the other parts by Smith-Waterman, without a prefilter.

    This shares neither code nor E-value statistics with MMseqs2. All sequences are
    compared if that takes at most 5e10 cells (about 30 s of a CPU), else as many random
    ones as that allows.

    Parameters
    ----------
    residues
        Canonical residues of n sequences.
    parts
        (n,) name of each sequence's part; ``removed`` is left out.
    definition
        What is alike.
    molecule
        Chooses the scores; tRNAs are always compared all.
    earlier
        A check of earlier parts; what it aligned is not aligned again.
    seed
        Of the sample.
    threads
        CPU threads.
    """
    kept = np.flatnonzero(parts != "removed")
    lengths = np.array([len(s) for s in residues], dtype=float)
    cells = lengths[kept].sum() ** 2 / 2
    queries = kept
    if cells > ALIGNED_CELLS and molecule == "protein":
        n = max(int(len(kept) * ALIGNED_CELLS / cells / 2), 1)
        queries = np.sort(np.random.default_rng(seed).choice(kept, n, replace=False))
    is_query = np.isin(np.arange(len(parts)), queries)
    part = np.unique(parts, return_inverse=True)[1]
    pairs = Pairs.empty()
    jobs = [
        (int(q), kept[(part[kept] != part[q]) & (~is_query[kept] | (kept > q))])
        for q in queries
    ]
    if earlier is not None:
        pairs = earlier.pairs
        jobs = [(q, others[~earlier.compared(q, others)]) for q, others in jobs]
    found = align_pairs(
        residues,
        [job for job in jobs if len(job[1])],
        replace(definition, identity=REPORTED_FROM),
        molecule=molecule,
        label="audit by Smith-Waterman",
        threads=threads,
    )
    method = "Smith-Waterman without prefilter (Opal)"
    return Checked(Pairs.concatenate([pairs, found]), queries, parts, method)


def search_sample(
    residues: Sequence[str],
    parts: NDArray,
    definition: Definition,
    *,
    sample: int,
    seed: int = 1,
    threads: int = 1,
    done: Path | None = None,
) -> Checked:
    """Compare a random sample with all of the other parts by a wider ungapped prefilter."""
    kept = np.flatnonzero(parts != "removed")
    rng = np.random.default_rng(seed)
    queries = np.sort(rng.choice(kept, min(sample, len(kept)), replace=False))
    found = [
        search_pairs(
            residues,
            queries[parts[queries] == name],
            kept[parts[kept] != name],
            definition,
            reported_from=REPORTED_FROM,
            least_score=SAMPLE_SCORE,
            threads=threads,
            label=f"audit of {name}",
            done=done,
        )
        for name in sorted(set(parts[queries]))
    ]
    lower = LEAST_UNGAPPED_SCORE - SAMPLE_SCORE
    method = f"MMseqs2 ungapped prefilter, from {lower} half-bits below the split's"
    return Checked(Pairs.concatenate(found), queries, parts, method)


def audit_split(
    pairs: Pairs,
    checks: Sequence[Checked],
    ids: NDArray,
    parts: NDArray,
    labels: Sequence[str],
    definition: Definition,
) -> tuple[dict[str, Any], pd.DataFrame, pd.DataFrame]:
    """State what crosses the parts of a split.

    Parameters
    ----------
    pairs
        Known pairs; those of `checks` are added.
    checks
        From `align_between` and `search_sample`.
    ids, parts
        (n,) id and part of each sequence.
    labels
        Label of each sequence, for the balance table.
    definition
        What is alike.

    Returns
    -------
    audit : dict
        Definition, sizes, crossing pairs by pair of parts, bounds on what was not checked,
        test sequences with a training relative at 30, 40 and 50 % identity, label shares.
    crossing : pandas.DataFrame
        The crossing pairs, most similar first.
    to_train : pandas.DataFrame
        Identity of each validation and test sequence to the nearest training sequence.
    """
    pairs = Pairs.concatenate([pairs, *(check.pairs for check in checks)])
    alike = definition.holds(pairs)
    crosses = cross(pairs, parts)
    both = replace(definition, coverage_of="both").holds(pairs)
    over = pairs.identity(definition.identity_over)
    listed = crosses & alike
    leaking = np.union1d(pairs.first[listed], pairs.second[listed])
    audit: dict[str, Any] = {
        "definition": {
            "identity": f"identical positions over {_denominator(definition)}",
            "identity_threshold": definition.identity,
            "coverage": f"aligned share of {definition.coverage_of} of the two sequences",
            "coverage_threshold": definition.coverage,
            "largest_evalue": definition.evalue,
        },
        "sequences": {name: int((parts == name).sum()) for name in sorted(set(parts))},
        "guarantee_holds": not listed.any(),
        "crossing_pairs": {
            "coverage_of_either": count_pairs(pairs, listed),
            "coverage_of_both": count_pairs(pairs, crosses & both),
            "by_parts": _by_parts(pairs, parts, listed),
            "largest_identity": float(over[listed].max(initial=0.0)),
        },
        "crossing_sequences": len(leaking),
        "checks": [_check_words(check, definition, parts) for check in checks],
        "test_with_training_relative": _test_hits(pairs, parts, definition),
        "label_shares": _label_shares(parts, labels),
    }
    crossing = _crossing_table(pairs, ids, parts, listed, over)
    return audit, crossing, _to_train(pairs, ids, parts, over, definition)


def _check_words(check: Checked, definition: Definition, parts: NDArray) -> dict[str, Any]:
    """Say what one check found, with the upper limit for what it did not look at."""
    found = check.pairs.select(definition.holds(check.pairs))
    kept = int((parts != "removed").sum())
    crosses = cross(found, parts)
    leaking = np.union1d(found.first[crosses], found.second[crosses])
    k, n = len(np.intersect1d(leaking, check.queries)), len(check.queries)
    # Clopper and Pearson (1934), one-sided
    sampled = float(betaincinv(k + 1, n - k, 0.95)) if k < n else 1.0
    upper = k / kept if n >= kept else sampled
    return {
        "method": check.method,
        "sequences_compared_with_all_other_parts": n,
        "of": kept,
        "crossing_pairs": count_pairs(found, crosses),
        "leaking_sequences": k,
        "upper_95_leaking_fraction": round(upper, 6),
    }


def remote_relatives(
    residues: Sequence[str], parts: NDArray, *, queries: int, seed: int = 1
) -> dict[str, Any]:
    """Count test sequences that phmmer finds a remote relative of in train (E <= 1e-3).

    The identity of such pairs is below the threshold or their coverage is: a split at an
    identity does not separate superfamilies, and this says by how much.
    """
    import pyhmmer

    alphabet = pyhmmer.easel.Alphabet.amino()

    def digital(indices: NDArray) -> list[Any]:
        return [
            pyhmmer.easel.TextSequence(name=str(i).encode(), sequence=residues[i]).digitize(
                alphabet
            )
            for i in indices
        ]

    test, train = np.flatnonzero(parts == "test"), np.flatnonzero(parts == "train")
    if len(test) > queries:
        test = np.sort(np.random.default_rng(seed).choice(test, queries, replace=False))
    block = pyhmmer.easel.DigitalSequenceBlock(alphabet, digital(train))
    hits = pyhmmer.hmmer.phmmer(digital(test), block, E=1e-3, cpus=1)
    related = sum(any(hit.included for hit in top) for top in hits)
    return {"test_sequences": len(test), "with_training_relative": related, "evalue": 1e-3}


def cross(pairs: Pairs, parts: NDArray) -> NDArray[np.bool_]:
    """Whether the two sequences of each alignment are in different parts: (m,)."""
    a, b = parts[pairs.first], parts[pairs.second]
    return (a != b) & (a != "removed") & (b != "removed")


def count_pairs(pairs: Pairs, chosen: NDArray) -> int:
    """Count the different pairs among the chosen alignments."""
    return len(np.unique(np.stack([pairs.first, pairs.second])[:, chosen], axis=1).T)


def _denominator(definition: Definition) -> str:
    return {
        "alignment": "alignment length",
        "shorter": "length of the shorter sequence",
        "longer": "length of the longer sequence",
    }[definition.identity_over]


def _by_parts(pairs: Pairs, parts: NDArray, listed: NDArray) -> dict[str, int]:
    a, b = parts[pairs.first], parts[pairs.second]
    return {
        f"{x}-{y}": count_pairs(
            pairs, listed & (((a == x) & (b == y)) | ((a == y) & (b == x)))
        )
        for x, y in combinations(sorted(set(parts) - {"removed"}), 2)
    }


def _test_hits(pairs: Pairs, parts: NDArray, definition: Definition) -> dict[str, int]:
    """Test sequences with at least one training relative, by least identity."""
    hits = {}
    for least in BANDS:
        chosen = replace(definition, identity=least).holds(pairs)
        a, b = pairs.first[chosen], pairs.second[chosen]
        forward = a[(parts[a] == "test") & (parts[b] == "train")]
        backward = b[(parts[b] == "test") & (parts[a] == "train")]
        hits[f"identity_{least:.0%}"] = len(np.union1d(forward, backward))
    return hits


def _label_shares(parts: NDArray, labels: Sequence[str]) -> dict[str, dict[str, float]]:
    """Share of each label within each part (unknown included)."""
    shares: dict[str, dict[str, float]] = {}
    for name in sorted(set(parts)):
        cells = [
            split_labels(cell) or ["unknown"]
            for cell, part in zip(labels, parts, strict=True)
            if part == name
        ]
        counts: dict[str, int] = {}
        for cell in cells:
            for label in cell:
                counts[label] = counts.get(label, 0) + 1
        shares[name] = {k: round(v / len(cells), 4) for k, v in sorted(counts.items())}
    return shares


def _crossing_table(
    pairs: Pairs, ids: NDArray, parts: NDArray, listed: NDArray, over: NDArray
) -> pd.DataFrame:
    chosen = np.flatnonzero(listed)
    order = chosen[np.lexsort((pairs.second[chosen], pairs.first[chosen], -over[chosen]))]
    first, second = pairs.first[order], pairs.second[order]
    frame = CROSSING.frame(
        {
            "id": ids[first],
            "part": parts[first],
            "other_id": ids[second],
            "other_part": parts[second],
            "identity_fraction": over[order],
            "coverage_fraction": pairs.coverage_first[order],
            "other_coverage_fraction": pairs.coverage_second[order],
            "evalue": pairs.evalue[order],
        }
    )
    return frame.drop_duplicates(["id", "other_id"], ignore_index=True)


def _to_train(
    pairs: Pairs, ids: NDArray, parts: NDArray, over: NDArray, definition: Definition
) -> pd.DataFrame:
    """Nearest training sequence of each sequence that is tested."""
    tested = np.isin(parts, ["validation", "test"])
    a = np.concatenate([pairs.first, pairs.second])
    b = np.concatenate([pairs.second, pairs.first])
    identity = np.concatenate([over, over])
    near = np.tile(replace(definition, identity=REPORTED_FROM).holds(pairs), 2)
    use = near & tested[a] & (parts[b] == "train")
    a, b, identity = a[use], b[use], identity[use]
    order = np.lexsort((b, -identity, a))
    a, b, identity = a[order], b[order], identity[order]
    query, first = np.unique(a, return_index=True)
    nearest = np.full(len(ids), np.nan)
    nearest[query] = identity[first]
    name = np.full(len(ids), "", dtype=object)
    name[query] = ids[b[first]]
    return IDENTITY_TO_TRAIN.frame(
        {
            "id": ids[tested],
            "part": parts[tested],
            "identity_fraction": nearest[tested],
            "nearest_train_id": name[tested],
        }
    )
