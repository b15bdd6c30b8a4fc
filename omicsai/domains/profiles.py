"""Profile HMM libraries: reading, checking, pressing, building from alignments."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from omicsai.errors import InputError
from omicsai.sequences.fasta import open_binary
from omicsai.tables import atomic_folder, atomic_path, file_digest

if TYPE_CHECKING:
    from pyhmmer.plan7 import HMM

__all__ = [
    "Cutoff",
    "Library",
    "Profile",
    "build_profile",
    "open_library",
    "read_profiles",
    "write_profiles",
]

Cutoff = Literal["gathering", "trusted", "noise", "evalue"]
PRESSED_LENGTH = 400  # of the target that pressed profiles are made for, as hmmpress does


@dataclass(frozen=True)
class Profile:
    """What is known of a profile without its model.

    Attributes
    ----------
    name, accession, description
        As the file says; empty where it does not.
    length
        Number of match positions.
    thresholds
        The cutoffs that the profile has, of gathering, trusted and noise.
    """

    name: str
    accession: str
    description: str
    length: int
    thresholds: frozenset[str]


@dataclass(frozen=True)
class Library:
    """A set of profiles that can be gone through again and again.

    Attributes
    ----------
    profiles
        Facts of each profile, in order.
    models
        The models in memory, or the path (without extension) of their pressed files, from
        which they are streamed: then memory does not grow with the library.
    digest
        SHA-256 of the file it came from; empty for a library made in memory.
    """

    profiles: tuple[Profile, ...]
    models: Sequence[Any] | Path
    digest: str = ""

    def __iter__(self) -> Iterator[Any]:
        """Go through the models, optimized ones if the library is pressed."""
        if not isinstance(self.models, Path):
            yield from self.models
            return
        from pyhmmer.plan7 import HMMPressedFile

        with HMMPressedFile(self.models) as stream:
            yield from stream

    def __len__(self) -> int:
        return len(self.profiles)

    def require_thresholds(self, cutoff: Cutoff) -> None:
        """Refuse a library some of whose profiles lack the thresholds asked for.

        Raises
        ------
        InputError
            Naming one of them and the way out.
        """
        lacking = [p.name for p in self.profiles if cutoff not in p.thresholds]
        if cutoff != "evalue" and lacking:
            raise InputError(
                f"{len(lacking)} of {len(self)} profiles have no {cutoff} threshold, for "
                f"example '{lacking[0]}': use 'annotate.cutoff: evalue' (--cutoff evalue)"
            )


def open_library(
    source: Path | str | Sequence[HMM], *, cache: Path | str | None = None
) -> Library:
    """Make a library of a file, or of profiles in memory.

    Parameters
    ----------
    source
        HMMER3 library: text of any version 3/a to 3/f, mixed or not, plain or gzip, or the
        ``.h3m`` file of a pressed one; or profiles.
    cache
        Folder where a library file is pressed once and found again by its digest. Without
        it the profiles stay in memory.

    Returns
    -------
    Library
        In file order.

    Raises
    ------
    InputError
        As `read_profiles`.
    """
    if not isinstance(source, Path | str):
        models = list(source)
        return Library(tuple(map(_facts, models)), models)
    path = Path(source)
    _require_file(path)
    digest = file_digest(path)
    if cache is None:
        models = read_profiles(path)
        return Library(tuple(map(_facts, models)), models, digest)
    folder = Path(cache) / f"profiles-{digest[:16]}"
    if not folder.is_dir():
        profiles = _read(path)
        first = next(profiles)  # what is no library leaves no folder behind
        with atomic_folder(folder) as temporary:
            _press(chain([first], profiles), temporary / "library")
    pressed = Library((), folder / "library", digest)
    return Library(tuple(map(_facts, pressed)), folder / "library", digest)


def read_profiles(path: Path | str) -> list[HMM]:
    """Read a HMMER3 profile library into memory.

    Parameters
    ----------
    path
        HMMER3 text of any version 3/a to 3/f, mixed or not, plain or gzip, or the ``.h3m``
        file of a pressed library.

    Returns
    -------
    list of pyhmmer.plan7.HMM
        In file order.

    Raises
    ------
    InputError
        If the file is missing, empty, damaged, holds a nucleotide profile, names a
        profile twice, or with a comma.
    """
    return list(_read(Path(path)))


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise InputError(
            f"{path} does not exist: give a HMMER3 library with 'annotate.profiles' "
            "(--profiles)"
        )


def _read(path: Path) -> Iterator[HMM]:
    """Read and check one profile after another."""
    _require_file(path)
    seen: set[str] = set()
    last = "at its start"
    try:
        stream: Any = open_binary(path)
        with stream:
            for profile in _profiles(io.BufferedReader(stream)):
                last = f"after profile '{profile.name}'"
                _check(profile, path, seen)
                yield profile
    except InputError:
        raise
    except (ValueError, RuntimeError, EOFError, OSError) as error:
        raise InputError(
            f"{path} is not a readable HMMER3 library ({error}) {last}: "
            "get the file again, or rebuild it with hmmbuild"
        ) from error
    if not seen:
        raise InputError(f"{path} holds no profile: expected HMMER3 profiles")


def _profiles(stream: io.BufferedReader) -> Iterator[HMM]:
    """Profiles of a text or a pressed library.

    HMMER takes the version of the first profile of a text for that of all, so each profile
    is given to it as a file of its own.
    """
    from pyhmmer.plan7 import HMMFile

    if not stream.peek(5).startswith(b"HMMER"):
        with HMMFile(stream, db=False) as binary:
            yield from binary
        return
    record: list[bytes] = []
    for line in stream:
        record.append(line)
        if line.startswith(b"//"):
            yield from HMMFile(io.BytesIO(b"".join(record)), db=False)
            record = []
    if b"".join(record).strip():
        yield from HMMFile(io.BytesIO(b"".join(record)), db=False)


def _check(profile: HMM, path: Path, seen: set[str]) -> None:
    if profile.alphabet.type != "amino":
        raise InputError(
            f"{path}, profile '{profile.name}' is for {profile.alphabet.type}, not "
            "for proteins: remove it from the library"
        )
    if profile.name in seen:
        raise InputError(
            f"{path} names the profile '{profile.name}' twice: keep one of them"
        )
    if "," in profile.name:
        raise InputError(
            f"{path}, profile '{profile.name}' has a comma in its name, which is what "
            "separates the families of an architecture: rename it"
        )
    seen.add(profile.name)


def _press(profiles: Iterable[HMM], base: Path) -> None:
    """Write the four files of a pressed library.

    As ``pyhmmer.hmmpress``, which names its own path inside the index: here the bytes are
    the same wherever they are written.
    """
    from pyhmmer.easel import SSIWriter
    from pyhmmer.plan7 import Background

    with (
        base.with_suffix(".h3m").open("wb") as models,
        base.with_suffix(".h3f").open("wb") as filters,
        base.with_suffix(".h3p").open("wb") as optimized,
        SSIWriter(base.with_suffix(".h3i")) as index,
    ):
        file = index.add_file("library", format=0)
        for profile in profiles:
            background = Background(profile.alphabet)
            ready = profile.to_profile(background, L=PRESSED_LENGTH).to_optimized()
            ready.offsets.model = models.tell()
            ready.offsets.filter = filters.tell()
            ready.offsets.profile = optimized.tell()
            index.add_key(profile.name, file, ready.offsets.model, 0, 0)
            profile.write(models, binary=True)
            ready.write(filters, optimized)


def _facts(model: Any) -> Profile:
    thresholds = [
        word
        for word in ("gathering", "trusted", "noise")
        if getattr(model.cutoffs, f"{word}_available")()
    ]
    return Profile(
        name=model.name,
        accession=model.accession or "",
        description=model.description or "",
        length=model.M,
        thresholds=frozenset(thresholds),
    )


def write_profiles(profiles: Iterable[HMM], path: Path | str) -> None:
    """Write profiles as a HMMER3 text library, atomically; gzip if the name says so."""
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        if str(path).endswith(".gz"):
            # no name and no time inside: the same bytes each time
            with gzip.GzipFile("", "wb", 9, stream, mtime=0) as packed:
                _write(profiles, packed)
        else:
            _write(profiles, stream)


def _write(profiles: Iterable[HMM], stream: Any) -> None:
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
