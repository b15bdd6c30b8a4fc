"""Pretraining of a small encoder: ProtT5's architecture, vocabulary and objective.

Masked-token denoising (15 % of the residues; of these 80 % become the mask token, 10 %
another amino acid, 10 % stay), after Elnaggar et al. 2022 (IEEE TPAMI 44, 7112), with the
loss on the encoder through a linear head. Matrices are trained with Muon (Jordan et al.
2024), the rest with AdamW; the learning rate warms up, stays, and falls linearly to zero
over the last part of the planned tokens, so a run can be ended early by planning fewer.

Every batch follows from the seed and its number alone, so a resumed run sees what an
uninterrupted one would have seen.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from omicsai.embedding.pooling import POOLING, Pooling
from omicsai.embedding.t5 import Shape, T5Encoder
from omicsai.embedding.vocabulary import MASK, PROTT5, STANDARD, VOCABULARY_SIZE
from omicsai.errors import InputError
from omicsai.progress import track
from omicsai.tables import atomic_path, write_json

__all__ = [
    "ON_GPU",
    "MaskedModel",
    "Recipe",
    "load_masked",
    "perplexity",
    "pretrain",
    "save_encoder",
    "saved_pooling",
]

logger = logging.getLogger(__name__)

CLASSES = 28  # <pad>, </s>, <unk> and the letters
IGNORE = -100
REST_RATE = 1.0  # learning rate of embeddings, norms and head beside that of the matrices
WATCHED = 100  # held-out proteins whose perplexity is followed
GROUPS = 4  # proteins of a batch are cropped to the shortest of their group
ON_GPU: dict[str, Any] = {  # large steps keep it busy, and longer crops cost it little
    "batch_tokens": 32_768, "crop": 256, "final_crop": 512, "learning_rate": 0.006,
    "warmup_steps": 100, "decay": 0.5,
}  # fmt: skip
IS_STANDARD = np.zeros(VOCABULARY_SIZE, dtype=bool)
IS_STANDARD[STANDARD] = True


@dataclass(frozen=True)
class Recipe:
    """How an encoder is trained.

    Attributes
    ----------
    width, heads, layers
        Size; the feed-forward layer is four times as wide.
    tokens
        Planned number of tokens, repeats included.
    batch_tokens
        Tokens of one step.
    crop
        Longest piece of a protein before the learning rate falls; `final_crop` after.
    learning_rate
        Largest, of the matrices and of the rest alike.
    warmup_steps
        Steps of linear warm-up.
    decay
        Last fraction of the tokens, over which the learning rate falls to zero.
    mask
        Fraction of the residues to predict.
    seed
        Seed of every random choice.
    """

    width: int = 192
    heads: int = 6
    layers: int = 4
    tokens: int = 20_000_000
    batch_tokens: int = 4096
    crop: int = 128
    final_crop: int = 256
    learning_rate: float = 0.003
    warmup_steps: int = 50
    decay: float = 0.6
    mask: float = 0.15
    seed: int = 1

    @property
    def shape(self) -> Shape:
        """Size of the encoder."""
        return Shape(
            vocab_size=VOCABULARY_SIZE, d_model=self.width, d_kv=self.width // self.heads,
            d_ff=4 * self.width, num_heads=self.heads, num_layers=self.layers,
        )  # fmt: skip

    @property
    def steps(self) -> int:
        """Number of steps of the plan."""
        return max(1, math.ceil(self.tokens / self.batch_tokens))

    def rate(self, step: int) -> float:
        """Learning rate of a step as a fraction of the largest."""
        left = (self.steps - step) / max(1.0, self.decay * self.steps)
        return min(1.0, (step + 1) / self.warmup_steps, left)

    def falling(self, step: int) -> bool:
        """Whether the learning rate of a step is falling."""
        return step >= self.steps - self.decay * self.steps


class MaskedModel(nn.Module):
    """An encoder with a linear head over the residues.

    Initial values: matrices that write to the residual stream and the head are zero; the
    heads start by looking at one distance each (the first one everywhere), because near
    residues and the protein's composition are what a small model learns first.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.encoder = T5Encoder(shape)
        self.head = nn.Linear(shape.d_model, CLASSES, bias=False)

    def initialise(self, generator: torch.Generator) -> None:
        """Set the initial values."""
        shape = self.encoder.shape
        with torch.no_grad():
            for name, value in self.named_parameters():
                if value.ndim == 2:
                    value.normal_(0, value.shape[1] ** -0.5, generator=generator)
                if name.endswith((".o.weight", ".wo.weight", "head.weight")):
                    value.zero_()
            self.encoder.embedding.weight.normal_(0, 1.0, generator=generator)
            for name, value in self.named_parameters():
                if name.endswith("qkv.weight"):  # dot products of unit variance
                    value[: shape.inner] *= shape.d_kv**-0.5
            self.encoder.bias.weight.zero_()
            near = [1, -1, 2, -2, 3, -3, 4, -4, 7, -7]
            half = shape.relative_attention_num_buckets // 2
            for head, distance in enumerate(near[: shape.num_heads - 1], start=1):
                bucket = abs(distance) + half * (distance > 0)
                self.encoder.bias.weight[bucket, head] = 4.0

    def loss(self, tokens: Tensor, lengths: Sequence[int], targets: Tensor) -> Tensor:
        """Mean cross-entropy (nats) of the tokens whose target is not `IGNORE`."""
        # all of them through the head: choosing would make a GPU wait
        scores = self.head(self.encoder(tokens, lengths)).float()
        return F.cross_entropy(scores, targets, ignore_index=IGNORE)


def masked(
    tokens: NDArray[np.int64], rng: np.random.Generator, share: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Hide a share of the residues.

    Parameters
    ----------
    tokens
        (n,) tokens.
    rng
        Source of randomness.
    share
        Fraction of the standard amino acids to predict.

    Returns
    -------
    corrupted, targets : (n,) int64
        Input of the model, and the tokens to predict (`IGNORE` elsewhere).
    """
    chosen = IS_STANDARD[tokens] & (rng.random(len(tokens)) < share)
    fate = rng.random(len(tokens))
    other = rng.choice(STANDARD, len(tokens))
    corrupted = np.where(chosen & (fate < 0.8), MASK, tokens)
    corrupted = np.where(chosen & (fate >= 0.9), other, corrupted)
    return corrupted, np.where(chosen, tokens, IGNORE)


class Corpus:
    """Tokens of many proteins, each closed by the end token, in one array."""

    def __init__(self, residues: Sequence[str]) -> None:
        pieces = [PROTT5.tokens(text) for text in residues]
        self.tokens = np.concatenate(pieces).astype(np.int16)
        self.ends = np.cumsum([len(piece) for piece in pieces])
        self.lengths = np.diff(self.ends, prepend=0)
        self.digest = hashlib.sha256(self.tokens.tobytes()).hexdigest()

    def protein(self, index: int) -> NDArray[np.int64]:
        """Tokens of one protein."""
        end = self.ends[index]
        return self.tokens[end - self.lengths[index] : end].astype(np.int64)

    def batch(self, step: int, recipe: Recipe) -> tuple[NDArray[np.int64], list[int]]:
        """Crops of random proteins, long ones more often, in groups of equal length.

        The crops that would hang over an end of the protein are moved to it, so that the
        ends are seen as often as the middle.

        Returns
        -------
        tokens : (n,) int64
            Crops one behind the other.
        lengths : list of int
            Their lengths, sorted.
        """
        rng = np.random.default_rng([recipe.seed, step])
        crop = recipe.final_crop if recipe.falling(step) else recipe.crop
        count = max(1, recipe.batch_tokens // crop)
        # a random residue chooses the protein and the middle of its crop
        middle = rng.integers(len(self.tokens), size=count)
        chosen = np.searchsorted(self.ends, middle, side="right")
        order = np.argsort(self.lengths[chosen], kind="stable")
        pieces, lengths = [], []
        for group in np.array_split(order, min(GROUPS, count)):
            length = min(crop, int(self.lengths[chosen[group[0]]]))
            for i in group:
                first = self.ends[chosen[i]] - self.lengths[chosen[i]]
                last = self.ends[chosen[i]] - length
                start = min(max(middle[i] - length // 2, first), last)
                pieces.append(self.tokens[start : start + length])
                lengths.append(length)
        return np.concatenate(pieces).astype(np.int64), lengths


def perplexity(
    model: MaskedModel,
    residues: Sequence[str],
    *,
    share: float = 0.15,
    seed: int = 0,
    batch_tokens: int = 4096,
) -> NDArray[np.float64]:
    """Masked-token losses of whole proteins.

    A share of the residues is replaced by the mask token, all of them.

    Parameters
    ----------
    model
        The model.
    residues
        n proteins.
    share
        Fraction of the residues to predict.
    seed
        Seed of the choice.
    batch_tokens
        Tokens of one pass.

    Returns
    -------
    (n, 2) float64
        Summed loss (nats) and number of predicted residues of each protein; the
        perplexity is the exponential of the ratio of the sums.
    """
    rng = np.random.default_rng(seed)
    result = np.zeros((len(residues), 2))
    encoded = []
    for text in residues:
        tokens = PROTT5.tokens(text)
        chosen = IS_STANDARD[tokens] & (rng.random(len(tokens)) < share)
        encoded.append((np.where(chosen, MASK, tokens), tokens, chosen))
    device = next(model.parameters()).device
    order = sorted(range(len(encoded)), key=lambda i: len(encoded[i][0]))
    with torch.inference_mode():
        while order:
            part: list[int] = []
            while order and (
                not part or sum(len(encoded[i][0]) for i in part) < batch_tokens
            ):
                part.append(order.pop())
            lengths = [len(encoded[i][0]) for i in part]
            inputs, truth, chosen = (
                np.concatenate([encoded[i][k] for i in part]) for k in range(3)
            )
            hidden = model.encoder(torch.from_numpy(inputs).to(device), lengths)
            kept = torch.from_numpy(chosen).to(device)
            losses = F.cross_entropy(
                model.head(hidden[kept]).float(),
                torch.from_numpy(truth).to(device)[kept],
                reduction="none",
            ).cpu()
            owner = np.repeat(part, lengths)[chosen]
            result[:, 0] += np.bincount(owner, losses.double(), minlength=len(residues))
            result[:, 1] += np.bincount(owner, minlength=len(residues))
    return result


def pretrain(
    residues: Sequence[str],
    held_out: Sequence[str],
    recipe: Recipe,
    folder: Path | str,
    *,
    threads: int = 1,
    device: str = "cpu",
    checkpoint_seconds: float = 180.0,
) -> MaskedModel:
    """Train an encoder, going on from the last checkpoint if there is one.

    Parameters
    ----------
    residues
        Canonical sequences to learn from.
    held_out
        Unrelated sequences; the perplexity of the first 100 is logged at every checkpoint.
    recipe
        Size and plan. A resumed run may plan fewer or more tokens as long as the learning
        rate had not begun to fall.
    folder
        Where ``checkpoint.safetensors`` and ``history.json`` are kept.
    threads
        CPU threads.
    device
        ``"cpu"`` or ``"cuda"``.
    checkpoint_seconds
        Time between checkpoints: at most this much work is lost when a run is killed.

    Returns
    -------
    MaskedModel
        The trained model, in float32 on the CPU.

    Raises
    ------
    InputError
        If there is nothing to learn from, or the checkpoint is of another recipe.
    """
    if not residues:
        raise InputError("nothing to learn from: no sequence is left")
    torch.set_num_threads(threads)
    folder = Path(folder)
    corpus = Corpus(residues)
    model = MaskedModel(recipe.shape)
    model.initialise(torch.Generator().manual_seed(recipe.seed))
    model = model.to(device)
    optimisers = _optimisers(model, recipe)
    first, seconds, history = _resume(folder, model, optimisers, recipe, corpus)
    lower = _lower_precision(device)
    logger.info(
        "%d proteins, %.1f M residues; %.2f M parameters; steps %d to %d of %d tokens%s",
        len(residues), len(corpus.tokens) / 1e6,
        sum(p.numel() for p in model.parameters()) / 1e6, first, recipe.steps,
        recipe.batch_tokens, ", bfloat16 products" if lower else "",
    )  # fmt: skip
    started = saved = time.monotonic()
    losses: list[Tensor] = []
    for step in track(
        range(first, recipe.steps), total=recipe.steps - first, label="pretrain"
    ):
        for optimiser in optimisers:
            for group in optimiser.param_groups:
                group["lr"] = group["largest"] * recipe.rate(step)
        tokens, lengths = corpus.batch(step, recipe)
        rng = np.random.default_rng([recipe.seed, step, 1])
        corrupted, targets = masked(tokens, rng, recipe.mask)
        with torch.autocast(device, torch.bfloat16, enabled=lower):
            loss = model.loss(_on(device, corrupted), lengths, _on(device, targets))
        loss.backward()
        for optimiser in optimisers:
            optimiser.step()
            optimiser.zero_grad()
        losses.append(loss.detach())
        now = time.monotonic()
        if now - saved >= checkpoint_seconds or step + 1 == recipe.steps:
            history.append({
                "step": step + 1,
                "tokens": (step + 1) * recipe.batch_tokens,
                "seconds": round(seconds + now - started, 1),
                "loss": round(float(torch.stack(losses).mean()), 4),
            })  # fmt: skip
            loss_sum, count = perplexity(model, held_out[:WATCHED]).sum(axis=0)
            if count:
                history[-1]["held_out_perplexity"] = round(math.exp(loss_sum / count), 4)
            logger.info("%s", ", ".join(f"{k} {v}" for k, v in history[-1].items()))
            _save(folder, model, optimisers, recipe, corpus, history)
            losses, saved = [], time.monotonic()
    return model.float().cpu()


def _on(device: str, values: NDArray[np.int64]) -> Tensor:
    """Send values to the device without waiting for what runs there."""
    tensor = torch.from_numpy(values)
    if device == "cpu":
        return tensor
    return tensor.pin_memory().to(device, non_blocking=True)


def _optimisers(model: MaskedModel, recipe: Recipe) -> list[torch.optim.Optimizer]:
    matrices: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, value in model.named_parameters():
        (matrices if value.ndim == 2 and ".blocks." in name else rest).append(value)
    optimisers: list[torch.optim.Optimizer] = [
        torch.optim.Muon(matrices, lr=recipe.learning_rate, weight_decay=0.0,
                         adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(rest, lr=recipe.learning_rate * REST_RATE, betas=(0.9, 0.98),
                          weight_decay=0.0),
    ]  # fmt: skip
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["largest"] = group["lr"]
    return optimisers


def _lower_precision(device: str) -> bool:
    """Whether matrix products in bfloat16 are faster here."""
    return device == "cuda" or torch.cpu._is_avx512_bf16_supported()


def _save(
    folder: Path,
    model: MaskedModel,
    optimisers: list[torch.optim.Optimizer],
    recipe: Recipe,
    corpus: Corpus,
    history: list[dict[str, float]],
) -> None:
    """Write a checkpoint; one file holds all of it, so it is whole or the one before."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    for i, optimiser in enumerate(optimisers):
        for j, state in optimiser.state_dict()["state"].items():
            for name, value in state.items():
                tensors[f"optimiser.{i}.{j}.{name}"] = torch.as_tensor(value)
    about = {"recipe": asdict(recipe), "corpus": corpus.digest, "history": history}
    with atomic_path(folder / "checkpoint.safetensors") as temporary:
        save_file(
            {name: value.contiguous().clone() for name, value in tensors.items()},
            temporary,
            metadata={"omicsai": json.dumps(about)},
        )
    write_json(folder / "history.json", history)


def _resume(
    folder: Path,
    model: MaskedModel,
    optimisers: list[torch.optim.Optimizer],
    recipe: Recipe,
    corpus: Corpus,
) -> tuple[int, float, list[dict[str, float]]]:
    """Load the last checkpoint; give the next step, the seconds so far and the history."""
    path = folder / "checkpoint.safetensors"
    if not path.exists():
        return 0, 0.0, []
    try:
        with safe_open(path, "pt") as file:
            about = json.loads(file.metadata()["omicsai"])
        tensors = load_file(path)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is damaged ({error}): remove it to start anew, or choose another --out"
        ) from error
    before = Recipe(**about["recipe"])
    history = about["history"]
    step = int(history[-1]["step"])
    planned = replace(before, tokens=recipe.tokens, decay=recipe.decay)
    if about["corpus"] != corpus.digest or planned != recipe:
        raise InputError(
            f"{path} belongs to another corpus or recipe: choose another --out or remove it"
        )
    if before != recipe and (before.falling(step) or recipe.falling(step)):
        raise InputError(
            f"{path}: the number of tokens can be changed only before the learning rate "
            f"falls (step {step}): plan at least "
            f"{math.ceil(step * recipe.batch_tokens / (1 - recipe.decay)):,} tokens"
        )
    model.load_state_dict({
        name.removeprefix("model."): value
        for name, value in tensors.items()
        if name.startswith("model.")
    })  # fmt: skip
    for i, optimiser in enumerate(optimisers):
        state: dict[int, dict[str, Any]] = {}
        for key, value in tensors.items():
            kind, *rest = key.split(".")
            if kind == "optimiser" and int(rest[0]) == i:
                state.setdefault(int(rest[1]), {})[rest[2]] = value
        groups = optimiser.state_dict()["param_groups"]
        optimiser.load_state_dict({"state": state, "param_groups": groups})
    return step, float(history[-1]["seconds"]), history


def save_encoder(model: MaskedModel, pooling: Pooling, folder: Path | str) -> None:
    """Write an encoder as `transformers` would: ``config.json`` and float16 weights.

    The head goes along as ``lm_head.weight``, for measuring the perplexity, and what
    makes vectors of states as ``pooling.*``.

    Parameters
    ----------
    model
        The trained model.
    pooling
        From `omicsai.embedding.pooling.fit_pooling`.
    folder
        Where to write.
    """
    folder = Path(folder)
    state = model.encoder.transformers_state() | {
        "lm_head.weight": model.head.weight.detach()
    }
    halves = {name: value.half().contiguous() for name, value in state.items()}
    with atomic_path(folder / "model.safetensors") as temporary:
        save_file(halves | pooling.tensors(), temporary, metadata={"format": "pt"})
    shape = asdict(model.encoder.shape)
    about = {
        "architectures": ["T5EncoderModel"], "model_type": "t5", "pad_token_id": 0,
        "eos_token_id": PROTT5.behind[0], "is_encoder_decoder": False, "use_cache": False,
        "omicsai_pooling": POOLING,
    }  # fmt: skip
    write_json(folder / "config.json", about | shape)


def saved_pooling(model: MaskedModel, folder: Path | str) -> Pooling | None:
    """Pooling that `save_encoder` wrote for the same weights; None if there is none."""
    folder = Path(folder)
    config, weights = folder / "config.json", folder / "model.safetensors"
    if not (config.is_file() and weights.is_file()):
        return None
    if json.loads(config.read_bytes()).get("omicsai_pooling") != POOLING:
        return None
    state = load_file(weights)
    mine = model.encoder.transformers_state()
    if any(not torch.equal(state[name], mine[name].half()) for name in mine):
        return None
    return Pooling.of(state)


def load_masked(folder: Path | str) -> MaskedModel:
    """Read what `save_encoder` wrote, with its head, in float32."""
    folder = Path(folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    state = load_file(folder / "model.safetensors")
    model = MaskedModel(Shape.of(config))
    model.encoder.load_transformers(state)
    model.head.load_state_dict({"weight": state["lm_head.weight"]})
    return model.eval()
