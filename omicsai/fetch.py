"""Downloads that can be trusted: resumed where they stopped, checked, then put in place.

Nothing but the caller names what is fetched; only ``http``, ``https`` and ``file`` work.
"""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import logging
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from omicsai.errors import InputError, ToolError
from omicsai.progress import track

__all__ = ["fetch"]

logger = logging.getLogger(__name__)

BLOCK = 1 << 20
TIMEOUT = 60.0
ALGORITHMS = ("md5", "sha256", "sha512")


def fetch(url: str, path: Path | str, *, checksum: str | None = None) -> Path:
    """Download a file once.

    Parameters
    ----------
    url
        Where it is.
    path
        Where it goes. If the file exists nothing is done: it was checked when it came. A
        download that stopped lies beside it as ``.download`` and is resumed (HTTP Range).
    checksum
        ``ALGORITHM:hexadecimal digits`` with md5, sha256 or sha512; None to trust the
        length alone.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    ToolError
        If the server fails, the transfer is cut off (run again to resume), or the bytes do
        not have the checksum (they are removed).
    InputError
        If the URL or the checksum cannot be used.
    """
    path = Path(path)
    algorithm, expected = _parsed(checksum)
    if urlsplit(url).scheme not in ("http", "https", "file"):
        raise InputError(f"cannot fetch {url}: only http, https and file URLs")
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path.with_name(f".{path.name}.lock")):
        if path.is_file():
            return path
        part = path.with_name(f"{path.name}.download")
        _transfer(url, part)
        if algorithm:
            found = _digest(part, algorithm)
            if found != expected:
                part.unlink()
                raise ToolError(
                    f"{url}: {algorithm} is {found}, expected {expected}; the download was "
                    "removed: run again, or correct the checksum if the file was renewed"
                )
        part.replace(path)
    return path


def _parsed(checksum: str | None) -> tuple[str, str]:
    if checksum is None:
        return "", ""
    algorithm, _, digits = checksum.partition(":")
    if algorithm not in ALGORITHMS or not digits.strip():
        raise InputError(
            f"checksum {checksum!r}: expected 'sha256:…', with one of "
            f"{', '.join(ALGORITHMS)}"
        )
    return algorithm, digits.strip().lower()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Let one process of this machine at a time fetch a file."""
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _transfer(url: str, part: Path) -> None:
    """Append to `part` what of `url` it lacks."""
    have = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url)
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            resumed = have > 0 and getattr(answer, "status", None) == 206
            if have and not resumed:
                logger.warning("%s cannot be resumed: starting again", url)
            have = have if resumed else 0
            length = answer.headers.get("Content-Length")
            total = have + int(length) if length is not None else None
            blocks = iter(lambda: answer.read(BLOCK), b"")
            count = -(-((total or 0) - have) // BLOCK)
            with part.open("ab" if resumed else "wb") as stream:
                for block in track(blocks, total=max(count, 1), label=f"fetch {part.stem}"):
                    stream.write(block)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # nothing is left to send
            whole = (error.headers.get("Content-Range") or "").rpartition("/")[2]
            if not whole.isdigit() or int(whole) == have:
                return
            part.unlink()
            raise ToolError(
                f"{url}: what had come is of another version and was removed: run again"
            ) from error
        raise ToolError(f"{url}: the server answers {error.code} {error.reason}") from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise ToolError(
            f"{url}: {error}; what came is kept, run again to resume"
        ) from error
    size = part.stat().st_size
    if total is not None and size < total:
        raise ToolError(
            f"{url}: cut off after {size} of {total} bytes; what came is kept, run again "
            "to resume"
        )


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest()
