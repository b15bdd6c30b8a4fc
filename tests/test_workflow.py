"""The workflow end to end, in a folder of its own, on a small simulated data set."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml

from omicsai.config import Config
from omicsai.domains import builtin_files
from omicsai.schemas import generated_files

ROOT = Path(__file__).parent.parent
SMALL = {
    "simulate": {"classes": 3, "family_size": 5, "near_duplicates": 6},
    "train": {"members": 2, "epochs": 4},
    "evaluate": {"resamples": 100},
}
BATCHES = (
    "batch\trole\tmolecule\tfasta\tlabels\n"
    "known\ttrain\tprotein\texample/known.fasta\texample/known.labels.tsv\n"
    "new\tpredict\tprotein\texample/new.fasta\t\n"
)
GENERATED = generated_files()
STAGES = ["check", "split", "annotate", "embed", "train", "evaluate", "predict", "report"]
# what may differ between two equal runs: times, and the page that shows them
VARYING = {"logs", "benchmarks", "report.html", ".snakemake"}

pytestmark = pytest.mark.workflow


def new_project(folder: Path, batches: str = BATCHES, **config) -> Path:
    (folder / "config").mkdir(parents=True)
    (folder / "config" / "batches.tsv").write_text(batches)
    (folder / "config" / "small.yaml").write_text(yaml.safe_dump(SMALL | config))
    return folder


def command(folder: Path, *arguments: str) -> list[str]:
    return [
        sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"),
        "-d", str(folder), "--configfile", str(folder / "config" / "small.yaml"),
        "--cores", "2", *arguments,
    ]  # fmt: skip


def environment() -> dict[str, str]:
    """The omicsai command of this interpreter comes first on PATH."""
    return os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def snakemake(folder: Path, *arguments: str, ok: bool = True) -> str:
    done = subprocess.run(
        command(folder, *arguments), capture_output=True, text=True, env=environment()
    )
    output = done.stdout + done.stderr
    assert (done.returncode == 0) == ok, output
    return output


def digests(folder: Path) -> dict[str, str]:
    """Digest of every file of the results and the example, by path."""
    files = [p for part in ("results", "example") for p in (folder / part).rglob("*")]
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(files)
        if p.is_file() and not VARYING & set(p.relative_to(folder).parts)
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    folder = new_project(tmp_path_factory.mktemp("finished") / "run")
    snakemake(folder)
    return folder


@pytest.fixture
def copied(finished, tmp_path) -> Path:
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    return folder


def test_run_makes_every_promised_file(finished):
    results = finished / "results"
    for name in (
        "batches/known/sequences.fasta", "batches/known/records.tsv",
        "batches/known/rejected.tsv", "batches/known/domains.tsv",
        "batches/known/architectures.tsv", "batches/known/domains.gff3",
        "batches/new/embeddings.h5", "batches/new/predictions.tsv",
        "split/split.tsv", "split/audit.json", "split/clusters.tsv",
        "model/weights.safetensors", "model/model.json", "model/history.tsv",
        "model/pilot.tsv", "model/suspected_mislabels.tsv", "control/weights.safetensors",
        "evaluation/metrics.json", "report.html",
    ):  # fmt: skip
        assert (results / name).stat().st_size > 0, name


def test_page_is_self_contained_and_tells_the_positive_control(finished):
    page = (finished / "results" / "report.html").read_text()
    assert "Positive control" in page
    for word in ("src=", "<link", "@import", "url("):
        assert word not in page.replace("url(#", "").replace('src="data:', ""), word
    assert "Short runs judged by the validation part chose the model" in page
    order = [page.index(f'<section id="{name}"') for name in (
        "summary", "data", "split", "domains", "map", "learning", "calibration",
        "mislabels", "novel", "predictions", "provenance",
    )]  # fmt: skip
    assert order == sorted(order)


def test_second_run_has_nothing_to_do(finished):
    assert "Nothing to be done" in snakemake(finished, "-n")


def test_new_batch_runs_only_its_jobs_and_the_report(copied):
    before = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in _results(copied)}
    with (copied / "config" / "batches.tsv").open("a") as table:
        table.write("more\tpredict\tprotein\tmore.fasta\t\n")
    shutil.copy(copied / "example" / "new.fasta", copied / "more.fasta")
    planned = _jobs(snakemake(copied, "-n"))
    assert planned == {
        "check_batch": 1, "annotate_batch": 1, "embed_batch": 1, "predict_batch": 1,
        "write_report": 1, "all": 1,
    }  # fmt: skip
    snakemake(copied)
    for path, (modified, content) in before.items():
        if path.name != "report.html" and not VARYING & set(path.parts):
            assert path.stat().st_mtime_ns == modified, path
            assert path.read_bytes() == content, path
    log = (copied / "results" / "logs" / "more" / "embed.log").read_text()
    assert " 0 to compute" in log


def _results(folder: Path) -> list[Path]:
    return [p for p in (folder / "results").rglob("*") if p.is_file()]


def _jobs(output: str) -> dict[str, int]:
    table = output[output.index("Job stats:") :].splitlines()[3:]
    rows = [line.split() for line in table]
    ends = next(i for i, row in enumerate(rows) if row[:1] == ["total"])
    return {name: int(count) for name, count in rows[:ends]}


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_is_a_target(finished, stage):
    assert "Nothing to be done" in snakemake(finished, "-n", "--", stage)


def test_annotate_alone_on_a_fresh_batch(tmp_path, finished):
    batches = "batch\trole\tmolecule\tfasta\tlabels\nonly\tpredict\tprotein\tnew.fasta\t\n"
    folder = new_project(tmp_path / "run", batches, annotate={"profiles": "my.hmm.gz"})
    shutil.copy(finished / "example" / "new.fasta", folder / "new.fasta")
    shutil.copy(builtin_files().profiles, folder / "my.hmm.gz")
    planned = _jobs(snakemake(folder, "-n", "--", "annotate"))
    assert planned == {"check_batch": 1, "annotate_batch": 1, "annotate": 1}
    snakemake(folder, "--", "annotate")
    assert (folder / "results" / "batches" / "only" / "domains.tsv").exists()


def test_equal_runs_give_equal_bytes(finished, tmp_path):
    again = new_project(tmp_path / "again")
    snakemake(again)
    assert digests(again) == digests(finished)


@pytest.mark.parametrize(
    "moment",
    ["batches/known/records.tsv", "embedding_store", "control/weights.safetensors"],
)
def test_killed_run_ends_with_the_same_bytes(finished, tmp_path, moment):
    folder = new_project(tmp_path / "killed")
    running = subprocess.Popen(
        command(folder),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(),
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while not (folder / "results" / moment).exists() and running.poll() is None:
        assert time.monotonic() < deadline, f"{moment} never appeared"
        time.sleep(0.02)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    snakemake(folder, "--unlock")
    snakemake(folder, "--rerun-incomplete")
    assert digests(folder) == digests(finished)


def test_edit_of_the_package_reruns_what_depends_on_it_and_a_touch_nothing(
    finished, tmp_path
):
    """A copy of the package stands in for an installed one that is edited."""
    package = tmp_path / "site"
    shutil.copytree(ROOT / "omicsai", package / "omicsai")
    shutil.copytree(ROOT / "workflow", package / "workflow")
    shutil.copytree(ROOT / "config", package / "config")
    shutil.copy(ROOT / "Snakefile", package / "Snakefile")

    def dry_run() -> str:
        done = subprocess.run(
            [*command(finished, "-n")[:3], "-s", str(package / "Snakefile"),
             *command(finished, "-n")[5:]],
            capture_output=True, text=True, check=True, cwd=tmp_path,
            env=environment() | {"PYTHONPATH": str(package)},
        )  # fmt: skip
        return done.stdout + done.stderr

    module = package / "omicsai" / "robust" / "prediction.py"
    module.touch()
    assert "Nothing to be done" in dry_run()
    module.write_text(module.read_text() + "\n# edited\n")
    jobs = _jobs(dry_run())
    assert "predict_batch" in jobs
    assert not {"check_batch", "split_sequences", "annotate_batch", "embed_batch"} & set(
        jobs
    )


def test_labelled_batch_to_predict_is_evaluated(copied):
    truth = (copied / "example" / "truth.tsv").read_text().splitlines()
    header = truth[0].split("\t")
    rows = [dict(zip(header, line.split("\t"), strict=True)) for line in truth[1:]]
    labels = [f"{r['id']}\t{r['true_label']}" for r in rows if r["batch"] == "new"]
    (copied / "new.labels.tsv").write_text("\n".join(["id\tlabel", *labels]) + "\n")
    table = copied / "config" / "batches.tsv"
    table.write_text(BATCHES.replace("new.fasta\t", "new.fasta\tnew.labels.tsv"))
    snakemake(copied)
    metrics = json.loads(
        (copied / "results/batches/new/evaluation/metrics.json").read_text()
    )
    assert metrics["accuracy"] > 1 / 3
    assert "Labelled batch" in (copied / "results" / "report.html").read_text()


def test_model_and_control_of_one_loss_are_told_apart(copied):
    train = SMALL["train"] | {"loss": "cross_entropy", "head": "linear"}
    changed = yaml.safe_dump(SMALL | {"train": train})
    (copied / "config" / "small.yaml").write_text(changed)
    snakemake(copied)
    page = (copied / "results" / "report.html").read_text()
    assert "cross entropy (model) beside cross entropy (control)" in page
    assert "they are the same model" in page
    assert "how far ProSelfLC trusts itself" not in page
    assert "chose the model" not in page  # head and loss were given


def test_several_labels_a_sequence_run_to_a_page_of_their_own(finished, tmp_path):
    batches = (
        "batch\trole\tmolecule\tfasta\tlabels\n"
        "known\ttrain\tprotein\tknown.fasta\tknown.tsv\n"
        "new\tpredict\tprotein\tnew.fasta\tknown.tsv\n"
    )
    train = SMALL["train"] | {"task": "multi", "multilabel_loss": "asl"}
    folder = new_project(tmp_path / "several", batches, train=train)
    for name in ("known.fasta", "new.fasta"):
        shutil.copy(finished / "example" / name, folder / name)
    truth = pd.read_csv(finished / "example" / "truth.tsv", sep="\t", dtype=str)
    classes = sorted(truth["true_label"].dropna().unique())
    also = {name: f"{name};shared" for name in classes[:2]}  # a label of two classes
    truth["label"] = truth["true_label"].replace(also).fillna("")
    truth[["id", "label"]].to_csv(folder / "known.tsv", sep="\t", index=False)
    snakemake(folder)
    results = folder / "results"
    for where in ("evaluation", "batches/new/evaluation"):
        metrics = json.loads((results / where / "metrics.json").read_text())
        assert metrics["task"] == "multi"
        assert 0 < metrics["fmax"] <= 1
        assert metrics["control"]["loss"] == "bce"
    table = pd.read_csv(results / "batches/new/predictions.tsv", sep="\t", dtype=str)
    called = table["label"].dropna().str.split(";").explode()
    assert set(called) <= {*classes, "shared"}
    assert len(table) == (folder / "new.fasta").read_text().count(">")
    page = (results / "report.html").read_text()
    assert "Fmax" in page
    for section in ("data", "split", "domains", "labels"):
        assert f'<section id="{section}">' in page
    assert "Nothing to be done" in snakemake(folder, "-n")
    # another task makes other files, and the old ones do not stand in for them
    single = snakemake(folder, "-n", "--config", "train={task: single}")
    assert re.search(r"train_model +2", single)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (BATCHES.replace("predict", "predikt"), "Did you mean 'predict'?"),
        (BATCHES.replace("new\tpredict", "known\tpredict"), "already used on line 2"),
        (BATCHES.replace("example/new.fasta", "nowhere.fasta"), "does not exist"),
    ],
)
def test_bad_batch_table_stops_before_any_job(tmp_path, table, message):
    output = snakemake(new_project(tmp_path / "run", table), "-n", ok=False)
    assert "batches.tsv has 1 problem" in output
    assert message in output


def test_bad_configuration_names_file_line_and_intention(tmp_path):
    folder = new_project(tmp_path / "run", splitt={"identity": 0.3}, split={"identity": 30})
    output = snakemake(folder, "-n", ok=False)
    assert "small.yaml, line" in output
    assert "'splitt' is not a known key. Did you mean 'split'?" in output
    assert "'split.identity' = 30: input should be less than or equal to 1" in output


def test_braces_of_an_option_are_no_wildcards(tmp_path):
    folder = new_project(
        tmp_path / "run", check={"header_pattern": "(?P<label>[A-Z]{2})"},
        report={"title": "{a} & {b}"},
    )  # fmt: skip
    assert "check_batch" in snakemake(folder, "-n")


def test_an_edited_ontology_or_encoder_is_seen(copied):
    hierarchy = copied / "terms.obo"
    hierarchy.write_text("[Term]\nid: GO:1\n")
    planned = snakemake(
        copied, "-n", "--config", f"train={{hierarchy: {hierarchy.name}, task: multi}}"
    )
    assert "terms.obo" in planned


def test_failing_stage_shows_one_line_in_its_log(tmp_path):
    folder = new_project(
        tmp_path / "run", BATCHES.replace("example/new.fasta", "bad.fasta")
    )
    (folder / "bad.fasta").write_text("this is no FASTA\n")
    snakemake(folder, "--", "results/batches/new/records.tsv", ok=False)
    log = (folder / "results" / "logs" / "new" / "check.log").read_text().splitlines()
    assert log[-1].startswith("omicsai check: bad.fasta, line 1: expected a FASTA header")
    assert not any("Traceback" in line for line in log)


def test_snakemake_report(finished, tmp_path):
    target = tmp_path / "report.zip"
    snakemake(finished, "--report", str(target))
    assert target.stat().st_size > 10_000


def test_shipped_configuration_is_the_default_and_every_key_is_commented():
    text = (ROOT / "config" / "config.yaml").read_text()
    shipped = yaml.safe_load(text)
    # the simulated classes descend from one root each: at 0.3 whole classes are held out
    assert shipped["split"].pop("identity") == 0.5
    assert Config.model_validate(shipped) == Config()
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if ":" in line and not line.lstrip().startswith("#"):
            assert lines[number - 1].lstrip().startswith("#"), line


@pytest.mark.parametrize("name", GENERATED)
def test_generated_files_are_in_step(name):
    shipped = (ROOT / name).read_text(encoding="utf-8")
    assert shipped == GENERATED[name], "run: python -m omicsai.schemas"


def test_readme_library_example_runs(finished, tmp_path):
    code = (ROOT / "README.md").read_text().split("```python\n")[1].split("```")[0]
    assert len([line for line in code.splitlines() if line.strip()]) < 15
    script = tmp_path / "example.py"
    script.write_text(code + "\nprint(probabilities.shape)\n")
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, cwd=finished
    )
    assert done.returncode == 0, done.stderr
    rows = len((finished / "results/split/split.tsv").read_text().splitlines()) - 1
    assert done.stdout.strip() == f"({rows}, 3)"


@pytest.mark.slurm
def test_slurm_gives_the_same_bytes(finished, tmp_path):
    if shutil.which("sinfo") is None or subprocess.run(["sinfo", "-h"]).returncode:
        pytest.skip("no Slurm answers ('sinfo')")
    folder = new_project(tmp_path / "slurm")
    arguments = command(folder, "--profile", str(ROOT / "workflow/profiles/slurm"))
    cores = arguments.index("--cores")
    del arguments[cores : cores + 2]
    done = subprocess.run(arguments, capture_output=True, text=True, env=environment())
    assert done.returncode == 0, done.stdout + done.stderr
    assert digests(folder) == digests(finished)
