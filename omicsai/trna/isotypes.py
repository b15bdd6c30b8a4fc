"""Names of isotypes, as databases and tools write them, and the genetic code."""

from __future__ import annotations

import re

__all__ = ["AMINO_ACIDS", "amino_acid", "anticodon_amino_acid", "normal_isotype"]

AMINO_ACIDS = (
    "Ala", "Arg", "Asn", "Asp", "Cys", "Gln", "Glu", "Gly", "His", "Ile",
    "Leu", "Lys", "Met", "Phe", "Pro", "Ser", "Thr", "Trp", "Tyr", "Val",
)  # fmt: skip
ONE_LETTER = dict(zip("ARNDCQEGHILKMFPSTWYV", AMINO_ACIDS, strict=True))
SPECIAL = {
    "imet": "iMet", "ini": "iMet", "meti": "iMet", "initmet": "iMet", "fmet": "fMet",
    "ile2": "Ile2", "kile": "Ile2", "ile2k": "Ile2", "sec": "SeC", "sece": "SeC",
    "selcys": "SeC", "pyl": "Pyl", "sup": "Sup", "stop": "Sup", "ter": "Sup",
    "und": "Und", "undet": "Und", "pseudo": "Und", "xxx": "Und", "nnn": "Und",
}  # fmt: skip
FOLDED = {"iMet": "Met", "fMet": "Met", "Ile2": "Ile"}
CODE = dict(
    zip(
        [a + b + c for a in "UCAG" for b in "UCAG" for c in "UCAG"],
        "FFLLSSSSYY**CC*WLLLLPPPPHHQQRRRRIIIMTTTTNNKKSSRRVVVVAAAADDEEGGGG",
        strict=True,
    )
)
COMPLEMENT = str.maketrans("ACGU", "UGCA")


def normal_isotype(name: str) -> str:
    """Bring an isotype to one spelling.

    Parameters
    ----------
    name
        ``Ala``, ``ala``, ``A``, ``tRNA-Ala``, ``iMet``, ``SeC(p)``, ``Undet``, ...

    Returns
    -------
    str
        One of `AMINO_ACIDS`, ``iMet``, ``fMet``, ``Ile2``, ``SeC``, ``Pyl``, ``Sup``
        (suppressor), ``Und`` (undetermined); empty if the name is none of these.
    """
    word = re.sub(r"^tRNA-?|\(p\)|[^A-Za-z0-9]", "", name.strip(), flags=re.IGNORECASE)
    if word.lower() in SPECIAL:
        return SPECIAL[word.lower()]
    if len(word) == 1:
        return ONE_LETTER.get(word.upper(), "")
    return word.capitalize() if word.capitalize() in AMINO_ACIDS else ""


def amino_acid(isotype: str) -> str:
    """Amino acid that an isotype carries; empty for suppressors and undetermined ones."""
    folded = FOLDED.get(isotype, isotype)
    return folded if folded in AMINO_ACIDS or folded in ("SeC", "Pyl") else ""


def anticodon_amino_acid(anticodon: str) -> str:
    """Amino acid that the standard code gives an anticodon; empty for stop or unknown.

    An anticodon CAU is Met here, although it may be of Ile2 (lysidine) or an initiator.
    """
    letter = CODE.get(anticodon[::-1].translate(COMPLEMENT), "*")
    return ONE_LETTER.get(letter, "")
