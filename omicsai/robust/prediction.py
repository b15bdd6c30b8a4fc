"""Predictions for any batch: label, probability, novelty, nearest known sequence."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from omicsai.robust.model import Classifier
from omicsai.robust.neighbours import nearest_examples, neighbour_distance
from omicsai.robust.novelty import conformal_p_values
from omicsai.tables import Column, Table

__all__ = ["PREDICTIONS", "predict"]

PREDICTIONS = Table(
    "predictions",
    (
        Column("id", "text", "sequence id"),
        Column("label", "text", "most probable label"),
        Column("probability", "number", "its calibrated probability"),
        Column("runner_up", "text", "second most probable label"),
        Column("runner_up_probability", "number", "its calibrated probability"),
        Column(
            "novelty", "number", "mean cosine distance to the 5 nearest known sequences"
        ),
        Column("novelty_p", "number", "conformal p-value of being like a known sequence"),
        Column("novel", "boolean", "the p-value is at or below predict.novel_at"),
        Column(
            "known", "boolean", "was in the training batches: not a new prediction", True
        ),
        Column("nearest_id", "text", "nearest sequence of the training batches"),
        Column("nearest_label", "text", "its given label, empty if unknown"),
        Column("nearest_similarity", "number", "cosine similarity of the two embeddings"),
    ),
)


def predict(
    classifier: Classifier,
    features: NDArray,
    ids: NDArray,
    *,
    reference_ids: NDArray,
    reference_labels: NDArray,
    novel_at: float = 0.05,
) -> pd.DataFrame:
    """Predict labels.

    Parameters
    ----------
    classifier
        The model.
    features
        (n, d) raw embeddings.
    ids
        (n,) ids. A sequence that is itself in the reference is not its own neighbour, is
        never novel, and is marked as known: the model may have been trained on it.
    reference_ids, reference_labels
        (m,) ids and labels of ``classifier.reference``.
    novel_at
        Conformal p-value at or below which a sequence is called novel.

    Returns
    -------
    pandas.DataFrame
        The `PREDICTIONS` table.
    """
    P = classifier.calibrated(classifier.logits(features))
    order = np.argsort(-P, axis=1, kind="stable")
    standard = classifier.standardise(features)
    place = {key: i for i, key in enumerate(reference_ids)}
    own = np.array([place.get(key, -1) for key in ids])
    novelty = neighbour_distance(standard, classifier.reference, skip=own)
    p_value = conformal_p_values(novelty, classifier.novelty_calibration)
    index, similarity = nearest_examples(standard, classifier.reference, skip=own)
    names = np.array(classifier.classes, dtype=object)
    rows = np.arange(len(P))
    return PREDICTIONS.frame(
        {
            "id": ids,
            "label": names[order[:, 0]],
            "probability": P[rows, order[:, 0]],
            "runner_up": names[order[:, 1]],
            "runner_up_probability": P[rows, order[:, 1]],
            "novelty": novelty,
            "novelty_p": np.where(own >= 0, np.nan, p_value),
            "novel": (p_value <= novel_at) & (own < 0),
            "known": own >= 0,
            "nearest_id": reference_ids[index[:, 0]],
            "nearest_label": reference_labels[index[:, 0]],
            "nearest_similarity": similarity[:, 0],
        }
    )
