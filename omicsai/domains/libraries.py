"""Where libraries are: the one that ships, and Pfam-A, which is downloaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from omicsai.domains.built import BUILT
from omicsai.errors import ToolError
from omicsai.fetch import fetch

__all__ = [
    "LibraryFiles",
    "builtin_files",
    "builtin_table",
    "pfam_files",
]

DATA = Path(__file__).parent / "data"
PFAM_FILES = ("Pfam-A.hmm.gz", "Pfam-A.hmm.dat.gz")
CHECKSUMS = "md5_checksums"


@dataclass(frozen=True)
class LibraryFiles:
    """The files of a library; clans are None where there is no such table."""

    profiles: Path
    clans: Path | None = None


def builtin_files() -> LibraryFiles:
    """Files of the library that ships with the package."""
    return LibraryFiles(DATA / "omicsai.hmm.gz", DATA / "omicsai.clans.tsv")


def builtin_table() -> pd.DataFrame:
    """Read what each profile of the shipped library stands for: the `BUILT` table."""
    return BUILT.read(DATA / "omicsai.tsv")


def pfam_files(folder: Path | str, *, url: str, release: str) -> LibraryFiles:
    """Download profiles and clans of a release of Pfam-A, each checked by its MD5.

    Parameters
    ----------
    folder
        Where they go, once for each release; a download that stopped is resumed.
    url
        Folder of all Pfam releases.
    release
        For example ``"37.4"``.

    Returns
    -------
    LibraryFiles
        ``Pfam-A.hmm.gz`` and ``Pfam-A.hmm.dat.gz``, which tells clans and nested domains.

    Raises
    ------
    ToolError
        If a file cannot be downloaded as the release's checksums say.
    """
    folder, url = Path(folder) / f"Pfam{release}", f"{url.rstrip('/')}/Pfam{release}"
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
