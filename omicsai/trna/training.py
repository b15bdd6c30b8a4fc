"""Parameters of the numbering model, from a seed alignment.

``python -m omicsai.trna.training RF00005.sto`` makes ``data/numbering.json`` again. The
alignment's consensus columns are canonical positions; what lies between them is counted as
loop lengths. Rows whose G18 G19, G53, C56 or C61 are elsewhere are left out at first,
because their D loop is aligned to the wrong columns as often as not. The model then numbers
every row, and is estimated again from those it reads without doubt.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omicsai.errors import InputError
from omicsai.tables import file_digest, write_json
from omicsai.trna.cloverleaf import as_model, segment
from omicsai.trna.numbering import number_sequences
from omicsai.trna.positions import INDEX, STEM_PAIRS
from omicsai.trna.stockholm import read_stockholm

__all__ = ["consensus_columns", "train_numbering"]

# positions that most tRNAs have: 17, 17a, 20a, 20b, 47 and the arm are insertions to them
CONSENSUS: tuple[str, ...] = tuple(str(k) for k in range(1, 74) if k not in (17, 47))
CANONICAL = {"18": "G", "19": "G", "53": "G", "56": "C", "61": "C"}
ALIKE = 0.8  # identity at which two rows of the seed share their weight
DAMAGE = 0.02  # share of positions taken to be arbitrary: pseudogenes, wrong reads
OPTIONAL = ("17", "17a", "20a", "20b", "47")
ROUNDS, SURE_SCORE, SURE_POSTERIOR = 2, 20.0, 0.9
BLUR = 0.01  # share of a length's count lent to each neighbouring length
NUCLEOTIDES = "ACGU"
# loop or linker: the last position before it, the first one after it, shortest, longest
SPANS = {
    "linker": ("7", "10", 1, 3),
    "alpha": ("15", "18", 0, 5),
    "beta": ("19", "21", 0, 6),
    "hinge": ("25", "27", 0, 2),
    "anticodon_loop": ("31", "39", 6, 8),
    "variable": ("43", "49", 0, 40),
    "t_loop": ("53", "61", 6, 8),
}


def consensus_columns(rows: Sequence[str]) -> list[int]:
    """Columns that at least half of the rows fill.

    Raises
    ------
    InputError
        If they are not the 71 of a tRNA alignment.
    """
    columns = [
        i
        for i in range(len(rows[0]))
        if 2 * sum(row[i] not in ".-" for row in rows) >= len(rows)
    ]
    if len(columns) != len(CONSENSUS):
        raise InputError(
            f"the alignment has {len(columns)} consensus columns where RF00005 has "
            f"{len(CONSENSUS)}: use the Rfam seed of tRNA"
        )
    return columns


def train_numbering(rows: Sequence[str]) -> dict[str, Any]:
    """Estimate the model.

    Parameters
    ----------
    rows
        Aligned sequences of the seed; gaps are ``.`` or ``-``.

    Returns
    -------
    dict
        ``base`` (log-odds in nats of A, C, G, U by position), ``pair`` (16 log-odds of a
        stem pair against two independent bases, row = 5' base) and ``length`` (log
        probabilities of each span).
    """
    rows = [row.upper().replace("T", "U") for row in rows]
    place = dict(zip(CONSENSUS, consensus_columns(rows), strict=True))
    kept = [
        row
        for row in rows
        if all(row[place[label]] == base for label, base in CANONICAL.items())
    ]
    coded = np.array([[NUCLEOTIDES.find(c) for c in row] for row in kept])
    bases = {label: coded[:, place[label]] for label in CONSENSUS}
    lengths = {
        name: (coded[:, place[before] + 1 : place[after]] >= 0).sum(axis=1)
        for name, (before, after, _, _) in SPANS.items()
    }
    background = np.array([(coded == k).sum() for k in range(4)], dtype=float)
    background /= background.sum()
    parameters = _estimate(bases, lengths, background)
    sequences = [row.replace(".", "").replace("-", "") for row in rows]
    for _ in range(ROUNDS):
        found = segment(sequences, as_model(parameters))
        sure = (found.score >= SURE_SCORE) & (found.posterior >= SURE_POSTERIOR)
        numbered = number_sequences(
            [sequences[i] for i in np.flatnonzero(sure)], model=as_model(parameters)
        )
        matrix = np.where(numbered.matrix < 4, numbered.matrix, -1)
        bases = {label: matrix[:, INDEX[label]] for label in (*CONSENSUS, *OPTIONAL)}
        lengths = {name: getattr(found, name)[sure] for name in SPANS}
        parameters = _estimate(bases, lengths, background)
    return {
        "rows": len(rows),
        "canonical_rows": len(kept),
        "sure_rows": int(sure.sum()),
        "background": _rounded(background),
        **parameters,
    }


def _estimate(
    bases: dict[str, NDArray], lengths: dict[str, NDArray], background: NDArray
) -> dict[str, Any]:
    weights = _weights(np.column_stack([bases[label] for label in CONSENSUS]))
    base = {
        label: _log_odds(_counts(codes, 4, weights), background)
        for label, codes in bases.items()
    }
    pair = {}
    for first, second in STEM_PAIRS:
        x, y = bases[first], bases[second]
        joint = np.where((x >= 0) & (y >= 0), 4 * x + y, -1)
        independent = np.outer(background, background).ravel()
        pair[f"{first}:{second}"] = _log_odds(_counts(joint, 16, weights), independent)
    return {
        "base": {k: _rounded(v) for k, v in base.items()},
        "pair": {k: _rounded(v) for k, v in pair.items()},
        "length": {
            name: {
                "shortest": low,
                "log_probability": _rounded(
                    _length_log_probabilities(lengths[name], low, high, weights)
                ),
            }
            for name, (_, _, low, high) in SPANS.items()
        },
    }


def _weights(matched: NDArray[np.int64]) -> NDArray[np.float64]:
    """One vote for each group of rows that are alike."""
    alike = np.array([((matched == row).mean(axis=1) >= ALIKE).sum() for row in matched])
    return np.divide(1.0, alike, dtype=np.float64)


def _counts(codes: NDArray, size: int, weights: NDArray) -> NDArray[np.float64]:
    seen = codes >= 0
    return np.bincount(codes[seen], weights[seen], minlength=size).astype(np.float64)


def _log_odds(counts: NDArray, background: NDArray) -> NDArray[np.float64]:
    estimate = (counts + background) / (counts.sum() + 1.0)
    return np.log(((1 - DAMAGE) * estimate + DAMAGE * background) / background)


def _length_log_probabilities(
    lengths: NDArray, low: int, high: int, weights: NDArray
) -> NDArray[np.float64]:
    """Log probabilities of low..high bases, each smoothed by its neighbours."""
    counts = _counts(np.clip(lengths - low, 0, high - low), high - low + 1, weights)
    blurred = np.convolve(counts, [BLUR, 1 - 2 * BLUR, BLUR], mode="same") + BLUR
    return np.log(blurred / blurred.sum())


def _rounded(values: NDArray) -> list[float]:
    return [round(float(value), 4) for value in values]


def main(seed: Path) -> None:
    """Train on a seed alignment and write the file that the package ships."""
    rows, _ = read_stockholm(seed)
    model = {"seed_sha256": file_digest(seed), **train_numbering(list(rows.values()))}
    write_json(Path(__file__).parent / "data" / "numbering.json", model)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
