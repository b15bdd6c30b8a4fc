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
LEAST_UNGAPPED_SCORE = 40  # a third of the time of the default 15; loses E-values near 0.01
CELLS_AT_A_TIME = 1e12  # dynamic-programming cells of a chunk: about a minute of a CPU
SMALL_RESIDUES = 10_000_000  # up to here the table of 6-mers costs more than it saves
KMER_HITS = 4000  # candidates of a query that the k-mer prefilter passes on
ROWS_AT_A_TIME = 500_000
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
    sensitivity: float | None = None,
    threads: int = 1,
    label: str = "search",
) -> Pairs:
    """Search some of the sequences against some of them.

    Parameters
    ----------
    residues
        Canonical residues of n proteins.
    queries, targets
        Indices into `residues`. If they are the same, each pair is aligned once.
    definition
        What is alike. E-values are those of a database of all n sequences.
    sensitivity
        As in `find_pairs`.
    threads
        CPU threads.
    label
        Name in the progress bar.

    Returns
    -------
    Pairs
        Alignments that hold by `definition`.

    Raises
    ------
    ToolError
        If MMseqs2 is missing, is killed or fails.
    """
    if not len(queries) or not len(targets):
        return Pairs.empty()
    lengths = np.array([len(s) for s in residues])
    small: list[str | float] = ["-k", 5] if lengths.sum() < SMALL_RESIDUES else []
    found = []
    jobs = _chunks(queries, targets, lengths, exhaustive=sensitivity is None)
    with tempfile.TemporaryDirectory(prefix="omicsai-mmseqs-") as name:
        for number, (chunk, against) in enumerate(
            track(jobs, total=len(jobs), label=label)
        ):
            folder = Path(name) / str(number)
            folder.mkdir()
            query = make_database(folder / "query", residues, chunk)
            target = make_database(folder / "target", residues, against)
            # the E-value of a database of all sequences, whatever the size of this one
            smaller = lengths.sum() / lengths[against].sum()
            candidates = folder / "candidates"
            if sensitivity is None:
                run_mmseqs(
                    "ungappedprefilter", query, target, candidates,
                    "--min-ungapped-score", LEAST_UNGAPPED_SCORE, "--comp-bias-corr", 0,
                    # its E-value is that of the ungapped score: a limit loses gapped pairs
                    "-e", 1e10, "--max-seqs", len(against), threads=threads,
                )  # fmt: skip
            else:
                run_mmseqs(
                    "prefilter", query, target, candidates, "-s", sensitivity,
                    "--max-seqs", KMER_HITS,
                    *small,
                    threads=threads,
                )  # fmt: skip
            for correction in (0, 1) if sensitivity is None else (1,):
                hits, table = folder / f"hits{correction}", folder / f"{correction}.tsv"
                run_mmseqs(
                    "align", query, target, candidates, hits, "--alignment-mode", 3,
                    "-e", definition.evalue / smaller, "--comp-bias-corr", correction,
                    "--min-seq-id", definition.identity,
                    "--seq-id-mode", SEQ_ID_MODE[definition.identity_over], "-a", 1,
                    threads=threads,
                )  # fmt: skip
                run_mmseqs(
                    "convertalis", query, target, hits, table, "--format-output", FORMAT,
                    threads=threads,
                )  # fmt: skip
                found += [
                    pairs.select(definition.holds(pairs))
                    for pairs in _stream(table, lengths, smaller)
                ]
            _remove(folder)
    return Pairs.concatenate(found)


def _chunks(
    queries: NDArray, targets: NDArray, lengths: NDArray, *, exhaustive: bool
) -> list[tuple[NDArray, NDArray]]:
    """Cut a search into jobs of about equal work: (queries, targets) of each."""
    same = np.array_equal(queries, targets)
    cells = float(lengths[queries].sum()) * float(lengths[targets].sum())
    limit = CELLS_AT_A_TIME if exhaustive else 100 * CELLS_AT_A_TIME
    if cells <= limit or len(queries) < 2:
        return [(queries, targets)]
    n = int(np.ceil(cells / limit))
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
