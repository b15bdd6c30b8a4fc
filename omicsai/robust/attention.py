"""Light attention: a head on per-residue embeddings that finds the residues that matter."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from omicsai.robust.heads import Forward, Parameters

__all__ = ["KERNEL", "light_attention_logits", "new_light_attention", "on_residues"]

KERNEL = 9  # residues seen by each filter
BLOCK = 64  # proteins whose residues are padded together, so that memory stays bounded


def new_light_attention(
    members: int, dimension: int, classes: int, hidden: int, seed: int
) -> Parameters:
    """Random parameters of a light-attention head.

    Parameters
    ----------
    members
        Number of independent members m.
    dimension, classes, hidden
        Sizes d, C and h (filters).
    seed
        Member i draws from seed and i, whatever the number of members.

    Returns
    -------
    dict of str to Tensor
        ``value_weight`` and ``attention_weight`` (m, h, d, k), their biases (m, h),
        ``weight`` (m, 2h, C) and ``bias`` (m, 1, C). float32.
    """
    drawn = []
    for member in range(members):
        generator = torch.Generator().manual_seed(seed * 1_000_003 + member)
        shape, scale = (hidden, dimension, KERNEL), 1 / math.sqrt(dimension * KERNEL)
        drawn.append(
            {
                "value_weight": torch.randn(shape, generator=generator) * scale,
                "value_bias": torch.zeros(hidden),
                "attention_weight": torch.randn(shape, generator=generator) * scale,
                "attention_bias": torch.zeros(hidden),
                "weight": torch.randn(2 * hidden, classes, generator=generator)
                / math.sqrt(2 * hidden),
                "bias": torch.zeros(1, classes),
            }
        )
    return {name: torch.stack([one[name] for one in drawn]) for name in drawn[0]}


def light_attention_logits(
    parameters: Parameters, residues: Tensor, inside: Tensor, *, dropout: float = 0.0
) -> Tensor:
    """Logits of one member.

    Stärk et al. 2021 (doi 10.1093/bioadv/vbab035), with a linear output: filters give
    values v and attention scores e at each residue; the features are Σ softmax(e) v and
    max v, over the residues of the protein.

    Parameters
    ----------
    parameters
        From `new_light_attention`, without the member axis.
    residues
        (b, L, d) embeddings, zero beyond a protein's end.
    inside
        (b, L) whether there is a residue.
    dropout
        Probability of dropping a value (training only).

    Returns
    -------
    Tensor
        (b, C).
    """
    turned = residues.transpose(1, 2)

    def filtered(kind: str) -> Tensor:
        return functional.conv1d(
            turned, parameters[f"{kind}_weight"], parameters[f"{kind}_bias"],
            padding=KERNEL // 2,
        )  # fmt: skip

    outside = ~inside[:, None]
    values = functional.dropout(filtered("value"), dropout, training=dropout > 0)
    attention = filtered("attention").masked_fill(outside, -math.inf).softmax(dim=-1)
    attended = (attention * values).sum(dim=-1)
    largest = values.masked_fill(outside, -math.inf).amax(dim=-1)
    features = torch.cat([attended, largest], dim=-1)
    return features @ parameters["weight"] + parameters["bias"]


def on_residues(proteins: Sequence[NDArray]) -> Forward:
    """Logits as a function of parameters and rows, for ragged `proteins` (L_i, d)."""
    held = [torch.from_numpy(np.ascontiguousarray(p, dtype=np.float32)) for p in proteins]

    def padded_logits(one: Parameters, rows: Tensor, dropout: float) -> Tensor:
        chosen = [held[row] for row in rows.tolist()]
        length = torch.tensor([len(protein) for protein in chosen])
        padded = torch.nn.utils.rnn.pad_sequence(chosen, batch_first=True)
        inside = torch.arange(padded.shape[1]) < length[:, None]
        return light_attention_logits(one, padded, inside, dropout=dropout)

    def forward(parameters: Parameters, rows: Tensor, dropout: float) -> Tensor:
        members = len(parameters["weight"])
        logits = []
        for member, mine in enumerate(rows.expand(members, rows.shape[-1])):
            one = {name: value[member] for name, value in parameters.items()}
            blocks = [padded_logits(one, block, dropout) for block in mine.split(BLOCK)]
            logits.append(torch.cat(blocks))
        return torch.stack(logits)

    return forward
