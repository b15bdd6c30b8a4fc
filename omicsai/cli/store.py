"""``omicsai store``."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

HELP = "list, verify or prune a store of embeddings"
EXAMPLE = "omicsai store verify results/embedding_store"

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "action", choices=["list", "verify", "prune"],
        help="list encoders and sizes; check every checksum; or put the parts of each "
        "encoder together, dropping repeats and what is damaged",
    )  # fmt: skip
    parser.add_argument("store", type=Path, help="folder of the store")
    parser.add_argument(
        "--keep", type=Path, nargs="+", metavar="FASTA",
        help="prune: keep the vectors of these sequences only",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> None:
    """Do it for each encoder."""
    from omicsai.embedding.store import list_stores, prune, verify
    from omicsai.errors import InputError
    from omicsai.sequences import SequenceFile, sequence_digest

    if arguments.keep and arguments.action != "prune":
        raise InputError("--keep belongs to 'prune'")
    damaged: list[Path] = []
    keep = None
    if arguments.keep:
        keep = {
            sequence_digest(record.residues)
            for path in arguments.keep
            for record in SequenceFile(path)
        }
    for store in list_stores(arguments.store):
        size = sum(part.stat().st_size for part in store.parts()) / 1e6
        if arguments.action == "list":
            about = ", ".join(f"{k} {v}" for k, v in store.identity.items())
            print(
                f"{store.folder.name}\t{len(store.known())} vectors\t{size:.1f} MB\t{about}"
            )
        elif arguments.action == "verify":
            vectors, bad = verify(store)
            damaged += bad
            print(f"{store.folder.name}\t{vectors} vectors whole\t{len(bad)} parts damaged")
        else:
            before, after = prune(store, keep)
            print(f"{store.folder.name}\t{before / 1e6:.1f} MB -> {after / 1e6:.1f} MB")
    if damaged:
        raise InputError(
            f"{len(damaged)} damaged parts, first {damaged[0]}: 'omicsai store prune' "
            "drops them, and the next run computes them again"
        )
