"""Suspected mislabels: where a model that never saw the cluster overrules the label."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from omicsai.robust.losses import proselflc_target
from omicsai.robust.model import Classifier
from omicsai.robust.neighbours import nearest_examples
from omicsai.robust.trust import TrustMode
from omicsai.tables import Column, Table

__all__ = ["EXAMPLES", "SUSPECTS", "corrected_labels", "suspected_mislabels"]

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
        Column("proposed", "text", "label that held-out members propose"),
        Column("probability", "number", "calibrated probability of the proposed label"),
        Column("given_probability", "number", "calibrated probability of the given label"),
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
    examples: pd.DataFrame,
    features: NDArray,
    logits: NDArray,
    *,
    chosen: NDArray[np.bool_] | None = None,
) -> pd.DataFrame:
    """Examples whose given label ProSelfLC's corrected label overrules.

    Parameters
    ----------
    classifier
        The trained model.
    examples
        `EXAMPLES` rows, in the order of `features`.
    features
        (n, d) raw embeddings.
    logits
        (n, C) logits of members that did not see the example's cluster; NaN where there
        are none.
    chosen
        (n,) which examples to judge; all by default.

    Returns
    -------
    pandas.DataFrame
        The `SUSPECTS` table, most confident first.
    """
    given = examples["label"].to_numpy()
    code = np.array(
        [classifier.classes.index(g) if g in classifier.classes else -1 for g in given]
    )
    judged = (code >= 0) & ~np.isnan(logits[:, 0])
    if chosen is not None:
        judged &= chosen
    where = np.flatnonzero(judged)
    if not len(where):
        return SUSPECTS.frame([])
    settings = classifier.settings
    corrected = corrected_labels(
        logits[where] / classifier.temperature,
        code[where],
        temperature=settings["temperature"],
        trust=settings["trust"],
    )
    changed = corrected != code[where]
    where, proposed = where[changed], corrected[changed]
    if not len(where):
        return SUSPECTS.frame([])
    P = classifier.calibrated(logits[where])
    standard = classifier.standardise(features)
    labelled = np.flatnonzero(code >= 0)
    own = np.searchsorted(labelled, where)
    index, similarity = nearest_examples(
        standard[where], standard[labelled], count=SHOWN_NEIGHBOURS, skip=own
    )
    ids = examples["id"].to_numpy()
    rows = np.arange(len(where))
    frame = SUSPECTS.frame(
        {
            "id": ids[where],
            "part": examples["part"].to_numpy()[where],
            "given": given[where],
            "proposed": [classifier.classes[k] for k in proposed],
            "probability": P[rows, proposed],
            "given_probability": P[rows, code[where]],
            "neighbours": [
                ", ".join(
                    f"{ids[labelled[j]]} ({given[labelled[j]]}, {s:.2f})"
                    for j, s in zip(row, near, strict=True)
                )
                for row, near in zip(index, similarity, strict=True)
            ],
            "cluster": examples["cluster"].to_numpy()[where],
        }
    )
    order = np.lexsort((frame["id"], frame["given_probability"] - frame["probability"]))
    return frame.iloc[order].reset_index(drop=True)
