"""Suspected mislabels: where a model that never saw the cluster overrules the label."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from omicsai.robust.losses import proselflc_target
from omicsai.robust.trust import TrustMode

__all__ = ["corrected_labels"]


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
        (n, C) held-out logits.
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
