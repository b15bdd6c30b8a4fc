"""HMMER's own figures, shards, the store of hits, libraries in all their forms."""

from __future__ import annotations

import gzip
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from omicsai.domains import (
    builtin_files,
    builtin_table,
    open_library,
    read_clans,
    read_go,
    read_profiles,
    search_domains,
    write_domtblout,
    write_gff3,
    write_profiles,
)
from omicsai.domains import search as search_module
from omicsai.domains.ontology import go_terms
from omicsai.errors import InputError
from omicsai.sequences import Sequence, SequenceFile, write_fasta


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """A small library as a file: three amino acids and some common families."""
    path = tmp_path_factory.mktemp("library") / "few.hmm"
    about = builtin_table().set_index("profile")["class"]
    profiles = read_profiles(builtin_files().profiles)
    chosen = [p for p in profiles if about[p.name] in ("His", "Trp", "Tyr")]
    write_profiles(chosen + [p for p in profiles if not about[p.name]][::8], path)
    return path


@pytest.fixture(scope="module")
def proteins(simulated):
    # one protein twice under two names: found by content
    return [*simulated.known[:24], Sequence("twin", simulated.known[3].residues)]


@pytest.fixture(scope="module")
def whole(few, proteins):
    return search_domains(proteins, open_library(few))


def hmmscan(proteins, path, **options):
    """What HMMER's scan reports: the profile is the target, Z and domZ are its own."""
    from pyhmmer.easel import Alphabet, DigitalSequenceBlock, TextSequence
    from pyhmmer.hmmer import hmmscan as scan

    alphabet = Alphabet.amino()
    queries = DigitalSequenceBlock(
        alphabet,
        [
            TextSequence(name=p.id.encode(), sequence=p.residues).digitize(alphabet)
            for p in proteins
        ],
    )
    rows = {}
    for hits in scan(queries, read_profiles(path), cpus=1, **options):
        for hit in hits.reported:
            for domain in hit.domains.reported:
                key = (hits.query.name, hit.name, domain.env_from, domain.env_to)
                rows[key] = (
                    hit.score, hit.evalue, domain.score, domain.i_evalue, domain.c_evalue,
                )  # fmt: skip
    return rows


def ours(table):
    return {
        (r.id, r.profile, r.envelope_start, r.envelope_end): (
            r.sequence_score, r.sequence_evalue, r.score, r.evalue, r.conditional_evalue,
        )
        for r in table.itertuples()
    }  # fmt: skip


def test_domains_scores_and_all_evalues_are_those_of_hmmscan(whole, proteins, few):
    expected = hmmscan(proteins, few, bit_cutoffs="gathering")
    found = ours(whole)
    assert len(found) > 24
    assert found.keys() == expected.keys()
    for key, values in expected.items():
        assert found[key] == pytest.approx(values, rel=1e-4)


def test_an_evalue_cutoff_is_that_of_hmmscan(proteins, few):
    library = open_library(few)
    expected = hmmscan(proteins, few, E=5.0, domE=5.0, domZ=len(library), Z=len(library))
    found = search_domains(proteins, library, cutoff="evalue", evalue=5.0)
    assert ours(found).keys() == expected.keys()
    other = search_domains(proteins, library, cutoff="evalue", evalue=5.0, z=1000)
    assert len(other) < len(found)
    assert (other["evalue"] <= 5).all()


def test_domtblout_is_read_back_by_another_parser(whole, few, tmp_path):
    from Bio import SearchIO

    library = open_library(few)
    write_domtblout(whole, library, tmp_path / "a.domtblout")
    read = {
        (query.id, hit.id, hsp.env_start + 1, hsp.env_end): hsp
        for query in SearchIO.parse(tmp_path / "a.domtblout", "hmmscan3-domtab")
        for hit in query
        for hsp in hit
    }
    assert read.keys() == ours(whole).keys()
    for row in whole.itertuples():
        hsp = read[row.id, row.profile, row.envelope_start, row.envelope_end]
        assert hsp.bitscore == pytest.approx(row.score, abs=0.06)
        assert hsp.evalue == pytest.approx(row.evalue, rel=0.06)
        assert hsp.evalue_cond == pytest.approx(row.conditional_evalue, rel=0.06)
        assert (hsp.hit_start + 1, hsp.hit_end) == (row.profile_start, row.profile_end)
        assert (hsp.query_start + 1, hsp.query_end) == (row.start, row.end)
        assert hsp.acc_avg == pytest.approx(row.accuracy, abs=0.006)


@pytest.mark.skipif(shutil.which("gt") is None, reason="GenomeTools is not installed")
def test_the_gff3_is_valid_to_genometools(whole, proteins, tmp_path):
    odd = [Sequence(f"sp|P{i:05d}|a;b=c%&,d", p.residues) for i, p in enumerate(proteins)]
    names = dict(zip([p.id for p in proteins], [p.id for p in odd], strict=True))
    table = whole.assign(id=whole["id"].map(names), kept=False, clan="CL0001")
    write_gff3(table, odd, tmp_path / "a.gff3")
    done = subprocess.run(
        ["gt", "gff3validator", tmp_path / "a.gff3"], capture_output=True, text=True
    )
    assert "input is valid GFF3" in done.stdout, done.stderr


def test_completeness_tells_which_end_is_missing(few):
    profile = read_profiles(few)[0]
    library = open_library([profile])
    consensus = profile.consensus.upper()
    n = len(consensus)
    for residues, expected in (
        (consensus, "full"),
        (consensus[: n // 2], "c_truncated"),
        (consensus[n // 2 :], "n_truncated"),
        (consensus[n // 4 : -(n // 4)], "fragment"),
    ):
        (found,) = search_domains([Sequence("a", residues)], library)["completeness"]
        assert found == expected


# --- shards and the store ----------------------------------------------------------------


@pytest.mark.parametrize("shard", [1, 4000, 10**9])
def test_shards_do_not_change_a_byte(monkeypatch, whole, proteins, few, tmp_path, shard):
    monkeypatch.setattr(search_module, "SHARD_RESIDUES", (shard, shard))
    library = open_library(few, cache=tmp_path)
    found = search_domains(proteins, library, store=tmp_path)
    pd.testing.assert_frame_equal(found, whole)
    parts = len(list(tmp_path.glob("hits-*/part-*.npz")))
    assert parts == {1: 24, 10**9: 1}.get(shard, parts)
    pd.testing.assert_frame_equal(search_domains(proteins, library, store=tmp_path), whole)


def searched(monkeypatch) -> list[int]:
    """Number of sequences of each search from now on."""
    counts = []
    plain = search_module._search

    def counting(residues, *rest):
        counts.append(len(residues))
        return plain(residues, *rest)

    monkeypatch.setattr(search_module, "_search", counting)
    return counts


def test_only_unseen_sequences_are_searched(monkeypatch, whole, proteins, few, tmp_path):
    library = open_library(few, cache=tmp_path)
    counts = searched(monkeypatch)
    search_domains(proteins[:15], library, store=tmp_path)
    renamed = [Sequence(f"new {p.id}", p.residues) for p in proteins]
    found = search_domains(renamed, library, store=tmp_path)
    assert counts == [15, 9]
    expected = whole.assign(id="new " + whole["id"])
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)


def test_another_library_or_cutoff_is_another_search(monkeypatch, proteins, few, tmp_path):
    counts = searched(monkeypatch)
    library = open_library(few, cache=tmp_path)
    search_domains(proteins[:5], library, store=tmp_path)
    search_domains(proteins[:5], library, cutoff="evalue", store=tmp_path)
    search_domains(proteins[:5], library, cutoff="evalue", z=7, store=tmp_path)
    search_domains(proteins[:5], library, z=7, store=tmp_path)  # thresholds are scores
    other = tmp_path / "other.hmm"
    write_profiles(read_profiles(few)[:3], other)
    search_domains(proteins[:5], open_library(other, cache=tmp_path), store=tmp_path)
    assert counts == [5, 5, 5, 5]


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 255]) + data[at + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-50],
        lambda data: b"",
        lambda data: flipped(data, 100),  # in the compressed digests
        lambda data: flipped(data, len(data) // 2),
    ],
    ids=["truncated", "emptied", "flipped early", "flipped in the middle"],
)
def test_a_damaged_part_is_searched_again(whole, proteins, few, tmp_path, caplog, damage):
    library = open_library(few, cache=tmp_path)
    search_domains(proteins, library, store=tmp_path)
    (part,) = tmp_path.glob("hits-*/part-*.npz")
    part.write_bytes(damage(part.read_bytes()))
    pd.testing.assert_frame_equal(search_domains(proteins, library, store=tmp_path), whole)
    assert "is damaged" in caplog.text


def test_killed_run_loses_at_most_the_shard_in_flight(proteins, few, tmp_path):
    fasta = tmp_path / "a.fasta"
    write_fasta(proteins, fasta)
    script = (
        "import sys\n"
        "from omicsai.domains import search\n"
        "search.SHARD_RESIDUES = (1, 1)\n"
        "from omicsai.cli import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )

    def command(out, store):
        return [
            sys.executable, "-c", script, "annotate", str(fasta), "--profiles", str(few),
            "--store", str(store), "--out", str(out),
        ]  # fmt: skip

    killed = subprocess.Popen(
        command(tmp_path / "killed", tmp_path / "store"), stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while len(list((tmp_path / "store").glob("hits-*/part-*.npz"))) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    kept = {p: p.stat().st_mtime_ns for p in (tmp_path / "store").glob("hits-*/part-*.npz")}
    assert 3 <= len(kept) < 24
    for out, store in (("killed", "store"), ("oneshot", "fresh")):
        subprocess.run(
            command(tmp_path / out, tmp_path / store), check=True, capture_output=True
        )
    assert all(p.stat().st_mtime_ns == modified for p, modified in kept.items())
    names = sorted(p.name for p in (tmp_path / "oneshot").iterdir())
    assert len(names) == 8
    for name in names:
        assert (tmp_path / "killed" / name).read_bytes() == (
            tmp_path / "oneshot" / name
        ).read_bytes(), name


def test_a_fasta_file_is_gone_through_without_being_held(whole, proteins, few, tmp_path):
    write_fasta(proteins, tmp_path / "a.fasta")
    found = search_domains(SequenceFile(tmp_path / "a.fasta"), open_library(few))
    pd.testing.assert_frame_equal(found, whole)


# --- libraries in all their forms --------------------------------------------------------


def test_plain_packed_and_pressed_libraries_are_one(whole, proteins, few, tmp_path):
    from pyhmmer import hmmpress

    (tmp_path / "a.hmm.gz").write_bytes(gzip.compress(few.read_bytes()))
    hmmpress(read_profiles(few), tmp_path / "a")
    for source, cache in (
        (tmp_path / "a.hmm.gz", None),
        (tmp_path / "a.h3m", None),
        (few, tmp_path / "cache"),
    ):
        library = open_library(source, cache=cache)
        assert library.profiles == open_library(few).profiles
        found = search_domains(proteins, library)
        pd.testing.assert_frame_equal(found, whole, rtol=1e-5)
    assert not list((tmp_path / "cache").glob(".*"))


def test_format_versions_may_be_mixed(few, tmp_path):
    text = few.read_text().split("//\n")
    old = text[0].replace("HMMER3/f", "HMMER3/b", 1)
    # 3/b knows neither of these lines
    lines = [x for x in old.splitlines() if x.split()[0] not in ("MM", "CONS", "MAXL")]
    body = []
    for line in lines:
        cells = line.split()
        if len(cells) == 26 and cells[0].isdigit():  # a match line: 3/b has two tags
            line = " ".join(cells[:22] + cells[23:25])
        body.append(line)
    mixed = tmp_path / "mixed.hmm"
    mixed.write_text("\n".join(body) + "\n//\n" + text[1] + "//\n")
    names = [profile.name for profile in read_profiles(mixed)]
    assert names == [p.name for p in open_library(few).profiles[:2]]
    assert len(open_library(mixed, cache=tmp_path)) == 2


def test_a_name_that_would_be_two_families_is_refused(few, tmp_path):
    text = few.read_text()
    name = read_profiles(few)[0].name
    (tmp_path / "x.hmm").write_text(text.replace(name, "kinase,fused"))
    with pytest.raises(InputError, match="'kinase,fused' has a comma in its name"):
        read_profiles(tmp_path / "x.hmm")


def test_a_gzip_cut_short_is_named(few, tmp_path):
    packed = gzip.compress(few.read_bytes())
    (tmp_path / "cut.hmm.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(InputError, match=r"cut\.hmm\.gz is not a readable .* get the file"):
        read_profiles(tmp_path / "cut.hmm.gz")
    with pytest.raises(InputError, match=r"cut\.hmm\.gz is not a readable"):
        open_library(tmp_path / "cut.hmm.gz", cache=tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*profiles*"))


# --- odd proteins ------------------------------------------------------------------------


def test_a_very_long_protein_and_one_of_x_only(few):
    library = open_library(few)
    consensus = read_profiles(few)[0].consensus.upper()
    rng = np.random.default_rng(1)
    titin = "".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), 35_000))
    titin = titin[:20_000] + consensus + titin[20_000:]
    found = search_domains([Sequence("x", "X" * 500), Sequence("titin", titin)], library)
    assert set(found["id"]) == {"titin"}
    assert found["start"].min() == pytest.approx(20_001, abs=5)


# --- clans and terms ---------------------------------------------------------------------


def test_clans_are_read_from_both_of_pfams_tables(write):
    tsv = write("c.tsv", "PF00001\tCL1\tone\tA\tfirst\nPF00002\t\t\tB\tno clan\n")
    dat = write(
        "c.dat",
        "# STOCKHOLM 1.0\n#=GF ID   A\n#=GF AC   PF00001.21\n#=GF CL   CL1\n#=GF NE   B;\n"
        "//\n# STOCKHOLM 1.0\n#=GF ID   B\n#=GF AC   PF00002.3\n//\n",
    )
    for path in (tsv, dat):
        clans = read_clans(path)
        assert clans.clan("other name", "PF00001.99") == "CL1"
        assert clans.clan("A", "") == "CL1"
        assert clans.clan("B", "PF00002.1") == ""
    assert clans.nested == {frozenset({"A", "B"})}
    with pytest.raises(InputError, match=r"bad\.tsv, line 1: expected accession, clan"):
        read_clans(write("bad.tsv", "PF00001 CL1\n"))


def test_terms_follow_the_domains_that_are_kept(write, whole):
    row = whole.iloc[0]
    path = write(
        "go",
        f"!version\nPfam:PF00001 {row['profile']} > GO:binding ; GO:0005488\n"
        f"Pfam:PF00001 {row['profile']} > GO:a > b ; GO:0000001\n",
    )
    mapping = read_go(path)
    told = go_terms(whole.iloc[:1], mapping)
    assert list(told["go"]) == ["GO:0000001", "GO:0005488"]
    assert set(told["profiles"]) == {row["profile"]}
    assert go_terms(whole.iloc[:1].assign(kept=False), mapping).empty
    with pytest.raises(InputError, match="line 1: expected 'Pfam:PF00001 name"):
        read_go(write("bad", "PF00001\tGO:0005488\n"))
