"""How far a model's own knowledge is trusted (ProSelfLC, arXiv 2005.03788)."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from omicsai.errors import InputError

__all__ = ["EXP_BASE", "TrustMode", "global_trust", "local_trust"]

EXP_BASE = 8.0  # B, chosen on validation among the published ones (docs/robust.md)
TrustMode = Literal["entropy", "max", "global"]


def global_trust(
    time: float, total: float, *, exp_base: float = EXP_BASE, transit: float = 0.5
) -> float:
    """Trust that grows with training time: a logistic curve.

    g(t) = 1 / (1 + exp(-B (t/Γ - τ)))

    Parameters
    ----------
    time
        Iterations done, t, from 0 to `total`.
    total
        Planned iterations, Γ.
    exp_base
        Steepness B; 0 gives one half for ever.
    transit
        Fraction τ of the training at which trust is one half.

    Returns
    -------
    float
        Between 0 and 1.

    Raises
    ------
    InputError
        If `time` is outside 0..`total`, or `exp_base` is negative.
    """
    if not 0 <= time <= total or total <= 0:
        raise InputError(f"training time {time} is outside 0..{total}")
    if exp_base < 0:
        raise InputError(f"exp_base is not negative, but {exp_base} was given")
    return 1.0 / (1.0 + math.exp(-exp_base * (time / total - transit)))


def local_trust(log_probabilities: Tensor, mode: TrustMode = "entropy") -> Tensor:
    """Trust in single predictions.

    Parameters
    ----------
    log_probabilities
        (..., C) logarithms of class probabilities.
    mode
        ``"entropy"``: 1 - H(p)/ln C; ``"max"``: the largest probability (arXiv
        2207.00118); ``"global"``: 1, time alone decides.

    Returns
    -------
    Tensor
        (..., 1), between 0 and 1, without gradient.
    """
    with torch.no_grad():
        p = log_probabilities.exp()
        if mode == "entropy":
            entropy = -(p * log_probabilities).nan_to_num(0.0).sum(-1, keepdim=True)
            return (1 - entropy / math.log(p.shape[-1])).clamp(0, 1)
        if mode == "max":
            return p.amax(-1, keepdim=True)
        if mode == "global":
            return torch.ones_like(p[..., :1])
    raise InputError(f"trust is 'entropy', 'max' or 'global', not {mode!r}")
