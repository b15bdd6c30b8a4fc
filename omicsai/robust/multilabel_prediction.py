"""Predictions and evaluation of a model of several labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from omicsai.robust.calibration import calibration_bins
from omicsai.robust.evaluation import CALIBRATION, RELIABILITY_BINS
from omicsai.robust.label_matrix import LabelMatrix, join_called
from omicsai.robust.multilabel_metrics import (
    MULTILABEL_METRICS,
    label_metrics,
    macro_mcc,
)
from omicsai.robust.multilabel_model import MultiLabelClassifier
from omicsai.robust.prediction import UNLIKE_TRAINING, predict
from omicsai.tables import Column, Table

__all__ = [
    "LABEL_COUNTS",
    "MULTILABEL_PREDICTIONS",
    "MULTILABEL_TESTED",
    "MultiLabelEvaluation",
    "evaluate_labels",
    "predict_labels",
]

MULTILABEL_PREDICTIONS = Table(
    "predictions",
    (
        Column("id", "text", "sequence id"),
        Column("label", "text", "labels called, most probable first, joined by ';'"),
        Column("probability", "text", "their calibrated probabilities, joined by ';'"),
        Column("runner_up", "text", "most probable label that is not called"),
        Column("runner_up_probability", "number", "its calibrated probability"),
        *UNLIKE_TRAINING,
        Column("nearest_label", "text", "its given labels, empty if unknown"),
        Column("nearest_similarity", "number", "cosine similarity of the two embeddings"),
    ),
)
MULTILABEL_TESTED = Table(
    "tested",
    (
        Column("id", "text", "sequence id"),
        Column("label", "text", "given labels with all they imply, joined by ';'"),
        Column("predicted", "text", "labels called, joined by ';'"),
        Column("control_predicted", "text", "labels called by the control", True),
        Column("cluster", "text", "cluster of the sequence"),
    ),
)
LABEL_COUNTS = Table(
    "confusion",
    (
        Column("label", "text", "the label"),
        Column("threshold", "number", "probability from which it is called"),
        Column("given_called", "integer", "sequences that have it and are called"),
        Column("given_missed", "integer", "sequences that have it and are not called"),
        Column("not_given_called", "integer", "sequences called that are not annotated"),
        Column("not_given_not_called", "integer", "the other known sequences"),
        Column("mcc", "number", "Matthews' correlation; empty if no sequence has it"),
    ),
)


def predict_labels(
    classifier: MultiLabelClassifier,
    features: NDArray,
    ids: NDArray,
    *,
    reference_ids: NDArray,
    reference_labels: NDArray,
    novel_fdr: float = 0.1,
) -> pd.DataFrame:
    """Predict the labels of each example; see `omicsai.robust.prediction.predict`.

    Returns
    -------
    pandas.DataFrame
        The `MULTILABEL_PREDICTIONS` table.
    """
    frame = predict(
        classifier,
        features,
        ids,
        reference_ids=reference_ids,
        reference_labels=reference_labels,
        novel_fdr=novel_fdr,
    ).drop(columns="label_set")
    P = classifier.calibrated(classifier.logits(features))
    called = classifier.called(P)
    names = np.array(classifier.classes, dtype=object)
    order = np.argsort(-P, axis=1, kind="stable")
    listed = [row[c[row]] for row, c in zip(order, called, strict=True)]
    rest = np.where(called, -1.0, P)
    second, rows = rest.argmax(axis=1), np.arange(len(P))
    left = rest[rows, second] >= 0
    columns: dict[str, Any] = {
        "label": [";".join(names[row]) for row in listed],
        "probability": [
            ";".join(f"{p:.4f}" for p in P[i, row]) for i, row in enumerate(listed)
        ],
        "runner_up": np.where(left, names[second], ""),
        "runner_up_probability": np.where(left, rest[rows, second], np.nan),
    }
    return MULTILABEL_PREDICTIONS.frame(frame.assign(**columns))


@dataclass(frozen=True)
class MultiLabelEvaluation:
    """Metrics and the tables behind them."""

    metrics: dict[str, Any]
    tested: pd.DataFrame
    calibration: pd.DataFrame
    counts: pd.DataFrame
    probabilities: NDArray[np.float64]


def evaluate_labels(
    classifier: MultiLabelClassifier,
    features: NDArray,
    labels: LabelMatrix,
    cluster: NDArray,
    ids: NDArray,
    *,
    control: MultiLabelClassifier | None = None,
    resamples: int = 1000,
    seed: int = 1,
) -> MultiLabelEvaluation:
    """Measure a model of several labels.

    Parameters
    ----------
    classifier
        The model.
    features
        (n, d) raw embeddings of examples it has not seen.
    labels
        Their annotation, in the columns of the model.
    cluster, ids
        (n,) cluster and id of each example.
    control
        A model with the same labels to compare with.
    resamples, seed
        Bootstrap over clusters.

    Returns
    -------
    MultiLabelEvaluation
        ``metrics`` holds every metric of `MULTILABEL_METRICS` with its interval, and with
        a control its metrics too.
    """
    models = {"model": classifier} | ({"control": control} if control else {})
    measured: dict[str, dict[str, Any]] = {}
    reliability: list[dict] = []
    tested: dict[str, Any] = {
        "id": ids,
        "label": join_called(labels.truth, labels.classes),
    }
    for name, model in models.items():
        P = model.calibrated(model.logits(features))
        called = model.called(P)
        found = label_metrics(
            P,
            labels.truth,
            labels.known,
            cluster,
            called=called,
            accretion=classifier.accretion,
            resamples=resamples,
            seed=seed,
        )
        measured[name] = {
            "loss": model.settings["loss"],
            **{metric: found[metric]["value"] for metric in MULTILABEL_METRICS},
            "intervals": {
                metric: [found[metric]["low"], found[metric]["high"]]
                for metric in MULTILABEL_METRICS
            },
        }
        reliability += _reliability(name, P, labels)
        column = "predicted" if name == "model" else "control_predicted"
        tested[column] = join_called(called, labels.classes)
    tested["cluster"] = cluster
    P = classifier.calibrated(classifier.logits(features))
    metrics = {"task": "multi", **measured["model"], "labels": len(labels.classes)}
    if control is not None:
        metrics["control"] = measured["control"]
    return MultiLabelEvaluation(
        metrics,
        MULTILABEL_TESTED.frame(tested),
        CALIBRATION.frame(reliability),
        _counts(classifier, P, labels),
        P,
    )


def _counts(
    classifier: MultiLabelClassifier, P: NDArray, labels: LabelMatrix
) -> pd.DataFrame:
    Y, K, D = labels.truth, labels.known, classifier.called(P)
    rows = []
    for c, name in enumerate(labels.classes):
        one = slice(c, c + 1)
        some = bool((Y[:, c] & K[:, c]).any())
        rows.append(
            {
                "label": name,
                "threshold": classifier.threshold[c],
                "given_called": int((K & Y & D)[:, c].sum()),
                "given_missed": int((K & Y & ~D)[:, c].sum()),
                "not_given_called": int((K & ~Y & D)[:, c].sum()),
                "not_given_not_called": int((K & ~Y & ~D)[:, c].sum()),
                "mcc": macro_mcc(D[:, one], Y[:, one], K[:, one])[0] if some else np.nan,
            }
        )
    return LABEL_COUNTS.frame(rows)


def _reliability(name: str, P: NDArray, labels: LabelMatrix) -> list[dict]:
    """Calibration of single entries: probability against the share annotated."""
    count, believed, hit = calibration_bins(
        P[labels.known], labels.truth[labels.known], bins=RELIABILITY_BINS
    )
    return [
        {
            "model": name,
            "calibrated": True,
            "bin": b + 1,
            "sequences": int(count[b]),
            "confidence": believed[b] / count[b],
            "accuracy": hit[b] / count[b],
        }
        for b in range(RELIABILITY_BINS)
        if count[b]
    ]
