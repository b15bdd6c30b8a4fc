"""Metrics by bands of identity to the nearest training sequence."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from omicsai.robust.metrics import classification_metrics

__all__ = ["BANDS", "identity_bands"]

# name: from this identity on, below this one; a sequence without a hit has identity 0
BANDS = {
    "below_20": (0.0, 0.2),
    "20_to_30": (0.2, 0.3),
    "30_to_50": (0.3, 0.5),
    "above_50": (0.5, np.inf),
}


def identity_bands(
    identity: NDArray,
    probabilities: NDArray,
    labels: NDArray[np.int64],
    cluster: NDArray,
    *,
    resamples: int = 1000,
    seed: int = 1,
) -> dict[str, Any]:
    """Measure each band, and all below 30 %, which is the headline.

    Parameters
    ----------
    identity
        (n,) identity to the nearest training sequence, fraction; nan where none was found.
    probabilities
        (n, C) class probabilities.
    labels
        (n,) class indices.
    cluster
        (n,) cluster of each example, for the intervals.
    resamples, seed
        Bootstrap over clusters.

    Returns
    -------
    dict
        For ``below_30`` and each band the number of ``sequences`` and of ``clusters``,
        ``accuracy`` and ``macro_f1`` with their ``intervals``; an empty band has no
        metrics.
    """
    value = np.nan_to_num(np.asarray(identity, dtype=np.float64))
    bands: dict[str, Any] = {}
    for name, (low, high) in {"below_30": (0.0, 0.3), **BANDS}.items():
        inside = (value >= low) & (value < high)
        bands[name] = {
            "sequences": int(inside.sum()),
            "clusters": len(set(cluster[inside])),
        }
        if inside.any():
            measured = classification_metrics(
                probabilities[inside], labels[inside], cluster[inside],
                resamples=resamples, seed=seed,
            )  # fmt: skip
            for metric in ("accuracy", "macro_f1"):
                one = measured[metric]
                bands[name][metric] = one["value"]
                bands[name].setdefault("intervals", {})[metric] = [one["low"], one["high"]]
    return bands
