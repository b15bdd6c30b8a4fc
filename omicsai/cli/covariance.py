"""``omicsai covariance``."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

HELP = "build the covariance model of canonical positions, for 'number --backend cmalign'"
EXAMPLE = "omicsai covariance RF00005.sto --out trna.cm"

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "alignment",
        help="seed of tRNAs (Rfam RF00005), Stockholm: a file, or an http(s) address",
    )
    parser.add_argument(
        "--checksum", help="of what is fetched, ALGORITHM:DIGITS (md5, sha256, sha512)"
    )
    parser.add_argument("--out", type=Path, required=True, help="the .cm file to write")


def run(arguments: argparse.Namespace) -> None:
    """Fetch the seed if it is elsewhere, number it, build."""
    from omicsai.fetch import fetch
    from omicsai.trna.covariance import build_model

    out, alignment = arguments.out, Path(arguments.alignment)
    if "://" in arguments.alignment:
        out.parent.mkdir(parents=True, exist_ok=True)
        alignment = fetch(
            arguments.alignment, out.with_suffix(".seed.sto"), checksum=arguments.checksum
        )
    build_model(alignment, out)
    logger.info("%s: model of %s", out, alignment)
