"""The batch table: which FASTA files there are and what is to be done with them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from omicsai.errors import ConfigError

__all__ = [
    "COLUMNS",
    "HEADER_LABELS",
    "OPTIONAL",
    "Batch",
    "batches_schema",
    "read_batches",
]

HEADER_LABELS = "header"
NAME = r"^[A-Za-z0-9][A-Za-z0-9_]*$"
COLUMNS: dict[str, dict] = {
    "batch": {
        "description": "name of the batch: letters, digits and '_'; used as folder name",
        "type": "string",
        "pattern": NAME,
    },
    "role": {
        "description": "train: learn from it; predict: predict its labels; both: do both",
        "type": "string",
        "enum": ["train", "predict", "both"],
    },
    "molecule": {
        "description": "what the sequences are",
        "type": "string",
        "enum": ["protein", "trna"],
    },
    "fasta": {
        "description": "FASTA file, plain, .gz or .xz",
        "type": "string",
        "minLength": 1,
    },
    "labels": {
        "description": "table with the columns id and label; the word 'header' to take "
        "labels from the FASTA headers (check.header_pattern); empty for none",
        "type": "string",
    },
    "organism": {
        "description": "of tRNAs: whose identity table the batch is checked against, if "
        "not that of identity.organism; the column may be left out",
        "type": "string",
    },
}
OPTIONAL = ("organism",)


@dataclass(frozen=True)
class Batch:
    """One row of the batch table."""

    name: str
    role: str
    molecule: str
    fasta: str
    labels: str
    organism: str = ""

    @property
    def trains(self) -> bool:
        """Whether the batch is learned from."""
        return self.role in ("train", "both")

    @property
    def predicts(self) -> bool:
        """Whether labels of the batch are predicted."""
        return self.role in ("predict", "both")


def read_batches(
    path: Path | str,
    *,
    generated: Collection[str] = (),
    organisms: Callable[[], Collection[str]] | None = None,
) -> dict[str, Batch]:
    """Read and check the batch table.

    Parameters
    ----------
    path
        Tab-separated table with the columns of `COLUMNS`; further columns are ignored,
        lines that start with ``#`` too.
    generated
        Files that the workflow makes itself and that need not exist yet.
    organisms
        Those there is an identity table for; asked only if a batch names one.

    Returns
    -------
    dict of str to Batch
        By name, in file order.

    Raises
    ------
    ConfigError
        Once, with every problem: line, column, value and the likely intention.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(
            f"{path} does not exist (looked in {Path.cwd()}): 'batches' in the "
            "configuration names the table of batches"
        )
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path} is not UTF-8 text: save it as UTF-8 ({error})"
        ) from error
    lines = [
        (number, line)
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip() and not line.startswith("#")
    ]
    if len(lines) < 2:
        raise ConfigError(f"{path} lists no batch: add a row under the header line")
    header = [cell.strip() for cell in lines[0][1].split("\t")]
    problems = _header_problems(header, lines[0])
    batches: dict[str, Batch] = {}
    if not problems:
        first_line: dict[str, int] = {}
        for number, line in lines[1:]:
            cells = [cell.strip() for cell in line.split("\t")]
            if len(cells) > len(header):
                problems.append(
                    f"line {number}: {len(cells)} cells where the header has "
                    f"{len(header)}: check for extra tabs"
                )
                continue
            cells += [""] * (len(header) - len(cells))
            row = dict.fromkeys(OPTIONAL, "") | dict(zip(header, cells, strict=False))
            problems += [
                f"line {number}, column '{column}': {problem}"
                for column, problem in [
                    *_row_problems(row, generated),
                    *_organism_problems(row, organisms),
                ]
            ]
            if row["batch"] in first_line:
                problems.append(
                    f"line {number}, column 'batch': '{row['batch']}' is already used on "
                    f"line {first_line[row['batch']]}"
                )
            first_line.setdefault(row["batch"], number)
            batches[row["batch"]] = Batch(*(row[column] for column in COLUMNS))
    if problems:
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        raise ConfigError(f"{path} has {count}:\n  " + "\n  ".join(problems))
    return batches


def _header_problems(header: list[str], line: tuple[int, str]) -> list[str]:
    number, text = line
    if len(header) == 1 and "," in text:
        return [f"line {number}: columns are separated by commas; use tabs"]
    problems = []
    for column in COLUMNS:
        if column not in header:
            others = [name for name in header if name not in COLUMNS]
            likeness = 0.8 if column in OPTIONAL else 0.6  # an optional one is not missed
            close = difflib.get_close_matches(column, others, n=1, cutoff=likeness)
            if column in OPTIONAL and not close:
                continue
            hint = f": is '{close[0]}' meant?" if close else f" among {', '.join(header)}"
            problems.append(f"line {number}: column '{column}' is missing{hint}")
    return problems


def _organism_problems(
    row: dict[str, str], organisms: Callable[[], Collection[str]] | None
) -> list[tuple[str, str]]:
    told = row["organism"]
    if told and row["molecule"] != "trna":
        return [("organism", f"{told!r} has no effect: only trna batches have one")]
    if not told or organisms is None or told in (known := sorted(organisms())):
        return []
    close = difflib.get_close_matches(told, known, n=1, cutoff=0.5)
    hint = f". Did you mean '{close[0]}'?" if close else ""
    return [("organism", f"{told!r} is not one of {', '.join(known)}{hint}")]


def _row_problems(row: dict[str, str], generated: Collection[str]) -> list[tuple[str, str]]:
    problems = []
    for column, rule in COLUMNS.items():
        value = row[column]
        if "enum" in rule and value not in rule["enum"]:
            close = difflib.get_close_matches(value, rule["enum"], n=1, cutoff=0.5)
            hint = f". Did you mean '{close[0]}'?" if close else ""
            problems.append(
                (column, f"{value!r} is not one of {', '.join(rule['enum'])}{hint}")
            )
    if not re.match(NAME, row["batch"]):
        fixed = re.sub(r"\W", "_", row["batch"], flags=re.ASCII).strip("_") or "batch1"
        problems.append(
            ("batch", f"{row['batch']!r} is not letters, digits and '_' only. "
             f"Did you mean '{fixed}'?")
        )  # fmt: skip
    for column in ("fasta", "labels"):
        value = row[column]
        if column == "fasta" and not value:
            problems.append((column, "empty: name the FASTA file"))
        elif value and value != HEADER_LABELS and value not in generated:
            problems += [(column, p) for p in _file_problem(value)]
    return problems


def _file_problem(value: str) -> list[str]:
    file = Path(value)
    if file.is_file():
        return []
    if file.is_dir():
        return [f"{value} is a folder, not a file"]
    names = [p.name for p in file.parent.iterdir()] if file.parent.is_dir() else []
    close = difflib.get_close_matches(file.name, names, n=1)
    hint = f". Did you mean '{file.parent / close[0]}'?" if close else ""
    return [f"{value} does not exist (looked in {Path.cwd()}){hint}"]


def batches_schema() -> dict:
    """JSON schema of one row, for editors and documentation."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "omicsai batch table",
        "description": "One row of config/batches.tsv",
        "type": "object",
        "properties": COLUMNS,
        "required": [column for column in COLUMNS if column not in OPTIONAL],
    }
