"""Sequence records: alphabets, FASTA in and out, labels, checking (floor 1)."""

from omicsai.sequences.alphabet import Molecule, canonical
from omicsai.sequences.check import Checked, check_batch
from omicsai.sequences.fasta import (
    Sequence,
    SequenceFile,
    parse_fasta,
    read_sequences,
    sequence_digest,
    write_fasta,
)
from omicsai.sequences.labels import join_labels, read_labels, split_labels

__all__ = [
    "Checked",
    "Molecule",
    "Sequence",
    "SequenceFile",
    "canonical",
    "check_batch",
    "join_labels",
    "parse_fasta",
    "read_labels",
    "read_sequences",
    "sequence_digest",
    "split_labels",
    "write_fasta",
]
