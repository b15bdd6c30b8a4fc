"""Names of the example's files: light, because the workflow reads them at every start."""

from __future__ import annotations

__all__ = ["EXAMPLE_FOLDER", "FILES", "TRNA_FILES"]

EXAMPLE_FOLDER = "example"
FILES = {
    "known": "known.fasta",
    "labels": "known.labels.tsv",
    "new": "new.fasta",
    "truth": "truth.tsv",
}
TRNA_FILES = {
    "trnas": "trnas.fasta",
    "trna_labels": "trnas.labels.tsv",
    "trna_truth": "trnas.truth.tsv",
}
