"""Libraries by one word: the one that ships, and Pfam-A."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from omicsai.errors import ToolError
from omicsai.fetch import fetch

__all__ = ["BUILTIN", "PFAM", "LibraryFiles", "builtin_files", "find_library"]

BUILTIN = "builtin"
PFAM = "pfam"
DATA = Path(__file__).parent / "data"
PFAM_FILES = ("Pfam-A.hmm.gz", "Pfam-A.hmm.dat.gz")
CHECKSUMS = "md5_checksums"


@dataclass(frozen=True)
class LibraryFiles:
    """The files of a library; clans are None where there is no such table."""

    profiles: Path
    clans: Path | None = None


def find_library(
    word: str, *, folder: Path | str, url: str, release: str
) -> LibraryFiles:
    """Turn the configuration's word for a library into files.

    Parameters
    ----------
    word
        ``builtin``, ``pfam``, or the path of a HMMER3 library.
    folder
        Where Pfam is downloaded to, once for each release.
    url
        Folder of all Pfam releases.
    release
        Release of Pfam, for example ``37.4``.

    Returns
    -------
    LibraryFiles
        With the clans that come with the library.

    Raises
    ------
    ToolError
        If Pfam cannot be downloaded as its checksums say.
    """
    if word == BUILTIN:
        return builtin_files()
    if word == PFAM:
        return _pfam(Path(folder) / f"Pfam{release}", f"{url.rstrip('/')}/Pfam{release}")
    return LibraryFiles(Path(word))


def builtin_files() -> LibraryFiles:
    """Files of the library that ships with the package."""
    return LibraryFiles(DATA / "omicsai.hmm.gz", DATA / "omicsai.clans.tsv")


def _pfam(folder: Path, url: str) -> LibraryFiles:
    """Download profiles and clans of a release, each checked against its MD5."""
    listed = fetch(f"{url}/{CHECKSUMS}", folder / CHECKSUMS)
    sums = {}
    for line in listed.read_text(encoding="utf-8").splitlines():
        digits, _, name = line.strip().partition(" ")
        sums[Path(name.strip().lstrip("*")).name] = digits
    missing = [name for name in PFAM_FILES if name not in sums]
    if missing:
        listed.unlink()
        raise ToolError(f"{url}/{CHECKSUMS} does not list {missing[0]}: check the release")
    profiles, clans = (
        fetch(f"{url}/{name}", folder / name, checksum=f"md5:{sums[name]}")
        for name in PFAM_FILES
    )
    return LibraryFiles(profiles, clans)
