"""GFF3 of domain annotations."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

import pandas as pd

from omicsai.sequences import Sequence as Record
from omicsai.tables import write_text

__all__ = ["write_gff3"]

# characters that GFF3 allows unescaped in a sequence id; in attributes ',=;&%' and blanks
SEQUENCE_ID_SAFE = ".:^*$@!+_?-|"
ATTRIBUTE_SAFE = ".:^*$@!+_?-| ()/"


def write_gff3(
    domains: pd.DataFrame, sequences: Iterable[Record], path: Path | str
) -> None:
    """Write domains as GFF3, envelope coordinates, 1-based and closed.

    Parameters
    ----------
    domains
        Table of `search_domains`.
    sequences
        All proteins of the batch, for the ``##sequence-region`` lines.
    path
        The ``.gff3`` file.
    """
    lines = ["##gff-version 3"]
    lines += [
        f"##sequence-region {quote(record.id, safe=SEQUENCE_ID_SAFE)} 1 {len(record)}"
        for record in sequences
    ]
    for number, hit in enumerate(domains.itertuples(), start=1):
        attributes = {
            "ID": f"domain{number}",
            "Name": hit.profile,
            "Dbxref": f"Pfam:{hit.accession}" if hit.accession.startswith("PF") else "",
            "Target": f"{quote(hit.profile, safe=SEQUENCE_ID_SAFE)} "
            f"{hit.profile_start} {hit.profile_end}",
            "bit_score": f"{hit.score:.1f}",
            "alignment_start": str(hit.start),
            "alignment_end": str(hit.end),
            "completeness": hit.completeness,
            "clan": hit.clan,
            "overruled": "" if hit.kept else "true",
        }
        written = ";".join(
            f"{key}={quote(value, safe=ATTRIBUTE_SAFE)}"
            for key, value in attributes.items()
            if value
        )
        lines.append(
            "\t".join(
                [
                    quote(hit.id, safe=SEQUENCE_ID_SAFE), "HMMER", "polypeptide_domain",
                    str(hit.envelope_start), str(hit.envelope_end), f"{hit.evalue:.3g}",
                    ".", ".", written,
                ]
            )
        )  # fmt: skip
    write_text(path, "\n".join(lines) + "\n")
