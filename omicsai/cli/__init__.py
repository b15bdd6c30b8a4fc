"""The command line: one thin command per stage (floor 5)."""

from __future__ import annotations

import argparse
import importlib
import logging
import signal
import sys
import threading
import time
from collections.abc import Sequence

from omicsai.errors import OmicsaiError
from omicsai.version import __version__

__all__ = ["STAGES", "build_parser", "main"]

STAGES = (
    "simulate",
    "check",
    "split",
    "annotate",
    "embed",
    "train",
    "evaluate",
    "predict",
    "covariance",
    "number",
    "identity",
    "distance",
    "cognates",
    "isotype",
    "pairing",
    "report",
    "noise",
    "benchmark",
    "build-profiles",
    "pretrain",
    "store",
)

logger = logging.getLogger("omicsai")

DESCRIPTION = """\
From FASTA files and labels that may be wrong to a leakage-free split, domains,
embeddings, a classifier that survives label noise, predictions and a report.

Each command is one stage, 'snakemake --cores 2' runs them all; 'noise' plants wrong
labels for experiments, 'benchmark noise' compares losses on them.
'omicsai STAGE --help' shows a stage's options with an example."""


def build_parser() -> argparse.ArgumentParser:
    """Make the parser of all commands; imports nothing heavy."""
    parser = argparse.ArgumentParser(
        prog="omicsai",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"omicsai {__version__}")
    commands = parser.add_subparsers(dest="stage", metavar="STAGE", required=True)
    for stage in STAGES:
        module = importlib.import_module(f"omicsai.cli.{stage.replace('-', '_')}")
        command = commands.add_parser(
            stage,
            help=module.HELP,
            description=f"{module.HELP[0].upper()}{module.HELP[1:]}.",
            epilog=f"example:\n  {module.EXAMPLE}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        command.add_argument(
            "--debug", action="store_true", help="show the traceback of an error"
        )
        command.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns
    -------
    int
        0 on success, 1 on a problem the user can solve, 130 when interrupted;
        argparse exits with 2 on a wrong command line.
    """
    arguments = build_parser().parse_args(argv)
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
        datefmt="%H:%M:%S",
        stream=sys.stderr,
        force=True,
    )
    started = time.monotonic()
    if threading.current_thread() is threading.main_thread():
        # what a scheduler sends: programs that were started end, their folders are removed
        signal.signal(signal.SIGTERM, _terminate)
    try:
        arguments.run(arguments)
    except OmicsaiError as error:
        if arguments.debug:
            raise
        print(f"omicsai {arguments.stage}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"omicsai {arguments.stage}: interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        if arguments.debug:
            raise
        print(
            f"omicsai {arguments.stage}: unexpected {type(error).__name__}: {error} "
            "(a bug, or the machine: run again with --debug for the traceback)",
            file=sys.stderr,
        )
        return 1
    logger.info("%s done in %.1f s", arguments.stage, time.monotonic() - started)
    return 0


def _terminate(signum: int, frame: object) -> None:
    raise SystemExit(128 + signum)
