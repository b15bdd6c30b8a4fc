"""Labels: from a table with an id column, or from FASTA headers by a rule."""

from __future__ import annotations

import csv
import re
from collections.abc import Container, Iterable, Sequence
from pathlib import Path

from omicsai.errors import InputError
from omicsai.sequences.fasta import RawRecord, read_lines

__all__ = ["header_labels", "join_labels", "read_labels", "split_labels"]

SEPARATOR = ";"
EXPECTED = "a table with columns id and label"
UNKNOWN = ("", "unknown", "NA")
CHECKED = {"label_conflict", "digest"}  # columns of the table that `check` writes


def split_labels(text: str) -> list[str]:
    """Split ``"a; b"`` into its labels, in order, without repeats or blanks."""
    parts = (part.strip() for part in text.split(SEPARATOR))
    return list(dict.fromkeys(part for part in parts if part))


def join_labels(labels: Iterable[str]) -> str:
    """Write several labels in one cell, sorted; the reverse of `split_labels`."""
    return SEPARATOR.join(sorted(labels))


def clean_label(text: str, unknown: Iterable[str] = UNKNOWN) -> str:
    """One normalised cell: known labels sorted and joined, empty if none is known."""
    without = set(unknown)
    return join_labels(label for label in split_labels(text) if label not in without)


def read_labels(
    path: Path | str, *, column: str = "label", unknown: Iterable[str] | None = None
) -> dict[str, str]:
    """Read a table of labels.

    Parameters
    ----------
    path
        TSV or CSV (told apart by the header line), plain or compressed, with the columns
        ``id`` and `column`; other columns are ignored.
    column
        Name of the label column.
    unknown
        Words that mean "label not known"; by default ``unknown`` and ``NA``, and none in
        the records.tsv of `check`, where every word left is a label.

    Returns
    -------
    dict of str to str
        Label by id; several labels joined by ``;``; empty where unknown.

    Raises
    ------
    InputError
        If the file, a column or a cell is missing, or an id appears twice with different
        labels.
    """
    rows = read_label_rows(path, column=column, unknown=unknown)
    return {key: label for key, label, _ in rows}


def read_label_rows(
    path: Path | str, *, column: str = "label", unknown: Iterable[str] | None = None
) -> list[tuple[str, str, int]]:
    """Read a label table as (id, label, line number), each id once; see `read_labels`."""
    path = Path(path)
    rows = _read_rows(path)
    header_line, header = rows[0]
    for needed in ("id", column):
        if needed not in header:
            raise InputError(
                f"{path}, line {header_line}: no column '{needed}' among "
                f"{', '.join(map(repr, header))}; name the label column with "
                "'check.label_column' (--label-column)"
            )
    if unknown is None:
        unknown = () if set(header) >= CHECKED else UNKNOWN
    id_at, label_at = header.index("id"), header.index(column)
    labels: dict[str, str] = {}
    seen: dict[str, int] = {}
    for line, row in rows[1:]:
        if len(row) != len(header):
            raise InputError(
                f"{path}, line {line}: {len(row)} columns where the header has "
                f"{len(header)}: check for missing or extra tabs and commas"
            )
        key, label = row[id_at].strip(), clean_label(row[label_at], unknown)
        if not key:
            raise InputError(f"{path}, line {line}: empty id; fill it in or delete the row")
        if key in labels and labels[key] != label:
            raise InputError(
                f"{path}, line {line}: id '{key}' has the label '{label}' here and "
                f"'{labels[key]}' on line {seen[key]}; keep one, or join them as "
                f"'{labels[key]};{label}' if both are true"
            )
        labels[key] = label
        seen.setdefault(key, line)
    return [(key, label, seen[key]) for key, label in labels.items()]


def _read_rows(path: Path) -> list[tuple[int, list[str]]]:
    numbered: list[tuple[int, str]] = []
    for number, content in read_lines(path, EXPECTED):
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError as error:
            raise InputError(
                f"{path}, line {number} is not UTF-8 text: save the file as UTF-8"
            ) from error
        if text.strip():
            numbered.append((number, text))
    if not numbered:
        raise InputError(f"{path} is empty: expected {EXPECTED}")
    if "\t" in numbered[0][1]:
        return [(number, text.split("\t")) for number, text in numbered]
    return [(number, next(csv.reader([text]))) for number, text in numbered]


def header_labels(
    records: Sequence[RawRecord], pattern: str, unknown: Iterable[str] = UNKNOWN
) -> list[str]:
    """Take labels out of FASTA headers.

    Parameters
    ----------
    records
        Parsed FASTA records.
    pattern
        Regular expression with a group named ``label``, searched in each header.
    unknown
        Words that mean "label not known".

    Returns
    -------
    list of str
        Label of each record; empty where the header does not match or the word is
        unknown.

    Raises
    ------
    InputError
        If the pattern is no regular expression, has no group ``label``, or matches no
        header at all.
    """
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise InputError(
            f"check.header_pattern {pattern!r} is not a regular expression: {error}"
        ) from error
    if "label" not in expression.groupindex:
        raise InputError(
            f"check.header_pattern {pattern!r} has no group named 'label': write for "
            "example '-(?P<label>[MSU])$'"
        )
    found = [expression.search(record.header) for record in records]
    if records and not any(found):
        raise InputError(
            f"check.header_pattern {pattern!r} matches none of {len(records)} headers; "
            f"the first is {records[0].header!r}"
        )
    return [clean_label(match["label"] or "", unknown) if match else "" for match in found]


def label_key(labels: Container[str], record_id: str) -> str | None:
    """Key a record goes by in a label table: its id, or its accession.

    The accession is the second field of ids such as ``sp|P12345|NAME``; None if the table
    has neither.
    """
    if record_id in labels:
        return record_id
    parts = record_id.split("|")
    return parts[1] if len(parts) >= 3 and parts[1] in labels else None
