"""Embedding a batch: look up what is known, encode the rest, keep it at once."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from omicsai.embedding.encoders import Encoder
from omicsai.embedding.store import EmbeddingStore
from omicsai.progress import track
from omicsai.sequences import Sequence as Record
from omicsai.sequences import sequence_digest

__all__ = ["embed_sequences"]

logger = logging.getLogger(__name__)

PART_RESIDUES = 100_000  # at most this much work is lost when a run is killed


def embed_sequences(
    sequences: Sequence[Record], encoder: Encoder, store: EmbeddingStore | None = None
) -> NDArray[np.float32]:
    """Embed proteins, longest first, computing each different sequence once.

    Parameters
    ----------
    sequences
        n canonical proteins.
    encoder
        From `omicsai.embedding.load_encoder`.
    store
        Where known vectors are found and new ones kept, or None to keep nothing.

    Returns
    -------
    (n, d) float32
        One row per sequence, in order.
    """
    digests = [sequence_digest(record.residues) for record in sequences]
    residues = {d: record.residues for d, record in zip(digests, sequences, strict=True)}
    known = store.load() if store is not None else {}
    todo = sorted(residues.keys() - known.keys(), key=lambda d: (-len(residues[d]), d))
    logger.info(
        "%d sequences, %d different; %d known to the store, %d to compute",
        len(sequences), len(residues), len(residues) - len(todo), len(todo),
    )  # fmt: skip
    parts = list(_parts(todo, residues))
    for part in track(parts, total=len(parts), label=f"embed ({encoder.name})"):
        vectors = np.stack([encoder.encode(residues[digest]) for digest in part])
        if store is not None:
            store.append(part, vectors)
        known.update(zip(part, vectors, strict=True))
    return np.stack([known[digest] for digest in digests])


def _parts(digests: list[str], residues: dict[str, str]) -> Iterator[list[str]]:
    """Consecutive runs of sequences with a bounded number of residues."""
    part: list[str] = []
    size = 0
    for digest in digests:
        if part and size + len(residues[digest]) > PART_RESIDUES:
            yield part
            part, size = [], 0
        part.append(digest)
        size += len(residues[digest])
    if part:
        yield part
