"""One model under three splits of DeepLoc: random, whole clusters, guaranteed.

    python tests/benchmarks/split_accuracy.py WORK [--set deeploc] [--encoder composition]

WORK is the folder of tests/benchmarks/splitting.py, in which `--sets deeploc --methods
omicsai cluster` are finished. Ten locations, 60/20/20; the test parts differ, so that the
intervals (bootstrap of whole clusters) of one split and another are independent.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from splitting import FRACTIONS, PARTS, SETS, Record, parts_of

from omicsai.homology import SPLIT, assign_groups
from omicsai.homology.strata import label_strata

FOLDS = 5
MEASURES = ("accuracy", "macro_f1", "mcc")


def write_split(records: list[Record], part: list[str], group: list[str], to: Path) -> None:
    """Write a split whose folds within train keep groups together."""
    strata = label_strata([label for _, label, _ in records])
    code = np.unique(group, return_inverse=True)[1]
    train = np.array(part) == "train"
    inside = np.unique(code[train], return_inverse=True)[1]
    fold = pd.Series(pd.NA, index=range(len(part)), dtype="Int64")
    fold[train] = 1 + assign_groups(inside, strata[train], np.ones(FOLDS), seed=1)
    table = {"id": [name for name, _, _ in records], "part": part, "cluster": group}
    SPLIT.write(SPLIT.frame({**table, "fold": fold, "component": group}), to)


def splits(records: list[Record], work: Path) -> dict[str, Path]:
    """Split tables of a set, in its folder, by the name of the split."""
    ids = [name for name, _, _ in records]
    strata = label_strata([label for _, label, _ in records])
    shares = [float(x) for x in FRACTIONS]
    code = assign_groups(np.arange(len(ids)), strata, shares, seed=1, pin=False)
    out = work / "accuracy"
    out.mkdir(exist_ok=True)
    write_split(records, [PARTS[p] for p in code], ids, out / "random.tsv")
    clustered = work / "cluster"
    home = dict(
        pd.read_csv(clustered / "out_cluster.tsv", sep="\t", header=None, dtype=str)[[1, 0]]
        .itertuples(index=False, name=None)
    )  # fmt: skip
    part = parts_of("cluster", clustered, records)
    group = [home[name] for name in ids]
    write_split(records, [part[name] for name in ids], group, out / "clusters.tsv")
    return {
        "random": out / "random.tsv",
        "whole clusters": out / "clusters.tsv",
        "guaranteed": work / "omicsai/split.tsv",
    }


def omicsai(*arguments: str | Path) -> None:
    """Run a command of the package."""
    command = [str(Path(sys.executable).parent / "omicsai"), *map(str, arguments)]
    subprocess.run(command, check=True)


def main() -> None:
    """Embed once, train and evaluate by split and seed, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--set", default="deeploc")
    parser.add_argument("--encoder", default="composition")
    parser.add_argument("--seeds", nargs="+", default=["1", "2", "3"])
    arguments = parser.parse_args()
    records = list({record[0]: record for record in SETS[arguments.set]()}.values())
    data, out = arguments.work / "data", arguments.work / arguments.set / "accuracy"
    rows = []
    tables = splits(records, arguments.work / arguments.set)
    vectors = out / f"{arguments.encoder}.h5"
    if not vectors.is_file():
        omicsai(
            "embed",
            data / f"{arguments.set}.fasta",
            "--encoder",
            arguments.encoder,
            "--out",
            vectors,
        )
    for name, table in tables.items():
        for seed in arguments.seeds:
            model = out / f"{name.split()[-1]}.{arguments.encoder}.{seed}"
            shared = ["--embeddings", vectors, "--labels", data / f"{arguments.set}.tsv"]
            if not (model / "evaluation/metrics.json").is_file():
                omicsai(
                    "train", *shared, "--split", table, "--loss", "cross_entropy",
                    "--members", "1", "--seed", seed, "--out", model,
                )  # fmt: skip
                omicsai("evaluate", model, *shared, "--out", model / "evaluation")
            told = json.loads((model / "evaluation/metrics.json").read_text())
            rows.append({"split": name, "seed": seed, **{m: told[m] for m in MEASURES}})
    print(pd.DataFrame(rows).to_string(index=False))


if __name__ == "__main__":
    main()
