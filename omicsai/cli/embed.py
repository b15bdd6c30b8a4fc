"""``omicsai embed``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from omicsai.cli.options import add_section, add_threads, section_of
from omicsai.config import EmbedOptions

if TYPE_CHECKING:
    from omicsai.sequences import Sequence as Record

HELP = "turn proteins into vectors, each different sequence once"
EXAMPLE = "omicsai embed proteins.fasta --encoder models/prot_t5 --out proteins.h5"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("fasta", type=Path, help="FASTA file of proteins")
    add_section(parser, EmbedOptions)
    parser.add_argument(
        "--shard", type=int, metavar="I",
        help="compute the I-th of --shards shares into the store, and no more: --out is "
        "then a small JSON file; the run without --shard puts the shares together",
    )  # fmt: skip
    parser.add_argument(
        "--store", type=Path,
        help="folder of vectors known from earlier runs, shared between batches "
        "(default: 'embedding_store' beside the output)",
    )  # fmt: skip
    parser.add_argument(
        "--per-residue", type=Path, metavar="FILE.h5",
        help="also write one vector per residue (float16), as UniProt's per-residue.h5",
    )  # fmt: skip
    add_threads(parser)
    parser.add_argument("--out", type=Path, required=True, help="the .h5 file to write")


def run(arguments: argparse.Namespace) -> None:
    """Embed and write."""
    from omicsai.embedding import (
        EmbeddingStore,
        embed_residues,
        embed_sequences,
        fill_store,
        load_encoder,
        write_embeddings,
        write_residue_embeddings,
    )
    from omicsai.errors import InputError
    from omicsai.sequences import read_sequences
    from omicsai.tables import write_json, write_provenance

    options = section_of(arguments, EmbedOptions)
    sequences = read_sequences(arguments.fasta)
    device: str = options.device
    if arguments.shard is not None:
        if not 1 <= arguments.shard <= options.shards:
            raise InputError(
                f"--shard {arguments.shard} is not one of 1 to {options.shards}"
            )
        sequences = share(sequences, arguments.shard, options.shards)
        device = _gpu_of(device, arguments.shard)
    encoder = load_encoder(
        options.encoder, revision=options.revision, device=device,
        precision=options.precision, threads=arguments.threads,
    )  # fmt: skip
    if arguments.per_residue and not encoder.per_residue:
        raise InputError(f"'{encoder.name}' has no vectors of residues: no --per-residue")
    folder = arguments.store or arguments.out.parent / "embedding_store"
    store = EmbeddingStore(folder, encoder.identity)
    per_residue = bool(arguments.per_residue)
    if arguments.shard is not None:
        fill_store(sequences, encoder, store, residues=per_residue)
        write_json(arguments.out, {"shard": arguments.shard, "sequences": len(sequences)})
        return
    if per_residue:  # first, for that keeps the vectors of the proteins as well
        states = embed_residues(sequences, encoder, store)
        write_residue_embeddings(arguments.per_residue, sequences, states, encoder.identity)
    vectors = embed_sequences(sequences, encoder, store)
    ids = [record.id for record in sequences]
    write_embeddings(arguments.out, ids, vectors, encoder.identity)
    write_provenance(
        arguments.out.with_name(f"{arguments.out.stem}.provenance.json"),
        stage="embed",
        options={**options.model_dump(), "encoder": Path(options.encoder).name},
        inputs={"fasta": arguments.fasta},
        tools=encoder.identity,
    )


def share(sequences: list[Record], shard: int, shards: int) -> list[Record]:
    """Every n-th of the different sequences by length, so that shares are alike."""
    different = {record.residues: record for record in sequences}
    order = sorted(different, key=lambda residues: (-len(residues), residues))
    return [different[residues] for residues in order[shard - 1 :: shards]]


def _gpu_of(device: str, shard: int) -> str:
    """Spread shards over the GPUs of the machine."""
    if device == "cpu":
        return device
    import torch

    count = torch.cuda.device_count()
    return f"cuda:{(shard - 1) % count}" if count > 1 else device
