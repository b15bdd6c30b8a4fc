"""Clans: which families are related, and which may lie inside which."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from omicsai.errors import InputError
from omicsai.sequences.fasta import read_lines

__all__ = ["Clans", "read_clans"]


@dataclass(frozen=True)
class Clans:
    """Clan of each family, and the pairs that may be nested.

    Attributes
    ----------
    by_family
        Clan by accession without version, and by name.
    nested
        Pairs of family names of which one may lie inside the other.
    """

    by_family: dict[str, str] = field(default_factory=dict)
    nested: frozenset[frozenset[str]] = frozenset()

    def clan(self, name: str, accession: str) -> str:
        """Clan of a family; empty if it has none. The accession decides, then the name."""
        key = accession.split(".")[0]
        return self.by_family.get(key) or self.by_family.get(name, "")


def read_clans(path: Path | str) -> Clans:
    r"""Read which families are related.

    Parameters
    ----------
    path
        ``Pfam-A.clans.tsv`` (accession, clan, clan name, family name, description; no
        header) or ``Pfam-A.hmm.dat`` (Stockholm annotation, which also tells nested
        domains), plain or gzip.

    Returns
    -------
    Clans
        Empty clans are left out.

    Raises
    ------
    InputError
        If the file is missing, or a line is of neither kind.
    """
    path = Path(path)
    lines = ((number, raw.decode("utf-8", "replace")) for number, raw in read_lines(path))
    first = next(lines, (1, ""))

    def all_lines() -> Iterator[tuple[int, str]]:
        yield first
        yield from lines

    if first[1].startswith("# STOCKHOLM"):
        return _stockholm(all_lines())
    by_family: dict[str, str] = {}
    for number, line in all_lines():
        cells = line.split("\t")
        if not line.strip():
            continue
        if len(cells) < 4:
            raise InputError(
                f"{path}, line {number}: expected accession, clan, clan name and family "
                f"name separated by tabs, found {line[:40]!r}: is this Pfam-A.clans.tsv?"
            )
        if cells[1]:
            by_family[cells[0].split(".")[0]] = by_family[cells[3]] = cells[1]
    by_family.pop("", None)
    return Clans(by_family)


def _stockholm(lines: Iterator[tuple[int, str]]) -> Clans:
    by_family: dict[str, str] = {}
    nested: set[frozenset[str]] = set()
    entry: dict[str, list[str]] = {}
    for _, line in lines:
        if line.startswith("#=GF"):
            _, key, value = line.split(maxsplit=2)
            entry.setdefault(key, []).append(value.strip().rstrip(";"))
        elif line.startswith("//"):
            (name,) = entry.get("ID", [""])
            for clan in entry.get("CL", []):
                for key in [name, *(a.split(".")[0] for a in entry.get("AC", []))]:
                    by_family[key] = clan
            nested |= {frozenset((name, other)) for other in entry.get("NE", [])}
            entry = {}
    return Clans(by_family, frozenset(nested))
