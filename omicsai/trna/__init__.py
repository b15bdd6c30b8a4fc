"""tRNAs: numbering, identity elements, distances, cognates (floor 2)."""

from omicsai.trna.formats import Trna, read_trnas
from omicsai.trna.isotypes import AMINO_ACIDS, amino_acid, normal_isotype
from omicsai.trna.numbering import (
    MATRIX,
    NUMBERING,
    TRNA_RECORDS,
    Numbered,
    classes_of,
    matrix_table,
    number_sequences,
    number_trnas,
    numbering_table,
    read_matrix,
)
from omicsai.trna.positions import LABELS, REGIONS, STEM_PAIRS
from omicsai.trna.structure import dot_bracket_text, dot_brackets, stockholm

__all__ = [
    "AMINO_ACIDS",
    "LABELS",
    "MATRIX",
    "NUMBERING",
    "REGIONS",
    "STEM_PAIRS",
    "TRNA_RECORDS",
    "Numbered",
    "Trna",
    "amino_acid",
    "classes_of",
    "dot_bracket_text",
    "dot_brackets",
    "matrix_table",
    "normal_isotype",
    "number_sequences",
    "number_trnas",
    "numbering_table",
    "read_matrix",
    "read_trnas",
    "stockholm",
]
