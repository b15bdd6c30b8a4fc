"""The commands: what they write, what they say, what they load."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pandas as pd
import pytest

from omicsai.cli import STAGES, main
from omicsai.cli.inputs import labels_of, pooled_labels, pooled_sequences
from omicsai.embedding import read_embeddings, write_embeddings
from omicsai.errors import InputError
from omicsai.sequences import parse_fasta, read_sequences

# trust by time alone: even a small and uncertain model overrules some labels
QUICK = ["--members", "2", "--epochs", "25", "--trust", "global"]
LIGHT = """
import json, sys
from omicsai.cli import main
for command in json.loads(sys.argv[1]):
    try:
        code = main(command)
    except SystemExit as stop:
        code = stop.code
    assert code == 0, command
    print("LOADED", *sorted({name.split(".")[0] for name in sys.modules}))
"""


def read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, sep="\t", keep_default_na=False)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory, run_omicsai) -> SimpleNamespace:
    """All commands by hand, on simulated proteins whose ids hold a slash."""
    root = tmp_path_factory.mktemp("commands")
    run = run_omicsai
    example, known, new, split = (root / n for n in ("example", "known", "new", "split"))
    small = ["--classes", "3", "--family-size", "5", "--near-duplicates", "6"]
    assert run("simulate", *small, "--seed", "1", "--out", example) == 0
    for file in ("known.fasta", "known.labels.tsv", "new.fasta", "truth.tsv"):
        text = (example / file).read_text()
        (example / file).write_text(text.replace("SIM0", "S/IM%0|"))
    commands = [
        ["--help"],
        ["check", "example/known.fasta", "--labels", "example/known.labels.tsv",
         "--out", "known"],
        ["check", "example/new.fasta", "--out", "new"],
        ["split", "known/sequences.fasta", "--labels", "known/records.tsv", "--identity",
         "0.3", "--coverage", "0.5", "--folds", "3", "--seed", "1", "--out", "split"],
    ]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", LIGHT, json.dumps(commands)],
        cwd=root, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    loaded = [
        set(line.split()[1:])
        for line in done.stdout.splitlines()
        if line.startswith("LOADED")
    ]
    for batch in (known, new):
        fasta = batch / "sequences.fasta"
        assert run("annotate", fasta, "--profiles", "builtin", "--cutoff", "gathering",
                   "--out", batch) == 0  # fmt: skip
        assert run("embed", fasta, "--encoder", "composition", "--out",
                   batch / "embeddings.h5") == 0  # fmt: skip
    data = ["--embeddings", known / "embeddings.h5", "--labels", known / "records.tsv"]
    for name, loss in (("model", "proselflc"), ("control", "cross_entropy")):
        assert run("train", *data, "--split", split / "split.tsv", "--loss", loss, *QUICK,
                   "--seed", "1", "--out", root / name) == 0  # fmt: skip
    assert run("evaluate", root / "model", *data, "--control", root / "control",
               "--resamples", "100", "--out", root / "evaluation") == 0  # fmt: skip
    assert run("predict", root / "model", "--embeddings", new / "embeddings.h5", "--out",
               new / "predictions.tsv") == 0  # fmt: skip
    return SimpleNamespace(
        root=root, example=example, known=known, new=new, split=split, loaded=loaded,
        model=root / "model", data=data, ids=list(read(known / "records.tsv")["id"]),
    )  # fmt: skip


# --- help and imports ------------------------------------------------------------------


def test_help_check_and_split_load_nothing_heavy(pipeline):
    heavy = {"torch", "transformers", "pyhmmer", "sklearn", "matplotlib", "snakemake"}
    for loaded in pipeline.loaded:
        assert not loaded & heavy
    assert "pandas" not in pipeline.loaded[0]  # --help alone


def test_the_help_names_every_stage(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    told = capsys.readouterr().out
    assert all(re.search(rf"^ +{stage}( |$)", told, re.MULTILINE) for stage in STAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_shows_an_example_that_its_parser_takes(stage, capsys):
    from omicsai.cli import build_parser

    with pytest.raises(SystemExit):
        main([stage, "--help"])
    example = capsys.readouterr().out.split("example:\n")[1].strip()
    assert example.startswith(f"omicsai {stage} ")
    arguments = build_parser().parse_args(example.split()[1:])
    assert arguments.stage == stage


def test_the_version_is_told(capsys):
    from omicsai.version import __version__

    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"omicsai {__version__}\n"


# --- what the commands write -----------------------------------------------------------


def test_check_accounts_for_every_record(pipeline):
    records = list(parse_fasta(pipeline.example / "known.fasta"))
    tables = [
        read(pipeline.known / f"{n}.tsv") for n in ("records", "duplicates", "rejected")
    ]
    own = tables[2]["file"] == "known.fasta"
    lines = [*tables[0]["line"], *tables[1]["line"], *tables[2]["line"][own]]
    assert sorted(lines) == sorted(record.line for record in records)
    sequences = read_sequences(pipeline.known / "sequences.fasta")
    assert [s.id for s in sequences] == list(tables[0]["id"])
    assert any("/" in key and "%" in key and "|" in key for key in pipeline.ids)


def test_split_writes_what_scripts_rely_on(pipeline):
    split = read(pipeline.split / "split.tsv")
    assert list(split.columns)[:3] == ["id", "part", "cluster"]
    assert list(split["id"]) == pipeline.ids
    assert {"train", "validation", "test"} <= set(split["part"])
    audit = json.loads((pipeline.split / "audit.json").read_text())
    assert audit["sequences"] == split["part"].value_counts().to_dict()
    crossing = read(pipeline.split / "crossing.tsv")
    assert audit["crossing_pairs"]["coverage_of_either"] == len(crossing)
    assert read(pipeline.split / "clusters.tsv")["size"].sum() == len(split)
    assert not (pipeline.split / ".searched").exists()


def test_annotate_writes_what_scripts_rely_on(pipeline):
    domains = read(pipeline.known / "domains.tsv")
    assert {
        "id", "profile", "accession", "start", "end", "envelope_start", "envelope_end",
        "score", "evalue",
    } <= set(domains.columns)  # fmt: skip
    assert len(domains)
    assert list(read(pipeline.known / "architectures.tsv")["id"]) == pipeline.ids
    gff3 = (pipeline.known / "domains.gff3").read_text().splitlines()
    assert gff3[0] == "##gff-version 3"
    assert sum(not line.startswith("#") for line in gff3) == len(domains)


def test_embed_writes_one_float_dataset_per_id(pipeline):
    with h5py.File(pipeline.known / "embeddings.h5") as file:
        ids = [dataset.attrs["original_id"] for dataset in file.values()]
        assert sorted(ids) == sorted(pipeline.ids)
        assert {d.shape for d in file.values()} == {(427,)}
        assert {d.dtype for d in file.values()} == {np.dtype("float32")}
        assert file.attrs["encoder"] == "composition"


def test_train_writes_what_scripts_rely_on(pipeline):
    names = {path.name for path in pipeline.model.iterdir()}
    assert {
        "weights.safetensors", "model.json", "history.tsv", "pilot.tsv",
        "suspected_mislabels.tsv",
    } <= names  # fmt: skip
    suspects = read(pipeline.model / "suspected_mislabels.tsv")
    assert {"id", "given", "proposed", "probability"} <= set(suspects.columns)
    split = read(pipeline.split / "split.tsv")
    seen = set(split["id"][split["part"] != "test"])
    assert 0 < len(suspects) < len(seen)
    assert set(suspects["id"]) <= seen
    assert set(read(pipeline.model / "history.tsv")["epoch"]) == set(range(1, 26))


def test_evaluate_writes_what_scripts_rely_on(pipeline):
    metrics = json.loads((pipeline.root / "evaluation/metrics.json").read_text())
    split = read(pipeline.split / "split.tsv")
    records = read(pipeline.known / "records.tsv")
    labelled = set(records["id"][records["label"] != ""])
    expected = set(split["id"][split["part"] == "test"]) & labelled
    tested = read(pipeline.root / "evaluation/tested.tsv")
    assert set(tested["id"]) == expected
    assert metrics["sequences"] == len(expected)
    for name in ("accuracy", "macro_f1", "mcc", "nll", "ece"):
        low, high = metrics["intervals"][name]
        assert low <= high
        assert {name, "intervals"} <= set(metrics["control"])
        assert name in metrics["difference"]
        assert isinstance(metrics[name], float)


def test_predict_writes_what_scripts_rely_on(pipeline):
    table = read(pipeline.new / "predictions.tsv")
    assert {"id", "label", "probability", "novelty"} <= set(table.columns)
    new = [record.id for record in read_sequences(pipeline.new / "sequences.fasta")]
    assert sorted(table["id"]) == sorted(new)
    assert set(table["label"]) <= {"His", "Trp", "Tyr"}
    assert table["probability"].between(0, 1).all()
    assert set(table["nearest_id"]) <= set(pipeline.ids)


def test_every_stage_says_what_made_it(pipeline):
    for place, stage in (
        ("example/simulate", "simulate"), ("known/check", "check"),
        ("split/split", "split"), ("known/annotate", "annotate"),
        ("known/embeddings", "embed"), ("model/train", "train"),
        ("evaluation/evaluate", "evaluate"), ("new/predict", "predict"),
    ):  # fmt: skip
        told = json.loads((pipeline.root / f"{place}.provenance.json").read_text())
        assert told["stage"] == stage
        assert told["options"]
        for file in told["inputs"].values():
            assert "/" not in file["file"]
            assert len(file["sha256"]) == 64


def test_no_half_written_file_stays_behind(pipeline):
    assert not list(pipeline.root.rglob("*.part"))


def test_equal_commands_give_equal_bytes(pipeline, run_omicsai, tmp_path):
    again = tmp_path / "model"
    assert run_omicsai("train", *pipeline.data, "--split", pipeline.split / "split.tsv",
                       "--loss", "proselflc", *QUICK, "--out", again) == 0  # fmt: skip
    for path in pipeline.model.iterdir():
        assert (again / path.name).read_bytes() == path.read_bytes(), path.name
    new = pipeline.new / "embeddings.h5"
    out = tmp_path / "predictions.tsv"
    assert run_omicsai("predict", again, "--embeddings", new, "--out", out) == 0
    assert out.read_bytes() == (pipeline.new / "predictions.tsv").read_bytes()


def test_a_split_by_hand_needs_only_id_part_and_cluster(pipeline, run_omicsai, tmp_path):
    split = read(pipeline.split / "split.tsv")
    split[["cluster", "id", "part"]].to_csv(tmp_path / "s.tsv", sep="\t", index=False)
    out = tmp_path / "model"
    assert run_omicsai("train", *pipeline.data, "--split", tmp_path / "s.tsv", *QUICK,
                       "--out", out) == 0  # fmt: skip
    suspects = read(out / "suspected_mislabels.tsv")
    assert set(suspects["part"]) == {"validation"}


def test_sequences_removed_from_a_split_are_neither_trained_on_nor_tested(
    pipeline, run_omicsai, tmp_path
):
    split = read(pipeline.split / "split.tsv")
    removed = split.index % 9 == 0
    split.loc[removed, "part"] = "removed"
    split.to_csv(tmp_path / "s.tsv", sep="\t", index=False)
    model, out = tmp_path / "model", tmp_path / "evaluation"
    assert run_omicsai("train", *pipeline.data, "--split", tmp_path / "s.tsv", *QUICK,
                       "--out", model) == 0  # fmt: skip
    code = run_omicsai(
        "evaluate", model, *pipeline.data, "--resamples", "100", "--out", out
    )
    assert code == 0
    gone = set(split["id"][removed])
    assert not set(read(model / "suspected_mislabels.tsv")["id"]) & gone
    assert not set(read(out / "tested.tsv")["id"]) & gone


def test_several_labels_are_left_out_of_training_with_a_warning(
    pipeline, run_omicsai, tmp_path, capsys
):
    records = read(pipeline.known / "records.tsv")
    records.loc[records.index % 5 == 0, "label"] = "His;Trp"
    records.to_csv(tmp_path / "l.tsv", sep="\t", index=False)
    embeddings = pipeline.known / "embeddings.h5"
    assert run_omicsai("train", "--embeddings", embeddings, "--labels", tmp_path / "l.tsv",
                       "--split", pipeline.split / "split.tsv", *QUICK, "--out",
                       tmp_path / "model") == 0  # fmt: skip
    assert "have several labels and are left out of training" in capsys.readouterr().err
    about = json.loads((tmp_path / "model/model.json").read_text())
    assert about["classes"] == ["His", "Trp", "Tyr"]


def test_a_batch_of_its_own_is_evaluated_as_new(pipeline, run_omicsai, tmp_path):
    truth = read(pipeline.example / "truth.tsv")
    new = truth[(truth["batch"] == "new") & (truth["true_label"] != "")]
    labels = new[["id", "true_label"]].rename(columns={"true_label": "class"})
    labels.to_csv(tmp_path / "l.tsv", sep="\t", index=False)
    code = run_omicsai("evaluate", pipeline.model, "--embeddings",
                       pipeline.new / "embeddings.h5", "--labels", tmp_path / "l.tsv",
                       "--label-column", "class", "--resamples", "100", "--out",
                       tmp_path / "e")  # fmt: skip
    assert code == 0
    assert set(read(tmp_path / "e/tested.tsv")["id"]) == set(new["id"])


def test_light_attention_is_trained_on_vectors_of_residues(
    pipeline, run_omicsai, tmp_path, capsys
):
    def write(batch: Path) -> Path:
        path = tmp_path / f"{batch.name}.h5"
        with h5py.File(path, "w") as file:
            for record in read_sequences(batch / "sequences.fasta"):
                letters = np.frombuffer(record.residues[:60].encode(), np.uint8)
                one_hot = (letters[:, None] == np.arange(65, 91)).astype(np.float16)
                name = record.id.replace("%", "%25").replace("/", "%2F")
                file.create_dataset(name, data=one_hot).attrs["original_id"] = record.id
        return path

    known, new = write(pipeline.known), write(pipeline.new)
    data = ["--embeddings", known, *pipeline.data[2:]]
    split = ["--split", pipeline.split / "split.tsv"]
    few = ["--members", "1", "--epochs", "2", "--hidden", "4", "--weight-decay", "1"]
    model = tmp_path / "model"
    code = run_omicsai(
        "train", *data, *split, *few, "--loss", "cross_entropy", "--out", model
    )
    assert code == 0
    about = json.loads((model / "model.json").read_text())
    assert about["settings"]["head"] == "light_attention"
    out = tmp_path / "evaluation"
    assert run_omicsai("evaluate", model, *data, "--resamples", "100", "--out", out) == 0
    told = tmp_path / "predictions.tsv"
    assert run_omicsai("predict", model, "--embeddings", new, "--out", told) == 0
    ids = [record.id for record in read_sequences(pipeline.new / "sequences.fasta")]
    assert list(read(told)["id"]) == sorted(ids)
    capsys.readouterr()
    code = run_omicsai("train", *data, *split, "--task", "multi", "--out", tmp_path / "m")
    assert code != 0
    assert "expected one float vector per protein" in capsys.readouterr().err


# --- a killed run ----------------------------------------------------------------------


def test_an_interrupted_embed_resumes_to_the_same_bytes(
    pipeline, run_omicsai, tmp_path, monkeypatch, capsys
):
    import omicsai.embedding.encoders as encoders

    whole, calls = encoders.composition, []

    def dying(residues: str) -> np.ndarray:
        calls.append(residues)
        if len(calls) == 40:
            raise KeyboardInterrupt
        return whole(residues)

    fasta, out = pipeline.known / "sequences.fasta", tmp_path / "known.h5"
    command = ("embed", fasta, "--store", tmp_path / "store", "--out", out)
    monkeypatch.setattr("omicsai.embedding.embed.PART_SECONDS", 0.0)
    monkeypatch.setattr(encoders, "TOKENS", 500)
    monkeypatch.setattr(encoders, "composition", dying)
    assert run_omicsai(*command) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "omicsai embed: interrupted"
    assert not out.exists()
    parts = list((tmp_path / "store").rglob("part-*"))
    assert parts
    parts[0].write_bytes(parts[0].read_bytes()[:100])  # and one part is damaged
    assert run_omicsai(*command) == 0
    assert out.read_bytes() == (pipeline.known / "embeddings.h5").read_bytes()
    repeated = [residues for residues in calls[40:] if residues in calls[:39]]
    assert len(repeated) < 39  # most of the first run was kept
    calls.clear()
    assert run_omicsai(*command) == 0
    assert calls == []


# --- errors ----------------------------------------------------------------------------


def told(run_omicsai, capsys, stage: str, *arguments) -> str:
    """Message of a command that fails: one line, no traceback, exit code 1."""
    capsys.readouterr()
    assert run_omicsai(stage, *arguments) == 1
    lines = capsys.readouterr().err.splitlines()
    own = [line for line in lines if line.startswith(f"omicsai {stage}:")]
    assert len(own) == 1
    assert lines[-1] == own[0]
    assert "Traceback" not in "\n".join(lines)
    return own[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("check", "none.fasta"), "none.fasta does not exist: check the path"),
        (("check", "."), ". is a folder, not a file"),
        (("check", "table.tsv"), "table.tsv, line 1: expected a FASTA header"),
        (("check", "empty.fasta"), "empty.fasta is empty"),
        (("check", "a.fasta", "--labels", "header"), "'check.header_pattern' (--header-p"),
        (("check", "a.fasta", "--labels", "other.tsv"), "none of its 1 ids is in a.fasta"),
        (("check", "a.fasta", "--min-length", "0"), "--min-length '0': input should"),
        (("check", "a.fasta", "--min-length", "x"), "--min-length 'x': input should"),
        (("split", "bad.fasta"), "bad.fasta, line 3, record 'b': stop codon inside"),
        (("split", "a.fasta", "b.fasta"), "id 'a' names one sequence in a.fasta and"),
        (("split", "a.fasta", "--labels", "other.tsv"), "none of the 1 labels is for one"),
        (("split", "a.fasta", "--pin", "nowhere"), "nowhere is no file: --pin takes one"),
        (("split", "a.fasta", "--stratify", "x"), "columns of the label tables: give --"),
        (("split", "a.fasta", "--identity", "30"), "--identity '30': input should"),
        (("annotate", "a.fasta", "--profiles", "none.hmm"), "none.hmm does not exist"),
        (("annotate", "a.fasta", "--profiles", "table.tsv"), "not a readable HMMER3"),
        (("annotate", "a.fasta", "--cutoff", "ga"), "not one of gathering, trusted"),
        (("embed", "bad.fasta"), "line 3, record 'b'"),
        (("embed", "a.fasta", "--encoder", "./none"), "'./none' does not exist: 'embed.en"),
        (("embed", "a.fasta", "--encoder", "folder"), "folder is not a model folder"),
        (("evaluate", "folder", "--embeddings", "e.h5", "--labels", "other.tsv"),
         "folder is not a model folder: weights.safetensors is missing"),
        (("predict", "folder", "--embeddings", "e.h5"), "folder is not a model folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)  # fmt: skip
def test_an_error_is_one_line_that_names_the_remedy(
    run_omicsai, capsys, write, tmp_path, monkeypatch, arguments, message
):
    write("a.fasta", ">a\nMKTAYIAKQR\n")
    write("b.fasta", ">a\nMKTAYIAKQRQ\n")
    write("bad.fasta", ">a\nMKTAYIAKQR\n>b\nMKT*AYIAKQR\n")
    write("empty.fasta", "")
    write("table.tsv", "id\tlabel\na\tx\n")
    write("other.tsv", "id\tlabel\nz\tx\n")
    write("folder/note.txt", "")
    monkeypatch.chdir(tmp_path)
    assert message in told(run_omicsai, capsys, *arguments, "--out", "out")
    assert not (tmp_path / "out").exists()


def test_what_does_not_go_together_is_one_line(pipeline, run_omicsai, capsys, tmp_path):
    split = pipeline.split / "split.tsv"
    new = pipeline.new / "embeddings.h5"
    labels = pipeline.known / "records.tsv"
    line = told(run_omicsai, capsys, "train", "--embeddings", new, "--labels", labels,
                "--split", split, "--out", tmp_path / "m")  # fmt: skip
    assert "have no embedding, for example 'S/IM%0|" in line
    with h5py.File(new) as own, h5py.File(tmp_path / "other.h5", "w") as other:
        other.attrs["encoder"] = "prot_t5"
        for name, dataset in own.items():
            other[name] = dataset[()]
    line = told(run_omicsai, capsys, "predict", pipeline.model, "--embeddings",
                tmp_path / "other.h5", "--out", tmp_path / "p.tsv")  # fmt: skip
    assert "the embeddings come from prot_t5" in line
    assert "embed with the same encoder" in line


def test_evaluate_too_refuses_the_embeddings_of_another_encoder(
    pipeline, run_omicsai, capsys, tmp_path
):
    with (
        h5py.File(pipeline.known / "embeddings.h5") as own,
        h5py.File(tmp_path / "other.h5", "w") as other,
    ):
        other.attrs["encoder"] = "prot_t5"
        for dataset in own.values():
            name = dataset.name.lstrip("/")
            other[name] = dataset[()]
            other[name].attrs["original_id"] = dataset.attrs["original_id"]
    labels = pipeline.known / "records.tsv"
    line = told(run_omicsai, capsys, "evaluate", pipeline.model, "--embeddings",
                tmp_path / "other.h5", "--labels", labels, "--resamples", "100",
                "--out", tmp_path / "e")  # fmt: skip
    assert "the embeddings come from prot_t5" in line


@pytest.mark.parametrize("row", ["a\ttrain\tc\t1\textra", "a\ttrain\tc\tone"])
def test_a_broken_split_table_is_one_line(pipeline, run_omicsai, capsys, tmp_path, row):
    path = tmp_path / "s.tsv"
    path.write_text(f"id\tpart\tcluster\tfold\nb\ttrain\tc\t1\n{row}\n")
    line = told(run_omicsai, capsys, "train", *pipeline.data, "--split", path,
                "--out", tmp_path / "m")  # fmt: skip
    assert "s.tsv" in line


def test_a_model_without_test_sequences_is_one_line(
    pipeline, run_omicsai, capsys, tmp_path
):
    labels = read(pipeline.known / "records.tsv")
    split = read(pipeline.split / "split.tsv")
    labels = labels[(split["part"] == "train").to_numpy()]
    labels.to_csv(tmp_path / "l.tsv", sep="\t", index=False)
    line = told(run_omicsai, capsys, "evaluate", pipeline.model, "--embeddings",
                pipeline.known / "embeddings.h5", "--labels", tmp_path / "l.tsv",
                "--out", tmp_path / "e")  # fmt: skip
    assert "no sequence to evaluate on: every labelled one was used in training" in line


def test_a_place_that_cannot_be_written_is_one_line(run_omicsai, capsys, write):
    fasta = write("a.fasta", ">a\nMKTAYIAKQR\n")
    line = told(run_omicsai, capsys, "check", fasta, "--out", fasta / "inside")
    assert "cannot write" in line
    assert "choose another --out" in line


def test_an_unforeseen_error_is_one_line_too(run_omicsai, capsys, write, monkeypatch):
    monkeypatch.setattr("omicsai.sequences.check_batch", lambda *a, **k: 1 / 0)
    fasta = write("a.fasta", ">a\nMKTAYIAKQR\n")
    line = told(run_omicsai, capsys, "check", fasta, "--out", "out")
    assert "unexpected ZeroDivisionError" in line
    assert "--debug" in line


def test_no_help_shows_python_types(capsys):
    for stage in STAGES:
        with pytest.raises(SystemExit):
            main([stage, "--help"])
        assert "typing." not in capsys.readouterr().out


def test_a_copy_of_a_training_sequence_under_another_id_is_not_tested(
    run_omicsai, pipeline, tmp_path
):
    root = pipeline.model.parent
    ids, vectors, about = read_embeddings(root / "known" / "embeddings.h5")
    split = (root / "split" / "split.tsv").read_text().splitlines()
    train = next(line.split("\t")[0] for line in split if "\ttrain\t" in line)
    test = next(line.split("\t")[0] for line in split if "\ttest\t" in line)
    rows = vectors[[ids.index(train), ids.index(test)]]
    write_embeddings(tmp_path / "e.h5", ["copy", "other"], rows, about)
    label = json.loads((root / "model" / "model.json").read_text())["classes"][0]
    (tmp_path / "l.tsv").write_text(f"id\tlabel\ncopy\t{label}\nother\t{label}\n")
    out = tmp_path / "out"
    assert not run_omicsai(
        "evaluate", root / "model", "--embeddings", tmp_path / "e.h5", "--labels",
        tmp_path / "l.tsv", "--resamples", "100", "--out", out,
    )  # fmt: skip
    metrics = json.loads((out / "metrics.json").read_text())
    assert (metrics["sequences"], metrics["copies_left_out"]) == (1, 1)


def test_debug_shows_the_traceback(run_omicsai, tmp_path):
    with pytest.raises(InputError, match=r"none\.fasta does not exist"):
        run_omicsai("check", tmp_path / "none.fasta", "--out", tmp_path, "--debug")


@pytest.mark.parametrize(
    "arguments", [[], ["nope"], ["check"], ["check", "a.fasta", "--nope", "1"]]
)
def test_a_wrong_command_line_exits_with_2(arguments):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2


# --- reading several batches -----------------------------------------------------------


def test_batches_are_pooled_by_id(write):
    one = write("one.fasta", ">a\nMKTAYIAKQR\n>b\nGWHHEDLLNC\n")
    two = write("two.fasta", ">b\ngwhhedllnc*\n>c\nPLVVSTRNDE\n")
    assert [s.id for s in pooled_sequences([one, two])] == ["a", "b", "c"]


def test_labels_of_batches_must_agree_where_both_are_known(write):
    one = write("one.tsv", "id\tlabel\na\tx\nb\t\n")
    two = write("two.tsv", "id\tlabel\na\t\nb\ty\nc\tz\n")
    other = write("other.tsv", "id\tlabel\na\ty\n")
    assert pooled_labels([one, two]) == {"a": "x", "b": "y", "c": "z"}
    with pytest.raises(InputError, match="id 'a' has the label 'y' here and 'x' in anoth"):
        pooled_labels([one, other])


def test_labels_are_found_by_id_or_accession():
    labels = {"P1": "x", "b": "y"}
    assert labels_of(["sp|P1|NAME", "b", "c"], labels) == ["x", "y", ""]
    assert labels_of(["c"], {}) == [""]
    with pytest.raises(InputError, match="none of the 2 labels is for one of the 1 seq"):
        labels_of(["c"], labels)


def test_a_file_that_an_option_swallowed_is_named(run_omicsai, capsys, write):
    fasta = write("a.fasta", ">a\nMKT\n")
    for option in (["--fractions", ".8", ".1", ".1"], ["--keep-for-training"]):
        line = told(run_omicsai, capsys, "split", fasta, *option, fasta, "--out", "o")
        assert line.endswith(f"write the file '{fasta}' before it")


def test_ids_to_keep_are_found_by_accession_or_refused(
    pipeline, run_omicsai, capsys, write, tmp_path
):
    records = read_sequences(pipeline.known / "sequences.fasta")[:40]
    text = "".join(f">sp|P{i}|X\n{r.residues}\n" for i, r in enumerate(records))
    fasta, kept = write("a.fasta", text), write("keep.tsv", "id\tpart\nP0\ttest\n")
    command = ("split", fasta, "--compare=false", "--identity", "0.9", "--out")
    assert run_omicsai(*command, tmp_path / "o", "--keep", kept) == 0
    made = read(tmp_path / "o" / "split.tsv").set_index("id")
    assert made.at["sp|P0|X", "part"] == "test"
    pins = write("pins.txt", "nobody\n")
    line = told(run_omicsai, capsys, *command, tmp_path / "p", "--pin", pins)
    assert "1 ids of" in line
    assert "for example 'nobody'" in line


def test_a_terminated_command_leaves_no_temporary_folder(tmp_path):
    script = """
import sys, tempfile, time
from omicsai.cli import main, store
def run(arguments):
    with tempfile.TemporaryDirectory(dir=sys.argv[1]):
        print("started", flush=True)
        time.sleep(60)
store.run = run
main(["store", "list", sys.argv[1]])
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "started\n"
    assert list(tmp_path.iterdir())
    process.terminate()
    assert process.wait(30) == 128 + 15
    assert not list(tmp_path.iterdir())
