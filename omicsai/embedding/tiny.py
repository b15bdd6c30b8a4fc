"""`omicsai-tiny`: the small encoder that ships with the package.

ProtT5's architecture and vocabulary, pretrained by ``omicsai pretrain``; see ``card.md``
beside its weights. A vector is pooled as `omicsai.embedding.pooling` says, by what was
fitted after the training and lies in the weights file.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from omicsai.embedding.encoders import Encoded, Encoder
from omicsai.errors import ToolError
from omicsai.tables.provenance import file_digest, package_versions

__all__ = ["TINY", "is_small", "load_small"]

TINY = Path(__file__).parent / "data" / "omicsai-tiny"


def is_small(folder: Path) -> bool:
    """Whether ``omicsai pretrain``, of this or an earlier version, wrote a folder."""
    try:
        config = json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError):
        return False
    # earlier versions named the averaged layers, or left no word but their selection
    return isinstance(config, dict) and (
        "omicsai_pooling" in config
        or "pooled_layers" in config
        or (folder / "selection.tsv").is_file()
    )


def load_small(
    folder: Path = TINY, *, device: str = "cpu", precision: str = "auto", threads: int = 1
) -> Encoder:
    """Load an encoder that ``omicsai pretrain`` wrote; `transformers` is not needed.

    Parameters
    ----------
    folder
        With ``config.json`` and ``model.safetensors``.
    device, precision, threads
        As in `omicsai.embedding.load_encoder`.

    Returns
    -------
    Encoder
        With vectors of ``1600 + num_layers * d_model`` values.

    Raises
    ------
    ToolError
        If the folder holds no such encoder, or an earlier version wrote it.
    """
    import torch
    from safetensors.torch import load_file

    from omicsai.embedding.language_model import (
        choose_device,
        choose_precision,
        packed_model,
    )
    from omicsai.embedding.pooling import POOLING, Pooling
    from omicsai.embedding.t5 import Shape, T5Encoder
    from omicsai.embedding.vocabulary import PROTT5

    torch.set_num_threads(threads)
    chosen = choose_device(device)
    dtype = choose_precision(precision, chosen)
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        encoder = T5Encoder(Shape.of(config))
        tensors = load_file(folder / "model.safetensors")
        encoder.load_transformers(tensors)
        pooling = Pooling.of(tensors)
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise ToolError(f"cannot load the encoder in {folder}: {reason}") from error
    if pooling is None or config.get("omicsai_pooling") != POOLING:
        raise ToolError(
            f"cannot load the encoder in {folder}: another version of omicsai wrote it and "
            "pooled states in another way (run the 'omicsai pretrain' that made it again)"
        )
    layers = range(1, encoder.shape.num_layers + 1)
    name = folder.name
    identity = {
        "encoder": name,
        "pooling": POOLING,
        "revision": file_digest(folder / "model.safetensors")[:12],
        "precision": "int8" if precision == "int8" else str(dtype).removeprefix("torch."),
        **package_versions("torch"),
    }
    model = packed_model(encoder.to(dtype), PROTT5, chosen, identity, layers)

    def encode(sequences: Sequence[str], residues: bool) -> list[Encoded]:
        encoded = model.encode(sequences, residues)
        if not encoded:
            return []
        vectors = pooling(sequences, np.stack([mean for mean, _ in encoded]))
        return [(v, states) for v, (_, states) in zip(vectors, encoded, strict=True)]

    return Encoder(
        name=name, dimension=pooling.dimension, encode=encode, identity=identity,
        budget=model.budget(), memory=model.memory, device=str(chosen),
    )  # fmt: skip
