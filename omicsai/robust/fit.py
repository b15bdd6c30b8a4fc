"""The training loop: one head per member, all of them in one pass."""

from __future__ import annotations

import math
import time as clock
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from omicsai.progress import track
from omicsai.robust import checkpoint as files
from omicsai.robust.heads import Forward, Parameters
from omicsai.robust.objectives import Objective, ProSelfLC, new_objective
from omicsai.robust.optimiser import AdamW
from omicsai.robust.options import Options
from omicsai.robust.sampling import class_weights, new_sampler
from omicsai.tables import Column, Table

__all__ = ["HISTORY", "Fitted", "Watched", "fit_members"]

HISTORY = Table(
    "history",
    (
        Column("epoch", "integer", "epochs done"),
        Column("member", "integer", "member of the ensemble, from 1"),
        Column("part", "text", "train or validation, against the given labels"),
        Column("nll", "number", "mean negative log-likelihood, nats"),
        Column("accuracy", "number", "share of given labels predicted"),
        Column("confidence", "number", "mean largest probability"),
        Column("global_trust", "number", "g(t) of ProSelfLC, empty otherwise"),
        Column("corrected_fraction", "number", "labels that ProSelfLC overrules"),
    ),
)
JUDGE = "validation"  # the watched part that decides which state is best
BLOCK = 4096  # examples measured at a time, so that memory stays bounded


class Watched(NamedTuple):
    """Examples that are measured after every epoch, and the labels to measure against."""

    counted: NDArray  # (n,) which or how much, or (m, n) where members differ
    given: Tensor  # (n, C), or (m, n, C)


@dataclass(frozen=True)
class Fitted:
    """Outcome of a run.

    Attributes
    ----------
    last, best
        Parameters after the last epoch, and of each measured member after the epoch with
        its lowest validation loss (the same as `last` where nothing judges).
    best_epoch
        (m,) which epoch that was.
    history
        Rows of `HISTORY`.
    margins
        (m, n) mean over the epochs of the given label's logit less the largest other one,
        at the steps that learned from the example; NaN for what was not learned from.
    """

    last: Parameters
    best: Parameters
    best_epoch: NDArray[np.int64]
    history: list[dict]
    margins: NDArray[np.float32] | None = None


def fit_members(
    parameters: Parameters,
    forward: Forward,
    given: Tensor,
    masks: Sequence[NDArray[np.bool_]],
    options: Options,
    *,
    watched: Mapping[str, Watched],
    measured: int | None = None,
    shared_batches: bool = False,
    transit: Sequence[float] | None = None,
    weight_decay: ArrayLike | None = None,
    checkpoint: files.Checkpoint | None = None,
) -> Fitted:
    """Train one member per mask.

    Parameters
    ----------
    parameters
        Initial values, leading axis = member; left as they are.
    forward
        Logits as a function of parameters and rows, for example
        `omicsai.robust.heads.on_vectors`.
    given
        (n, C) label distributions, or (m, n, C) where members are given different ones.
        A row of zeros is an unknown label.
    masks
        m masks (n,) of the examples that each member learns from.
    options
        Settings; ``members``, ``head`` and ``keep`` are the caller's business.
    watched
        What is measured after every epoch; the name ``"validation"`` also decides which
        state is best.
    measured
        How many members, the first ones, are measured; all if None.
    shared_batches
        Whether all members see the first one's batches: several times faster, for
        members that differ in what they are given rather than in what they see.
    transit, weight_decay
        (m,) values of each member, where they differ from `options`.
    checkpoint
        Where the state is saved now and then, and resumed from.

    Returns
    -------
    Fitted
        The same bits for the same input on the same machine, interrupted or not.
    """
    members = len(masks)
    parameters = {
        name: value.clone().requires_grad_(True) for name, value in parameters.items()
    }
    differ = given.dim() == 3
    given = given if differ else given.expand(members, *given.shape)
    member = torch.arange(members)[:, None]
    rows = [torch.from_numpy(np.flatnonzero(mask)) for mask in masks]
    labels = [given[i, chosen] for i, chosen in enumerate(rows)]
    balanced = options.imbalance == "batches"
    if balanced and differ:  # classes are frequent in one member and rare in another
        shared_batches = False
    drawing = slice(1) if shared_batches else slice(None)
    draw = new_sampler(
        rows[drawing],
        options.batch_size,
        options.seed,
        [class_weights(one) for one in labels[drawing]] if balanced else None,
    )
    prior: Tensor | float = 0.0
    if options.imbalance == "logits":
        counts = torch.stack([one.sum(dim=0) for one in labels])[:, None]
        prior = (counts / counts.sum(dim=-1, keepdim=True)).clamp_min(1e-12).log()
    total = options.epochs * draw.steps
    decay = options.weight_decay if weight_decay is None else weight_decay
    optimiser = AdamW(
        parameters,
        rate=options.learning_rate,
        decay=torch.as_tensor(decay, dtype=torch.float32).expand(members),
        total=total,
    )
    objective = new_objective(
        options, members=members, examples=given.shape[1], classes=given.shape[2],
        total=total, transit=transit,
    )  # fmt: skip
    best = _Best(parameters, members if measured is None else measured)
    margins = _Margins(members, given.shape[1])
    state = {**parameters, **optimiser.state(), **objective.state(), **best.state()}
    state |= margins.state()
    done, history = checkpoint.load(state) if checkpoint else (0, [])
    saved = clock.monotonic()
    for epoch in track(
        range(done + 1, options.epochs + 1),
        total=options.epochs - done,
        label=f"train ({options.loss})",
    ):
        # every epoch from a seed of its own, so that a resumed run drops the same units
        torch.manual_seed(options.seed * 1_000_003 + epoch)
        time = (epoch - 1) * draw.steps
        for batch in draw(epoch):
            time += 1
            seen = batch[0] if shared_batches else batch
            logits = forward(parameters, seen, options.dropout) + prior
            batch = batch.expand(members, -1)
            labels_seen = given[member, batch]
            objective(logits, labels_seen, batch, time).mean(1).sum().backward()
            margins.add(logits.detach(), labels_seen, batch)
            optimiser.step(time)
            objective.update()
        measures = _measure(best.of(parameters), forward, watched, objective, time)
        for name, told in measures.items():
            history += _rows(told, epoch, name)
        if JUDGE in measures:
            best.judge(parameters, measures[JUDGE]["nll"], epoch)
        if checkpoint and clock.monotonic() - saved >= files.SAVE_EVERY_SECONDS:
            checkpoint.save(state, epoch, history)
            saved = clock.monotonic()
    last = {name: value.detach() for name, value in parameters.items()}
    if JUDGE not in watched:
        best.judge(parameters, torch.full((best.members,), -math.inf), options.epochs)
    return Fitted(last, best.parameters, best.epoch.numpy(), history, margins.means())


class _Best:
    """Of each of the first members, the parameters with the lowest loss so far."""

    def __init__(self, parameters: Parameters, members: int) -> None:
        self.members = members
        self.parameters = {n: v.detach().clone() for n, v in self.of(parameters).items()}
        self.loss = torch.full((members,), math.inf)
        self.epoch = torch.zeros(members, dtype=torch.int64)

    def of(self, parameters: Parameters) -> Parameters:
        return {name: value[: self.members] for name, value in parameters.items()}

    def judge(self, parameters: Parameters, loss: Tensor, epoch: int) -> None:
        better = loss < self.loss
        self.loss[better], self.epoch[better] = loss[better], epoch
        for name, value in self.of(parameters).items():
            self.parameters[name][better] = value.detach()[better]

    def state(self) -> dict[str, Tensor]:
        held = {f"best.{name}": value for name, value in self.parameters.items()}
        return {**held, "best.loss": self.loss, "best.epoch": self.epoch}


class _Margins:
    """Sums of the margins that each example had when it was learned from."""

    def __init__(self, members: int, examples: int) -> None:
        self.total = torch.zeros(members, examples)
        self.count = torch.zeros(members, examples)

    def add(self, logits: Tensor, given: Tensor, rows: Tensor) -> None:
        own = given.argmax(dim=-1, keepdim=True)
        other = logits.scatter(-1, own, -math.inf).amax(dim=-1)
        margin = logits.gather(-1, own)[..., 0] - other
        self.total.scatter_add_(1, rows, margin)
        self.count.scatter_add_(1, rows, torch.ones_like(margin))

    def means(self) -> NDArray[np.float32]:
        return (self.total / self.count).numpy()  # 0 / 0 is NaN

    def state(self) -> dict[str, Tensor]:
        return {"margin.total": self.total, "margin.count": self.count}


def _measure(
    parameters: Parameters,
    forward: Forward,
    watched: Mapping[str, Watched],
    objective: Objective,
    time: int,
) -> dict[str, dict[str, Tensor]]:
    """Means (m,) over the counted examples, by part and column of `HISTORY`."""
    members = len(next(iter(parameters.values())))
    weights = {
        name: torch.from_numpy(np.atleast_2d(part.counted).astype(np.float32))
        for name, part in watched.items()
    }
    sums: dict[str, dict[str, Tensor]] = {name: {} for name in watched}
    used = [(weight > 0).any(dim=0) for weight in weights.values()]
    rows = torch.stack(used).any(dim=0).nonzero()[:, 0] if used else torch.zeros(0).long()
    with torch.inference_mode():
        for chosen in rows.split(BLOCK) if len(rows) else ():
            logits = forward(parameters, chosen, 0.0)
            log_p = torch.log_softmax(logits, dim=-1)
            top, predicted = log_p.max(dim=-1)
            for name, part in watched.items():
                weight = weights[name][:, chosen]
                q = part.given[..., chosen, :].expand_as(log_p)
                label = q.argmax(dim=-1)
                values = {
                    "nll": -(q * log_p).sum(dim=-1),
                    "accuracy": (predicted == label).float(),
                    "confidence": top.exp(),
                }
                if isinstance(objective, ProSelfLC):
                    target = objective.target(logits, q, time)
                    values["corrected_fraction"] = (target.argmax(-1) != label).float()
                for column, value in values.items():
                    before = sums[name].get(column, torch.zeros(members))
                    sums[name][column] = before + (weight * value).sum(dim=1)
    means = {}
    for name, found in sums.items():
        total = weights[name].sum(dim=1)
        means[name] = {column: value / total for column, value in found.items()}
        if isinstance(objective, ProSelfLC):
            means[name]["global_trust"] = objective.trust(time)[:members]
    return means


def _rows(told: Mapping[str, Tensor], epoch: int, part: str) -> list[dict]:
    """Rows of `HISTORY` of one part after one epoch."""
    columns = [column.name for column in HISTORY.columns[3:]]
    empty = torch.full_like(told["nll"], math.nan)
    values = {name: told.get(name, empty).tolist() for name in columns}
    return [
        {
            "epoch": epoch,
            "member": member + 1,
            "part": part,
            **{name: values[name][member] for name in columns},
        }
        for member in range(len(empty))
    ]
