"""Settings chosen from training and validation data by short runs, before the real one.

Each validation cluster has one vote. Its labels may be wrong too. The share of them that a
candidate predicts is lower then, but the best candidate stays the best as long as the right
label is the commonest one (Chen et al. 2021, arXiv 2012.04193); the likelihood of wrong
labels, even after calibration, favours whoever is as unsure as the labels are wrong.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from omicsai.robust.calibration import calibrated_loss, cluster_weights
from omicsai.robust.checkpoint import Checkpoint
from omicsai.robust.fit import HISTORY, JUDGE, Fitted, Watched, fit_members
from omicsai.robust.heads import Forward, Head, Parameters
from omicsai.robust.options import Loss, Options
from omicsai.tables import Column, Table

__all__ = ["DECAYS", "PILOT", "best_times", "settle"]

logger = logging.getLogger(__name__)

LOSSES_TRIED: tuple[Loss, ...] = ("proselflc", "sce", "elr")
TIMER: Loss = "cross_entropy"  # its validation losses set the transits
DECAYS = (0.3, 3.0, 10.0, 30.0)
SEEDS = 2  # of each candidate
EARLIEST_TRANSIT, LATEST_TRANSIT = 0.02, 0.5
PILOT = Table(
    "pilot",
    (
        Column("head", "text", "classifier on the embeddings"),
        Column("loss", "text", "loss of the trial (task multi: always bce)"),
        Column("weight_decay", "number", "its weight decay"),
        Column("transit", "number", "ProSelfLC's transit, empty for others"),
        Column(
            "validation_accuracy",
            "number",
            "share of validation labels predicted at its end, every cluster with one vote; "
            "empty if nothing was compared",
        ),
        Column(
            "validation_nll",
            "number",
            "calibrated validation loss at its end, nats (task multi: mean binary loss)",
        ),
    ),
)


def settle(
    start: Callable[[Head, int], Parameters],
    forward: Forward,
    given: Tensor,
    training: NDArray[np.bool_],
    validation: NDArray[np.bool_],
    cluster: NDArray,
    options: Options,
    head: Head = "mlp",
    checkpoint: Callable[[str], Checkpoint | None] = lambda name: None,
) -> tuple[Options, pd.DataFrame]:
    """Fill in head, loss, decay and transit where `options` leave them open.

    Cross-entropy pilots tell, for each decay, the epoch with the lowest validation loss,
    which becomes the transit of trials with ProSelfLC. The candidate that ends with the
    highest validation accuracy is taken; of equal ones that with the lower loss. Cross
    entropy is no candidate, and no other head is tried: both cost accuracy on
    development data, because where labels are wrong validation tells them apart badly.

    Parameters
    ----------
    start
        Initial parameters of a head and so many members.
    forward, given
        As in `omicsai.robust.fit.fit_members`.
    training, validation
        (n,) examples to learn from and to judge by.
    cluster
        (n,) cluster ids.
    options
        Settings.
    head
        What an open head becomes.
    checkpoint
        Checkpoint of a run, by its name.

    Returns
    -------
    Options
        With ``head``, ``loss`` and ``weight_decay`` set, and ``transit`` for ProSelfLC.
    pandas.DataFrame
        The `PILOT` table, best candidate first; empty if nothing was open.
    """
    head = options.head or head
    losses = LOSSES_TRIED if options.loss is None else (options.loss,)
    decays = DECAYS if options.weight_decay is None else (options.weight_decay,)
    one = len(losses) * len(decays) == 1
    if one and (losses != ("proselflc",) or options.transit is not None):
        settled = replace(options, head=head, loss=losses[0], weight_decay=decays[0])
        return settled, PILOT.frame([])
    weights = np.zeros(len(training))
    weights[validation] = cluster_weights(cluster[validation])
    decay_of = np.repeat(np.array(decays, dtype=np.float64), SEEDS)

    def run(loss: Loss, transits: Sequence[float | None] = ()) -> Fitted:
        parameters = {
            name: value.repeat(len(decays), *[1] * (value.dim() - 1))
            for name, value in start(head, SEEDS).items()
        }
        each = [time for time in transits if time is not None for _ in range(SEEDS)]
        return fit_members(
            parameters, forward, given, [training] * len(decay_of),
            replace(options, head=head, loss=loss),
            watched={JUDGE: Watched(weights, given)}, shared_batches=True,
            transit=each or None, weight_decay=decay_of,
            checkpoint=checkpoint(f"pilot.{head}.{loss}"),
        )  # fmt: skip

    times: list[float | None] = [options.transit] * len(decays)
    if "proselflc" in losses and options.transit is None:
        history = HISTORY.frame(run(TIMER).history)
        times = best_times(history, options.epochs, SEEDS).tolist()
    rows: list[dict] = []
    for loss in losses:
        transits = times if loss == "proselflc" else [None] * len(decays)
        ends: list[tuple[float | None, float | None]] = [(None, None)]
        if not one:
            ends = _ends(run(loss, transits), forward, given, validation, cluster)
        rows += [
            {
                "head": head,
                "loss": loss,
                "weight_decay": decay,
                "transit": transit,
                "validation_accuracy": accuracy,
                "validation_nll": nll,
            }
            for decay, transit, (accuracy, nll) in zip(decays, transits, ends, strict=True)
        ]
    rows.sort(key=lambda row: (-(row["validation_accuracy"] or 0), row["validation_nll"]))
    best = {name: rows[0][name] for name in ("head", "loss", "weight_decay", "transit")}
    when = f", transit at {best['transit']:.3g}" if best["transit"] is not None else ""
    logger.info(
        "set by pilot runs on validation: loss %s, weight decay %.3g%s",
        best["loss"], best["weight_decay"], when,
    )  # fmt: skip
    return replace(options, **best), PILOT.frame(rows)


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


def _ends(
    fitted: Fitted,
    forward: Forward,
    given: Tensor,
    validation: NDArray[np.bool_],
    cluster: NDArray,
) -> list[tuple[float | None, float | None]]:
    """Measure accuracy and calibrated loss of each candidate, means of its seeds."""
    rows = torch.from_numpy(np.flatnonzero(validation))
    labels = given[rows].argmax(dim=-1).numpy()
    cluster = cluster[validation]
    with torch.inference_mode():
        logits = forward(fitted.last, rows, 0.0).numpy()
    right = (logits.argmax(axis=-1) == labels) @ cluster_weights(cluster) / len(labels)
    losses = [calibrated_loss(one, labels, cluster) for one in logits]
    ends = np.reshape([right, losses], (2, -1, SEEDS)).mean(axis=-1)
    return list(zip(*ends.tolist(), strict=True))
