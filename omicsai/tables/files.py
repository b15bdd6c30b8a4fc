"""Atomic writes: a file is either absent, or the old one, or complete."""

from __future__ import annotations

import glob
import gzip
import json
import os
import shutil
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omicsai.errors import InputError

__all__ = ["atomic_folder", "atomic_path", "write_json", "write_lines", "write_text"]


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Give a temporary path beside `path` that replaces it when the block succeeds.

    Parameters
    ----------
    path
        Final place of the file; missing parent folders are made.

    Yields
    ------
    Path
        Where to write. It is removed if the block raises. A killed process leaves a hidden
        ``.part`` file, never a half-written `path`; the next write removes it.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error}; choose another --out") from error
    _remove_leftovers(path)
    temporary = path.with_name(f"{_prefix(path)}{os.getpid()}.part")
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path | str) -> Iterator[Path]:
    """Give a temporary folder beside `path` that becomes it when the block succeeds.

    Parameters
    ----------
    path
        Final place of the folder, which is written once and never changed; if another
        process made it meanwhile, that one stays.

    Yields
    ------
    Path
        An empty folder to fill. It is removed if the block raises; what a killed process
        left is removed by the next writer.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error}; choose another --out") from error
    _remove_leftovers(path)
    temporary = path.with_name(f"{_prefix(path)}{os.getpid()}.part")
    temporary.mkdir()
    try:
        yield temporary
        for written in temporary.iterdir():
            with written.open("rb") as stream:
                os.fsync(stream.fileno())
        try:
            temporary.rename(path)
        except OSError:
            if not path.is_dir():  # else another process was faster
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _prefix(path: Path) -> str:
    return f".{path.name}.{socket.gethostname()}-"


def _remove_leftovers(path: Path) -> None:
    """Remove what processes of this machine that no longer run left beside `path`."""
    for leftover in path.parent.glob(f"{glob.escape(_prefix(path))}*.part"):
        writer = leftover.name.removeprefix(_prefix(path)).removesuffix(".part")
        if writer.isdigit() and not _is_running(int(writer)):
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def write_text(path: Path | str, text: str) -> None:
    """Write `text` as UTF-8 with Unix line ends, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(text.encode("utf-8"))


def write_lines(path: Path | str, lines: Iterable[str]) -> None:
    """Write lines (with their ends) as UTF-8, atomically; gzip if the name says so."""
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        if not str(path).endswith(".gz"):
            stream.writelines(line.encode("utf-8") for line in lines)
            return
        # no name and no time inside: the same bytes each time
        with gzip.GzipFile("", "wb", 6, stream, mtime=0) as packed:
            packed.writelines(line.encode("utf-8") for line in lines)


def write_json(path: Path | str, value: Any) -> None:
    """Write `value` as indented JSON, atomically; not-a-number is refused."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")
