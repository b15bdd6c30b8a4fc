"""``omicsai build-profiles``."""

from __future__ import annotations

import argparse
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from omicsai.cli.options import add_threads

if TYPE_CHECKING:
    import pandas as pd

    from omicsai.sequences import Sequence as Record

HELP = "build a profile library from proteins with product names, with thresholds"
EXAMPLE = "omicsai build-profiles proteins.fasta.xz --families families.tsv --out library"

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "fasta", type=Path, help="FASTA file whose headers hold product names"
    )
    parser.add_argument(
        "--families", type=Path,
        help="table of families: family clan class description include exclude, the last "
        "two regular expressions on product names (default: those of the shipped library)",
    )  # fmt: skip
    parser.add_argument(
        "--exclude", type=Path, metavar="FASTA",
        help="proteins that must not be built from; anything at least 90 %% identical to "
        "one of them is left out",
    )  # fmt: skip
    parser.add_argument(
        "--name", default="library", help="name of the files (default: library)"
    )
    add_threads(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")


def run(arguments: argparse.Namespace) -> None:
    """Read, build and write."""
    from omicsai.domains import write_profiles
    from omicsai.domains.build import build_library, require_aligner
    from omicsai.domains.built import BUILT, FAMILIES
    from omicsai.domains.libraries import DATA
    from omicsai.sequences import Sequence as Record
    from omicsai.sequences import SequenceFile, canonical, parse_fasta
    from omicsai.tables import write_provenance, write_text
    from omicsai.tables.provenance import package_versions

    require_aligner()
    families = FAMILIES.read(arguments.families or DATA / "families.tsv")
    records, products = [], []
    for raw in parse_fasta(arguments.fasta):
        residues, problem = canonical(raw.raw, "protein")
        if not problem:
            records.append(Record(raw.id, residues))
            products.append(product_name(raw.header))
    left_out: set[str] = set()
    if arguments.exclude:
        left_out = _alike(records, list(SequenceFile(arguments.exclude)), arguments.threads)
        kept = [i for i, record in enumerate(records) if record.id not in left_out]
        records, products = [records[i] for i in kept], [products[i] for i in kept]
    library = build_library(records, products, families, threads=arguments.threads)
    out, name = arguments.out, arguments.name
    write_profiles(library.profiles, out / f"{name}.hmm.gz")
    BUILT.write(library.built, out / f"{name}.tsv")
    write_text(out / f"{name}.clans.tsv", _clans(library.built))
    members = [
        f"{profile}\t{key}\n" for profile, keys in library.members.items() for key in keys
    ]
    write_text(out / f"{name}.members.tsv", "profile\tid\n" + "".join(members))
    write_provenance(
        out / f"{name}.provenance.json",
        stage="build-profiles",
        options={"left_out": len(left_out)},
        inputs={"fasta": arguments.fasta}
        | ({"families": arguments.families} if arguments.families else {})
        | ({"exclude": arguments.exclude} if arguments.exclude else {}),
        tools=package_versions("pyhmmer", "pyfamsa"),
    )
    count = library.built["family"].nunique()
    logger.info("%d profiles of %d families", len(library.built), count)


def product_name(header: str) -> str:
    """Product name in a FASTA header: without id, source, organism and UniProt's fields.

    Prokka's ``EC~~~gene~~~product~~~`` gives the product; a header of an id alone gives
    nothing.
    """
    text = header.split(maxsplit=1)[1] if len(header.split(maxsplit=1)) > 1 else ""
    text = re.sub(r"^src=\S+\s*", "", text)
    if "~~~" in text:
        return text.split("~~~")[2]
    text = re.sub(r"\s+OS=.*$", "", text)
    return re.sub(r"\s*\[[^\[\]]*(?:\[[^\[\]]*\])?[^\[\]]*\]\s*$", "", text)


def _alike(records: Sequence[Record], others: Sequence[Record], threads: int) -> set[str]:
    """Ids of the records at least 90 % identical to one of the others."""
    from omicsai.homology.mmseqs import search_hits

    hits = search_hits(
        [record.residues for record in others], [record.residues for record in records],
        "--min-seq-id", 0.9, "-c", 0.5, "--cov-mode", 5, "--max-seqs", 1000,
        "--alignment-mode", 3, threads=threads,
    )  # fmt: skip
    return {records[i].id for i in hits[:, 1]}


def _clans(built: pd.DataFrame) -> str:
    """Clans in the columns of Pfam-A.clans.tsv; a profile has no accession but its name."""
    rows = built[built["clan"] != ""]
    return "".join(
        f"{row.profile}\t{row.clan}\t{row.clan}\t{row.profile}\t{row.family}\n"
        for row in rows.itertuples()
    )
