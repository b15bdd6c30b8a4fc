"""A second opinion by Infernal on tRNAs whose numbering is not ok.

A covariance model with one column for each canonical position is built from a seed that
this package has numbered; cmalign then aligns globally (Nawrocki & Eddy 2013,
Bioinformatics 29:2933), and its columns are the positions.
"""

from __future__ import annotations

import logging
import shutil
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omicsai.errors import InputError
from omicsai.tables import atomic_path
from omicsai.trna.bases import ALPHABET, pairs_form
from omicsai.trna.judging import INVARIANTS
from omicsai.trna.labelling import LEADER, OUTSIDE, TRAILER, matrix_of
from omicsai.trna.numbering import Numbered, number_sequences
from omicsai.trna.positions import INDEX, LABELS, STEM_PAIRS
from omicsai.trna.stockholm import read_stockholm, stockholm_text
from omicsai.trna.structure import consensus_brackets

__all__ = ["build_model", "second_opinion"]

logger = logging.getLogger(__name__)

GAPLESS = str.maketrans("", "", ".-")

LEAST_BITS = 7.0  # of cmalign; shuffled seed sequences reach -2, reversed ones 6


def second_opinion(numbered: Numbered, model: Path) -> Numbered:
    """Read records that are not ok with cmalign, and keep what fits a tRNA better.

    A reading of a record that is low is kept where more stem pairs and invariant bases are
    met; of another record, which had no cloverleaf, where it scores `LEAST_BITS`.

    Parameters
    ----------
    numbered
        From `omicsai.trna.number_trnas`.
    model
        From `build_model`.

    Returns
    -------
    Numbered
        Records that were taken over have the method ``cmalign`` and stay ``low``.

    Raises
    ------
    InputError
        If the model is missing, or cmalign is not on PATH, fails, or returns other
        sequences than it was given.
    """
    if not model.is_file():
        raise InputError(f"{model} does not exist: make it with 'omicsai covariance'")
    _need("cmalign")
    doubtful = [
        i
        for i, status in enumerate(numbered.records["status"])
        if status != "ok"
        and numbered.readable[i]
        and set(numbered.sequences[i]) <= set("ACGUN")
    ]
    if not doubtful:
        return numbered
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fasta = "".join(f">{i}\n{numbered.sequences[i]}\n" for i in doubtful)
        (folder / "in.fasta").write_text(fasta)
        _run(
            "cmalign", "-g", "--notrunc", "--cpu", "1", "--outformat", "Pfam",
            "--sfile", "scores.txt", "-o", "out.sto", str(model.resolve()), "in.fasta",
            folder=folder,
        )  # fmt: skip
        rows, columns = read_stockholm(folder / "out.sto")
        bits = _bits(folder / "scores.txt")
    given = {str(i): numbered.sequences[i] for i in doubtful}
    found = {key: row.upper().translate(GAPLESS) for key, row in rows.items()}
    if found != given or set(bits) != set(given):
        raise InputError("cmalign returned other sequences than it was given")
    return _adopt(numbered, doubtful, rows, columns["RF"], bits)


def build_model(alignment: Path, path: Path) -> None:
    """Build a covariance model whose columns are the canonical positions.

    Parameters
    ----------
    alignment
        Seed, Stockholm (Rfam RF00005); its sequences are numbered, its columns not used.
    path
        The .cm file to write. It is not calibrated, which aligning does not need.

    Raises
    ------
    InputError
        If cmbuild is not on PATH or fails, or no sequence of the seed can be numbered.
    """
    _need("cmbuild")
    seed, _ = read_stockholm(alignment)
    sequences = [
        row.replace(".", "").replace("-", "").upper().replace("T", "U")
        for row in seed.values()
    ]
    numbered = number_sequences(sequences)
    letters = np.array(list(ALPHABET.replace("-", ".")))
    aligned = {
        str(i): "".join(letters[numbered.matrix[i]])
        for i in np.flatnonzero(numbered.usable("ok"))
    }
    if not aligned:
        raise InputError(f"{alignment} holds no tRNA that could be numbered")
    marks = {"SS_cons": consensus_brackets(), "RF": "x" * len(LABELS)}
    with tempfile.TemporaryDirectory() as name, atomic_path(path) as temporary:
        (Path(name) / "seed.sto").write_text(stockholm_text(aligned, marks))
        _run(
            "cmbuild", "--hand", "-F", "-n", "trna", str(temporary.resolve()), "seed.sto",
            folder=Path(name),
        )  # fmt: skip


def _need(tool: str) -> None:
    if shutil.which(tool) is None:
        raise InputError(f"{tool} is not on PATH: install Infernal, or use enumeration")


def _run(*command: str, folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        told = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise InputError(f"{command[0]} failed: {told[-1] if told else 'no message'}")


def _adopt(
    numbered: Numbered,
    doubtful: list[int],
    rows: dict[str, str],
    reference: str,
    bits: dict[str, float],
) -> Numbered:
    position, insertion = numbered.position.copy(), numbered.insertion.copy()
    width = max(position.shape[1], max(len(numbered.sequences[i]) for i in doubtful))
    grow = ((0, 0), (0, width - position.shape[1]))
    position = np.pad(position, grow, constant_values=OUTSIDE)
    insertion = np.pad(insertion, grow)
    matrix, records = numbered.matrix.copy(), numbered.records.copy()
    low, before = numbered.usable("low"), _evidence(matrix).sum(axis=1)
    taken = 0
    for i in doubtful:
        where, extra = _columns(rows[str(i)], reference)
        mine = matrix_of([numbered.sequences[i]], where[None], extra[None])
        formed, met = _evidence(mine)[0].tolist()
        if formed + met <= before[i] if low[i] else bits[str(i)] < LEAST_BITS:
            continue
        taken += 1
        position[i], insertion[i], matrix[i] = OUTSIDE, 0, mine[0]
        position[i, : len(where)], insertion[i, : len(extra)] = where, extra
        anticodon = "".join(ALPHABET[mine[0, INDEX[p]]] for p in ("34", "35", "36"))
        told = {
            "status": "low", "method": "cmalign", "anticodon": anticodon,
            "stem_pairs": formed, "invariants": met, "intron": "",
            "confidence": formed / len(STEM_PAIRS) * met / len(INVARIANTS),
            "reason": f"read by cmalign; by enumeration: {records.at[i, 'reason']}",
        }  # fmt: skip
        for column, value in told.items():
            records.at[i, column] = value
    logger.info("cmalign read %d of %d doubtful records better", taken, len(doubtful))
    return replace(
        numbered, position=position, insertion=insertion, matrix=matrix, records=records
    )


def _bits(path: Path) -> dict[str, float]:
    """Score of each sequence in a table of ``cmalign --sfile``."""
    rows = [line.split() for line in path.read_text().splitlines() if line[:1] != "#"]
    return {row[1]: float(row[6]) for row in rows}


def _evidence(matrix: NDArray[np.int8]) -> NDArray[np.int64]:
    """Stem pairs that form and invariant bases that are met (n, 2)."""
    met = [matrix[:, INDEX[p]] == ALPHABET.index(b) for p, b in INVARIANTS.items()]
    pairs = pairs_form(matrix, STEM_PAIRS).sum(axis=1)
    return np.column_stack([pairs, np.sum(met, axis=0)])


def _columns(row: str, reference: str) -> tuple[NDArray[np.int16], NDArray[np.int8]]:
    """Position and insertion number of each base of an aligned row."""
    where, extra = [], []
    column, last, count = -1, LEADER, 0
    end = len(reference) - reference.count(".") - 1
    for base, mark in zip(row, reference, strict=True):
        column += mark != "."
        if base in ".-":
            continue
        if mark != ".":
            last, count = column, 0
        elif column == end:
            last = TRAILER
        else:
            count += 1
        where.append(last)
        extra.append(count if last >= 0 else 0)
    return np.array(where, dtype=np.int16), np.array(extra, dtype=np.int8)
