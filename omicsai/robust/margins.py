"""Area under the margin: labels that are learned no more readily than a made-up class.

Pleiss et al. 2020 (arXiv 2001.10528). The margin of a label is its logit less the largest
other one; its mean over training (AUM) is low where the other examples contradict the
label. How low is too low is told by examples that are given, on purpose, a class that does
not exist.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from omicsai.robust.checkpoint import Checkpoint
from omicsai.robust.fit import fit_members
from omicsai.robust.heads import Forward, Parameters
from omicsai.robust.options import Options

__all__ = ["area_under_margin"]

PERCENTILE = 99  # of the made-up labels' margins


def area_under_margin(
    parameters: Parameters,
    forward: Forward,
    code: NDArray[np.int64],
    learning: NDArray[np.bool_],
    options: Options,
    checkpoint: Checkpoint | None = None,
) -> NDArray[np.float64]:
    """AUM of each label, above that of made-up labels.

    Two members are trained with cross entropy. In each, the share of one class of the
    examples, others in the two, is given the made-up class.

    Parameters
    ----------
    parameters
        Initial ones of two members, for one class more than there are.
    forward
        As in `omicsai.robust.fit.fit_members`.
    code
        (n,) given class indices; those outside `learning` are not looked at.
    learning
        (n,) examples to learn from.
    options
        Settings.
    checkpoint
        Where the run is saved, and resumed from.

    Returns
    -------
    (n,) float64
        Mean margin less the 99th percentile of the made-up labels' margins, over the
        members in which the label was the given one. At or below 0 the label is called
        wrong; NaN for what was not learned from.
    """
    rows = np.flatnonzero(learning)
    classes = parameters["bias"].shape[-1] - 1
    drawn = np.random.default_rng(options.seed).permutation(rows)
    count = max(len(rows) // (classes + 1), 1)
    made_up = np.zeros((2, len(code)), dtype=bool)
    made_up[0, drawn[:count]] = made_up[1, drawn[count : 2 * count]] = True
    given = np.where(made_up, classes, np.where(learning, code, 0))
    fitted = fit_members(
        parameters, forward, torch.eye(classes + 1)[torch.from_numpy(given)],
        [learning] * 2, replace(options, loss="cross_entropy", imbalance="none"),
        watched={}, shared_batches=True, checkpoint=checkpoint,
    )  # fmt: skip
    assert fitted.margins is not None
    margins = fitted.margins.astype(np.float64)
    limit = [
        np.percentile(margin[own], PERCENTILE)
        for margin, own in zip(margins, made_up, strict=True)
    ]
    above = np.where(made_up, np.nan, margins - np.array(limit)[:, None])
    area = np.full(len(code), np.nan)
    area[rows] = np.nanmean(above[:, rows], axis=0)
    return area
