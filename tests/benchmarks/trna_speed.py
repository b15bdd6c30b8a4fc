"""Speed of numbering beside cmalign, and of all-against-all distances beside a loop.

``python -m tests.benchmarks.trna_speed`` needs ``OMICSAI_SHARED`` and, for the first part,
``cmbuild`` and ``cmalign`` of Infernal on PATH. One core; ratios in one run.
"""

# ruff: noqa: E501
from __future__ import annotations

import csv
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from omicsai.trna import core_weights, distances, number_sequences

SUBSET, PAIRS, MEASURED = 1000, 300, 6000


def timed(call) -> tuple[float, float]:
    """Wall and CPU seconds of a call."""
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - wall, time.process_time() - cpu


def cmalign(sequences: list[str], model: Path, folder: Path) -> tuple[float, float]:
    """Wall and CPU seconds of cmalign on one core."""
    fasta = folder / "s.fa"
    fasta.write_text("".join(f">{i}\n{s}\n" for i, s in enumerate(sequences)))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    wall = time.perf_counter()
    subprocess.run(
        ["cmalign", "--cpu", "1", "-g", "--notrunc", "--outformat", "Pfam", "-o",
         str(folder / "out.sto"), str(model), str(fasta)],
        check=True, capture_output=True,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter() - wall, after.ru_utime - before.ru_utime


def looped(matrix: np.ndarray, weights: np.ndarray) -> None:
    """Distances of all pairs, one pair and one position at a time."""
    w, total = weights.tolist(), weights.sum()
    rows = matrix.tolist()
    for a in rows:
        for b in rows:
            sum(x for x, p, q in zip(w, a, b, strict=True) if p != q) / total


def main() -> None:
    """Measure and print."""
    shared = Path(os.environ["OMICSAI_SHARED"]) / "data/trna"
    with (shared / "all_labelled_trna.tsv").open() as stream:
        rows = csv.DictReader(stream, delimiter="\t")
        sequences = sorted(
            {r["seq"] for r in rows if r["seq"] and set(r["seq"]) <= set("ACGU")}
        )
    print(f"{len(sequences)} unique tRNAs")
    number_sequences(sequences[:50])
    wall, cpu = timed(lambda: number_sequences(sequences))
    ours = len(sequences) / cpu
    print(
        f"numbering + labels + statuses: wall {wall:.2f} s, CPU {cpu:.2f} s, {ours:.0f} a CPU s"
    )
    usual = [s for s in sequences if 68 <= len(s) <= 96]
    wall, cpu = timed(lambda: number_sequences(usual))
    print(f"  the {len(usual)} of 68-96 bases: wall {wall:.2f} s, CPU {cpu:.2f} s, "
          f"{len(usual) / cpu:.0f} a CPU s")  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = folder / "rf.cm"
        subprocess.run(
            ["cmbuild", "-F", str(model), str(shared / "rfam_RF00005_seed.sto")],
            check=True, capture_output=True,
        )  # fmt: skip
        chosen = np.random.default_rng(1).choice(len(sequences), SUBSET, replace=False)
        subset = [sequences[i] for i in chosen]
        wall, cpu = cmalign(subset, model, folder)
        theirs = SUBSET / cpu
        print(
            f"cmalign on {SUBSET} of them: wall {wall:.2f} s, CPU {cpu:.2f} s, {theirs:.0f} a CPU s"
        )
        wall, cpu = timed(lambda: number_sequences(subset))
        print(f"the same {SUBSET}: wall {wall:.2f} s, CPU {cpu:.2f} s")
    print(f"ratio of throughputs, CPU: {ours / theirs:.1f}")
    matrix = number_sequences(sequences).matrix[:MEASURED]
    weights = core_weights()
    wall, cpu = timed(lambda: distances(matrix, weights))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"distances of {len(matrix)}: wall {wall:.2f} s, CPU {cpu:.2f} s, peak {peak:.0f} MiB"
    )
    per_pair = cpu / len(matrix) ** 2
    wall, cpu = timed(lambda: looped(matrix[:PAIRS], weights))
    print(
        f"Python loop on {PAIRS}: CPU {cpu:.2f} s; ratio a pair {cpu / PAIRS**2 / per_pair:.0f}"
    )


if __name__ == "__main__":
    sys.exit(main())
