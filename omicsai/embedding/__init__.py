"""Embeddings: encoders, the content-addressed store, HDF5 in and out (floor 2)."""

from omicsai.embedding.composition import composition
from omicsai.embedding.embed import embed_residues, embed_sequences, fill_store
from omicsai.embedding.encoders import Encoder, load_encoder
from omicsai.embedding.hdf5 import (
    read_embeddings,
    write_embeddings,
    write_residue_embeddings,
)
from omicsai.embedding.projection import project
from omicsai.embedding.store import EmbeddingStore

__all__ = [
    "EmbeddingStore",
    "Encoder",
    "composition",
    "embed_residues",
    "embed_sequences",
    "fill_store",
    "load_encoder",
    "project",
    "read_embeddings",
    "write_embeddings",
    "write_residue_embeddings",
]
