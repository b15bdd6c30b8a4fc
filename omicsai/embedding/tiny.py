"""`omicsai-tiny`: the small encoder that ships with the package.

ProtT5's architecture and vocabulary, pretrained by ``omicsai pretrain``; see ``card.md``
beside its weights. A vector is the mean over the residues of the states of the chosen
layers, side by side.
"""

from __future__ import annotations

import json
from pathlib import Path

from omicsai.embedding.encoders import Encoder
from omicsai.errors import ToolError
from omicsai.tables.provenance import file_digest, package_versions

__all__ = ["TINY", "load_small"]

TINY = Path(__file__).parent / "data" / "omicsai-tiny"


def load_small(
    folder: Path = TINY, *, device: str = "cpu", precision: str = "auto", threads: int = 1
) -> Encoder:
    """Load an encoder that ``omicsai pretrain`` wrote; `transformers` is not needed.

    Parameters
    ----------
    folder
        With ``config.json`` (whose ``pooled_layers`` says which states are averaged; the
        last by default) and ``model.safetensors``.
    device, precision, threads
        As in `omicsai.embedding.load_encoder`.

    Returns
    -------
    Encoder
        With vectors of ``len(pooled_layers) * d_model`` values.

    Raises
    ------
    ToolError
        If the folder holds no such encoder.
    """
    import torch
    from safetensors.torch import load_file

    from omicsai.embedding.language_model import (
        choose_device,
        choose_precision,
        packed_model,
    )
    from omicsai.embedding.t5 import Shape, T5Encoder
    from omicsai.embedding.vocabulary import PROTT5

    torch.set_num_threads(threads)
    chosen = choose_device(device)
    dtype = choose_precision(precision, chosen)
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        encoder = T5Encoder(Shape.of(config))
        encoder.load_transformers(load_file(folder / "model.safetensors"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise ToolError(f"cannot load the encoder in {folder}: {reason}") from error
    layers = config.get("pooled_layers", [encoder.shape.num_layers])
    name = folder.name
    identity = {
        "encoder": name,
        "layers": " ".join(map(str, layers)),
        "revision": file_digest(folder / "model.safetensors")[:12],
        "precision": "int8" if precision == "int8" else str(dtype).removeprefix("torch."),
        **package_versions("torch"),
    }
    model = packed_model(encoder.to(dtype), PROTT5, chosen, identity, layers)
    return Encoder(
        name=name, dimension=model.dimension, encode=model.encode, identity=identity,
        budget=model.budget(), memory=model.memory, device=chosen.type,
    )  # fmt: skip
