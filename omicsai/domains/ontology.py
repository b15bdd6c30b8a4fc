"""Gene Ontology terms of domains, by a mapping such as Pfam's ``pfam2go``."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from omicsai.errors import InputError
from omicsai.sequences.fasta import read_lines
from omicsai.tables import Column, Table

__all__ = ["GO_TERMS", "go_terms", "read_go"]

GO_TERMS = Table(
    "go_terms",
    (
        Column("id", "text", "sequence id"),
        Column("go", "text", "accession of the term"),
        Column("term", "text", "its name"),
        Column("profiles", "text", "profiles that imply it, joined by ', '"),
    ),
)
LINE = re.compile(r"^(?:\w+:)?(\S+) (\S+) > GO:(.*?) ; (GO:\d{7})\s*$")


def read_go(path: Path | str) -> dict[str, list[tuple[str, str]]]:
    """Read a mapping of families to terms in the ``external2go`` format.

    Returns
    -------
    dict of str to list of (str, str)
        Accession and name of the terms, by accession without version and by name.

    Raises
    ------
    InputError
        If the file is missing or a line is not of the format.
    """
    terms: dict[str, list[tuple[str, str]]] = {}
    for number, raw in read_lines(path):
        line = raw.decode("utf-8", "replace")
        if not line.strip() or line.startswith("!"):
            continue
        match = LINE.match(line)
        if match is None:
            raise InputError(
                f"{path}, line {number}: expected 'Pfam:PF00001 name > GO:term ; "
                f"GO:0000000', found {line[:40]!r}: is this pfam2go?"
            )
        accession, name, term, go = match.groups()
        for key in (accession.split(".")[0], name):
            terms.setdefault(key, []).append((go, term))
    return terms


def go_terms(
    domains: pd.DataFrame, mapping: dict[str, list[tuple[str, str]]]
) -> pd.DataFrame:
    """Tell the terms of each protein from the domains that are kept.

    Returns
    -------
    pandas.DataFrame
        The `GO_TERMS` table, in the order of the proteins, then by term.
    """
    kept = domains[domains["kept"].to_numpy(dtype=bool)]
    found: dict[str, dict[tuple[str, str], list[str]]] = {}
    for row in kept.itertuples():
        terms = mapping.get(row.accession.split(".")[0]) or mapping.get(row.profile, [])
        for term in terms:
            profiles = found.setdefault(row.id, {}).setdefault(term, [])
            if row.profile not in profiles:
                profiles.append(row.profile)
    return GO_TERMS.frame(
        [
            {"id": key, "go": go, "term": term, "profiles": ", ".join(profiles)}
            for key, terms in found.items()
            for (go, term), profiles in sorted(terms.items())
        ]
    )
