"""Splits side by side: this package, whole clusters, GraphPart and DataSAIL.

    python tests/benchmarks/splitting.py WORK [--sets signalp deeploc2k corpus3k ...]
        [--methods omicsai cluster graphpart datasail] [--rivals VENV/bin] [--limit 1500]
        [--fractions 0.6 0.2 0.2]

Data come from OMICSAI_SHARED; `deeploc2k` is a random 2,000 of `deeploc`. Each method gets
the same FASTA file, labels and shares; every result is audited by the same exhaustive
search under the same definition (30 % identity over the alignment, 50 % coverage of either
sequence, E <= 1e-3). It is wider than the search a split is built by: a lower score of the
prefilter, and what reaches E <= 0.3 is aligned in all four ways (with and without
composition correction, in both directions). Of 30,000 sequences and more, omicsai's own
audit of a sample is shown.
What is finished in WORK is not run again. Rivals are never dependencies: put them, and an
mmseqs on PATH, into an environment of their own. Times count only side by side, in one run;
those of omicsai include its audit. DataSAIL may miss the sizes by 20 %, because it often
finds no solution within its default of 5 %.
"""

from __future__ import annotations

import argparse
import csv
import json
import lzma
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from omicsai.homology import Definition, assign_groups, search
from omicsai.homology.audit import SAMPLE_SCORE, count_pairs
from omicsai.homology.build import search_between
from omicsai.homology.mmseqs import find_mmseqs
from omicsai.homology.strata import category_shares, label_strata

FRACTIONS = ("0.6", "0.2", "0.2")
LARGE = 30_000
PARTS = ("train", "validation", "test")
Record = tuple[str, str, str]  # id, label, residues


def shared() -> Path:
    """Folder of the real data."""
    folder = Path(os.environ.get("OMICSAI_SHARED", "../shared")) / "data"
    if not folder.is_dir():
        sys.exit(f"no real data in {folder}: set OMICSAI_SHARED")
    return folder


def signalp() -> Iterator[Record]:
    """20,758 N-termini of 70 residues, three lines a record."""
    lines = (shared() / "labelled/signalp_train_set.3line.txt").read_text().split("\n")
    for k in range(0, len(lines) - 2, 3):
        name, _, label, _ = lines[k][1:].split("|")
        yield name, label, lines[k + 1]


def deeploc() -> Iterator[Record]:
    """7,972 proteins of ten locations."""
    with (shared() / "deeploc/deeploc_recovered.tsv").open() as table:
        for row in csv.DictReader(table, delimiter="\t"):
            yield row["uniprot"], row["labels"].split("|")[0], row["sequence"].upper()


def ec() -> Iterator[Record]:
    """7,757 enzymes, labelled by the first two EC levels, several each."""
    with (shared() / "labelled/clean_ec_split10.tsv").open() as table:
        for row in csv.DictReader(table, delimiter="\t"):
            levels = {".".join(e.split(".")[:2]) for e in row["EC number"].split(";")}
            yield row["Entry"], ";".join(sorted(levels)), row["Sequence"]


def some(name: str, size: int) -> Callable[[], Iterator[Record]]:
    """Random records of a labelled set."""

    def records() -> Iterator[Record]:
        every = list({record[0]: record for record in SETS[name]()}.values())
        yield from random.Random(1).sample(every, size)

    return records


def corpus(size: int) -> Callable[[], Iterator[Record]]:
    """Random proteins of the corpus, without labels."""

    def records() -> Iterator[Record]:
        found: list[tuple[str, list[str]]] = []
        with lzma.open(shared() / "proteins/corpus_dev_90k.fasta.xz", "rt") as lines:
            for line in lines:
                if line.startswith(">"):
                    found.append((line[1:].split()[0], []))
                else:
                    found[-1][1].append(line.strip())
        random.Random(1).shuffle(found)
        for name, pieces in found[:size]:
            yield name, "", "".join(pieces)

    return records


SETS: dict[str, Callable[[], Iterator[Record]]] = {
    "signalp": signalp, "deeploc": deeploc, "ec": ec,
    **{
        f"{name}{k}k": some(name, 1000 * k)
        for name in ("signalp", "deeploc", "ec")
        for k in (1, 2, 3)
    },
    **{f"corpus{n}k": corpus(1000 * n) for n in (1, 3, 10, 30, 90)},
}  # fmt: skip


def measured(command: list[str], folder: Path, limit: int, path: str) -> dict[str, float]:
    """Run a command; its wall and CPU seconds and peak memory, or that it did not end."""
    started = time.monotonic()
    with (folder / "log.txt").open("w") as log:
        running = subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=log, start_new_session=True,
            env=os.environ | {"PATH": f"{path}:{os.environ['PATH']}"},
        )  # fmt: skip
        while True:
            ended, status, used = os.wait4(running.pid, os.WNOHANG)
            wall = time.monotonic() - started
            if ended or wall > limit:
                break
            time.sleep(0.2)
        if not ended:
            os.killpg(running.pid, signal.SIGKILL)
            _, status, used = os.wait4(running.pid, 0)
    return {
        "ended": bool(ended and status == 0),
        "wall_s": round(wall, 1),
        "cpu_s": round(used.ru_utime + used.ru_stime, 1),
        "peak_gb": round(used.ru_maxrss / 1e6, 3),
    }


def run_method(
    method: str,
    data: Path,
    name: str,
    folder: Path,
    rivals: Path,
    limit: int,
    threads: int,
    fractions: Sequence[str],
) -> dict[str, float]:
    """Run one method on one set."""
    fasta, table = data / f"{name}.fasta", data / f"{name}.tsv"
    if method == "omicsai":
        command = [
            str(Path(sys.executable).parent / "omicsai"), "split", str(fasta),
            "--labels", str(table), "--fractions", *fractions, "--identity", "0.3",
            "--coverage", "0.5", "--seed", "1", "--threads", str(threads),
            "--compare=false", "--out", ".",
        ]  # fmt: skip
    elif method == "cluster":
        command = [
            str(find_mmseqs()), "easy-cluster", str(fasta), "out", "tmp", "--min-seq-id",
            "0.3", "-c", "0.5", "--cov-mode", "0", "-s", "7.5", "--threads", str(threads),
        ]  # fmt: skip
    elif method == "graphpart":
        command = [
            str(rivals / "graphpart"), "mmseqs2", "-ff", str(data / f"{name}.gp.fasta"),
            "-th", "0.3", "-te", fractions[2], "-va", fractions[1], "-of", "out.csv",
            *([] if name.startswith("corpus") else ["-ln", "label"]),
        ]  # fmt: skip
    else:
        command = [
            str(rivals / "datasail"), "-o", "out", "-t", "C1e", "-s", *fractions, "-n",
            *PARTS, "--epsilon", "0.2", "--e-type", "P", "--e-data", str(fasta),
            "--e-sim", "mmseqs", "--threads", str(threads),
        ]  # fmt: skip
    return measured(command, folder, limit, f"{rivals}:{find_mmseqs().parent}")


def parts_of(
    method: str,
    folder: Path,
    records: list[Record],
    fractions: Sequence[str] = FRACTIONS,
) -> dict[str, str]:
    """Part by id of a finished run."""
    if method == "omicsai":
        table = pd.read_csv(folder / "split.tsv", sep="\t", dtype=str)
        return dict(zip(table["id"], table["part"], strict=True))
    if method == "cluster":
        table = pd.read_csv(folder / "out_cluster.tsv", sep="\t", dtype=str, header=None)
        home = dict(zip(table[1], table[0], strict=True))
        group = np.unique([home[name] for name, _, _ in records], return_inverse=True)[1]
        strata = label_strata([label for _, label, _ in records])
        part = assign_groups(group, strata, [float(x) for x in fractions], seed=1)
        return {r[0]: PARTS[p] for r, p in zip(records, part, strict=True)}
    if method == "graphpart":
        table = pd.read_csv(folder / "out.csv")
        names = dict(enumerate(PARTS))
        return {
            str(row.AC): names.get(int(row.cluster), "removed")
            for row in table.itertuples()
        }
    found = list((folder / "out").rglob("*splits.tsv"))
    if not found:  # DataSAIL ends well where it could not assign anything
        return {}
    table = pd.read_csv(found[0], sep="\t", dtype=str)
    return dict(zip(table.iloc[:, 0], table.iloc[:, 1], strict=True))


def audit(
    records: list[Record], parts: dict[str, str], threads: int, fractions: Sequence[str]
) -> dict[str, float]:
    """Kept, leaking and unbalanced, by an exhaustive search between the parts."""
    code = {part: i for i, part in enumerate(PARTS)}
    part = np.array([code.get(parts.get(name, "removed"), -1) for name, _, _ in records])
    definition = Definition()
    search.UNSURE_EVALUE, search.UNSURE_IDENTITY, search.UNSURE_COVERAGE = 300, 0.3, 0.5
    kept = np.flatnonzero(part >= 0)
    pairs = search_between(
        [records[i][2] for i in kept], np.zeros(len(kept), dtype=np.int64), part[kept],
        definition, sensitivity=None, least_score=SAMPLE_SCORE, threads=threads,
    )  # fmt: skip
    pairs = pairs.select(definition.holds(pairs))
    leaking = np.union1d(pairs.first, pairs.second)
    sizes = np.bincount(part[kept], minlength=3) / len(kept)
    strata = label_strata([label for _, label, _ in records])
    return {
        "kept": len(kept) / len(records),
        "crossing_pairs": count_pairs(pairs, np.ones(len(pairs), dtype=bool)),
        "leaking": len(leaking) / len(kept),
        "largest_identity": float(pairs.identity().max(initial=0)),
        "class_deviation": category_shares(strata, part, 3)[1],
        "size_deviation": float(np.abs(sizes - np.array(fractions, dtype=float)).max()),
    }


def own_audit(folder: Path) -> dict[str, float]:
    """What omicsai says of its own split."""
    told = json.loads((folder / "audit.json").read_text())
    check = told["checks"][-1]
    return {
        "kept": 1 - told["removed"] / sum(told["sequences"].values()),
        "audited": check["sequences_compared_with_all_other_parts"],
        "crossing_pairs": check["crossing_pairs"],
        "leaking_at_most": check["upper_95_leaking_fraction"],
        "class_deviation": told["class_deviation"],
        "size_deviation": told["size_deviation"],
    }


def main() -> None:
    """Run, audit and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--sets", nargs="+", default=["signalp", "deeploc", "ec"])
    parser.add_argument(
        "--methods", nargs="+", default=["omicsai", "cluster", "graphpart", "datasail"]
    )
    parser.add_argument("--rivals", type=Path, default=Path("rivals/bin"))
    parser.add_argument("--limit", type=int, default=1500, help="seconds for one run")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--fractions", nargs=3, default=FRACTIONS)
    arguments = parser.parse_args()
    data = (arguments.work / "data").resolve()
    data.mkdir(parents=True, exist_ok=True)
    rows = []
    for name in arguments.sets:
        records = list({record[0]: record for record in SETS[name]()}.values())
        write_inputs(data, name, records)
        for method in arguments.methods:
            folder = arguments.work / name / method
            if not (folder / "cost.json").is_file():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(parents=True)
                cost = run_method(
                    method, data, name, folder.resolve(), arguments.rivals.resolve(),
                    arguments.limit, arguments.threads, arguments.fractions,
                )  # fmt: skip
                (folder / "cost.json").write_text(json.dumps(cost))
            row = json.loads((folder / "cost.json").read_text())
            parts = (
                parts_of(method, folder, records, arguments.fractions)
                if row["ended"]
                else {}
            )
            row["assigned"] = bool(parts)
            if parts and len(records) >= LARGE:
                row |= own_audit(folder)
            elif parts:
                told = folder / "audit.by_all.json"
                if not told.is_file():
                    found = audit(records, parts, arguments.threads, arguments.fractions)
                    told.write_text(json.dumps(found))
                row |= json.loads(told.read_text())
            rows.append({"set": name, "n": len(records), "method": method, **row})
            print(rows[-1], file=sys.stderr, flush=True)
    print(pd.DataFrame(rows).to_string(index=False, float_format="%.4f"))


def write_inputs(data: Path, name: str, records: list[Record]) -> None:
    """Write the files that the methods read."""
    fasta = "".join(f">{key}\n{residues}\n" for key, _, residues in records)
    (data / f"{name}.fasta").write_text(fasta)
    table = "".join(f"{key}\t{label}\n" for key, label, _ in records)
    (data / f"{name}.tsv").write_text("id\tlabel\n" + table)
    single = "".join(
        f">{key}|label={label.split(';')[0] or 'none'}\n{residues}\n"
        for key, label, residues in records
    )
    (data / f"{name}.gp.fasta").write_text(single)


if __name__ == "__main__":
    main()
