"""A trained classifier, and how it is kept: safetensors for arrays, JSON for the rest."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from omicsai.errors import InputError
from omicsai.robust.attention import on_residues
from omicsai.robust.calibration import Calibration
from omicsai.robust.heads import head_logits
from omicsai.tables import atomic_path, write_json

__all__ = ["Classifier", "load_classifier", "save_classifier"]

WEIGHTS, DESCRIPTION = "weights.safetensors", "model.json"
HEAD_PREFIX = "head."


def is_ragged(features: NDArray) -> bool:
    """Whether features are an object array (n,) of residues (L_i, d), not (n, d)."""
    return features.dtype == object


def mean_features(features: NDArray) -> NDArray:
    """One vector (n, d) for each example: the mean of its residues where it has some."""
    if not is_ragged(features):
        return features
    return np.stack([protein.mean(axis=0) for protein in features])


@dataclass(frozen=True)
class Classifier:
    """A calibrated ensemble of heads with the training examples it can point to.

    Attributes
    ----------
    classes
        Names of the C classes.
    parameters
        Head parameters, leading axis = member.
    mean, scale
        (d,) standardisation of features.
    calibration
        From averaged logits to probabilities.
    reference
        (m, d) standardised features of every sequence of the training batches.
    novelty_calibration
        (v,) sorted novelty of known sequences, one per cluster.
    label_calibration
        (u, 2) `omicsai.robust.conformal.label_scores` of the validation part.
    settings
        Training settings, with the transit that was found.
    encoder
        Identity of the encoder whose embeddings it expects.
    """

    classes: list[str]
    parameters: dict[str, NDArray[np.float32]]
    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    calibration: Calibration
    reference: NDArray[np.float32]
    novelty_calibration: NDArray[np.float64]
    label_calibration: NDArray[np.float64]
    settings: dict[str, Any]
    encoder: dict[str, str] = field(default_factory=dict)

    def standardise(self, features: NDArray) -> NDArray[np.float32]:
        """Standardise (n, d) features as in training; of residues, their mean is taken.

        Raises
        ------
        InputError
            If the number of features differs from training.
        """
        pooled = mean_features(features)
        if pooled.shape[1] != len(self.mean):
            raise InputError(
                f"the model expects {len(self.mean)} features and was given "
                f"{pooled.shape[1]}: embed with the encoder it was trained on "
                f"({self.encoder.get('encoder', 'unknown')})"
            )
        return ((pooled - self.mean) / self.scale).astype(np.float32)

    def member_logits(self, features: NDArray) -> NDArray[np.float32]:
        """Logits (members, n, C) of raw features.

        Parameters
        ----------
        features
            (n, d); for a light-attention head an object array (n,) of residues (L_i, d).
        """
        X = self.standardise(features)
        held = {name: torch.from_numpy(v) for name, v in self.parameters.items()}
        if "attention_weight" not in held:
            with torch.inference_mode():
                return head_logits(held, torch.from_numpy(X)).numpy()
        if not is_ragged(features):
            raise InputError("a light-attention model needs embeddings of each residue")
        forward = on_residues([(p - self.mean) / self.scale for p in features])
        with torch.inference_mode():
            return forward(held, torch.arange(len(features)), 0.0).numpy()

    def logits(self, features: NDArray) -> NDArray[np.float32]:
        """Logits (n, C) averaged over members."""
        return self.member_logits(features).mean(axis=0)

    def calibrated(self, logits: NDArray) -> NDArray[np.float64]:
        """Calibrated probabilities (n, C) of averaged logits."""
        return self.calibration(logits)


def save_classifier(classifier: Classifier, folder: Path | str) -> None:
    """Write ``weights.safetensors`` and ``model.json`` into `folder`, atomically each."""
    folder = Path(folder)
    arrays = {
        **{HEAD_PREFIX + name: value for name, value in classifier.parameters.items()},
        "mean": classifier.mean,
        "scale": classifier.scale,
        "reference": classifier.reference,
        "novelty_calibration": classifier.novelty_calibration,
        "label_calibration": classifier.label_calibration,
    }
    with atomic_path(folder / WEIGHTS) as temporary:
        save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, temporary)
    write_json(
        folder / DESCRIPTION,
        {
            "classes": classifier.classes,
            "calibration": {
                "scale": classifier.calibration.scale.tolist(),
                "bias": classifier.calibration.bias.tolist(),
                "transition": classifier.calibration.transition.tolist(),
            },
            "settings": classifier.settings,
            "encoder": classifier.encoder,
        },
    )


def load_classifier(folder: Path | str) -> Classifier:
    """Read a model folder written by `save_classifier`.

    Raises
    ------
    InputError
        If a file is missing or damaged.
    """
    folder = Path(folder)
    for name in (WEIGHTS, DESCRIPTION):
        if not (folder / name).is_file():
            raise InputError(
                f"{folder} is not a model folder: {name} is missing (run 'omicsai train')"
            )
    try:
        arrays = load_file(folder / WEIGHTS)
        about = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        return Classifier(
            classes=about["classes"],
            parameters={
                name.removeprefix(HEAD_PREFIX): value
                for name, value in arrays.items()
                if name.startswith(HEAD_PREFIX)
            },
            mean=arrays["mean"],
            scale=arrays["scale"],
            calibration=Calibration(
                *(
                    np.array(about["calibration"][name], dtype=np.float64)
                    for name in ("scale", "bias", "transition")
                )
            ),
            reference=arrays["reference"],
            novelty_calibration=arrays["novelty_calibration"],
            label_calibration=arrays["label_calibration"],
            settings=about["settings"],
            encoder=about["encoder"],
        )
    except (SafetensorError, KeyError, ValueError) as error:
        raise InputError(
            f"{folder} holds a damaged model ({error}): run 'omicsai train' again"
        ) from error
