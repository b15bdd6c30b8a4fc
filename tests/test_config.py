"""The configuration and the batch table: every problem at once, with its line."""

from __future__ import annotations

import re

import pytest
import yaml

from omicsai.batches import (
    COLUMNS,
    HEADER_LABELS,
    OPTIONAL,
    batches_schema,
    read_batches,
)
from omicsai.config import (
    CheckOptions,
    Config,
    SplitOptions,
    TrainOptions,
    options_from,
    read_config,
)
from omicsai.errors import ConfigError


def problems(text: str, write, **overrides) -> str:
    """Message about a configuration file, with values given on the command line."""
    path = write("mine.yaml", text)
    values = {**(yaml.safe_load(text) or {}), **overrides}
    with pytest.raises(ConfigError) as caught:
        read_config(values, [path])
    return str(caught.value).replace(f"{path.parent}/", "")


# --- configuration ---------------------------------------------------------------------


def test_an_empty_configuration_is_all_defaults():
    config = read_config({})
    assert config == Config()
    assert config.split.identity == 0.3
    assert config.train.loss is None  # from pilot runs
    assert config.embed.encoder == "composition"


def test_values_replace_defaults_and_leave_the_rest():
    config = read_config({"seed": 7, "train": {"epochs": 3}})
    assert (config.seed, config.train.epochs) == (7, 3)
    assert config.train.members == Config().train.members


def test_words_from_the_command_line_become_numbers():
    """Snakemake hands nested --config values over as strings."""
    config = read_config(
        {
            "seed": "7",
            "train": {"epochs": "3", "learning_rate": "1e-4", "transit": "0.25"},
            "split": {"fractions": ["0.8", "0.1", "0.1"]},
        }
    )
    assert config.seed == 7
    assert (config.train.epochs, config.train.learning_rate) == (3, 1e-4)
    assert config.train.transit == 0.25
    assert config.split.fractions == [0.8, 0.1, 0.1]


def test_an_unknown_key_is_named_with_its_line_and_the_likely_one(write):
    told = problems("seed: 1\ntrain:\n  epochs: 5\n  learnin_rate: 0.1\n", write)
    assert told == (
        "the configuration has 1 problem:\n  mine.yaml, line 4: 'train.learnin_rate' is "
        "not a known key. Did you mean 'learning_rate'?"
    )


def test_an_unknown_section_is_named_with_its_line(write):
    told = problems("seed: 1\nspilt:\n  identity: 0.4\n", write)
    assert "mine.yaml, line 2: 'spilt' is not a known key. Did you mean 'split'?" in told


def test_an_unknown_key_like_nothing_else_lists_the_known_ones(write):
    told = problems("predict:\n  zzz: 1\n", write)
    assert "line 2: 'predict.zzz' is not a known key; known: novel_fdr, coverage" in told


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("train:\n  epochs: 0\n", 2, "'train.epochs' = 0: input should be greater than"),
        ("train:\n  epochs: many\n", 2, "'train.epochs' = 'many': input should be a valid"),
        ("train:\n  epochs: 2.5\n", 2, "'train.epochs' = 2.5"),
        ("train:\n  temperature: 2\n", 2, "'train.temperature' = 2: input should be less"),
        ("train:\n\n  loss: proself\n", 3, "not one of proselflc, cross_entropy, label"),
        ("train:\n\n  loss: proself\n", 3, "sop. Did you mean 'proselflc'?"),
        ("embed:\n  device: gpu\n", 2, "'embed.device' = 'gpu': not one of auto, cpu,"),
        ("split:\n  identity: 30\n", 2, "'split.identity' = 30: input should be less"),
        ("split:\n  fractions: [0.5, 0.5]\n", 2, "'split.fractions'"),
        ("split:\n  fractions: [0.5, 0, 0.5]\n", 2, "'split.fractions.1' = 0"),
        ("split: 5\n", 1, "'split' = 5"),
        ("split:\n  identity: .nan\n", 2, "'split.identity' = nan"),
        ("check:\n  unknown_labels: NA\n", 2, "'check.unknown_labels' = 'NA'"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_named_with_its_line(write, text, line, message):
    told = problems(text, write)
    assert "the configuration has 1 problem:" in told
    assert f"mine.yaml, line {line}: " in told
    assert message in told


def test_every_problem_is_told_at_once(write):
    told = problems(
        "seed: -1\ntrain:\n  epochs: 0\n  los: cross_entropy\nembed:\n  device: gpu\n",
        write,
    )
    assert "the configuration has 4 problems:" in told
    assert sorted(map(int, re.findall(r"line (\d+)", told))) == [1, 3, 4, 6]


def test_a_problem_from_the_command_line_says_so(write):
    told = problems("seed: 1\n", write, control="maee")
    assert "command line: 'control' = 'maee': not one of proselflc, cross_entropy" in told


def test_the_last_of_several_files_is_named(write):
    first = write("first.yaml", "train:\n  epochs: 5\n")
    second = write("second.yaml", "seed: 1\ntrain:\n  epochs: 0\n")
    with pytest.raises(ConfigError, match=r"second\.yaml, line 3: 'train\.epochs' = 0"):
        read_config({"seed": 1, "train": {"epochs": 0}}, [first, second])


@pytest.mark.parametrize("folder", ["", ".", "./", " "])
def test_results_are_a_folder_of_their_own(folder):
    with pytest.raises(ConfigError, match=r"'results' = .*must name a folder of its own"):
        read_config({"results": folder})


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("results: .\n", 1, "must name a folder of its own"),
        ("seed: 2\nsplit: {method: family}\n", 2, "'family' is for 'omicsai split'"),
        ("isotype:\n  loss: cross_entropy\n", 1, "the ridge head has no loss"),
    ],
)
def test_problems_of_whole_sections_are_named_with_their_line(write, text, line, message):
    told = problems(text, write)
    assert f"mine.yaml, line {line}: " in told
    assert message in told


def test_command_options_are_named_as_on_the_command_line():
    with pytest.raises(ConfigError) as caught:
        options_from(TrainOptions, {"batch_size": "0", "loss": "maee"})
    told = str(caught.value)
    assert "\n" not in told
    assert "--batch-size '0': input should be greater than" in told
    assert "--loss 'maee': not one of proselflc, cross_entropy" in told


def test_command_options_are_coerced():
    assert options_from(SplitOptions, {"identity": "0.5"}).identity == 0.5
    chosen = options_from(CheckOptions, {"unknown_labels": ["U"], "max_length": "434"})
    assert (chosen.unknown_labels, chosen.max_length) == (["U"], 434)


# --- the batch table -------------------------------------------------------------------

HEADER = "batch\trole\tmolecule\tfasta\tlabels\n"


@pytest.fixture
def here(write, tmp_path, monkeypatch):
    """A folder with FASTA files in which the batch table is read."""
    write("data/known.fasta", ">a\nMKT\n")
    write("data/known.tsv", "id\tlabel\na\tx\n")
    monkeypatch.chdir(tmp_path)
    return lambda text: read_batches(write("batches.tsv", text))


def refused(here, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        here(text)
    return str(caught.value)


GOOD = "known\ttrain\tprotein\tdata/known.fasta\tdata/known.tsv\n"


@pytest.mark.parametrize(
    "text",
    [
        HEADER + GOOD,
        "# which files\n\n" + HEADER + "#old\t\t\t\t\n" + GOOD + "\n",
        (HEADER + GOOD).replace("\n", "\r\n"),
        "\ufeff" + HEADER + GOOD.replace("\t", " \t "),
        "labels\tnote\tfasta\tmolecule\trole\tbatch\n"
        "data/known.tsv\tmine\tdata/known.fasta\tprotein\ttrain\tknown\n",
    ],
    ids=["plain", "comments", "CRLF", "BOM and blanks", "other order and columns"],
)
def test_every_spelling_of_the_batch_table_reads_the_same(here, text):
    (batch,) = here(text).values()
    assert (batch.name, batch.role, batch.molecule) == ("known", "train", "protein")
    assert (batch.fasta, batch.labels) == ("data/known.fasta", "data/known.tsv")
    assert batch.trains
    assert not batch.predicts


def test_labels_may_be_absent_or_come_from_headers(here):
    batches = here(
        HEADER
        + "one\tpredict\tprotein\tdata/known.fasta\n"
        + f"two\tboth\ttrna\tdata/known.fasta\t{HEADER_LABELS}\n"
    )
    assert list(batches) == ["one", "two"]
    assert (batches["one"].labels, batches["two"].labels) == ("", "header")
    assert batches["two"].trains
    assert batches["two"].predicts


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "batch\trole\tmolecule\tfasta\tlabel\n" + GOOD,
            "line 1: column 'labels' is missing: is 'label' meant?",
        ),
        (
            "batch\trole\tmolecule\tfasta\n" + GOOD,
            "line 1: column 'labels' is missing among batch, role, molecule, fasta",
        ),
        (
            (HEADER + GOOD).replace("\t", ","),
            "line 1: columns are separated by commas; use tabs",
        ),
        (
            HEADER + GOOD + GOOD,
            "line 3, column 'batch': 'known' is already used on line 2",
        ),
        (
            HEADER + GOOD.replace("train", "trian"),
            "line 2, column 'role': 'trian' is not one of train, predict, both. Did you "
            "mean 'train'?",
        ),
        (
            HEADER + GOOD.replace("protein", "dna"),
            "line 2, column 'molecule': 'dna' is not one of protein, trna",
        ),
        (
            HEADER + GOOD.replace("known.fasta", "knwon.fasta"),
            "line 2, column 'fasta': data/knwon.fasta does not exist (looked in",
        ),
        (
            HEADER + GOOD.replace("known.fasta", "knwon.fasta"),
            "). Did you mean 'data/known.fasta'?",
        ),
        (
            HEADER + GOOD.replace("known.tsv", "none.csv"),
            "line 2, column 'labels': data/none.csv does not exist",
        ),
        (
            HEADER + GOOD.replace("data/known.fasta", ""),
            "line 2, column 'fasta': empty: name the FASTA file",
        ),
        (
            HEADER + GOOD.replace("data/known.fasta", "data"),
            "line 2, column 'fasta': data is a folder, not a file",
        ),
        (
            HEADER + GOOD.replace("known\t", "my batch/1\t", 1),
            "line 2, column 'batch': 'my batch/1' is not letters, digits and '_' only. Did "
            "you mean 'my_batch_1'?",
        ),
        (
            HEADER + GOOD.replace("known\t", "\t", 1),
            "line 2, column 'batch': '' is not letters, digits and '_' only",
        ),
        (
            HEADER + "# a comment\n\n" + GOOD.replace("train", "test"),
            "line 4, column 'role': 'test' is not one of",
        ),
        (HEADER, "lists no batch: add a row under the header line"),
        ("", "lists no batch"),
    ],
)
def test_a_problem_of_the_batch_table_has_line_column_and_remedy(here, text, message):
    told = refused(here, text)
    assert message in told
    assert told.split(" ")[0].endswith("batches.tsv")


def test_every_problem_of_the_batch_table_is_told_at_once(here):
    told = refused(
        here, HEADER + "a b\ttrian\tprotein\tdata/none\t\n" + GOOD.replace("prot", "pr0t")
    )
    assert "batches.tsv has 4 problems:" in told
    assert [int(n) for n in re.findall(r"line (\d)", told)] == [2, 2, 2, 3]


def test_a_row_with_more_cells_than_columns_is_refused(here):
    told = refused(here, HEADER + GOOD.rstrip("\n") + "\textra\n")
    assert "line 2" in told


def test_files_that_the_workflow_makes_need_not_exist(write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write("b.tsv", HEADER + "sim\ttrain\tprotein\texample/known.fasta\t\n")
    assert list(read_batches(path, generated=["example/known.fasta"])) == ["sim"]
    with pytest.raises(ConfigError, match=r"example/known\.fasta does not exist"):
        read_batches(path)


def test_a_batch_of_trnas_may_name_its_organism(write, here, tmp_path):
    asked = []

    def known():
        asked.append(1)
        return {"Homo sapiens", "Escherichia coli"}

    def read(cells):
        path = write("batches.tsv", HEADER.rstrip("\n") + "\torganism\n" + cells)
        return read_batches(path, organisms=known)

    trna = "x\tboth\ttrna\tdata/known.fasta\t\t"
    assert read(trna + "\n")["x"].organism == ""
    assert not asked
    assert read(trna + "Homo sapiens\n")["x"].organism == "Homo sapiens"
    with pytest.raises(ConfigError, match="Did you mean 'Homo sapiens'") as caught:
        read(trna + "Homo sapeins\n")
    where = "line 2, column 'organism': 'Homo sapeins' is not one of Escherichia coli, Homo"
    assert where in str(caught.value)
    with pytest.raises(ConfigError, match="'Homo sapiens' has no effect: only trna"):
        read(trna.replace("trna", "protein") + "Homo sapiens\n")
    told = refused(here, HEADER.rstrip("\n") + "\torganisms\n" + GOOD)
    assert "column 'organism' is missing: is 'organisms' meant?" in told


def test_a_missing_or_unreadable_batch_table_is_refused(write, tmp_path):
    with pytest.raises(ConfigError, match=r"none\.tsv does not exist \(looked in .*'batch"):
        read_batches(tmp_path / "none.tsv")
    with pytest.raises(ConfigError, match=r"b\.tsv is not UTF-8 text: save it as UTF-8"):
        read_batches(write("b.tsv", b"batch\xff\n"))


def test_the_schema_describes_every_column():
    schema = batches_schema()
    assert list(schema["properties"]) == list(COLUMNS)
    assert [*schema["required"], *OPTIONAL] == list(COLUMNS)
    assert all(rule["description"] for rule in COLUMNS.values())
