"""Extend a split of real proteins by a tenth: does anything move, does anything leak?

    python tests/benchmarks/split_extension.py WORK [--set signalp2k] [--threads 1]

Nine tenths, drawn at random, are split; the rest joins by `--extend`. The result is audited
as in tests/benchmarks/splitting.py.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import pandas as pd
from split_accuracy import omicsai
from splitting import SETS, audit, write_inputs

OPTIONS = ("--identity", "0.3", "--coverage", "0.5", "--seed", "1", "--compare=false")


def main() -> None:
    """Split, extend, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--set", default="signalp2k")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    records = list({record[0]: record for record in SETS[arguments.set]()}.values())
    random.Random(1).shuffle(records)
    folder = arguments.work / arguments.set / "extension"
    folder.mkdir(parents=True, exist_ok=True)
    old = records[: len(records) * 9 // 10]
    write_inputs(folder, "old", old)
    write_inputs(folder, "new", records[len(old) :])
    options = [*OPTIONS, "--threads", str(arguments.threads)]
    labels = ["--labels", folder / "old.tsv"]
    before = folder / "before/split.tsv"
    if not before.is_file():
        omicsai(
            "split", folder / "old.fasta", *labels, *options, "--out", before.parent
        )  # fmt: skip
    omicsai(
        "split", folder / "old.fasta", folder / "new.fasta", *labels, folder / "new.tsv",
        *options, "--extend", before, "--out", folder / "after",
    )  # fmt: skip
    was = pd.read_csv(before, sep="\t", dtype=str).set_index("id")
    now = pd.read_csv(folder / "after/split.tsv", sep="\t", dtype=str).set_index("id")
    joined = now.loc[~now.index.isin(was.index), "part"].value_counts().to_dict()
    moved = now.loc[was.index, ["part", "fold"]].fillna("") != was[["part", "fold"]].fillna(
        ""
    )
    print("moved:", moved.sum().to_dict(), "new:", joined)
    print(audit(records, now["part"].to_dict(), arguments.threads))


if __name__ == "__main__":
    main()
