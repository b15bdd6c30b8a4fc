"""Tables whose columns, types and meaning are declared once.

On disk a table is tab-separated UTF-8 with a header line. Missing is empty, booleans are
``true`` and ``false``, numbers carry six significant digits.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from omicsai.errors import InputError
from omicsai.tables.files import write_text

__all__ = ["Column", "Table"]

Kind = Literal["text", "integer", "number", "boolean"]
PANDAS_TYPES = {
    "text": "object",
    "integer": "Int64",
    "number": "float64",
    "boolean": "boolean",
}
CELL_BREAKS = frozenset("\t\n\r")


@dataclass(frozen=True)
class Column:
    """One column of a table: its name, type, meaning, and whether it may be absent."""

    name: str
    kind: Kind
    meaning: str
    optional: bool = False


@dataclass(frozen=True)
class Table:
    """The contract of a table: a name and its columns in order."""

    name: str
    columns: tuple[Column, ...]

    def frame(self, data: dict | list | pd.DataFrame | None = None) -> pd.DataFrame:
        """Give `data` the declared columns, order and types.

        Parameters
        ----------
        data
            Mapping of column name to values, list of row mappings, or a frame. An empty
            list gives an empty table.

        Returns
        -------
        pandas.DataFrame
            Exactly the declared columns (less the optional ones that are absent).

        Raises
        ------
        InputError
            If a column is missing, unknown, or holds values of another type.
        """
        raw = pd.DataFrame(data if data is not None else [])
        if raw.empty and not len(raw.columns):
            raw = pd.DataFrame(columns=[c.name for c in self.columns if not c.optional])
        unknown = [name for name in raw.columns if name not in self.names]
        missing = [c.name for c in self.columns if c.name not in raw and not c.optional]
        if unknown or missing:
            raise InputError(
                f"{self.name} table: missing columns {missing}, unknown columns {unknown}"
            )
        kept = [c for c in self.columns if c.name in raw]
        return pd.DataFrame({c.name: self._cast(raw[c.name], c) for c in kept})

    @property
    def names(self) -> list[str]:
        """Names of all declared columns."""
        return [column.name for column in self.columns]

    def _cast(self, values: pd.Series, column: Column) -> pd.Series:
        try:
            if column.kind == "text":
                text = values.astype("object")
                return text.where(text.notna(), "").map(str).astype("object")
            return values.astype(PANDAS_TYPES[column.kind])
        except (TypeError, ValueError) as error:
            raise InputError(
                f"{self.name} table, column '{column.name}': values are not "
                f"{column.kind} ({error})"
            ) from error

    def write(self, data: dict | list | pd.DataFrame, path: Path | str) -> None:
        """Write the table to `path` as TSV, atomically and with the same bytes each time.

        Raises
        ------
        InputError
            If `data` breaks the schema.
        """
        frame = self.frame(data)
        cells = [_as_text(frame[name]) for name in frame]
        rows = ["\t".join(row) for row in zip(*cells, strict=True)]
        write_text(path, "\n".join(["\t".join(frame.columns), *rows]) + "\n")

    def read(self, path: Path | str) -> pd.DataFrame:
        """Read a table written by `write` (or by hand, with at least these columns).

        Returns
        -------
        pandas.DataFrame
            The declared columns; columns that the schema does not know are left out.

        Raises
        ------
        InputError
            If the file is missing, lacks a column, or holds a value of another type.
        """
        path = Path(path)
        raw = _read_cells(path)
        missing = [
            c.name for c in self.columns if c.name not in raw.columns and not c.optional
        ]
        if missing:
            raise InputError(
                f"{path}: column{'s' if len(missing) > 1 else ''} "
                f"{', '.join(repr(name) for name in missing)} missing; "
                f"the {self.name} table needs {', '.join(self.names)}"
            )
        parsed = {
            c.name: _from_text(raw[c.name], c, path)
            for c in self.columns
            if c.name in raw.columns
        }
        return pd.DataFrame(parsed)


def _read_cells(path: Path) -> pd.DataFrame:
    """Read a tab-separated file as text."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist: run the stage that makes it") from error
    except IsADirectoryError as error:
        raise InputError(f"{path} is a folder, not a table") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a tab-separated table: {error}") from error
    rows = [line.removesuffix("\r").split("\t") for line in text.split("\n")]
    if rows[-1] == [""]:
        rows.pop()
    if not rows:
        raise InputError(f"{path} is not a tab-separated table: it is empty")
    width = len(rows[0])
    for number, row in enumerate(rows, start=1):
        if len(row) != width:
            raise InputError(
                f"{path} is not a tab-separated table: line {number} has {len(row)} cells "
                f"where the header has {width}"
            )
    return pd.DataFrame(rows[1:], columns=rows[0], dtype="object")


def _as_text(values: pd.Series) -> list[str]:
    if isinstance(values.dtype, pd.BooleanDtype):
        return ["" if pd.isna(x) else str(bool(x)).lower() for x in values]
    if values.dtype.kind == "f":
        return ["" if np.isnan(x) else f"{x:.6g}" for x in values]
    if values.dtype == object:
        return [" ".join(x.split()) if CELL_BREAKS & set(x) else x for x in values]
    return ["" if pd.isna(x) else str(x) for x in values]


def _from_text(values: pd.Series, column: Column, path: Path) -> pd.Series:
    if column.kind == "text":
        return values.astype("object")
    filled = values.where(values != "", other=None)
    try:
        if column.kind == "boolean":
            known = {"true": True, "false": False}
            wrong = [v for v in filled.dropna() if v not in known]
            if wrong:
                raise ValueError(f"{wrong[0]!r} is neither true nor false")
            return filled.map(known).astype("boolean")
        numbers = pd.to_numeric(filled)
        return numbers.astype(PANDAS_TYPES[column.kind])
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{path}, column '{column.name}': expected {column.kind}s ({error})"
        ) from error
