"""State of an unfinished training run, so that a killed one goes on where it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from omicsai.tables import atomic_path
from omicsai.version import __version__

__all__ = ["Checkpoint", "checkpoints_in", "fingerprint"]

SAVE_EVERY_SECONDS = 10.0


def fingerprint(settings: Mapping[str, Any], *arrays: NDArray | Tensor) -> str:
    """Digest of everything that decides what a training run computes."""
    digest = hashlib.sha256(f"{__version__} {torch.__version__}".encode())
    digest.update(json.dumps(settings, sort_keys=True, default=str).encode())
    for array in arrays:
        values = np.ascontiguousarray(array)
        digest.update(f"{values.dtype} {values.shape}".encode())
        digest.update(values.view(np.uint8).data)
    return digest.hexdigest()


class Checkpoint:
    """One file that holds the latest state of a run.

    Parameters
    ----------
    path
        A ``.safetensors`` file; replaced atomically at each save.
    key
        `fingerprint` of the run: the state of another one is not taken up.
    """

    def __init__(self, path: Path, key: str) -> None:
        self.path, self.key = path, key

    def load(self, state: Mapping[str, Tensor]) -> tuple[int, list[dict]]:
        """Fill `state` in place.

        Returns
        -------
        epoch : int
            Epochs done; 0 if there is nothing to resume.
        history : list of dict
            Rows recorded until then.
        """
        try:
            with safe_open(self.path, framework="pt") as stored:
                about = json.loads(stored.metadata()["about"])
                if about["key"] != self.key:
                    return 0, []
                found = {name: stored.get_tensor(name) for name in state}
        except (FileNotFoundError, SafetensorError, KeyError):
            return 0, []  # none yet, or damaged: begin again
        for name, value in state.items():
            value.data.copy_(found[name])
        return about["epoch"], about["history"]

    def save(self, state: Mapping[str, Tensor], epoch: int, history: list[dict]) -> None:
        """Write the state reached after an epoch."""
        # one entry, because safetensors writes several in an order of chance
        about = json.dumps({"key": self.key, "epoch": epoch, "history": history})
        with atomic_path(self.path) as temporary:
            held = {name: value.detach().contiguous() for name, value in state.items()}
            save_file(held, temporary, metadata={"about": about})


def checkpoints_in(folder: Path | None, key: str) -> Callable[[str], Checkpoint | None]:
    """Checkpoint of each run in `folder`, by the run's name; none without a folder."""
    if folder is None:
        return lambda name: None
    return lambda name: Checkpoint(folder / f"{name}.safetensors", key + name)
