"""Example weighting made visible: how hard each loss pulls on an example."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from omicsai.robust.objectives import new_objective
from omicsai.robust.options import LOSSES, Options
from omicsai.tables import Column, Table

__all__ = ["WEIGHTING", "example_weights", "weighting_table"]

WEIGHTING = Table(
    "weighting",
    (
        Column("loss", "text", "name of the loss"),
        Column("global_trust", "number", "g of ProSelfLC, empty for others"),
        Column("p", "number", "probability of the given label"),
        Column("weight", "number", "L1 norm of the gradient in the logits"),
        Column("pull", "number", "towards (+) or away from (-) the label: -2 dL/dz_y"),
    ),
)
TRUSTS = (0.0, 0.5, 1.0)
STEPS = 2000  # of the imagined training, so that any trust can be asked for


def example_weights(
    options: Options, p: NDArray[np.float64], *, global_trust: float = 0.5
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Size and sign of the gradient of single examples, by automatic differentiation.

    The rest of the probability lies on one other class: what a model says of an example
    that it takes for something else.

    Parameters
    ----------
    options
        Loss and its settings.
    p
        (k,) probabilities of the given label, above 0 and below 1. They form one batch,
        which matters to losses that weigh examples against each other (IMAE, derivative
        manipulation).
    global_trust
        ProSelfLC's g.

    Returns
    -------
    weight : (k,) float64
        L1 norm of the gradient in the logits; for cross entropy 2 (1 - p) (derivative
        manipulation, arXiv 1905.11233).
    pull : (k,) float64
        The same where the gradient points towards the given label; negative where the loss
        overrules it. Losses that remember (ELR, SOP) are shown as if the prediction had
        always been this one, and before any noise was attributed.
    """
    chosen = torch.from_numpy(np.stack([p, 1 - p], axis=1)[None].astype(np.float32))
    logits = chosen.log().requires_grad_(True)
    given = torch.tensor([1.0, 0.0]).expand_as(chosen)
    # with B = 1 the logistic curve reaches g at t/Γ = 1 for τ = 1 - ln(g / (1 - g))
    trust = float(np.clip(global_trust, 1e-9, 1 - 1e-9))
    transit = 1 - np.log(trust / (1 - trust))
    settings = replace(options, exp_base=1.0, transit=transit, target_memory=0.0)
    objective = new_objective(settings, members=1, examples=len(p), classes=2, total=STEPS)
    for name, state in objective.state().items():
        if name == "memory":
            state.copy_(chosen)
    rows = torch.arange(len(p))[None]
    objective(logits, given, rows, STEPS).sum().backward()
    gradient = logits.grad
    assert gradient is not None
    found = gradient[0].double().numpy()
    return np.abs(found).sum(axis=1), -2 * found[:, 0]


def weighting_table(
    losses: Sequence[str] = tuple(LOSSES), *, points: int = 99
) -> pd.DataFrame:
    """Tabulate weight and pull of losses with their default settings.

    Parameters
    ----------
    losses
        Names of losses.
    points
        Values of p, evenly spaced inside 0 and 1.

    Returns
    -------
    pandas.DataFrame
        The `WEIGHTING` table; ProSelfLC at global trust 0, 0.5 and 1.
    """
    p = np.arange(1, points + 1) / (points + 1)
    tables = []
    for loss in losses:
        for trust in TRUSTS if loss == "proselflc" else (np.nan,):
            options = replace(Options(), loss=loss)  # type: ignore[arg-type]
            weight, pull = example_weights(
                options, p, global_trust=0.5 if np.isnan(trust) else trust
            )
            tables.append(
                pd.DataFrame(
                    {
                        "loss": loss,
                        "global_trust": trust,
                        "p": p,
                        "weight": weight,
                        "pull": pull,
                    }
                )
            )
    return WEIGHTING.frame(pd.concat(tables, ignore_index=True))
