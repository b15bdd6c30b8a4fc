"""Attention over packed sequences on a GPU: one Triton kernel for all of them.

The forward pass of FlashAttention-2 (Dao 2023, arXiv 2307.08691) over sequences of any
lengths that lie one behind the other, with T5's bias read by distance: neither scores nor
bias are ever written to memory, and queries, keys and values are read where the linear
layer left them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import triton
import triton.language as tl
from torch import Tensor

__all__ = ["varlen_attention"]

QUERIES, KEYS = 64, 32  # of a tile
WARPS, STAGES = 4, 3
LOG2_E = tl.constexpr(1.4426950408889634)


def varlen_attention(
    lengths: Sequence[int], by_distance: Tensor, width: int
) -> Callable[[Tensor], Tensor]:
    """Attention within each of some packed sequences.

    Parameters
    ----------
    lengths
        Of the sequences, n tokens in all.
    by_distance
        (heads, 2 far + 1) bias from key - query = -far to far; beyond, it stays the same.
    width
        Of a head; a power of two, at least 16.

    Returns
    -------
    callable
        From (n, 3 heads width) queries, keys and values to (n, heads width) mixed values,
        without gradients.
    """
    heads, device = len(by_distance), by_distance.device
    tiles = torch.from_numpy(_tiles(lengths)).to(device)
    bias = by_distance.contiguous()

    def attend(qkv: Tensor) -> Tensor:
        mixed = qkv.new_empty(len(qkv), heads * width)
        whole = qkv.dtype == torch.float32  # must not silently become TF32
        _attend[(tiles.shape[1], heads)](
            qkv, mixed, bias, *tiles, heads,
            far=bias.shape[1] // 2, width=width, queries=QUERIES,
            keys=KEYS // 2 if whole else KEYS, precision="ieee" if whole else "tf32",
            num_warps=WARPS, num_stages=STAGES,
        )  # fmt: skip
        return mixed

    return attend


def _tiles(lengths: Sequence[int]) -> np.ndarray:
    """First query, and first and last token (exclusive) of the sequence, of each tile."""
    ends = np.cumsum(lengths)
    counts = -(-np.asarray(lengths) // QUERIES)
    owner = np.repeat(np.arange(len(ends)), counts)
    within = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    starts = (ends - lengths)[owner]
    return np.stack([starts + QUERIES * within, starts, ends[owner]]).astype(np.int64)


@triton.jit
def _attend(
    qkv: tl.tensor, mixed: tl.tensor, bias: tl.tensor, first: tl.tensor, start: tl.tensor,
    end: tl.tensor, heads: tl.tensor, far: tl.constexpr, width: tl.constexpr,
    queries: tl.constexpr, keys: tl.constexpr, precision: tl.constexpr,
) -> None:  # fmt: skip
    tile, head = tl.program_id(0), tl.program_id(1)
    begin, stop = tl.load(start + tile), tl.load(end + tile)
    inner = heads * width
    column = tl.arange(0, width)
    row = tl.load(first + tile) + tl.arange(0, queries)
    inside = (row < stop)[:, None]
    place = row[:, None] * (3 * inner) + head * width + column[None, :]
    q = tl.load(qkv + place, mask=inside, other=0.0)
    largest = tl.full([queries], -float("inf"), tl.float32)
    total = tl.zeros([queries], tl.float32)
    value = tl.zeros([queries, width], tl.float32)
    table = bias + head * (2 * far + 1) + far
    for begin_key in range(begin, stop, keys):
        key = begin_key + tl.arange(0, keys)
        real = key < stop
        key_place = key * (3 * inner) + inner + head * width
        k = tl.load(
            qkv + key_place[None, :] + column[:, None], mask=real[None, :], other=0.0
        )
        distance = (key[None, :] - row[:, None]).to(tl.int32)
        distance = tl.minimum(tl.maximum(distance, -far), far)
        score = tl.dot(q, k, input_precision=precision) + tl.load(table + distance)
        score = score * LOG2_E
        score = tl.where(real[None, :], score, -float("inf"))
        now = tl.maximum(largest, tl.max(score, axis=1))
        weight = tl.exp2(score - now[:, None])
        shrink = tl.exp2(largest - now)
        v = tl.load(
            qkv + key_place[:, None] + inner + column[None, :],
            mask=real[:, None],
            other=0.0,
        )
        value = value * shrink[:, None]
        value = tl.dot(weight.to(v.dtype), v, value, input_precision=precision)
        total = total * shrink + tl.sum(weight, axis=1)
        largest = now
    place = row[:, None] * inner + head * width + column[None, :]
    tl.store(
        mixed + place, (value / total[:, None]).to(mixed.dtype.element_ty), mask=inside
    )
