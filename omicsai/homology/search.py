"""The pair graph by MMseqs2: which sequences are alike, streamed into arrays."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from omicsai.homology.mmseqs import make_database, mmseqs_version, run_mmseqs
from omicsai.homology.pairs import Definition, Pairs
from omicsai.homology.remembered import remembered
from omicsai.progress import track

__all__ = ["find_pairs", "search_pairs"]

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
# the query, and ties. A pair is aligned again if what it lacks, each as a share of these,
# adds up to 1 or less. Of 1,389 pairs between parts of 90,000 proteins that another
# alignment made, that loses none, and it leaves out a third of those within all three.
UNSURE_EVALUE = 10.0
UNSURE_IDENTITY = 0.1
UNSURE_COVERAGE = 0.2
CELLS_AT_A_TIME = 1e12  # dynamic-programming cells of a chunk: about half a minute of a CPU
LEAST_CELLS_AT_A_TIME = 3e10  # below, starting the programs takes longer
PIECES = 8  # by length: of more, few pairs are examined twice
SMALL_RESIDUES = 10_000_000  # up to here the table of 6-mers costs more than it saves
KMER_HITS = 4000  # candidates of a query that the k-mer prefilter passes on
ROWS_AT_A_TIME = 500_000
AGAIN_AT_A_TIME = 50_000  # pairs near a threshold: some minutes of a CPU
PREFILTER_RESULT = 7
FORMAT = "query,target,nident,alnlen,qcov,tcov,evalue"
SEQ_ID_MODE = {"alignment": 0, "shorter": 1, "longer": 2}


def find_pairs(
    residues: Sequence[str],
    definition: Definition,
    *,
    reported_from: float | None = None,
    sensitivity: float | None = None,
    threads: int = 1,
    done: Path | None = None,
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
        A number is the sensitivity of MMseqs2's k-mer prefilter, which misses pairs; those
        near a threshold are then not aligned again. None examines every pair by the
        ungapped prefilter.
    threads
        CPU threads.
    done
        As in `search_pairs`.

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
        four_ways=sensitivity is None,
        threads=threads,
        label="all against all",
        done=done,
    )


def search_pairs(
    residues: Sequence[str],
    queries: NDArray,
    targets: NDArray,
    definition: Definition,
    *,
    reported_from: float | None = None,
    sensitivity: float | None = None,
    least_score: int = LEAST_UNGAPPED_SCORE,
    four_ways: bool = True,
    threads: int = 1,
    label: str = "search",
    done: Path | None = None,
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
        Of the k-mer prefilter; None is the ungapped one. The ungapped one is symmetric, the
        other is not: it takes similar words of the query alone and masks the target.
    least_score
        Of the ungapped prefilter, half-bits, in a database of up to 1e6 residues.
    four_ways
        Whether pairs near a threshold are aligned again.
    threads
        CPU threads.
    label
        Name in the progress bar.
    done
        Folder where finished jobs are kept: a search that was killed goes on after them.

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
    jobs = _jobs(queries, targets, lengths, exhaustive=sensitivity is None)
    what: list[str | bytes] = []
    if done is not None:
        every = hashlib.blake2b("\n".join(residues).encode()).hexdigest()
        settings = (
            reported, near, four_ways, sensitivity, least_score, mmseqs_version()
        )  # fmt: skip
        what = [every, repr(settings)]
    search = partial(
        _search, residues, either=(near if four_ways else reported, reported),
        lengths=lengths, sensitivity=sensitivity, least_score=least_score, threads=threads,
    )  # fmt: skip
    found: list[Pairs] = []
    unsure: list[Pairs] = []
    for job in track(jobs, total=len(jobs), label=label):
        asked = [*what, *(side.astype(np.int64).tobytes() for side in job)]
        pairs = remembered(done, asked, partial(search, job))
        found.append(pairs.select(reported.holds(pairs)))
        if four_ways:
            unsure.append(pairs.select(_unsure(pairs, definition)))
    rest = Pairs.concatenate(unsure)
    again = partial(_align_again, residues, near=near, lengths=lengths, threads=threads)
    listed = np.unique(np.stack([rest.first, rest.second]), axis=1)
    starts = range(0, listed.shape[1], AGAIN_AT_A_TIME)
    for start in track(starts, total=len(starts), label=f"{label}, near the threshold"):
        some = listed[:, start : start + AGAIN_AT_A_TIME]
        pairs = remembered(done, [*what, "again", some.tobytes()], partial(again, some))
        found.append(pairs.select(reported.holds(pairs)))
    return Pairs.concatenate(found)


def _unsure(pairs: Pairs, definition: Definition) -> NDArray[np.bool_]:
    """Which alignments do not make a pair alike, but come near it: (m,)."""
    lacking = (
        np.maximum(definition.identity - pairs.identity(definition.identity_over), 0)
        / UNSURE_IDENTITY
        + np.maximum(definition.coverage - pairs.covered(definition.coverage_of), 0)
        / UNSURE_COVERAGE
        + np.log(np.maximum(pairs.evalue / definition.evalue, 1)) / np.log(UNSURE_EVALUE)
    )
    return (lacking <= 1) & ~definition.holds(pairs)


def _search(
    residues: Sequence[str],
    job: tuple[NDArray, NDArray],
    *,
    either: tuple[Definition, Definition],
    lengths: NDArray,
    sensitivity: float | None,
    least_score: int,
    threads: int,
) -> Pairs:
    """Align the candidates of a job: alignments that hold by either definition."""
    wanted = replace(either[0], identity=min(d.identity for d in either))
    with tempfile.TemporaryDirectory(prefix="omicsai-mmseqs-") as name:
        query = make_database(Path(name) / "query", residues, job[0])
        target = make_database(Path(name) / "target", residues, job[1])
        candidates = _candidates(
            query, target, job, lengths, sensitivity, least_score, threads
        )
        smaller = lengths.sum() / lengths[job[1]].sum()
        return Pairs.concatenate(
            [
                pairs.select(either[0].holds(pairs) | either[1].holds(pairs))
                for pairs in _aligned(
                    query, target, candidates, wanted, lengths, smaller, threads
                )
            ]
        )


def _candidates(
    query: Path,
    target: Path,
    job: tuple[NDArray, NDArray],
    lengths: NDArray,
    sensitivity: float | None,
    least_score: int,
    threads: int,
) -> Path:
    """Run a prefilter: the database of candidates, beside the query's."""
    candidates = query.with_name("candidates")
    if sensitivity is None:
        size = max(float(lengths.sum()), 1e6)
        least = least_score + SCORE_PER_DECADE * np.log10(size / 1e6)
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
    residues: Sequence[str],
    listed: NDArray,
    *,
    near: Definition,
    lengths: NDArray,
    threads: int,
) -> Pairs:
    """Align (2, m) pairs in all four ways: corrected or not, either one the query."""
    used, which = np.unique(listed, return_inverse=True)
    a, b = which.reshape(listed.shape)
    smaller = lengths.sum() / lengths[used].sum()
    found: list[Pairs] = []
    with tempfile.TemporaryDirectory(prefix="omicsai-mmseqs-") as folder:
        database = make_database(Path(folder) / "unsure", residues, used)
        for name, x, y in (("there", a, b), ("back", b, a)):
            pairs = Path(folder) / name
            order = np.lexsort((y, x))
            rows = np.stack([x, y, 0 * x, 0 * x], axis=1)[order]
            listing = pairs.with_suffix(".listed")
            np.savetxt(listing, rows, fmt="%d", delimiter="\t")
            run_mmseqs("tsv2db", listing, pairs, "--output-dbtype", PREFILTER_RESULT)
            for correction in (0, 1):
                found += _aligned(
                    database, database, pairs, near, lengths, smaller, threads, correction
                )
    return Pairs.concatenate(found)


def _jobs(
    queries: NDArray, targets: NDArray, lengths: NDArray, *, exhaustive: bool
) -> list[tuple[NDArray, NDArray]]:
    """Cut a search into jobs: (queries, targets) of each.

    Where every pair is examined the shorter of two sequences is the query, or each is in
    turn: by MMseqs2 a long query gets an E-value some hundred times that of the same
    alignment with a short one. Sequences below 100 residues go apart.
    """
    if not exhaustive:
        return _cut(queries, targets, lengths, 100 * CELLS_AT_A_TIME)
    (q_short, q_long), (t_short, t_long) = (
        (side[lengths[side] < SHORT], side[lengths[side] >= SHORT])
        for side in (queries, targets)
    )
    jobs = _cut(q_short, t_long, lengths) + _facing(q_short, t_short, lengths)
    if not np.array_equal(queries, targets):
        jobs += _cut(t_short, q_long, lengths)
    return jobs + _facing(q_long, t_long, lengths)


def _facing(
    queries: NDArray, targets: NDArray, lengths: NDArray
) -> list[tuple[NDArray, NDArray]]:
    """Cut a search so that each pair has the shorter sequence as a query."""
    same = np.array_equal(queries, targets)
    queries, targets = (
        side[np.argsort(lengths[side], kind="stable")] for side in (queries, targets)
    )
    jobs = []
    start = 0
    for piece, _ in _cut(queries, targets, lengths, least=PIECES):
        if same:
            jobs.append((piece, queries[start:]))
            start += len(piece)
        else:
            shortest, longest = lengths[piece[[0, -1]]]
            jobs.append((piece, targets[lengths[targets] >= shortest]))
            jobs.append((targets[lengths[targets] < longest], piece))
    return [job for job in jobs if all(map(len, job))]


def _cut(
    queries: NDArray,
    targets: NDArray,
    lengths: NDArray,
    cells_at_a_time: float = CELLS_AT_A_TIME,
    least: int = 1,
) -> list[tuple[NDArray, NDArray]]:
    """Cut the queries into pieces of about equal work, at least so many unless tiny."""
    if not len(queries) or not len(targets):
        return []
    cells = float(lengths[queries].sum()) * float(lengths[targets].sum())
    n = int(np.ceil(cells / cells_at_a_time))
    n = max(n, min(least, int(cells / LEAST_CELLS_AT_A_TIME)), 1)
    work = np.cumsum(lengths[queries]).astype(float)
    ends = np.searchsorted(work, work[-1] * np.arange(1, n) / n)
    return [(piece, targets) for piece in np.split(queries, ends) if len(piece)]


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
