"""Tables of numbered tRNAs, and what later stages read of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from omicsai.errors import InputError
from omicsai.tables import Column, Table
from omicsai.trna.bases import ALPHABET, PARTNERS, formed_positions
from omicsai.trna.judging import TRNA_RECORDS
from omicsai.trna.labelling import LEADER, OUTSIDE, TRAILER
from omicsai.trna.numbering import Numbered, classes_of_records
from omicsai.trna.positions import LABELS, REGIONS

__all__ = [
    "MATRIX",
    "NUMBERING",
    "Collection",
    "matrix_table",
    "numbering_table",
    "read_collection",
    "read_matrix",
]

NUMBERING = Table(
    "numbering",
    (
        Column("id", "text", "tRNA id"),
        Column("index", "integer", "position in the sequence as given, from 1"),
        Column("base", "text", "nucleotide"),
        Column(
            "label", "text",
            "canonical position; 'Xik' is the k-th base inserted after X; empty in "
            "leader, intron and trailer",
        ),
        Column("region", "text", "part of the cloverleaf, or leader, intron, trailer"),
        Column("pair", "text", "label it pairs with (Watson-Crick or G-U), empty if none"),
    ),
)  # fmt: skip
MATRIX = Table(
    "matrix",
    (
        Column("id", "text", "tRNA id"),
        *(Column(label, "text", f"base at {label}, '-' if none") for label in LABELS),
    ),
)


def matrix_table(numbered: Numbered) -> pd.DataFrame:
    """Return the wide `MATRIX` table of every record that has labels."""
    kept = numbered.usable("ok", "low", "unsupported")
    letters = np.array(list(ALPHABET), dtype=object)[numbered.matrix[kept]]
    frame = pd.DataFrame(letters, columns=list(LABELS))
    frame.insert(0, "id", np.array(numbered.ids, dtype=object)[kept])
    return MATRIX.frame(frame)


def read_matrix(path: Path | str) -> tuple[list[str], NDArray[np.int8]]:
    """Read ``matrix.tsv``: ids, and base codes (n, 99)."""
    frame = MATRIX.read(path)
    codes = {letter: code for code, letter in enumerate(ALPHABET)}
    values = frame[list(LABELS)].to_numpy()
    wrong = sorted(set(values.ravel()) - set(codes))
    if wrong:
        raise InputError(f"{path}: {wrong[0]!r} is no base: expected one of {ALPHABET}")
    matrix = np.vectorize(codes.__getitem__, otypes=[np.int8])(values)
    return frame["id"].tolist(), matrix.reshape(len(frame), len(LABELS))


def numbering_table(numbered: Numbered) -> pd.DataFrame:
    """Return the long `NUMBERING` table, one row a base, of what has labels."""
    row, column = np.nonzero(numbered.position != OUTSIDE)
    position = numbered.position[row, column]
    insertion = numbered.insertion[row, column]
    letters = np.array([c for r in np.unique(row) for c in numbered.sequences[r]], object)
    names = np.array([*LABELS], dtype=object)
    label = np.where(position >= 0, names[np.maximum(position, 0)], "").astype(object)
    extra = np.flatnonzero(insertion > 0)
    label[extra] = [f"{label[i]}i{insertion[i]}" for i in extra]
    regions = np.array([REGIONS[name] for name in LABELS], dtype=object)
    region = np.where(position >= 0, regions[np.maximum(position, 0)], "").astype(object)
    region[position == LEADER] = "leader"
    region[position == TRAILER] = "trailer"
    for r, told in enumerate(numbered.records["intron"]):
        for first, last in re.findall(r"(\d+)-(\d+)", told):
            inside = (column + 1 >= int(first)) & (column < int(last))
            region[(row == r) & inside] = "intron"
    partner = np.array([PARTNERS.get(name, "") for name in LABELS], dtype=object)
    formed = formed_positions(numbered.matrix)
    inside = (position >= 0) & (insertion == 0)
    pair = np.where(
        inside & formed[row, np.maximum(position, 0)], partner[np.maximum(position, 0)], ""
    )
    return NUMBERING.frame(
        {
            "id": np.array(numbered.ids, dtype=object)[row],
            "index": column + 1,
            "base": letters,
            "label": label,
            "region": region,
            "pair": pair,
        }
    )


@dataclass(frozen=True)
class Collection:
    """What later stages read of a folder that ``omicsai number`` wrote.

    Attributes
    ----------
    ids
        (n,) tRNAs with status ok or low, in the order of the table.
    matrix
        (n, 99) base codes.
    classes
        (n,) amino acid: by the stated isotype, else by the anticodon; empty if neither.
    records
        Their rows of the `TRNA_RECORDS` table.
    """

    ids: list[str]
    matrix: NDArray[np.int8]
    classes: list[str]
    records: pd.DataFrame


def read_collection(folder: Path | str) -> Collection:
    """Read the tRNAs that a folder of ``omicsai number`` holds.

    Raises
    ------
    InputError
        If a table is missing, an id is usable twice, or no tRNA has the status ok or low.
    """
    folder = Path(folder)
    ids, matrix = read_matrix(folder / "matrix.tsv")
    records = TRNA_RECORDS.read(folder / "records.tsv")
    kept = records[records["status"].isin(["ok", "low"])]
    repeated = kept.loc[kept["id"].duplicated(), "id"]
    if len(repeated):
        raise InputError(
            f"{folder / 'records.tsv'}: '{repeated.iloc[0]}' is usable twice: number again"
        )
    row = {key: i for i, key in enumerate(ids)}
    kept = kept[kept["id"].isin(row.keys())].reset_index(drop=True)
    if kept.empty:
        raise InputError(
            f"{folder} has no usable tRNA: see the reasons in {folder / 'records.tsv'}"
        )
    return Collection(
        kept["id"].tolist(),
        matrix[[row[key] for key in kept["id"]]],
        classes_of_records(kept),
        kept,
    )
