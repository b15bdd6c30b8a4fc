"""Losses over logits and target distributions, one value per example.

The loss of a batch is the mean over its examples, for every function here. Everything goes
through `log_softmax`: no probability is clipped, so no gradient dies. Notation: z logits,
p = softmax(z), q the given label as a distribution, p_y = Σ q p.
"""

from __future__ import annotations

import torch
from torch import Tensor

from omicsai.errors import InputError
from omicsai.robust.trust import TrustMode, local_trust

__all__ = [
    "bootstrap_hard",
    "confidence_penalty",
    "cross_entropy",
    "derivative_manipulation",
    "emphasis",
    "generalised_cross_entropy",
    "imae",
    "label_correction",
    "label_smoothing",
    "mean_absolute_error",
    "mean_squared_error",
    "proselflc",
    "proselflc_target",
    "symmetric_cross_entropy",
]

CORRECTS_NOTHING = (
    "temperature 1 with a detached target corrects no label (its gradient is "
    "(1-ε)(p-q)): use temperature < 1, or target_gradient=True"
)


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross entropy H(q, p) = -Σ q ln p.

    Parameters
    ----------
    logits
        (..., N, C) unnormalised scores z of N examples; p = softmax(z).
    targets
        (..., N, C) target distribution q, hard or soft.

    Returns
    -------
    Tensor
        (..., N) loss of each example, in nats.
    """
    return -(targets * torch.log_softmax(logits, dim=-1)).sum(dim=-1)


# --- targets edited by a fixed amount ---------------------------------------------------


def label_smoothing(logits: Tensor, targets: Tensor, *, epsilon: float = 0.125) -> Tensor:
    """Cross entropy with (1 - ε) q + ε u, u uniform (Szegedy et al. 2016).

    Parameters
    ----------
    logits, targets
        As in `cross_entropy`.
    epsilon
        Share ε of the uniform distribution.

    Returns
    -------
    Tensor
        (..., N), gradient p - (1 - ε) q - ε u.
    """
    return cross_entropy(logits, (1 - epsilon) * targets + epsilon / targets.shape[-1])


def confidence_penalty(logits: Tensor, targets: Tensor, *, epsilon: float = 0.25) -> Tensor:
    """(1 - ε) H(q, p) - ε H(p) (Pereyra et al. 2017), the gradient through both terms.

    Parameters
    ----------
    logits, targets
        As in `cross_entropy`.
    epsilon
        Weight ε of the entropy that is rewarded.

    Returns
    -------
    Tensor
        (..., N); can be negative.
    """
    log_p = torch.log_softmax(logits, dim=-1)
    return (1 - epsilon) * cross_entropy(logits, targets) + epsilon * (
        log_p.exp() * log_p
    ).sum(dim=-1)


def label_correction(
    logits: Tensor,
    targets: Tensor,
    *,
    epsilon: float = 0.25,
    temperature: float = 0.5,
    target_gradient: bool = False,
) -> Tensor:
    """Cross entropy with (1 - ε) q + ε p_T: ProSelfLC with a fixed trust.

    Known as boot-soft (Reed et al. 2014, arXiv 1412.6596), joint-soft and LC; theirs is
    ``temperature=1, target_gradient=True``.

    Parameters
    ----------
    logits, targets
        As in `cross_entropy`.
    epsilon
        Trust ε in the model, the same for every example at all times.
    temperature, target_gradient
        As in `proselflc_target`.

    Returns
    -------
    Tensor
        (..., N).

    Raises
    ------
    InputError
        If T = 1 is combined with a detached target, which only rescales cross entropy.
    """
    return proselflc(
        logits, targets, epsilon,
        temperature=temperature, trust="global", target_gradient=target_gradient,
    )  # fmt: skip


def bootstrap_hard(logits: Tensor, targets: Tensor, *, epsilon: float = 0.2) -> Tensor:
    """Cross entropy with (1 - ε) q + ε onehot(argmax p) (Reed et al. 2014).

    Parameters
    ----------
    logits, targets
        As in `cross_entropy`.
    epsilon
        Trust ε in the model's decision.

    Returns
    -------
    Tensor
        (..., N).
    """
    decision = torch.zeros_like(logits).scatter_(-1, logits.argmax(-1, keepdim=True), 1.0)
    return cross_entropy(logits, (1 - epsilon) * targets + epsilon * decision)


# --- bounded functions of p_y -----------------------------------------------------------


def mean_absolute_error(logits: Tensor, targets: Tensor) -> Tensor:
    """1 - p_y, half of the L1 distance from q (Ghosh et al. 2017); gradient p_y (p - q).

    Parameters
    ----------
    logits, targets
        As in `cross_entropy`.

    Returns
    -------
    Tensor
        (..., N), from 0 to 1.
    """
    return 1 - _labelled_probability(logits, targets)


def mean_squared_error(logits: Tensor, targets: Tensor) -> Tensor:
    """(1 - p_y)²; gradient 2 p_y (1 - p_y) (p - q).

    Parameters
    ----------
    logits, targets
        As in `cross_entropy`.

    Returns
    -------
    Tensor
        (..., N), from 0 to 1.
    """
    return (1 - _labelled_probability(logits, targets)) ** 2


def generalised_cross_entropy(
    logits: Tensor, targets: Tensor, *, exponent: float = 0.7
) -> Tensor:
    """(1 - p_yᵃ) / a (Zhang and Sabuncu 2018, arXiv 1805.07836); gradient p_yᵃ (p - q).

    Parameters
    ----------
    logits, targets
        As in `cross_entropy`.
    exponent
        a: near 0 cross entropy, 1 the mean absolute error.

    Returns
    -------
    Tensor
        (..., N), from 0 to 1 / a.

    Raises
    ------
    InputError
        If `exponent` is not above 0 and up to 1.
    """
    if not 0 < exponent <= 1:
        raise InputError(f"exponent is above 0 and up to 1, not {exponent}")
    # through the logarithm, so that a vanishing p_y keeps a finite gradient
    log_p_y = torch.log_softmax(logits, dim=-1) + targets.log()
    return -torch.expm1(exponent * log_p_y.logsumexp(dim=-1)) / exponent


def symmetric_cross_entropy(
    logits: Tensor,
    targets: Tensor,
    *,
    alpha: float = 0.1,
    beta: float = 1.0,
    log_zero: float = -4.0,
) -> Tensor:
    """α H(q, p) + β H(p, q) with ln 0 := A (Wang et al. 2019, arXiv 1908.06112).

    Parameters
    ----------
    logits, targets
        As in `cross_entropy`.
    alpha, beta
        Weights of the cross entropy and of the reverse cross entropy -A (1 - p_y).
    log_zero
        A, what the logarithm of a label's zero counts as.

    Returns
    -------
    Tensor
        (..., N), gradient (α + β |A| p_y) (p - q).
    """
    reverse = -log_zero * (1 - _labelled_probability(logits, targets))
    return alpha * cross_entropy(logits, targets) + beta * reverse


def _labelled_probability(logits: Tensor, targets: Tensor) -> Tensor:
    """p_y = Σ q p, (..., N)."""
    return (targets * torch.softmax(logits, dim=-1)).sum(dim=-1)


# --- gradients designed directly --------------------------------------------------------


def emphasis(p_y: Tensor, *, emphasis_mode: float = 0.5, beta: float = 8.0) -> Tensor:
    """Weight of an example in derivative manipulation: exp(β p_y^λ (1 - p_y)).

    arXiv 1905.11233, eq. 12. Its largest value lies at ψ = λ / (λ + 1).

    Parameters
    ----------
    p_y
        (...) probability of the given label.
    emphasis_mode
        λ, not negative; 0 is best on clean labels, larger for more noise.
    beta
        Strength β; 0 gives every example the same weight.

    Returns
    -------
    Tensor
        (...) positive weights.
    """
    # written as a product for λ = 0, where 0⁰ has to be 1
    power = p_y**emphasis_mode if emphasis_mode > 0 else torch.ones_like(p_y)
    return torch.exp(beta * power * (1 - p_y))


def derivative_manipulation(
    logits: Tensor, targets: Tensor, *, emphasis_mode: float = 0.5, beta: float = 8.0
) -> Tensor:
    """Cross entropy reweighted so that the logit gradients have designed L1 norms.

    Each gradient points along p - q and has the norm w_i / Σ w of `emphasis` (derivative
    normalisation over the batch): the batch's gradients add up to the norm 1, whatever
    its size (arXiv 1905.11233).

    Parameters
    ----------
    logits, targets
        As in `cross_entropy`.
    emphasis_mode, beta
        λ and β of `emphasis`.

    Returns
    -------
    Tensor
        (..., N), a weighted cross entropy whose value means little.
    """
    p_y = _labelled_probability(logits, targets).detach()
    weight = emphasis(p_y, emphasis_mode=emphasis_mode, beta=beta)
    # Σ w_i over the batch, times N because the batch loss is a mean
    share = weight / weight.mean(dim=-1, keepdim=True)
    with torch.no_grad():  # 2 (1 - p_y) for hard labels
        norm = (torch.softmax(logits, -1) - targets).abs().sum(-1).clamp_min(1e-8)
    return share / norm * cross_entropy(logits, targets)


def imae(logits: Tensor, targets: Tensor, *, beta: float = 8.0) -> Tensor:
    """IMAE (arXiv 1903.12141): derivative manipulation with λ = 1.

    Parameters
    ----------
    logits, targets
        As in `derivative_manipulation`.
    beta
        The paper's T.

    Returns
    -------
    Tensor
        (..., N).
    """
    return derivative_manipulation(logits, targets, emphasis_mode=1.0, beta=beta)


# --- ProSelfLC --------------------------------------------------------------------------


def proselflc_target(
    logits: Tensor,
    targets: Tensor,
    global_trust: float | Tensor,
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
        g, from `omicsai.robust.global_trust`; a tensor must broadcast to (..., 1).
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
        raise InputError(CORRECTS_NOTHING)
    target, _ = proselflc_target(
        logits, targets, global_trust,
        temperature=temperature, trust=trust, target_gradient=target_gradient,
    )  # fmt: skip
    return cross_entropy(logits, target)
