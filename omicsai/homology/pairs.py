"""The pair graph: which sequences are alike, by which definition, streamed into arrays."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from omicsai.errors import InputError
from omicsai.homology.mmseqs import make_database, run_mmseqs
from omicsai.progress import track

__all__ = ["Definition", "Pairs", "find_pairs", "search_pairs"]

IdentityOver = Literal["alignment", "shorter", "longer"]
CoverageOf = Literal["either", "both"]

EVALUE = 1e-3
# A split is built on a slightly wider definition than it promises, because two aligners,
# or one aligner in two directions or on two database sizes, differ by a residue or so.
WIDER_EVALUE = 3.0
NARROWER_FRACTION = 0.003
# Least score of the ungapped prefilter up to 1e6 residues, and more for each factor of ten:
# the score that an E-value asks for grows by 8.6. Of 833 pairs among 3,000 corpus proteins
# (30 % identity, 50 % coverage, E <= 1e-3) 36 loses none and 40 one; among 2,000 enzymes 39
# lost one between a protein of biased composition and another.
LEAST_UNGAPPED_SCORE = 36
SCORE_PER_DECADE = 4
# Short sequences reach an E-value by a lower score, gaps included: 26 residues of a
# helicase (13 of 17 columns identical, E = 3e-4) have no ungapped stretch of 39.
SHORT = 100
LESS_IF_SHORT = 4
# One alignment may miss what another one sees: the composition correction, which goes by
# the query, and ties. Of 6,406 pairs by E-value with the correction, 21 had a larger one
# without it, by at most 3.4 times.
UNSURE_EVALUE = 10.0
UNSURE_IDENTITY = 0.1
UNSURE_COVERAGE = 0.2
CELLS_AT_A_TIME = 1e12  # dynamic-programming cells of a chunk: about half a minute of a CPU
LEAST_CELLS_AT_A_TIME = 3e10  # below, starting the programs takes longer
TRIANGLE_CHUNKS = 8  # of all against all: one more of them saves less than 1 % of the work
SMALL_RESIDUES = 10_000_000  # up to here the table of 6-mers costs more than it saves
KMER_HITS = 4000  # candidates of a query that the k-mer prefilter passes on
ROWS_AT_A_TIME = 500_000
PREFILTER_RESULT = 7
FORMAT = "query,target,nident,alnlen,qcov,tcov,evalue"
SEQ_ID_MODE = {"alignment": 0, "shorter": 1, "longer": 2}


@dataclass(frozen=True)
class Definition:
    """What makes two sequences alike.

    Attributes
    ----------
    identity
        Least share of identical positions, fraction.
    coverage
        Least aligned share, fraction.
    identity_over
        Denominator of the identity: columns of the local alignment (gaps included), or
        residues of the shorter or of the longer sequence.
    coverage_of
        Whether the aligned share must be reached by either or by both sequences.
    evalue
        Largest E-value in a database of all sequences.
    """

    identity: float = 0.3
    coverage: float = 0.5
    identity_over: IdentityOver = "alignment"
    coverage_of: CoverageOf = "either"
    evalue: float = EVALUE

    def __post_init__(self) -> None:
        """Refuse thresholds that are no fractions."""
        for name in ("identity", "coverage"):
            value = getattr(self, name)
            if not 0 < value <= 1:
                raise InputError(
                    f"{name} is a fraction above 0 and up to 1, not {value:g}"
                    + (f": did you mean {value / 100:g}?" if 1 < value <= 100 else "")
                )

    def wider(self) -> Definition:
        """Return the definition with the safety margin a split is built on."""
        return replace(
            self,
            identity=max(self.identity - NARROWER_FRACTION, 0.01),
            coverage=max(self.coverage - NARROWER_FRACTION, 0.01),
            evalue=self.evalue * WIDER_EVALUE,
        )

    def holds(self, pairs: Pairs) -> NDArray[np.bool_]:
        """Whether each alignment makes its two sequences alike: (m,)."""
        meets = np.maximum if self.coverage_of == "either" else np.minimum
        covered = meets(pairs.coverage_first, pairs.coverage_second)
        return (
            (pairs.identity(self.identity_over) >= np.float32(self.identity))
            & (covered >= np.float32(self.coverage))
            & (pairs.evalue <= np.float32(self.evalue))
        )


@dataclass(frozen=True)
class Pairs:
    """Alignments of pairs of sequences, with ``first < second``.

    A pair may be listed twice, because a search aligns it in both directions and the two
    alignments can differ; it is alike if either alignment says so.

    Attributes
    ----------
    first, second
        (m,) int32 indices of the two sequences of each alignment.
    identical
        (m,) int32 identical positions.
    columns
        (m,) int32 alignment length, gaps included.
    shorter, longer
        (m,) int32 lengths of the two sequences, residues.
    coverage_first, coverage_second
        (m,) float32 aligned fraction of each sequence.
    evalue
        (m,) float32 E-value.
    """

    first: NDArray[np.int32]
    second: NDArray[np.int32]
    identical: NDArray[np.int32]
    columns: NDArray[np.int32]
    shorter: NDArray[np.int32]
    longer: NDArray[np.int32]
    coverage_first: NDArray[np.float32]
    coverage_second: NDArray[np.float32]
    evalue: NDArray[np.float32]

    def __len__(self) -> int:
        """Return the number of alignments."""
        return len(self.first)

    def identity(self, over: IdentityOver = "alignment") -> NDArray[np.float32]:
        """Identical positions over alignment columns, or a sequence's length: (m,)."""
        length = {
            "alignment": self.columns,
            "shorter": self.shorter,
            "longer": self.longer,
        }[over]
        return (self.identical / np.maximum(length, 1)).astype(np.float32)

    def select(self, chosen: NDArray) -> Pairs:
        """Return some of the alignments, by mask or by index."""
        return Pairs(*(getattr(self, field.name)[chosen] for field in fields(self)))

    @classmethod
    def empty(cls) -> Pairs:
        """Return no alignment."""
        return cls.concatenate([])

    @classmethod
    def concatenate(cls, several: Sequence[Pairs]) -> Pairs:
        """Join alignments of several searches over the same sequences."""
        kinds = [*[np.int32] * 6, *[np.float32] * 3]
        return cls(
            *(
                np.concatenate([getattr(p, f.name) for p in several])
                if several
                else np.zeros(0, dtype=kind)
                for f, kind in zip(fields(cls), kinds, strict=True)
            )
        )

    @classmethod
    def from_alignments(
        cls,
        query: NDArray,
        target: NDArray,
        identical: NDArray,
        columns: NDArray,
        query_coverage: NDArray,
        target_coverage: NDArray,
        evalue: NDArray,
        lengths: NDArray,
    ) -> Pairs:
        """Order each alignment by index and drop those of a sequence with itself."""
        swap = query > target
        a, b = np.where(swap, target, query), np.where(swap, query, target)
        made = cls(
            a.astype(np.int32),
            b.astype(np.int32),
            np.asarray(identical, dtype=np.int32),
            np.asarray(columns, dtype=np.int32),
            np.minimum(lengths[a], lengths[b]).astype(np.int32),
            np.maximum(lengths[a], lengths[b]).astype(np.int32),
            np.where(swap, target_coverage, query_coverage).astype(np.float32),
            np.where(swap, query_coverage, target_coverage).astype(np.float32),
            np.asarray(evalue, dtype=np.float32),
        )
        return made.select(a != b)


def find_pairs(
    residues: Sequence[str],
    definition: Definition,
    *,
    reported_from: float | None = None,
    sensitivity: float | None = None,
    threads: int = 1,
) -> Pairs:
    """Search all sequences against all.

    Parameters
    ----------
    residues
        Canonical residues of n proteins.
    definition
        What is alike; alignments that do not make it are dropped as they stream in.
    reported_from
        As in `search_pairs`.
    sensitivity
        A number is the sensitivity of MMseqs2's k-mer prefilter, which misses pairs; None
        examines every pair by its ungapped prefilter.
    threads
        CPU threads.

    Returns
    -------
    Pairs
        Every pair at least once.
    """
    everything = np.arange(len(residues))
    return search_pairs(
        residues,
        everything,
        everything,
        definition,
        reported_from=reported_from,
        sensitivity=sensitivity,
        threads=threads,
        label="all against all",
    )


def search_pairs(
    residues: Sequence[str],
    queries: NDArray,
    targets: NDArray,
    definition: Definition,
    *,
    reported_from: float | None = None,
    sensitivity: float | None = None,
    threads: int = 1,
    label: str = "search",
) -> Pairs:
    """Search some of the sequences against some of them.

    Candidates are aligned without composition correction. Where that alignment does not
    make the pair alike but comes near it, the pair is aligned again: with the correction,
    and with query and target exchanged.

    Parameters
    ----------
    residues
        Canonical residues of n proteins.
    queries, targets
        Indices into `residues`. If they are the same, each pair is aligned once or twice.
    definition
        What is alike. E-values are those of a database of all n sequences.
    reported_from
        Alignments from this identity on are returned; by default those that make a pair
        alike.
    sensitivity
        As in `find_pairs`. The ungapped prefilter is symmetric; the k-mer prefilter is not,
        because it takes similar words of the query alone and masks the target.
    threads
        CPU threads.
    label
        Name in the progress bar.

    Returns
    -------
    Pairs
        Alignments that hold by `definition`, or by it from `reported_from` on.

    Raises
    ------
    ToolError
        If MMseqs2 is missing, is killed or fails.
    """
    if not len(queries) or not len(targets):
        return Pairs.empty()
    least = definition.identity if reported_from is None else reported_from
    reported = replace(definition, identity=least)
    near = replace(
        definition,
        identity=max(definition.identity - UNSURE_IDENTITY, 0.01),
        coverage=max(definition.coverage - UNSURE_COVERAGE, 0.01),
        evalue=definition.evalue * UNSURE_EVALUE,
    )
    lengths = np.array([len(s) for s in residues])
    found: list[Pairs] = []
    unsure: list[Pairs] = []
    jobs = _jobs(queries, targets, lengths, exhaustive=sensitivity is None)
    with tempfile.TemporaryDirectory(prefix="omicsai-mmseqs-") as name:
        for number, (chunk, against) in enumerate(
            track(jobs, total=len(jobs), label=label)
        ):
            folder = Path(name) / str(number)
            folder.mkdir()
            query = make_database(folder / "query", residues, chunk)
            target = make_database(folder / "target", residues, against)
            candidates = _candidates(
                query, target, (chunk, against), lengths, sensitivity, threads
            )
            smaller = lengths.sum() / lengths[against].sum()
            wanted = replace(near, identity=min(near.identity, least))
            for pairs in _aligned(
                query, target, candidates, wanted, lengths, smaller, threads
            ):
                found.append(pairs.select(reported.holds(pairs)))
                unsure.append(pairs.select(near.holds(pairs) & ~definition.holds(pairs)))
            _remove(folder)
        again = _align_again(
            Path(name), residues, Pairs.concatenate(unsure), near, lengths, threads
        )
    return Pairs.concatenate([*found, again.select(reported.holds(again))])


def _candidates(
    query: Path,
    target: Path,
    job: tuple[NDArray, NDArray],
    lengths: NDArray,
    sensitivity: float | None,
    threads: int,
) -> Path:
    """Run a prefilter: the database of candidates, beside the query's."""
    candidates = query.with_name("candidates")
    if sensitivity is None:
        least = LEAST_UNGAPPED_SCORE
        least += SCORE_PER_DECADE * np.log10(max(float(lengths.sum()), 1e6) / 1e6)
        if any((lengths[side] < SHORT).all() for side in job):
            least -= LESS_IF_SHORT
        run_mmseqs(
            "ungappedprefilter", query, target, candidates, "--comp-bias-corr", 0,
            "--min-ungapped-score", int(least),
            # its E-value is that of the ungapped score: a limit loses gapped pairs
            "-e", 1e10, "--max-seqs", len(job[1]), threads=threads,
        )  # fmt: skip
    else:
        small: list[str | float] = ["-k", 5] if lengths.sum() < SMALL_RESIDUES else []
        run_mmseqs(
            "prefilter", query, target, candidates, "-s", sensitivity,
            "--max-seqs", KMER_HITS, *small, threads=threads,
        )  # fmt: skip
    return candidates


def _aligned(
    query: Path,
    target: Path,
    candidates: Path,
    wanted: Definition,
    lengths: NDArray,
    smaller: float,
    threads: int,
    correction: int = 0,
) -> Iterator[Pairs]:
    """Align candidates; E-values of a database `smaller` times the size of the target's."""
    hits = candidates.with_name(f"{candidates.name}.hits{correction}")
    table = hits.with_suffix(".tsv")
    run_mmseqs(
        "align", query, target, candidates, hits, "--alignment-mode", 3, "-a", 1,
        "-e", wanted.evalue / smaller, "--comp-bias-corr", correction,
        "--min-seq-id", wanted.identity, "--seq-id-mode", SEQ_ID_MODE[wanted.identity_over],
        threads=threads,
    )  # fmt: skip
    run_mmseqs(
        "convertalis", query, target, hits, table, "--format-output", FORMAT,
        threads=threads,
    )  # fmt: skip
    yield from _stream(table, lengths, smaller)


def _align_again(
    folder: Path,
    residues: Sequence[str],
    unsure: Pairs,
    near: Definition,
    lengths: NDArray,
    threads: int,
) -> Pairs:
    """Align pairs in all four ways: corrected or not, either one the query."""
    if not len(unsure):
        return Pairs.empty()
    a, b = np.unique(np.stack([unsure.first, unsure.second]), axis=1)
    used = np.unique(np.concatenate([a, b]))
    a, b = np.searchsorted(used, a), np.searchsorted(used, b)
    database = make_database(folder / "unsure", residues, used)
    smaller = lengths.sum() / lengths[used].sum()
    found: list[Pairs] = []
    for name, x, y in (("there", a, b), ("back", b, a)):
        order = np.lexsort((y, x))
        rows = np.stack([x, y, 0 * x, 0 * x], axis=1)[order]
        np.savetxt(folder / f"{name}.listed", rows, fmt="%d", delimiter="\t")
        listed = folder / name
        run_mmseqs(
            "tsv2db", folder / f"{name}.listed", listed, "--output-dbtype", PREFILTER_RESULT
        )
        for correction in (0, 1):
            found += _aligned(
                database, database, listed, near, lengths, smaller, threads, correction
            )
    return Pairs.concatenate(found)


def _jobs(
    queries: NDArray, targets: NDArray, lengths: NDArray, *, exhaustive: bool
) -> list[tuple[NDArray, NDArray]]:
    """Cut a search into jobs: (queries, targets) of each; short sequences go apart."""
    if not exhaustive:
        return _chunks(queries, targets, lengths, 100 * CELLS_AT_A_TIME, triangle=1)
    short, long = queries[lengths[queries] < SHORT], queries[lengths[queries] >= SHORT]
    if np.array_equal(queries, targets):
        kinds = [(short, short), (short, long), (long, long)]
    else:
        other = targets[lengths[targets] >= SHORT]
        kinds = [(short, targets), (long, targets[lengths[targets] < SHORT]), (long, other)]
    return [
        job
        for some, against in kinds
        if len(some) and len(against)
        for job in _chunks(some, against, lengths, CELLS_AT_A_TIME, TRIANGLE_CHUNKS)
    ]


def _chunks(
    queries: NDArray,
    targets: NDArray,
    lengths: NDArray,
    cells_at_a_time: float,
    triangle: int,
) -> list[tuple[NDArray, NDArray]]:
    """Cut a search into jobs of about equal work."""
    same = np.array_equal(queries, targets)
    cells = float(lengths[queries].sum()) * float(lengths[targets].sum())
    n = int(np.ceil(cells / cells_at_a_time))
    if same:
        n = max(n, min(triangle, int(cells / LEAST_CELLS_AT_A_TIME)))
    if n < 2 or len(queries) < 2:
        return [(queries, targets)]
    work = np.cumsum(lengths[queries]).astype(float)
    ends = np.searchsorted(work, work[-1] * np.arange(1, n) / n)
    pieces = [piece for piece in np.split(np.arange(len(queries)), ends) if len(piece)]
    # all against all needs each pair once: a chunk searches what comes after its start
    return [(queries[piece], queries[piece[0] :] if same else targets) for piece in pieces]


def _stream(table: Path, lengths: NDArray, smaller: float) -> Iterator[Pairs]:
    reader = pd.read_csv(
        table,
        sep="\t",
        names=["q", "t", "nident", "columns", "qcov", "tcov", "evalue"],
        dtype={
            "q": np.int32, "t": np.int32, "nident": np.int32, "columns": np.int32,
            "qcov": np.float32, "tcov": np.float32, "evalue": np.float64,
        },
        chunksize=ROWS_AT_A_TIME,
    )  # fmt: skip
    with reader:
        for frame in reader:
            yield Pairs.from_alignments(
                frame.q.to_numpy(),
                frame.t.to_numpy(),
                frame.nident.to_numpy(),
                frame["columns"].to_numpy(),
                frame.qcov.to_numpy(),
                frame.tcov.to_numpy(),
                frame.evalue.to_numpy() * smaller,
                lengths,
            )


def _remove(folder: Path) -> None:
    """Free the disk as the search goes on, not at its end."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink()
    folder.rmdir()
