"""Losses over logits and target distributions, one value per example.

Everything goes through `log_softmax`: no probability is clipped, so no gradient dies.
"""

from __future__ import annotations

import torch
from torch import Tensor

from omicsai.errors import InputError
from omicsai.robust.trust import TrustMode, local_trust

__all__ = ["cross_entropy", "proselflc", "proselflc_target"]


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross entropy H(q, p) = -Σ q ln p.

    Parameters
    ----------
    logits
        (..., C) unnormalised scores z; p = softmax(z).
    targets
        (..., C) target distribution q, hard or soft.

    Returns
    -------
    Tensor
        (...) loss of each example, in nats.
    """
    return -(targets * torch.log_softmax(logits, dim=-1)).sum(dim=-1)


def proselflc_target(
    logits: Tensor,
    targets: Tensor,
    global_trust: float,
    *,
    temperature: float = 0.5,
    trust: TrustMode = "entropy",
    target_gradient: bool = False,
) -> tuple[Tensor, Tensor]:
    """Corrected target of ProSelfLC: q̃ = (1 - ε) q + ε p_T.

    p_T = softmax(z / T) is the model's sharpened knowledge and ε = g · l(p_T) the trust in
    it. ``temperature=1, target_gradient=True`` is the first publication (arXiv 2005.03788,
    eq. 7); ``temperature<1`` without gradient is the second (arXiv 2207.00118).

    Parameters
    ----------
    logits, targets
        (..., C), as in `cross_entropy`.
    global_trust
        g, from `omicsai.robust.global_trust`.
    temperature
        T, above 0 and up to 1.
    trust
        How single predictions are trusted, see `omicsai.robust.local_trust`.
    target_gradient
        Whether the target carries the gradient of the model's own prediction.

    Returns
    -------
    target : Tensor
        (..., C), sums to 1.
    epsilon : Tensor
        (..., 1) trust ε, without gradient.

    Raises
    ------
    InputError
        If `temperature` is out of range.
    """
    if not 0 < temperature <= 1:
        raise InputError(f"temperature is above 0 and up to 1, not {temperature}")
    source = logits if target_gradient else logits.detach()
    log_p = torch.log_softmax(source / temperature, dim=-1)
    epsilon = global_trust * local_trust(log_p, trust)
    return (1 - epsilon) * targets + epsilon * log_p.exp(), epsilon


def proselflc(
    logits: Tensor,
    targets: Tensor,
    global_trust: float,
    *,
    temperature: float = 0.5,
    trust: TrustMode = "entropy",
    target_gradient: bool = False,
    allow_reweighting: bool = False,
) -> Tensor:
    """ProSelfLC: cross entropy with progressively self-corrected targets.

    Parameters
    ----------
    logits, targets, global_trust, temperature, trust, target_gradient
        As in `proselflc_target`.
    allow_reweighting
        Accept T = 1 with a detached target, whose gradient (1 - ε)(p - q) corrects no
        label and only takes weight from confident examples.

    Returns
    -------
    Tensor
        (...) H(q̃, p) of each example, in nats.

    Raises
    ------
    InputError
        If T = 1 is combined with a detached target without `allow_reweighting`.
    """
    if temperature == 1 and not target_gradient and not allow_reweighting:
        raise InputError(
            "temperature 1 with a detached target corrects no label (its gradient is "
            "(1-ε)(p-q)): use temperature < 1, or target_gradient=True"
        )
    target, _ = proselflc_target(
        logits, targets, global_trust,
        temperature=temperature, trust=trust, target_gradient=target_gradient,
    )  # fmt: skip
    return cross_entropy(logits, target)
