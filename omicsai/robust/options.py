"""Settings of a training run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from omicsai.robust.calibration import Scaling as CalibrationScaling
from omicsai.robust.heads import Head
from omicsai.robust.trust import EXP_BASE, TrustMode

__all__ = ["LOSSES", "Loss", "Mislabels", "Options", "Scaling"]

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
Mislabels = Literal["report", "downweight", "drop", "correct"]

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
        Name of a loss, see `omicsai.robust.options.LOSSES`; ``None`` takes ProSelfLC,
        SCE or ELR, whichever ends best in pilot runs, or label smoothing if that is
        clearly ahead of them.
    head, hidden, dropout
        ``"linear"``, ``"mlp"``, or for embeddings of each residue ``"light_attention"``;
        ``None`` takes the mlp (for residues light attention).
        Size (or number of filters) and dropout of the hidden layer. ``"ridge"`` is a
        linear head in closed form that corrects labels by itself
        (`omicsai.robust.ridge`): one member, no loss, no epochs.
    members
        Number of independently seeded members; predictions average their logits.
    epochs, batch_size, learning_rate, weight_decay
        AdamW with a cosine schedule. The decay is decoupled and can be large, because
        embeddings are standardised and may have more features than a label table has
        rows; ``weight_decay=None`` chooses it by a pilot run.
    keep
        The state that becomes the model: the ``"last"``, or of each member the
        ``"best"`` on validation. All planned epochs are run either way.
    imbalance
        ``"none"``; ``"batches"`` draws every class equally often; ``"logits"`` adds the
        logarithm of the class frequencies to the logits while training (Menon et al.
        2021, arXiv 2007.07314).
    unknown
        What training examples without a label do: ``"mask"`` leaves them out,
        ``"pseudo"`` gives them what the model knows, weighted by its trust (ProSelfLC
        only, so that it is the loss then), ``"random"`` a random class, the published
        stress test.
    exp_base, transit, temperature, trust, target_gradient
        ProSelfLC's B, τ, T, l, and whether the target carries a gradient.
        ``transit=None`` sets τ to where the validation loss of a cross-entropy pilot is
        lowest, because on fixed embeddings memorisation begins long before the published
        one half.
    target_memory
        ProSelfLC corrects by the mean of an example's predictions over the epochs, each
        older one counting this much less; 0 for the latest alone.
    scaling
        ``"each"`` brings every feature to unit variance; ``"common"`` divides all by one
        number, for features whose relative size means something (kernel features).
    mislabels
        What is done about training labels that are probably wrong: ``"report"`` nothing;
        ``"drop"`` leaves the flagged ones out, ``"correct"`` gives them the proposed
        label, ``"downweight"`` gives every label no more weight than the probability that
        it is right, the rest to the other classes; the model is then trained again.
    calibration
        ``"temperature"`` or ``"vector"``, see `omicsai.robust.calibration.fit_calibration`;
        ``None`` takes what explains held-out validation labels better, but a temperature
        where classes are balanced on purpose (``imbalance``, the head ``"ridge"``), because
        biases would undo that.
    seed
        Seed of initial weights and batches.
    """

    loss: Loss | None = None
    head: Head | None = None
    hidden: int = 64
    dropout: float = 0.2
    members: int = 5
    epochs: int = 50
    batch_size: int = 64
    learning_rate: float = 3e-3
    weight_decay: float | None = None
    keep: Literal["last", "best"] = "last"
    imbalance: Literal["none", "batches", "logits"] = "none"
    unknown: Literal["mask", "pseudo", "random"] = "mask"
    exp_base: float = EXP_BASE
    transit: float | None = None
    temperature: float = 0.5
    trust: TrustMode = "entropy"
    target_gradient: bool = False
    target_memory: float = 0.0
    scaling: Scaling = "each"
    calibration: CalibrationScaling | None = None
    mislabels: Mislabels = "report"
    seed: int = 1
