"""Protein language models: ProtT5, ProstT5, Ankh, ProtBert, ESM-2 and the like.

T5 encoders run on our own packed engine (`omicsai.embedding.t5`); the other families run
on `transformers`, sequences of exactly one length at a time. Neither pads.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from omicsai.embedding.encoders import Encoded
from omicsai.embedding.vocabulary import Vocabulary, read_vocabulary
from omicsai.errors import InputError, ToolError
from omicsai.tables.provenance import file_digest, package_versions

if TYPE_CHECKING:
    import torch

    from omicsai.embedding.t5 import T5Encoder

__all__ = ["LanguageModel", "choose_device", "load_language_model"]

logger = logging.getLogger(__name__)

WEIGHT_FILES = ("*.safetensors", "*.bin")
CACHE_VALUES = (
    2**22
)  # on a CPU, what the widest layer makes of a batch should stay in cache
GPU_SHARE = 0.4  # of the free memory of a GPU, for the activations of a batch
GPU_TOKENS = 65_536


@dataclass(frozen=True)
class LanguageModel:
    """A loaded model; call `encode`.

    Attributes
    ----------
    states
        Packed tokens (n,) and the length of each sequence to the states (n, dimension).
    vocabulary
        From residues to tokens.
    dimension, widest
        Width of the states and of the widest layer.
    bytes_per_token
        Memory that the states of one token need while a batch runs.
    limit
        Longest sequence in residues; None if there is no limit.
    identity
        Revision, precision and versions of what a vector depends on.
    """

    states: Callable[[torch.Tensor, Sequence[int]], torch.Tensor]
    vocabulary: Vocabulary
    device: torch.device
    dimension: int
    widest: int
    bytes_per_token: int
    limit: int | None
    identity: dict[str, str]

    def encode(self, sequences: Sequence[str], residues: bool = False) -> list[Encoded]:
        """Mean of the last hidden states over the residues, special tokens excluded.

        Parameters
        ----------
        sequences
            Canonical residues of n proteins.
        residues
            Give the states as well.

        Returns
        -------
        list of (vector, states)
            (dimension,) float32, averaged in float32, and (length, dimension) float32 or
            None.

        Raises
        ------
        InputError
            If a sequence is empty, or longer than the model reads.
        """
        import torch

        if not sequences:
            return []
        if not all(sequences):
            raise InputError("an empty sequence has no vector: leave it out")
        states = self._residues(sequences)
        means = torch.stack([each.float().mean(dim=0) for each in states]).cpu().numpy()
        if not residues:
            return [(mean, None) for mean in means]
        return [
            (mean, each.float().cpu().numpy())
            for mean, each in zip(means, states, strict=True)
        ]

    def _residues(self, sequences: Sequence[str]) -> list[torch.Tensor]:
        import torch

        tokens = [self.vocabulary.tokens(residues) for residues in sequences]
        lengths = [len(ids) for ids in tokens]
        front, specials = len(self.vocabulary.before), self.vocabulary.specials
        for residues, length in zip(sequences, lengths, strict=True):
            if length != len(residues) + specials:
                raise ToolError(f"{len(residues)} residues became {length} tokens")
            if self.limit is not None and len(residues) > self.limit:
                raise InputError(
                    f"a protein of {len(residues)} residues exceeds the {self.limit} that "
                    "the model reads: set 'check.max_length', or choose a model with "
                    "relative positions such as ProtT5"
                )
        packed = torch.from_numpy(np.concatenate(tokens)).to(self.device)
        with torch.inference_mode():
            states = self.states(packed, lengths)
        if not bool(torch.isfinite(states).all()):
            raise ToolError(
                f"the encoder overflowed in {self.identity['precision']}: choose "
                "'embed.precision: bfloat16' or float32"
            )
        starts = np.cumsum([0, *lengths[:-1]]) + front
        return [
            states[start : start + len(residues)]
            for start, residues in zip(starts, sequences, strict=True)
        ]

    def budget(self) -> int:
        """Tokens of a batch: what fits the cache of a CPU or the memory of a GPU."""
        import torch

        if self.device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(self.device)
            return max(1, min(GPU_TOKENS, int(GPU_SHARE * free / self.bytes_per_token)))
        return max(256, CACHE_VALUES // self.widest)

    def memory(self, length: int) -> int:
        """Bytes needed to encode one protein of `length` residues."""
        return (length + self.vocabulary.specials) * self.bytes_per_token


def load_language_model(
    name: str,
    *,
    revision: str | None = None,
    device: str = "auto",
    precision: str = "auto",
    threads: int = 1,
) -> LanguageModel:
    """Load a model and its tokenizer from a folder or the Hugging Face hub.

    Weights are read from safetensors, or from a checkpoint that `torch` reads with
    ``weights_only=True``; code that comes with a model is never run.

    Parameters
    ----------
    name, revision, device, precision, threads
        As in `omicsai.embedding.load_encoder`.

    Returns
    -------
    LanguageModel
        On its device.

    Raises
    ------
    ToolError
        If the model cannot be found or loaded, or its tokenizer does not give one token
        per amino acid.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    import torch
    from transformers import AutoConfig, AutoModel, AutoTokenizer, T5EncoderModel
    from transformers.utils import logging as transformers_logging

    from omicsai.embedding.t5 import Shape, T5Encoder

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    folder = Path(name)
    if not folder.exists() and (folder.is_absolute() or name.startswith((".", "~"))):
        raise ToolError(f"'{name}' does not exist: 'embed.encoder' names no model folder")
    if folder.exists() and not (folder / "config.json").is_file():
        raise ToolError(
            f"{folder} is not a model folder: it has no config.json (expected a folder "
            "saved by transformers, with weights and tokenizer)"
        )
    torch.set_num_threads(threads)
    chosen = choose_device(device)
    dtype = choose_precision(precision, chosen)
    try:
        config = AutoConfig.from_pretrained(name, revision=revision)
        tokenizer = AutoTokenizer.from_pretrained(name, revision=revision)
        loader = T5EncoderModel if config.model_type == "t5" else AutoModel
        model = loader.from_pretrained(name, revision=revision, dtype=dtype)
        encoder = None
        if config.model_type == "t5":
            encoder = T5Encoder(Shape.of(config.to_dict()))
            encoder.load_transformers(model.state_dict())
    except (OSError, ValueError, ImportError, RuntimeError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ToolError(
            f"cannot load the encoder '{name}': {reason} — give a local model folder, or "
            "fetch the model once where there is a network ('hf download "
            f"{name}') and set HF_HOME to that cache"
        ) from error
    vocabulary = read_vocabulary(tokenizer, name)
    identity = {
        "revision": _revision(folder, config),
        "precision": precision
        if precision == "int8"
        else str(dtype).removeprefix("torch."),
        "architecture": type(model).__name__,
        **package_versions("torch", "transformers"),
    }
    if encoder is not None:
        return packed_model(encoder.to(dtype), vocabulary, chosen, identity)
    model = model.to(chosen).eval()
    width = int(config.hidden_size)
    widest = int(getattr(config, "intermediate_size", 4 * width))
    return LanguageModel(
        states=_by_length(model), vocabulary=vocabulary, device=chosen, dimension=width,
        widest=widest, bytes_per_token=model.dtype.itemsize * (8 * width + 2 * widest),
        limit=_position_limit(config, vocabulary), identity=identity,
    )  # fmt: skip


def packed_model(
    encoder: T5Encoder,
    vocabulary: Vocabulary,
    device: torch.device,
    identity: dict[str, str],
    layers: Sequence[int] | None = None,
) -> LanguageModel:
    """Put a T5 encoder behind the interface of a language model.

    Parameters
    ----------
    encoder
        In the precision it is to run in.
    vocabulary
        Its tokens.
    device
        Where it runs.
    identity
        What its vectors depend on.
    layers
        Which states to give side by side (0: the embedding); None for the last ones.

    Returns
    -------
    LanguageModel
        Without a limit of length.
    """
    import torch

    encoder = encoder.to(device).eval().requires_grad_(False)
    if identity["precision"] == "int8":
        encoder = encoder.quantise()
    elif device.type == "cpu":
        encoder = encoder.pack()
    shape = encoder.shape

    def joined(tokens: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
        every = encoder.states(tokens, lengths)
        return torch.cat([every[layer] for layer in layers or [-1]], dim=1)

    # residual stream, norms, queries, keys, values and mixed values live at once
    values = 6 * shape.d_model + 6 * shape.inner
    return LanguageModel(
        states=encoder if layers is None else joined, vocabulary=vocabulary,
        device=device, dimension=shape.d_model * len(layers or [-1]),
        widest=shape.d_ff, bytes_per_token=values * encoder.norm.weight.itemsize,
        limit=None, identity=identity,
    )  # fmt: skip


def _by_length(model: Any) -> Callable[[torch.Tensor, Sequence[int]], torch.Tensor]:
    """Packed interface of a `transformers` model: one pass per run of equal lengths."""
    import torch

    def states(tokens: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
        parts, start = [], 0
        for length, run in groupby(lengths):
            count = len(list(run))
            ids = tokens[start : start + count * length].view(count, length)
            hidden = model(input_ids=ids, attention_mask=torch.ones_like(ids))
            parts.append(hidden.last_hidden_state.reshape(count * length, -1))
            start += count * length
        return torch.cat(parts)

    return states


def choose_device(device: str) -> torch.device:
    """Device by name; ``"auto"`` is a GPU if there is one."""
    import torch

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ToolError("no GPU is visible to torch: use 'embed.device: cpu' or 'auto'")
    return torch.device(device)


def choose_precision(precision: str, device: torch.device) -> torch.dtype:
    """Type of weights and states; ``"auto"`` is float32 on a CPU, bfloat16 on a GPU."""
    import torch

    if precision == "int8":
        if device.type != "cpu":
            raise ToolError("'embed.precision: int8' runs on a CPU only: use bfloat16")
        return torch.float32
    if precision == "auto":
        precision = "float32" if device.type == "cpu" else "bfloat16"
    return {
        "float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16
    }[precision]  # fmt: skip


def _position_limit(config: Any, vocabulary: Vocabulary) -> int | None:
    if getattr(config, "position_embedding_type", "absolute") == "rotary":
        return None
    positions = getattr(config, "max_position_embeddings", None)
    if positions is None:
        return None
    if config.model_type == "esm":  # positions are counted from behind the padding token
        positions -= config.pad_token_id + 1
    return int(positions) - vocabulary.specials


def _revision(folder: Path, config: Any) -> str:
    if folder.is_dir():
        files = [folder / "config.json"]
        for pattern in WEIGHT_FILES:
            files += sorted(folder.glob(pattern))
        return "-".join(file_digest(file)[:12] for file in files)
    return getattr(config, "_commit_hash", None) or "unknown"
