"""Embeddings as HDF5, one dataset per protein, as UniProt distributes them.

A dataset is named after the id; ``/`` would make a group and ``%`` is the escape, so these
are written ``%2F`` and ``%25``, and every dataset carries the true id as the attribute
``original_id``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omicsai.embedding.encoders import same_encoder
from omicsai.errors import InputError
from omicsai.sequences import Sequence as Record
from omicsai.sequences import sequence_digest
from omicsai.tables import atomic_path

__all__ = ["read_embeddings", "write_embeddings", "write_residue_embeddings"]


def dataset_name(record_id: str) -> str:
    """Name of the dataset of an id: ``/`` and ``%`` escaped, ``.`` alone too."""
    escaped = record_id.replace("%", "%25").replace("/", "%2F")
    return "%2E" if escaped == "." else escaped


def write_embeddings(
    path: Path | str,
    ids: Sequence[str],
    vectors: NDArray[np.float32],
    attributes: dict[str, str],
) -> None:
    """Write one vector per id, atomically.

    Parameters
    ----------
    path
        The ``.h5`` file.
    ids
        n unique ids.
    vectors
        (n, d) float32.
    attributes
        Written on the file: encoder, revision, precision.

    Raises
    ------
    InputError
        If an id repeats.
    """
    import h5py

    if len(set(ids)) != len(ids):
        repeated = next(key for i, key in enumerate(ids) if key in ids[:i])
        raise InputError(f"{path}: id '{repeated}' is given twice")
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        for key, value in sorted(attributes.items()):
            file.attrs[key] = value
        for record_id, vector in zip(ids, vectors, strict=True):
            dataset = file.create_dataset(
                dataset_name(record_id), data=np.asarray(vector, dtype=np.float32)
            )
            dataset.attrs["original_id"] = record_id


def write_residue_embeddings(
    path: Path | str,
    sequences: Sequence[Record],
    states: Iterable[tuple[str, NDArray]],
    attributes: dict[str, str],
) -> None:
    """Write one (length, w) float16 dataset per protein, atomically.

    The layout of UniProt's ``per-residue.h5``.

    Parameters
    ----------
    path
        The ``.h5`` file.
    sequences
        Proteins with unique ids.
    states
        Digest and vectors of each different protein, from `embed_residues`.
    attributes
        As in `write_embeddings`.

    Raises
    ------
    InputError
        If one of the proteins has no vectors.
    """
    import h5py

    ids: dict[str, list[str]] = {}
    for record in sequences:
        ids.setdefault(sequence_digest(record.residues), []).append(record.id)
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        for key, value in sorted(attributes.items()):
            file.attrs[key] = value
        for digest, vectors in states:
            for record_id in ids.pop(digest):
                dataset = file.create_dataset(dataset_name(record_id), data=vectors)
                dataset.attrs["original_id"] = record_id
        if ids:
            missing = next(iter(ids.values()))[0]
            raise InputError(f"{path}: there are no vectors per residue of '{missing}'")


def read_embeddings(
    *paths: Path | str, residues: bool = False
) -> tuple[list[str], NDArray[np.float32], dict[str, str]]:
    """Read embeddings of one encoder from one or several files.

    Parameters
    ----------
    paths
        HDF5 files, one float dataset per protein; files of other tools are read too (the
        dataset's name is then the id, with its groups if the id has a ``/``).
    residues
        Whether files of one vector per residue will do as well.

    Returns
    -------
    ids : list of str
        In file order, then by name.
    vectors : (n, d) float32
        One row per id; of residues, an object array (n,) of (length, d).
    attributes : dict of str to str
        What the first file says about its encoder.

    Raises
    ------
    InputError
        If a file is missing or not HDF5, holds no vector or values that are not finite,
        the files come from different encoders, or an id has two different vectors.
    """
    import h5py

    vectors: dict[str, NDArray[np.float32]] = {}
    attributes: dict[str, str] = {}
    for number, path in enumerate(map(Path, paths)):
        if not path.is_file():
            raise InputError(f"{path} does not exist: run 'omicsai embed' first")
        try:
            with h5py.File(path, "r") as file:
                about = {key: str(value) for key, value in file.attrs.items()}
                content = _content(file)
        except OSError as error:
            raise InputError(f"{path} is not a readable HDF5 file: {error}") from error
        if number and not same_encoder(about, attributes):
            raise InputError(
                f"{path} and {paths[0]} come from different encoders ({about} and "
                f"{attributes}): embed both with the same one"
            )
        attributes = about
        _add(vectors, content, path, (1, 2) if residues else (1,))
    ids = list(vectors)
    if vectors[ids[0]].ndim == 1:
        return ids, np.stack([vectors[key] for key in ids]), attributes
    ragged = np.empty(len(ids), dtype=object)
    for i, key in enumerate(ids):
        ragged[i] = vectors[key]
    return ids, ragged, attributes


def _content(file: Any) -> dict[str, NDArray]:
    """Every dataset of a file, those in groups as well, by id."""
    import h5py

    found: dict[str, NDArray] = {}

    def take(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found[str(item.attrs.get("original_id", name))] = np.asarray(item[()])

    file.visititems(take)
    return found


def _add(
    vectors: dict[str, NDArray[np.float32]],
    content: dict[str, NDArray],
    path: Path,
    dimensions: tuple[int, ...],
) -> None:
    if not content:
        raise InputError(f"{path} holds no embedding: expected one dataset per protein")
    for key, value in content.items():
        if value.ndim not in dimensions or value.dtype.kind != "f":
            raise InputError(
                f"{path}, '{key}': expected one float vector per protein, found shape "
                f"{value.shape} of {value.dtype}; only train, evaluate and predict of one "
                "label a sequence take vectors of residues (light attention), the others "
                "their means"
            )
        vector = value.astype(np.float32)
        if not np.isfinite(vector).all():
            raise InputError(f"{path}, '{key}': the embedding holds NaN or infinity")
        if key in vectors and not np.array_equal(vectors[key], vector):
            raise InputError(
                f"{path}: id '{key}' has another embedding in an earlier file; give the "
                "sequences different ids"
            )
        vectors[key] = vector
    kinds = {(vector.ndim, vector.shape[-1]) for vector in vectors.values()}
    if len(kinds) > 1:
        lengths = ", ".join(str(length) for _, length in sorted(kinds))
        raise InputError(
            f"{path}: vectors of different length ({lengths}), or some of whole proteins "
            "and some of residues"
        )
