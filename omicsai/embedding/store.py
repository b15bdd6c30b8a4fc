"""The content-addressed store: a sequence is encoded once, whatever it is called.

A store is a folder with one sub-folder per encoder identity; each holds immutable part
files (safetensors) with a checksum of each array, so that only what is wanted need be
read. A part is written by one process under a hidden name and appears by renaming, so a
killed run leaves complete parts only, and several runs may write at once.

====================  ================  ==============================================
in a part             shape             content
====================  ================  ==============================================
``digests``           (n, 32) uint8     SHA-256 of each sequence
``vectors``           (n, d) float32    one vector per protein
``lengths``           (n,) int64        residues of each protein   (per-residue only)
``residues``          (sum, w) float16  one vector per residue     (per-residue only)
====================  ================  ==============================================
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from omicsai.errors import InputError, ToolError
from omicsai.tables import atomic_path, write_json

__all__ = ["EmbeddingStore", "list_stores", "prune", "verify"]

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
        self.identity = identity

    def parts(self) -> list[Path]:
        """Part files, in order of name."""
        return sorted(self.folder.glob("part-*.safetensors"))

    def known(self, *, residues: bool = False) -> set[str]:
        """Digests of the stored sequences; reads no vector.

        Parameters
        ----------
        residues
            Count only those with vectors per residue.
        """
        found: set[str] = set()
        for part in self.parts():
            try:
                with safe_open(part, "np") as file:
                    if residues and "residues" not in file.keys():  # noqa: SIM118
                        continue
                    digests = checked(file, "digests")
            except FileNotFoundError:
                continue  # another run found it damaged
            except (SafetensorError, ValueError) as error:
                self._discard(part, error)
                continue
            found.update(row.tobytes().hex() for row in digests)
        return found

    def load(self, wanted: Collection[str] | None = None) -> dict[str, NDArray[np.float32]]:
        """Read vectors, by SHA-256 hexadecimal digest, checking every part that is read.

        A part that is damaged is removed with a warning; its sequences count as unknown.

        Parameters
        ----------
        wanted
            Digests to look for; None for all.

        Returns
        -------
        dict of str to (d,) float32
            The vectors that were found.
        """
        vectors: dict[str, NDArray[np.float32]] = {}
        chosen = None if wanted is None else set(wanted)
        for part in self.parts():
            found = self._read(part, ["vectors"], chosen)
            if found is not None:
                rows, content = found
                for i, digest in rows:
                    vectors.setdefault(digest, content["vectors"][i].copy())
        return vectors

    def load_residues(self, wanted: Collection[str]) -> Iterator[tuple[str, NDArray]]:
        """Read vectors per residue, one part after the other.

        Yields
        ------
        digest : str
            Of one of the wanted sequences; each comes once.
        vectors : (length, w) float16
            One row per residue.
        """
        missing = set(wanted)
        for part in self.parts():
            found = self._read(part, ["lengths", "residues"], missing)
            if found is None:
                continue
            rows, content = found
            ends = np.cumsum(content["lengths"])
            for i, digest in rows:
                start = ends[i] - content["lengths"][i]
                yield digest, content["residues"][start : ends[i]]
            missing.difference_update(digest for _, digest in rows)

    def _read(
        self, part: Path, names: Sequence[str], wanted: Collection[str] | None
    ) -> tuple[list[tuple[int, str]], dict[str, NDArray]] | None:
        """Wanted rows of a part and these arrays of it; None if it has none of them."""
        try:
            with safe_open(part, "np") as file:
                if not set(names) <= set(file.keys()):
                    return None
                digests = [row.tobytes().hex() for row in checked(file, "digests")]
                rows = [
                    (i, digest)
                    for i, digest in enumerate(digests)
                    if wanted is None or digest in wanted
                ]
                if not rows:
                    return None
                return rows, {name: checked(file, name) for name in names}
        except FileNotFoundError:
            return None  # another run found it damaged
        except (SafetensorError, ValueError) as error:
            self._discard(part, error)
            return None

    def _discard(self, part: Path, error: Exception) -> None:
        try:
            part.unlink(missing_ok=True)
        except OSError:
            raise ToolError(
                f"{part} is damaged and the store is read-only: remove it, or give "
                "another --store"
            ) from error
        logger.warning("%s is damaged (%s): computing it again", part, error)

    def append(
        self,
        digests: Sequence[str],
        vectors: NDArray[np.float32],
        residues: Sequence[NDArray] | None = None,
    ) -> Path:
        """Add vectors as one new part.

        Parameters
        ----------
        digests
            SHA-256 hexadecimal digests of n sequences.
        vectors
            (n, d) float32.
        residues
            n arrays (length, w), kept as float16; None to keep none.

        Returns
        -------
        Path
            The part.

        Raises
        ------
        InputError
            If the store cannot be written.
        """
        raw = np.array([list(bytes.fromhex(d)) for d in digests], dtype=np.uint8)
        content: dict[str, NDArray] = {
            "digests": raw,
            "vectors": np.ascontiguousarray(vectors),
        }
        if residues is not None:
            content["lengths"] = np.array([len(r) for r in residues], dtype=np.int64)
            content["residues"] = np.concatenate(residues).astype(np.float16)
        kind = "" if residues is None else "r"
        part = self.folder / f"part-{kind}{part_name(raw)}.safetensors"
        with self._writing(), atomic_path(part) as temporary:
            sums = {name: checksum(name, value) for name, value in content.items()}
            # several keys would be written in an order of chance
            about = {"checksums": json.dumps(sums, sort_keys=True)}
            save_file(content, temporary, metadata=about)
        return part

    def write_json(self, name: str, value: Any) -> None:
        """Write a small file beside the parts."""
        with self._writing():
            write_json(self.folder / name, value)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            if not (self.folder / "encoder.json").exists():
                write_json(self.folder / "encoder.json", self.identity)
            yield
        except (OSError, SafetensorError, InputError) as error:
            raise InputError(
                f"cannot write into the store {self.folder}: {_reason(error)}; free some "
                "space or give another --store (what was written stays valid)"
            ) from error


def part_name(digests: NDArray[np.uint8]) -> str:
    """Name of a part, from the digests in it."""
    return hashlib.sha256(digests.tobytes()).hexdigest()[:16]


def checksum(name: str, value: NDArray) -> str:
    """SHA-256 of an array of a part."""
    whole = hashlib.sha256(f"{name} {value.dtype} {value.shape};".encode())
    whole.update(np.ascontiguousarray(value).data)
    return whole.hexdigest()


def checked(file: Any, name: str) -> NDArray:
    """Read one array of an open part and check it.

    Raises
    ------
    ValueError, SafetensorError
        If it is damaged.
    """
    value: NDArray = file.get_tensor(name)
    sums = json.loads((file.metadata() or {}).get("checksums", "{}"))
    if checksum(name, value) != sums.get(name):
        raise ValueError(f"the checksum of its {name} does not fit")
    return value


def read_part(part: Path) -> dict[str, NDArray]:
    """Read a part and check its content.

    Raises
    ------
    ValueError, SafetensorError
        If it is damaged.
    """
    with safe_open(part, "np") as file:
        return {name: checked(file, name) for name in file.keys()}  # noqa: SIM118


def list_stores(folder: Path | str) -> list[EmbeddingStore]:
    """List the stores of all encoders under a root.

    Raises
    ------
    InputError
        If the root is no store.
    """
    found = []
    for about in sorted(Path(folder).glob("*/encoder.json")):
        store = EmbeddingStore(folder, json.loads(about.read_text(encoding="utf-8")))
        store.folder = about.parent
        found.append(store)
    if not found:
        raise InputError(f"{folder} is no embedding store: it holds no */encoder.json")
    return found


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return " ".join(str(text).split())


def verify(store: EmbeddingStore) -> tuple[int, list[Path]]:
    """Check every part of a store.

    Returns
    -------
    vectors : int
        Number of vectors in whole parts.
    damaged : list of Path
        Parts whose content does not fit their checksum.
    """
    vectors, damaged = 0, []
    for part in store.parts():
        try:
            vectors += len(read_part(part)["digests"])
        except (SafetensorError, ValueError):
            damaged.append(part)
    return vectors, damaged


def prune(store: EmbeddingStore, keep: Collection[str] | None = None) -> tuple[int, int]:
    """Put a store into one part per kind, without repeats, damage and leftovers.

    Not to be run while something else writes into the store.

    Parameters
    ----------
    store
        The store.
    keep
        Digests to keep; None for all.

    Returns
    -------
    before, after : int
        Bytes of the store.
    """
    old = store.parts()
    before = sum(part.stat().st_size for part in old)
    vectors = store.load(keep)
    fresh: set[Path] = set()
    for part in old:  # one vector per residue: part by part, for they are large
        if not part.exists() or "residues" not in (content := read_part(part)):
            continue
        digests = [row.tobytes().hex() for row in content["digests"]]
        states = np.split(content["residues"], np.cumsum(content["lengths"])[:-1])
        rows = [i for i, digest in enumerate(digests) if digest in vectors]
        if rows:
            fresh.add(store.append(
                [digests[i] for i in rows],
                np.stack([vectors.pop(digests[i]) for i in rows]),
                [states[i] for i in rows],
            ))  # fmt: skip
    if vectors:
        order = sorted(vectors)
        fresh.add(store.append(order, np.stack([vectors[digest] for digest in order])))
    for path in [*old, *store.folder.glob(".part-*"), *store.folder.glob("plan-*.json")]:
        if path not in fresh:
            path.unlink(missing_ok=True)
    return before, sum(part.stat().st_size for part in store.parts())
