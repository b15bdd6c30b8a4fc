"""``omicsai simulate``."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from omicsai.cli.options import add_section, add_seed, section_of
from omicsai.config import SimulateOptions

HELP = "make the simulated example: synthetases, noisy labels and the truth"
EXAMPLE = "omicsai simulate --classes 8 --seed 1 --out example"

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_section(parser, SimulateOptions)
    add_seed(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")


def run(arguments: argparse.Namespace) -> None:
    """Simulate and write."""
    from omicsai.simulate import simulate, write_example
    from omicsai.simulate.trna import simulate_trnas, write_trnas
    from omicsai.tables import write_provenance

    options = section_of(arguments, SimulateOptions)
    data = simulate(**options.model_dump(), seed=arguments.seed)
    write_example(data, arguments.out)
    write_trnas(simulate_trnas(seed=arguments.seed), arguments.out)
    write_provenance(
        arguments.out / "simulate.provenance.json",
        stage="simulate",
        options={**options.model_dump(), "seed": arguments.seed},
        inputs={},
    )
    logger.info("%d known and %d new proteins", len(data.known), len(data.new))
