"""``omicsai annotate``."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from omicsai.cli.options import add_section, add_threads, section_of
from omicsai.config import BUILTIN, PFAM, AnnotateOptions

if TYPE_CHECKING:
    from omicsai.domains.libraries import LibraryFiles

HELP = "find domains with profile HMMs and write architectures, GFF3 and HMMER's table"
EXAMPLE = "omicsai annotate proteins.fasta --profiles Pfam-A.hmm --out domains"

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("fasta", type=Path, help="FASTA file of proteins")
    add_section(parser, AnnotateOptions)
    parser.add_argument(
        "--store", type=Path,
        help="folder of hits known from earlier runs, pressed libraries and downloads, "
        "shared between batches (default: 'domain_store' in the output folder)",
    )  # fmt: skip
    add_threads(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")


def run(arguments: argparse.Namespace) -> None:
    """Search, resolve and write."""
    from omicsai.domains import (
        ARCHITECTURE_COUNTS,
        ARCHITECTURES,
        DOMAINS,
        GO_TERMS,
        Clans,
        count_architectures,
        domain_architectures,
        go_terms,
        nearest_architectures,
        open_library,
        presence,
        read_clans,
        read_go,
        resolve_overlaps,
        search_domains,
        write_domtblout,
        write_gff3,
    )
    from omicsai.sequences import SequenceFile
    from omicsai.tables import write_lines, write_provenance
    from omicsai.tables.provenance import package_versions

    options = section_of(arguments, AnnotateOptions)
    store = arguments.store or arguments.out / "domain_store"
    files = _library_files(options, store)
    clans_file = Path(options.clans) if options.clans else files.clans
    inputs = {"fasta": arguments.fasta, "profiles": files.profiles}
    # all inputs are read before the long work starts
    clans = read_clans(clans_file) if clans_file else Clans()
    mapping = read_go(options.go) if options.go else {}
    library = open_library(files.profiles, cache=store)
    sequences = SequenceFile(arguments.fasta)
    domains = search_domains(
        sequences,
        library,
        cutoff=options.cutoff,
        evalue=options.evalue,
        z=options.z,
        threads=arguments.threads,
        store=store,
    )
    if options.resolution == "strict":
        if not clans.by_family:
            logger.warning("no clans are known: all overlapping domains are kept")
        domains = resolve_overlaps(domains, clans, by=options.overlap)
    architectures = domain_architectures(domains, sequences)
    out = arguments.out
    DOMAINS.write(domains, out / "domains.tsv")
    ARCHITECTURES.write(architectures, out / "architectures.tsv")
    counts = nearest_architectures(count_architectures(architectures))
    ARCHITECTURE_COUNTS.write(counts, out / "architecture_counts.tsv")
    GO_TERMS.write(go_terms(domains, mapping), out / "go_terms.tsv")
    write_lines(out / "presence.tsv.gz", presence(domains, architectures["id"]))
    write_domtblout(domains, library, out / "domains.domtblout")
    write_gff3(domains, sequences, out / "domains.gff3")
    write_provenance(
        out / "annotate.provenance.json",
        stage="annotate",
        options={**options.model_dump(), "profiles": Path(options.profiles).name}
        | {
            key: Path(value).name
            for key in ("clans", "go")
            if (value := getattr(options, key))
        },
        inputs=inputs
        | ({"clans": clans_file} if clans_file else {})
        | ({"go": Path(options.go)} if options.go else {}),
        tools=package_versions("pyhmmer"),
    )
    logger.info(
        "%d domains in %d of %d proteins, %d kept",
        len(domains), domains["id"].nunique(), len(architectures), domains["kept"].sum(),
    )  # fmt: skip


def _library_files(options: AnnotateOptions, folder: Path) -> LibraryFiles:
    """Profiles and clans that the option `profiles` stands for."""
    from omicsai.domains.libraries import LibraryFiles, builtin_files, pfam_files

    if options.profiles == BUILTIN:
        return builtin_files()
    if options.profiles == PFAM:
        return pfam_files(folder, url=options.pfam_url, release=options.pfam_release)
    return LibraryFiles(Path(options.profiles))
