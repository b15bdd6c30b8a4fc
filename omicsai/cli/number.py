"""``omicsai number``."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from omicsai.cli.options import add_section, section_of
from omicsai.config import NumberOptions

HELP = "number tRNAs by canonical (Sprinzl) positions, whatever their source"
EXAMPLE = "omicsai number trnas.fasta --out numbered"

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "trnas", type=Path,
        help="tRNAs: FASTA, tRNAscan-SE .ss or .out, ARAGORN -w, or Stockholm",
    )  # fmt: skip
    parser.add_argument(
        "--genome", type=Path, help="FASTA that a table of coordinates refers to"
    )
    parser.add_argument(
        "--labels", type=Path, help="table with the columns id and label: stated isotypes"
    )
    parser.add_argument(
        "--model", type=Path, help="of 'omicsai covariance', for --backend cmalign"
    )
    add_section(parser, NumberOptions)
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")


def run(arguments: argparse.Namespace) -> None:
    """Give positions to every base and write."""
    from omicsai.errors import ConfigError
    from omicsai.sequences import read_labels
    from omicsai.tables import write_provenance, write_text
    from omicsai.trna import (
        MATRIX,
        NUMBERING,
        TRNA_RECORDS,
        dot_bracket_text,
        matrix_table,
        number_trnas,
        numbering_table,
        read_trnas,
        stockholm,
    )

    options = section_of(arguments, NumberOptions)
    if options.backend == "cmalign" and arguments.model is None:
        raise ConfigError(
            "--backend cmalign needs --model: make it with 'omicsai covariance' (the "
            "workflow makes it from covariance.alignment)"
        )
    trnas = read_trnas(arguments.trnas, arguments.genome)
    labels = read_labels(arguments.labels) if arguments.labels else {}
    numbered = number_trnas(trnas, labels)
    if options.backend == "cmalign":
        from omicsai.trna.covariance import second_opinion

        numbered = second_opinion(numbered, arguments.model)
    out = arguments.out
    NUMBERING.write(numbering_table(numbered), out / "numbering.tsv")
    TRNA_RECORDS.write(numbered.records, out / "records.tsv")
    MATRIX.write(matrix_table(numbered), out / "matrix.tsv")
    write_text(out / "alignment.sto", stockholm(numbered))
    write_text(out / "structures.txt", dot_bracket_text(numbered))
    if options.draw != "none":
        from omicsai.trna.drawing import drawings

        for name, svg in drawings(numbered, each=options.draw == "each").items():
            write_text(out / "cloverleaf" / f"{name}.svg", svg)
    inputs = {"trnas": arguments.trnas, "genome": arguments.genome}
    inputs |= {"labels": arguments.labels, "model": arguments.model}
    write_provenance(
        out / "number.provenance.json",
        stage="number",
        options=options.model_dump(),
        inputs={k: v for k, v in inputs.items() if v is not None},
    )
    counts = numbered.records["status"].value_counts()
    logger.info(
        "%d tRNAs: %s", len(trnas), ", ".join(f"{n} {s}" for s, n in counts.items())
    )
    rest = numbered.records[numbered.records["status"] != "ok"]
    if len(rest):
        first = rest.iloc[0]
        logger.warning(
            "not ok, for example '%s' (%s): %s (all in %s)",
            first["id"], first["status"], first["reason"], out / "records.tsv",
        )  # fmt: skip
