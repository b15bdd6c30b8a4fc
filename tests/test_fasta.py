"""FASTA in and out, and the canonical form of residues."""

from __future__ import annotations

import gzip
import hashlib
import lzma

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omicsai.errors import InputError
from omicsai.sequences import (
    Sequence,
    canonical,
    parse_fasta,
    read_sequences,
    sequence_digest,
    write_fasta,
)
from omicsai.sequences.alphabet import AMINO_ACIDS, NONSTANDARD, count_nonstandard

PLAIN = b">one first protein\nMKTAYIAKQR\n>two\nGWHHEDLLNC\n"
EXPECTED = [Sequence("one", "MKTAYIAKQR"), Sequence("two", "GWHHEDLLNC")]

ids = st.text(
    st.characters(codec="utf-8", exclude_categories=("Z", "C")), min_size=1, max_size=12
)
residues = st.text(AMINO_ACIDS + NONSTANDARD, min_size=21, max_size=80).filter(
    lambda text: not set(text) <= set("ACGTUN")
)


@pytest.mark.parametrize(
    "content",
    [
        PLAIN,
        PLAIN.rstrip(b"\n"),
        b">one first protein\nMKT\nAYIAK\nQR\n\n>two\nGWHHE\nDLLNC\n\n",
        PLAIN.replace(b"\n", b"\r\n"),
        PLAIN.replace(b"\n", b"\r"),
        b"\xef\xbb\xbf" + PLAIN,
        b"; a comment\n\n" + PLAIN,
        PLAIN.lower().replace(b"mk", b"M-.k").replace(b"wh", b"w h"),
        b">one\nMKTAYIAKQR*\n>two\nGWHHEDLLNC*\n",
        b">  one\nMKTAYIAKQR  \n>two\t x\n  GWHHEDLLNC\n",
        gzip.compress(PLAIN),
        lzma.compress(PLAIN),
        gzip.compress(PLAIN[:20]) + gzip.compress(PLAIN[20:]),
    ],
    ids=[
        "plain", "no last line end", "wrapped", "CRLF", "CR", "BOM", "comment",
        "lower case and gaps", "trailing stop", "blanks", "gzip", "xz", "two gzip members",
    ],
)  # fmt: skip
def test_every_spelling_of_a_fasta_file_reads_the_same(write, content):
    assert read_sequences(write("proteins.fasta", content)) == EXPECTED


def test_compression_is_told_by_content_not_by_name(write):
    assert read_sequences(write("proteins.fasta.gz", PLAIN)) == EXPECTED
    assert read_sequences(write("proteins.txt", gzip.compress(PLAIN))) == EXPECTED


def test_records_know_their_line_and_header(write):
    records = list(parse_fasta(write("a.fasta", b"\r\n\n>one x  y\nMK\nTA\n>two\nGW\n")))
    assert [(r.id, r.header, r.raw, r.line) for r in records] == [
        ("one", "one x  y", "MKTA", 3),
        ("two", "two", "GW", 6),
    ]


def test_an_id_keeps_its_slashes_and_ends_at_the_first_blank(write):
    path = write("a.fasta", b">sp|P1/2|A%B.1 some/text\nMKTAYIAKQR\n")
    assert read_sequences(path)[0].id == "sp|P1/2|A%B.1"


@pytest.mark.parametrize("compress", [gzip.compress, lzma.compress])
def test_a_truncated_archive_names_the_file_and_the_line(write, compress):
    archive = compress(b">one\nMKTAYIAKQR\n" * 5000)
    path = write("cut.fasta.gz", archive[: len(archive) * 9 // 10])
    with pytest.raises(InputError, match=r"cut\.fasta\.gz is cut off or damaged after"):
        list(parse_fasta(path))


def test_a_damaged_archive_names_the_file(write):
    archive = gzip.compress(b">one\nMKTAYIAKQR\n" * 1000)
    path = write("bad.fasta.gz", archive[:30] + b"xxxx" + archive[34:])
    with pytest.raises(InputError, match=r"bad\.fasta\.gz is cut off or damaged"):
        list(parse_fasta(path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"a\.fasta is empty"),
        (gzip.compress(b""), r"a\.fasta is empty"),
        (b"\n \n", r"holds no FASTA record: every record starts with '>'"),
        (b"MKTAYIAKQR\n>one\nMKT\n", r"line 1: expected a FASTA header .* 'MKTAYIAKQR'"),
        (b"\nid\tlabel\na\tb\n", r"line 2: expected a FASTA header"),
    ],
    ids=["empty", "empty gzip", "blank lines", "no header", "a table"],
)
def test_a_file_that_is_not_fasta_is_refused(write, content, message):
    with pytest.raises(InputError, match=message):
        list(parse_fasta(write("a.fasta", content)))


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"none\.fasta does not exist: check the path"):
        list(parse_fasta(tmp_path / "none.fasta"))
    with pytest.raises(InputError, match="is a folder, not a file"):
        list(parse_fasta(tmp_path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b">one\nMKTAYIAKQR\n>one\nGWHHEDLLNC\n", "line 3, .*id already used on line 1"),
        (b">one\nMKT*YIAKQR\n", r"stop codon inside the sequence \(residue 4\)"),
        (b">one\n\n>two\nMKT\n", "line 1, record 'one': empty sequence"),
        (b">\nMKTAYIAKQR\n", "line 1, record '': header without id"),
        (b">one\nMKT1YIA!QR\n", "not amino acids: '!' '1'"),
        (b">one\nATGGCTAAAGGTGAACTGTTC\n", "looks like nucleotides"),
        (b">one\nMKT\xffYIAKQR\n", "line 2 is not UTF-8 text"),
        (b">one \xe9\nMKTAYIAKQR\n", "line 1 is not UTF-8 text"),
    ],
)
def test_read_sequences_stops_at_the_first_unusable_record(write, content, message):
    with pytest.raises(InputError, match=message) as caught:
        read_sequences(write("a.fasta", content))
    assert "'omicsai check" in str(caught.value)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("mktayiakqr", "MKTAYIAKQR"),
        ("MK-T.A\tY I", "MKTAYI"),
        ("MKTAYI*", "MKTAYI"),
        ("UOBZJX", "UOBZJX"),
        ("ACGTACGTACGTACGTACG", "ACGTACGTACGTACGTACG"),  # 19: a plausible peptide
    ],
)
def test_canonical_protein(raw, expected):
    assert canonical(raw) == (expected, "")


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        ("", "empty sequence"),
        ("-.-", "empty sequence"),
        ("*", "empty sequence"),
        ("MK**", "stop codon inside"),
        ("MK?T", "not amino acids: '?'"),
        ("MKT\u00e9", "not amino acids"),
        ("ACGTACGTACGTACGTACGT", "looks like nucleotides"),
        ("acgunacgunacgunacgun", "looks like nucleotides"),
    ],
)
def test_canonical_protein_says_what_is_wrong(raw, problem):
    assert problem in canonical(raw)[1]


@pytest.mark.parametrize("letter", ["\u00df", "\u0131"])
def test_a_letter_that_only_becomes_ascii_in_upper_case_is_no_amino_acid(letter):
    assert "not amino acids" in canonical(f"MKTAYI{letter}AKQR")[1]


def test_canonical_trna_reads_t_as_u():
    assert canonical("gcgT-tca", "trna") == ("GCGUUCA", "")
    assert "not nucleotides: 'E'" in canonical("GCE", "trna")[1]
    assert canonical("", "trna")[1] == "empty sequence"


def test_nonstandard_residues_are_counted():
    assert count_nonstandard("MKUOBZJX") == 6
    assert count_nonstandard("GCUNAR", "trna") == 2


def test_the_digest_is_sha256_of_the_residues():
    assert sequence_digest("MKT") == hashlib.sha256(b"MKT").hexdigest()


@given(st.text(max_size=60))
def test_canonical_is_idempotent(raw):
    once, problem = canonical(raw)
    if not problem:
        assert canonical(once) == (once, "")


@given(st.dictionaries(ids, residues, min_size=1, max_size=8))
def test_writing_and_reading_gives_the_same_sequences(tmp_path, content):
    sequences = [Sequence(key, value) for key, value in content.items()]
    write_fasta(sequences, tmp_path / "a.fasta")
    assert read_sequences(tmp_path / "a.fasta") == sequences
