"""Tables with a schema, atomic files, provenance."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omicsai.errors import InputError
from omicsai.tables import (
    Column,
    Table,
    atomic_path,
    file_digest,
    write_json,
    write_provenance,
    write_text,
)

TABLE = Table(
    "things",
    (
        Column("id", "text", "name"),
        Column("count", "integer", "how many"),
        Column("score", "number", "how much"),
        Column("good", "boolean", "whether"),
        Column("note", "text", "may be absent", optional=True),
    ),
)
ROWS = {
    "id": ["a", "b", ""],
    "count": [1, None, -3],
    "score": [0.125, math.nan, 1e-300],
    "good": [True, None, False],
}

# --- schema ----------------------------------------------------------------------------


def test_a_table_on_disk_is_plain_tsv(tmp_path):
    TABLE.write(ROWS, tmp_path / "t.tsv")
    assert (tmp_path / "t.tsv").read_text() == (
        "id\tcount\tscore\tgood\na\t1\t0.125\ttrue\nb\t\t\t\n\t-3\t1e-300\tfalse\n"
    )


def test_what_is_written_reads_back_with_its_types(tmp_path):
    TABLE.write(ROWS, tmp_path / "t.tsv")
    frame = TABLE.read(tmp_path / "t.tsv")
    pd.testing.assert_frame_equal(frame, TABLE.frame(ROWS))
    assert [str(t) for t in frame.dtypes] == ["object", "Int64", "float64", "boolean"]


cells = st.text(st.characters(codec="utf-8", exclude_categories=("C",)), max_size=12)


@given(
    st.lists(
        st.tuples(
            cells,
            st.none() | st.integers(-(2**53), 2**53),
            st.none() | st.floats(width=16, allow_nan=False),
            st.none() | st.booleans(),
            cells,
        ),
        max_size=6,
    )
)
def test_every_table_survives_the_round_trip(tmp_path, rows):
    frame = TABLE.frame(pd.DataFrame(rows, columns=TABLE.names))
    TABLE.write(frame, tmp_path / "t.tsv")
    once = (tmp_path / "t.tsv").read_bytes()
    back = TABLE.read(tmp_path / "t.tsv")
    TABLE.write(back, tmp_path / "t.tsv")
    assert (tmp_path / "t.tsv").read_bytes() == once
    for name in ("id", "count", "good", "note"):
        pd.testing.assert_series_equal(back[name], frame[name])
    np.testing.assert_allclose(back["score"], frame["score"], rtol=1e-5)


def test_tabs_and_line_ends_inside_text_become_blanks(tmp_path):
    TABLE.write(
        {"id": ["a\tb\r\nc"], "count": [1], "score": [1], "good": [True]},
        tmp_path / "t.tsv",
    )
    assert TABLE.read(tmp_path / "t.tsv")["id"][0] == "a b c"


@pytest.mark.parametrize("word", ["NA", "nan", "None", '"', '"a', "#", "a\\", " a "])
def test_text_is_taken_literally(tmp_path, word):
    TABLE.write(
        {"id": [word], "count": [1], "score": [1], "good": [True]}, tmp_path / "t.tsv"
    )
    assert TABLE.read(tmp_path / "t.tsv")["id"][0] == word


def test_a_blank_cell_of_a_single_column_is_a_row(tmp_path):
    table = Table("names", (Column("id", "text", "name"),))
    table.write({"id": ["a", "", "c"]}, tmp_path / "t.tsv")
    assert list(table.read(tmp_path / "t.tsv")["id"]) == ["a", "", "c"]


@pytest.mark.parametrize("empty", [None, [], {}, {name: [] for name in TABLE.names}])
def test_an_empty_table_has_its_columns(tmp_path, empty):
    TABLE.write(empty, tmp_path / "t.tsv")
    frame = TABLE.read(tmp_path / "t.tsv")
    assert list(frame.columns)[:4] == TABLE.names[:4]
    assert len(frame) == 0


def test_columns_take_the_declared_order_and_unknown_ones_in_a_file_are_left_out(write):
    path = write("t.tsv", "good\textra\tscore\tid\tcount\ntrue\tx\t2\ta\t1\n")
    assert list(TABLE.read(path).columns) == ["id", "count", "score", "good"]


def test_missing_and_unknown_columns_of_data_are_named():
    with pytest.raises(InputError) as caught:
        TABLE.frame({"id": ["a"], "count": [1], "scores": [1.0], "good": [True]})
    assert str(caught.value) == (
        "things table: missing columns ['score'], unknown columns ['scores']"
    )


@pytest.mark.parametrize(
    ("column", "value"), [("count", "x"), ("count", 1.5), ("score", "x"), ("good", "yes")]
)
def test_values_of_another_type_name_their_column(column, value):
    row = {"id": "a", "count": 1, "score": 1.0, "good": True, column: value}
    with pytest.raises(InputError, match=f"things table, column '{column}': values are"):
        TABLE.frame([row])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id\tscore\tgood\n", "column 'count' missing; the things table needs id, count"),
        ("id\tscore\n", "columns 'count', 'good' missing"),
        ("id\tcount\tscore\tgood\na\tx\t1\ttrue\n", "column 'count': expected integers"),
        ("id\tcount\tscore\tgood\na\t1.5\t1\ttrue\n", "column 'count': expected integers"),
        ("id\tcount\tscore\tgood\na\t1\tx\ttrue\n", "column 'score': expected numbers"),
        ("id\tcount\tscore\tgood\na\t1\t1\tTrue\n", "'True' is neither true nor false"),
        ("id\tcount\tscore\tgood\na\t1\t1\ttrue\nb\t1\t1\ttrue\tx\n", "line 3 has 5"),
        ("id\tcount\tscore\tgood\na\t1\t1\ttrue\tx\n", "not a tab-separated table"),
        (b"id\tcount\tscore\tgood\n\xff\t1\t1\ttrue\n", "not a tab-separated table"),
        ("", "is not a tab-separated table: it is empty"),
    ],
    ids=[
        "missing column", "missing columns", "word as integer", "fraction as integer",
        "word as number", "True", "one row too long", "all rows too long", "not UTF-8",
        "empty",
    ],
)  # fmt: skip
def test_a_broken_table_is_refused_in_one_line(write, content, message):
    path = write("t.tsv", content)
    with pytest.raises(InputError, match=message) as caught:
        TABLE.read(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_missing_table_and_a_folder_are_refused(tmp_path):
    with pytest.raises(InputError, match="does not exist: run the stage that makes it"):
        TABLE.read(tmp_path / "none.tsv")
    with pytest.raises(InputError, match="folder"):
        TABLE.read(tmp_path)


# --- files -----------------------------------------------------------------------------


def test_a_failed_write_leaves_the_old_file_and_no_trace(tmp_path):
    path = tmp_path / "new" / "a.txt"
    write_text(path, "old")
    with pytest.raises(UnicodeEncodeError), atomic_path(path) as temporary:
        temporary.write_text("half \ud800", encoding="utf-8")
    assert path.read_text() == "old"
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]


KILLED_WRITER = """
import os, signal, sys
from omicsai.tables import atomic_path
with atomic_path(sys.argv[1]) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_next_write_sweeps_up_after_a_killed_writer_but_not_a_running_one(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    command = [sys.executable, "-c", KILLED_WRITER, str(path)]
    subprocess.run(command, check=False)
    assert path.read_text() == "old"
    (leftover,) = tmp_path.glob(".*")
    writer = re.search(r"(\d+)\.part$", leftover.name)[1]
    running = leftover.with_name(leftover.name.replace(writer, str(os.getppid())))
    running.write_text("half")
    elsewhere = leftover.with_name(f".a.txt.another-host-{writer}.part")
    elsewhere.write_text("half")
    write_text(path, "new")
    assert path.read_text() == "new"
    assert set(tmp_path.iterdir()) == {path, running, elsewhere}


def test_a_written_file_has_the_usual_permissions(tmp_path):
    write_text(tmp_path / "a.txt", "x\n")
    (tmp_path / "b.txt").write_text("x\n")
    modes = {(tmp_path / name).stat().st_mode for name in ("a.txt", "b.txt")}
    assert len(modes) == 1


@pytest.mark.parametrize("value", [math.nan, math.inf, [1.0, {"a": -math.inf}]])
def test_json_refuses_what_is_no_number(tmp_path, value):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"value": value})
    assert list(tmp_path.iterdir()) == []


# --- provenance ------------------------------------------------------------------------


def test_provenance_names_inputs_by_digest_and_is_the_same_each_time(tmp_path, write):
    fasta = write("in/a.fasta", ">a\nMKT\n")
    for name in ("one.json", "two.json"):
        write_provenance(
            tmp_path / name,
            stage="check",
            options={"min_length": 10},
            inputs={"fasta": fasta},
            tools={"z": "1", "a": "2"},
        )
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    told = json.loads((tmp_path / "one.json").read_text())
    assert told["stage"] == "check"
    assert told["options"] == {"min_length": 10}
    assert list(told["tools"]) == ["a", "z"]
    assert told["inputs"]["fasta"] == {"file": "a.fasta", "sha256": file_digest(fasta)}


def test_the_digest_of_a_folder_covers_names_and_contents(write, tmp_path):
    write("f/a", "1")
    write("f/sub/b", "2")
    before = file_digest(tmp_path / "f")
    assert file_digest(tmp_path / "f") == before
    write("f/sub/b", "3")
    assert file_digest(tmp_path / "f") != before
    write("f/sub/b", "2")
    (tmp_path / "f/a").rename(tmp_path / "f/c")
    assert file_digest(tmp_path / "f") != before
