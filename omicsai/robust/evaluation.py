"""Evaluating a classifier, beside a control, on examples it has not seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import softmax

from omicsai.robust.calibration import calibration_bins
from omicsai.robust.conformal import prediction_sets
from omicsai.robust.metrics import (
    METRICS,
    classification_metrics,
    metric_values,
    paired_difference,
)
from omicsai.robust.model import Classifier
from omicsai.tables import Column, Table

__all__ = ["CALIBRATION", "CONFUSION", "TESTED", "Evaluation", "evaluate"]

RELIABILITY_BINS = 10

TESTED = Table(
    "tested",
    (
        Column("id", "text", "sequence id"),
        Column("label", "text", "given label"),
        Column("predicted", "text", "label predicted by the model"),
        Column("probability", "number", "calibrated probability of the prediction"),
        Column("correct", "boolean", "prediction equals the given label"),
        Column("control_predicted", "text", "label predicted by the control", True),
        Column("cluster", "text", "cluster of the sequence"),
    ),
)
CALIBRATION = Table(
    "calibration",
    (
        Column("model", "text", "'model' or 'control'"),
        Column("calibrated", "boolean", "after (true) or before calibration"),
        Column("bin", "integer", "bin of confidence, from 1"),
        Column("sequences", "integer", "sequences in the bin"),
        Column(
            "confidence", "number", "mean probability that the recorded label is predicted"
        ),
        Column("accuracy", "number", "share right in the bin"),
    ),
)
CONFUSION = Table(
    "confusion",
    (
        Column("label", "text", "given label"),
        Column("predicted", "text", "predicted label"),
        Column("sequences", "integer", "how many"),
    ),
)


@dataclass(frozen=True)
class Evaluation:
    """Metrics, the tables behind them, and the model's averaged logits."""

    metrics: dict[str, Any]
    tested: pd.DataFrame
    calibration: pd.DataFrame
    confusion: pd.DataFrame
    logits: NDArray[np.float32]


def evaluate(
    classifier: Classifier,
    features: NDArray,
    labels: NDArray[np.int64],
    cluster: NDArray,
    ids: NDArray,
    *,
    control: Classifier | None = None,
    coverage: float = 0.9,
    resamples: int = 1000,
    seed: int = 1,
) -> Evaluation:
    """Measure a classifier.

    Parameters
    ----------
    classifier
        The model.
    features
        (n, d) raw embeddings of examples it has not seen.
    labels
        (n,) class indices.
    cluster, ids
        (n,) cluster and id of each example.
    control
        A model with the same classes to compare with.
    coverage
        Stated coverage of the sets of labels.
    resamples, seed
        Bootstrap over clusters.

    Returns
    -------
    Evaluation
        ``metrics`` holds every metric of `METRICS` as a number, their ``intervals``, those
        of single ``members``, and with a control its metrics and the paired difference.
    """
    logits = classifier.logits(features)
    P = classifier.calibrated(logits)
    metrics = _metrics(classifier, features, logits, labels, cluster, resamples, seed)
    metrics["label_sets"] = _coverage(
        P,
        classifier.calibration.recorded(logits),
        classifier.label_calibration,
        labels,
        coverage,
    )
    reliability = _reliability("model", classifier, logits, labels)
    names = np.array(classifier.classes, dtype=object)
    predicted = P.argmax(axis=1)
    tested: dict[str, Any] = {
        "id": ids,
        "label": names[labels],
        "predicted": names[predicted],
        "probability": P.max(axis=1),
        "correct": predicted == labels,
    }
    if control is not None:
        control_logits = control.logits(features)
        C = control.calibrated(control_logits)
        metrics["control"] = _metrics(
            control, features, control_logits, labels, cluster, resamples, seed
        )
        difference = paired_difference(
            P, C, labels, cluster,
            recorded=classifier.calibration.recorded(logits),
            control_recorded=control.calibration.recorded(control_logits),
            resamples=resamples, seed=seed,
        )  # fmt: skip
        metrics["difference"] = _flat(difference)
        reliability += _reliability("control", control, control_logits, labels)
        tested["control_predicted"] = names[C.argmax(axis=1)]
    tested["cluster"] = cluster
    counts = (
        pd.Series(list(zip(labels, predicted, strict=True))).value_counts().sort_index()
    )
    confusion = [
        {"label": names[a], "predicted": names[b], "sequences": n}
        for (a, b), n in counts.items()
    ]
    return Evaluation(
        metrics,
        TESTED.frame(tested),
        CALIBRATION.frame(reliability),
        CONFUSION.frame(confusion),
        logits,
    )


def _metrics(
    classifier: Classifier,
    features: NDArray,
    logits: NDArray,
    labels: NDArray,
    cluster: NDArray,
    resamples: int,
    seed: int,
) -> dict[str, Any]:
    P, R = classifier.calibrated(logits), classifier.calibration.recorded(logits)
    measured = classification_metrics(
        P, labels, cluster, recorded=R, resamples=resamples, seed=seed
    )
    members = [
        metric_values(
            classifier.calibrated(own),
            labels,
            recorded=classifier.calibration.recorded(own),
        )
        for own in classifier.member_logits(features)
    ]
    return {
        "loss": classifier.settings["loss"],
        **_flat(measured),
        "mean_confidence": round(float(P.max(axis=1).mean()), 6),
        "members": {name: [round(m[name], 6) for m in members] for name in METRICS},
    }


def _coverage(
    P: NDArray, R: NDArray, calibration: NDArray, labels: NDArray, coverage: float
) -> dict[str, float]:
    """How often label sets hold the recorded one, how often expected, and their size."""
    sets = prediction_sets(P, calibration, coverage=coverage)
    return {
        "stated_coverage": coverage,
        "recorded": round(float(sets[np.arange(len(labels)), labels].mean()), 6),
        "recorded_expected": round(float((sets * R).sum(axis=1).mean()), 6),
        "mean_size": round(float(sets.sum(axis=1).mean()), 6),
    }


def _flat(measured: dict[str, dict[str, float]]) -> dict[str, Any]:
    values = {name: one["value"] for name, one in measured.items()}
    intervals = {name: [one["low"], one["high"]] for name, one in measured.items()}
    return {**values, "intervals": intervals}


def _reliability(
    name: str, classifier: Classifier, logits: NDArray, labels: NDArray
) -> list[dict]:
    raw = softmax(np.asarray(logits, np.float64), axis=1)
    P, R = classifier.calibrated(logits), classifier.calibration.recorded(logits)
    right = P.argmax(axis=1) == labels
    believed_right = R[np.arange(len(P)), P.argmax(axis=1)]
    rows = []
    for calibrated, confidence, hits in (
        (False, raw.max(axis=1), raw.argmax(axis=1) == labels),
        (True, believed_right, right),
    ):
        count, believed, hit = calibration_bins(confidence, hits, bins=RELIABILITY_BINS)
        rows += [
            {
                "model": name,
                "calibrated": calibrated,
                "bin": b + 1,
                "sequences": int(count[b]),
                "confidence": believed[b] / count[b],
                "accuracy": hit[b] / count[b],
            }
            for b in range(RELIABILITY_BINS)
            if count[b]
        ]
    return rows
