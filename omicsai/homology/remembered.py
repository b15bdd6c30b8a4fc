"""Finished pieces of a search on disk, so that a killed split goes on where it was."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np

from omicsai.homology.pairs import Pairs
from omicsai.tables.files import atomic_path

__all__ = ["remembered"]

logger = logging.getLogger(__name__)


def remembered(
    folder: Path | None, what: Sequence[bytes | str], compute: Callable[[], Pairs]
) -> Pairs:
    """Return what `compute` returns, from the folder if an earlier run got so far.

    Parameters
    ----------
    folder
        Where finished pieces are kept, one file each; None keeps nothing.
    what
        All that the result depends on; the file is named by its digest.
    compute
        Does the work. A file that is damaged is computed again.
    """
    if folder is None:
        return compute()
    digest = hashlib.blake2b(digest_size=16)
    for piece in what:
        data = piece.encode() if isinstance(piece, str) else piece
        digest.update(len(data).to_bytes(8, "little") + data)
    path = folder / f"{digest.hexdigest()}.npz"
    if path.is_file():
        try:
            return _read(path)
        except Exception as error:  # a flipped byte can raise anything in zip and npy code
            logger.warning("%s is damaged (%s): searching again", path, error)
    pairs = compute()
    try:
        with atomic_path(path) as temporary, temporary.open("wb") as stream:
            np.savez(stream, **{f.name: getattr(pairs, f.name) for f in fields(Pairs)})
    except OSError as error:
        logger.warning("%s cannot be kept for a later run (%s)", path, error)
    return pairs


def _read(path: Path) -> Pairs:
    with np.load(path, allow_pickle=False) as arrays:
        columns = [arrays[field.name] for field in fields(Pairs)]
    if len({column.shape for column in columns}) > 1:
        raise ValueError("its columns differ in length")
    return Pairs(*columns)
