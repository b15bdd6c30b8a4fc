"""The noise laboratory: methods beside each other on planted wrong labels.

Labels as given count as the truth. In training and validation some are made wrong, for each
seed others; every method trains on the same wrong labels with the same batches and
settings, and is measured on the test part, whose labels stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from omicsai.errors import InputError
from omicsai.robust import noise
from omicsai.robust.calibration import fit_calibration
from omicsai.robust.fit import HISTORY, JUDGE, Fitted, Watched, fit_members
from omicsai.robust.heads import Head, Parameters, all_logits, new_head, on_vectors
from omicsai.robust.options import LOSSES, Options
from omicsai.robust.outcomes import Outcome, joined
from omicsai.robust.pilot import LOSSES_TRIED, TIMER, best_times, settle
from omicsai.robust.ridge import regress
from omicsai.robust.train import standardisation

__all__ = [
    "CHOSEN",
    "METHODS",
    "Condition",
    "Laboratory",
    "experiment",
    "method_settings",
    "new_laboratory",
]

# name: what differs from the options of the benchmark
# a decay of None comes from pilot runs on the wrong labels, as `omicsai train` does it
CHOSEN = "chosen"
METHODS: dict[str, dict[str, Any]] = {
    CHOSEN: {"loss": None, "head": None, "weight_decay": None, "transit": None},
    **{
        f"{loss}_tuned": {"loss": loss, "weight_decay": None, "transit": None}
        for loss in (TIMER, *LOSSES_TRIED)
    },
    **{loss: {"loss": loss} for loss in LOSSES},
    "proselflc_2021": {"loss": "proselflc", "temperature": 1.0, "target_gradient": True},
    "proselflc_half": {"loss": "proselflc", "transit": 0.5},
    "proselflc_steep": {"loss": "proselflc", "exp_base": 16.0},
    "proselflc_memory": {"loss": "proselflc", "target_memory": 0.8},
    "proselflc_adjusted": {"loss": "proselflc", "imbalance": "logits"},
    "ridge": {"loss": None, "head": "ridge"},
}
TRUST_SETTINGS = (
    "exp_base", "transit", "temperature", "trust", "target_gradient", "target_memory",
)  # fmt: skip
KINDS = ("symmetric", "class", "neighbour", "cluster")
PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Condition:
    """A kind of noise and its rate."""

    kind: str
    rate: float

    @classmethod
    def parse(cls, text: str) -> Condition:
        """Read ``KIND:RATE``.

        Raises
        ------
        InputError
            If the kind is unknown or the rate not from 0 to 1.
        """
        kind, _, rate = text.partition(":")
        try:
            value = float(rate)
        except ValueError:
            value = -1.0
        if kind not in KINDS or not 0 <= value <= 1:
            raise InputError(
                f"'{text}' is not a condition: write the kind of noise "
                f"({', '.join(KINDS)}) and its rate, for example symmetric:0.4"
            )
        return cls(kind, value)


@dataclass(frozen=True)
class Laboratory:
    """A data set on which methods are compared.

    Attributes
    ----------
    classes
        Names of the C classes.
    X
        (n, d) features, standardised on the training part.
    code
        (n,) true class indices.
    cluster
        (n,) cluster ids.
    parts
        (n,) mask of each part.
    options
        Settings of all methods; ``members`` is the number of seeds.
    """

    classes: list[str]
    X: Tensor
    code: NDArray[np.int64]
    cluster: NDArray
    parts: dict[str, NDArray[np.bool_]]
    options: Options

    def start(self, head: Head, members: int) -> Parameters:
        """Draw initial parameters."""
        return new_head(
            head, members, self.X.shape[1], len(self.classes),
            self.options.hidden, self.options.seed,
        )  # fmt: skip

    def targets(self, code: NDArray[np.int64]) -> Tensor:
        """Make one-hot rows of class indices."""
        return torch.eye(len(self.classes))[torch.from_numpy(code)]

    def planted(self, condition: Condition) -> NDArray[np.int64]:
        """Give class indices (seeds, n), some wrong in training and validation."""
        learnt = np.flatnonzero(self.parts["train"] | self.parts["validation"])
        code, classes, rate = self.code[learnt], len(self.classes), condition.rate
        given = np.tile(self.code, (self.options.members, 1))
        for seed, row in enumerate(given, start=self.options.seed):
            if condition.kind == "symmetric":
                row[learnt] = noise.symmetric_noise(code, classes, rate, seed=seed)
            elif condition.kind == "class":
                row[learnt] = noise.class_dependent_noise(code, classes, rate, seed=seed)
            elif condition.kind == "neighbour":
                row[learnt] = noise.neighbour_dependent_noise(
                    code, classes, rate, self.X[learnt].numpy(), seed=seed
                )
            else:
                row[learnt] = noise.cluster_dependent_noise(
                    code, classes, rate, self.cluster[learnt], seed=seed
                )
        return given


def new_laboratory(
    features: NDArray[np.float32],
    labels: NDArray,
    part: NDArray,
    cluster: NDArray,
    options: Options,
) -> Laboratory:
    """Prepare a data set.

    Parameters
    ----------
    features
        (n, d) float32 embeddings.
    labels
        (n,) label of each example, none unknown.
    part, cluster
        (n,) part of the split (train, validation, test; others are left out), and cluster.
    options
        Settings of all methods. A ``head`` or ``weight_decay`` of None is chosen by the
        cross-entropy pilot on the labels as they are given, for all methods alike.

    Returns
    -------
    Laboratory

    Raises
    ------
    InputError
        If a part is empty, or training has one class, or not all that the others have, or
        the head is for embeddings of residues.
    """
    if options.head == "light_attention":
        raise InputError("comparisons are made on one vector per sequence: linear or mlp")
    kept = np.isin(part, PARTS)
    features, labels, part = features[kept], labels[kept], part[kept]
    parts = {name: part == name for name in PARTS}
    for name, mask in parts.items():
        if not mask.any():
            raise InputError(f"no labelled sequence is in the part '{name}'")
    classes = sorted(set(labels[parts["train"]]))
    if len(classes) < 2:
        raise InputError("the training part has one class: a comparison needs two")
    foreign = sorted(set(labels) - set(classes))
    if foreign:
        raise InputError(
            f"no training sequence has the label '{foreign[0]}', which other parts have: "
            "leave it out, or split again"
        )
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    mean, scale = standardisation(features[parts["train"]], options.scaling)
    code = np.array([classes.index(label) for label in labels])
    laboratory = Laboratory(
        classes, torch.from_numpy((features - mean) / scale), code,
        np.asarray(cluster)[kept], parts, options,
    )  # fmt: skip
    pilot = replace(laboratory, options=replace(options, loss=TIMER))
    settled = _settled(pilot, code, options.seed).options
    options = replace(options, head=settled.head, weight_decay=settled.weight_decay)
    return replace(laboratory, options=options)


def method_settings(laboratory: Laboratory, method: str) -> dict[str, Any]:
    """Everything that decides what a method does, to tell whether an outcome is its own."""
    settings = {**vars(laboratory.options), **METHODS[method]}
    if settings["loss"] not in ("proselflc", None):
        settings = {k: v for k, v in settings.items() if k not in TRUST_SETTINGS}
    return settings


def experiment(
    laboratory: Laboratory,
    given: NDArray[np.int64],
    method: str,
    pilot: NDArray[np.float64] | None = None,
    *,
    watch: bool = False,
) -> Outcome:
    """Train one method on planted labels, all seeds in one pass, and measure it.

    Parameters
    ----------
    laboratory
        The data set.
    given
        (seeds, n) class indices from `Laboratory.planted`.
    method
        One of `METHODS`.
    pilot
        (seeds,) transit of each seed, from the outcome of `TIMER` on the same labels.
    watch
        Whether to follow the learning dynamics, which takes half as long again.

    Returns
    -------
    Outcome
    """
    options = replace(laboratory.options, **METHODS[method])
    laboratory = replace(laboratory, options=options)
    if options.weight_decay is None:
        return joined([
            _train(_settled(laboratory, row, seed), row[None], None, watch)
            for seed, row in enumerate(given, start=options.seed)
        ])  # fmt: skip
    transit = None
    if options.loss == "proselflc" and options.transit is None:
        assert pilot is not None
        transit = pilot.tolist()
    return _train(laboratory, given, transit, watch)


def _settled(laboratory: Laboratory, given: NDArray[np.int64], seed: int) -> Laboratory:
    """Set what the given labels (n,) choose in pilot runs."""
    laboratory = replace(laboratory, options=replace(laboratory.options, seed=seed))
    settled, _ = settle(
        laboratory.start, on_vectors(laboratory.X), laboratory.targets(given),
        laboratory.parts["train"], laboratory.parts["validation"], laboratory.cluster,
        laboratory.options,
    )  # fmt: skip
    return replace(laboratory, options=settled)


def _train(
    laboratory: Laboratory,
    given: NDArray[np.int64],
    transit: list[float] | None,
    watch: bool,
) -> Outcome:
    """Outcome of the laboratory's options on planted labels (seeds, n)."""
    options = laboratory.options
    assert options.head is not None
    seeds, train = len(given), laboratory.parts["train"]
    Q = torch.stack([laboratory.targets(row) for row in given])
    truth = laboratory.targets(laboratory.code)
    wrong = train & (given != laboratory.code)
    watched = {JUDGE: Watched(laboratory.parts["validation"], Q)}
    if watch:
        watched |= {"clean": Watched(train & ~wrong, Q)}
        watched |= {"test": Watched(laboratory.parts["test"], truth)}
        if wrong.any():
            watched |= {"wrong": Watched(wrong, Q), "corrected": Watched(wrong, truth)}
    forward = on_vectors(laboratory.X)
    if options.head == "ridge":
        heads = [regress(laboratory.X, q, train, laboratory.cluster) for q in Q]
        parts = [head.parameters() for head in heads]
        only = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        fitted = Fitted(only, only, np.zeros(seeds, dtype=np.int64), [])
    else:
        fitted = fit_members(
            laboratory.start(options.head, seeds), forward, Q, [train] * seeds, options,
            watched=watched, shared_batches=True, transit=transit,
        )  # fmt: skip
    states = (fitted.last, fitted.best)
    logits = np.stack([all_logits(forward, one, len(laboratory.code)) for one in states])
    predicted = logits.argmax(axis=-1)
    count = np.maximum(wrong.sum(axis=1), 1)
    nothing = np.where(wrong.any(axis=1), 0.0, np.nan)  # no wrong label, no share of them
    validation = laboratory.parts["validation"]
    last = np.full(seeds, options.epochs, dtype=np.int64)
    history = HISTORY.frame(fitted.history)
    curves = history[history["part"] != JUDGE].groupby(["epoch", "part"], sort=False)
    means = curves[["accuracy", "confidence"]].mean().reset_index()
    used = options.transit if transit is None else transit
    return Outcome(
        logits=logits[:, :, laboratory.parts["test"]],
        temperature=np.array(
            [
                [
                    1
                    / fit_calibration(
                        z[validation], row[validation], laboratory.cluster[validation]
                    ).scale[0]
                    for z, row in zip(state, given, strict=True)
                ]
                for state in logits
            ]
        ),
        wrong_fit=((predicted == given) & wrong).sum(axis=-1) / count + nothing,
        corrected=((predicted == laboratory.code) & wrong).sum(axis=-1) / count + nothing,
        epoch=np.stack([last, fitted.best_epoch]),
        transit=np.broadcast_to(
            np.nan if options.loss != "proselflc" else np.array(used, float), seeds
        ),
        pilot=best_times(history, options.epochs)
        if len(history)
        else np.full(seeds, np.nan),
        dynamics=means.rename(columns={"part": "subset"}).to_dict("records"),
    )
