"""Tables of several runs of ``omicsai benchmark noise``, each alone and their mean.

    python -m tests.benchmarks.real_data WORK --sets signalp deeploc --most 5000
    omicsai embed WORK/signalp.fasta --encoder omicsai-tiny --out WORK/signalp.h5
    omicsai benchmark noise --embeddings WORK/signalp.h5 --labels WORK/signalp.tsv \\
        --split WORK/signalp.split.tsv --out WORK/signalp.noise      (and the other sets)
    python -m tests.benchmarks.noise_tables WORK --sets signalp deeploc

prints accuracies of the last (best-on-validation) state, the difference of each method to
the reference on the mean of the sets with its 95 % interval over resampled clusters, and
which share of what cross entropy loses to wrong labels each method loses.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from safetensors.numpy import load_file

from omicsai.robust.metrics import resampled_weights
from omicsai.robust.outcomes import STATES

RESAMPLES = 1000
PLAIN = "cross_entropy"
Draws = dict[tuple[str, str, str], NDArray]  # state, condition, method: (1 + resamples,)


def main() -> None:
    """Print all tables as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path, help="folder of the sets and their runs")
    parser.add_argument("--sets", nargs="+", default=["signalp", "deeploc"])
    parser.add_argument(
        "--runs", nargs="+", default=["noise"],
        help="runs are in WORK/SET.RUNS; of a method in several, the last counts",
    )  # fmt: skip
    parser.add_argument("--reference", default="chosen")
    parser.add_argument("--seeds", type=int, help="the first so many (default: all)")
    arguments = parser.parse_args()
    found = {}
    for name in arguments.sets:
        found[name] = accuracies(arguments.work, name, arguments.runs, arguments.seeds)
        print(f"\n{name}: last (best) state, 95 % half-width of the last\n")
        tell(found[name])
        print(f"\n{name}: share of cross entropy's loss to noise\n")
        tell_losses(found[name])
    shared = set.intersection(*(set(one) for one in found.values()))
    mean = {k: np.mean([one[k] for one in found.values()], axis=0) for k in shared}
    print(f"\nmean of {', '.join(found)}, less {arguments.reference}\n")
    tell_differences(mean, arguments.reference)
    print("\nmean: share of cross entropy's loss to noise\n")
    tell_losses(mean)


def accuracies(work: Path, name: str, runs: list[str], seeds: int | None) -> Draws:
    """Accuracy on true test labels, mean of the seeds, first of the data itself."""
    labels = pd.read_csv(work / f"{name}.tsv", sep="\t", dtype=str)
    split = pd.read_csv(work / f"{name}.split.tsv", sep="\t", dtype=str)
    table = split.merge(labels, on="id")
    classes = sorted(set(table["label"][table["part"] == "train"]))
    test = table[table["part"] == "test"]
    code = np.array([classes.index(label) for label in test["label"]])
    weights = resampled_weights(test["cluster"].to_numpy(), resamples=RESAMPLES, seed=1)
    weights = np.concatenate([np.ones((1, len(code))), weights])
    draws = {}
    paths = [
        path
        for one in runs
        for path in sorted((work / f"{name}.{one}").glob("outcomes/*/*.safetensors"))
    ]
    for path in paths:
        right = load_file(path)["logits"][:, :seeds].argmax(axis=-1) == code
        for state, one in zip(STATES, right.mean(axis=1), strict=True):
            key = state, path.parent.name.replace("_", " "), path.stem
            draws[key] = weights @ one / weights.sum(axis=1)
    return draws


def names_of(draws: Draws) -> tuple[list[str], list[str]]:
    """Conditions, and the methods that were run under all of them, in order."""
    conditions = dict.fromkeys(key[1] for key in draws)
    order = sorted(conditions, key=lambda name: (name.split()[0] != "symmetric", name))
    everywhere = (
        {method for _, condition, method in draws if condition == one} for one in order
    )
    return order, sorted(set.intersection(*everywhere))


def interval(values: NDArray) -> tuple[float, float]:
    """95 % interval of the resamples."""
    low, high = np.percentile(values[1:], [2.5, 97.5])
    return float(low), float(high)


def print_table(rows: dict[str, list[str]], columns: list[str]) -> None:
    """Print one Markdown table."""
    print("| method | " + " | ".join(columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for name, cells in rows.items():
        print(f"| {name} | " + " | ".join(cells) + " |")


def tell(draws: Draws) -> None:
    """Print accuracies of both states."""
    conditions, methods = names_of(draws)
    rows = {}
    for method in methods:
        rows[method] = []
        for condition in conditions:
            last, best = (draws[state, condition, method] for state in STATES)
            low, high = interval(last)
            rows[method].append(f"{last[0]:.3f} ({best[0]:.3f}) ± {(high - low) / 2:.3f}")
    print_table(rows, conditions)


def tell_differences(draws: Draws, reference: str) -> None:
    """Print accuracies of the last state, and differences to the reference."""
    conditions, methods = names_of(draws)
    rows = {}
    for method in [reference, *(m for m in methods if m != reference)]:
        rows[method] = []
        for condition in conditions:
            values = draws["last", condition, method]
            less = values - draws["last", condition, reference]
            low, high = interval(less)
            cell = f"{values[0]:.3f}"
            if method != reference:
                cell += f" ({less[0]:+.3f}, {low:+.3f} to {high:+.3f})"
            rows[method].append(cell)
    print_table(rows, conditions)


def tell_losses(draws: Draws) -> None:
    """Print what each method loses to noise, over what cross entropy loses."""
    conditions, methods = names_of(draws)
    noisy = [name for name in conditions if not name.endswith(" 0")]
    clean = next(name for name in conditions if name.endswith(" 0"))
    rows = {}
    for method in methods:
        rows[method] = []
        for condition in noisy:
            plain, lost = (
                draws["last", clean, name] - draws["last", condition, name]
                for name in (PLAIN, method)
            )
            low, high = interval(lost / plain)
            rows[method].append(
                f"{lost[0]:.3f} of {plain[0]:.3f}: "
                f"{lost[0] / plain[0]:.2f} ({low:.2f} to {high:.2f})"
            )
    print_table(rows, noisy)


if __name__ == "__main__":
    main()
