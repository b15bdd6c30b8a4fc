"""What positions and stem pairs should weigh, so that the amino acid carries over.

A kernel regression on agreement (`omicsai.trna.features`) is fitted to a draw of tRNAs and
tells in closed form what it would say of each group of them (a clade, a fold of clusters)
had it seen nothing of that group. The weights climb the likelihood of the labels under what
is said so, with one rate of random errors, because some labels are wrong.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from omicsai.trna.features import unit_columns

__all__ = ["learn_unit_weights"]

STEPS, LEARNING_RATE = 40, 0.12  # of Adam, falling to 0 along a cosine
DRAWN = 800  # tRNAs in a step, as many of each group as there are
PENALTY = 0.4  # of the mean of the kernel's diagonal
STIFFNESS = 0.002  # on squared log-ratios to the weights begun with
SHARPNESS, ERROR_RATE = 8.0, 0.1  # to begin with; learned too


def learn_unit_weights(
    matrix: NDArray[np.int8],
    labels: NDArray,
    group: NDArray,
    start: NDArray[np.float64],
    *,
    keep_anticodon: bool = False,
    seed: int = 1,
) -> NDArray[np.float64]:
    """Weights of positions and pairs under which groups tell each other's amino acids.

    Parameters
    ----------
    matrix, labels, group
        (n, 99) base codes, (n,) amino acids, empty where unknown, and (n,) groups.
    start
        (u,) weights to begin with (`omicsai.trna.features.unit_weights`).
    keep_anticodon
        Whether positions 34 to 36 are looked at.
    seed
        Of the draws.

    Returns
    -------
    (u,) float64
        Their sum is 1; `start` where there is but one group or class.
    """
    known = np.flatnonzero(labels != "")
    _, code = np.unique(labels[known].astype(str), return_inverse=True)
    names, member = np.unique(group[known].astype(str), return_inverse=True)
    if len(names) < 2 or code.max(initial=0) < 1:
        return start / start.sum()
    columns = torch.from_numpy(unit_columns(matrix[known], keep_anticodon))
    begin = torch.from_numpy(np.log(start / start.sum())).float()
    weights = begin.clone().requires_grad_()
    sharpness = torch.tensor(np.log(SHARPNESS)).float().requires_grad_()
    noise = torch.tensor(np.log(ERROR_RATE / (1 - ERROR_RATE))).float().requires_grad_()
    optimiser = torch.optim.Adam([weights, sharpness, noise], LEARNING_RATE, (0.9, 0.95))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
    rng = np.random.default_rng(seed)
    for _ in range(STEPS):
        drawn = [
            rng.permutation(np.flatnonzero(member == k))[: max(DRAWN // len(names), 1)]
            for k in range(len(names))
        ]
        rows = np.concatenate(drawn)
        importance = torch.from_numpy(_importance(member[rows], code[rows])).float()
        given = torch.eye(int(code.max()) + 1)[code[rows]]
        kernel = _kernel(columns[rows], torch.softmax(weights, dim=0))
        scores = _without_groups(kernel, given, importance, [len(d) for d in drawn])
        p = (torch.softmax(sharpness.exp() * scores, dim=1) * given).sum(dim=1)
        rate = torch.sigmoid(noise)
        likelihood = (1 - rate) * p + rate / (given.shape[1] - 1) * (1 - p)
        loss = -(importance * likelihood.log()).mean()
        loss = loss + STIFFNESS * ((weights - begin) ** 2).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return torch.softmax(weights.detach().double(), dim=0).numpy()


def _importance(member: NDArray, code: NDArray) -> NDArray[np.float64]:
    """Weights with mean one: every class has the same say, and groups within it."""
    weight = 1 / np.bincount(member)[member]
    weight /= np.bincount(code, weight)[code]
    return weight / weight.mean()


def _kernel(columns: Tensor, weights: Tensor) -> Tensor:
    """Kernel (n, n) of tRNAs (`omicsai.trna.features.body_similarity`)."""
    width = int(columns.max()) + 1
    one_hot = torch.zeros(len(columns), width)
    one_hot = one_hot.scatter(1, columns, weights.sqrt().expand(len(columns), -1))
    s = one_hot @ one_hot.T
    return (s + s**3) / 2


def _without_groups(
    kernel: Tensor, given: Tensor, importance: Tensor, sizes: list[int]
) -> Tensor:
    """Scores (n, C) of each group, in a row of groups, by the regression without it."""
    share = importance / importance.sum()
    mean = kernel @ share
    centred = kernel - mean[:, None] - mean + share @ mean
    penalty = PENALTY * centred.diagonal().mean()
    factor = torch.linalg.cholesky(centred + torch.diag(penalty / importance))
    inverse = torch.cholesky_inverse(factor)
    dual = inverse @ (given - share @ given)
    scores, first = [], 0
    for size in sizes:
        own = slice(first, first + size)
        scores.append(given[own] - torch.linalg.solve(inverse[own, own], dual[own]))
        first += size
    return torch.cat(scores)
