"""Checking a batch: nothing disappears, and every reason is named."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omicsai.errors import InputError
from omicsai.sequences import (
    check_batch,
    join_labels,
    parse_fasta,
    read_labels,
    sequence_digest,
    split_labels,
)
from omicsai.sequences.check import RECORDS, label_counts

A, B, C, D = "MKTAYIAKQRQ", "GWHHEDLLNCY", "PLVVSTRNDEF", "QQRWYKLMMAA"


def fasta(*records: tuple[str, str]) -> str:
    return "".join(f">{header}\n{residues}\n" for header, residues in records)


def rows(frame, *columns):
    return list(frame[list(columns)].itertuples(index=False, name=None))


def reasons(checked):
    return dict(zip(checked.rejected["id"], checked.rejected["reason"], strict=True))


# --- records ---------------------------------------------------------------------------


def test_records_describe_each_sequence(write):
    text = fasta(("one/1|x of E. coli", "mkuxayiakq-r*"), ("two", B))
    checked = check_batch(write("a.fasta", text))
    first = checked.records.iloc[0]
    assert dict(first) == {
        "id": "one/1|x",
        "label": "",
        "length_aa": 11,
        "nonstandard": 2,
        "copies": 1,
        "label_conflict": False,
        "digest": sequence_digest("MKUXAYIAKQR"),
        "line": 1,
        "description": "of E. coli",
    }
    assert [s.residues for s in checked.sequences] == ["MKUXAYIAKQR", B]
    assert checked.duplicates.empty
    assert checked.rejected.empty


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b">bad\nMKTA*YIAKQRQ\n", "stop codon inside the sequence (residue 5)"),
        (b">bad\n\n", "empty sequence"),
        (b">bad\n*\n", "empty sequence"),
        (b">bad\nMKTAYIAKQ\n", "9 residues, fewer than check.min_length = 10"),
        (b">bad\n" + b"MKTAYIAKQR" * 4 + b"\n", "more than check.max_length = 30"),
        (b">bad\nMKTAXXXXXXXX\n", "67% of residues are X"),
        (b">bad\nATGGCTAAAGGTGAACTGTTCACC\n", "looks like nucleotides, not protein"),
        (b">bad\nMKT1AYIAKQRQ\n", "not amino acids: '1'"),
        (b">bad\nMKT\xffAYIAKQRQ\n", "line 4 is not UTF-8 text: save the file as UTF-8"),
        (b">bad \xe9t\xe9\nMKTAYIAKQRQ\n", "line 3 is not UTF-8 text"),
    ],
)
def test_an_unusable_record_is_set_aside_with_its_line_and_reason(write, record, reason):
    path = write("a.fasta", f">good\n{B}\n".encode() + record)
    checked = check_batch(path, max_length=30)
    assert [s.id for s in checked.sequences] == ["good"]
    assert rows(checked.rejected, "id", "file", "line") == [("bad", "a.fasta", 3)]
    assert reason in checked.rejected["reason"][0]


def test_a_header_without_id_is_set_aside(write):
    checked = check_batch(write("a.fasta", f">\n{A}\n>  \n{C}\n>b\n{B}\n"))
    assert rows(checked.rejected, "id", "line") == [("", 1), ("", 3)]
    assert "header without an id" in checked.rejected["reason"][0]


def test_a_batch_without_usable_record_is_an_error_with_an_example(write):
    path = write("a.fasta", ">a\nMKT\n>b\n*\n")
    with pytest.raises(InputError, match=r"none of 2 records is usable; for example line"):
        check_batch(path)


def test_the_example_of_an_unusable_batch_is_a_record_not_a_label(write):
    path = write("a.fasta", ">a\nMKT\n")
    labels = write("l.tsv", "id\tlabel\na\tx\nelsewhere\ty\n")
    with pytest.raises(InputError, match=r"line 1, record 'a': 3 residues"):
        check_batch(path, labels=labels)


def test_one_id_for_different_sequences_rejects_all_of_them(write):
    text = fasta(("x 1", A), ("x 2", B), ("y", C), ("x 3", A))
    checked = check_batch(write("a.fasta", text))
    assert [s.id for s in checked.sequences] == ["y"]
    assert rows(checked.rejected, "id", "line") == [("x", 1), ("x", 3), ("x", 7)]
    assert reasons(checked)["x"] == (
        "id used for 2 different sequences (lines 1, 3, 7); an id ends at the first blank"
    )


def test_one_id_for_equal_sequences_is_merged(write):
    checked = check_batch(write("a.fasta", fasta(("x 1", A), ("x 2", f"{A.lower()}*"))))
    assert rows(checked.records, "id", "copies") == [("x", 2)]
    assert rows(checked.duplicates, "id", "kept_id", "relation", "line") == [
        ("x", "x", "merged", 3)
    ]


def test_one_trna_id_for_dna_and_rna_spelling_is_merged(write):
    path = write("a.fasta", fasta(("x 1", "GCGGATTTAGCTC"), ("x 2", "GCGGAUUUAGCUC")))
    checked = check_batch(path, molecule="trna")
    assert rows(checked.records, "id", "copies") == [("x", 2)]


@pytest.mark.parametrize(
    ("labels", "kept", "conflict", "relation"),
    [
        (("u", "u"), "u", False, "merged"),
        (("u", "v"), "", True, "label conflict"),
        (("u", "unknown"), "u", False, "merged"),
        (("", "u"), "u", False, "merged"),
        (("NA", ""), "", False, "merged"),
        (("u;v", "v; u"), "u;v", False, "merged"),
        (("u", "u;v"), "", True, "label conflict"),
    ],
)
def test_labels_of_duplicate_sequences(write, labels, kept, conflict, relation):
    table = write("l.tsv", f"id\tlabel\na\t{labels[0]}\nb\t{labels[1]}\nc\tz\n")
    path = write("a.fasta", fasta(("a", A), ("b", A), ("c", C)))
    checked = check_batch(path, labels=table)
    assert rows(checked.records, "id", "label", "copies", "label_conflict") == [
        ("a", kept, 2, conflict),
        ("c", "z", 1, False),
    ]
    assert rows(checked.duplicates, "id", "kept_id", "relation") == [("b", "a", relation)]


def test_a_three_line_file_is_refused_with_the_remedy(write):
    text = ">a|NO_SP|1\nMKTAYIAKQRQ\nSSSSSIIIIII\n>b|SP|2\nGWHHEDLLNCY\nSSSSSSIIIII\n"
    with pytest.raises(InputError, match=r"has three lines a record .*label table"):
        check_batch(write("a.fasta", text))


def test_sequences_wrapped_into_two_equal_lines_are_accepted(write):
    half = "MKTAYIAKQRQGWHHEDLLNCYPLVVSTRNDEF"
    text = f">a\n{half}\n{half[::-1]}\n>b\n{half[::-1]}\n{half}\n"
    assert len(check_batch(write("a.fasta", text)).sequences) == 2


@pytest.mark.shared
def test_the_signalp_three_line_file_is_refused(shared):
    path = shared / "data/labelled/signalp_train_set.3line.txt"
    with pytest.raises(InputError, match="three lines a record"):
        check_batch(path)


record_lines = st.lists(
    st.sampled_from(
        [A, B, A.lower(), f"{C}*", "MK*TAYIAKQR", "", "X" * 20, "ACGT" * 8, "MK1TAYIAKQR"]
    ),
    min_size=1,
    max_size=10,
)
record_ids = st.lists(st.sampled_from(["a", "b", "c", "", "d e", "f/1"]), min_size=10)


@given(record_lines, record_ids)
def test_every_record_ends_in_exactly_one_table(tmp_path, lines, headers):
    path = tmp_path / "a.fasta"
    path.write_text(fasta(*zip(headers, lines, strict=False)) + fasta(("z", D)))
    checked = check_batch(path)
    accounted = Counter(
        int(line)
        for table in (checked.records, checked.duplicates, checked.rejected)
        for line in table["line"]
    )
    assert accounted == Counter(record.line for record in parse_fasta(path))
    assert len(set(checked.records["id"])) == len(checked.records)
    assert checked.records["copies"].sum() == len(checked.records) + len(checked.duplicates)
    assert [s.id for s in checked.sequences] == list(checked.records["id"])


# --- label tables ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        "id\tlabel\na\tx\nb\ty;z\n",
        "id,label\na,x\nb,y;z\n",
        'id,label\n"a","x"\n"b","y;z"\n',
        "label\tother\tid\nx\t1\ta\nz; y ;z\t2\tb\n",
        "\ufeffid\tlabel\r\na\tx\r\n\r\nb\ty;z\r\n",
        "id\tlabel\na\tx\nb\tz;y\na\tx\n",
    ],
    ids=["TSV", "CSV", "quoted CSV", "other columns", "BOM, CRLF, blank line", "repeat"],
)
def test_every_spelling_of_a_label_table_reads_the_same(write, content):
    assert read_labels(write("labels", content)) == {"a": "x", "b": "y;z"}


def test_a_quoted_cell_may_hold_commas_and_quotes(write):
    path = write("l.csv", 'id,label\n"a, b","say ""x"""\n')
    assert read_labels(path) == {"a, b": 'say "x"'}


def test_a_quote_in_a_tab_separated_cell_is_a_character(write):
    path = write("l.tsv", 'id\tlabel\na\t5" end\nb\t"3 prime\nc\tx\n')
    assert read_labels(path) == {"a": '5" end', "b": '"3 prime', "c": "x"}


def test_unknown_words_mean_no_label(write):
    path = write("l.tsv", "id\tclass\na\tunknown\nb\tNA\nc\tx;unknown\nd\tnone\n")
    assert read_labels(path, column="class") == {"a": "", "b": "", "c": "x", "d": "none"}
    own = read_labels(path, column="class", unknown=["none"])
    assert own == {"a": "unknown", "b": "NA", "c": "unknown;x", "d": ""}


def test_what_check_kept_as_a_label_stays_one(write, tmp_path):
    fasta = write("a.fasta", f">n\n{'MKTAYIAKQR' * 2}\n>h\n{'GAVLIMCFYW' * 2}\n")
    labels = write("l.tsv", "id\tlabel\nn\tNA\nh\tHA\n")  # neuraminidase
    records = check_batch(fasta, labels=labels, unknown=["missing"]).records
    RECORDS.write(records, tmp_path / "records.tsv")
    assert read_labels(tmp_path / "records.tsv") == {"n": "NA", "h": "HA"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id\tclass\na\tx\n", "line 1: no column 'label' among 'id', 'class'; .*column"),
        ("name\tlabel\na\tx\n", "line 1: no column 'id' among 'name', 'label'"),
        ("id\tlabel\na\tx\nb\n", "line 3: 1 columns where the header has 2"),
        ("id,label\na,x,y\n", "line 2: 3 columns where the header has 2"),
        ('id,label\na,"x\ny"\nb,z\n', "columns where the header has 2"),
        ("id\tlabel\n\tx\n", "line 2: empty id; fill it in or delete the row"),
        (
            "id\tlabel\na\tx\nb\tz\na\ty\n",
            "line 4: id 'a' has the label 'y' here and 'x' on line 2; .*'x;y'",
        ),
        (b"id\tlabel\na\t\xff\n", "line 2 is not UTF-8 text"),
        ("", "l.tsv is empty"),
        ("\n\n", "is empty: expected a table with columns id and label"),
    ],
)
def test_a_broken_label_table_names_file_and_line(write, content, message):
    with pytest.raises(InputError, match=message) as caught:
        read_labels(write("l.tsv", content))
    assert "l.tsv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_empty_label_table_is_not_called_an_empty_fasta(write):
    with pytest.raises(InputError, match="is empty") as caught:
        read_labels(write("l.tsv", ""))
    assert "FASTA" not in str(caught.value)


def test_a_missing_label_table_is_named(tmp_path, write):
    with pytest.raises(InputError, match=r"none\.tsv does not exist"):
        check_batch(write("a.fasta", fasta(("a", A))), labels=tmp_path / "none.tsv")


def test_labels_match_by_id_first_then_by_accession(write):
    path = write("a.fasta", fasta(("sp|P1|X", A), ("P2", B), ("tr|P2|Y", C), ("a|P1", D)))
    table = write("l.tsv", "id\tlabel\nP1\tu\nP2\tv\ntr|P2|Y\tw\n")
    checked = check_batch(path, labels=table)
    assert rows(checked.records, "id", "label") == [
        ("sp|P1|X", "u"),
        ("P2", "v"),
        ("tr|P2|Y", "w"),
        ("a|P1", ""),
    ]
    assert checked.rejected.empty


def test_a_label_without_record_lands_in_rejected(write):
    path = write("a.fasta", fasta(("a", A), ("b", B)))
    table = write("l.tsv", "id\tlabel\na\tx\ngone\ty\n")
    checked = check_batch(path, labels=table)
    assert rows(checked.rejected, "id", "file", "line", "reason") == [
        ("gone", "l.tsv", 3, "label for an id that is not in a.fasta")
    ]
    assert rows(checked.records, "id", "label") == [("a", "x"), ("b", "")]


def test_no_label_matching_any_record_is_an_error(write):
    path = write("a.fasta", fasta(("a", A)))
    table = write("l.tsv", "id\tlabel\np\tx\nq\ty\n")
    with pytest.raises(InputError, match=r"none of its 2 ids is in .*'p'.*'a'"):
        check_batch(path, labels=table)


def test_labels_split_and_join():
    assert split_labels(" b; a;;b ;") == ["b", "a"]
    assert join_labels(["b", "a"]) == "a;b"
    assert split_labels("") == []


def test_labels_are_counted_once_per_label(write):
    table = write("l.tsv", "id\tlabel\na\tx\nb\ty;x\nc\t\n")
    path = write("a.fasta", fasta(("a", A), ("b", B), ("c", C)))
    assert label_counts(check_batch(path, labels=table).records) == {"x": 2, "y": 1}


# --- labels from headers ---------------------------------------------------------------


def test_labels_come_from_headers_by_a_rule(write):
    path = write("a.fasta", fasta(("Q1 Nucleus-U", A), ("Q2 Golgi-M", B), ("Q3", C)))
    checked = check_batch(path, header_pattern=r"-(?P<label>[MSU])$", unknown=["U"])
    assert rows(checked.records, "id", "label") == [("Q1", ""), ("Q2", "M"), ("Q3", "")]


def test_copies_under_one_id_with_contradicting_headers_are_a_conflict(write):
    path = write("a.fasta", fasta(("Q1 Golgi-M", A), ("Q1 Golgi-S", A), ("Q2 Golgi-S", B)))
    checked = check_batch(path, header_pattern=r"-(?P<label>[MS])$")
    assert rows(checked.records, "id", "label", "label_conflict") == [
        ("Q1", "", True),
        ("Q2", "S", False),
    ]


def test_a_label_table_goes_before_the_header_rule(write):
    path = write("a.fasta", fasta(("Q1 Golgi-M", A)))
    table = write("l.tsv", "id\tlabel\nQ1\tS\n")
    checked = check_batch(path, labels=table, header_pattern=r"-(?P<label>[MS])$")
    assert rows(checked.records, "label") == [("S",)]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(?P<label>[MS", "is not a regular expression"),
        ("-([MSU])$", "has no group named 'label': write for example"),
        (r"\[(?P<label>\w+)\]", r"matches none of 2 headers; the first is 'Q1 Golgi-M'"),
    ],
)
def test_a_header_rule_that_cannot_work_is_refused(write, pattern, message):
    path = write("a.fasta", fasta(("Q1 Golgi-M", A), ("Q2 Nucleus-S", B)))
    with pytest.raises(InputError, match=message) as caught:
        check_batch(path, header_pattern=pattern)
    assert "check.header_pattern" in str(caught.value)


def test_an_optional_label_group_that_took_no_part_is_unknown(write):
    path = write("a.fasta", fasta(("Q1 Golgi-M", A), ("Q2 Golgi", B)))
    checked = check_batch(path, header_pattern=r"Golgi(-(?P<label>[MS]))?$")
    assert rows(checked.records, "label") == [("M",), ("",)]


@pytest.mark.shared
def test_the_deeploc_headers_give_the_published_counts(shared):
    path = shared / "data/deeploc/deeploc_test_set.fasta"
    checked = check_batch(
        path, header_pattern=r"-(?P<label>[MSU])( |$)", unknown=["U"], max_length=434
    )
    accounted = len(checked.records) + len(checked.duplicates) + len(checked.rejected)
    assert accounted == 2768
    assert set(label_counts(checked.records)) == {"M", "S"}
