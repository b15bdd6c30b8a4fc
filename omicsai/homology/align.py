"""Exhaustive Smith-Waterman alignment by Opal, independent of MMseqs2.

Opal (through pyopal) computes the score of every pair with SIMD instructions and no
prefilter, masking or composition correction. Its E-values come from the Karlin-Altschul
parameters of the scoring system alone, so agreement with MMseqs2 is evidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omicsai.homology.pairs import Definition, Pairs
from omicsai.progress import track
from omicsai.sequences import Molecule
from omicsai.sequences.alphabet import NUCLEOTIDES

__all__ = ["align_all", "align_pairs"]

# query, target, identical positions, columns, both coverages, E-value
Alignment = tuple[int, int, int, int, float, float, float]
# (cost of a gap's first residue, of each further one, lambda, K): BLOSUM62 11/1, gapped
# (Altschul et al. 1997); blastn's +2/-3, gaps 5/2
SCORING: dict[Molecule, tuple[int, int, float, float]] = {
    "protein": (12, 1, 0.267, 0.041),
    "trna": (7, 2, 0.625, 0.410),
}
STANDARD = {"protein": "ARNDCQEGHILKMFPSTWYV", "trna": NUCLEOTIDES}


def align_all(
    residues: Sequence[str],
    definition: Definition,
    *,
    molecule: Molecule = "protein",
    label: str = "align all against all",
    threads: int = 1,
) -> Pairs:
    """Align all sequences with all others, each pair once; see `align_pairs`."""
    n = len(residues)
    return align_pairs(
        residues,
        [(i, np.arange(i + 1, n)) for i in range(n - 1)],
        definition,
        molecule=molecule,
        label=label,
        threads=threads,
    )


def align_pairs(
    residues: Sequence[str],
    jobs: Sequence[tuple[int, NDArray]],
    definition: Definition,
    *,
    molecule: Molecule = "protein",
    label: str = "align",
    threads: int = 1,
) -> Pairs:
    """Align queries with targets by Smith-Waterman, without any prefilter.

    Parameters
    ----------
    residues
        Canonical residues of n sequences.
    jobs
        Index of each query with the indices of its targets.
    definition
        Alignments that do not hold by it are dropped. E-values are those of a database of
        all n sequences: K m n exp(-lambda S).
    molecule
        Chooses the scores.
    label
        Name in the progress bar.
    threads
        CPU threads.

    Returns
    -------
    Pairs
        What holds.
    """
    import pyopal

    gap_open, gap_extend, decay, scale = SCORING[molecule]
    matrix = _matrix(molecule)
    clean = [_known(s, molecule) for s in residues]
    lengths = np.array([len(s) for s in residues])
    aligner = pyopal.Aligner(matrix, gap_open=gap_open, gap_extend=gap_extend)
    database = pyopal.Database(clean, matrix.alphabet)
    total = float(lengths.sum())

    def align(job: tuple[int, NDArray]) -> list[Alignment]:
        query, targets = job
        if not len(targets):
            return []
        least = np.log(scale * lengths[query] * total / definition.evalue) / decay
        searched = database.extract(targets.tolist())
        hits = aligner.align(clean[query], searched, mode="score", algorithm="sw")
        scores = np.array([hit.score for hit in hits])
        alike = np.flatnonzero(scores >= least)
        if not len(alike):
            return []
        # together, so that Opal fills its SIMD registers
        chosen = database.extract(targets[alike].tolist())
        rows = aligner.align(clean[query], chosen, mode="full", algorithm="sw")
        evalues = scale * lengths[query] * total * np.exp(-decay * scores[alike])
        return [
            (query, target, *_spans(row, int(lengths[query]), int(lengths[target])), evalue)
            for target, row, evalue in zip(
                targets[alike].tolist(), rows, evalues.tolist(), strict=True
            )
        ]

    with ThreadPoolExecutor(threads) as pool:  # Opal lets go of the interpreter's lock
        done = track(pool.map(align, jobs), total=len(jobs), label=label)
        found = [alignment for several in done for alignment in several]
    if not found:
        return Pairs.empty()
    columns = [np.array(column) for column in zip(*found, strict=True)]
    pairs = Pairs.from_alignments(*columns, lengths)  # type: ignore[call-arg]
    return pairs.select(definition.holds(pairs))


def _spans(hit: Any, query: int, target: int) -> tuple[int, int, float, float]:
    """Identical positions, columns and both coverages of a local alignment."""
    return (
        hit.alignment.count("M"),
        len(hit.alignment),
        (hit.query_end - hit.query_start + 1) / query,
        (hit.target_end - hit.target_start + 1) / target,
    )


def _known(residues: str, molecule: Molecule) -> str:
    """Residues the matrix does not know become its unknown letter."""
    standard = STANDARD[molecule]
    other = "X" if molecule == "protein" else "N"
    if set(residues) <= set(standard):
        return residues
    return "".join(r if r in standard else other for r in residues)


def _matrix(molecule: Molecule) -> Any:
    from scoring_matrices import ScoringMatrix

    if molecule == "protein":
        return ScoringMatrix.from_name("BLOSUM62")
    letters = NUCLEOTIDES + "N"
    scores = np.where(np.eye(len(letters), dtype=bool), 2.0, -3.0)
    scores[-1, :] = scores[:, -1] = 0.0
    return ScoringMatrix(scores.tolist(), alphabet=letters)
