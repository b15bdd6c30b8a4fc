"""A T5 encoder over packed sequences: no padding anywhere.

Sequences are laid one behind the other; everything that acts on a residue alone (norms and
linear layers) runs once over all of them, and only attention looks at one sequence at a
time. Architecture after Raffel et al. 2020 (JMLR 21), as ProtT5, ProstT5 and Ankh use it:
RMSNorm before each sub-layer, no biases, unscaled dot products, and one table of relative
position biases shared by all layers.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from omicsai.embedding.linear import Int8Linear, PackedLinear, can_pack

__all__ = ["Shape", "T5Encoder", "distance_buckets"]

FEED_FORWARD = ("relu", "gated-gelu")
BIAS_BYTES = 256 * 2**20  # of the relative bias on a GPU
FEED_FORWARD_BYTES = 64 * 2**20  # the widest activation is cut into pieces of this size
FEED_FORWARD_BYTES_GPU = 2**30  # where a product needs many rows to fill the device
HAS_TRITON = importlib.util.find_spec("triton") is not None

# from queries, keys and values side by side (n, 3 heads width) to mixed values
Attention = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Shape:
    """Size of an encoder, in the words of its ``config.json``.

    Attributes
    ----------
    vocab_size, d_model, d_kv, d_ff, num_heads, num_layers
        Tokens, width, width of a head, width of the feed-forward layer, heads, blocks.
    relative_attention_num_buckets, relative_attention_max_distance
        Buckets of the relative positions, and the distance from which on all are alike.
    layer_norm_epsilon
        Added to the mean square in RMSNorm.
    feed_forward_proj
        ``"relu"`` (ProtT5) or ``"gated-gelu"`` (Ankh).
    """

    vocab_size: int
    d_model: int
    d_kv: int
    d_ff: int
    num_heads: int
    num_layers: int
    relative_attention_num_buckets: int = 32
    relative_attention_max_distance: int = 128
    layer_norm_epsilon: float = 1e-6
    feed_forward_proj: str = "relu"

    @classmethod
    def of(cls, config: dict[str, Any]) -> Shape:
        """Take what is needed from a T5 configuration.

        Raises
        ------
        ValueError
            If its feed-forward layer is of a kind that is not known here.
        """
        shape = cls(
            **{key: config[key] for key in cls.__dataclass_fields__ if key in config}
        )
        if shape.feed_forward_proj not in FEED_FORWARD:
            raise ValueError(
                f"its feed-forward layer is '{shape.feed_forward_proj}', but only "
                f"{' and '.join(FEED_FORWARD)} are known"
            )
        return shape

    @property
    def gated(self) -> bool:
        """Whether the feed-forward layer has a gate."""
        return self.feed_forward_proj.startswith("gated-")

    @property
    def inner(self) -> int:
        """Width of all heads together."""
        return self.num_heads * self.d_kv


def distance_buckets(distance: Tensor, buckets: int, max_distance: int) -> Tensor:
    """Bucket of each relative position: exact when near, logarithmic when far.

    Parameters
    ----------
    distance
        Integer tensor, position of the key minus position of the query.
    buckets
        Number of buckets, half for each direction.
    max_distance
        Distance from which on all positions share the last bucket.

    Returns
    -------
    int64 Tensor
        Buckets in the shape of `distance` (Raffel et al. 2020, section 2.1).
    """
    half = buckets // 2
    exact = half // 2
    far = distance.abs().clamp(min=1).float() / exact
    log = exact + (torch.log(far) / math.log(max_distance / exact) * (half - exact)).long()
    size = torch.where(distance.abs() < exact, distance.abs(), log.clamp(max=half - 1))
    return size + half * (distance > 0)


class RMSNorm(nn.Module):
    """Scale by the root mean square, computed in float32 (T5's layer norm)."""

    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, x.shape[-1:], self.weight, self.epsilon)


class Block(nn.Module):
    """Self-attention and feed-forward, each on the normalised residual stream."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        width, epsilon = shape.d_model, shape.layer_norm_epsilon
        self.attention_norm = RMSNorm(width, epsilon)
        self.qkv = nn.Linear(width, 3 * shape.inner, bias=False)
        self.o = nn.Linear(shape.inner, width, bias=False)
        self.feed_forward_norm = RMSNorm(width, epsilon)
        self.wi = nn.Linear(width, shape.d_ff * (2 if shape.gated else 1), bias=False)
        self.wo = nn.Linear(shape.d_ff, width, bias=False)

    def forward(self, x: Tensor, attend: Attention) -> Tensor:
        x = x + self.o(attend(self.qkv(self.attention_norm(x))))
        piece = FEED_FORWARD_BYTES_GPU if x.is_cuda else FEED_FORWARD_BYTES
        rows = max(1, piece // (self.wi.out_features * x.element_size()))
        pieces = [self.feed_forward(some) for some in x.split(rows)]
        return x + (pieces[0] if len(pieces) == 1 else torch.cat(pieces))

    def feed_forward(self, x: Tensor) -> Tensor:
        hidden = self.wi(self.feed_forward_norm(x))
        if self.shape.gated:
            gate, hidden = hidden.chunk(2, dim=-1)
            return self.wo(F.gelu(gate, approximate="tanh") * hidden)
        if isinstance(self.wi, PackedLinear):  # which did it
            return self.wo(hidden)
        return self.wo(F.relu(hidden, inplace=True))


def attention_by_run(shape: Shape, runs: list[tuple[int, int, Tensor]]) -> Attention:
    """Attention within each sequence; sequences of one length share a call.

    Parameters
    ----------
    shape
        Of the encoder.
    runs
        Length, number and bias of the sequences of each run, in the order of the tokens.
    """

    def attend(qkv: Tensor) -> Tensor:
        mixed = []
        sizes = [length * count for length, count, _ in runs]
        for rows, (length, count, bias) in zip(qkv.split(sizes), runs, strict=True):
            q, k, v = rows.view(
                count, length, 3, shape.num_heads, shape.d_kv
            ).permute(2, 0, 3, 1, 4)  # fmt: skip
            heads = attention(q, k, v, bias)
            mixed.append(heads.transpose(1, 2).reshape(len(rows), shape.inner))
        return mixed[0] if len(mixed) == 1 else torch.cat(mixed)

    return attend


def attention(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    """Exact attention with a bias that depends on the distance only.

    Without gradients, the (L, L) bias is not made: with the queries in reverse order its
    entry (i, j) is element i + j of the L + L - 1 biases by distance, which is a view with
    both strides 1.

    Parameters
    ----------
    q, k, v
        (n, heads, L, width) tensors.
    bias
        (heads, 2 L - 1), from key - query = 1 - L to L - 1; in training (heads, L, L),
        which on short pieces is the faster way.

    Returns
    -------
    (n, heads, L, width) Tensor
        Mixed values.
    """
    length, heads = q.shape[-2], q.shape[1]
    if bias.ndim == 3:
        q, k, v = q.contiguous(), k.contiguous(), v.contiguous()
        return torch.softmax(q @ k.transpose(-1, -2) + bias.to(q.dtype), dim=-1) @ v
    if q.device.type != "cpu":  # kernels of GPUs want the bias written out: rows by rows
        rows = max(1, BIAS_BYTES // (heads * length * q.element_size()))
        return _attention_by_rows(q, k, v, bias, rows)
    square = bias.as_strided((1, heads, length, length), (0, 2 * length - 1, 1, 1))
    mixed = F.scaled_dot_product_attention(q.flip(-2), k, v, attn_mask=square, scale=1.0)
    return mixed.flip(-2)


def square_bias(by_distance: Tensor) -> Tensor:
    """(heads, L, L) bias from (heads, 2 L - 1) by distance, in views and one copy.

    With the distances modulo 2 L in a row, L such rows behind each other cut anew every
    2 L - 1 numbers begin one distance earlier each: the gradient is a plain sum.
    """
    heads, length = len(by_distance), (by_distance.shape[1] + 1) // 2
    modulo = F.pad(by_distance, (0, 1)).roll(1 - length, dims=1)
    rows = modulo[:, None].expand(heads, length, 2 * length).reshape(heads, -1)
    return rows[:, :-length].view(heads, length, 2 * length - 1)[:, :, :length]


def _attention_by_rows(
    q: Tensor, k: Tensor, v: Tensor, by_distance: Tensor, rows: int
) -> Tensor:
    """Do the same with at most `rows` rows of the bias in memory."""
    length, heads = q.shape[-2], q.shape[1]
    mixed = []
    for start in range(0, length, rows):
        some = q[:, :, start : start + rows]
        count = some.shape[-2]
        first = length - start - count  # of the queries in reverse order
        bias = by_distance.as_strided(
            (1, heads, count, length), (0, 2 * length - 1, 1, 1), first
        )
        mixed.append(
            F.scaled_dot_product_attention(
                some.flip(-2), k, v, attn_mask=bias.contiguous(), scale=1.0
            ).flip(-2)
        )
    return torch.cat(mixed, dim=-2)


class T5Encoder(nn.Module):
    """The encoder of a T5 model.

    Parameters
    ----------
    shape
        Its size.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocab_size, shape.d_model)
        self.bias = nn.Embedding(shape.relative_attention_num_buckets, shape.num_heads)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.num_layers))
        self.norm = RMSNorm(shape.d_model, shape.layer_norm_epsilon)

    def forward(self, tokens: Tensor, lengths: Sequence[int]) -> Tensor:
        """Encode packed sequences.

        Parameters
        ----------
        tokens
            (n,) int64, the tokens of all sequences one behind the other.
        lengths
            Number of tokens of each sequence; they add up to n.

        Returns
        -------
        (n, d_model) Tensor
            The last hidden state of every token.
        """
        *_, last = self.states(tokens, lengths)
        return last

    def states(self, tokens: Tensor, lengths: Sequence[int]) -> list[Tensor]:
        """Residual stream after the embedding and each block, the last one normalised."""
        if sum(lengths) != len(tokens):
            raise ValueError(f"{len(tokens)} tokens, but lengths add up to {sum(lengths)}")
        attend = self._attention(lengths)
        x = self.embedding(tokens)
        states = [x]
        for block in self.blocks:
            x = block(x, attend)
            states.append(x)
        states[-1] = self.norm(x)
        return states

    def _attention(self, lengths: Sequence[int]) -> Attention:
        """Attention within sequences of these lengths, by the way that suits the device."""
        shape, training = self.shape, torch.is_grad_enabled()
        tiled = shape.d_kv >= 16 and shape.d_kv.bit_count() == 1  # what Triton multiplies
        if self.bias.weight.is_cuda and HAS_TRITON and tiled and not training:
            from omicsai.embedding.varlen import varlen_attention

            far = shape.relative_attention_max_distance
            return varlen_attention(lengths, self.bias_by_distance(far + 1), shape.d_kv)
        runs = []
        for length, same in groupby(lengths):
            bias = self.bias_by_distance(length)
            runs.append((length, len(list(same)), square_bias(bias) if training else bias))
        return attention_by_run(shape, runs)

    def quantise(self) -> T5Encoder:
        """Replace the linear layers by 8-bit ones, in place."""
        for block in self.blocks:
            for name in ("qkv", "o", "wi", "wo"):
                setattr(block, name, Int8Linear(getattr(block, name)))
        return self

    def pack(self) -> T5Encoder:
        """Replace the linear layers by packed ones where the CPU gains, in place."""
        if can_pack(self.norm.weight.dtype):
            for block in self.blocks:
                for name in ("qkv", "o", "wi", "wo"):
                    relu = name == "wi" and not self.shape.gated
                    layer = PackedLinear(getattr(block, name), "relu" if relu else "none")
                    setattr(block, name, layer)
        return self

    def bias_by_distance(self, length: int) -> Tensor:
        """(heads, 2 L - 1) relative position bias, from distance 1 - L to L - 1."""
        device = self.bias.weight.device
        distance = torch.arange(1 - length, length, device=device)
        bucket = distance_buckets(
            distance,
            self.shape.relative_attention_num_buckets,
            self.shape.relative_attention_max_distance,
        )
        return self.bias(bucket).T.contiguous()

    def load_transformers(self, state: Mapping[str, Tensor]) -> None:
        """Copy the weights of a `transformers` T5 model.

        Parameters
        ----------
        state
            Tensors by the names `transformers` gives them; those of a decoder are ignored.

        Raises
        ------
        ValueError
            If a tensor is missing or of another shape.
        """
        mine = {
            name: torch.cat([_found(state, key) for key in keys])
            for name, keys in self._names().items()
        }
        try:
            self.load_state_dict(mine)
        except RuntimeError as error:
            raise ValueError(" ".join(str(error).split())) from error

    def transformers_state(self) -> dict[str, Tensor]:
        """Weights by the names that `transformers` gives them, each tensor on its own."""
        state = {}
        for name, value in self.state_dict().items():
            keys = self._names()[name]
            for key, piece in zip(keys, value.chunk(len(keys)), strict=True):
                state[key] = piece.clone()
        return state

    def _names(self) -> dict[str, list[str]]:
        """Names of `transformers` for each of ours; several are stacked."""
        names = {
            "embedding.weight": ["shared.weight"],
            "bias.weight": [
                "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
            ],
            "norm.weight": ["encoder.final_layer_norm.weight"],
        }
        for i in range(self.shape.num_layers):
            ours, theirs = f"blocks.{i}", f"encoder.block.{i}.layer"
            attention, feed_forward = (
                f"{theirs}.0.SelfAttention",
                f"{theirs}.1.DenseReluDense",
            )
            names |= {
                f"{ours}.attention_norm.weight": [f"{theirs}.0.layer_norm.weight"],
                f"{ours}.qkv.weight": [f"{attention}.{part}.weight" for part in "qkv"],
                f"{ours}.o.weight": [f"{attention}.o.weight"],
                f"{ours}.feed_forward_norm.weight": [f"{theirs}.1.layer_norm.weight"],
                f"{ours}.wi.weight": [
                    f"{feed_forward}.{part}.weight"
                    for part in (("wi_0", "wi_1") if self.shape.gated else ("wi",))
                ],
                f"{ours}.wo.weight": [f"{feed_forward}.wo.weight"],
            }
        return names


def _found(state: Mapping[str, Tensor], key: str) -> Tensor:
    alias = "encoder.embed_tokens.weight" if key == "shared.weight" else key
    if key not in state and alias not in state:
        raise ValueError(f"the weights hold no '{key}'")
    return state[key] if key in state else state[alias]
