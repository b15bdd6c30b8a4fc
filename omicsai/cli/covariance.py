"""``omicsai covariance``."""

from __future__ import annotations

import argparse
import logging
import tempfile
from pathlib import Path

from omicsai.cli.options import add_section, section_of
from omicsai.config import CovarianceOptions

HELP = "build the covariance model of canonical positions, for 'number --backend cmalign'"
EXAMPLE = "omicsai covariance --alignment RF00005.sto --out trna.cm"

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_section(parser, CovarianceOptions)
    parser.add_argument("--out", type=Path, required=True, help="the .cm file to write")


def run(arguments: argparse.Namespace) -> None:
    """Fetch the seed if it is elsewhere, number it, build."""
    from omicsai.errors import ConfigError
    from omicsai.fetch import fetch
    from omicsai.tables import write_provenance
    from omicsai.trna.covariance import build_model

    options, out = section_of(arguments, CovarianceOptions), arguments.out
    if options.alignment is None:
        raise ConfigError("--alignment is missing: the seed of tRNAs (Rfam RF00005)")
    with tempfile.TemporaryDirectory(prefix="omicsai-seed-") as name:
        alignment = Path(options.alignment)
        if "://" in options.alignment:
            alignment = fetch(
                options.alignment, Path(name) / "seed.sto", checksum=options.checksum
            )
        build_model(alignment, out)
        write_provenance(
            out.with_name("covariance.provenance.json"),
            stage="covariance",
            options=options.model_dump(),
            inputs={"alignment": alignment},
        )
    logger.info("%s: model of %s", out, options.alignment)
