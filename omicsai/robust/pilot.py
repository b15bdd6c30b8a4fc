"""Settings chosen from training and validation data by short runs, before the real one.

Each validation cluster has one vote. Its labels may be wrong too: the loss they give is
higher for every candidate, but the best candidate stays about the same.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from omicsai.robust.calibration import calibrated_loss, cluster_weights
from omicsai.robust.checkpoint import Checkpoint
from omicsai.robust.fit import HISTORY, JUDGE, Fitted, Watched, fit_members
from omicsai.robust.heads import Forward, Parameters
from omicsai.robust.options import Options

__all__ = ["DECAYS", "best_times", "settle"]

logger = logging.getLogger(__name__)

DECAYS = (0.3, 1.0, 3.0, 10.0, 30.0)
SEEDS = 2  # of each candidate
EARLIEST_TRANSIT, LATEST_TRANSIT = 0.02, 0.5


def settle(
    start: Callable[[int], Parameters],
    forward: Forward,
    given: Tensor,
    training: NDArray[np.bool_],
    validation: NDArray[np.bool_],
    cluster: NDArray,
    options: Options,
    checkpoint: Callable[[str], Checkpoint | None] = lambda name: None,
) -> Options:
    """Fill in the transit and the weight decay where `options` leave them open.

    A cross-entropy pilot tells, for each decay, the epoch with the lowest validation loss,
    which becomes the transit. A trial with the loss itself tells which decay ends with the
    lowest validation loss after calibration.

    Parameters
    ----------
    start
        Initial parameters of so many members.
    forward, given
        As in `omicsai.robust.fit.fit_members`.
    training, validation
        (n,) examples to learn from and to judge by.
    cluster
        (n,) cluster ids.
    options
        Settings.
    checkpoint
        Checkpoint of a run, by its name.

    Returns
    -------
    Options
        With ``weight_decay`` set, and ``transit`` for ProSelfLC.
    """
    robust = options.loss == "proselflc"
    if options.weight_decay is not None and (options.transit is not None or not robust):
        return options
    weights = np.zeros(len(training))
    weights[validation] = cluster_weights(cluster[validation])
    fixed = options.weight_decay is not None
    decays = [options.weight_decay] if fixed else list(DECAYS)
    repeats = options.members if fixed else min(SEEDS, options.members)
    decay = np.repeat(np.array(decays, dtype=np.float64), repeats)
    parameters = start(repeats)
    candidates = {
        name: value.repeat(len(decays), *[1] * (value.dim() - 1))
        for name, value in parameters.items()
    }

    def run(name: str, loss: Options, transit: list | None) -> Fitted:
        return fit_members(
            candidates, forward, given, [training] * len(decay), loss,
            watched={JUDGE: Watched(weights, given)}, transit=transit,
            weight_decay=decay, checkpoint=checkpoint(name),
        )  # fmt: skip

    fitted = run("pilot", replace(options, loss="cross_entropy"), None)
    transits: list[float | None] = [options.transit] * len(decays)
    if options.transit is None:
        times = best_times(HISTORY.frame(fitted.history), options.epochs, repeats)
        transits = times.tolist()
    if options.loss != "cross_entropy" and not fixed:
        each = [time for time in transits for _ in range(repeats)]
        fitted = run("trial", options, each if robust else None)
    chosen = 0 if fixed else _best_end(fitted, forward, given, validation, cluster, repeats)
    settled = replace(options, weight_decay=decays[chosen])
    if robust:
        settled = replace(settled, transit=transits[chosen])
    logger.info(
        "set by pilot runs on validation: weight decay %.3g%s",
        settled.weight_decay,
        f", transit at {settled.transit:.3g} of the training" if robust else "",
    )
    return settled


def best_times(history: pd.DataFrame, epochs: int, repeats: int = 1) -> NDArray[np.float64]:
    """Share of the training at which each candidate's validation loss is lowest.

    Parameters
    ----------
    history
        The `HISTORY` table of a pilot.
    epochs
        Planned epochs.
    repeats
        Members of each candidate, one after the other, whose losses are averaged.

    Returns
    -------
    (members / repeats,) float64
        Kept between 2 % and 50 % of the training.
    """
    judged = history[history["part"] == JUDGE]
    candidate = (judged["member"] - 1) // repeats
    by_epoch = judged.groupby([candidate, "epoch"])["nll"].mean().unstack()
    best = by_epoch.to_numpy().argmin(axis=1) + 1
    return np.clip(best / epochs, EARLIEST_TRANSIT, LATEST_TRANSIT)


def _best_end(
    fitted: Fitted,
    forward: Forward,
    given: Tensor,
    validation: NDArray[np.bool_],
    cluster: NDArray,
    repeats: int,
) -> int:
    """Candidate whose last state has the lowest calibrated validation loss."""
    rows = torch.from_numpy(np.flatnonzero(validation))
    labels = given[rows].argmax(dim=-1).numpy()
    with torch.inference_mode():
        logits = forward(fitted.last, rows, 0.0).numpy()
    losses = [calibrated_loss(one, labels, cluster[validation]) for one in logits]
    return int(np.reshape(losses, (-1, repeats)).mean(axis=1).argmin())
