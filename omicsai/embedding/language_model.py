"""Protein language models through `transformers`: ProtT5, ProtBert, Ankh, ESM-2."""

from __future__ import annotations

import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from omicsai.errors import InputError, ToolError
from omicsai.sequences.alphabet import AMINO_ACIDS
from omicsai.tables.provenance import file_digest, package_versions

if TYPE_CHECKING:
    import torch

__all__ = ["LanguageModel", "load_language_model"]

logger = logging.getLogger(__name__)

RARE_RESIDUES = re.compile("[UZOBJ]")
PROSTT5_PREFIX = "<AA2fold>"
WEIGHT_FILES = ("*.safetensors", "*.bin")


@dataclass(frozen=True)
class LanguageModel:
    """A loaded model with its tokenizer; call `encode`.

    Attributes
    ----------
    spaced
        Whether the tokenizer wants residues separated by blanks.
    prefix
        Token in front of the residues (ProstT5), or empty.
    """

    model: Any
    tokenizer: Any
    device: torch.device
    dimension: int
    spaced: bool
    prefix: str
    identity: dict[str, str]

    def encode(self, residues: str) -> NDArray[np.float32]:
        """Mean of the last hidden states over the residues, special tokens excluded.

        Parameters
        ----------
        residues
            Canonical residues; U, Z, O, B and J are read as X.

        Returns
        -------
        (dimension,) float32
            The pooled embedding, averaged in float32.

        Raises
        ------
        InputError
            If the tokenizer does not give exactly one token per residue, or the sequence
            is longer than the model's position table.
        ToolError
            If the result is not finite.
        """
        import torch

        ids, mask = self.tokenize(residues)
        if int(mask.sum()) != len(residues):
            raise InputError(
                f"the tokenizer of {self.identity['architecture']} made {int(mask.sum())} "
                f"residue tokens of {len(residues)} residues: the folder's tokenizer does "
                "not fit protein sequences"
            )
        limit = self._position_limit()
        if limit is not None and len(ids) > limit:
            raise InputError(
                f"a sequence of {len(residues)} residues exceeds the model's {limit} "
                "positions: set check.max_length, or choose a model with relative "
                "positions such as ProtT5"
            )
        tokens = torch.tensor(ids, device=self.device)[None]
        with torch.inference_mode():
            hidden = self.model(
                input_ids=tokens, attention_mask=torch.ones_like(tokens)
            ).last_hidden_state[0]
            kept = torch.tensor(mask, device=self.device)
            pooled = hidden[kept].float().mean(dim=0).cpu().numpy()
        if not np.isfinite(pooled).all():
            raise ToolError(
                f"the encoder overflowed on a sequence of {len(residues)} residues in "
                f"{self.identity['precision']}"
            )
        return pooled

    def tokenize(self, residues: str) -> tuple[list[int], NDArray[np.bool_]]:
        """Token ids of a sequence and which of them stand for residues."""
        text = RARE_RESIDUES.sub("X", residues)
        text = " ".join(text) if self.spaced else text
        if self.prefix:
            text = f"{self.prefix} {text}"
        ids = list(self.tokenizer(text)["input_ids"])
        special = set(self.tokenizer.all_special_ids)
        if self.prefix:
            special.add(self.tokenizer.convert_tokens_to_ids(self.prefix))
        return ids, np.array([token not in special for token in ids])

    def _position_limit(self) -> int | None:
        config = self.model.config
        if config.model_type == "t5" or (
            getattr(config, "position_embedding_type", "absolute") == "rotary"
        ):
            return None
        return getattr(config, "max_position_embeddings", None)


def load_language_model(
    name: str, *, revision: str | None = None, device: str = "auto", threads: int = 1
) -> LanguageModel:
    """Load a model and its tokenizer from a folder or the Hugging Face hub.

    Weights are read from safetensors, or from a checkpoint that `torch` reads with
    ``weights_only=True``; code that comes with a model is never run. The precision is
    float32 on a CPU and bfloat16 on a GPU (T5 overflows in float16).

    Parameters
    ----------
    name, revision, device, threads
        As in `omicsai.embedding.load_encoder`.

    Returns
    -------
    LanguageModel
        In evaluation mode on its device.

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
    chosen = _choose_device(device)
    dtype = torch.float32 if chosen.type == "cpu" else torch.bfloat16
    try:
        config = AutoConfig.from_pretrained(name, revision=revision)
        tokenizer = AutoTokenizer.from_pretrained(name, revision=revision)
        loader = T5EncoderModel if config.model_type == "t5" else AutoModel
        model = loader.from_pretrained(name, revision=revision, dtype=dtype)
    except (OSError, ValueError, ImportError, RuntimeError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ToolError(
            f"cannot load the encoder '{name}': {reason} — give a local model folder, or "
            "fetch the model once where there is a network ('hf download "
            f"{name}') and set HF_HOME to that cache"
        ) from error
    model = model.to(chosen).eval()
    spaced, prefix = _tokenizer_style(tokenizer, name)
    identity = {
        "revision": _revision(folder, config),
        "precision": str(dtype).removeprefix("torch."),
        "architecture": type(model).__name__,
        **package_versions("torch", "transformers"),
    }
    return LanguageModel(
        model, tokenizer, chosen, int(config.hidden_size), spaced, prefix, identity
    )


def _choose_device(device: str) -> torch.device:
    import torch

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise ToolError("no GPU is visible to torch: use 'embed.device: cpu' or 'auto'")
    return torch.device(device)


def _tokenizer_style(tokenizer: Any, name: str) -> tuple[bool, str]:
    """Whether residues are separated by blanks, and the prefix; found by trying."""
    vocabulary = tokenizer.get_vocab()
    prefix = PROSTT5_PREFIX if PROSTT5_PREFIX in vocabulary else ""
    special = set(tokenizer.all_special_ids)
    for spaced in (True, False):
        probe = " ".join(AMINO_ACIDS) if spaced else AMINO_ACIDS
        ids = list(tokenizer(probe)["input_ids"])
        residues = [token for token in ids if token not in special]
        # Ankh's vocabulary has no blank: joined by blanks, every other token is unknown
        if tokenizer.unk_token_id in ids:
            continue
        if len(residues) == len(set(residues)) == len(AMINO_ACIDS):
            return spaced, prefix
    raise ToolError(
        f"the tokenizer of '{name}' does not give one token per amino acid: this is not a "
        "protein language model, or its tokenizer files are missing"
    )


def _revision(folder: Path, config: Any) -> str:
    if folder.is_dir():
        files = [folder / "config.json"]
        for pattern in WEIGHT_FILES:
            files += sorted(folder.glob(pattern))
        return "-".join(file_digest(file)[:12] for file in files)
    return getattr(config, "_commit_hash", None) or "unknown"
