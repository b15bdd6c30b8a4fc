"""Synthetases and tRNAs of the same genomes: who charges whom, and do they change together.

Mirror tree (Pazos & Valencia 2001, Protein Eng. 14:609): if two molecules recognise each
other, their distances between genomes go together. The p-value shuffles the genomes of one
side, because distances that share a genome are not independent (a Mantel test).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from omicsai.tables import Column, Table
from omicsai.trna.isotypes import AMINO_ACIDS, amino_acid, normal_isotype

__all__ = [
    "COVARIATION",
    "PAIRS",
    "SYNTHETASES",
    "Synthetase",
    "composition_distance",
    "covariation",
    "describe_synthetases",
    "match_pairs",
    "mirror_correlation",
]

CLASS_I = ("Arg", "Cys", "Gln", "Glu", "Ile", "Leu", "Met", "Trp", "Tyr", "Val")
BOTH = ("Lys",)  # class I in most archaea and some bacteria, class II elsewhere
FULL_NAMES = {
    "alanyl": "Ala", "arginyl": "Arg", "asparaginyl": "Asn", "aspartyl": "Asp",
    "cysteinyl": "Cys", "glutaminyl": "Gln", "glutamyl": "Glu", "glycyl": "Gly",
    "histidyl": "His", "isoleucyl": "Ile", "leucyl": "Leu", "lysyl": "Lys",
    "methionyl": "Met", "phenylalanyl": "Phe", "prolyl": "Pro", "seryl": "Ser",
    "threonyl": "Thr", "tryptophanyl": "Trp", "tyrosyl": "Tyr", "valyl": "Val",
    "pyrrolysyl": "Pyl",
}  # fmt: skip
SYNTHETASES = Table(
    "synthetases",
    (
        Column("id", "text", "synthetase id"),
        Column("genome", "text", "genome it is from"),
        Column("amino_acid", "text", "amino acid it attaches, empty if not told"),
        Column("enzyme_class", "text", "I, II, or empty if not told"),
        Column("architecture", "text", "its domains in order, empty without annotation"),
        Column("trnas", "integer", "tRNAs of the genome that carry the amino acid"),
        Column("note", "text", "why nothing is matched"),
    ),
)
PAIRS = Table(
    "pairs",
    (
        Column("synthetase", "text", "synthetase id"),
        Column("trna", "text", "tRNA id"),
        Column("genome", "text", "genome of both"),
        Column("amino_acid", "text", "amino acid"),
        Column("anticodon", "text", "anticodon of the tRNA"),
    ),
)
COVARIATION = Table(
    "covariation",
    (
        Column("amino_acid", "text", "amino acid"),
        Column("genomes", "integer", "genomes with both a synthetase and a tRNA"),
        Column("correlation", "number", "Pearson r of the two distances over genome pairs"),
        Column("p", "number", "share of genome permutations with as large an r"),
        Column("note", "text", "why there is no figure"),
    ),
)
LEAST_GENOMES = 4
WORD = 2  # letters of the words whose frequencies compare proteins


@dataclass(frozen=True)
class Synthetase:
    """A synthetase protein, with what its header or a table says of it."""

    id: str
    genome: str
    amino_acid: str
    enzyme_class: str
    residues: str
    architecture: str = ""


def synthetase_amino_acid(text: str) -> str:
    """Amino acid named in a header: ``AlaRS``, ``alanyl-tRNA synthetase``, ``alaS``."""
    if match := re.search(r"\b([A-Z][a-z]{2})RS\b|(?<![A-Za-z])([A-Z][a-z]{2})RS_", text):
        return amino_acid(normal_isotype(match[1] or match[2]))
    lowered = text.lower()
    for name in sorted(FULL_NAMES, key=len, reverse=True):
        if re.search(rf"(?<![a-z]){name}[- ]trna (synthetase|ligase)", lowered):
            return FULL_NAMES[name]
    for name in AMINO_ACIDS:
        full = {v: k for k, v in FULL_NAMES.items()}[name]
        if re.search(rf"{full[:-2]}\w*[-—]+trna ligase", lowered):
            return name
    if match := re.search(r"\b([a-z]{3})S\b", text):
        return amino_acid(normal_isotype(match[1]))
    return ""


def describe_synthetases(
    proteins: Sequence[tuple[str, str, str]],
    genomes: Mapping[str, str],
    amino_acids: Mapping[str, str] | None = None,
    architectures: Mapping[str, str] | None = None,
) -> list[Synthetase]:
    """Collect what is known of each synthetase.

    Parameters
    ----------
    proteins
        (id, header, residues) of each protein.
    genomes
        Genome of each id; absent ids belong to none and are matched with nothing.
    amino_acids
        Amino acid by id, which wins over the header.
    architectures
        Domain architecture by id (``omicsai annotate``).
    """
    told, drawn = amino_acids or {}, architectures or {}
    found = []
    for key, header, residues in proteins:
        name = amino_acid(normal_isotype(told.get(key, ""))) or synthetase_amino_acid(
            header
        )
        found.append(
            Synthetase(
                id=key,
                genome=genomes.get(key, ""),
                amino_acid=name,
                enzyme_class=_enzyme_class(name, header),
                residues=residues,
                architecture=drawn.get(key, ""),
            )
        )
    return found


def _enzyme_class(name: str, header: str) -> str:
    """Class by header (``class1_``, ``class II``), else by the amino acid."""
    if match := re.search(r"class[ _]?(II|I|2|1)(?![A-Za-z0-9])|class([12])_", header):
        return "II" if (match[1] or match[2]) in ("II", "2") else "I"
    if not name or name in BOTH:
        return ""
    return "I" if name in CLASS_I else "II"


def match_pairs(
    synthetases: Sequence[Synthetase], trnas: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Join synthetases and tRNAs of one genome by amino acid.

    Parameters
    ----------
    synthetases
        From `describe_synthetases`.
    trnas
        Columns id, genome, amino_acid, anticodon.

    Returns
    -------
    synthetases, pairs : pandas.DataFrame
        The `SYNTHETASES` and `PAIRS` tables; a synthetase without a pair has a note.
    """
    by_key = {
        tuple(key): rows
        for key, rows in trnas.groupby(["genome", "amino_acid"], sort=False)
    }
    genomes = set(trnas["genome"])
    told, pairs = [], []
    for s in synthetases:
        mine = by_key.get((s.genome, s.amino_acid))
        count = len(mine) if mine is not None and s.genome and s.amino_acid else 0
        if not s.amino_acid:
            note = "header and table do not name its amino acid"
        elif not s.genome or s.genome not in genomes:
            note = "no tRNA of its genome"
        else:
            note = "" if count else f"its genome has no tRNA for {s.amino_acid} here"
        told.append(
            {
                "id": s.id,
                "genome": s.genome,
                "amino_acid": s.amino_acid,
                "enzyme_class": s.enzyme_class,
                "architecture": s.architecture,
                "trnas": count,
                "note": note,
            }
        )
        if count and mine is not None:
            pairs += [
                {
                    "synthetase": s.id,
                    "trna": row.id,
                    "genome": s.genome,
                    "amino_acid": s.amino_acid,
                    "anticodon": row.anticodon,
                }
                for row in mine.itertuples()
            ]
    return (
        SYNTHETASES.frame(pd.DataFrame(told, columns=SYNTHETASES.names)),
        PAIRS.frame(pd.DataFrame(pairs, columns=PAIRS.names)),
    )


def composition_distance(residues: Sequence[str]) -> NDArray[np.float64]:
    """Alignment-free distance (n, n) of proteins: 1 - cosine of their two-letter words.

    Square roots of the frequencies are compared (Hellinger), so that common words do not
    drown the rest. Good enough to rank orthologues, which is all a correlation asks for.
    """
    letters = "ACDEFGHIKLMNPQRSTVWY"
    index = {a + b: i for i, (a, b) in enumerate((a, b) for a in letters for b in letters)}
    counts = np.zeros((len(residues), len(index)))
    for row, protein in enumerate(residues):
        for i in range(len(protein) - WORD + 1):
            at = index.get(protein[i : i + WORD])
            if at is not None:
                counts[row, at] += 1
    share = np.sqrt(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))
    return np.clip(1 - share @ share.T, 0, 1)


def mirror_correlation(
    A: NDArray, B: NDArray, *, permutations: int = 999, seed: int = 1
) -> tuple[float, float]:
    """Pearson correlation of two distance matrices over the same genomes, and its p-value.

    Parameters
    ----------
    A, B
        (g, g) symmetric distances, g >= 3.
    permutations, seed
        Shuffles of the genomes of B, and their seed.

    Returns
    -------
    r, p : float
        p = (1 + shuffles with as large an r) / (1 + shuffles); NaN, 1 if one side does not
        vary.
    """
    upper = np.triu_indices(len(A), 1)
    a = A[upper] - A[upper].mean()
    b = B[upper] - B[upper].mean()
    scale = np.sqrt((a @ a) * (b @ b))
    if scale < 1e-12:
        return float("nan"), 1.0
    observed = float(a @ b / scale)
    rng = np.random.default_rng(seed)
    above = 0
    for _ in range(permutations):
        order = rng.permutation(len(B))
        shuffled = B[np.ix_(order, order)][upper]
        above += (a @ (shuffled - shuffled.mean())) / scale >= observed - 1e-12
    return observed, (1 + above) / (1 + permutations)


def covariation(
    synthetases: Sequence[Synthetase],
    trna_genomes: Sequence[str],
    trna_amino_acids: Sequence[str],
    trna_distances: NDArray[np.float32],
    *,
    permutations: int = 999,
    seed: int = 1,
) -> pd.DataFrame:
    """Correlate synthetase and tRNA distances across genomes, for each amino acid.

    Between two genomes, the distance of a side is the mean over its members in both.

    Parameters
    ----------
    synthetases
        From `describe_synthetases`.
    trna_genomes, trna_amino_acids
        (n,) of each tRNA.
    trna_distances
        (n, n), for example weighted by identity positions.
    permutations, seed
        As in `mirror_correlation`.

    Returns
    -------
    pandas.DataFrame
        The `COVARIATION` table.
    """
    genome = np.array(trna_genomes, dtype=object)
    acid = np.array(trna_amino_acids, dtype=object)
    rows = []
    for name in sorted({s.amino_acid for s in synthetases} - {""}):
        mine = [s for s in synthetases if s.amino_acid == name and s.genome]
        shared = sorted(
            {s.genome for s in mine} & set(genome[acid == name].tolist()) - {""}
        )
        row = {"amino_acid": name, "genomes": len(shared), "note": ""}
        if len(shared) < LEAST_GENOMES:
            row |= {"note": f"fewer than {LEAST_GENOMES} genomes have both"}
            rows.append(row)
            continue
        proteins = composition_distance([s.residues for s in mine])
        of_protein = [np.flatnonzero([s.genome == g for s in mine]) for g in shared]
        of_trna = [np.flatnonzero((genome == g) & (acid == name)) for g in shared]
        r, p = mirror_correlation(
            _between(proteins, of_protein), _between(trna_distances, of_trna),
            permutations=permutations, seed=seed,
        )  # fmt: skip
        note = "" if np.isfinite(r) else "one side does not vary"
        rows.append(row | {"correlation": r, "p": p, "note": note})
    return COVARIATION.frame(pd.DataFrame(rows, columns=COVARIATION.names))


def _between(D: NDArray, groups: list[NDArray]) -> NDArray[np.float64]:
    """Mean distance between every two groups of rows."""
    result = np.zeros((len(groups), len(groups)))
    for i, first in enumerate(groups):
        for j in range(i):
            result[i, j] = result[j, i] = D[np.ix_(first, groups[j])].mean()
    return result
