"""Predictions for any batch: label, probability, novelty, nearest known sequence."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from omicsai.robust.conformal import (
    benjamini_hochberg,
    conformal_p_values,
    prediction_sets,
)
from omicsai.robust.model import Classifier
from omicsai.robust.neighbours import NOVELTY_NEIGHBOURS, known_rows, nearest_examples
from omicsai.tables import Column, Table

__all__ = ["PREDICTIONS", "UNLIKE_TRAINING", "predict"]

# how far a sequence is from what training has seen
UNLIKE_TRAINING = (
    Column("novelty", "number", "mean cosine distance to the 5 nearest known sequences"),
    Column("novelty_p", "number", "conformal p-value of being like a known sequence"),
    Column("novel", "boolean", "novel at the false-discovery rate predict.novel_fdr"),
    Column("known", "boolean", "was in the training batches: not a new prediction", True),
    Column("nearest_id", "text", "nearest sequence of the training batches"),
)
PREDICTIONS = Table(
    "predictions",
    (
        Column("id", "text", "sequence id"),
        Column("label", "text", "most probable label"),
        Column("probability", "number", "its calibrated probability"),
        Column("label_set", "text", "labels that hold the true one at predict.coverage"),
        Column("runner_up", "text", "second most probable label"),
        Column("runner_up_probability", "number", "its calibrated probability"),
        *UNLIKE_TRAINING,
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
    novel_fdr: float = 0.1,
    coverage: float = 0.9,
) -> pd.DataFrame:
    """Predict labels.

    Parameters
    ----------
    classifier
        The model.
    features
        (n, d) raw embeddings.
    ids
        (n,) ids. A sequence that is itself in the reference (`known_rows`) is not its own
        neighbour, is never novel, and is marked as known: the model may have been trained
        on it.
    reference_ids, reference_labels
        (m,) ids and labels of ``classifier.reference``.
    novel_fdr
        Largest expected share of familiar sequences among those called novel
        (Benjamini-Hochberg over the batch).
    coverage
        Probability that the set of labels holds the true one.

    Returns
    -------
    pandas.DataFrame
        The `PREDICTIONS` table.
    """
    P = classifier.calibrated(classifier.logits(features))
    order = np.argsort(-P, axis=1, kind="stable")
    standard = classifier.standardise(features)
    own = known_rows(standard, ids, classifier.reference, reference_ids)
    index, similarity = nearest_examples(
        standard, classifier.reference, count=NOVELTY_NEIGHBOURS, skip=own
    )
    novelty = 1 - similarity.mean(axis=1)
    p_value = conformal_p_values(novelty, classifier.novelty_calibration)
    novel = np.zeros(len(own), dtype=bool)
    novel[own < 0] = benjamini_hochberg(p_value[own < 0], novel_fdr)
    sets = prediction_sets(P, classifier.label_calibration, coverage=coverage)
    names = np.array(classifier.classes, dtype=object)
    rows = np.arange(len(P))
    return PREDICTIONS.frame(
        {
            "id": ids,
            "label": names[order[:, 0]],
            "probability": P[rows, order[:, 0]],
            "label_set": [
                ";".join(names[[k for k in ranked if chosen[k]]])
                for ranked, chosen in zip(order, sets, strict=True)
            ],
            "runner_up": names[order[:, 1]],
            "runner_up_probability": P[rows, order[:, 1]],
            "novelty": novelty,
            "novelty_p": np.where(own >= 0, np.nan, p_value),
            "novel": novel,
            "known": own >= 0,
            "nearest_id": reference_ids[index[:, 0]],
            "nearest_label": reference_labels[index[:, 0]],
            "nearest_similarity": similarity[:, 0],
        }
    )
