"""Training an ensemble of heads on several labels, some of them unknown or missing."""

from __future__ import annotations

import logging
import math
import time as clock
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from omicsai.errors import InputError
from omicsai.progress import track
from omicsai.robust import checkpoint as files
from omicsai.robust import multilabel as losses
from omicsai.robust.calibration import Calibration, cluster_weights
from omicsai.robust.heads import Head, Parameters, head_logits, new_head
from omicsai.robust.label_matrix import LabelMatrix, label_matrix
from omicsai.robust.multilabel_metrics import best_thresholds, information_accretion
from omicsai.robust.multilabel_model import MultiLabelClassifier, fit_label_calibration
from omicsai.robust.novelty import novelty_calibration
from omicsai.robust.optimiser import AdamW
from omicsai.robust.pilot import PILOT
from omicsai.robust.sampling import new_sampler
from omicsai.robust.train import standardisation
from omicsai.robust.trust import EXP_BASE, global_trust
from omicsai.sequences.hierarchy import Hierarchy
from omicsai.tables import Column, Table

__all__ = [
    "MULTILABEL_HISTORY",
    "MULTILABEL_LOSSES",
    "MultiLabelLoss",
    "MultiLabelOptions",
    "TrainedMultiLabel",
    "train_multilabel",
]

logger = logging.getLogger(__name__)

MultiLabelLoss = Literal["bce", "focal", "asl", "hill", "splc", "nnpu", "proselflc"]
# name in configurations: name in figures
MULTILABEL_LOSSES: dict[str, str] = {
    "bce": "masked BCE",
    "focal": "focal",
    "asl": "ASL",
    "hill": "Hill",
    "splc": "SPLC",
    "nnpu": "nnPU",
    "proselflc": "ProSelfLC",
}
assert set(MULTILABEL_LOSSES) == set(get_args(MultiLabelLoss))
EARLIEST_TRANSIT, LATEST_TRANSIT = 0.02, 0.5
DECAYS = (2.0, 8.0, 32.0)  # tried by the pilot runs

MULTILABEL_HISTORY = Table(
    "history",
    (
        Column("epoch", "integer", "epochs done"),
        Column("member", "integer", "member of the ensemble, from 1"),
        Column("part", "text", "train or validation, against the given labels"),
        Column("nll", "number", "mean binary cross entropy of known entries, nats"),
        Column("positive_fraction", "number", "mean predicted probability of an entry"),
        Column("global_trust", "number", "g(t) of ProSelfLC, empty otherwise"),
        Column(
            "added_fraction",
            "number",
            "entries not annotated that ProSelfLC takes for positive",
        ),
    ),
)


@dataclass(frozen=True)
class MultiLabelOptions:
    """How a model of several labels is trained.

    Attributes
    ----------
    loss
        Name of a loss, see `MULTILABEL_LOSSES`.
    head, hidden, dropout, members, epochs, batch_size, learning_rate, weight_decay, seed
        As in `omicsai.robust.Options`. ``weight_decay=None`` takes, of `DECAYS`, the one
        whose pilot run with masked BCE ends with the lowest validation loss.
    exp_base, transit, temperature
        ProSelfLC's B, τ and T; ``transit=None`` sets τ to where the validation loss of the
        pilot run is lowest.
    missing
        ProSelfLC trusts annotated labels, because labels are missing and not wrong.
    annotated
        nnPU: share of the true labels that are annotated; the prior of a label is its
        frequency divided by this.
    unknown
        ``"mask"`` leaves unknown entries out of the loss; ``"pseudo"`` learns what the
        model itself makes of them, weighted by its trust (ProSelfLC only).
    """

    loss: MultiLabelLoss = "bce"
    head: Head = "mlp"
    hidden: int = 64
    dropout: float = 0.2
    members: int = 5
    epochs: int = 50
    batch_size: int = 64
    learning_rate: float = 3e-3
    weight_decay: float | None = None
    exp_base: float = EXP_BASE
    transit: float | None = None
    temperature: float = 0.5
    missing: bool = True
    annotated: float = 0.7
    unknown: str = "mask"
    seed: int = 1


@dataclass(frozen=True)
class TrainedMultiLabel:
    """What training gives.

    Attributes
    ----------
    classifier
        The calibrated ensemble with its thresholds.
    history
        The `MULTILABEL_HISTORY` table.
    pilot
        The `omicsai.robust.pilot.PILOT` table; the loss is the mean over labels.
    held_out_logits
        (n, C) float32, as of `omicsai.robust.Trained`.
    labels
        Annotation of the training and validation parts; unknown elsewhere.
    """

    classifier: MultiLabelClassifier
    history: pd.DataFrame
    pilot: pd.DataFrame
    held_out_logits: NDArray[np.float32]
    labels: LabelMatrix


def train_multilabel(
    features: NDArray[np.float32],
    labels: Sequence[str],
    part: ArrayLike,
    cluster: ArrayLike,
    fold: ArrayLike | None = None,
    options: MultiLabelOptions | None = None,
    hierarchy: Hierarchy | None = None,
    *,
    checkpoints: Path | None = None,
) -> TrainedMultiLabel:
    """Train, calibrate, choose thresholds, and cross-fit.

    Parameters
    ----------
    features
        (n, d) float32 embeddings.
    labels
        Labels of each example joined by ``;``; empty where unknown.
    part, cluster, fold
        As in `omicsai.robust.train_classifier`.
    options
        Settings; the defaults of `MultiLabelOptions` if None.
    hierarchy
        What implies what: labels are propagated to ancestors.
    checkpoints
        As in `omicsai.robust.train_classifier`.

    Returns
    -------
    TrainedMultiLabel
        The same bits for the same input on the same machine: one CPU thread, seeded.
        Labels that every known training example has, or none, cannot be learned and are
        left out with a warning.

    Raises
    ------
    InputError
        If features are not finite, fewer than two labels of the training part tell
        examples apart, the validation part has no label of the model, or a cross-fitting
        fold holds every training example.
    """
    options = options or MultiLabelOptions()
    if not np.isfinite(features).all():
        raise InputError("features hold NaN or infinity: embed the sequences again")
    if not 0 < options.annotated <= 1:
        raise InputError(f"annotated is a share above 0, not {options.annotated}")
    allowed = ("mask", "pseudo") if options.loss == "proselflc" else ("mask",)
    if options.unknown not in allowed:
        raise InputError(
            f"unknown labels are {' or '.join(allowed)} with several labels and the loss "
            f"{options.loss}, not '{options.unknown}'"
        )
    part, cluster = np.asarray(part), np.asarray(cluster)
    used = np.isin(part, ["train", "validation"])
    cells = [cell if u else "" for cell, u in zip(labels, used, strict=True)]
    matrix = _learnable(cells, part == "train", hierarchy or Hierarchy())
    labelled = matrix.known.any(axis=1)
    training = (part == "train") & labelled
    validation = (part == "validation") & labelled
    if not matrix.truth[validation].any():
        raise InputError(
            "no sequence of the validation part has a label of the training part: label "
            "more sequences, or give validation a larger share of the split"
        )
    torch.set_num_threads(1)  # sums in one order, so that a rerun gives the same bits
    torch.use_deterministic_algorithms(True)
    mean, scale = standardisation(features[training])
    X = torch.from_numpy((features - mean) / scale)
    Y = torch.from_numpy(matrix.truth.astype(np.float32))
    K = torch.from_numpy(matrix.known)

    number = np.zeros(len(X), dtype=np.int64)
    if fold is not None:
        number = pd.Series(fold).fillna(0).to_numpy(dtype=np.int64)
    folds = sorted(set(number[training]) - {0})
    masks = [training] * options.members + [training & (number != f) for f in folds]
    if not all(mask.any() for mask in masks):
        raise InputError("a cross-fitting fold leaves no labelled example to train on")
    key = ""
    if checkpoints is not None:
        key = files.fingerprint(vars(options), X, Y, K, np.array(masks), validation)
    checkpoint = files.checkpoints_in(checkpoints, key)
    options, pilot = _with_pilots(
        X, Y, K, masks[: options.members], validation, options, checkpoint
    )
    watched = {"train": training, "validation": validation}
    parameters, history = _fit(X, Y, K, masks, options, watched, checkpoint("train"))
    seeds = {name: value[: options.members] for name, value in parameters.items()}
    with torch.inference_mode():
        logits = head_logits(seeds, X).mean(dim=0).numpy()
        held_out = np.full_like(logits, np.nan)
        held_out[validation] = logits[validation]
        for index, f in enumerate(folds, start=options.members):
            mine = training & (number == f)
            one = {name: value[index : index + 1] for name, value in parameters.items()}
            held_out[mine] = head_logits(one, X[torch.from_numpy(mine)])[0].numpy()
    truth, known = matrix.truth[validation], matrix.known[validation]
    slope, offset = fit_label_calibration(
        logits[validation], truth, known, cluster[validation]
    )
    classifier = MultiLabelClassifier(
        classes=matrix.classes,
        parameters={name: value.numpy() for name, value in seeds.items()},
        mean=mean,
        scale=scale,
        calibration=Calibration.none(len(matrix.classes)),
        reference=X.numpy(),
        novelty_calibration=novelty_calibration(X.numpy(), cluster),
        label_calibration=np.zeros((0, 2)),
        settings={"task": "multi", **vars(options)},
        slope=slope,
        offset=offset,
        threshold=np.full(len(slope), 0.5),
        accretion=information_accretion(matrix.truth[training], matrix.parents),
        parents=matrix.parents,
        hierarchy=hierarchy or Hierarchy(),
    )
    threshold, _ = best_thresholds(
        classifier.calibrated(logits[validation]),
        truth,
        known,
        weights=cluster_weights(cluster[validation]),
    )
    classifier = replace(classifier, threshold=threshold)
    return TrainedMultiLabel(
        classifier, MULTILABEL_HISTORY.frame(history), pilot, held_out, matrix
    )


def _learnable(
    cells: list[str], training: NDArray[np.bool_], hierarchy: Hierarchy
) -> LabelMatrix:
    """Matrix of the labels that some known training examples have and others lack."""
    chosen = [cell for cell, t in zip(cells, training, strict=True) if t]
    seen = label_matrix(chosen, hierarchy)
    positive = seen.truth.sum(axis=0)
    kept = (positive > 0) & (positive < seen.known.sum(axis=0))
    left_out = [name for name, k in zip(seen.classes, kept, strict=True) if not k]
    if kept.sum() < 2:
        raise InputError(
            f"{int(kept.sum())} labels of the training part tell sequences apart "
            f"({', '.join(seen.classes[:5]) or 'all labels unknown'}): a label is learned "
            "from sequences that have it and labelled ones that lack it, and two are needed"
        )
    if left_out:
        logger.warning(
            "%d labels that every known training sequence has are left out: %s",
            len(left_out), ", ".join(left_out[:5]),
        )  # fmt: skip
    names = [name for name, k in zip(seen.classes, kept, strict=True) if k]
    return label_matrix(cells, hierarchy, names)


def _with_pilots(
    X: Tensor,
    Y: Tensor,
    K: Tensor,
    masks: list[NDArray],
    validation: NDArray,
    options: MultiLabelOptions,
    checkpoint: Callable[[str], files.Checkpoint | None],
) -> tuple[MultiLabelOptions, pd.DataFrame]:
    """Fill in the decay and ProSelfLC's transit from pilot runs with masked BCE.

    For every loss alike: the likelihood of losses that are not calibrated cannot compare
    decays, and the transit is where plain training begins to memorise.
    """
    open_transit = options.loss == "proselflc" and options.transit is None
    if options.weight_decay is not None and not open_transit:
        return options, PILOT.frame([])
    losses_by_epoch = {}
    for decay in DECAYS if options.weight_decay is None else [options.weight_decay]:
        pilot = replace(options, loss="bce", weight_decay=decay)
        _, history = _fit(
            X, Y, K, masks, pilot, {"validation": validation},
            checkpoint(f"pilot.{decay:g}"),
        )  # fmt: skip
        nll = MULTILABEL_HISTORY.frame(history).groupby("epoch")["nll"].mean()
        losses_by_epoch[decay] = nll
    decay = min(losses_by_epoch, key=lambda tried: losses_by_epoch[tried].iloc[-1])
    logger.info("weight decay %g", decay)
    options = replace(options, weight_decay=decay)
    if open_transit:
        share = losses_by_epoch[decay].idxmin() / options.epochs
        transit = float(np.clip(share, EARLIEST_TRANSIT, LATEST_TRANSIT))
        logger.info("transit set to %.3g of the training by the pilot run", transit)
        options = replace(options, transit=transit)
    rows = [
        {
            "head": options.head,
            "loss": "bce",
            "weight_decay": tried,
            "transit": None,
            "validation_accuracy": None,
            "validation_nll": nll.iloc[-1],
        }
        for tried, nll in losses_by_epoch.items()
    ]
    rows.sort(key=lambda row: row["validation_nll"])
    return options, PILOT.frame(rows)


def _fit(
    X: Tensor,
    Y: Tensor,
    K: Tensor,
    masks: list[NDArray],
    options: MultiLabelOptions,
    watched: dict[str, NDArray],
    checkpoint: files.Checkpoint | None = None,
) -> tuple[Parameters, list[dict]]:
    """Train one member per mask of examples; record the seeds' members each epoch."""
    rows = torch.from_numpy(np.flatnonzero(np.any(masks, axis=0)))
    seen = torch.from_numpy(np.array(masks))  # (m, n): what a member may learn from
    frequency = _frequency(Y, K, seen)
    parameters = new_head(
        options.head, len(masks), X.shape[1], Y.shape[1], options.hidden, options.seed
    )
    # rare labels start as rare, instead of spending the first epochs on learning that
    parameters["bias"] += torch.logit(frequency)[:, None]
    for value in parameters.values():
        value.requires_grad_(True)
    draw = new_sampler([rows] * len(masks), options.batch_size, options.seed)
    total = options.epochs * draw.steps
    optimiser = AdamW(
        parameters,
        rate=options.learning_rate,
        decay=torch.full((len(masks),), options.weight_decay or 0.0),
        total=total,
    )
    prior = (frequency / options.annotated).clamp(max=0.99)
    member = torch.arange(len(masks))[:, None]
    state = {**parameters, **optimiser.state()}
    done, history = checkpoint.load(state) if checkpoint else (0, [])
    saved = clock.monotonic()
    for epoch in track(
        range(done + 1, options.epochs + 1),
        total=options.epochs - done,
        label=f"train ({MULTILABEL_LOSSES[options.loss]})",
    ):
        # every epoch from a seed of its own, so that a resumed run drops the same units
        torch.manual_seed(options.seed * 1_000_003 + epoch)
        time = (epoch - 1) * draw.steps
        for batch in draw(epoch):
            time += 1
            logits = head_logits(parameters, X[batch], dropout=options.dropout)
            mine = seen[member, batch][..., None]
            known, unknown = K[batch] & mine, ~K[batch] & mine
            trust = _trust(options, time, total)
            loss = _loss(options, logits, Y[batch], known, unknown, prior, trust, epoch)
            loss.sum().backward()
            optimiser.step(time)
        history += _record(X, Y, K, parameters, epoch, time / total, options, watched)
        if checkpoint and clock.monotonic() - saved >= files.SAVE_EVERY_SECONDS:
            checkpoint.save(state, epoch, history)
            saved = clock.monotonic()
    return {name: value.detach() for name, value in parameters.items()}, history


def _frequency(Y: Tensor, K: Tensor, seen: Tensor) -> Tensor:
    """Share (m, C) of known entries that are positive, never 0 or 1."""
    weight = seen.to(Y.dtype)
    return (weight @ (Y * K) + 0.5) / (weight @ K.to(Y.dtype) + 1)


def _trust(options: MultiLabelOptions, time: int, total: int) -> float:
    if options.loss != "proselflc" or options.transit is None:
        return math.nan
    return global_trust(time, total, exp_base=options.exp_base, transit=options.transit)


def _loss(
    options: MultiLabelOptions,
    logits: Tensor,
    targets: Tensor,
    known: Tensor,
    unknown: Tensor,
    prior: Tensor,
    trust: float,
    epoch: int,
) -> Tensor:
    """Loss of each member (m,): mean over known entries, of nnPU over labels."""
    if options.loss == "nnpu":
        return losses.non_negative_pu(logits, targets, known, prior=prior).mean(dim=-1)
    if options.loss == "proselflc":
        entries = losses.bernoulli_proselflc(
            logits,
            targets,
            known,
            trust,
            temperature=options.temperature,
            missing=options.missing,
            pseudo=unknown if options.unknown == "pseudo" else None,
        )
    elif options.loss == "splc":
        entries = losses.splc(logits, targets, known, correct=epoch > 1)
    else:
        entries = STATELESS[options.loss](logits, targets, known)
    return entries.sum(dim=(1, 2)) / known.sum(dim=(1, 2)).clamp(min=1)


STATELESS = {
    "bce": losses.binary_cross_entropy,
    "focal": losses.focal,
    "asl": losses.asymmetric,
    "hill": losses.hill,
}


def _record(
    X: Tensor,
    Y: Tensor,
    K: Tensor,
    parameters: dict[str, Tensor],
    epoch: int,
    elapsed: float,
    options: MultiLabelOptions,
    watched: dict[str, NDArray],
) -> list[dict]:
    """Measure the seeds' members on each watched part, against the given labels."""
    history = []
    seeds = {name: value[: options.members].detach() for name, value in parameters.items()}
    g = math.nan
    if options.loss == "proselflc" and options.transit is not None:
        g = global_trust(elapsed, 1, exp_base=options.exp_base, transit=options.transit)
    with torch.inference_mode():
        for part, mask in watched.items():
            chosen = torch.from_numpy(np.flatnonzero(mask))
            logits, given, known = head_logits(seeds, X[chosen]), Y[chosen], K[chosen]
            given, known = given.expand_as(logits), known.expand_as(logits)
            count = known.sum(dim=(1, 2))
            nll = losses.binary_cross_entropy(logits, given, known).sum(dim=(1, 2)) / count
            mean = (torch.sigmoid(logits) * known).sum(dim=(1, 2)) / count
            zero = known & (given <= 0)
            added = torch.full((len(logits),), math.nan)
            if options.loss == "proselflc":
                target, _ = losses.bernoulli_target(
                    logits, given, g, temperature=options.temperature
                )
                added = (zero & (target > 0.5)).sum(dim=(1, 2)) / zero.sum(dim=(1, 2))
            history += [
                {
                    "epoch": epoch,
                    "member": m + 1,
                    "part": part,
                    "nll": float(nll[m]),
                    "positive_fraction": float(mean[m]),
                    "global_trust": g,
                    "added_fraction": float(added[m]),
                }
                for m in range(len(logits))
            ]
    return history
