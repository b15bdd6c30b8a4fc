"""What pilot runs choose under wrong labels, and whether they should try other candidates.

    python -m tests.benchmarks.real_data WORK --sets signalp deeploc --most 5000
    omicsai embed WORK/signalp.fasta --encoder omicsai-tiny --out WORK/signalp.h5
    python -m tests.benchmarks.pilots WORK --sets signalp deeploc --seeds 3 \\
        --losses cross_entropy proselflc sce elr label_smoothing

plants wrong labels in training and validation, tries every head, loss and decay, and prints
for each way of choosing the accuracy of what it takes: on *development* data, and on test
data, both with true labels. Development data are the validation clusters: one half of them
chooses, by its wrong labels, and the other half judges; the mean of fifty such halvings,
both ways. So which way is best can be told without the test part. Test accuracies are means
of the pilot's two seeds. Differences are to the first way, with 95 % intervals over
resampled clusters, those of development with their standard error over sets and kinds of
noise. Each run is kept in WORK/pilots; a second call adds what is missing.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace
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

NOISES = (
    "symmetric:0", "symmetric:0.2", "symmetric:0.4", "symmetric:0.6", "class:0.2",
    "class:0.4",
)  # fmt: skip
OPTIONS = Options(
    head="mlp", weight_decay=3.0, epochs=20, batch_size=128, learning_rate=0.002
)
OPEN = {"loss": None, "weight_decay": None}
HEADS = ("linear", "mlp")
DECAYS = (0.3, 1.0, 3.0, 10.0, 30.0)  # more than the package tries
ACCURACY, LOSS = "validation_accuracy", "validation_nll"
DEVELOPMENT = "development"
RESAMPLES, HALVINGS = 500, 50


@dataclass(frozen=True)
class Way:
    """Which candidates are compared, and by what."""

    losses: tuple[str, ...]
    heads: tuple[str, ...] = HEADS
    decays: tuple[float, ...] = DECAYS
    by: str = ACCURACY
    head_first: bool = False  # the head that is best with cross entropy
    ahead: float | None = None  # standard errors by which label smoothing has to be ahead

    def __call__(self, table: pd.DataFrame, votes: NDArray[np.float64]) -> int:
        """Row that it takes, by what is judged and by votes (rows, clusters)."""
        table = table.sort_values([self.by, LOSS], ascending=[self.by == LOSS, True])
        tried = table[
            table["head"].isin(self.heads) & table["weight_decay"].isin(self.decays)
        ]
        if self.head_first:
            plain = tried[tried["loss"] == "cross_entropy"]
            tried = tried[tried["head"] == plain["head"].iloc[0]]
        tried = tried[tried["loss"].isin(self.losses)]
        best = int(tried.index[0])
        rivals = tried[tried["loss"] != pilot.CHALLENGER]
        if self.ahead is None or not len(rivals) or best == rivals.index[0]:
            return best
        rival = int(rivals.index[0])
        return best if pilot.is_ahead(votes[best], votes[rival], self.ahead) else rival


def ways(losses: list[str]) -> dict[str, Way]:
    """Ways of choosing, the package's first."""
    package, every = (*pilot.LOSSES_TRIED, pilot.CHALLENGER), tuple(losses)
    mlp = ("mlp",)
    found = {
        "as the package": Way(package, mlp, pilot.DECAYS, ahead=pilot.AHEAD),
        "label smoothing as the others": Way(package, mlp, pilot.DECAYS),
        "label smoothing from 1 standard error on": Way(
            package, mlp, pilot.DECAYS, ahead=1.0
        ),
        "as the package, by loss": Way(package, mlp, pilot.DECAYS, by=LOSS),
        "the package's losses, both heads": Way(package, ahead=pilot.AHEAD),
        "all losses": Way(every, mlp),
        "all losses, both heads": Way(every),
        "all losses, head first": Way(every, head_first=True),
    }
    for decays in (DECAYS, (0.3, 3.0, 30.0), (0.3, 3.0), (1.0, 10.0)):
        found[f"the package's losses, decays {decays}"] = Way(
            package, mlp, decays, ahead=pilot.AHEAD
        )
    former = ("cross_entropy", "proselflc", "sce")
    found["the former default"] = Way(former, decays=(0.3, 3.0, 30.0))
    found["the former default, mlp"] = Way(former, mlp, (0.3, 3.0, 30.0))
    for left_out in package:
        rest = tuple(loss for loss in package if loss != left_out)
        found[f"without {left_out}"] = Way(rest, mlp, pilot.DECAYS, ahead=pilot.AHEAD)
    return found | {name: Way((name,), mlp) for name in losses}


def main() -> None:
    """Run what is missing, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path, help="folder of the sets and their embeddings")
    parser.add_argument("--sets", nargs="+", default=["signalp", "deeploc"])
    parser.add_argument("--noises", nargs="+", default=list(NOISES))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=OPTIONS.batch_size)
    parser.add_argument(
        "--losses", nargs="+", choices=LOSSES,
        default=[pilot.TIMER, *pilot.LOSSES_TRIED, pilot.CHALLENGER],
    )  # fmt: skip
    arguments = parser.parse_args()
    options = replace(OPTIONS, members=arguments.seeds, batch_size=arguments.batch_size)
    laboratories = {
        name: read_laboratory(arguments.work, name, options) for name in arguments.sets
    }
    plan = [
        (seed, noise, name)
        for seed in range(1, arguments.seeds + 1)
        for noise in arguments.noises
        for name in arguments.sets
    ]
    draws: dict[tuple[str, str], pd.DataFrame] = {}
    taken = []
    for seed, noise, name in track(plan, total=len(plan), label="pilots"):
        laboratory = laboratories[name]
        given = laboratory.planted(Condition.parse(noise))[seed - 1]
        stem = arguments.work / "pilots" / f"{name}.{noise.replace(':', '_')}.{seed}"
        table, predicted = trials(stem, laboratory, given, seed, arguments.losses)
        found, row = judged(laboratory, given, table, predicted, arguments.losses)
        draws[name, noise] = found / arguments.seeds + draws.get((name, noise), 0)
        taken.append({"set": name, "noise": noise, "seed": seed, **row})
    tell(draws)
    print(pd.DataFrame(taken).to_string(index=False))


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


def trials(
    stem: Path,
    laboratory: Laboratory,
    given: NDArray[np.int64],
    seed: int,
    losses: list[str],
) -> tuple[pd.DataFrame, NDArray[np.int16]]:
    """Pilot table of all heads and losses, and predictions (rows, pilot's seeds, n)."""
    tables, predictions = [], []
    stem.parent.mkdir(exist_ok=True)
    for head in HEADS:
        paths = {loss: stem.with_name(f"{stem.name}.{head}.{loss}.tsv") for loss in losses}
        missing = [loss for loss, path in paths.items() if not path.exists()]
        if missing:
            table, predicted = trial(laboratory, given, seed, head, missing)
            for loss in missing:
                rows = (table["loss"] == loss).to_numpy()
                np.save(paths[loss].with_suffix(".npy"), predicted[rows])
                table[rows].to_csv(paths[loss], sep="\t", index=False)
        tables += [pd.read_csv(path, sep="\t") for path in paths.values()]
        predictions += [np.load(path.with_suffix(".npy")) for path in paths.values()]
    return pd.concat(tables, ignore_index=True), np.concatenate(predictions)


def trial(
    laboratory: Laboratory,
    given: NDArray[np.int64],
    seed: int,
    head: str,
    losses: list[str],
) -> tuple[pd.DataFrame, NDArray[np.int16]]:
    """Run the pilots of one head, as `settle` does for each; label smoothing always."""
    rows = torch.arange(len(laboratory.code))
    measure, found = pilot._ends, {}

    def measured(fitted, forward, *arguments):  # type: ignore[no-untyped-def]
        ends = measure(fitted, forward, *arguments)
        with torch.inference_mode():
            predicted = forward(fitted.last, rows, 0.0).argmax(dim=-1).numpy()
        each = predicted.reshape(-1, pilot.SEEDS, len(rows))
        votes, nlls = ends
        keys = zip([one.mean() for one in votes], nlls, strict=True)
        found.update(zip(keys, each, strict=True))
        return ends

    tried = tuple(loss for loss in losses if loss != pilot.CHALLENGER)
    began = time.process_time()
    options = replace(laboratory.options, **OPEN, head=head, seed=seed)
    with (
        patch.object(pilot, "_ends", measured),
        patch.object(pilot, "LOSSES_TRIED", tried),
        patch.object(pilot, "DECAYS", DECAYS),
    ):
        _, table = pilot.settle(
            replace(laboratory, options=options).start, on_vectors(laboratory.X),
            laboratory.targets(given), laboratory.parts["train"],
            laboratory.parts["validation"], laboratory.cluster, options,
        )  # fmt: skip
    keys = zip(table[ACCURACY], table[LOSS], strict=True)
    predicted = np.stack([found[key] for key in keys]).astype(np.int16)
    return table.assign(cpu_s=time.process_time() - began), predicted


def judged(
    laboratory: Laboratory,
    given: NDArray[np.int64],
    table: pd.DataFrame,
    predicted: NDArray[np.int16],
    losses: list[str],
) -> tuple[pd.DataFrame, dict]:
    """Accuracy of what each way takes, and what the package takes.

    Returns
    -------
    pandas.DataFrame
        Columns: ways and the best in hindsight; rows: test accuracy, each resample of it,
        and ``DEVELOPMENT``.
    dict
        Head, loss and decay of the first way.
    """
    test, validation = laboratory.parts["test"], laboratory.parts["validation"]
    cluster = laboratory.cluster[test]
    weights = resampled_weights(cluster, resamples=RESAMPLES, seed=1)
    weights = np.concatenate([np.ones((1, len(cluster))), weights])
    right = (predicted[..., test] == laboratory.code[test]).mean(axis=1)
    accuracy = right @ weights.T / weights.sum(axis=1)  # (candidates, resamples)
    compared = ways(losses)
    names, member = np.unique(laboratory.cluster[validation], return_inverse=True)
    agree, true = (
        np.stack([np.bincount(member, one) / np.bincount(member) for one in hits])
        for hits in (
            (predicted[..., validation] == labels[validation]).mean(axis=1)
            for labels in (given, laboratory.code)
        )
    )
    found = {name: accuracy[way(table, agree)] for name, way in compared.items()}
    found["best in hindsight"] = accuracy[accuracy[:, 0].argmax()]
    result = pd.DataFrame(found)
    rng = np.random.default_rng(1)
    developed = pd.DataFrame(0.0, index=[DEVELOPMENT], columns=result.columns)
    for _ in range(HALVINGS):
        half = rng.permutation(len(names)) % 2 == 0
        for chooses in (half, ~half):
            votes, truth = agree[:, chooses], true[:, ~chooses].mean(axis=1)
            judging = table.assign(**{ACCURACY: votes.mean(axis=1)})
            for name, way in compared.items():
                developed[name] += truth[way(judging, votes)]
            developed["best in hindsight"] += truth.max()
    result = pd.concat([result, developed / (2 * HALVINGS)])
    first = table.iloc[compared["as the package"](table, agree)]
    return result, dict(first[["head", "loss", "weight_decay"]])


def tell(draws: dict[tuple[str, str], pd.DataFrame]) -> None:
    """Print accuracies, and differences to the package's way with their intervals."""
    mean = sum(draws.values()) / len(draws)
    table = pd.DataFrame({" ".join(key): one.iloc[0] for key, one in draws.items()})
    table["test"] = mean.iloc[0]
    less = mean.sub(mean["as the package"], axis=0)
    low, high = np.percentile(less.iloc[1:-1], [2.5, 97.5], axis=0)
    table["difference"] = [
        f"{value:+.4f} ({a:+.4f} to {b:+.4f})"
        for value, a, b in zip(less.iloc[0], low, high, strict=True)
    ]
    table[DEVELOPMENT] = mean.loc[DEVELOPMENT]
    developed = pd.DataFrame({key: one.loc[DEVELOPMENT] for key, one in draws.items()}).T
    less = developed.sub(developed["as the package"], axis=0)
    error = less.std() / np.sqrt(len(less))
    table["its difference"] = [
        f"{value:+.4f} ± {e:.4f}" for value, e in zip(less.mean(), error, strict=True)
    ]
    with pd.option_context("display.width", 250, "display.max_columns", None):
        print(table.round(4).to_string())


if __name__ == "__main__":
    main()
