"""Profile HMM libraries: reading, checking, building from alignments."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from omicsai.errors import InputError
from omicsai.tables import atomic_path

if TYPE_CHECKING:
    from pyhmmer.plan7 import HMM

__all__ = ["build_profile", "read_profiles", "write_profiles"]


def read_profiles(path: Path | str) -> list[HMM]:
    """Read an HMMER3 profile library.

    Parameters
    ----------
    path
        ``.hmm`` file with one or more protein profiles.

    Returns
    -------
    list of pyhmmer.plan7.HMM
        In file order.

    Raises
    ------
    InputError
        If the file is missing, empty, damaged, holds a nucleotide profile, or names a
        profile twice.
    """
    from pyhmmer.plan7 import HMMFile

    path = Path(path)
    if not path.is_file():
        raise InputError(
            f"{path} does not exist: give a HMMER3 library with 'annotate.profiles' "
            "(--profiles)"
        )
    profiles: list[HMM] = []
    try:
        with HMMFile(path) as stream:
            profiles.extend(stream)
    except (ValueError, RuntimeError, EOFError, OSError) as error:
        last = f"after profile '{profiles[-1].name}'" if profiles else "at its start"
        raise InputError(
            f"{path} is not a readable HMMER3 library ({error}) {last}: "
            "get the file again, or rebuild it with hmmbuild"
        ) from error
    if not profiles:
        raise InputError(f"{path} holds no profile: expected HMMER3 profiles")
    seen: set[str] = set()
    for profile in profiles:
        if profile.alphabet.type != "amino":
            raise InputError(
                f"{path}, profile '{profile.name}' is for {profile.alphabet.type}, not "
                "for proteins: remove it from the library"
            )
        if profile.name in seen:
            raise InputError(
                f"{path} names the profile '{profile.name}' twice: keep one of them"
            )
        seen.add(profile.name)
    return profiles


def write_profiles(profiles: Sequence[HMM], path: Path | str) -> None:
    """Write profiles as a HMMER3 text library, atomically."""
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        for profile in profiles:
            profile.write(stream)


def build_profile(
    name: str, alignment: Sequence[str], *, accession: str = "", description: str = ""
) -> HMM:
    """Build a profile HMM from a multiple alignment with HMMER's defaults.

    Parameters
    ----------
    name
        Name of the profile.
    alignment
        Aligned rows of equal length, gaps as ``-``.
    accession, description
        Optional annotation.

    Returns
    -------
    pyhmmer.plan7.HMM
        The same profile for the same rows (no creation time, fixed calibration seed).

    Raises
    ------
    InputError
        If the rows cannot be modelled, for example because they differ in length.
    """
    from pyhmmer.easel import Alphabet, TextMSA, TextSequence
    from pyhmmer.plan7 import Background, Builder

    alphabet = Alphabet.amino()
    rows = [
        TextSequence(name=f"{name}_{i}".encode(), sequence=row)
        for i, row in enumerate(alignment)
    ]
    try:
        msa = TextMSA(name=name.encode(), sequences=rows).digitize(alphabet)
        profile, _, _ = Builder(alphabet, seed=42).build_msa(msa, Background(alphabet))
    except (ValueError, RuntimeError, MemoryError, SystemError) as error:
        raise InputError(f"cannot build the profile '{name}': {error}") from error
    profile.creation_time = None
    profile.command_line = None
    profile.accession = accession.encode() or None
    profile.description = description.encode() or None
    return profile
