"""Stockholm alignments in and out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from omicsai.errors import InputError
from omicsai.sequences.fasta import read_lines

__all__ = ["read_stockholm", "stockholm_text"]


def read_stockholm(path: Path | str) -> tuple[dict[str, str], dict[str, str]]:
    """Read the first alignment of a Stockholm file, interleaved or not.

    Returns
    -------
    rows : dict of str to str
        Aligned sequence by name.
    columns : dict of str to str
        Per-column annotation (``#=GC``) by tag, for example ``SS_cons``.

    Raises
    ------
    InputError
        If the file is not Stockholm or its rows differ in length.
    """
    rows: dict[str, str] = {}
    columns: dict[str, str] = {}
    lines = read_lines(path, "a Stockholm alignment")
    number, first = next(lines)
    if not first.startswith(b"# STOCKHOLM"):
        raise InputError(f"{path}, line {number}: expected '# STOCKHOLM 1.0'")
    for number, content in lines:
        text = content.decode("utf-8", errors="replace").rstrip()
        if text == "//":
            break
        words = text.split()
        if text.startswith("#=GC") and len(words) == 3:
            columns[words[1]] = columns.get(words[1], "") + words[2]
        elif text and not text.startswith("#"):
            if len(words) != 2:
                raise InputError(f"{path}, line {number}: expected a name and a row")
            rows[words[0]] = rows.get(words[0], "") + words[1]
    widths = {len(row) for row in [*rows.values(), *columns.values()]}
    if len(widths) != 1:
        raise InputError(f"{path}: rows have {len(widths)} different lengths, or none")
    return rows, columns


def stockholm_text(rows: Mapping[str, str], columns: Mapping[str, str]) -> str:
    """Write an alignment as Stockholm, one line a sequence.

    Parameters
    ----------
    rows
        Aligned sequence by name.
    columns
        Per-column annotation by tag.
    """
    names: Iterable[str] = [*rows, *(f"#=GC {tag}" for tag in columns)]
    width = max((len(name) for name in names), default=0) + 2
    lines = ["# STOCKHOLM 1.0", ""]
    lines += [f"{name:<{width}}{row}" for name, row in rows.items()]
    lines += [f"{f'#=GC {tag}':<{width}}{row}" for tag, row in columns.items()]
    return "\n".join([*lines, "//"]) + "\n"
