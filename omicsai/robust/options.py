"""Settings of a training run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from omicsai.robust.calibration import Scaling as CalibrationScaling
from omicsai.robust.heads import Head
from omicsai.robust.trust import TrustMode

__all__ = ["LOSSES", "Loss", "Options", "Scaling"]

Loss = Literal[
    "proselflc",
    "cross_entropy",
    "label_smoothing",
    "confidence_penalty",
    "boot_soft",
    "boot_hard",
    "mae",
    "mse",
    "gce",
    "sce",
    "imae",
    "dm",
    "elr",
    "sop",
]

Scaling = Literal["each", "common"]

# name in configurations: name in figures; default strengths are those of the functions
LOSSES: dict[str, str] = {
    "proselflc": "ProSelfLC",
    "cross_entropy": "cross entropy",
    "label_smoothing": "label smoothing",
    "confidence_penalty": "confidence penalty",
    "boot_soft": "boot-soft (LC)",
    "boot_hard": "boot-hard",
    "mae": "MAE",
    "mse": "MSE",
    "gce": "GCE",
    "sce": "SCE",
    "imae": "IMAE",
    "dm": "derivative manipulation",
    "elr": "ELR",
    "sop": "SOP",
}
assert set(LOSSES) == set(get_args(Loss))


@dataclass(frozen=True)
class Options:
    """How a classifier is trained.

    Attributes
    ----------
    loss
        Name of a loss, see `omicsai.robust.options.LOSSES`.
    head, hidden, dropout
        ``"linear"`` or ``"mlp"``; size and dropout of the hidden layer.
    members
        Number of independently seeded members; predictions average their logits.
    epochs, batch_size, learning_rate, weight_decay
        AdamW with a cosine schedule; the last state is kept, never a chosen epoch. The
        decay is decoupled and large, because embeddings are standardised and have more
        features than most label tables have rows.
    exp_base, transit, temperature, trust
        ProSelfLC's B, τ, T and l. ``transit=None`` sets τ to where the validation loss of
        a cross-entropy pilot is lowest, because on fixed embeddings memorisation begins
        long before the published one half.
    scaling
        ``"each"`` brings every feature to unit variance; ``"common"`` divides all by one
        number, for features whose relative size means something (kernel features).
    calibration
        ``"temperature"`` or ``"vector"``, see `omicsai.robust.calibration.fit_calibration`.
    seed
        Seed of initial weights and batches.
    """

    loss: Loss = "proselflc"
    head: Head = "linear"
    hidden: int = 256
    dropout: float = 0.2
    members: int = 5
    epochs: int = 50
    batch_size: int = 64
    learning_rate: float = 3e-3
    weight_decay: float = 20.0
    exp_base: float = 16.0
    transit: float | None = None
    temperature: float = 0.5
    trust: TrustMode = "entropy"
    scaling: Scaling = "each"
    calibration: CalibrationScaling = "temperature"
    seed: int = 1
