"""Losses that remember what was predicted for each example: ELR and SOP.

The memory belongs to the caller, who passes the rows of the batch and stores what comes
back.
"""

from __future__ import annotations

import torch
from torch import Tensor

from omicsai.robust.losses import cross_entropy

__all__ = ["elr", "elr_memory", "sop"]

SMALLEST = 1e-4  # both papers' floor for a probability


def elr_memory(logits: Tensor, memory: Tensor, *, decay: float = 0.7) -> Tensor:
    """Average predictions over time: t ← β t + (1 - β) p / Σ p, p kept off 0 and 1.

    Parameters
    ----------
    logits
        (..., N, C).
    memory
        (..., N, C) t before this batch, zero at the start.
    decay
        β.

    Returns
    -------
    Tensor
        (..., N, C) t after this batch, without gradient.
    """
    p = _clamped(logits.detach())
    return decay * memory + (1 - decay) * p / p.sum(dim=-1, keepdim=True)


def elr(
    logits: Tensor, targets: Tensor, memory: Tensor, *, strength: float = 3.0
) -> Tensor:
    """Early-learning regularisation: H(q, p) + λ ln(1 - <t, p>).

    Liu et al. 2020 (arXiv 2007.00151).

    Parameters
    ----------
    logits, targets
        (..., N, C), as in `omicsai.robust.cross_entropy`.
    memory
        (..., N, C) t from `elr_memory`, this batch included.
    strength
        λ.

    Returns
    -------
    Tensor
        (..., N).
    """
    agreement = (memory * _clamped(logits)).sum(dim=-1)
    return cross_entropy(logits, targets) + strength * torch.log1p(-agreement)


def sop(
    logits: Tensor, targets: Tensor, given_noise: Tensor, other_noise: Tensor
) -> Tensor:
    """Sparse over-parametrisation: labels are what is predicted plus a sparse noise.

    Liu et al. 2022 (arXiv 2202.14026), without the consistency and class-balance terms,
    which need augmented views. U = u² q and V = v² (1 - q) absorb wrong labels; the
    prediction learns from H(q, p + U - V) and V from the squared error of the decision.
    u and v are trained beside the model by plain gradient descent (published step sizes 1
    and 10), starting near 0.

    Parameters
    ----------
    logits, targets
        (..., N, C), as in `omicsai.robust.cross_entropy`.
    given_noise
        (..., N, 1) u.
    other_noise
        (..., N, C) v.

    Returns
    -------
    Tensor
        (..., N).
    """
    U = (given_noise**2 * targets).clamp(0, 1)
    V = (other_noise**2 * (1 - targets)).clamp(0, 1)
    shifted = (torch.softmax(logits, dim=-1) + U - V.detach()).clamp_min(SMALLEST)
    explained = shifted / shifted.sum(dim=-1, keepdim=True)
    decision = torch.zeros_like(logits).scatter_(-1, logits.argmax(-1, keepdim=True), 1.0)
    squared = ((decision + U - V - targets) ** 2).sum(dim=-1)
    return -(targets * explained.log()).sum(dim=-1) + squared


def _clamped(logits: Tensor) -> Tensor:
    return torch.softmax(logits, dim=-1).clamp(SMALLEST, 1 - SMALLEST)
