"""Labelled proteins of the shared data, for benchmarks: labels, clusters, folds.

    python -m tests.benchmarks.real_data WORK --sets signalp deeploc enzymes

writes of each set the proteins (``.fasta``), their labels (``.tsv``) and a split into 60 %
for training, 20 % for validation and 20 % for testing (``.split.tsv``), clusters whole, for
`omicsai embed` and `omicsai benchmark noise`. ``--most 5000`` draws so many proteins of a
larger set.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from omicsai.homology import cluster_sequences
from omicsai.sequences import Sequence, write_fasta

SHARED = Path(os.environ.get("OMICSAI_SHARED", "../shared")) / "data"
FOLDS = 5


@dataclass(frozen=True)
class Labelled:
    """n proteins with one label each; `partition`: published homology folds, from 0."""

    name: str
    residues: list[str]
    labels: NDArray[np.object_]
    group: NDArray[np.object_]
    partition: NDArray[np.int64] | None = None

    def rows(self, chosen: NDArray[np.int64]) -> Labelled:
        """Only the chosen proteins."""
        partition = None if self.partition is None else self.partition[chosen]
        return Labelled(
            self.name,
            [self.residues[i] for i in chosen],
            self.labels[chosen],
            self.group[chosen],
            partition,
        )

    @property
    def classes(self) -> list[str]:
        return sorted(set(self.labels))

    @property
    def code(self) -> NDArray[np.int64]:
        place = {name: i for i, name in enumerate(self.classes)}
        return np.array([place[label] for label in self.labels])


def signalp() -> Labelled:
    """N-termini of 20,758 proteins, 4 classes; group: kingdom."""
    lines = (SHARED / "labelled/signalp_train_set.3line.txt").read_text().splitlines()
    heads = [line[1:].split("|") for line in lines[::3]]
    return Labelled(
        "signalp",
        lines[1::3],
        np.array([head[2] for head in heads], dtype=object),
        np.array([head[1] for head in heads], dtype=object),
        np.array([int(head[3]) for head in heads]),
    )


def deeploc() -> Labelled:
    """7,972 proteins of DeepLoc, 10 locations; group: the published part."""
    table = pd.read_csv(SHARED / "deeploc/deeploc_recovered.tsv", sep="\t", dtype=str)
    place = table["labels"].str.split("|").str[0].str.split(".").str[0]
    return Labelled(
        "deeploc",
        list(table["sequence"]),
        place.to_numpy(dtype=object),
        table["split"].to_numpy(dtype=object),
    )


def enzymes() -> Labelled:
    """7,585 enzymes with one of 7 top-level EC classes; no group."""
    table = pd.read_csv(SHARED / "labelled/clean_ec_split10.tsv", sep="\t", dtype=str)
    top = [
        {number.strip().split(".")[0] for number in cell.split(";")}
        for cell in table["EC number"]
    ]
    one = np.array([len(found) == 1 for found in top])
    return Labelled(
        "enzymes",
        list(table["Sequence"][one]),
        np.array([min(found) for found in top if len(found) == 1], dtype=object),
        np.full(one.sum(), "", dtype=object),
    )


def domains() -> Labelled:
    """8,324 SCOPe domains; label: fold, group: superfamily."""
    table = pd.read_csv(SHARED / "labelled/scop40_labelled.tsv", sep="\t", dtype=str)
    return Labelled(
        "domains",
        list(table["sequence"].str.upper()),
        table["fold"].to_numpy(dtype=object),
        table["superfamily"].to_numpy(dtype=object),
    )


SETS = {"signalp": signalp, "deeploc": deeploc, "enzymes": enzymes, "domains": domains}


def clusters(data: Labelled, folder: Path, threads: int = 2) -> NDArray[np.int64]:
    """MMseqs2 clusters at 30 % identity over half of both, kept in `folder`."""
    kept = folder / f"{data.name}.clusters.npy"
    if not kept.exists():
        folder.mkdir(parents=True, exist_ok=True)
        np.save(kept, cluster_sequences(data.residues, threads=threads))
    return np.load(kept)


def homology_folds(cluster: NDArray, seed: int, folds: int = FOLDS) -> NDArray[np.int64]:
    """Fold (n,) of each protein: clusters whole, the largest first to the emptiest fold."""
    _, index = np.unique(cluster, return_inverse=True)
    size = np.bincount(index)
    order = np.lexsort((np.random.default_rng(seed).random(len(size)), -size))
    fold_of, load = np.empty(len(size), dtype=np.int64), np.zeros(folds, dtype=np.int64)
    for number in order:
        fold_of[number] = load.argmin()
        load[fold_of[number]] += size[number]
    return fold_of[index]


def plain_folds(n: int, seed: int, folds: int = FOLDS) -> NDArray[np.int64]:
    """Fold (n,) of each protein, homologues or not."""
    return np.random.default_rng(seed).permutation(n) % folds


def some_of(n: int, most: int | None) -> NDArray[np.int64]:
    """Row numbers of `most` of n proteins, in order; all if None."""
    return np.sort(np.random.default_rng(1).permutation(n)[:most])


def write(data: Labelled, folder: Path, threads: int, most: int | None = None) -> None:
    """Write proteins, labels and split of a set, of at most `most` proteins."""
    cluster = clusters(data, folder, threads)
    fold = data.partition
    if fold is None:
        fold = homology_folds(cluster, seed=1)
    part = np.select([fold == 3, fold == 4], ["validation", "test"], "train")
    ids = [f"{data.name}{i}" for i in range(len(fold))]
    table = pd.DataFrame({"id": ids, "label": data.labels, "part": part})
    table = table.assign(cluster=cluster, residues=data.residues)
    table = table.iloc[some_of(len(table), most)]
    records = map(Sequence, table["id"], table["residues"])
    write_fasta(records, folder / f"{data.name}.fasta")
    for columns, name in ((["label"], "tsv"), (["part", "cluster"], "split.tsv")):
        path = folder / f"{data.name}.{name}"
        table[["id", *columns]].to_csv(path, sep="\t", index=False)


def main() -> None:
    """Write sets as files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path, help="folder to write to")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--most", type=int, help="proteins of a set (default: all)")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    for name in arguments.sets:
        write(SETS[name](), arguments.work, arguments.threads, arguments.most)


if __name__ == "__main__":
    main()
