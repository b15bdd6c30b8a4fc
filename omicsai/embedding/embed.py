"""Embedding a batch: look up what is known, encode the rest, keep it at once.

What is to be computed, and in which batches, is decided once and kept beside the store
until it is done (the plan): a vector's last bits may depend on what shared its batch, and
a run that was killed must end with the bytes of one that was not.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omicsai.embedding.batching import Passes, batches, check_lengths
from omicsai.embedding.encoders import Encoder
from omicsai.embedding.store import EmbeddingStore
from omicsai.errors import ToolError
from omicsai.progress import track
from omicsai.sequences import Sequence as Record
from omicsai.sequences import sequence_digest

__all__ = ["embed_residues", "embed_sequences", "fill_store"]

logger = logging.getLogger(__name__)

PART_SECONDS = 10.0  # at most this much work is lost when a run is killed
TRIES = 3  # damage is found when a part is read; more than once is a broken disk
PART_STATES = 200_000  # residues, where one vector of each is kept


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

    Raises
    ------
    InputError
        If a protein is too long for the model or the memory, or the store is not writable.
    """
    digests = [sequence_digest(record.residues) for record in sequences]
    vectors = np.zeros((len(sequences), encoder.dimension), dtype=np.float32)
    rows: dict[str, list[int]] = {}
    for i, digest in enumerate(digests):
        rows.setdefault(digest, []).append(i)
    lost = sequences
    for _ in range(TRIES):
        computed = fill_store(lost, encoder, store)
        found = dict(computed) if store is None else store.load(rows)
        for digest, vector in found.items():
            vectors[rows.pop(digest)] = vector
        if not rows:
            return vectors
        # a part was damaged, and has been dropped
        lost = [sequences[chosen[0]] for chosen in rows.values()]
    raise ToolError(f"{len(rows)} vectors vanish from the store: is its disk whole?")


def embed_residues(
    sequences: Sequence[Record], encoder: Encoder, store: EmbeddingStore
) -> Iterator[tuple[str, NDArray[np.float16]]]:
    """Embed the residues of proteins, computing each different sequence once.

    Parameters
    ----------
    sequences, encoder, store
        As in `embed_sequences`; the vectors of the proteins are kept as well.

    Yields
    ------
    digest : str
        SHA-256 of a sequence (`omicsai.sequences.sequence_digest`); each comes once.
    vectors : (length, w) float16
        One row per residue.
    """
    missing = {sequence_digest(record.residues): record for record in sequences}
    for _ in range(TRIES):
        fill_store(list(missing.values()), encoder, store, residues=True)
        for digest, states in store.load_residues(missing):
            del missing[digest]
            yield digest, states
        if not missing:
            return
    raise ToolError(f"{len(missing)} proteins vanish from the store: is its disk whole?")


def fill_store(
    sequences: Sequence[Record],
    encoder: Encoder,
    store: EmbeddingStore | None,
    *,
    residues: bool = False,
) -> list[tuple[str, NDArray[np.float32]]]:
    """Compute what the store does not hold yet.

    Parameters
    ----------
    sequences
        Canonical proteins.
    encoder, store
        As in `embed_sequences`.
    residues
        Keep one vector per residue as well.

    Returns
    -------
    list of (digest, vector)
        What was computed; empty with a store, which holds it.
    """
    check_lengths(sequences, encoder)
    by_digest = {sequence_digest(record.residues): record.residues for record in sequences}
    known = set() if store is None else store.known(residues=residues)
    unknown = by_digest.keys() - known
    logger.info(
        "%d sequences, %d different; %d known to the store, %d to compute",
        len(sequences), len(by_digest), len(by_digest) - len(unknown), len(unknown),
    )  # fmt: skip
    if not unknown:
        return []
    plan = Plan.of(by_digest, unknown, encoder, store)
    todo = [batch for batch in plan.batches(by_digest) if not unknown.isdisjoint(batch)]
    total = sum(len(batch) for batch in todo)
    part = Part(store)
    computed = []
    for digest, vector, states in track(
        _encoded(todo, by_digest, encoder, residues), total=total,
        label=f"embed ({encoder.name})",
    ):  # fmt: skip
        if digest in unknown:
            part.add(digest, vector, states)
        if store is None:
            computed.append((digest, vector))
    part.write()
    plan.remove()
    return computed


def _encoded(
    todo: list[list[str]], by_digest: dict[str, str], encoder: Encoder, residues: bool
) -> Iterator[tuple[str, NDArray[np.float32], NDArray[np.float32] | None]]:
    """Digest, vector and states of each protein, batch by batch."""
    encode = Passes(lambda some: encoder.encode(some, residues))
    for batch in todo:
        encoded = encode([by_digest[digest] for digest in batch])
        for digest, (vector, states) in zip(batch, encoded, strict=True):
            yield digest, vector, states


class Part:
    """Vectors on their way into the store, written when there are enough of them."""

    def __init__(self, store: EmbeddingStore | None) -> None:
        self.store = store
        self._clear()

    def _clear(self) -> None:
        self.digests: list[str] = []
        self.vectors: list[NDArray[np.float32]] = []
        self.states: list[NDArray[np.float32]] = []
        self.since = time.monotonic()

    def add(
        self, digest: str, vector: NDArray[np.float32], states: NDArray[np.float32] | None
    ) -> None:
        """Take one protein; write if the last part was long ago."""
        if self.store is None:
            return
        self.digests.append(digest)
        self.vectors.append(vector)
        if states is not None:
            self.states.append(states)
        full = sum(map(len, self.states)) >= PART_STATES
        if full or time.monotonic() - self.since >= PART_SECONDS:
            self.write()

    def write(self) -> None:
        """Write what there is."""
        if self.store is not None and self.digests:
            self.store.append(self.digests, np.stack(self.vectors), self.states or None)
        self._clear()


class Plan:
    """Which sequences a run computes, in which batches; kept until it is done."""

    def __init__(self, digests: list[str], budget: int, path: Path | None) -> None:
        self.digests = digests
        self.budget = budget
        self.path = path

    @classmethod
    def of(
        cls,
        by_digest: dict[str, str],
        unknown: set[str],
        encoder: Encoder,
        store: EmbeddingStore | None,
    ) -> Plan:
        """Take up the plan of a stopped run of the same sequences, or make one."""
        order = sorted(unknown, key=lambda digest: (-len(by_digest[digest]), digest))
        if store is None:
            return cls(order, encoder.budget, None)
        run = hashlib.sha256("".join(sorted(by_digest)).encode()).hexdigest()[:16]
        path = store.folder / f"plan-{run}.json"
        if path.exists():
            before = json.loads(path.read_text(encoding="utf-8"))
            if unknown <= set(before["digests"]):
                logger.info("going on with a run that was stopped")
                return cls(before["digests"], before["budget"], path)
        store.write_json(path.name, {"budget": encoder.budget, "digests": order})
        return cls(order, encoder.budget, path)

    def batches(self, by_digest: dict[str, str]) -> Iterator[list[str]]:
        """Digests of each batch."""
        lengths = [len(by_digest[digest]) for digest in self.digests]
        for chosen in batches(lengths, self.budget):
            yield self.digests[chosen]

    def remove(self) -> None:
        """Forget the plan: it is done."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
