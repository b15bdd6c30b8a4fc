"""Training an ensemble of heads with plain cross entropy or ProSelfLC."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from omicsai.errors import InputError
from omicsai.progress import track
from omicsai.robust.calibration import fit_calibration
from omicsai.robust.conformal import label_scores
from omicsai.robust.detection import Detector, fit_detector
from omicsai.robust.heads import head_logits, new_head
from omicsai.robust.model import Classifier
from omicsai.robust.novelty import novelty_calibration
from omicsai.robust.objectives import Objective, ProSelfLC, new_objective
from omicsai.robust.options import Options, Scaling
from omicsai.sequences import split_labels
from omicsai.tables import Column, Table

__all__ = ["HISTORY", "Trained", "train_classifier"]

logger = logging.getLogger(__name__)

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
EARLIEST_TRANSIT, LATEST_TRANSIT = 0.02, 0.5


@dataclass(frozen=True)
class Trained:
    """What training gives.

    Attributes
    ----------
    classifier
        The calibrated ensemble.
    history
        The `HISTORY` table.
    held_out_logits
        (n, C) float32 logits of each example from members that did not see its cluster:
        the fold's member for training examples, the ensemble for validation; NaN for
        others.
    detector
        What those logits and the given labels say about wrong labels.
    """

    classifier: Classifier
    history: pd.DataFrame
    held_out_logits: NDArray[np.float32]
    detector: Detector


def train_classifier(
    features: NDArray[np.float32],
    labels: Sequence[str],
    part: ArrayLike,
    cluster: ArrayLike,
    fold: ArrayLike | None = None,
    options: Options | None = None,
) -> Trained:
    """Train, calibrate, and cross-fit.

    Parameters
    ----------
    features
        (n, d) float32 embeddings.
    labels
        Label of each example; empty where unknown. Examples without a label, or with
        several (joined by ``;``), are not trained on.
    part
        (n,) ``"train"``, ``"validation"`` or anything else. Labels outside the first two
        are not looked at; features of all examples serve as the reference of what is
        known.
    cluster
        (n,) cluster id of each example.
    fold
        (n,) cross-fitting fold of training examples, 1 to k; 0 or missing for none. Without
        folds, training examples get no held-out logits.
    options
        Settings; the defaults of `Options` if None.

    Returns
    -------
    Trained
        The same bits for the same input on the same machine: one CPU thread, seeded.

    Raises
    ------
    InputError
        If features are not finite, fewer than two classes are labelled in the training
        part, or the validation part has no known label of those classes.
    """
    options = options or Options()
    if not np.isfinite(features).all():
        raise InputError("features hold NaN or infinity: embed the sequences again")
    given = np.array(labels, dtype=object)
    part, cluster = np.asarray(part), np.asarray(cluster)
    fold_of = _fold_numbers(fold, len(given))
    given[[len(split_labels(label)) > 1 for label in given]] = ""
    training = (part == "train") & (given != "")
    classes = sorted(set(given[training]))
    if len(classes) < 2:
        raise InputError(
            f"the training part has {len(classes)} labelled class"
            f"{'' if len(classes) == 1 else 'es'} "
            f"({', '.join(classes) or 'all labels unknown'}): a classifier needs two"
        )
    code = np.array([classes.index(g) if g in classes else -1 for g in given])
    validation = (part == "validation") & (code >= 0)
    if not validation.any():
        raise InputError(
            "no sequence of the validation part has a known label of the training part: "
            "label more sequences, or give validation a larger share of the split"
        )
    torch.set_num_threads(1)  # sums in one order, so that a rerun gives the same bits
    torch.use_deterministic_algorithms(True)
    mean, scale = standardisation(features[training], options.scaling)
    X = torch.from_numpy((features - mean) / scale)
    Q = torch.zeros(len(code), len(classes))
    Q[code >= 0] = torch.eye(len(classes))[code[code >= 0]]

    folds = sorted(set(fold_of[training]) - {0})
    masks = [training] * options.members + [training & (fold_of != f) for f in folds]
    options = _resolve_transit(X, Q, masks[: options.members], validation, options)
    watched = {"train": training, "validation": validation}
    parameters, history = _fit(X, Q, masks, options, watched)
    seeds = {name: value[: options.members] for name, value in parameters.items()}
    with torch.inference_mode():
        logits = head_logits(seeds, X).mean(dim=0).numpy()
        by_fold = head_logits(
            {name: value[options.members :] for name, value in parameters.items()}, X
        ).numpy()
    held_out = np.full_like(logits, np.nan)
    held_out[validation] = logits[validation]
    for index, f in enumerate(folds):
        mine = training & (fold_of == f)
        held_out[mine] = by_fold[index, mine]
    judged = (code >= 0) & np.isfinite(held_out[:, 0])
    detector = fit_detector(held_out[judged], code[judged])
    calibration = fit_calibration(
        logits[validation],
        code[validation],
        cluster[validation],
        scaling=options.calibration,
        transition=detector.transition,
    )
    classifier = Classifier(
        classes=classes,
        parameters={name: value.numpy() for name, value in seeds.items()},
        mean=mean,
        scale=scale,
        calibration=calibration,
        reference=X.numpy(),
        novelty_calibration=novelty_calibration(X.numpy(), cluster),
        label_calibration=label_scores(
            calibration(logits[validation]), code[validation], cluster[validation]
        ),
        settings=dict(vars(options)),
    )
    return Trained(classifier, HISTORY.frame(history), held_out, detector)


def _fold_numbers(fold: ArrayLike | None, count: int) -> NDArray[np.int64]:
    if fold is None:
        return np.zeros(count, dtype=np.int64)
    return pd.Series(fold).fillna(0).to_numpy(dtype=np.int64)


def standardisation(
    features: NDArray, scaling: Scaling = "each"
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and scale (d,) of each feature; constant features have scale 1."""
    mean = features.mean(axis=0, dtype=np.float64)
    scale = features.std(axis=0, dtype=np.float64)
    if scaling == "common":
        scale[:] = np.sqrt((scale**2).mean())
    scale[scale < 1e-8] = 1.0
    return mean.astype(np.float32), scale.astype(np.float32)


def _resolve_transit(
    X: Tensor,
    Q: Tensor,
    masks: list[NDArray],
    validation: NDArray,
    options: Options,
) -> Options:
    """Set the transit from the validation loss of a cross-entropy pilot run."""
    if options.loss != "proselflc" or options.transit is not None:
        return options
    pilot = replace(options, loss="cross_entropy")
    _, history = _fit(X, Q, masks, pilot, {"validation": validation})
    loss = HISTORY.frame(history).groupby("epoch")["nll"].mean()
    transit = float(
        np.clip(loss.idxmin() / options.epochs, EARLIEST_TRANSIT, LATEST_TRANSIT)
    )
    logger.info("transit set to %.3g of the training by the pilot run", transit)
    return replace(options, transit=transit)


def _fit(
    X: Tensor,
    Q: Tensor,
    masks: list[NDArray],
    options: Options,
    watched: dict[str, NDArray],
) -> tuple[dict[str, Tensor], list[dict]]:
    """Train one member per mask; record the seeds' members after every epoch."""
    torch.manual_seed(options.seed)
    members = [torch.from_numpy(np.flatnonzero(mask)) for mask in masks]
    parameters = new_head(
        options.head, len(members), X.shape[1], Q.shape[1], options.hidden, options.seed
    )
    for value in parameters.values():
        value.requires_grad_(True)
    decayed = [v for name, v in parameters.items() if name.endswith("weight")]
    others = [v for name, v in parameters.items() if not name.endswith("weight")]
    optimiser = torch.optim.AdamW(
        [
            {"params": decayed, "weight_decay": options.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ],
        lr=options.learning_rate,
    )
    draw = _sampler(members, options)
    total = options.epochs * draw.steps
    objective = new_objective(
        options,
        members=len(members),
        examples=len(Q),
        classes=Q.shape[1],
        total=total,
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: 0.5 * (1 + math.cos(math.pi * min(step / total, 1)))
    )
    history: list[dict] = []
    time = 0
    for epoch in track(
        range(1, options.epochs + 1),
        total=options.epochs,
        label=f"train ({options.loss})",
    ):
        for batch in draw(epoch):
            time += 1
            logits = head_logits(parameters, X[batch], dropout=options.dropout)
            loss = objective(logits, Q[batch], batch, time).mean(dim=1).sum()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            objective.update()
            schedule.step()
        history += _record(X, Q, parameters, epoch, time, objective, options, watched)
    return {name: value.detach() for name, value in parameters.items()}, history


@dataclass(frozen=True)
class _Sampler:
    """Shuffled batches for every member; shorter members start over within an epoch."""

    members: list[Tensor]
    steps: int
    size: int
    seed: int

    def __call__(self, epoch: int) -> list[Tensor]:
        rows = []
        for number, indices in enumerate(self.members):
            generator = torch.Generator().manual_seed(
                (self.seed * 1_000_003 + number) * 100_003 + epoch
            )
            shuffled = indices[torch.randperm(len(indices), generator=generator)]
            repeats = math.ceil(self.steps * self.size / len(indices))
            rows.append(shuffled.repeat(repeats)[: self.steps * self.size])
        return list(torch.stack(rows).split(self.size, dim=1))


def _sampler(members: list[Tensor], options: Options) -> _Sampler:
    smallest = min(len(m) for m in members)
    if smallest == 0:
        raise InputError("a cross-fitting fold leaves no labelled example to train on")
    largest = max(len(m) for m in members)
    size = min(options.batch_size, largest)
    return _Sampler(members, math.ceil(largest / size), size, options.seed)


def _record(
    X: Tensor,
    Q: Tensor,
    parameters: dict[str, Tensor],
    epoch: int,
    time: int,
    objective: Objective,
    options: Options,
    watched: dict[str, NDArray],
) -> list[dict]:
    """Measure the seeds' members on each watched part, against the given labels."""
    rows = []
    seeds = {name: value[: options.members].detach() for name, value in parameters.items()}
    with torch.inference_mode():
        for part, mask in watched.items():
            chosen = torch.from_numpy(np.flatnonzero(mask))
            logits, given = head_logits(seeds, X[chosen]), Q[chosen]
            log_p = torch.log_softmax(logits, dim=-1)
            confidence, predicted = log_p.max(dim=-1)
            g, overruled = math.nan, torch.full((len(logits),), math.nan)
            if isinstance(objective, ProSelfLC):
                g, target = objective.trust(time), objective.target(logits, given, time)
                overruled = (target.argmax(-1) != given.argmax(-1)).float().mean(dim=1)
            nll = -(given * log_p).sum(-1).mean(dim=1)
            correct = (predicted == given.argmax(-1)).float().mean(dim=1)
            rows += [
                {
                    "epoch": epoch,
                    "member": member + 1,
                    "part": part,
                    "nll": float(nll[member]),
                    "accuracy": float(correct[member]),
                    "confidence": float(confidence[member].exp().mean()),
                    "global_trust": g,
                    "corrected_fraction": float(overruled[member]),
                }
                for member in range(len(logits))
            ]
    return rows
