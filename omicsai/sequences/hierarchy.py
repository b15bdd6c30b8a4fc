"""Labels that imply others: ontologies in OBO format, and EC numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omicsai.errors import InputError
from omicsai.sequences.fasta import read_lines

__all__ = ["EnzymeHierarchy", "Hierarchy", "read_hierarchy", "read_obo"]

PARENTAL = ("part_of",)  # relations besides is_a along which annotation is inherited
ENZYME = re.compile(r"^(?:EC[: ]\s*)?([1-7])((?:\.(?:n?\d+|-)){0,3})$", re.IGNORECASE)
LEVELS = 4


@dataclass(frozen=True)
class Hierarchy:
    """Labels with parents; without any, flat labels.

    Attributes
    ----------
    above
        Direct parents of each term.
    aliases
        Current term of each alternative or replaced id.
    roots
        Terms that say nothing. Given as a label, one means that nothing below it is known
        (Gene Ontology: annotated to the root, evidence ND).
    """

    above: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    roots: frozenset[str] = frozenset()

    def name(self, label: str) -> str:
        """Give a label's current name."""
        return self.aliases.get(label, label)

    def parents(self, label: str) -> tuple[str, ...]:
        """Direct parents of a current name, roots left out; none for foreign labels."""
        return tuple(p for p in self.above.get(label, ()) if p not in self.roots)

    def is_open(self, label: str) -> bool:
        """Whether a given label leaves what is below it unknown, not absent."""
        return label in self.roots

    def opens(self, label: str, below: str) -> bool:
        """Whether `below` is under `label`, roots included."""
        return label in _closure(self.above, below)

    def ancestors(self, label: str) -> set[str]:
        """Every label that a current name implies, itself left out."""
        found: set[str] = set()
        todo = [label]
        while todo:
            for parent in self.parents(todo.pop()):
                if parent not in found:
                    found.add(parent)
                    todo.append(parent)
        return found

    def description(self) -> dict[str, Any]:
        """Describe the hierarchy for JSON, see `from_description`."""
        return {
            "kind": "terms" if self.above else "flat",
            "above": {term: list(parents) for term, parents in sorted(self.above.items())},
            "aliases": dict(sorted(self.aliases.items())),
            "roots": sorted(self.roots),
        }

    @staticmethod
    def from_description(description: Mapping[str, Any]) -> Hierarchy:
        """Make a hierarchy of its `description`."""
        if description["kind"] == "ec":
            return EnzymeHierarchy()
        return Hierarchy(
            {term: tuple(parents) for term, parents in description["above"].items()},
            description["aliases"],
            frozenset(description["roots"]),
        )


class EnzymeHierarchy(Hierarchy):
    """EC numbers: 3.4.21.4 implies 3.4.21.-, 3.4.-.- and 3.-.-.-.

    A number that ends in dashes leaves the levels below it unknown.
    """

    def name(self, label: str) -> str:
        """Four levels, without ``EC``: ``EC:3.4`` is 3.4.-.-.

        Raises
        ------
        InputError
            If the label is no EC number.
        """
        match = ENZYME.match(label)
        levels = [match[1], *match[2].split(".")[1:]] if match else []
        levels += ["-"] * (LEVELS - len(levels))
        known = levels.index("-") if "-" in levels else LEVELS
        if match is None or any(level != "-" for level in levels[known:]):
            raise InputError(
                f"the label '{label}' is no EC number such as 3.4.21.4 or 3.4.-.-: correct "
                "it, or choose another train.hierarchy"
            )
        return ".".join(levels).lower()

    def parents(self, label: str) -> tuple[str, ...]:
        """Take one level off."""
        levels = label.split(".")
        known = levels.index("-") if "-" in levels else LEVELS
        if known < 2:
            return ()
        return (".".join(levels[: known - 1] + ["-"] * (LEVELS - known + 1)),)

    def is_open(self, label: str) -> bool:
        """Whether the number ends in a dash."""
        return label.endswith("-")

    def opens(self, label: str, below: str) -> bool:
        """Whether `below` is a level under `label`."""
        return label in self.ancestors(below)

    def description(self) -> dict[str, Any]:
        """``{"kind": "ec"}``."""
        return {"kind": "ec"}


def _closure(above: Mapping[str, tuple[str, ...]], label: str) -> set[str]:
    found: set[str] = set()
    todo = [label]
    while todo:
        for parent in above.get(todo.pop(), ()):
            if parent not in found:
                found.add(parent)
                todo.append(parent)
    return found


def read_hierarchy(name: str | None) -> Hierarchy:
    """Hierarchy by its name: empty for flat labels, ``ec``, or an .obo file."""
    if name is None:
        return Hierarchy()
    return EnzymeHierarchy() if name.lower() == "ec" else read_obo(name)


def read_obo(path: Path | str) -> Hierarchy:
    """Read the terms of an ontology in OBO format (Gene Ontology and others).

    Annotation is inherited along ``is_a`` and ``part_of``. Obsolete terms are left out, or
    replaced where the file says by what.

    Parameters
    ----------
    path
        OBO file, plain or compressed.

    Raises
    ------
    InputError
        If the file is missing, has no term, a term is its own ancestor, or a parent is
        not in the file.
    """
    terms: dict[str, tuple[str, ...]] = {}
    aliases: dict[str, str] = {}
    for line, tags in _stanzas(path):
        if "id" not in tags:
            raise InputError(f"{path}, line {line}: a term without id: download it again")
        term = tags["id"][0]
        if tags.get("is_obsolete") == ["true"]:
            if "replaced_by" in tags:
                aliases[term] = tags["replaced_by"][0]
            continue
        parents = list(tags.get("is_a", []))
        for relation in tags.get("relationship", []):
            kind, _, other = relation.partition(" ")
            if kind in PARENTAL:
                parents.append(other.split()[0])
        terms[term] = tuple(dict.fromkeys(parents))
        aliases |= dict.fromkeys(tags.get("alt_id", []), term)
    if not terms:
        raise InputError(f"{path} has no [Term]: is it an ontology in OBO format?")
    foreign = sorted({p for above in terms.values() for p in above} - terms.keys())
    if foreign:
        raise InputError(
            f"{path}: the parent '{foreign[0]}' is not in the file, one of "
            f"{len(foreign)}: take the whole ontology, such as go-basic.obo"
        )
    for term in terms:
        if term in _closure(terms, term):
            raise InputError(
                f"{path}: '{term}' is its own ancestor: take a file without cycles, "
                "such as go-basic.obo"
            )
    current = {
        old: new for old, new in aliases.items() if new in terms and old not in terms
    }
    roots = frozenset(term for term, parents in terms.items() if not parents)
    return Hierarchy(terms, current, roots)


def _stanzas(path: Path | str) -> list[tuple[int, dict[str, list[str]]]]:
    """Line number and tags of every term; a value ends before `` ! `` or a qualifier."""
    found: list[tuple[int, dict[str, list[str]]]] = []
    inside = False
    for number, raw in read_lines(path, "an ontology in OBO format"):
        line = raw.decode("utf-8", "replace").strip()
        if line.startswith("["):
            inside = line == "[Term]"
            if inside:
                found.append((number, {}))
        elif inside and ": " in line:
            tag, _, value = line.partition(": ")
            value = re.split(r"\s+[!{]", value, maxsplit=1)[0].strip()
            found[-1][1].setdefault(tag, []).append(value)
    return found
