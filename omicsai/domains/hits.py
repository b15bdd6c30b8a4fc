"""Hits as HMMER found them: what a search computes and the store keeps.

A hit is stored with scores and P-values, which depend on nothing but its protein and its
profile; E-values are P-values times the size of the search and are made at export.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omicsai.tables import atomic_path, write_json

__all__ = ["HIT", "HitStore"]

logger = logging.getLogger(__name__)

HIT = np.dtype(
    [
        ("sequence", "<i4"),  # index into the digests beside it
        ("profile", "<i4"),  # index into the library
        ("sequence_score", "<f4"),
        ("sequence_bias", "<f4"),
        ("sequence_pvalue", "<f8"),
        ("domain", "<i2"),  # from 1; 0 for a sequence hit without a reported domain
        ("score", "<f4"),
        ("bias", "<f4"),
        ("pvalue", "<f8"),
        ("profile_start", "<i4"),
        ("profile_end", "<i4"),
        ("start", "<i4"),
        ("end", "<i4"),
        ("envelope_start", "<i4"),
        ("envelope_end", "<i4"),
        ("accuracy", "<f4"),
    ]
)
DIGEST_BYTES = 32


class HitStore:
    """The content-addressed store of hits: a sequence is searched once.

    A folder holds one sub-folder per search (library, cutoff, Z), each with immutable part
    files. A part appears by renaming, so a killed run leaves complete parts only, and
    several runs may write at once.

    Parameters
    ----------
    folder
        Root of the store, shared by all libraries.
    identity
        What the hits of a sequence depend on besides the sequence.
    """

    def __init__(self, folder: Path | str, identity: dict[str, str]) -> None:
        text = json.dumps(identity, sort_keys=True)
        self.folder = (
            Path(folder) / f"hits-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
        )
        if not (self.folder / "search.json").exists():
            write_json(self.folder / "search.json", identity)

    def load(self, wanted: dict[bytes, int]) -> tuple[NDArray[np.bool_], NDArray]:
        """Read the hits of the sequences that the store knows.

        Parameters
        ----------
        wanted
            Number of each sequence, 0 to n - 1, by its 32-byte digest.

        Returns
        -------
        known : (n,) bool
            Which of them have been searched.
        hits : (h,) HIT
            Their hits, ``sequence`` being the number in `wanted`.
        """
        known = np.zeros(len(wanted), dtype=bool)
        found = [np.empty(0, HIT)]
        for part in sorted(self.folder.glob("part-*.npz")):
            data = part.read_bytes()  # the disk's errors may pass: the part may be whole
            try:
                with np.load(io.BytesIO(data), allow_pickle=False) as content:
                    digests, hits = content["digests"], content["hits"]
                if hits.dtype != HIT or digests.shape[1:] != (DIGEST_BYTES,):
                    raise ValueError("its columns are not those of this version")
            except (
                Exception
            ) as error:  # a flipped byte can raise anything in zip and npy code
                logger.warning("%s is damaged (%s): searching again", part, error)
                part.unlink(missing_ok=True)
                continue
            numbers = np.array([wanted.get(row.tobytes(), -1) for row in digests], int)
            # a sequence that two runs searched at once is in two parts
            fresh = (numbers >= 0) & ~known[numbers]
            known[numbers[fresh]] = True
            numbers[~fresh] = -1
            hits["sequence"] = numbers[hits["sequence"]]
            found.append(hits[hits["sequence"] >= 0])
        return known, np.concatenate(found)

    def append(self, digests: list[bytes], hits: NDArray) -> None:
        """Keep the hits of a shard as one new part.

        Parameters
        ----------
        digests
            32-byte digests of the sequences searched, also of those without a hit.
        hits
            (h,) HIT, ``sequence`` being an index into `digests`.
        """
        raw = np.frombuffer(b"".join(digests), np.uint8).reshape(-1, DIGEST_BYTES)
        name = hashlib.sha256(raw.tobytes()).hexdigest()[:16]
        with (
            atomic_path(self.folder / f"part-{name}.npz") as temporary,
            temporary.open("wb") as stream,
        ):
            np.savez_compressed(stream, digests=raw, hits=hits)
