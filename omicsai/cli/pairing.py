"""``omicsai pairing``."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from omicsai.cli.options import add_section, add_seed, section_of
from omicsai.config import PairingOptions

HELP = "match synthetases and tRNAs of the same genomes, and test whether they co-vary"
EXAMPLE = (
    "omicsai pairing numbered --synthetases aars.fasta --genomes genomes.tsv --out pairing"
)

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("numbered", type=Path, help="folder of 'omicsai number'")
    parser.add_argument(
        "--architectures", type=Path, help="architectures.tsv of 'omicsai annotate'"
    )
    parser.add_argument(
        "--identity", type=Path,
        help="identity.tsv of 'omicsai identity', to weigh tRNA positions by",
    )  # fmt: skip
    add_section(parser, PairingOptions)
    add_seed(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")


def run(arguments: argparse.Namespace) -> None:
    """Match, correlate and write."""
    import pandas as pd

    from omicsai.domains import ARCHITECTURES
    from omicsai.errors import ConfigError
    from omicsai.sequences import canonical, parse_fasta
    from omicsai.tables import Column, Table, write_provenance
    from omicsai.trna import (
        COVARIATION,
        PAIRS,
        SUPPORT,
        SYNTHETASES,
        core_weights,
        covariation,
        describe_synthetases,
        distances,
        identity_positions,
        identity_weights,
        match_pairs,
        read_collection,
    )

    options = section_of(arguments, PairingOptions)
    if options.synthetases is None or options.genomes is None:
        raise ConfigError("pairing needs --synthetases FASTA and --genomes TSV")
    told = Table(
        "genomes",
        (
            Column("id", "text", "synthetase or tRNA id"),
            Column("genome", "text", "genome it is from"),
            Column("amino_acid", "text", "amino acid of a synthetase", optional=True),
        ),
    ).read(options.genomes)
    genomes = dict(zip(told["id"], told["genome"], strict=True))
    acids = dict(zip(told["id"], told.get("amino_acid", told["id"]), strict=True))
    architectures = {}
    if arguments.architectures is not None:
        table = ARCHITECTURES.read(arguments.architectures)
        architectures = dict(zip(table["id"], table["architecture"], strict=True))
    proteins = [
        (record.id, record.header, canonical(record.raw)[0])
        for record in parse_fasta(options.synthetases)
    ]
    synthetases = describe_synthetases(
        proteins, genomes, acids if "amino_acid" in told else None, architectures
    )
    trnas = read_collection(arguments.numbered)
    of_trna = [genomes.get(key, "") for key in trnas.ids]
    table, pairs = match_pairs(
        synthetases,
        pd.DataFrame(
            {
                "id": trnas.ids,
                "genome": of_trna,
                "amino_acid": trnas.classes,
                "anticodon": trnas.records["anticodon"],
            }
        ),
    )
    weights = core_weights()
    if arguments.identity is not None:
        weights = identity_weights(identity_positions(SUPPORT.read(arguments.identity)))
    result = covariation(
        synthetases, of_trna, trnas.classes, distances(trnas.matrix, weights),
        permutations=options.permutations, seed=arguments.seed,
    )  # fmt: skip
    SYNTHETASES.write(table, arguments.out / "synthetases.tsv")
    PAIRS.write(pairs, arguments.out / "pairs.tsv")
    COVARIATION.write(result, arguments.out / "covariation.tsv")
    inputs = {"matrix": arguments.numbered / "matrix.tsv"}
    inputs |= {"synthetases": Path(options.synthetases), "genomes": Path(options.genomes)}
    optional = {"architectures": arguments.architectures, "identity": arguments.identity}
    write_provenance(
        arguments.out / "pairing.provenance.json",
        stage="pairing",
        options={"permutations": options.permutations, "seed": arguments.seed},
        inputs=inputs | {k: v for k, v in optional.items() if v is not None},
    )
    logger.info(
        "%d of %d synthetases have a tRNA of their genome: %d pairs",
        int((table["trnas"] > 0).sum()), len(table), len(pairs),
    )  # fmt: skip
