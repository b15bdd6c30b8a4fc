"""What pilot runs choose under wrong labels, by accuracy or by likelihood on validation.

    python -m tests.benchmarks.real_data WORK --sets deeploc enzymes signalp
    omicsai embed WORK/deeploc.fasta --out WORK/deeploc.h5          (and the other sets)
    python -m tests.benchmarks.pilots WORK --sets deeploc enzymes signalp --seeds 2

prints, for each set and kind of planted noise, the accuracy on true test labels of the
candidate (head, loss and decay) that each way of choosing takes, the best of all, and the
difference to what the package does, with 95 % intervals over resampled clusters. Each run
is kept in WORK/pilots; a second call adds what is missing. ``--losses`` may try more
than the package does.
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
from omicsai.robust.metrics import resampled_weights
from omicsai.robust.options import LOSSES

NOISES = ("symmetric:0", "symmetric:0.4", "class:0.4")
OPTIONS = Options(
    head="mlp", weight_decay=3.0, epochs=20, batch_size=512, learning_rate=0.002
)
OPEN = {"head": None, "loss": None, "weight_decay": None}
ACCURACY, LOSS = "validation_accuracy", "validation_nll"
RESAMPLES = 500


def main() -> None:
    """Run what is missing, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path, help="folder of the sets and their embeddings")
    parser.add_argument("--sets", nargs="+", default=["deeploc", "enzymes", "signalp"])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=OPTIONS.batch_size)
    parser.add_argument(
        "--losses", nargs="+", choices=LOSSES, default=list(pilot.LOSSES_TRIED)
    )
    arguments = parser.parse_args()
    kept = arguments.work / "pilots"
    kept.mkdir(exist_ok=True)
    draws: dict[tuple[str, str], pd.DataFrame] = {}
    taken, cpu_s = [], {}
    for name in arguments.sets:
        options = replace(OPTIONS, members=arguments.seeds, batch_size=arguments.batch_size)
        laboratory = read_laboratory(arguments.work, name, options)
        cluster = laboratory.cluster[laboratory.parts["test"]]
        weights = resampled_weights(cluster, resamples=RESAMPLES, seed=1)
        weights = np.concatenate([np.ones((1, len(cluster))), weights])
        runs = [(s, n) for s in range(1, arguments.seeds + 1) for n in NOISES]
        for seed, noise in track(runs, total=len(runs), label=name):
            path = kept / f"{name}.{noise.replace(':', '_')}.{seed}.tsv"
            if not path.exists():
                given = laboratory.planted(Condition.parse(noise))[seed - 1]
                tried, right = candidates(laboratory, given, seed, arguments.losses)
                np.save(path.with_suffix(".npy"), right)
                tried.to_csv(path, sep="\t", index=False)
            tried = pd.read_csv(path, sep="\t")
            right = np.load(path.with_suffix(".npy"))
            accuracy = right @ weights.T / weights.sum(axis=1)  # (candidates, resamples)
            rules = choices(tried, accuracy[:, 0])
            found = pd.DataFrame({rule: accuracy[row] for rule, row in rules.items()})
            draws[name, noise] = found / arguments.seeds + draws.get((name, noise), 0)
            first = tried.iloc[rules[DEFAULT]][["head", "loss", "weight_decay"]]
            taken.append({"set": name, "noise": noise, "seed": seed, **first})
            cpu_s[name, noise, seed] = tried["cpu_s"].iloc[0]
    tell(draws)
    print(pd.DataFrame(taken).to_string(index=False))
    print(pd.Series(cpu_s).groupby(level=0).mean().round(0).to_string())


def read_laboratory(work: Path, name: str, options: Options) -> Laboratory:
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
        options,
    )


def candidates(
    laboratory: Laboratory, given: NDArray[np.int64], seed: int, losses: list[str]
) -> tuple[pd.DataFrame, NDArray[np.float32]]:
    """Pilot table, and how often each candidate is right on each test example."""
    test = laboratory.parts["test"]
    rows = torch.from_numpy(np.flatnonzero(test))
    measure, on_test = pilot._ends, {}

    def measured(fitted, forward, *arguments):
        ends = measure(fitted, forward, *arguments)
        with torch.inference_mode():
            predicted = forward(fitted.last, rows, 0.0).argmax(dim=-1).numpy()
        right = predicted == laboratory.code[test]
        means = right.reshape(-1, pilot.SEEDS, right.shape[-1]).mean(axis=1)
        on_test.update(zip(ends, means, strict=True))
        return ends

    began = time.process_time()
    with (
        patch.object(pilot, "_ends", measured),
        patch.object(pilot, "LOSSES_TRIED", tuple(losses)),
    ):
        _, table = pilot.settle(
            laboratory.start, on_vectors(laboratory.X), laboratory.targets(given),
            laboratory.parts["train"], laboratory.parts["validation"], laboratory.cluster,
            replace(laboratory.options, **OPEN, seed=seed),
        )  # fmt: skip
    keys = zip(table[ACCURACY], table[LOSS], strict=True)
    right = np.stack([on_test[key] for key in keys]).astype(np.float32)
    return table.assign(cpu_s=time.process_time() - began), right


DEFAULT = "as the package"


def choices(table: pd.DataFrame, test_accuracy: NDArray) -> dict[str, int]:
    """Row of the candidate that each way of choosing takes."""

    def best(by: str, condition: str = "index == index") -> int:
        tried = table.query(condition)
        order = [by, LOSS], [by == LOSS, True]
        return int(tried.sort_values(*order).index[0])

    package = f"loss in {list(pilot.LOSSES_TRIED)}"
    found = {
        DEFAULT: best(ACCURACY, package),
        "as the package, by loss": best(LOSS, package),
    }
    for loss in dict.fromkeys(table["loss"]):
        found[f"{loss}, by accuracy"] = best(ACCURACY, f"loss == '{loss}'")
        found[f"{loss}, by loss"] = best(LOSS, f"loss == '{loss}'")
    found["ProSelfLC, mlp"] = best(ACCURACY, "loss == 'proselflc' and head == 'mlp'")
    found["all losses tried"] = best(ACCURACY)
    head = table["head"][found["cross_entropy, by accuracy"]]
    found["head by cross entropy, then loss"] = best(
        ACCURACY, f"{package} and head == '{head}'"
    )
    found["the same, all losses"] = best(ACCURACY, f"head == '{head}'")
    found["best in hindsight"] = int(test_accuracy.argmax())
    return found


def tell(draws: dict[tuple[str, str], pd.DataFrame]) -> None:
    """Print accuracies, and differences to the package's way with their intervals."""
    table = pd.DataFrame({" ".join(key): one.iloc[0] for key, one in draws.items()})
    mean = sum(draws.values()) / len(draws)
    table["mean"] = mean.iloc[0]
    less = mean.sub(mean[DEFAULT], axis=0)
    low, high = np.percentile(less.iloc[1:], [2.5, 97.5], axis=0)
    table["difference"] = [
        f"{value:+.4f} ({a:+.4f} to {b:+.4f})"
        for value, a, b in zip(less.iloc[0], low, high, strict=True)
    ]
    with pd.option_context("display.width", 250, "display.max_columns", None):
        print(table.round(3).to_string())


if __name__ == "__main__":
    main()
