"""Cold start, many short proteins and one very long one; run with -m benchmark -s."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from omicsai.embedding.tiny import TINY
from omicsai.sequences import Sequence, write_fasta
from omicsai.sequences.alphabet import AMINO_ACIDS

pytestmark = pytest.mark.benchmark


def proteins(lengths: list[int]) -> list[Sequence]:
    rng = np.random.default_rng(1)
    letters = np.array(list(AMINO_ACIDS))
    return [
        Sequence(f"p{i}", "".join(rng.choice(letters, n))) for i, n in enumerate(lengths)
    ]


def cpu_seconds(command: list) -> float:
    """CPU seconds of a process: the machine may be shared."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_ten_proteins_from_a_cold_start(tmp_path):
    fasta = tmp_path / "ten.fasta"
    write_fasta(proteins([300] * 10), fasta)
    bare = (
        "import torch, transformers; from transformers import T5EncoderModel;"
        f"T5EncoderModel.from_pretrained({str(TINY)!r})"
    )
    ours, plain = [], []
    for i in range(3):
        ours.append(
            cpu_seconds([
                sys.executable, "-m", "omicsai", "embed", fasta, "--encoder",
                "omicsai-tiny", "--out", tmp_path / str(i) / "ten.h5",
            ])
        )  # fmt: skip
        plain.append(cpu_seconds([sys.executable, "-c", bare]))
    print(f"cold start {min(ours):.2f} CPU s, imports and weights {min(plain):.2f} CPU s")
    assert min(ours) < 1.5 * min(plain)


RUN = """
import resource, sys, time
from pathlib import Path
from omicsai.embedding import EmbeddingStore, fill_store, load_encoder
from omicsai.sequences import read_sequences
records = read_sequences(sys.argv[1])
encoder = load_encoder("omicsai-tiny", threads=1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
started = time.process_time()
fill_store(records, encoder, EmbeddingStore(sys.argv[2], encoder.identity))
seconds = time.process_time() - started
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, seconds)
"""


def filled(records: list[Sequence], folder: Path) -> tuple[float, float]:
    """Growth of the peak memory (MB) and CPU seconds of filling a store."""
    folder.mkdir()
    write_fasta(records, folder / "some.fasta")
    done = subprocess.run(
        [sys.executable, "-c", RUN, folder / "some.fasta", folder / "store"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    memory, seconds = map(float, done.stdout.split())
    return memory, seconds


def test_100_000_short_proteins_take_flat_memory_and_constant_time_each(tmp_path):
    rng = np.random.default_rng(2)
    records = proteins(rng.integers(20, 60, 100_000).tolist())
    some_mb, some_seconds = filled(records[:10_000], tmp_path / "some")
    all_mb, all_seconds = filled(records, tmp_path / "all")
    print(f"10,000: {some_mb:.0f} MB, {some_seconds:.1f} CPU s; "
          f"100,000: {all_mb:.0f} MB, {all_seconds:.1f} CPU s")  # fmt: skip
    assert all_mb < some_mb + 300
    assert all_seconds < 1.3 * 10 * some_seconds


def test_one_protein_of_40_000_residues(tmp_path):
    memory, seconds = filled(proteins([40_000]), tmp_path / "long")
    print(f"40,000 residues: {memory:.0f} MB, {seconds:.0f} CPU s")
    assert seconds < 600
    assert memory < 2000
