"""``omicsai check``."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from omicsai.cli.options import add_section, section_of
from omicsai.config import CheckOptions

HELP = "check a FASTA file and its labels; set unusable records aside with a reason"
EXAMPLE = "omicsai check proteins.fasta.gz --labels labels.tsv --out results/batches/mine"

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("fasta", type=Path, help="FASTA file, plain, .gz or .xz")
    parser.add_argument(
        "--labels",
        type=Path,
        help="table with the columns id and label, or the word 'header'",
    )
    parser.add_argument(
        "--molecule", choices=["protein", "trna"], default="protein",
        help="what the sequences are (default: protein)",
    )  # fmt: skip
    add_section(parser, CheckOptions)
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")


def run(arguments: argparse.Namespace) -> None:
    """Check and write the batch."""
    from omicsai.batches import HEADER_LABELS
    from omicsai.errors import ConfigError
    from omicsai.sequences import check_batch, write_fasta
    from omicsai.sequences.check import DUPLICATES, RECORDS, REJECTED
    from omicsai.tables import write_provenance

    options = section_of(arguments, CheckOptions)
    from_header = str(arguments.labels) == HEADER_LABELS
    if from_header and options.header_pattern is None:
        raise ConfigError(
            "labels come from the FASTA headers, but 'check.header_pattern' "
            "(--header-pattern) is not set: write for example '-(?P<label>[MSU])$'"
        )
    table = None if from_header else arguments.labels
    checked = check_batch(
        arguments.fasta,
        labels=table,
        molecule=arguments.molecule,
        label_column=options.label_column,
        header_pattern=options.header_pattern if from_header else None,
        unknown=options.unknown_labels,
        min_length=options.min_length,
        max_length=options.max_length,
        max_unknown_fraction=options.max_unknown_fraction,
    )
    write_fasta(checked.sequences, arguments.out / "sequences.fasta")
    RECORDS.write(checked.records, arguments.out / "records.tsv")
    DUPLICATES.write(checked.duplicates, arguments.out / "duplicates.tsv")
    REJECTED.write(checked.rejected, arguments.out / "rejected.tsv")
    inputs = {"fasta": arguments.fasta} | ({"labels": table} if table else {})
    write_provenance(
        arguments.out / "check.provenance.json",
        stage="check",
        options={**options.model_dump(), "molecule": arguments.molecule},
        inputs=inputs,
    )
    conflicts = int(checked.records["label_conflict"].sum())
    logger.info(
        "%d usable sequences; %d records merged as duplicates, %d set aside, "
        "%d sequences with conflicting labels (label taken as unknown)",
        len(checked.sequences), len(checked.duplicates), len(checked.rejected), conflicts,
    )  # fmt: skip
    if len(checked.rejected):
        first = checked.rejected.iloc[0]
        logger.warning(
            "set aside, for example %s line %s, '%s': %s (all in %s)",
            first["file"], first["line"], first["id"], first["reason"],
            arguments.out / "rejected.tsv",
        )  # fmt: skip
