"""Annotation to look at again: labels that are probably missing, or probably wrong."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import softmax

from omicsai.tables import Column, Table

__all__ = ["MULTILABEL_SUSPECTS", "multilabel_suspects", "suspicion", "suspicious_entries"]

MISSING, WRONG = "missing", "wrong"

MULTILABEL_SUSPECTS = Table(
    "suspected_mislabels",
    (
        Column("id", "text", "sequence id"),
        Column("part", "text", "part of the split"),
        Column("problem", "text", "'missing': probably has the label; 'wrong': has it not"),
        Column("label", "text", "the label in question"),
        Column("probability", "number", "calibrated probability of the label"),
        Column("given", "text", "given labels of the sequence"),
        Column(
            "quality", "number", "softmin of the sequence's agreement over labels, 0 to 1"
        ),
        Column("cluster", "text", "cluster of the sequence"),
    ),
)


def suspicion(
    probabilities: NDArray, truth: NDArray, known: NDArray, *, temperature: float = 0.1
) -> NDArray[np.float64]:
    """Label quality (n,) of whole examples: softmin of the entries' self-confidence.

    With s_c = p_c of a given label and 1 - p_c of one not given, the quality is
    Σ s_c softmax((1 - s) / T)_c: near the least s_c, yet every doubtful entry counts.
    Softmin with T = 0.1 ranked multi-label errors better than cleanlab's default pooling
    on cleanlab's four benchmarks.

    Parameters
    ----------
    probabilities
        (n, C) probabilities of models that did not see the example's cluster.
    truth, known
        (n, C) annotation and its known entries.
    temperature
        T; small is close to the minimum.

    Returns
    -------
    (n,) float64
        0 to 1, low is suspicious; NaN without a known entry or probabilities.
    """
    P = np.asarray(probabilities, dtype=np.float64)
    s = np.where(truth, P, 1 - P)
    usable = known & ~np.isnan(P)
    some = usable.any(axis=1)
    x = np.where(usable, (1 - s) / temperature, -np.inf)
    quality = np.full(len(P), np.nan)
    weight = softmax(x[some], axis=1)
    quality[some] = (weight * np.where(usable, s, 0)[some]).sum(axis=1)
    return quality


def suspicious_entries(
    probabilities: NDArray, truth: NDArray, known: NDArray
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Entries that confident learning, one label against the rest, puts in question.

    Northcutt et al. 2021: an entry not given is probably missing if p reaches the mean p
    of the examples with the label, and p > 1/2; a given one is probably wrong if 1 - p
    reaches the mean 1 - p of the examples without, and p < 1/2. Given entries of labels
    whose examples have a mean p below 1/2 are not judged: the models do not know them.

    Parameters
    ----------
    probabilities, truth, known
        As in `suspicion`.

    Returns
    -------
    missing, wrong : (n, C) bool
        At least one example of each label keeps it: its most probable one.
    """
    P = np.asarray(probabilities, dtype=np.float64)
    usable = known & ~np.isnan(P)
    yes, no = usable & (truth > 0), usable & ~(truth > 0)
    filled = np.where(usable, P, 0.0)
    with_label = (filled * yes).sum(axis=0) / np.maximum(yes.sum(axis=0), 1)
    without = ((1 - filled) * no).sum(axis=0) / np.maximum(no.sum(axis=0), 1)
    some = yes.any(axis=0)
    missing = no & some & (filled >= with_label) & (filled > 0.5)
    wrong = yes & (with_label >= 0.5) & (1 - filled >= without) & (filled < 0.5)
    lost = some & ~(yes & ~wrong).any(axis=0)
    best = np.where(yes, filled, -1.0).argmax(axis=0)
    wrong[best[lost], np.flatnonzero(lost)] = False
    return missing, wrong


def multilabel_suspects(
    probabilities: NDArray,
    truth: NDArray,
    known: NDArray,
    classes: list[str],
    examples: pd.DataFrame,
) -> pd.DataFrame:
    """List suspected labels, the missing ones apart from the wrong ones.

    Parameters
    ----------
    probabilities, truth, known
        As in `suspicion`.
    classes
        Names of the labels.
    examples
        Columns id, part, cluster and label of each example.

    Returns
    -------
    pandas.DataFrame
        The `MULTILABEL_SUSPECTS` table: first the missing labels, most probable first,
        then the wrong ones, least probable first.
    """
    quality = suspicion(probabilities, truth, known)
    found = []
    entries = suspicious_entries(probabilities, truth, known)
    for problem, flagged, sign in zip((MISSING, WRONG), entries, (-1, 1), strict=True):
        row, column = np.nonzero(flagged)
        p = np.asarray(probabilities, np.float64)[row, column]
        order = np.lexsort((column, row, sign * p))
        row, column, p = row[order], column[order], p[order]
        found.append(
            pd.DataFrame(
                {
                    "id": examples["id"].to_numpy()[row],
                    "part": examples["part"].to_numpy()[row],
                    "problem": problem,
                    "label": np.array(classes, dtype=object)[column],
                    "probability": p,
                    "given": examples["label"].to_numpy()[row],
                    "quality": quality[row],
                    "cluster": examples["cluster"].to_numpy()[row],
                }
            )
        )
    return MULTILABEL_SUSPECTS.frame(pd.concat(found, ignore_index=True))
