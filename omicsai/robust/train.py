"""Training a calibrated ensemble of heads on embeddings and labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from omicsai.errors import InputError
from omicsai.robust.attention import new_light_attention, on_residues
from omicsai.robust.calibration import Scaling as CalibrationScaling
from omicsai.robust.calibration import choose_scaling, fit_calibration
from omicsai.robust.checkpoint import checkpoints_in, fingerprint
from omicsai.robust.conformal import label_scores
from omicsai.robust.detection import Detector, Judgement, fit_detector
from omicsai.robust.fit import HISTORY, Fitted, Watched, fit_members
from omicsai.robust.heads import Head, Parameters, all_logits, new_head, on_vectors
from omicsai.robust.margins import area_under_margin
from omicsai.robust.model import Classifier, is_ragged, mean_features
from omicsai.robust.novelty import novelty_calibration
from omicsai.robust.options import Mislabels, Options, Scaling
from omicsai.robust.pilot import PILOT, settle
from omicsai.robust.ridge import Ridge, adapt, regress
from omicsai.sequences import split_labels

__all__ = ["HISTORY", "Trained", "train_classifier"]


@dataclass(frozen=True)
class Trained:
    """What training gives.

    Attributes
    ----------
    classifier
        The calibrated ensemble.
    history
        The `HISTORY` table.
    pilot
        The `omicsai.robust.pilot.PILOT` table: what was tried for settings left open.
    held_out_logits
        (n, C) float32 logits of each example from members that did not see its cluster:
        the fold's member for training examples, the ensemble for validation; NaN for
        others.
    detector
        What those logits and the given labels say about wrong labels.
    low_margin
        (n,) labels of the training part that are learned no more readily than a made-up
        class (`omicsai.robust.margins`); none for the head ``"ridge"``, which is not
        trained in epochs.
    validation
        Rows, class indices and clusters (v,) of the validation part.
    ridge
        The regression behind the head ``"ridge"``; None for others.
    """

    classifier: Classifier
    history: pd.DataFrame
    pilot: pd.DataFrame
    held_out_logits: NDArray[np.float32]
    detector: Detector
    low_margin: NDArray[np.bool_]
    validation: tuple[NDArray[np.int64], NDArray[np.int64], NDArray]
    ridge: Ridge | None = None

    def for_batch(self, features: NDArray[np.float32]) -> Classifier:
        """Return the classifier for an unlabelled batch: a ridge head adapts to it.

        What its scores mean is found again on the validation part.
        """
        if self.ridge is None:
            return self.classifier
        X = torch.from_numpy(self.classifier.standardise(features))
        head = adapt(self.ridge, X).parameters()
        rows, code, cluster = self.validation
        settings = self.classifier.settings
        known = torch.from_numpy(self.classifier.reference[rows])
        logits = all_logits(on_vectors(known), head, len(rows)).mean(axis=0)
        return replace(
            self.classifier,
            parameters={k: v.numpy() for k, v in head.items()},
            **_calibration(logits, code, cluster, self.detector, settings["calibration"]),
        )


def train_classifier(
    features: NDArray[np.float32],
    labels: Sequence[str],
    part: ArrayLike,
    cluster: ArrayLike,
    fold: ArrayLike | None = None,
    options: Options | None = None,
    *,
    checkpoints: Path | None = None,
) -> Trained:
    """Train, calibrate, and cross-fit.

    Parameters
    ----------
    features
        (n, d) float32 embeddings; for the head ``"light_attention"`` an object array (n,)
        of per-residue embeddings (L_i, d).
    labels
        Label of each example; empty where unknown, several joined by ``;``. What happens
        to training examples without exactly one label is said by ``options.unknown``.
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
    checkpoints
        Folder in which unfinished runs are saved now and then, and from which they go on;
        the caller removes it once the result is safe. None for no saving.

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
    if options.head == "ridge":
        if options.unknown == "pseudo" or options.imbalance != "none":
            raise InputError(
                "the head 'ridge' corrects labels and balances classes by itself: use "
                "unknown: mask or random, and imbalance: none"
            )
        options = replace(options, members=1, loss=None, weight_decay=None)
    elif options.unknown == "pseudo" and options.loss is None:
        options = replace(options, loss="proselflc")
    ragged = is_ragged(features)
    heads = ("light_attention",) if ragged else ("linear", "mlp", "ridge")
    if options.head not in (None, *heads):
        raise InputError(
            "the head 'light_attention' is for embeddings of each residue, the others are "
            "for one vector per sequence"
        )
    if not all(np.isfinite(one).all() for one in (features if ragged else [features])):
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
    X = torch.from_numpy(((mean_features(features) - mean) / scale).astype(np.float32))
    forward = (
        on_residues([(one - mean) / scale for one in features]) if ragged else on_vectors(X)
    )
    learning, code = _with_unknown(training, part == "train", code, len(classes), options)
    Q = torch.zeros(len(code), len(classes))
    Q[code >= 0] = torch.eye(len(classes))[code[code >= 0]]

    def start(head: Head, members: int, outputs: int = len(classes)) -> Parameters:
        sizes = (X.shape[1], outputs, options.hidden, options.seed)
        if ragged:
            return new_light_attention(members, *sizes)
        return new_head(head, members, *sizes)

    key = ""
    if checkpoints is not None:
        clusters = np.unique(cluster, return_inverse=True)[1]
        arrays = (
            X, *(features if ragged else ()), Q, learning, validation, fold_of, clusters,
        )  # fmt: skip
        key = fingerprint(vars(options), *arrays)
    checkpoint = checkpoints_in(checkpoints, key)
    ridges: list[Ridge] = []  # of the first mask of each call of fit
    settled, pilot = options, PILOT.frame([])
    if options.head != "ridge":
        settled, pilot = settle(
            start, forward, Q, learning, validation, cluster, options,
            "light_attention" if ragged else "mlp", checkpoint,
        )  # fmt: skip
    head = settled.head
    assert head is not None
    low_margin = np.zeros(len(code), dtype=bool)
    if head != "ridge":
        area = area_under_margin(
            start(head, 2, len(classes) + 1), forward, code, training, settled,
            checkpoint("margins"),
        )  # fmt: skip
        low_margin = area <= 0

    def fit(name: str, given: Tensor, masks: list[NDArray], measured: int) -> Fitted:
        if head == "ridge":
            regressions = [regress(X, given, mask, cluster) for mask in masks]
            ridges.append(regressions[0])
            heads = [one.parameters() for one in regressions]
            stacked = {key: torch.cat([one[key] for one in heads]) for key in heads[0]}
            return Fitted(stacked, stacked, np.zeros(len(masks), np.int64), [])
        return fit_members(
            start(head, len(masks)), forward, given, masks, settled,
            watched={"train": Watched(training, Q), "validation": Watched(validation, Q)},
            measured=measured,
            checkpoint=checkpoint(name),
        )  # fmt: skip

    folds = sorted(set(fold_of[training]) - {0})
    masks = [learning] * options.members + [learning & (fold_of != f) for f in folds]
    best = options.keep == "best"
    fitted = fit("train", Q, masks, len(masks) if best else options.members)
    parameters = fitted.best if best else fitted.last
    seeds = {name: value[: options.members] for name, value in parameters.items()}
    history = [row for row in fitted.history if row["member"] <= options.members]
    others = {name: value[options.members :] for name, value in parameters.items()}
    logits = all_logits(forward, seeds, len(code)).mean(axis=0)
    by_fold = all_logits(forward, others, len(code)) if folds else None
    held_out = np.full_like(logits, np.nan)
    held_out[validation] = logits[validation]
    for index, f in enumerate(folds):
        mine = training & (fold_of == f)
        assert by_fold is not None
        held_out[mine] = by_fold[index, mine]
    judged = (training | validation) & np.isfinite(held_out[:, 0])
    detector = fit_detector(held_out[judged], code[judged])
    if options.mislabels != "report":
        doubted = np.flatnonzero(judged & training)
        if not len(doubted):
            raise InputError(
                f"mislabels: {options.mislabels} needs cross-fitting folds: split with "
                "'folds' of at least 2, or use mislabels: report"
            )
        learning, cleaned = _act(
            options.mislabels, doubted, detector.judge(held_out[doubted], code[doubted]),
            learning, Q,
        )  # fmt: skip
        fitted = fit("cleaned", cleaned, [learning] * options.members, options.members)
        seeds, history = fitted.best if best else fitted.last, fitted.history
        logits = all_logits(forward, seeds, len(code)).mean(axis=0)
        held_out[validation] = logits[validation]
    of_validation = np.flatnonzero(validation), code[validation], cluster[validation]
    scaling = options.calibration
    if scaling is None and (head == "ridge" or options.imbalance != "none"):
        scaling = "temperature"
    if scaling is None:
        scaling = choose_scaling(
            logits[validation], *of_validation[1:], transition=detector.transition
        )
    classifier = Classifier(
        classes=classes,
        parameters={name: value.numpy() for name, value in seeds.items()},
        mean=mean,
        scale=scale,
        **_calibration(logits[validation], *of_validation[1:], detector, scaling),
        reference=X.numpy(),
        novelty_calibration=novelty_calibration(X.numpy(), cluster),
        settings={
            **vars(settled),
            "calibration": scaling,
            "best_epochs": fitted.best_epoch[: options.members].tolist(),
        },
    )
    return Trained(
        classifier,
        HISTORY.frame(history),
        pilot,
        held_out,
        detector,
        low_margin,
        of_validation,
        ridges[-1] if ridges else None,
    )


def _calibration(
    logits: NDArray, code: NDArray[np.int64], cluster: NDArray, detector: Detector,
    scaling: CalibrationScaling,
) -> dict[str, Any]:  # fmt: skip
    """Fields of a classifier that say what its logits mean, from held-out examples."""
    calibration = fit_calibration(
        logits, code, cluster, scaling=scaling, transition=detector.transition
    )
    posterior = detector.judge(logits, code).posterior
    return {
        "calibration": calibration,
        "label_calibration": label_scores(calibration(logits), posterior, cluster),
    }


def _act(
    action: Mislabels,
    rows: NDArray[np.int64],
    judged: Judgement,
    learning: NDArray[np.bool_],
    given: Tensor,
) -> tuple[NDArray[np.bool_], Tensor]:
    """Examples and label distributions to learn from, doubts about `rows` acted upon."""
    learning, given = learning.copy(), given.clone()
    flagged = rows[judged.flagged]
    if action == "drop":
        learning[flagged] = False
    elif action == "correct":
        given[flagged] = torch.eye(given.shape[1])[judged.proposed[judged.flagged]]
    else:
        given[rows] = torch.from_numpy(judged.posterior).to(given.dtype)
    return learning, given


def _with_unknown(
    labelled: NDArray[np.bool_],
    training: NDArray[np.bool_],
    code: NDArray[np.int64],
    classes: int,
    options: Options,
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Examples to learn from, and class indices, -1 for a label to be found out."""
    if options.unknown == "mask":
        return labelled, code
    unknown = training & (code < 0)
    if options.unknown == "random":
        drawn = np.random.default_rng(options.seed).integers(classes, size=len(code))
        return labelled | unknown, np.where(unknown, drawn, code)
    if options.loss != "proselflc":
        raise InputError(
            f"unknown: pseudo is defined for the loss 'proselflc', not '{options.loss}': "
            "use unknown: mask"
        )
    return labelled | unknown, code


def _fold_numbers(fold: ArrayLike | None, count: int) -> NDArray[np.int64]:
    if fold is None:
        return np.zeros(count, dtype=np.int64)
    return pd.Series(fold).fillna(0).to_numpy(dtype=np.int64)


def standardisation(
    features: NDArray, scaling: Scaling = "each"
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and scale (d,) of each feature; constant features have scale 1.

    Embeddings of residues count each residue.
    """
    if is_ragged(features):
        features = np.concatenate(list(features))
    mean = features.mean(axis=0, dtype=np.float64)
    scale = features.std(axis=0, dtype=np.float64)
    if scaling == "common":
        scale[:] = np.sqrt((scale**2).mean())
    scale[scale < 1e-8] = 1.0
    return mean.astype(np.float32), scale.astype(np.float32)
