"""``omicsai split``."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from omicsai.cli.options import add_section, add_seed, add_threads, section_of
from omicsai.config import SplitOptions

HELP = "split by homology into train, validation and test, and audit what leaks"
EXAMPLE = (
    "omicsai split proteins.fasta --labels labels.tsv --identity 0.3 --coverage 0.5 "
    "--seed 1 --out split"
)

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("fasta", type=Path, nargs="+", help="FASTA files of proteins")
    parser.add_argument(
        "--labels", type=Path, nargs="+", default=[],
        help="tables with the columns id and label, for stratification",
    )  # fmt: skip
    parser.add_argument(
        "--label-column", default="label", help="name of that column (default: label)"
    )
    add_section(parser, SplitOptions)
    add_seed(parser)
    add_threads(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")


def run(arguments: argparse.Namespace) -> None:
    """Split, audit and write."""
    from omicsai.cli.inputs import labels_of, pooled_labels, pooled_sequences
    from omicsai.homology import (
        CLUSTERS,
        CROSSING,
        SPLIT,
        mmseqs_version,
        split_sequences,
    )
    from omicsai.tables import write_json, write_provenance

    options = section_of(arguments, SplitOptions)
    sequences = pooled_sequences(arguments.fasta)
    ids = [record.id for record in sequences]
    labels = labels_of(ids, pooled_labels(arguments.labels, arguments.label_column))
    result = split_sequences(
        sequences,
        dict(zip(ids, labels, strict=True)),
        **options.model_dump(),
        seed=arguments.seed,
        threads=arguments.threads,
    )
    SPLIT.write(result.split, arguments.out / "split.tsv")
    CLUSTERS.write(result.clusters, arguments.out / "clusters.tsv")
    CROSSING.write(result.crossing, arguments.out / "crossing.tsv")
    write_json(arguments.out / "audit.json", result.audit)
    inputs = {f"fasta_{i}": path for i, path in enumerate(arguments.fasta, 1)}
    inputs |= {f"labels_{i}": path for i, path in enumerate(arguments.labels, 1)}
    write_provenance(
        arguments.out / "split.provenance.json",
        stage="split",
        options={**options.model_dump(), "seed": arguments.seed},
        inputs=inputs,
        tools={"mmseqs": mmseqs_version()},
    )
    crossing = result.audit["crossing_pairs"]
    sizes = result.audit["sequences"]
    logger.info(
        "%s; pairs that still cross the parts: %d (coverage of either), %d (of both)",
        ", ".join(f"{part} {n}" for part, n in sizes.items()),
        crossing["coverage_of_either"], crossing["coverage_of_both"],
    )  # fmt: skip
    if result.audit["untestable_labels"]:
        logger.warning(
            "labels that live in one cluster cannot be tested and go to one part: %s",
            ", ".join(result.audit["untestable_labels"][:10]),
        )
