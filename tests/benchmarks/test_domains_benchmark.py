"""Domains beside HMMER's own programs and MMseqs2, as ratios; run with -m benchmark."""

from __future__ import annotations

import gzip
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from omicsai.cli.build_profiles import product_name
from omicsai.domains import (
    DOMAINS,
    builtin_files,
    builtin_table,
    nearest_neighbours,
    open_library,
    profile_vectors,
    read_clans,
    resolve_overlaps,
    search_domains,
)
from omicsai.domains.build import UNNAMED
from omicsai.homology.mmseqs import run_mmseqs
from omicsai.sequences import Sequence, SequenceFile, canonical, parse_fasta, write_fasta

pytestmark = [pytest.mark.benchmark, pytest.mark.shared]


def measured(command: list[str | Path]) -> dict[str, float]:
    """Wall and CPU seconds and peak memory (MB) of a command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.monotonic()
    running = subprocess.Popen([*map(str, command)], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(running.pid, 0)
    assert status == 0, command
    del before
    return {
        "wall": time.monotonic() - started,
        "cpu": used.ru_utime + used.ru_stime,
        "peak_mb": used.ru_maxrss / 1024,
    }


def annotate(fasta: Path, out: Path, *more: str | Path) -> list[str | Path]:
    return [sys.executable, "-m", "omicsai", "annotate", fasta, "--threads", "2",
            "--out", out, *more]  # fmt: skip


@pytest.fixture(scope="module")
def ecoli(shared, tmp_path_factory):
    path = tmp_path_factory.mktemp("ecoli") / "ecoli.fasta"
    (source,) = (shared / "data/domains/ecoli").glob("*.fasta.gz")
    path.write_bytes(gzip.decompress(source.read_bytes()))
    return path


@pytest.mark.skipif(shutil.which("hmmscan") is None, reason="HMMER is not installed")
def test_the_proteome_as_hmmer_finds_it_and_faster(shared, ecoli, tmp_path):
    library = shared / "data/domains/pfam280_ga.hmm"
    pressed = tmp_path / "pressed.hmm"
    shutil.copy(library, pressed)
    subprocess.run(["hmmpress", pressed], check=True, capture_output=True)
    rounds: dict[str, list[dict[str, float]]] = {}
    for number in range(2):
        commands = {
            "omicsai": annotate(
                ecoli, tmp_path / f"ours{number}", "--profiles", library,
                "--resolution", "off",
            ),
            "hmmsearch": [
                "hmmsearch", "--cpu", "2", "--cut_ga", "-o", os.devnull, "--domtblout",
                tmp_path / "search.tbl", library, ecoli,
            ],
            "hmmscan": [
                "hmmscan", "--cpu", "2", "--cut_ga", "-o", os.devnull, "--domtblout",
                tmp_path / "scan.tbl", pressed, ecoli,
            ],
        }  # fmt: skip
        for name, command in commands.items():
            rounds.setdefault(name, []).append(measured(command))
    best = {
        name: {key: min(run[key] for run in runs) for key in runs[0]}
        for name, runs in rounds.items()
    }
    print(json.dumps(best, indent=2))
    ours = DOMAINS.read(tmp_path / "ours0" / "domains.tsv")
    theirs = _domtblout(tmp_path / "scan.tbl")
    key = ["id", "profile", "envelope_start", "envelope_end"]
    both = ours.merge(theirs, on=key, how="outer", indicator=True)
    print("domains", len(ours), "proteins", ours["id"].nunique())
    assert (both["_merge"] == "both").all()
    for name in ("score", "sequence_score", "bias", "sequence_bias"):
        assert (both[name] - both[f"{name}_hmmer"]).abs().max() < 0.0501, name
    for name in ("evalue", "conditional_evalue", "sequence_evalue"):
        known = both[f"{name}_hmmer"]
        away = (both[name] - known).abs() / known.clip(lower=1e-300)
        assert away.max() < 0.051, name  # HMMER prints two digits
    # the whole command: HMMER writes one table, we write eight files
    assert best["omicsai"]["cpu"] <= 1.15 * best["hmmsearch"]["cpu"]
    assert best["hmmscan"]["cpu"] >= 2.5 * best["omicsai"]["cpu"]


def _domtblout(path: Path) -> pd.DataFrame:
    rows = [
        line.split(maxsplit=22)
        for line in path.read_text().splitlines()
        if not line.startswith("#")
    ]
    return pd.DataFrame(
        {
            "id": [r[3] for r in rows],
            "profile": [r[0] for r in rows],
            "envelope_start": [int(r[19]) for r in rows],
            "envelope_end": [int(r[20]) for r in rows],
            **{
                f"{name}_hmmer": [float(r[k]) for r in rows]
                for name, k in {
                    "sequence_evalue": 6, "sequence_score": 7, "sequence_bias": 8,
                    "conditional_evalue": 11, "evalue": 12, "score": 13, "bias": 14,
                }.items()
            },
        }
    )  # fmt: skip


def test_memory_does_not_grow_with_the_batch(shared, tmp_path):
    corpus = shared / "data/proteins/corpus_dev_90k.fasta.xz"
    small = tmp_path / "few.hmm"
    from omicsai.domains import read_profiles, write_profiles

    write_profiles(read_profiles(shared / "data/domains/pfam280_ga.hmm")[::40], small)
    peaks = {}
    records = SequenceFile(corpus)
    for count in (1000, 10_000, 90_000):
        fasta = tmp_path / f"{count}.fasta"
        chosen = (record for record, _ in zip(records, range(count), strict=False))
        write_fasta(chosen, fasta)
        run = measured(annotate(fasta, tmp_path / str(count), "--profiles", small))
        peaks[count] = run["peak_mb"]
    print("peak MB", peaks)
    assert peaks[90_000] < 2.5 * peaks[1000]


AMINO_ACIDS = {
    "Alanine": "Ala", "Arginine": "Arg", "Asparagine": "Asn", "Aspartate": "Asp",
    "Cysteine": "Cys", "Glutamine": "Gln", "Glutamate": "Glu", "Glycine": "Gly",
    "Histidine": "His", "Isoleucine": "Ile", "Leucine": "Leu", "Lysine": "Lys",
    "Methionine": "Met", "Phenylalanine": "Phe", "Proline": "Pro", "Serine": "Ser",
    "Threonine": "Thr", "Tryptophan": "Trp", "Tyrosine": "Tyr", "Valine": "Val",
}  # fmt: skip


def test_the_shipped_library_names_the_amino_acid_of_synthetases(shared):
    records, truth = [], {}
    for raw in parse_fasta(shared / "data/domains/aars/aars_sequences.fasta"):
        residues, problem = canonical(raw.raw, "protein")
        assert not problem
        told = dict(word.split("=", 1) for word in raw.header.split()[1:] if "=" in word)
        if told["substrate"] in AMINO_ACIDS:
            records.append(Sequence(raw.id, residues))
            truth[raw.id] = AMINO_ACIDS[told["substrate"]]
    files = builtin_files()
    found = search_domains(records, open_library(files.profiles), threads=2)
    found = resolve_overlaps(found, read_clans(files.clans))
    charged = builtin_table().set_index("profile")["class"]
    cores = found[found["kept"].astype(bool)].assign(aa=found["profile"].map(charged))
    cores = cores[cores["aa"] != ""]
    best = cores.loc[cores.groupby("id")["sequence_score"].idxmax()].set_index("id")["aa"]
    right = pd.Series({key: best.get(key, "") == aa for key, aa in truth.items()})
    print(f"amino acid right: {right.sum()} of {len(right)} ({right.mean():.4f})")
    print("wrong:", [(k, truth[k], best.get(k, "none")) for k in right.index[~right]])
    by_acid = right.groupby(right.index.map(truth)).mean()
    print(by_acid.to_string())
    assert right.mean() >= 0.97


def test_the_shipped_synthetases_leave_other_proteins_alone(shared):
    """False hits per 1,000 named proteins that are no synthetase, in the whole corpus."""
    corpus = shared / "data/proteins/corpus_dev_90k.fasta.xz"
    related = re.compile(r"tRNA.*(synthetase|synthase|ligase)", re.IGNORECASE)
    told = {
        raw.id: product_name(raw.header) for raw in parse_fasta(corpus)
    }  # fmt: skip
    named = {key: name for key, name in told.items() if not UNNAMED.search(name)}
    unrelated = {key for key, name in named.items() if not related.search(name)}
    files = builtin_files()
    found = search_domains(SequenceFile(corpus), open_library(files.profiles), threads=2)
    found = resolve_overlaps(found, read_clans(files.clans))
    about = builtin_table().set_index("profile")
    found = found[found["kept"].astype(bool)].assign(
        family=found["profile"].map(about["family"]),
        aa=found["profile"].map(about["class"]),
    )
    core = found[found["aa"] != ""].drop_duplicates(["id", "family"])
    wrong = core[core["id"].isin(unrelated)]
    for row in wrong.itertuples():
        print(row.family, f"{row.sequence_score:.0f}", told[row.id][:80])
    rates = 1000 * wrong["family"].value_counts() / len(unrelated)
    every = 1000 * core[~core["id"].isin(named)]["family"].value_counts() / len(told)
    print(f"{len(unrelated)} unrelated proteins; false hits per 1,000:", rates.to_dict())
    print("hits on unnamed proteins per 1,000, most of them right:", every.to_dict())
    assert rates.max() <= 0.5


def test_nothing_was_built_from_the_synthetases_that_test_it(shared, tmp_path):
    """No protein behind a profile is 90 % identical to one of the 548."""
    members = {
        line.split("\t")[1]
        for line in (builtin_files().profiles.parent / "omicsai.members.tsv")
        .read_text()
        .splitlines()[1:]
    }
    corpus = SequenceFile(shared / "data/proteins/corpus_dev_90k.fasta.xz")
    built = [record for record in corpus if record.id in members]
    assert len(built) == len(members)
    write_fasta(built, tmp_path / "built.fasta")
    run_mmseqs(
        "easy-search", shared / "data/domains/aars/aars_sequences.fasta",
        tmp_path / "built.fasta", tmp_path / "hits.tsv", tmp_path / "tmp", "-s", 7.5,
        "--max-seqs", 1000, "--format-output", "query,target,fident,qcov,tcov",
        threads=2,
    )  # fmt: skip
    hits = pd.read_csv(
        tmp_path / "hits.tsv", sep="\t", names=["query", "target", "identity", "q", "t"]
    )
    whole = hits[np.maximum(hits["q"], hits["t"]) >= 0.5]
    print("largest identity over half of either:", whole["identity"].max())
    assert whole["identity"].max() < 0.9


def test_profile_vectors_find_superfamilies(shared, tmp_path):
    """Is the nearest other domain of the same superfamily? Beside MMseqs2 and chance."""
    table = pd.read_csv(shared / "data/labelled/scop40_labelled.tsv", sep="\t")
    group = table["superfamily"].to_numpy()
    size = table["superfamily"].map(table["superfamily"].value_counts()).to_numpy()
    records = [
        Sequence(str(i), canonical(text, "protein")[0])
        for i, text in enumerate(table["sequence"])
    ]
    asked = np.flatnonzero(size > 1)
    chance = ((size - 1) / (len(table) - 1))[asked].mean()

    started = time.process_time()
    found = [
        search_domains(
            records, open_library(path), cutoff="evalue", evalue=100.0, z=424, threads=2
        )
        for path in (
            shared / "data/domains/pfam280_ga.hmm", builtin_files().profiles,
        )
    ]  # fmt: skip
    vectors, names = profile_vectors(pd.concat(found), [r.id for r in records])
    neighbours, distances = nearest_neighbours(vectors, 1)
    spent = time.process_time() - started
    reached = distances[:, 0] < 1
    right = reached & (group[neighbours[:, 0]] == group)

    fasta = tmp_path / "scop.fasta"
    write_fasta(records, fasta)
    run_mmseqs(
        "easy-search", fasta, fasta, tmp_path / "hits.tsv", tmp_path / "tmp", "-s", 7.5,
        "-e", 100, "--max-seqs", 300, "--format-output", "query,target,evalue", threads=2,
    )  # fmt: skip
    hits = pd.read_csv(tmp_path / "hits.tsv", sep="\t", names=["query", "target", "e"])
    hits = hits[hits["query"] != hits["target"]].sort_values("e", kind="stable")
    top = hits.drop_duplicates("query").set_index("query")["target"]
    best = top.reindex(range(len(table))).fillna(-1).to_numpy(dtype=int)
    mmseqs_right = (best >= 0) & (group[best] == group)

    def told(name, answers, correct):
        print(
            f"{name}: {len(asked)} queries, answered {answers[asked].mean():.3f}, "
            f"right {correct[asked].mean():.3f}, right of answered "
            f"{correct[asked].sum() / answers[asked].sum():.3f}"
        )

    print(f"chance {chance:.4f}; {len(names)} profiles; vectors took {spent:.0f} CPU s")
    told("profile vectors", reached, right)
    told("MMseqs2", best >= 0, mmseqs_right)
    covered = asked[reached[asked]]
    print(
        f"queries that vectors answer ({len(covered)}): vectors "
        f"{right[covered].mean():.3f}, MMseqs2 {mmseqs_right[covered].mean():.3f}"
    )
    assert right[asked].mean() > 3 * chance
