"""``omicsai cognates``."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from omicsai.cli.options import add_section, section_of
from omicsai.config import CognatesOptions

HELP = "rank tRNAs by how little a host's synthetases would recognise them"
EXAMPLE = "omicsai cognates candidates --host host --identity identity.tsv --out cognates"

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "numbered", type=Path, help="folder of 'omicsai number': the candidates"
    )
    parser.add_argument(
        "--host", type=Path, required=True,
        help="the host's tRNAs: a file as for 'omicsai number', or a folder it wrote",
    )  # fmt: skip
    parser.add_argument(
        "--identity", type=Path, required=True,
        help="identity.tsv of 'omicsai identity' for the host",
    )  # fmt: skip
    add_section(parser, CognatesOptions)
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")


def run(arguments: argparse.Namespace) -> None:
    """Score, rank and write."""
    from omicsai.errors import ConfigError, InputError
    from omicsai.tables import write_provenance
    from omicsai.trna import (
        COGNATES,
        EVIDENCE,
        LABELS,
        SCORES,
        SUPPORT,
        classes_of,
        cognate_tables,
        identity_positions,
        make_host,
        number_trnas,
        read_collection,
        read_trnas,
    )

    options = section_of(arguments, CognatesOptions)
    unknown = [p for p in options.exclude if p not in LABELS]
    if unknown:
        raise ConfigError(
            f"--exclude {unknown[0]}: no canonical position (1 to 76, 17a, 20a, e11, ...)"
        )
    trnas = read_collection(arguments.numbered)
    if arguments.host.is_dir():
        host_trnas = read_collection(arguments.host)
        matrix, classes = host_trnas.matrix, host_trnas.classes
    else:
        numbered = number_trnas(read_trnas(arguments.host))
        usable = numbered.usable()
        matrix = numbered.matrix[usable]
        classes = [c for c, u in zip(classes_of(numbered), usable, strict=True) if u]
    if not any(classes):
        raise InputError(f"{arguments.host} has no tRNA whose amino acid is known")
    host = make_host(
        matrix,
        classes,
        identity_positions(SUPPORT.read(arguments.identity)),
        exclude=options.exclude,
        shrinkage=options.shrinkage,
    )
    cognates, scores, evidence = cognate_tables(
        trnas.ids, trnas.matrix, trnas.classes, host, min_positions=options.min_positions
    )
    COGNATES.write(cognates, arguments.out / "cognates.tsv")
    SCORES.write(scores, arguments.out / "cognate_scores.tsv")
    EVIDENCE.write(evidence, arguments.out / "cognate_evidence.tsv")
    host_file = arguments.host / "matrix.tsv" if arguments.host.is_dir() else arguments.host
    write_provenance(
        arguments.out / "cognates.provenance.json",
        stage="cognates",
        options=options.model_dump(),
        inputs={
            "matrix": arguments.numbered / "matrix.tsv",
            "host": host_file,
            "identity": arguments.identity,
        },
    )
    weak = [a for a in host.isotypes if len(host.positions[a]) < options.min_positions]
    logger.info(
        "%d tRNAs against %d synthetases; judged on fewer than %d identity positions: %s",
        len(trnas.ids), len(host.isotypes), options.min_positions,
        ", ".join(weak) or "none",
    )  # fmt: skip
