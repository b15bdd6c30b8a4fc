"""Identity elements from the literature, checked against the host's own tRNA genes."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from omicsai.errors import InputError
from omicsai.tables import Column, Table
from omicsai.trna.bases import ALPHABET, GAP
from omicsai.trna.isotypes import AMINO_ACIDS
from omicsai.trna.positions import INDEX

__all__ = ["IDENTITY", "SUPPORT", "check_identity", "identity_positions", "read_identity"]

VARIABLE_ARM = "variable"
LONG_ARM = 5  # bases: a variable loop of ten and more
IDENTITY = Table(
    "identity",
    (
        Column("organism", "text", "whose synthetases recognise the element"),
        Column("isotype", "text", "amino acid"),
        Column("position", "text", "canonical position, or 'variable' for the arm"),
        Column("bases", "text", "bases allowed there ('-': none), or 'long' for an arm"),
        Column("class", "text", "determinant, minor or antideterminant"),
        Column("source", "text", "where the claim was read"),
    ),
)
SUPPORT = Table(
    "identity_support",
    (
        *IDENTITY.columns,
        Column("genes", "integer", "unique tRNAs of the isotype in the host (n)"),
        Column("supporting", "integer", "of those, tRNAs that have the element (k)"),
        Column("support", "number", "k / n, empty without tRNAs"),
        Column("others", "number", "share of the host's other tRNAs that have it too"),
        Column("verdict", "text", "supported, contradicted or unchecked"),
        Column("used", "boolean", "whether scores use it"),
    ),
)


def read_identity(
    organism: str | None = None, path: Path | str | None = None
) -> pd.DataFrame:
    """Read identity elements.

    Parameters
    ----------
    organism
        Keep those of one organism; all if None.
    path
        A table with the columns of `IDENTITY`; the shipped one if None.

    Returns
    -------
    pandas.DataFrame
        The `IDENTITY` table.

    Raises
    ------
    InputError
        If the organism is not in the table, or a position, base or isotype is unknown.
    """
    if path is None:
        with resources.as_file(
            resources.files("omicsai.trna").joinpath("data/identity.tsv")
        ) as file:
            table = IDENTITY.read(file)
        path = "the shipped identity table"
    else:
        table = IDENTITY.read(path)
    for number, row in enumerate(table.itertuples(index=False), start=2):
        where = f"{path}, line {number}"
        if row.isotype not in AMINO_ACIDS:
            raise InputError(f"{where}: '{row.isotype}' is no amino acid (Ala, Arg, ...)")
        if row.position == VARIABLE_ARM:
            wrong = row.bases != "long"
        else:
            wrong = row.position not in INDEX or not set(row.bases) <= set("ACGU-")
        if wrong or not row.bases:
            raise InputError(
                f"{where}: position '{row.position}' with bases '{row.bases}' is not "
                "understood: give a canonical position and letters of ACGU-, or "
                "'variable' and 'long'"
            )
    if organism is None:
        return table
    kept = table[table["organism"] == organism].reset_index(drop=True)
    if kept.empty:
        raise InputError(
            f"{path} has no elements for '{organism}'; it has "
            f"{', '.join(sorted(set(table['organism'])))}"
        )
    return kept


def check_identity(
    table: pd.DataFrame,
    matrix: NDArray[np.int8],
    classes: list[str],
    *,
    min_support: float = 0.75,
) -> pd.DataFrame:
    """Count, for every claim, the host's tRNAs that agree.

    Parameters
    ----------
    table
        `IDENTITY` rows.
    matrix
        (n, 99) base codes of the host's tRNAs; identical rows of a class count once.
    classes
        (n,) amino acid of each; empty where unknown.
    min_support
        Claims with less than this share of supporting tRNAs are contradicted. Claims
        without a tRNA to check them stay unchecked. Neither is used.

    Returns
    -------
    pandas.DataFrame
        The `SUPPORT` table.
    """
    labelled = np.array(classes, dtype=object)
    unique = pd.DataFrame(matrix).assign(c=labelled).drop_duplicates().index.to_numpy()
    matrix, labelled = matrix[unique], labelled[unique]
    rows = []
    for claim in table.to_dict("records"):
        mine = labelled == claim["isotype"]
        others = (labelled != claim["isotype"]) & (labelled != "")
        has = _has_element(matrix, claim["position"], claim["bases"])
        n, k = int(mine.sum()), int((has & mine).sum())
        if n == 0:
            verdict = "unchecked"
        else:
            verdict = "supported" if k / n >= min_support else "contradicted"
        rows.append(
            {
                **claim,
                "genes": n,
                "supporting": k,
                "support": k / n if n else np.nan,
                "others": float(has[others].mean()) if others.any() else np.nan,
                "verdict": verdict,
                "used": verdict == "supported",
            }
        )
    return SUPPORT.frame(pd.DataFrame(rows, columns=SUPPORT.names))


def _has_element(matrix: NDArray[np.int8], position: str, bases: str) -> NDArray[np.bool_]:
    if position == VARIABLE_ARM:
        arm = [INDEX[p] for p in INDEX if p.startswith("e")]
        return (matrix[:, arm] < GAP).sum(axis=1) >= LONG_ARM
    codes = [ALPHABET.index(base) for base in bases]
    return np.isin(matrix[:, INDEX[position]], codes)


def identity_positions(support: pd.DataFrame) -> dict[str, list[str]]:
    """Positions of the used elements of each isotype, in canonical order.

    Parameters
    ----------
    support
        The `SUPPORT` table.
    """
    used = support[support["used"].astype(bool) & (support["position"] != VARIABLE_ARM)]
    used = used[used["class"] != "antideterminant"]
    return {
        str(isotype): sorted(set(rows["position"]), key=INDEX.__getitem__)
        for isotype, rows in used.groupby("isotype")
    }
