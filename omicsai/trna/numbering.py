"""Canonical numbering of tRNA sequences, with a status and a reason for each record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from omicsai.trna.bases import GAP
from omicsai.trna.cloverleaf import Model, load_model
from omicsai.trna.formats import Span, Trna
from omicsai.trna.isotypes import amino_acid, anticodon_amino_acid, normal_isotype
from omicsai.trna.judging import TRNA_RECORDS, judge
from omicsai.trna.labelling import OUTSIDE, TRAILER, label_bases, matrix_of
from omicsai.trna.positions import LABELS
from omicsai.trna.reading import cut_out, read_cloverleaves

__all__ = [
    "SHORTEST",
    "Numbered",
    "classes_of",
    "classes_of_records",
    "number_sequences",
    "number_trnas",
]

SHORTEST, LONGEST = 55, 250
WITHOUT_BASES = str.maketrans("", "", "ACGU")


@dataclass(frozen=True)
class Numbered:
    """Numbered tRNAs, in the order given; failed ones carry gaps alone.

    Attributes
    ----------
    ids, sequences
        As given, sequences in canonical RNA.
    position, insertion
        (n, longest) int16 and int8: index into `LABELS` of each base and the number of
        the base inserted after it (0: none). Negative positions: leader, trailer (or
        intron), beyond the end.
    matrix
        (n, 99) int8 codes into `ALPHABET`: the base at each canonical position.
    records
        The `TRNA_RECORDS` table.
    readable
        (n,) records that were read; the others have a problem that no reading mends, such
        as a repeated id.
    """

    ids: list[str]
    sequences: list[str]
    position: NDArray[np.int16]
    insertion: NDArray[np.int8]
    matrix: NDArray[np.int8]
    records: pd.DataFrame
    readable: NDArray[np.bool_]

    def usable(self, *statuses: str) -> NDArray[np.bool_]:
        """(n,) which records have one of the statuses (default: ok and low)."""
        return self.records["status"].isin(statuses or ("ok", "low")).to_numpy()


def number_sequences(
    sequences: Sequence[str],
    ids: Sequence[str] | None = None,
    *,
    problems: Sequence[str] | None = None,
    isotypes: Sequence[str] | None = None,
    anticodons: Sequence[str] | None = None,
    introns: Sequence[Sequence[Span]] | None = None,
    model: Model | None = None,
) -> Numbered:
    """Give every base of every tRNA its canonical position.

    Parameters
    ----------
    sequences
        Canonical RNA (upper case, U for T); anything may stand where `problems` says why
        a record is unusable.
    ids
        Names; 1, 2, ... if None.
    problems
        Why a record cannot be numbered; empty where it can.
    isotypes, anticodons
        What header or table state, to report and compare; they never steer the numbering.
    introns
        First index (from 0) and length of each intron that the source tells of.
    model
        Parameters; the shipped ones by default.

    Returns
    -------
    Numbered
        Every record, whatever its status.
    """
    n = len(sequences)
    ids = list(ids) if ids is not None else [str(k + 1) for k in range(n)]
    cuts = [sorted(told) for told in introns] if introns is not None else [[]] * n
    told = list(problems) if problems is not None else [""] * n
    told = [t or _unusable(s, cut) for t, s, cut in zip(told, sequences, cuts, strict=True)]
    good = np.array([not t for t in told], dtype=bool)
    where = np.flatnonzero(good)
    rows = where.tolist()
    usable = [sequences[i] for i in rows]
    spliced = np.array([bool(cuts[i]) for i in rows], dtype=bool)
    exons = [_splice(sequences[i], cuts[i]) for i in rows]
    found = read_cloverleaves(exons, spliced, model or load_model())
    longest = max((len(s) for s in usable), default=0)
    position = np.full((n, longest), OUTSIDE, dtype=np.int16)
    insertion = np.zeros((n, longest), dtype=np.int8)
    matrix = np.full((n, len(LABELS)), GAP, dtype=np.int8)
    position[where], insertion[where] = label_bases(exons, found, longest)
    for i in where[spliced]:
        for start, length in cuts[i]:
            for table, value in ((position, TRAILER), (insertion, 0)):
                table[i, start + length :] = table[i, start : longest - length].copy()
                table[i, start : start + length] = value
    matrix[where] = matrix_of(usable, position[where], insertion[where])
    for row in np.flatnonzero(found.is_intron):
        cuts[rows[row]] = [tuple(found.cut[row].tolist())]
    records = judge(
        list(sequences), told, where, found, matrix, _stated(anticodons, n),
        _stated(isotypes, n), cuts,
    )  # fmt: skip
    records.insert(0, "id", ids)
    records = TRNA_RECORDS.frame(records)
    failed = (records["status"] == "failed").to_numpy()
    position[failed], insertion[failed], matrix[failed] = OUTSIDE, 0, GAP
    return Numbered(ids, list(sequences), position, insertion, matrix, records, good)


def _stated(values: Sequence[str] | None, n: int) -> list[str]:
    return list(values) if values is not None else [""] * n


def _splice(sequence: str, introns: Sequence[Span]) -> str:
    """Return a sequence without its introns, given in order."""
    for start, length in reversed(introns):
        sequence = cut_out(sequence, start, length)
    return sequence


def _unusable(sequence: str, introns: Sequence[Span]) -> str:
    end = 0
    for start, length in introns:
        if start < end or start + length > len(sequence):
            return f"no intron can be at {start + 1}-{start + length}, as its source tells"
        end = start + length
    sequence = _splice(sequence, introns)
    length = len(sequence)
    unknown = len(sequence.translate(WITHOUT_BASES))
    if length < SHORTEST:
        return f"{length} bases: too short for a tRNA (shortest read: {SHORTEST})"
    if length > LONGEST:
        return f"{length} bases: too long for one tRNA (longest read: {LONGEST})"
    if unknown > 0.15 * length:
        return f"{unknown} of {length} bases are unknown: too many to place the rest"
    return ""


def number_trnas(
    trnas: Sequence[Trna], labels: Mapping[str, str] | None = None
) -> Numbered:
    """Give positions to tRNAs as `omicsai.trna.read_trnas` gives them.

    Parameters
    ----------
    trnas
        Records with what their source states.
    labels
        Stated isotypes by id, which win over those of headers.
    """
    told = labels or {}
    return number_sequences(
        [t.sequence for t in trnas],
        [t.id for t in trnas],
        problems=[t.problem for t in trnas],
        isotypes=[normal_isotype(told.get(t.id, "")) or t.isotype for t in trnas],
        anticodons=[t.anticodon for t in trnas],
        introns=[t.introns for t in trnas],
    )


def classes_of(numbered: Numbered) -> list[str]:
    """Amino acid of each tRNA: by the stated isotype, else by the anticodon; else empty."""
    return classes_of_records(numbered.records)


def classes_of_records(records: pd.DataFrame) -> list[str]:
    """Amino acid of each row of a `TRNA_RECORDS` table, likewise."""
    return [
        amino_acid(stated) or anticodon_amino_acid(anticodon)
        for stated, anticodon in zip(records["isotype"], records["anticodon"], strict=True)
    ]
