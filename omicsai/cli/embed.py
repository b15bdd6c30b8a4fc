"""``omicsai embed``."""

from __future__ import annotations

import argparse
from pathlib import Path

from omicsai.cli.options import add_section, add_threads, section_of
from omicsai.config import EmbedOptions

HELP = "turn proteins into vectors, each different sequence once"
EXAMPLE = "omicsai embed proteins.fasta --encoder models/prot_t5 --out proteins.h5"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("fasta", type=Path, help="FASTA file of proteins")
    add_section(parser, EmbedOptions)
    parser.add_argument(
        "--store", type=Path,
        help="folder of vectors known from earlier runs, shared between batches "
        "(default: 'embedding_store' beside the output)",
    )  # fmt: skip
    add_threads(parser)
    parser.add_argument("--out", type=Path, required=True, help="the .h5 file to write")


def run(arguments: argparse.Namespace) -> None:
    """Embed and write."""
    from omicsai.embedding import (
        EmbeddingStore,
        embed_sequences,
        load_encoder,
        write_embeddings,
    )
    from omicsai.sequences import read_sequences
    from omicsai.tables import write_provenance

    options = section_of(arguments, EmbedOptions)
    sequences = read_sequences(arguments.fasta)
    encoder = load_encoder(
        options.encoder,
        revision=options.revision,
        device=options.device,
        threads=arguments.threads,
    )
    folder = arguments.store or arguments.out.parent / "embedding_store"
    store = EmbeddingStore(folder, encoder.identity)
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
