"""Suspected mislabels: what the detector flags, with the evidence that a person checks."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from omicsai.robust.detection import Detector, confident_learning, neighbour_votes
from omicsai.robust.losses import proselflc_target
from omicsai.robust.model import Classifier
from omicsai.robust.neighbours import nearest_examples
from omicsai.robust.trust import TrustMode
from omicsai.tables import Column, Table

__all__ = [
    "EXAMPLES",
    "SUSPECTS",
    "class_indices",
    "corrected_labels",
    "suspected_mislabels",
]

SHOWN_NEIGHBOURS = 3

EXAMPLES = Table(
    "examples",
    (
        Column("id", "text", "sequence of the training batches, in reference order"),
        Column("part", "text", "part of the split"),
        Column("cluster", "text", "its cluster"),
        Column("label", "text", "given label used in training, empty if unknown"),
    ),
)
SUSPECTS = Table(
    "suspected_mislabels",
    (
        Column("id", "text", "sequence id"),
        Column("part", "text", "part of the split"),
        Column("given", "text", "given label"),
        Column("proposed", "text", "most probable other label"),
        Column("probability", "number", "probability of the proposed label"),
        Column("wrong_probability", "number", "probability that the given label is wrong"),
        Column("agreeing", "text", "other detectors that also doubt the given label"),
        Column("neighbours", "text", "nearest labelled sequences: id (label, similarity)"),
        Column("cluster", "text", "cluster of the sequence"),
    ),
)


def corrected_labels(
    logits: NDArray,
    labels: NDArray[np.int64],
    *,
    temperature: float = 0.5,
    trust: TrustMode = "entropy",
) -> NDArray[np.int64]:
    """ProSelfLC's corrected label at the end of training (global trust 1).

    Parameters
    ----------
    logits
        (n, C) held-out logits, calibrated, because trust is in probabilities.
    labels
        (n,) given class indices.
    temperature, trust
        As in `omicsai.robust.proselflc_target`.

    Returns
    -------
    (n,) int64
        Most probable class of the corrected target; equal to the given label unless the
        model is confident enough to overrule it.
    """
    scores = torch.from_numpy(np.asarray(logits, dtype=np.float64))
    given = torch.eye(scores.shape[1], dtype=torch.float64)[torch.from_numpy(labels)]
    target, _ = proselflc_target(scores, given, 1.0, temperature=temperature, trust=trust)
    return target.argmax(dim=1).numpy()


def suspected_mislabels(
    classifier: Classifier,
    detector: Detector,
    examples: pd.DataFrame,
    features: NDArray,
    logits: NDArray,
    known: pd.DataFrame,
    others: Mapping[str, NDArray[np.bool_]] | None = None,
) -> pd.DataFrame:
    """Examples whose given label is probably wrong.

    Parameters
    ----------
    classifier
        The trained model.
    detector
        Fitted to the held-out logits of training.
    examples
        n `EXAMPLES` rows to judge.
    features
        (n, d) raw embeddings.
    logits
        (n, C) logits of members that did not see the example's cluster; NaN where there
        are none.
    known
        `EXAMPLES` rows of ``classifier.reference``: those with labels, but for the test
        part, are shown and vote as neighbours.
    others
        Which examples (n,) further detectors doubt, by name.

    Returns
    -------
    pandas.DataFrame
        The `SUSPECTS` table, most probably wrong first.
    """
    code = class_indices(classifier.classes, examples["label"])
    where = np.flatnonzero((code >= 0) & np.isfinite(logits[:, 0]))
    judged = detector.judge(logits[where], code[where])
    opinions = _agreeing(classifier, logits[where], code[where])
    opinions |= {name: doubted[where] for name, doubted in (others or {}).items()}
    where, keep = where[judged.flagged], np.flatnonzero(judged.flagged)
    if not len(where):
        return SUSPECTS.frame([])
    standard = classifier.standardise(features[where])
    known_code = class_indices(classifier.classes, known["label"])
    voters = np.flatnonzero((known_code >= 0) & (known["part"] != "test").to_numpy())
    votes = neighbour_votes(
        standard, examples["cluster"].to_numpy()[where],
        classifier.reference[voters], known_code[voters],
        known["cluster"].to_numpy()[voters], classes=len(classifier.classes),
    )  # fmt: skip
    rows = np.arange(len(where))
    proposed = judged.proposed[keep]
    agreeing = {name: doubts[keep] for name, doubts in opinions.items()}
    agreeing["neighbours"] = votes[rows, proposed] > votes[rows, code[where]]
    ids, names = examples["id"].to_numpy()[where], np.array(classifier.classes, object)
    frame = SUSPECTS.frame(
        {
            "id": ids,
            "part": examples["part"].to_numpy()[where],
            "given": names[code[where]],
            "proposed": names[proposed],
            "probability": judged.probability[keep],
            "wrong_probability": judged.wrong[keep],
            "agreeing": [
                ", ".join(name for name, doubts in agreeing.items() if doubts[row])
                for row in rows
            ],
            "neighbours": _neighbours(
                standard, ids, classifier.reference[voters], known.iloc[voters]
            ),
            "cluster": examples["cluster"].to_numpy()[where],
        }
    )
    order = np.lexsort((frame["id"], -frame["wrong_probability"]))
    return frame.iloc[order].reset_index(drop=True)


def class_indices(classes: list[str], labels: pd.Series) -> NDArray[np.int64]:
    """Index (n,) of each label among the classes, -1 for any other."""
    index = {name: i for i, name in enumerate(classes)}
    return np.array([index.get(label, -1) for label in labels], dtype=np.int64)


def _agreeing(
    classifier: Classifier, logits: NDArray, code: NDArray[np.int64]
) -> dict[str, NDArray[np.bool_]]:
    """Opinions (n,) of the detectors that need scores alone."""
    scores = classifier.calibration.log_probabilities(logits)
    corrected = corrected_labels(scores, code, trust=classifier.settings["trust"])
    return {
        "confident learning": confident_learning(np.exp(scores), code),
        "label correction": corrected != code,
    }


def _neighbours(
    features: NDArray, ids: NDArray, reference: NDArray, known: pd.DataFrame
) -> list[str]:
    """Nearest known examples of each row, as text."""
    names, labels = known["id"].to_numpy(), known["label"].to_numpy()
    place = {name: i for i, name in enumerate(names)}
    index, similarity = nearest_examples(
        features,
        reference,
        count=SHOWN_NEIGHBOURS,
        skip=np.array([place.get(key, -1) for key in ids]),
    )
    return [
        ", ".join(
            f"{names[j]} ({labels[j]}, {s:.2f})" for j, s in zip(row, near, strict=True)
        )
        for row, near in zip(index, similarity, strict=True)
    ]
