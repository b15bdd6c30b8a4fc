"""FASTA in and out: plain, gzip or xz, any line ends, with line numbers.

The id of a record is its header up to the first blank, unchanged: what Biopython, HMMER
and SeqKit call the id. Two records named ``>my protein 1`` and ``>my protein 2`` therefore
share the id ``my``.
"""

from __future__ import annotations

import gzip
import hashlib
import lzma
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from omicsai.errors import InputError
from omicsai.sequences.alphabet import Molecule, canonical
from omicsai.tables.files import write_text

__all__ = [
    "Sequence",
    "SequenceFile",
    "parse_fasta",
    "read_sequences",
    "sequence_digest",
    "write_fasta",
]

GZIP_MAGIC = b"\x1f\x8b"
XZ_MAGIC = b"\xfd7zXZ\x00"


@dataclass(frozen=True)
class Sequence:
    """A named sequence in canonical form."""

    id: str
    residues: str

    def __len__(self) -> int:
        return len(self.residues)


@dataclass(frozen=True)
class RawRecord:
    """A FASTA record as found: header without ``>``, raw residues, header line number."""

    header: str
    raw: str
    line: int
    problem: str = ""
    lines: int = 1

    @property
    def id(self) -> str:
        """The header up to the first blank; empty if the header is."""
        return self.header.split(maxsplit=1)[0] if self.header.strip() else ""


def sequence_digest(residues: str) -> str:
    """SHA-256 of canonical residues, as hexadecimal text: the identity of a sequence."""
    return hashlib.sha256(residues.encode("ascii")).hexdigest()


def open_binary(path: Path) -> IO[bytes]:
    """Open a file for reading, decompressing gzip and xz by content, not by name."""
    with path.open("rb") as stream:
        magic = stream.read(6)
    if magic.startswith(GZIP_MAGIC):
        return gzip.open(path, "rb")  # type: ignore[return-value]
    if magic == XZ_MAGIC:
        return lzma.open(path, "rb")
    return path.open("rb")


def read_lines(
    path: Path | str, expected: str = "FASTA records"
) -> Iterator[tuple[int, bytes]]:
    """Yield line number and content without its end (Unix, Windows or old Mac).

    Raises
    ------
    InputError
        If the file is missing, a folder, empty, or cut off inside its compression.
    """
    path = Path(path)
    if not path.is_file():
        kind = "is a folder, not a file" if path.is_dir() else "does not exist"
        raise InputError(f"{path} {kind}: check the path")
    number = 0
    try:
        with open_binary(path) as stream:
            for block in stream:
                for content in block.rstrip(b"\r\n").split(b"\r"):
                    number += 1
                    if number == 1:
                        content = content.removeprefix(b"\xef\xbb\xbf")
                    yield number, content
    except (EOFError, lzma.LZMAError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(
            f"{path} is cut off or damaged after line {number} ({error}): "
            "download or compress it again"
        ) from error
    if number == 0:
        raise InputError(f"{path} is empty: expected {expected}")


def parse_fasta(path: Path | str) -> Iterator[RawRecord]:
    """Read FASTA records as they stand, with the line each begins on.

    Parameters
    ----------
    path
        Plain, gzip or xz FASTA, wrapped or not.

    Yields
    ------
    RawRecord
        In file order; ``problem`` is set where a line is not UTF-8.

    Raises
    ------
    InputError
        If the file is missing, empty, damaged, or does not begin with ``>``.
    """
    header: str | None = None
    start, problem = 0, ""
    chunks: list[str] = []
    for number, content in read_lines(path):
        text, broken = _decode(content, number)
        if text.startswith(">"):
            if header is not None:
                yield RawRecord(header, "".join(chunks), start, problem, len(chunks))
            header, start, problem, chunks = text[1:].strip(), number, broken, []
        elif header is not None:
            problem = problem or broken
            if text.strip():
                chunks.append(text.strip())
        elif text.strip() and not text.startswith(";"):
            raise InputError(
                f"{path}, line {number}: expected a FASTA header ('>id …') but found "
                f"{text[:40]!r}: is this a FASTA file?"
            )
    if header is None:
        raise InputError(f"{path} holds no FASTA record: every record starts with '>'")
    yield RawRecord(header, "".join(chunks), start, problem, len(chunks))


def _decode(content: bytes, number: int) -> tuple[str, str]:
    try:
        return content.decode("utf-8"), ""
    except UnicodeDecodeError:
        problem = f"line {number} is not UTF-8 text: save the file as UTF-8"
        return content.decode("utf-8", errors="replace"), problem


def read_sequences(path: Path | str, molecule: Molecule = "protein") -> list[Sequence]:
    """Read a FASTA file in which every record must be usable.

    Parameters
    ----------
    path
        FASTA file, plain or compressed.
    molecule
        Which alphabet the residues belong to.

    Returns
    -------
    list of Sequence
        In file order, in canonical form.

    Raises
    ------
    InputError
        At the first unusable record or repeated id; ``omicsai check`` sets such records
        aside instead.
    """
    return list(SequenceFile(Path(path), molecule))


@dataclass(frozen=True)
class SequenceFile:
    """The sequences of a FASTA file, read anew each time they are gone through.

    Behaves as the list of `read_sequences`, and raises as it does, but holds one sequence
    at a time.
    """

    path: Path
    molecule: Molecule = "protein"

    def __iter__(self) -> Iterator[Sequence]:
        return _usable(self.path, self.molecule)


def _usable(path: Path, molecule: Molecule) -> Iterator[Sequence]:
    lines: dict[str, int] = {}
    for record in parse_fasta(path):
        residues, problem = canonical(record.raw, molecule)
        problem = record.problem or ("" if record.id else "header without id") or problem
        if record.id in lines:
            problem = f"id already used on line {lines[record.id]}"
        if problem:
            raise InputError(
                f"{path}, line {record.line}, record '{record.id}': {problem}. "
                f"'omicsai check {path} --out DIR' sets such records aside"
            )
        lines[record.id] = record.line
        yield Sequence(record.id, residues)


def write_fasta(sequences: Iterable[Sequence], path: Path | str) -> None:
    """Write sequences as FASTA, one line each, atomically."""
    write_text(path, "".join(f">{s.id}\n{s.residues}\n" for s in sequences))
