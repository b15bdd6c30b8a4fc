"""``omicsai annotate``."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from omicsai.cli.options import add_section, add_threads, section_of
from omicsai.config import AnnotateOptions

HELP = "find domains with profile HMMs and write architectures and GFF3"
EXAMPLE = "omicsai annotate proteins.fasta --profiles Pfam-A.hmm --out domains"

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("fasta", type=Path, help="FASTA file of proteins")
    add_section(parser, AnnotateOptions)
    add_threads(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")


def run(arguments: argparse.Namespace) -> None:
    """Search and write."""
    from omicsai.domains import (
        ARCHITECTURES,
        DOMAINS,
        domain_architectures,
        read_profiles,
        search_domains,
        write_gff3,
    )
    from omicsai.sequences import read_sequences
    from omicsai.tables import write_provenance
    from omicsai.tables.provenance import package_versions

    options = section_of(arguments, AnnotateOptions)
    profiles = read_profiles(options.profiles)
    sequences = read_sequences(arguments.fasta)
    domains = search_domains(
        sequences,
        profiles,
        cutoff=options.cutoff,
        evalue=options.evalue,
        threads=arguments.threads,
    )
    architectures = domain_architectures(domains, sequences)
    DOMAINS.write(domains, arguments.out / "domains.tsv")
    ARCHITECTURES.write(architectures, arguments.out / "architectures.tsv")
    write_gff3(domains, sequences, arguments.out / "domains.gff3")
    write_provenance(
        arguments.out / "annotate.provenance.json",
        stage="annotate",
        options={**options.model_dump(), "profiles": Path(options.profiles).name},
        inputs={"fasta": arguments.fasta, "profiles": Path(options.profiles)},
        tools=package_versions("pyhmmer"),
    )
    logger.info(
        "%d domains in %d of %d proteins",
        len(domains), domains["id"].nunique(), len(sequences),
    )  # fmt: skip
