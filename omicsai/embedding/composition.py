"""The `composition` encoder: an honest baseline that needs no weights.

427 features: frequencies of the 20 amino acids and of the 400 dipeptides, means of six
physico-chemical scales, and the logarithm of the length.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from omicsai.sequences.alphabet import AMINO_ACIDS

__all__ = ["DIMENSION", "composition"]

# One value per amino acid in the order of AMINO_ACIDS (ACDEFGHIKLMNPQRSTVWY).
SCALES = {
    # Kyte and Doolittle 1982, hydropathy
    "hydropathy": [1.8, 2.5, -3.5, -3.5, 2.8, -0.4, -3.2, 4.5, -3.9, 3.8, 1.9, -3.5, -1.6,
                   -3.5, -4.5, -0.8, -0.7, 4.2, -0.9, -1.3],
    # net charge at pH 7, histidine one tenth
    "charge": [0, 0, -1, -1, 0, 0, 0.1, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0],
    # Zamyatnin 1972, residue volume in cubic angstroms
    "volume": [88.6, 108.5, 111.1, 138.4, 189.9, 60.1, 153.2, 166.7, 168.6, 166.7, 162.9,
               114.1, 112.7, 143.8, 173.4, 89.0, 116.1, 140.0, 227.8, 193.6],
    # Grantham 1974, polarity
    "polarity": [8.1, 5.5, 13.0, 12.3, 5.2, 9.0, 10.4, 5.2, 11.3, 4.9, 5.7, 11.6, 8.0,
                 10.5, 10.5, 9.2, 8.6, 5.9, 5.4, 6.2],
    # Chou and Fasman 1978, propensities for helix and strand
    "helix": [1.42, 0.70, 1.01, 1.51, 1.13, 0.57, 1.00, 1.08, 1.16, 1.21, 1.45, 0.67, 0.57,
              1.11, 0.98, 0.77, 0.83, 1.06, 1.08, 0.69],
    "strand": [0.83, 1.19, 0.54, 0.37, 1.38, 0.75, 0.87, 1.60, 0.74, 1.30, 1.05, 0.89,
               0.55, 1.10, 0.93, 0.75, 1.19, 1.70, 1.37, 1.47],
}  # fmt: skip
SCALE_MATRIX = np.array(list(SCALES.values()), dtype=np.float64)
DIMENSION = 20 + 400 + len(SCALES) + 1

_CODE = np.full(256, -1, dtype=np.int64)
_CODE[np.frombuffer(AMINO_ACIDS.encode(), dtype=np.uint8)] = np.arange(20)


def composition(residues: str) -> NDArray[np.float32]:
    """Composition features of one protein.

    Parameters
    ----------
    residues
        Canonical residues. Non-standard ones (U, O, B, Z, J, X) count for the length
        only, and the pairs that hold them are left out.

    Returns
    -------
    (427,) float32
        Amino-acid frequencies, dipeptide frequencies (row = first residue), scale means,
        natural logarithm of the length.
    """
    code = _CODE[np.frombuffer(residues.encode("ascii"), dtype=np.uint8)]
    standard = code[code >= 0]
    single = np.bincount(standard, minlength=20) / max(len(standard), 1)
    pairs = (code[:-1] >= 0) & (code[1:] >= 0)
    joint = code[:-1][pairs] * 20 + code[1:][pairs]
    double = np.bincount(joint, minlength=400) / max(len(joint), 1)
    length = np.array([np.log(max(len(residues), 1))])
    features = [single, double, SCALE_MATRIX @ single, length]
    return np.concatenate(features).astype(np.float32)
