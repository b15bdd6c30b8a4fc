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

__all__ = ["DECAYS", "PILOT", "best_times", "is_ahead", "ranked", "settle"]

logger = logging.getLogger(__name__)

LOSSES_TRIED: tuple[Loss, ...] = ("proselflc", "sce", "elr")
# better where labels are right, worse where they are not: it has to be ahead by so many
# standard errors of the difference over clusters
CHALLENGER: Loss = "label_smoothing"
AHEAD = 0.5
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
    highest validation accuracy is taken; of equal ones that with the lower loss. Label
    smoothing is taken only if it is ahead of the robust losses by half a standard error.
    Cross entropy is no candidate, and no other head is tried: both cost accuracy on
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
        The `PILOT` table, the candidate taken first, then the others from the best down;
        empty if nothing was open.
    """
    head = options.head or head
    losses = (*LOSSES_TRIED, CHALLENGER) if options.loss is None else (options.loss,)
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
    votes: list[NDArray] = []
    for loss in losses:
        transits = times if loss == "proselflc" else [None] * len(decays)
        right = np.zeros((len(decays), 0))
        nlls: list[float | None] = [None]
        if not one:
            right, nlls = _ends(run(loss, transits), forward, given, validation, cluster)
        votes += list(right)
        rows += [
            {
                "head": head,
                "loss": loss,
                "weight_decay": decay,
                "transit": transit,
                "validation_accuracy": None if one else hits.mean(),
                "validation_nll": nll,
            }
            for decay, transit, hits, nll in zip(decays, transits, right, nlls, strict=True)
        ]
    if not one:
        rows = [rows[k] for k in ranked(rows, np.array(votes))]
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


def ranked(rows: list[dict], votes: NDArray[np.float64]) -> list[int]:
    """Order of the candidates, the one to take first.

    Parameters
    ----------
    rows
        Of the `PILOT` table.
    votes
        (candidates, clusters) share of each cluster that a candidate predicts.
    """
    order = sorted(
        range(len(rows)),
        key=lambda k: (-rows[k]["validation_accuracy"], rows[k]["validation_nll"]),
    )
    robust = [k for k in order if rows[k]["loss"] != CHALLENGER]
    if robust and robust[0] != order[0] and not is_ahead(votes[order[0]], votes[robust[0]]):
        order.remove(robust[0])
        order.insert(0, robust[0])
    return order


def is_ahead(
    votes: NDArray[np.float64], others: NDArray[np.float64], errors: float = AHEAD
) -> bool:
    """Whether votes (clusters,) exceed others by so many standard errors."""
    ahead = votes - others
    return bool(ahead.mean() > errors * ahead.std() / np.sqrt(len(ahead)))


def _ends(
    fitted: Fitted,
    forward: Forward,
    given: Tensor,
    validation: NDArray[np.bool_],
    cluster: NDArray,
) -> tuple[NDArray[np.float64], list[float | None]]:
    """Measure how each candidate ends, means of its seeds.

    Returns
    -------
    (candidates, clusters) float64
        Share of each validation cluster that is predicted.
    list of float
        Calibrated loss of each candidate.
    """
    rows = torch.from_numpy(np.flatnonzero(validation))
    labels = given[rows].argmax(dim=-1).numpy()
    names, inverse = np.unique(cluster[validation], return_inverse=True)
    with torch.inference_mode():
        logits = forward(fitted.last, rows, 0.0).numpy()
    right = [
        np.bincount(inverse, hits, minlength=len(names)) / np.bincount(inverse)
        for hits in logits.argmax(axis=-1) == labels
    ]
    losses = [calibrated_loss(one, labels, cluster[validation]) for one in logits]
    return (
        np.reshape(right, (-1, SEEDS, len(names))).mean(axis=1),
        np.reshape(losses, (-1, SEEDS)).mean(axis=1).tolist(),
    )
