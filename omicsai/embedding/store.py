"""The content-addressed store: a sequence is encoded once, whatever it is called.

A store is a folder with one sub-folder per encoder identity; each holds immutable part
files (safetensors: ``digests`` and ``vectors``). A part appears by renaming, so a killed
run leaves complete parts only, and several runs may write at once.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from omicsai.tables import atomic_path, write_json

__all__ = ["EmbeddingStore"]

logger = logging.getLogger(__name__)


class EmbeddingStore:
    """Vectors of one encoder, by sequence digest.

    Parameters
    ----------
    folder
        Root of the store, shared by all encoders.
    identity
        What the vectors depend on besides the sequence.
    """

    def __init__(self, folder: Path | str, identity: dict[str, str]) -> None:
        text = json.dumps(identity, sort_keys=True)
        name = Path(identity.get("encoder", "encoder")).name
        key = hashlib.sha256(text.encode()).hexdigest()[:12]
        self.folder = Path(folder) / f"{name}-{key}"
        if not (self.folder / "encoder.json").exists():
            write_json(self.folder / "encoder.json", identity)

    def load(self) -> dict[str, NDArray[np.float32]]:
        """Read every stored vector, by SHA-256 hexadecimal digest.

        A part that cannot be read is removed with a warning; its sequences are computed
        again.
        """
        vectors: dict[str, NDArray[np.float32]] = {}
        for part in sorted(self.folder.glob("part-*.safetensors")):
            try:
                content = load_file(part)
                digests, rows = content["digests"], content["vectors"]
            except (SafetensorError, KeyError) as error:
                logger.warning("%s is damaged (%s): computing it again", part, error)
                part.unlink()
                continue
            for digest, row in zip(digests, rows, strict=True):
                vectors[digest.tobytes().hex()] = row
        return vectors

    def append(self, digests: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Add vectors as one new part.

        Parameters
        ----------
        digests
            SHA-256 hexadecimal digests of n sequences.
        vectors
            (n, d) float32.
        """
        raw = np.array([list(bytes.fromhex(d)) for d in digests], dtype=np.uint8)
        name = hashlib.sha256(raw.tobytes()).hexdigest()[:16]
        with atomic_path(self.folder / f"part-{name}.safetensors") as temporary:
            save_file({"digests": raw, "vectors": np.ascontiguousarray(vectors)}, temporary)
