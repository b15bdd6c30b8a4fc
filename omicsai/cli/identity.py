"""``omicsai identity``."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from omicsai.cli.options import add_section, add_seed, section_of
from omicsai.config import IdentityOptions

HELP = "check identity elements of tRNAs against a host's genes, and find more in the data"
EXAMPLE = "omicsai identity numbered --min-support 0.75 --out identity"

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "numbered", type=Path, help="folder of 'omicsai number': the host's tRNAs"
    )
    add_section(parser, IdentityOptions)
    add_seed(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")


def run(arguments: argparse.Namespace) -> None:
    """Check, compute logos and write."""
    from omicsai.tables import write_provenance
    from omicsai.trna import (
        FEATURES,
        HEIGHTS,
        SUPPORT,
        check_identity,
        function_logo,
        read_collection,
        read_identity,
        unique_trnas,
    )

    options = section_of(arguments, IdentityOptions)
    trnas = read_collection(arguments.numbered)
    table = read_identity(options.organism, options.table)
    support = check_identity(
        table, trnas.matrix, trnas.classes, min_support=options.min_support
    )
    rows = unique_trnas(trnas.matrix, trnas.classes)
    features, heights = function_logo(
        trnas.matrix[rows],
        [trnas.classes[i] for i in rows],
        permutations=options.permutations,
        seed=arguments.seed,
    )
    SUPPORT.write(support, arguments.out / "identity.tsv")
    FEATURES.write(features, arguments.out / "logo_features.tsv")
    HEIGHTS.write(heights, arguments.out / "logo_heights.tsv")
    inputs = {"matrix": arguments.numbered / "matrix.tsv"}
    if options.table is not None:
        inputs["table"] = Path(options.table)
    shown = options.model_dump() | {"seed": arguments.seed}
    if options.table is not None:
        shown["table"] = Path(options.table).name
    write_provenance(
        arguments.out / "identity.provenance.json",
        stage="identity",
        options=shown,
        inputs=inputs,
    )
    verdicts = support["verdict"].value_counts()
    logger.info(
        "%d claims for %s: %s; %d informative features at q <= 0.05",
        len(support), options.organism,
        ", ".join(f"{n} {v}" for v, n in verdicts.items()),
        int((features["q"] <= 0.05).sum()),
    )  # fmt: skip
    wrong = support[support["verdict"] == "contradicted"]
    if len(wrong):
        first = wrong.iloc[0]
        logger.warning(
            "contradicted and not used, for example %s %s at %s: %d of %d tRNAs have it",
            first["isotype"], first["bases"], first["position"], first["supporting"],
            first["genes"],
        )  # fmt: skip
