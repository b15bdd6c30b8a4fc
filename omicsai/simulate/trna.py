"""The tRNA batch of the example: host genes and candidates with known truth.

Bodies are drawn from the numbering model (base and pair preferences of real tRNAs), some
ancestors for each isotype; the host's identity elements are then set as the shipped table
says, and copies diverge from their ancestor elsewhere. Everything is simulated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from omicsai.simulate.files import TRNA_FILES
from omicsai.tables import Column, Table, write_text
from omicsai.trna import AMINO_ACIDS, STEM_PAIRS, read_identity
from omicsai.trna.cloverleaf import load_model
from omicsai.trna.isotypes import CODE, COMPLEMENT, ONE_LETTER

__all__ = ["TRNA_TRUTH", "SimulatedTrnas", "simulate_trnas", "write_trnas"]

LABELS = Table(
    "labels",
    (
        Column("id", "text", "tRNA id"),
        Column("label", "text", "given isotype, wrong where the truth says so"),
    ),
)
ORGANISM = "Escherichia coli"
TRNA_TRUTH = Table(
    "trna_truth",
    (
        Column("id", "text", "tRNA id"),
        Column("true_isotype", "text", "amino acid whose elements it carries, or empty"),
        Column("given_isotype", "text", "label in the table"),
        Column("mislabelled", "boolean", "a wrong label was planted"),
        Column("orthogonal", "boolean", "its identity elements were scrambled"),
        Column("anticodon", "text", "bases 34-36"),
        Column("positions", "text", "canonical position of each base, blank-separated"),
    ),
)
LONG_ARM = ("Leu", "Ser", "Tyr")
BASES = "ACGU"
WATSON_CRICK = {"A": "U", "C": "G", "G": "C", "U": "A"}
INVARIANT = {
    "8": "U", "14": "A", "18": "G", "19": "G", "21": "A", "33": "U", "53": "G", "54": "U",
    "55": "U", "56": "C", "58": "A", "61": "C",
}  # fmt: skip
FREE_CHANGE = 0.12  # chance that a copy changes at a position without an element
PAIRED = {p: q for a, b in STEM_PAIRS for p, q in ((a, b), (b, a))}


@dataclass(frozen=True)
class SimulatedTrnas:
    """Names and sequences as a user would have them, labels, and the truth."""

    sequences: dict[str, str]
    labels: dict[str, str]
    truth: pd.DataFrame


def simulate_trnas(
    *,
    families: int = 5,
    copies: int = 3,
    orthogonal: int = 15,
    mislabelled_fraction: float = 0.1,
    seed: int = 1,
) -> SimulatedTrnas:
    """Simulate a host's tRNAs and orthogonal candidates.

    Parameters
    ----------
    families
        Independent ancestors of each of the 20 isotypes; they share its elements alone.
    copies
        Diverged copies of each ancestor.
    orthogonal
        tRNAs whose identity elements are replaced by bases that no element allows.
    mislabelled_fraction
        Share of host labels replaced by another amino acid.
    seed
        Seed of everything.

    Returns
    -------
    SimulatedTrnas
        The same for the same arguments.
    """
    rng = np.random.default_rng(seed)
    table = read_identity(ORGANISM)
    elements = {
        name: {
            row.position: row.bases
            for row in table[table["isotype"] == name].itertuples()
            if row.position not in ("variable", "-1") and row.bases not in ("-", "long")
        }
        for name in AMINO_ACIDS
    }
    sequences, labels, rows = {}, {}, []
    made = []
    for name in AMINO_ACIDS:
        for _ in range(families):
            made += [(name, _ancestor(rng, name, elements[name]), False)] * copies
    for _ in range(orthogonal):
        name = str(rng.choice(AMINO_ACIDS))
        made.append((name, _ancestor(rng, name, elements[name]), True))
    for number, (name, ancestor, scrambled) in enumerate(made, start=1):
        key = f"SIMT{number:03d}"
        fixed = dict(elements[name])
        body = _copy(rng, ancestor, fixed)
        if scrambled:
            _scramble(rng, body, fixed)
        given, wrong = name, False
        if not scrambled and rng.random() < mislabelled_fraction:
            given = str(rng.choice([a for a in AMINO_ACIDS if a != name]))
            wrong = True
        sequence = "".join(body.values()) + "CCA"
        sequences[key] = _as_written(rng, sequence)
        labels[key] = "" if scrambled else given
        rows.append(
            {
                "id": key,
                "true_isotype": "" if scrambled else name,
                "given_isotype": labels[key],
                "mislabelled": wrong,
                "orthogonal": scrambled,
                "anticodon": "".join(body[p] for p in ("34", "35", "36")),
                "positions": " ".join([*body, "74", "75", "76"]),
            }
        )
    return SimulatedTrnas(sequences, labels, TRNA_TRUTH.frame(rows))


def write_trnas(data: SimulatedTrnas, folder: Path | str) -> None:
    """Write the tRNAs as a user would have them, with a record no tool should number."""
    folder = Path(folder)
    text = "".join(f">{key} simulated\n{s}\n" for key, s in data.sequences.items())
    armless = next(iter(data.sequences.values()))
    text += f">SIMTARMLESS without its D arm\n{armless[:9]}{armless[26:]}\n"
    write_text(folder / TRNA_FILES["trnas"], text)
    LABELS.write(
        [{"id": key, "label": label} for key, label in data.labels.items()],
        folder / TRNA_FILES["trna_labels"],
    )
    TRNA_TRUTH.write(data.truth, folder / TRNA_FILES["trna_truth"])


def _positions(name: str) -> list[str]:
    loop = ["16", "17"], ["20"] if name not in LONG_ARM else ["20", "20a"]
    variable = [str(k) for k in range(44, 49)]
    if name in LONG_ARM:
        arm = [*(f"e1{k}" for k in range(1, 5)), "e1", "e2", "e3", "e4"]
        variable[2:2] = [*arm, *(f"e2{k}" for k in range(4, 0, -1))]
    return [
        *map(str, range(1, 16)), *loop[0], "18", "19", *loop[1],
        *map(str, range(21, 44)), *variable, *map(str, range(49, 74)),
    ]  # fmt: skip


def _ancestor(
    rng: np.random.Generator, name: str, fixed: Mapping[str, str]
) -> dict[str, str]:
    """Draw a body from the model, with the isotype's elements and anticodon."""
    model = load_model()
    body: dict[str, str] = {}
    for position in _positions(name):
        if position in body:
            continue
        if position in PAIRED and position in model.pair:
            odds = np.exp(model.pair[position].reshape(5, 5)[:4, :4].ravel())
            code = int(rng.choice(16, p=odds / odds.sum()))
            body[position] = BASES[code // 4]
            body[PAIRED[position]] = BASES[code % 4]
        elif position in PAIRED:
            continue  # set by its partner
        else:
            odds = np.exp(model.base.get(position, np.zeros(5))[:4])
            body[position] = BASES[int(rng.choice(4, p=odds / odds.sum()))]
    for k in range(1, 5):
        if f"e1{k}" in body:
            body[f"e2{k}"] = WATSON_CRICK[body[f"e1{k}"]]
    body |= {p: b for p, b in INVARIANT.items() if p in body}
    for position in ("17", "20"):  # a third G beside G18 G19 would leave their place open
        if body[position] == "G":
            body[position] = "U"
    letter = {v: k for k, v in ONE_LETTER.items()}[name]
    codon = str(rng.choice(sorted(c for c, a in CODE.items() if a == letter)))
    anticodon = codon[::-1].translate(COMPLEMENT)
    body |= dict(zip(("34", "35", "36"), anticodon, strict=True))
    ordered = {p: body[p] for p in _positions(name)}
    _set_elements(rng, ordered, fixed)
    return ordered


def _set_elements(
    rng: np.random.Generator, body: dict[str, str], fixed: Mapping[str, str]
) -> None:
    for position, bases in fixed.items():
        allowed = bases.replace("-", "")
        if position not in body or not allowed or position in ("34", "35", "36"):
            continue
        if body[position] not in allowed:
            body[position] = str(rng.choice(list(allowed)))
    for position in fixed:  # free partners follow, so that stems stay stems
        partner = PAIRED.get(position)
        if partner in body and partner not in fixed:
            body[partner] = WATSON_CRICK[body[position]]


def _copy(
    rng: np.random.Generator, ancestor: Mapping[str, str], fixed: Mapping[str, str]
) -> dict[str, str]:
    """Diverge where no element and no invariant lies; stem pairs change together."""
    body = dict(ancestor)
    held = {*fixed, *INVARIANT, "34", "35", "36"}
    for position in body:
        partner = PAIRED.get(position)
        if position in held or partner in held or rng.random() >= FREE_CHANGE:
            continue
        body[position] = str(rng.choice(list(BASES)))
        if partner in body:
            body[partner] = WATSON_CRICK[body[position]]
    return body


def _scramble(
    rng: np.random.Generator, body: dict[str, str], fixed: Mapping[str, str]
) -> None:
    """Replace elements by bases they do not allow, and make it an amber suppressor."""
    for position, bases in fixed.items():
        others = [b for b in BASES if b not in bases]
        if position in body and others and position not in INVARIANT:
            body[position] = str(rng.choice(others))
            partner = PAIRED.get(position)
            if partner in body:
                body[partner] = WATSON_CRICK[body[position]]
    body |= {"34": "C", "35": "U", "36": "A"}


def _as_written(rng: np.random.Generator, sequence: str) -> str:
    """Write a sequence as files have it: sometimes DNA, lower case, or without CCA."""
    style = int(rng.integers(4))
    if style == 1:
        return sequence.replace("U", "T")
    if style == 2:
        return sequence.replace("U", "T").lower()
    return sequence.removesuffix("CCA") if style == 3 else sequence
