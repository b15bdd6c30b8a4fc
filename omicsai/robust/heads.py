"""Classification heads on fixed embeddings, for several members at once.

Parameters carry a leading member axis, so that an ensemble of seeds and all cross-fitting
folds train in one pass of batched matrix products.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = [
    "Forward",
    "Head",
    "Parameters",
    "all_logits",
    "head_logits",
    "new_head",
    "on_vectors",
]

Head = Literal["linear", "mlp", "light_attention", "ridge"]
Parameters = dict[str, Tensor]
# logits (m, b, C) of rows (m, b), or (b,) shared by all members, at some dropout
Forward = Callable[[Parameters, Tensor, float], Tensor]
BLOCK = 4096  # examples at a time, so that memory stays bounded


def new_head(
    head: Head, members: int, dimension: int, classes: int, hidden: int, seed: int
) -> Parameters:
    """Random parameters of a head.

    Parameters
    ----------
    head
        ``"linear"`` or ``"mlp"`` (one hidden layer of rectified units).
    members
        Number of independent members m.
    dimension, classes, hidden
        Sizes d, C and h.
    seed
        Member i draws from seed and i, whatever the number of members.

    Returns
    -------
    dict of str to Tensor
        ``weight`` (m, d, C) and ``bias`` (m, 1, C); for an MLP also ``hidden_weight``
        (m, d, h) and ``hidden_bias`` (m, 1, h). float32.
    """
    drawn = []
    for member in range(members):
        generator = torch.Generator().manual_seed(seed * 1_000_003 + member)
        inner = hidden if head == "mlp" else dimension
        one: Parameters = {}
        if head == "mlp":
            one["hidden_weight"] = torch.randn(
                dimension, hidden, generator=generator
            ) * math.sqrt(2 / dimension)
            one["hidden_bias"] = torch.zeros(1, hidden)
        scale = 0.01 if head == "linear" else 1 / math.sqrt(inner)
        one["weight"] = torch.randn(inner, classes, generator=generator) * scale
        one["bias"] = torch.zeros(1, classes)
        drawn.append(one)
    return {name: torch.stack([one[name] for one in drawn]) for name in drawn[0]}


def head_logits(
    parameters: Parameters, features: Tensor, *, dropout: float = 0.0
) -> Tensor:
    """Logits of every member.

    Parameters
    ----------
    parameters
        From `new_head`, m members.
    features
        (m, n, d), or (n, d) shared by all members.
    dropout
        Probability of dropping a hidden unit (training only).

    Returns
    -------
    Tensor
        (m, n, C).
    """
    hidden = features
    if "hidden_weight" in parameters:
        hidden = torch.relu(
            features @ parameters["hidden_weight"] + parameters["hidden_bias"]
        )
        hidden = torch.nn.functional.dropout(hidden, dropout, training=dropout > 0)
    return hidden @ parameters["weight"] + parameters["bias"]


def on_vectors(features: Tensor) -> Forward:
    """Logits as a function of parameters and rows, for `features` (n, d)."""

    def forward(parameters: Parameters, rows: Tensor, dropout: float) -> Tensor:
        chosen = features.index_select(0, rows.flatten()).view(*rows.shape, -1)
        return head_logits(parameters, chosen, dropout=dropout)

    return forward


def all_logits(forward: Forward, parameters: Parameters, count: int) -> NDArray[np.float32]:
    """Logits (m, count, C) of the first `count` rows, that is of all, without dropout."""
    with torch.inference_mode():
        blocks = torch.arange(count).split(BLOCK)
        return torch.cat([forward(parameters, rows, 0.0) for rows in blocks], dim=1).numpy()
