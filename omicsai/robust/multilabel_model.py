"""A trained model of several labels: calibrated and called label by label."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from omicsai.errors import InputError
from omicsai.robust.calibration import cluster_weights
from omicsai.robust.label_matrix import propagate
from omicsai.robust.model import DESCRIPTION, Classifier, load_classifier, save_classifier
from omicsai.sequences.hierarchy import Hierarchy
from omicsai.tables import write_json

__all__ = [
    "MultiLabelClassifier",
    "fit_label_calibration",
    "is_multilabel",
    "load_multilabel",
    "save_multilabel",
]

LABELS = "multilabel.json"
SLOPE_SPREAD, OFFSET_SPREAD = 0.5, 1.0  # how far one label strays from all, ln and logits


@dataclass(frozen=True, kw_only=True)
class MultiLabelClassifier(Classifier):
    """A classifier that gives each label its own probability.

    Attributes
    ----------
    slope, offset
        (C,) calibration: p = sigmoid(slope z + offset).
    threshold
        (C,) probability from which a label is called, by Matthews' correlation on
        validation data.
    accretion
        (C,) information accretion of the training annotation, bits.
    parents
        Columns of the direct parents of each label.
    hierarchy
        What implies what, to read the labels of other tables alike.
    """

    slope: NDArray[np.float64]
    offset: NDArray[np.float64]
    threshold: NDArray[np.float64]
    accretion: NDArray[np.float64]
    parents: list[list[int]]
    hierarchy: Hierarchy = field(default_factory=Hierarchy)

    def calibrated(self, logits: NDArray) -> NDArray[np.float64]:
        """Probabilities (n, C) of averaged logits; a parent is never below a child."""
        z = np.asarray(logits, dtype=np.float64)
        return propagate(expit(self.slope * z + self.offset), self.parents)

    def called(self, probabilities: NDArray) -> NDArray[np.bool_]:
        """Labels (n, C) at or above their thresholds, with all their ancestors."""
        return propagate(probabilities >= self.threshold, self.parents)


def fit_label_calibration(
    logits: NDArray, truth: NDArray, known: NDArray, cluster: NDArray
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Slope and offset of each label's logits (Platt 1999), drawn to those of all labels.

    First one slope and offset for all entries, then one pair a label with a normal prior
    around them, so that a label with three positives is not calibrated on three numbers.
    Every cluster has one vote. What is calibrated is the probability of being *annotated*:
    where annotation is missing, the truth is more probable.

    Parameters
    ----------
    logits
        (n, C) logits of validation examples.
    truth, known
        (n, C) annotation and which entries of it mean something.
    cluster
        (n,) cluster ids.

    Returns
    -------
    slope, offset : (C,) float64
        Slopes are positive: no label's ranking is turned round.
    """
    z = np.asarray(logits, dtype=np.float64)
    y = np.asarray(truth, dtype=np.float64)
    w = np.where(known, cluster_weights(cluster)[:, None], 0.0)
    labels = z.shape[1]

    def gradients(log_slope: NDArray, offset: NDArray) -> tuple[NDArray, NDArray, NDArray]:
        """Loss and its slopes, summed over examples: (C,) each."""
        slope = np.exp(log_slope)
        x = slope * z + offset
        loss = (w * (np.logaddexp(0, x) - y * x)).sum(axis=0)
        error = w * (expit(x) - y)
        return loss, (error * z).sum(axis=0) * slope, error.sum(axis=0)

    def common(v: NDArray) -> tuple[float, NDArray]:
        loss, by_slope, by_offset = gradients(np.full(labels, v[0]), np.full(labels, v[1]))
        return float(loss.sum()), np.array([by_slope.sum(), by_offset.sum()])

    bounds = [(np.log(0.01), np.log(100.0)), (-50.0, 50.0)]
    centre = minimize(common, np.zeros(2), jac=True, bounds=bounds, method="L-BFGS-B").x

    def single(v: NDArray) -> tuple[float, NDArray]:
        a, b = v[:labels], v[labels:]
        loss, by_slope, by_offset = gradients(a, b)
        d, e = (a - centre[0]) / SLOPE_SPREAD, (b - centre[1]) / OFFSET_SPREAD
        total = loss.sum() + 0.5 * (d**2 + e**2).sum()
        slopes = (by_slope + d / SLOPE_SPREAD, by_offset + e / OFFSET_SPREAD)
        return float(total), np.concatenate(slopes)

    found = minimize(
        single,
        np.repeat(centre, labels),
        jac=True,
        bounds=[bounds[0]] * labels + [bounds[1]] * labels,
        method="L-BFGS-B",
        options={"maxiter": 1000},
    ).x
    return np.exp(found[:labels]), found[labels:]


def is_multilabel(folder: Path | str) -> bool:
    """Whether a model folder holds a model of several labels."""
    path = Path(folder) / DESCRIPTION
    if not path.is_file():
        return False  # `load_classifier` says what is missing
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        return bool(about["settings"].get("task") == "multi")
    except (ValueError, KeyError, AttributeError):
        return False


def save_multilabel(classifier: MultiLabelClassifier, folder: Path | str) -> None:
    """Write a model folder: what `save_classifier` writes, and ``multilabel.json``."""
    write_json(
        Path(folder) / LABELS,
        {
            "labels": [
                {
                    "label": name,
                    "slope": float(classifier.slope[c]),
                    "offset": float(classifier.offset[c]),
                    "threshold": float(classifier.threshold[c]),
                    "accretion": float(classifier.accretion[c]),
                    "parents": [classifier.classes[p] for p in classifier.parents[c]],
                }
                for c, name in enumerate(classifier.classes)
            ],
            "hierarchy": classifier.hierarchy.description(),
        },
    )
    save_classifier(classifier, folder)


def load_multilabel(folder: Path | str) -> MultiLabelClassifier:
    """Read a model folder written by `save_multilabel`.

    Raises
    ------
    InputError
        If a file is missing or damaged.
    """
    base = load_classifier(folder)
    path = Path(folder) / LABELS
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        rows = about["labels"]
        column = {row["label"]: c for c, row in enumerate(rows)}
        if list(column) != base.classes:
            raise ValueError("its labels are not those of model.json")
        numbers: dict[str, Any] = {
            name: np.array([row[name] for row in rows], dtype=np.float64)
            for name in ("slope", "offset", "threshold", "accretion")
        }
        return MultiLabelClassifier(
            **vars(base),
            **numbers,
            parents=[[column[p] for p in row["parents"]] for row in rows],
            hierarchy=Hierarchy.from_description(about["hierarchy"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is missing or damaged ({error}): run 'omicsai train' again"
        ) from error
