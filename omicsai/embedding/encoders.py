"""One interface for every encoder: proteins in, one vector each out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omicsai.embedding.composition import DIMENSION, composition

__all__ = ["Encoded", "Encoder", "load_encoder", "same_encoder"]

LIBRARIES = ("torch", "transformers")  # whose versions change last bits only
TOKENS = 20_000  # of a batch, where memory is no matter

Encoded = tuple[NDArray[np.float32], NDArray[np.float32] | None]


@dataclass(frozen=True)
class Encoder:
    """Functions from residues to vectors, and what identifies them.

    Attributes
    ----------
    name
        ``"composition"``, ``"omicsai-tiny"``, a model folder or a hub id.
    dimension
        Length of a vector.
    encode
        From the canonical residues of n proteins to n pairs: a (dimension,) float32 vector
        and, if the second argument is true, (length, width) float32 states of the residues.
    identity
        Everything a vector depends on besides the sequence: name, revision, precision.
    per_residue
        Whether there are states of the residues.
    budget
        Residues of a batch.
    limit
        Longest protein the model can read; None if there is no limit.
    memory
        Bytes needed to encode one protein of a length.
    device
        ``"cpu"``, ``"cuda"`` or ``"cuda:1"``: whose memory that is.
    """

    name: str
    dimension: int
    encode: Callable[[Sequence[str], bool], list[Encoded]]
    identity: dict[str, str] = field(default_factory=dict)
    per_residue: bool = True
    budget: int = TOKENS
    limit: int | None = None
    memory: Callable[[int], int] = lambda length: 0
    device: str = "cpu"


def load_encoder(
    name: str,
    *,
    revision: str | None = None,
    device: str = "auto",
    precision: str = "auto",
    threads: int = 1,
) -> Encoder:
    """Load an encoder by name.

    Parameters
    ----------
    name
        ``"composition"``, ``"omicsai-tiny"``, a folder that ``omicsai pretrain`` wrote, or
        a ProtTrans, Ankh or ESM-2 model as a local folder or hub id.
    revision
        Revision of a hub model; None is its newest.
    device
        ``"auto"`` (GPU if there is one), ``"cpu"``, ``"cuda"`` or ``"cuda:1"``.
    precision
        ``"auto"`` (float32 on a CPU, bfloat16 on a GPU), ``"float32"``, ``"bfloat16"``,
        ``"float16"``, or ``"int8"`` (T5 on a CPU; states differ by some per cent).
    threads
        CPU threads.

    Returns
    -------
    Encoder
        Ready to encode.

    Raises
    ------
    ToolError
        If the model cannot be loaded.
    """
    if name == "composition":
        identity = {"encoder": "composition", "revision": "1", "precision": "float32"}
        return Encoder(
            "composition", DIMENSION, compositions, identity,
            per_residue=False, budget=TOKENS,
        )  # fmt: skip
    from omicsai.embedding.tiny import TINY, is_small, load_small

    folder = TINY if name == "omicsai-tiny" else Path(name)
    if folder == TINY or is_small(folder):
        return load_small(folder, device=device, precision=precision, threads=threads)
    from omicsai.embedding.language_model import load_language_model

    model = load_language_model(
        name, revision=revision, device=device, precision=precision, threads=threads
    )
    shown = Path(name).name if Path(name).is_dir() else name
    return Encoder(
        name=shown, dimension=model.dimension, encode=model.encode,
        identity={"encoder": shown, **model.identity},
        budget=model.budget(), limit=model.limit, memory=model.memory,
        device=str(model.device),
    )  # fmt: skip


def same_encoder(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Whether vectors of two identities may be compared.

    The store keeps vectors of different versions of the libraries apart, because their
    last bits may differ; a model reads both.
    """
    first, second = (
        {key: value for key, value in identity.items() if key not in LIBRARIES}
        for identity in (one, other)
    )
    return first == second


def compositions(sequences: Sequence[str], residues: bool = False) -> list[Encoded]:
    """Composition features of proteins; there are none of residues."""
    return [(composition(text), None) for text in sequences]
