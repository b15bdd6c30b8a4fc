"""From the states of a small encoder to one vector of a protein.

Two blocks, each of fixed length (norm), because cosine and distance between vectors should
weigh them alike in short and long proteins:

* pairs: how often residues a and b stand 1, 2, 3 and 4 places apart, as the deviation from
  chance (`residue_pairs`) less its mean over proteins. It needs no model. Means of states
  forget what stood beside what, and this is what tells distant relatives.
* states: the means of the chosen layers, each whitened with a little shrinkage, so that
  no few directions drown the rest.

What is subtracted and divided by was fitted once, on proteins without labels.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from omicsai.embedding.batching import batches
from omicsai.embedding.t5 import T5Encoder
from omicsai.embedding.vocabulary import PROTT5
from omicsai.errors import InputError
from omicsai.progress import track
from omicsai.sequences.alphabet import AMINO_ACIDS

__all__ = ["POOLING", "Pooling", "fit_pooling", "layer_means", "residue_pairs"]

POOLING = "pairs and whitened states, 1"  # to be changed with what a vector is made of
GAPS = (1, 2, 3, 4)  # places apart: half a turn to a turn of a helix, and a strand
SHARE = 0.3  # norm of the states beside that of the pairs
SHRINKAGE = 0.1  # of the mean variance of a layer, added to each
SAMPLE, LONGEST = 3000, 1000  # proteins to fit on, and residues of the longest
TOKENS = 4096  # of a batch

_CODE = np.full(256, 20)
_CODE[np.frombuffer(AMINO_ACIDS.encode(), np.uint8)] = np.arange(20)


@dataclass(frozen=True)
class Pooling:
    """What was fitted on proteins without labels.

    Attributes
    ----------
    background
        (20,) frequencies of the amino acids.
    pairs
        (4 * 400,) mean of `residue_pairs`.
    mean
        (layers, width) mean of the states.
    whitener
        (layers, width, width) from centred states to uncorrelated ones, by columns.
    """

    background: NDArray[np.float32]
    pairs: NDArray[np.float32]
    mean: NDArray[np.float32]
    whitener: NDArray[np.float32]

    @classmethod
    def fit(cls, residues: Sequence[str], means: NDArray[np.float32]) -> Pooling:
        """Fit on proteins and the (n, layers, width) means of their states."""
        count = np.bincount(
            np.concatenate([codes(text) for text in residues]), minlength=21
        )
        # one more of each, for amino acids that no protein of a small sample has
        background = ((count[:20] + 1) / (count[:20] + 1).sum()).astype(np.float32)
        pairs = np.mean([residue_pairs(text, background) for text in residues], axis=0)
        centre = means.mean(axis=0)
        whitener = np.stack(
            [whitening(layer) for layer in np.moveaxis(means - centre, 1, 0)]
        )
        return cls(background, pairs, centre, whitener.astype(np.float32))

    @classmethod
    def of(cls, tensors: Mapping[str, torch.Tensor]) -> Pooling | None:
        """Read from a weights file; None if it holds no pooling."""
        names = cls.__dataclass_fields__
        if not any(f"pooling.{name}" in tensors for name in names):
            return None
        return cls(**{name: tensors[f"pooling.{name}"].float().numpy() for name in names})

    def tensors(self) -> dict[str, torch.Tensor]:
        """Tensors for a weights file; the large one in half precision."""
        found = {f"pooling.{name}": torch.from_numpy(v) for name, v in asdict(self).items()}
        return found | {"pooling.whitener": found["pooling.whitener"].half()}

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return len(self.pairs) + self.mean.size

    def __call__(
        self, residues: Sequence[str], means: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Vectors of proteins.

        Parameters
        ----------
        residues
            n canonical proteins.
        means
            (n, layers, width) means of their states, or the same laid side by side.

        Returns
        -------
        (n, d) float32
            Pairs of norm 1, then states of norm 0.3.
        """
        pairs = np.stack([residue_pairs(text, self.background) for text in residues])
        centred = means.reshape(len(means), *self.mean.shape) - self.mean
        states = np.einsum("nlw,lwv->nlv", centred, self.whitener, optimize=True)
        blocks = unit(pairs - self.pairs), SHARE * unit(states.reshape(len(means), -1))
        return np.concatenate(blocks, axis=1)


def codes(residues: str) -> NDArray[np.int64]:
    """0 to 19, and 20 for anything that is no amino acid."""
    return _CODE[np.frombuffer(residues.encode("ascii"), np.uint8)]


def residue_pairs(residues: str, background: NDArray[np.float32]) -> NDArray[np.float32]:
    """How residues at each distance go together, beside what is to be expected.

    Parameters
    ----------
    residues
        Canonical protein. What is no standard amino acid adds nothing.
    background
        (20,) frequencies p of the amino acids.

    Returns
    -------
    (4 * 400,) float32
        Mean over the positions i of y_i y_{i+k}^T for k = 1 to 4, row after row, where
        y_i = (e - p) / sqrt(p) and e is 1 at the residue of position i and 0 elsewhere;
        zero for a distance that the protein is too short for.
    """
    table = np.zeros((21, 20), np.float32)
    table[:20] = (np.eye(20) - background) / np.sqrt(background)
    y = table[codes(residues)]
    found = np.zeros((len(GAPS), 20, 20), np.float32)
    for place, gap in zip(found, GAPS, strict=True):
        if len(y) > gap:
            place[:] = y[:-gap].T @ y[gap:] / (len(y) - gap)
    return found.ravel()


def whitening(centred: NDArray[np.float32]) -> NDArray[np.float64]:
    """(width, width) principal axes by columns, divided by the spread along them."""
    values, axes = np.linalg.eigh(centred.T.astype(np.float64) @ centred / len(centred))
    values = np.maximum(values, 0)
    return axes / np.sqrt(values + SHRINKAGE * values.mean() + 1e-12)


def unit(X: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of norm 1; a row of zeros stays."""
    norm = np.linalg.norm(X, axis=1, keepdims=True)
    return (X / np.where(norm > 0, norm, 1)).astype(np.float32)


def layer_means(
    encoder: T5Encoder, residues: Sequence[str], layers: Sequence[int]
) -> NDArray[np.float32]:
    """Mean over the residues of the states of some layers (0: the embedding).

    Parameters
    ----------
    encoder
        In the precision and on the device it is to run in.
    residues
        n proteins.
    layers
        Which states.

    Returns
    -------
    (n, layers, width) float32
        The end token is left out.
    """
    order = sorted(range(len(residues)), key=lambda i: -len(residues[i]))
    found = np.zeros((len(residues), len(layers), encoder.shape.d_model), np.float32)
    cut = list(batches([len(residues[i]) for i in order], TOKENS))
    device = encoder.norm.weight.device
    with torch.inference_mode():
        for part in track(cut, total=len(cut), label="pool"):
            tokens = [PROTT5.tokens(residues[i]) for i in order[part]]
            lengths = [len(each) for each in tokens]
            packed = torch.from_numpy(np.concatenate(tokens)).to(device)
            every = encoder.states(packed, lengths)
            for place, layer in enumerate(layers):
                pieces = every[layer].split(lengths)
                for i, piece in zip(order[part], pieces, strict=True):
                    found[i, place] = piece[:-1].float().mean(0).cpu().numpy()
    return found


def fit_pooling(encoder: T5Encoder, residues: Sequence[str], *, seed: int = 1) -> Pooling:
    """Fit the pooling of all blocks on a sample of proteins.

    Parameters
    ----------
    encoder
        Trained; see `layer_means`.
    residues
        Proteins it was trained on; at most 3,000 of them of at most 1,000 residues are
        drawn, or of any length if none is that short.
    seed
        Seed of the draw.

    Returns
    -------
    Pooling
        Of the states of all blocks.

    Raises
    ------
    InputError
        If there are no two different proteins.
    """
    usable = [text for text in residues if len(text) <= LONGEST] or list(residues)
    if len(set(usable)) < 2:
        raise InputError(
            "the spread of vectors cannot be told from one protein: give two at least"
        )
    sample = random.Random(seed).sample(usable, min(SAMPLE, len(usable)))
    layers = range(1, encoder.shape.num_layers + 1)
    return Pooling.fit(sample, layer_means(encoder, sample, layers))
