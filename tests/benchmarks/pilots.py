"""What pilot runs choose under wrong labels, by accuracy or by likelihood on validation.

    python -m tests.benchmarks.real_data WORK --sets deeploc enzymes signalp
    omicsai embed WORK/deeploc.fasta --out WORK/deeploc.h5          (and the other sets)
    python -m tests.benchmarks.pilots WORK --sets deeploc enzymes signalp --seeds 2

prints, for each set and kind of planted noise, the accuracy on true test labels of the
candidate (head, loss and decay) that each way of choosing takes, and the best of all.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from omicsai.embedding import read_embeddings
from omicsai.progress import track
from omicsai.robust import Options, pilot
from omicsai.robust.heads import on_vectors
from omicsai.robust.laboratory import Condition, Laboratory, new_laboratory

NOISES = ("symmetric:0", "symmetric:0.4", "class:0.4")
OPTIONS = Options(
    head="mlp", weight_decay=3.0, epochs=20, batch_size=512, learning_rate=0.002
)
OPEN = {"head": None, "loss": None, "weight_decay": None}
RUN = ["set", "noise", "seed"]
SHARES = {
    "all": "index == index",
    "cross entropy": "loss == 'cross_entropy'",
    "ProSelfLC": "loss == 'proselflc'",
    "mlp, ProSelfLC": "head == 'mlp' and loss == 'proselflc'",
}


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path, help="folder of the sets and their embeddings")
    parser.add_argument("--sets", nargs="+", default=["deeploc", "enzymes", "signalp"])
    parser.add_argument("--seeds", type=int, default=2)
    arguments = parser.parse_args()
    tables = []
    for name in arguments.sets:
        laboratory = read_laboratory(arguments.work, name, arguments.seeds)
        runs = [(s, n) for s in range(1, arguments.seeds + 1) for n in NOISES]
        for seed, noise in track(runs, total=len(runs), label=name):
            given = laboratory.planted(Condition.parse(noise))[seed - 1]
            tried = candidates(laboratory, given, seed)
            tables.append(tried.assign(set=name, noise=noise, seed=seed))
    table = pd.concat(tables, ignore_index=True)
    table.to_csv(arguments.work / "pilots.tsv", sep="\t", index=False)
    tell(table)


def read_laboratory(work: Path, name: str, seeds: int) -> Laboratory:
    """Read a set that `tests.benchmarks.real_data` and `omicsai embed` have written."""
    ids, vectors, _ = read_embeddings(work / f"{name}.h5")
    labels, split = (
        pd.read_csv(work / f"{name}.{end}", sep="\t", dtype=str).set_index("id").loc[ids]
        for end in ("tsv", "split.tsv")
    )
    return new_laboratory(
        vectors,
        labels["label"].to_numpy(object),
        split["part"].to_numpy(object),
        split["cluster"].to_numpy(object),
        replace(OPTIONS, members=seeds),
    )


def candidates(laboratory: Laboratory, given: NDArray[np.int64], seed: int) -> pd.DataFrame:
    """Pilot table with the accuracy of each candidate on the test part."""
    test = laboratory.parts["test"]
    rows = torch.from_numpy(np.flatnonzero(test))
    measure, on_test = pilot._ends, {}

    def measured(fitted, forward, *arguments):
        ends = measure(fitted, forward, *arguments)
        with torch.inference_mode():
            predicted = forward(fitted.last, rows, 0.0).argmax(dim=-1).numpy()
        right = (predicted == laboratory.code[test]).mean(axis=1)
        on_test.update(zip(ends, right.reshape(-1, pilot.SEEDS).mean(axis=1), strict=True))
        return ends

    began = time.process_time()
    with patch.object(pilot, "_ends", measured):
        _, table = pilot.settle(
            laboratory.start, on_vectors(laboratory.X), laboratory.targets(given),
            laboratory.parts["train"], laboratory.parts["validation"], laboratory.cluster,
            replace(laboratory.options, **OPEN, seed=seed),
        )  # fmt: skip
    keys = zip(table["validation_accuracy"], table["validation_nll"], strict=True)
    return table.assign(
        test_accuracy=[on_test[key] for key in keys], cpu_s=time.process_time() - began
    )


def tell(table: pd.DataFrame) -> None:
    """Print the accuracy of what is chosen among all candidates, or among some."""
    found = {}
    for name, share in SHARES.items():
        tried = table.query(share)
        for by, ascending in (("validation_accuracy", False), ("validation_nll", True)):
            first = tried.sort_values([by, "validation_nll"], ascending=[ascending, True])
            found[f"{name}, by {by}"] = first.groupby(RUN)["test_accuracy"].first()
    found["best of all"] = table.groupby(RUN)["test_accuracy"].max()
    means = pd.DataFrame(found).groupby(["set", "noise"]).mean()
    print(means.T.round(3).to_string())
    print(means.mean().round(3).to_string())
    print(table.groupby("set")["cpu_s"].mean().round(0).to_string())


if __name__ == "__main__":
    main()
