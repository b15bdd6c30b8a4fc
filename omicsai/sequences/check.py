"""Checking a batch: what is usable, what was set aside, and why.

Nothing disappears: every record of the FASTA file is in ``records.tsv``, in
``duplicates.tsv`` (merged into a record of the same sequence) or in ``rejected.tsv``.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from omicsai.errors import InputError
from omicsai.sequences.alphabet import Molecule, canonical, count_nonstandard
from omicsai.sequences.fasta import RawRecord, Sequence, parse_fasta, sequence_digest
from omicsai.sequences.labels import (
    UNKNOWN,
    header_labels,
    join_labels,
    label_key,
    read_label_rows,
    split_labels,
)
from omicsai.tables import Column, Table

__all__ = ["DUPLICATES", "RECORDS", "REJECTED", "Checked", "check_batch"]

logger = logging.getLogger(__name__)

UNMATCHED_LABEL = "label for an id"  # how such a reason begins

RECORDS = Table(
    "records",
    (
        Column("id", "text", "record id: the FASTA header up to the first blank"),
        Column("label", "text", "known labels joined by ';', empty if unknown"),
        Column("length_aa", "integer", "number of residues"),
        Column("nonstandard", "integer", "residues outside the standard alphabet"),
        Column("copies", "integer", "records of the file that have this sequence"),
        Column("label_conflict", "boolean", "copies carry different labels"),
        Column("digest", "text", "SHA-256 of the canonical residues"),
        Column("line", "integer", "line of the header in the FASTA file"),
        Column("description", "text", "rest of the FASTA header"),
    ),
)
DUPLICATES = Table(
    "duplicates",
    (
        Column("id", "text", "record merged into another of the same sequence"),
        Column("kept_id", "text", "record that stands for the sequence"),
        Column("relation", "text", "'merged', or 'label conflict' if the labels differ"),
        Column("label", "text", "label of this record"),
        Column("kept_label", "text", "label that the kept record came with"),
        Column("line", "integer", "line of the header in the FASTA file"),
    ),
)
REJECTED = Table(
    "rejected",
    (
        Column("id", "text", "record id, or id of a label without a record"),
        Column("file", "text", "name of the file"),
        Column("line", "integer", "line in the file"),
        Column("reason", "text", "why the record or label was set aside"),
    ),
)


@dataclass(frozen=True)
class Checked:
    """A checked batch: usable sequences and the tables that account for the rest."""

    sequences: list[Sequence]
    records: pd.DataFrame
    duplicates: pd.DataFrame
    rejected: pd.DataFrame


@dataclass(frozen=True)
class _Usable:
    record: RawRecord
    residues: str
    label: str


def check_batch(
    fasta: Path | str,
    *,
    labels: Path | str | None = None,
    molecule: Molecule = "protein",
    label_column: str = "label",
    header_pattern: str | None = None,
    unknown: Iterable[str] = UNKNOWN,
    min_length: int = 10,
    max_length: int | None = None,
    max_unknown_fraction: float = 0.5,
) -> Checked:
    """Check a FASTA file and its labels.

    Parameters
    ----------
    fasta
        FASTA file, plain, gzip or xz.
    labels
        Table with the columns ``id`` and `label_column`, or None.
    molecule
        ``"protein"`` or ``"trna"``.
    label_column
        Name of the label column.
    header_pattern
        Regular expression with a group ``label`` that takes labels from the FASTA
        headers; used when `labels` is None.
    unknown
        Words that mean "label not known".
    min_length, max_length
        Accepted range of residues.
    max_unknown_fraction
        Largest accepted share of X (N in tRNA).

    Returns
    -------
    Checked
        Sequences in file order, each sequence once, and the three tables.

    Raises
    ------
    InputError
        If a file cannot be read as what it should be, no record is usable, or no label
        matches any record.
    """
    fasta = Path(fasta)
    records = list(parse_fasta(fasta))
    _refuse_three_line_format(records, fasta)
    known = {record.id for record in records}
    rejected: list[dict] = []
    if labels is not None:
        rows = read_label_rows(labels, column=label_column, unknown=unknown)
        table = {key: label for key, label, _ in rows}
        used = {label_key(table, key) for key in known}
        unmatched = [row for row in rows if row[0] not in used]
        _refuse_foreign_labels(rows, unmatched, records, Path(labels), fasta)
        rejected += [
            _reject(key, labels, line, f"{UNMATCHED_LABEL} that is not in {fasta.name}")
            for key, _, line in unmatched
        ]
        keys = [label_key(table, record.id) for record in records]
        given = [table[key] if key is not None else "" for key in keys]
    elif header_pattern is not None:
        given = header_labels(records, header_pattern, unknown)
    else:
        given = [""] * len(records)
    usable: list[_Usable] = []
    repeated = _ids_with_different_sequences(records, molecule)
    for record, label in zip(records, given, strict=True):
        residues, problem = canonical(record.raw, molecule)
        problem = (
            record.problem
            or ("" if record.id else "header without an id: write '>id …'")
            or problem
            or _length_problem(residues, min_length, max_length)
            or _unknown_problem(residues, molecule, max_unknown_fraction)
            or repeated.get(record.id, "")
        )
        if problem:
            rejected.append(_reject(record.id, fasta, record.line, problem))
        else:
            usable.append(_Usable(record, residues, label))
    if not usable:
        first = (
            rejected[-1]
            if labels is None
            else next(row for row in rejected if row["file"] == fasta.name)
        )
        raise InputError(
            f"{fasta}: none of {len(records)} records is usable; for example line "
            f"{first['line']}, record '{first['id']}': {first['reason']}"
        )
    return _merge(usable, rejected, molecule)


def _reject(key: str, file: Path | str, line: int, reason: str) -> dict:
    return {"id": key, "file": Path(file).name, "line": line, "reason": reason}


def _merge(usable: list[_Usable], rejected: list[dict], molecule: Molecule) -> Checked:
    """Let the first record of each sequence stand for its copies."""
    groups: dict[str, list[_Usable]] = defaultdict(list)
    for item in usable:
        groups[item.residues].append(item)
    sequences, records, duplicates = [], [], []
    for residues, copies in groups.items():
        kept = copies[0].record
        known = {item.label for item in copies if item.label}
        conflict = len(known) > 1
        sequences.append(Sequence(kept.id, residues))
        records.append(
            {
                "id": kept.id,
                "label": "" if conflict else join_labels(known),
                "length_aa": len(residues),
                "nonstandard": count_nonstandard(residues, molecule),
                "copies": len(copies),
                "label_conflict": conflict,
                "digest": sequence_digest(residues),
                "line": kept.line,
                "description": kept.header[len(kept.id) :].strip(),
            }
        )
        duplicates += [
            {
                "id": item.record.id,
                "kept_id": kept.id,
                "relation": "label conflict" if conflict else "merged",
                "label": item.label,
                "kept_label": copies[0].label,
                "line": item.record.line,
            }
            for item in copies[1:]
        ]
    return Checked(
        sequences,
        RECORDS.frame(records),
        DUPLICATES.frame(duplicates),
        REJECTED.frame(rejected),
    )


def _length_problem(residues: str, shortest: int, longest: int | None) -> str:
    if len(residues) < shortest:
        return f"{len(residues)} residues, fewer than check.min_length = {shortest}"
    if longest is not None and len(residues) > longest:
        return f"{len(residues)} residues, more than check.max_length = {longest}"
    return ""


def _unknown_problem(residues: str, molecule: Molecule, largest: float) -> str:
    letter = "X" if molecule == "protein" else "N"
    fraction = residues.count(letter) / max(len(residues), 1)
    if fraction > largest:
        return (
            f"{fraction:.0%} of residues are {letter}, more than "
            f"check.max_unknown_fraction = {largest:g}"
        )
    return ""


def _ids_with_different_sequences(
    records: list[RawRecord], molecule: Molecule
) -> dict[str, str]:
    """Reasons to reject ids that name more than one sequence: no label can be trusted."""
    lines: dict[str, list[int]] = defaultdict(list)
    contents: dict[str, set[str]] = defaultdict(set)
    for record in records:
        lines[record.id].append(record.line)
        contents[record.id].add(canonical(record.raw, molecule)[0])
    return {
        key: f"id used for {len(contents[key])} different sequences (lines "
        f"{', '.join(map(str, lines[key]))}); an id ends at the first blank"
        for key in lines
        if len(contents[key]) > 1
    }


def _refuse_foreign_labels(
    rows: list[tuple[str, str, int]],
    unmatched: list[tuple[str, str, int]],
    records: list[RawRecord],
    labels: Path,
    fasta: Path,
) -> None:
    if rows and len(unmatched) == len(rows):
        raise InputError(
            f"{labels}: none of its {len(rows)} ids is in {fasta}; the first label is for "
            f"'{rows[0][0]}', the first record is '{records[0].id}'"
        )


def _refuse_three_line_format(records: list[RawRecord], fasta: Path) -> None:
    """Refuse id/sequence/annotation triples, which FASTA readers glue together."""
    if len(records) < 2 or any(record.lines != 2 for record in records):
        return
    halves = [(r.raw[: len(r.raw) // 2], r.raw[len(r.raw) // 2 :]) for r in records]
    if any(len(a) != len(b) for a, b in halves):
        return
    first = set().union(*(set(a) for a, _ in halves))
    second = set().union(*(set(b) for _, b in halves))
    if len(second) <= len(first) // 2:
        raise InputError(
            f"{fasta} has three lines a record (id, sequence, annotation), not FASTA: keep "
            "the first two lines of each record and put the annotation into a label table"
        )


def label_counts(records: pd.DataFrame) -> dict[str, int]:
    """Count records per label, multi-label records once per label, sorted by name."""
    counts: dict[str, int] = defaultdict(int)
    for cell in records["label"]:
        for label in split_labels(cell):
            counts[label] += 1
    return dict(sorted(counts.items()))
