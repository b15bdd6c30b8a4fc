"""The tRNA rules end to end, on the simulated tRNA batch."""

from __future__ import annotations

import pytest
from test_workflow import new_project, snakemake

BATCHES = (
    "batch\trole\tmolecule\tfasta\tlabels\n"
    "trnas\tboth\ttrna\texample/trnas.fasta\texample/trnas.labels.tsv\n"
)
TARGETS = ["number", "identity", "distance", "cognates", "isotype", "pairing"]

pytestmark = pytest.mark.workflow


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = new_project(
        tmp_path_factory.mktemp("trna") / "run", BATCHES,
        identity={"permutations": 20},
    )  # fmt: skip
    snakemake(folder)
    return folder


def test_every_promised_file_is_there(finished):
    batch = finished / "results" / "batches" / "trnas"
    for name in (
        "trna/numbering.tsv", "trna/records.tsv", "trna/matrix.tsv", "trna/alignment.sto",
        "trna/structures.txt", "trna/cloverleaf/all.svg", "identity/identity.tsv",
        "identity/logo_features.tsv", "distance/distances.h5", "distance/map.tsv",
        "cognates/cognates.tsv", "cognates/cognate_evidence.tsv", "isotype/isotypes.tsv",
        "isotype/model/weights.safetensors", "isotype/suspected_mislabels.tsv",
    ):  # fmt: skip
        assert (batch / name).stat().st_size > 0, name


def test_stages_are_targets_and_nothing_is_done_twice(finished):
    assert "Nothing to be done" in snakemake(finished, "-n", "--", *TARGETS[:-1])


def test_a_run_of_trnas_alone_has_a_page_and_nothing_of_proteins(finished):
    page = (finished / "results" / "report.html").read_text()
    assert "tRNAs by orthogonality" in page
    assert "<svg" in page
    assert "isotype (trnas)" in page
    assert page.count("<section") == 2
    assert not (finished / "results" / "split").exists()


def test_planted_positions_are_found(finished):
    from omicsai.simulate.trna import TRNA_TRUTH
    from omicsai.trna import NUMBERING

    truth = TRNA_TRUTH.read(finished / "example" / "trnas.truth.tsv").set_index("id")
    batch = finished / "results" / "batches" / "trnas"
    table = NUMBERING.read(batch / "trna" / "numbering.tsv")
    labels = table.groupby("id")["label"].agg(" ".join)
    right = [truth.at[k, "positions"].startswith(labels[k]) for k in truth.index]
    assert sum(right) / len(right) > 0.9


def test_the_covariance_model_is_made_by_a_rule_where_it_is_asked_for(tmp_path):
    seed = tmp_path / "seed.sto"
    seed.write_text("# STOCKHOLM 1.0\n//\n")
    folder = new_project(
        tmp_path / "run",
        BATCHES,
        number={"backend": "cmalign"},
        covariance={"alignment": str(seed)},
    )
    planned = snakemake(folder, "-n", "-p", "--", "number")
    assert f"omicsai covariance --alignment={seed}" in planned
    assert "--model results/covariance/trna.cm" in planned


def test_each_batch_is_checked_against_its_own_organism(tmp_path):
    rows = BATCHES.replace("labels\n", "labels\torganism\n", 1)
    rows += "more\tpredict\ttrna\texample/trnas.fasta\t\tHomo sapiens\n"
    folder = new_project(tmp_path / "run", rows)
    planned = snakemake(folder, "-n", "-p", "--", "identity")
    told = [line for line in planned.splitlines() if "omicsai identity" in line]
    assert len(told) == 2
    for line in told:
        own = "Homo sapiens" if "batches/more" in line else "Escherichia coli"
        assert f"'--organism={own}'" in line
    (folder / "config" / "batches.tsv").write_text(rows.replace("Homo s", "Pan s"))
    told = snakemake(folder, "-n", "--", "identity", ok=False)
    assert "line 3, column 'organism': 'Pan sapiens' is not one of" in told


def test_predictions_of_another_batch_are_outputs_with_its_name(tmp_path):
    more = "more\tpredict\ttrna\texample/trnas.fasta\t\n"
    folder = new_project(tmp_path / "run", BATCHES + more)
    planned = snakemake(folder, "-n", "-p", "--", "isotype")
    assert "--predict more=results/batches/more/trna" in planned
    assert "results/batches/trnas/isotype/more.predictions.tsv" in planned
