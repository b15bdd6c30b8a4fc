"""HMMER's table of domains (``--domtblout``), as ``hmmscan`` writes it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from omicsai.domains.profiles import Library
from omicsai.tables import write_text

__all__ = ["write_domtblout"]

HEADINGS = (
    "target name", "accession", "tlen", "query name", "accession", "qlen", "E-value",
    "score", "bias", "#", "of", "c-Evalue", "i-Evalue", "score", "bias", "from", "to",
    "from", "to", "from", "to", "acc", "description of target",
)  # fmt: skip


def write_domtblout(domains: pd.DataFrame, library: Library, path: Path | str) -> None:
    """Write domains in HMMER's 22 columns and a description, separated by blanks.

    The target is the profile and the query the protein, as for ``hmmscan``; the profiles of
    a protein come best first.

    Parameters
    ----------
    domains
        Table of `search_domains`.
    library
        The library searched, for descriptions.
    path
        File to write.
    """
    descriptions = {p.name: p.description for p in library.profiles}
    protein = domains.groupby("id", sort=False).ngroup()
    # equal E-values of zero are ordered by score, as HMMER's sort key does
    order = domains.assign(protein=protein, falling=-domains["sequence_score"]).sort_values(
        ["protein", "sequence_evalue", "falling", "profile", "start"], kind="stable"
    )
    pair = order.groupby(["protein", "profile"], sort=False)
    order = order.assign(number=pair.cumcount() + 1, of=pair["start"].transform("size"))
    rows = [
        [
            hit.profile, hit.accession or "-", str(hit.profile_length),
            hit.id, "-", str(hit.length_aa),
            f"{hit.sequence_evalue:.2g}", f"{hit.sequence_score:.1f}",
            f"{hit.sequence_bias:.1f}",
            str(hit.number), str(hit.of),
            f"{hit.conditional_evalue:.2g}", f"{hit.evalue:.2g}",
            f"{hit.score:.1f}", f"{hit.bias:.1f}",
            str(hit.profile_start), str(hit.profile_end), str(hit.start), str(hit.end),
            str(hit.envelope_start), str(hit.envelope_end), f"{hit.accuracy:.2f}",
            descriptions.get(hit.profile) or "-",
        ]
        for hit in order.itertuples()
    ]  # fmt: skip
    widths = [
        max(len(row[k]) for row in [HEADINGS, *rows]) for k in range(len(HEADINGS) - 1)
    ]
    widths[0] += 2  # the mark of a comment

    def line(cells: list[str]) -> str:
        padded = [c.ljust(w) for c, w in zip(cells, [*widths, 0], strict=True)]
        return " ".join(padded).rstrip()

    heading = line([f"# {HEADINGS[0].replace(' ', '_')}", *HEADINGS[1:]])
    write_text(path, "\n".join([heading, *map(line, rows), "#"]) + "\n")
