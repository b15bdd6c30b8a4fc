"""Residue alphabets and the canonical form of a sequence."""

from __future__ import annotations

from typing import Literal

__all__ = ["AMINO_ACIDS", "Molecule", "canonical"]

Molecule = Literal["protein", "trna"]

AMINO_ACIDS = "ACDEFGHIKLMNPQRSTVWY"
NONSTANDARD = "UOBZJX"  # Sec, Pyl, Asx, Glx, Xle, unknown: kept, counted, X to encoders
NUCLEOTIDES = "ACGU"
RESIDUES = {"protein": "amino acids", "trna": "nucleotides"}
AMBIGUOUS_NUCLEOTIDES = "RYSWKMBDHVN"
GAPS = str.maketrans("", "", "-. \t")
NUCLEOTIDE_LOOKALIKE = frozenset("ACGTUN")
SHORTEST_LOOKALIKE = 20  # a shorter peptide of A, C, G, T and N alone is plausible


def canonical(raw: str, molecule: Molecule = "protein") -> tuple[str, str]:
    """Bring residues to canonical form, or say why that is impossible.

    Upper case; gaps (``-``, ``.``) and blanks removed; one trailing stop (``*``) of a
    protein removed; T of an RNA read as U.

    Parameters
    ----------
    raw
        Residues as found in the file.
    molecule
        ``"protein"`` or ``"trna"``.

    Returns
    -------
    residues : str
        Canonical residues.
    problem : str
        Empty if the sequence is usable, else the reason it is not.
    """
    residues = raw.translate(GAPS)
    if not residues.isascii():
        foreign = sorted(letter for letter in set(residues) if not letter.isascii())
        return residues, f"not {RESIDUES[molecule]}: {' '.join(map(repr, foreign))}"
    residues = residues.upper()
    if molecule == "trna":
        return _canonical_rna(residues)
    residues = residues.removesuffix("*")
    if not residues:
        return residues, "empty sequence"
    if "*" in residues:
        position = residues.index("*") + 1
        return residues, (
            f"stop codon inside the sequence (residue {position}): a pseudogene, or "
            "translated in the wrong frame"
        )
    foreign = sorted(set(residues) - set(AMINO_ACIDS) - set(NONSTANDARD))
    if foreign:
        return residues, f"not amino acids: {' '.join(map(repr, foreign))}"
    if len(residues) >= SHORTEST_LOOKALIKE and set(residues) <= NUCLEOTIDE_LOOKALIKE:
        return residues, "looks like nucleotides, not protein: translate it first"
    return residues, ""


def _canonical_rna(residues: str) -> tuple[str, str]:
    residues = residues.replace("T", "U")
    if not residues:
        return residues, "empty sequence"
    foreign = sorted(set(residues) - set(NUCLEOTIDES) - set(AMBIGUOUS_NUCLEOTIDES))
    if foreign:
        return residues, f"not nucleotides: {' '.join(map(repr, foreign))}"
    return residues, ""


def count_nonstandard(residues: str, molecule: Molecule = "protein") -> int:
    """Count residues outside the 20 amino acids (or the 4 nucleotides)."""
    standard = AMINO_ACIDS if molecule == "protein" else NUCLEOTIDES
    return sum(residue not in standard for residue in residues)
