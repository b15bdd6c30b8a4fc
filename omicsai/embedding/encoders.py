"""One interface for every encoder: a protein in, one vector out.

A protein is encoded on its own, without padding, so its vector never depends on which
other proteins share the run; that is what lets interrupted and extended runs end with the
same bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omicsai.embedding.composition import DIMENSION, composition

__all__ = ["Encoder", "load_encoder"]


@dataclass(frozen=True)
class Encoder:
    """A function from residues to a vector, and what identifies it.

    Attributes
    ----------
    name
        ``"composition"``, a model folder or a hub id.
    dimension
        Length of a vector.
    identity
        Everything a vector depends on besides the sequence: name, revision, precision.
    encode
        Canonical residues to a (dimension,) float32 vector.
    """

    name: str
    dimension: int
    encode: Callable[[str], NDArray[np.float32]]
    identity: dict[str, str] = field(default_factory=dict)


def load_encoder(
    name: str, *, revision: str | None = None, device: str = "auto", threads: int = 1
) -> Encoder:
    """Load an encoder by name.

    Parameters
    ----------
    name
        ``"composition"``, or a ProtTrans or ESM-2 model as a local folder or hub id.
    revision
        Revision of a hub model; None is its newest.
    device
        ``"auto"`` (GPU if there is one), ``"cpu"`` or ``"cuda"``.
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
        return Encoder("composition", DIMENSION, composition, identity)
    from omicsai.embedding.language_model import load_language_model

    model = load_language_model(name, revision=revision, device=device, threads=threads)
    shown = Path(name).name if Path(name).is_dir() else name
    identity = {"encoder": shown, **model.identity}
    return Encoder(shown, model.dimension, model.encode, identity)
