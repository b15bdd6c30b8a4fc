"""Losses for examples with several labels: one logit per label, some entries unknown.

Every function takes ``logits``, ``targets`` (0 or 1; fractions where told) and ``known``
(true where the target means something) of one shape (..., n, C) and gives the loss of each
entry, (..., n, C), zero where unknown. A zero among the known targets says "not annotated",
which is not the same as "absent": the losses differ in what they make of it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from omicsai.errors import InputError

__all__ = [
    "asymmetric",
    "bernoulli_proselflc",
    "bernoulli_target",
    "bernoulli_trust",
    "binary_cross_entropy",
    "focal",
    "hill",
    "non_negative_pu",
    "splc",
]


def binary_cross_entropy(logits: Tensor, targets: Tensor, known: Tensor) -> Tensor:
    """Masked cross entropy -(y ln p + (1 - y) ln(1 - p)), p = sigmoid(x).

    Targets may be fractions. Gradient of a known entry: p - y.
    """
    loss = -(targets * logsigmoid(logits) + (1 - targets) * logsigmoid(-logits))
    return _masked(loss, known)


def focal(logits: Tensor, targets: Tensor, known: Tensor, *, gamma: float = 2.0) -> Tensor:
    """Focal loss -(1 - p_t)^γ ln p_t (Lin et al. 2017, arXiv 1708.02002, eq. 4).

    p_t is the probability of the given target: p of a positive, 1 - p of a negative.
    """
    x = torch.where(targets > 0, logits, -logits)
    return _masked(-(torch.sigmoid(-x) ** gamma) * logsigmoid(x), known)


def asymmetric(
    logits: Tensor,
    targets: Tensor,
    known: Tensor,
    *,
    gamma_positive: float = 0.0,
    gamma_negative: float = 4.0,
    clip: float = 0.05,
) -> Tensor:
    """Asymmetric loss, ASL (Ridnik et al. 2021, arXiv 2009.14119, eq. 6 and 7).

    Positives: -(1 - p)^γ₊ ln p. Negatives: -p_m^γ₋ ln(1 - p_m) with p_m = max(p - m, 0):
    easy negatives are nearly, and those below the margin m entirely, ignored. The weights
    carry gradient, as in the paper.
    """
    p = torch.sigmoid(logits)
    positive = -((1 - p) ** gamma_positive) * logsigmoid(logits)
    shifted = (p - clip).clamp(min=0)
    # 1 - p_m = (1 - p) + m keeps its digits where p is nearly 1
    left = (torch.sigmoid(-logits) + clip).clamp(max=1)
    negative = -(shifted**gamma_negative) * left.log()
    return _masked(torch.where(targets > 0, positive, negative), known)


def hill(
    logits: Tensor,
    targets: Tensor,
    known: Tensor,
    *,
    gamma: float = 2.0,
    margin: float = 1.0,
    peak: float = 1.5,
) -> Tensor:
    """Hill loss (Zhang et al. 2021, arXiv 2112.07368).

    Positives: -(1 - p_m)^γ ln p_m with p_m = sigmoid(x - m). Negatives: (λ - p) p², whose
    gradient p(2λ - 3p) p(1 - p) falls again where p is large, because a confident
    "negative" is probably a positive that nobody annotated.

    Parameters
    ----------
    logits, targets, known
        See the module.
    gamma, margin
        γ and m of the positives.
    peak
        λ.
    """
    p = torch.sigmoid(logits)
    moved = logits - margin
    positive = -(torch.sigmoid(-moved) ** gamma) * logsigmoid(moved)
    return _masked(torch.where(targets > 0, positive, (peak - p) * p**2), known)


def splc(
    logits: Tensor,
    targets: Tensor,
    known: Tensor,
    *,
    correct: bool = True,
    threshold: float = 0.6,
    gamma: float = 2.0,
    margin: float = 1.0,
) -> Tensor:
    """Self-paced loss correction on the focal margin loss (arXiv 2112.07368).

    Negatives with p above the threshold τ count as positives. Given positives are shifted,
    p_m = sigmoid(x - m); corrected ones are not, as in the authors' code.

    Parameters
    ----------
    logits, targets, known
        See the module.
    correct
        Whether labels are corrected; the paper starts after the first epoch.
    threshold, gamma, margin
        τ, γ and m.
    """
    x = torch.where(targets > 0, logits - margin, logits)
    positive = targets > 0
    if correct:
        positive = positive | (torch.sigmoid(logits.detach()) > threshold)
    x = torch.where(positive, x, -x)
    return _masked(-(torch.sigmoid(-x) ** gamma) * logsigmoid(x), known)


def non_negative_pu(
    logits: Tensor,
    targets: Tensor,
    known: Tensor,
    *,
    prior: Tensor,
    floor: float = 0.0,
    rate: float = 1.0,
) -> Tensor:
    """Non-negative positive-unlabelled risk of each class (Kiryo et al. 2017, 1703.00593).

    With the logistic loss ℓ(x) = -ln sigmoid(x), A = mean ℓ(x) and B = mean ℓ(-x) over the
    positives and U = mean ℓ(-x) over the unlabelled sample, the risk (eq. 6) is
    π A + max(0, U - π B). Annotated and not annotated examples were drawn together, so the
    unlabelled sample, whose distribution must be that of all examples, is all known
    examples. The gradient is that of algorithm 1: where U - π B < -β, it is the gradient of
    -γ (U - π B) alone.

    Parameters
    ----------
    logits, targets, known
        (..., n, C); see the module.
    prior
        (C,) share π of true positives in each class.
    floor, rate
        β and γ.

    Returns
    -------
    Tensor
        (..., C); 0 for a class that has no known positive among the n examples, whose risk
        these examples cannot tell.
    """
    observed = known.to(logits.dtype)
    positive = observed * (targets > 0)
    count = positive.sum(dim=-2)
    a = (positive * -logsigmoid(logits)).sum(dim=-2) / count.clamp(min=1)
    b = (positive * -logsigmoid(-logits)).sum(dim=-2) / count.clamp(min=1)
    u = (observed * -logsigmoid(-logits)).sum(dim=-2) / observed.sum(dim=-2).clamp(min=1)
    rest = u - prior * b
    risk = prior * a + rest.clamp(min=0)
    step = torch.where(rest < -floor, -rate * rest, prior * a + rest)
    # the value of the risk, the gradient of the step
    return torch.where(count > 0, step + (risk - step).detach(), torch.zeros_like(risk))


def bernoulli_trust(logits: Tensor) -> Tensor:
    """Local trust 1 - h(p) of each entry, h the entropy of a coin in bits; no gradient."""
    with torch.no_grad():
        entropy = -(
            torch.sigmoid(logits) * logsigmoid(logits)
            + torch.sigmoid(-logits) * logsigmoid(-logits)
        )
        return (1 - entropy / math.log(2)).clamp(0, 1)


def bernoulli_target(
    logits: Tensor,
    targets: Tensor,
    global_trust: float,
    *,
    temperature: float = 0.5,
    missing: bool = True,
) -> tuple[Tensor, Tensor]:
    """Corrected targets of ProSelfLC, one coin per label.

    p_T = sigmoid(x / T); ε = g(t) (1 - h(p_T)); target (1 - ε) y + ε p_T.

    Parameters
    ----------
    logits, targets
        (..., C).
    global_trust
        g(t), see `omicsai.robust.global_trust`.
    temperature
        T; at 1 with these detached targets nothing is corrected, which is refused.
    missing
        Positives are trusted (ε = 0 where y = 1): labels are missing, never wrong.

    Returns
    -------
    target, trust : Tensor
        (..., C) corrected targets and ε, without gradient.

    Raises
    ------
    InputError
        If the temperature is not between 0 and 1.
    """
    if not 0 < temperature < 1:
        raise InputError(
            f"the temperature is between 0 and 1, not {temperature}: at 1 ProSelfLC with a "
            "detached target only weighs examples and corrects none"
        )
    with torch.no_grad():
        own = torch.sigmoid(logits / temperature)
        trust = global_trust * bernoulli_trust(logits / temperature)
        if missing:
            trust = trust * (targets <= 0)
        return (1 - trust) * targets + trust * own, trust


def bernoulli_proselflc(
    logits: Tensor,
    targets: Tensor,
    known: Tensor,
    global_trust: float,
    *,
    temperature: float = 0.5,
    missing: bool = True,
    pseudo: Tensor | None = None,
) -> Tensor:
    """Cross entropy with the corrected targets of `bernoulli_target`.

    Gradient of a known entry: p - target = (1 - ε)(p - y) + ε (p - p_T).

    Parameters
    ----------
    logits, targets, known
        See the module.
    global_trust, temperature, missing
        As in `bernoulli_target`.
    pseudo
        (..., C) unknown entries to learn from as well: the model's own p_T, weight ε.
    """
    target, _ = bernoulli_target(
        logits, targets, global_trust, temperature=temperature, missing=missing
    )
    loss = binary_cross_entropy(logits, target, known)
    if pseudo is None:
        return loss
    with torch.no_grad():
        trust = global_trust * bernoulli_trust(logits / temperature)
        own = torch.sigmoid(logits / temperature)
    return loss + trust * binary_cross_entropy(logits, own, pseudo)


def _masked(loss: Tensor, known: Tensor) -> Tensor:
    return torch.where(known, loss, torch.zeros_like(loss))
