"""Profiles, domain search, architectures, GFF3."""

from __future__ import annotations

from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest

from omicsai.domains import (
    ARCHITECTURES,
    DOMAINS,
    Clans,
    build_profile,
    builtin_files,
    builtin_table,
    count_architectures,
    domain_architectures,
    open_library,
    presence,
    read_clans,
    read_profiles,
    resolve_overlaps,
    search_domains,
    write_gff3,
    write_profiles,
)
from omicsai.errors import InputError
from omicsai.sequences import Sequence, read_sequences

ROWS = [
    "MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQAPILSRVGDGTQDNLSGAEKAVQVKVK",
    "MKTAYIAKQRQISFVKSHFARQLEERLGLIEVQAPILSRVGDGTQDNLSGAEKAVQVKVR",
    "MKTSYIAKQRQLSFVKSHFSRQLEDRLGLIEVQ-PILSRVGDGTQDNLSGSEKAVQVKVK",
]


@pytest.fixture(scope="module")
def profile():
    built = build_profile(
        "first", ROWS, accession="PF00001.1", description="a made-up domain"
    )
    built.cutoffs.gathering = (25.0, 22.0)
    return built


@pytest.fixture(scope="module")
def library():
    return open_library(builtin_files().profiles)


@pytest.fixture(scope="module")
def proteins(simulated):
    return simulated.known[:25]


@pytest.fixture(scope="module")
def hits(proteins, library):
    return search_domains(proteins, library)


def make_hit(**values):
    """One row of the domains table; envelopes reach two residues past alignments."""
    row = {
        "id": "p", "profile": "A", "accession": "", "start": 1, "end": 10,
        "profile_start": 1, "profile_end": 10, "profile_length": 10, "score": 50.0,
        "evalue": 1e-10, "sequence_score": 50.0, "sequence_evalue": 1e-10,
        "length_aa": 100, "conditional_evalue": 1e-12, "bias": 0.0, "sequence_bias": 0.0,
        "accuracy": 0.9, "completeness": "full", "clan": "", "kept": True, **values,
    }  # fmt: skip
    return {
        "envelope_start": max(row["start"] - 2, 1), "envelope_end": row["end"] + 2, **row
    }  # fmt: skip


# --- profiles --------------------------------------------------------------------------


def test_a_library_survives_the_round_trip(tmp_path, profile):
    write_profiles([profile, build_profile("second", ROWS[:2])], tmp_path / "a.hmm")
    first, second = read_profiles(tmp_path / "a.hmm")
    assert (first.name, first.accession, first.description, first.M) == (
        "first", "PF00001.1", "a made-up domain", 60,
    )  # fmt: skip
    assert tuple(first.cutoffs.gathering) == (25.0, 22.0)
    assert (second.name, second.accession) == ("second", None)
    np.testing.assert_allclose(
        np.asarray(first.match_emissions), np.asarray(profile.match_emissions), atol=1e-4
    )


def test_a_library_has_the_same_bytes_each_time(tmp_path):
    for name in ("one.hmm", "two.hmm"):
        write_profiles([build_profile("first", ROWS)], tmp_path / name)
    one, two = ((tmp_path / name).read_bytes() for name in ("one.hmm", "two.hmm"))
    assert one == two
    assert b"DATE" not in one


@pytest.mark.parametrize("rows", [["MKTAYIAK", "MKT"], [], ["MKT1YIAK"], ["--", "--"]])
def test_an_alignment_that_cannot_be_modelled_is_refused(rows):
    with pytest.raises(InputError, match="cannot build the profile 'broken'"):
        build_profile("broken", rows)


def test_a_missing_library_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"none\.hmm does not exist: give a HMMER3"):
        read_profiles(tmp_path / "none.hmm")


@pytest.mark.parametrize("content", [b"", b"\n", b"not a profile\n", b"\x00\xff" * 100])
def test_a_file_that_is_no_library_is_refused(write, content):
    with pytest.raises(InputError, match=r"a\.hmm (is not a readable|holds no profile)"):
        read_profiles(write("a.hmm", content))


def test_a_library_cut_short_names_the_last_good_profile(write, tmp_path, profile):
    write_profiles([profile, build_profile("second", ROWS)], tmp_path / "a.hmm")
    whole = (tmp_path / "a.hmm").read_bytes()
    path = write("cut.hmm", whole[: int(len(whole) * 0.7)])
    with pytest.raises(InputError, match=r"after profile 'first': get the file again"):
        read_profiles(path)


def test_a_profile_named_twice_is_refused(tmp_path, profile):
    write_profiles([profile, profile], tmp_path / "a.hmm")
    with pytest.raises(InputError, match="names the profile 'first' twice: keep one"):
        read_profiles(tmp_path / "a.hmm")


def test_a_nucleotide_profile_is_refused(tmp_path):
    from pyhmmer.easel import Alphabet, TextMSA, TextSequence
    from pyhmmer.plan7 import Background, Builder

    dna = Alphabet.dna()
    rows = [
        TextSequence(name=f"r{i}".encode(), sequence="ACGTTGCAACGGTTAACCGT" * 2)
        for i in range(3)
    ]
    msa = TextMSA(name=b"gene", sequences=rows).digitize(dna)
    built, _, _ = Builder(dna).build_msa(msa, Background(dna))
    write_profiles([built], tmp_path / "a.hmm")
    with pytest.raises(InputError, match=r"profile 'gene' is for DNA, not for proteins"):
        read_profiles(tmp_path / "a.hmm")


# --- search ----------------------------------------------------------------------------


def test_a_planted_domain_is_found_where_it_was_planted(profile):
    unrelated = "GWHPLDNECYGGWHPLDNECYG"
    target = Sequence("t/1", unrelated + ROWS[0] + unrelated)
    found = search_domains([Sequence("u", unrelated), target], [profile])
    hit = found.iloc[0]
    assert len(found) == 1
    assert (hit["id"], hit["profile"], hit["accession"]) == ("t/1", "first", "PF00001.1")
    assert hit["start"] == pytest.approx(23, abs=2)
    assert hit["end"] == pytest.approx(82, abs=2)
    assert (hit["profile_length"], hit["length_aa"]) == (60, 104)
    # 1-based and closed: these are the residues that HMMER aligned
    assert target.residues[hit["start"] - 1 : hit["end"]] in ROWS[0]


def test_planted_domains_of_simulated_proteins_are_found(simulated, proteins, hits):
    assert list(hits.columns) == DOMAINS.names
    truth = simulated.truth.set_index("id")["true_label"]
    charged = builtin_table().set_index("profile")["class"]
    cores = hits.assign(aa=hits["profile"].map(charged)).query("aa != ''")
    best = cores.loc[cores.groupby("id")["score"].idxmax()]
    assert (best["aa"].to_numpy() == truth[best["id"]].to_numpy()).mean() > 0.95
    assert best["id"].nunique() > 0.9 * len(proteins)


def test_coordinates_are_one_based_and_inside_the_sequence(proteins, hits):
    length = {record.id: len(record) for record in proteins}
    assert list(hits["length_aa"]) == [length[key] for key in hits["id"]]
    for low, middle_low, middle_high, high, top in (
        ("envelope_start", "start", "end", "envelope_end", "length_aa"),
        ("profile_start", "profile_start", "profile_end", "profile_end", "profile_length"),
    ):
        assert (hits[low] >= 1).all()
        assert (hits[low] <= hits[middle_low]).all()
        assert (hits[middle_low] <= hits[middle_high]).all()
        assert (hits[middle_high] <= hits[high]).all()
        assert (hits[high] <= hits[top]).all()


def test_rows_follow_the_sequences_then_the_position(proteins, hits):
    place = {record.id: i for i, record in enumerate(proteins)}
    keys = [(place[row.id], row.start) for row in hits.itertuples()]
    assert keys == sorted(keys)


def test_results_do_not_depend_on_what_else_is_in_the_batch(proteins, library, hits):
    half = proteins[::2]
    kept = {record.id for record in half}
    expected = hits[hits["id"].isin(kept)].reset_index(drop=True)
    pd.testing.assert_frame_equal(search_domains(half, library), expected)


def test_threads_do_not_change_the_result(proteins, library, hits):
    again = search_domains(proteins, library, threads=2)
    pd.testing.assert_frame_equal(again, hits)


def test_gathering_thresholds_cut_what_an_evalue_lets_through(proteins, library, hits):
    loose = search_domains(proteins, library, cutoff="evalue", evalue=10.0)
    assert len(loose) > len(hits)
    assert (loose["evalue"] <= 10.0).all()
    gathering = {p.name: p.cutoffs.gathering2 for p in library}
    assert (hits["score"] >= hits["profile"].map(gathering) - 0.05).all()


def test_profiles_without_thresholds_are_named_with_the_way_out(profile):
    bare = build_profile("bare", ROWS)
    protein = Sequence("a", ROWS[0])
    message = r"1 of 2 profiles have no gathering threshold, for example 'bare': use "
    with pytest.raises(InputError, match=message) as caught:
        search_domains([protein], [profile, bare])
    assert "--cutoff evalue" in str(caught.value)
    with pytest.raises(InputError, match="2 of 2 profiles have no trusted threshold"):
        search_domains([protein], [profile, bare], cutoff="trusted")
    assert len(search_domains([protein], [profile, bare], cutoff="evalue")) == 2


def test_a_protein_too_long_for_hmmer_is_named(profile):
    with pytest.raises(InputError, match=r"'titin' has 100001 residues; .*max_length"):
        search_domains([Sequence("titin", "M" * 100_001)], [profile])


def test_no_domain_gives_an_empty_table(profile):
    found = search_domains([Sequence("a", "GWHPLDNECY")], [profile])
    assert list(found.columns) == DOMAINS.names
    assert found.empty
    told = domain_architectures(found, [Sequence("a", "GWHPLDNECY")])
    assert told.to_dict("list") == {
        "id": ["a"], "architecture": [""], "domains": [0], "covered_fraction": [0.0],
        "clans": [""],
    }  # fmt: skip


def test_nonstandard_residues_are_searched(profile):
    odd = ROWS[0].replace("S", "U", 1).replace("Q", "Z", 1).replace("L", "J", 1)
    assert len(search_domains([Sequence("a", odd + "OBX")], [profile])) == 1


@pytest.mark.shared
def test_the_e_coli_proteome_has_its_988_domains(shared):
    (proteome,) = (shared / "data/domains/ecoli").glob("*.fasta.gz")
    profiles = read_profiles(shared / "data/domains/pfam280_ga.hmm")
    found = search_domains(read_sequences(proteome), profiles, threads=2)
    assert len(profiles) == 280
    assert (len(found), found["id"].nunique()) == (988, 702)
    clans = read_clans(shared / "data/domains/Pfam-A.clans.tsv")
    resolved = resolve_overlaps(found, clans)
    assert list(resolved["kept"]) == _as_pfam_scan(found, clans)
    assert 0 < (~resolved["kept"].astype(bool)).sum() < 200


def _as_pfam_scan(found, clans):
    """Pfam's rule, told as plainly as it can be: best first, each against all kept."""
    kept = []
    for row in found.sort_values(["evalue", "score"], ascending=[True, False]).itertuples():
        mine = clans.clan(row.profile, row.accession)
        if not any(
            mine
            and other.id == row.id
            and clans.clan(other.profile, other.accession) == mine
            and other.start <= row.end
            and row.start <= other.end
            for other in kept
        ):
            kept.append(row)
    winners = {row.Index for row in kept}
    return [i in winners for i in found.index]


# --- architectures ---------------------------------------------------------------------

CLANS = Clans(
    {"A": "C1", "B": "C1", "C": "C1", "X": "C2", "PF00009": "C1"},
    frozenset({frozenset({"A", "C"})}),
)


@pytest.mark.parametrize(
    ("hits", "expected"),
    [
        pytest.param(
            [{"profile": "B", "start": 60, "end": 90}, {"profile": "A"}],
            "A, B", id="ordered by start",
        ),
        pytest.param(
            [{"profile": "A", "start": 1, "end": 40, "evalue": 1e-5},
             {"profile": "B", "start": 40, "end": 60, "evalue": 1e-9}],
            "B", id="one clan, one residue shared: the lower E-value stays",
        ),
        pytest.param(
            [{"profile": "A", "start": 1, "end": 40, "evalue": 1e-5},
             {"profile": "B", "start": 41, "end": 60, "evalue": 1e-9}],
            "A, B", id="neighbours do not overlap",
        ),
        pytest.param(
            [{"profile": "A", "start": 1, "end": 40, "evalue": 1e-5},
             {"profile": "X", "start": 1, "end": 40, "evalue": 1e-9}],
            "A, X", id="different clans may overlap",
        ),
        pytest.param(
            [{"profile": "A", "start": 1, "end": 40, "evalue": 1e-5},
             {"profile": "none", "start": 1, "end": 40, "evalue": 1e-9}],
            "A, none", id="a family without a clan competes with nobody",
        ),
        pytest.param(
            [{"profile": "none", "start": 1, "end": 40, "evalue": 1e-5},
             {"profile": "other", "start": 1, "end": 40, "evalue": 1e-9}],
            "none, other", id="two families without a clan are not one clan",
        ),
        pytest.param(
            [{"profile": "A", "start": 1, "end": 90, "evalue": 1e-9},
             {"profile": "C", "start": 30, "end": 40, "evalue": 1e-5}],
            "A, C", id="nested by Pfam's list: both stay",
        ),
        pytest.param(
            [{"profile": "A", "start": 1, "end": 90, "evalue": 1e-9},
             {"profile": "B", "start": 30, "end": 40, "evalue": 1e-5}],
            "A", id="inside, but not listed as nested",
        ),
        pytest.param(
            [{"profile": "A", "score": 30.0, "evalue": 0.0},
             {"profile": "B", "score": 40.0, "evalue": 0.0}],
            "B", id="equal E-values: the higher score stays",
        ),
        pytest.param(
            [{"profile": "B", "start": 1, "end": 40, "evalue": 1e-9},
             {"profile": "A", "start": 35, "end": 60, "evalue": 1e-7},
             {"profile": "B", "start": 55, "end": 90, "evalue": 1e-5}],
            "B, B", id="a loser frees its place",
        ),
        pytest.param(
            [{"profile": "PF-name", "accession": "PF00009.12", "evalue": 1e-5},
             {"profile": "B", "evalue": 1e-9}],
            "B", id="clans are found by accession without version",
        ),
        pytest.param(
            [{"profile": "A", "start": 1, "end": 20}, {"profile": "A", "start": 30,
             "end": 50}], "A, A", id="repeats are kept",
        ),
    ],
)  # fmt: skip
def test_overlapping_hits_are_resolved_as_pfam_does(hits, expected):
    table = DOMAINS.frame([make_hit(**hit) for hit in hits])
    resolved = resolve_overlaps(table, CLANS)
    told = domain_architectures(resolved, [Sequence("p", "M" * 100)])
    assert told["architecture"][0] == expected
    assert told["domains"][0] == len(expected.split(", "))
    untouched = domain_architectures(table, [Sequence("p", "M" * 100)])
    assert untouched["domains"][0] == len(hits)


def test_domains_of_different_proteins_do_not_compete():
    table = DOMAINS.frame([make_hit(), make_hit(id="q", profile="B", evalue=1e-20)])
    assert resolve_overlaps(table, CLANS)["kept"].all()


def test_envelopes_overlap_where_alignments_do_not():
    rows = [make_hit(start=1, end=30), make_hit(profile="B", start=33, end=60)]
    table = DOMAINS.frame(rows)
    assert list(resolve_overlaps(table, CLANS)["kept"]) == [True, True]
    assert list(resolve_overlaps(table, CLANS, by="envelope")["kept"]) == [True, False]


def test_an_architecture_is_told_in_clans_too():
    table = DOMAINS.frame([make_hit(), make_hit(profile="none", start=40, end=60)])
    told = domain_architectures(resolve_overlaps(table, CLANS), [Sequence("p", "M" * 100)])
    assert (told["architecture"][0], told["clans"][0]) == ("A, none", "C1, none")


def test_architectures_are_counted_with_their_members():
    rows = [
        make_hit(), make_hit(id="q"), make_hit(id="r", profile="B"),
        make_hit(id="r", profile="X", start=40, end=60),
    ]  # fmt: skip
    records = [Sequence(key, "M" * 100) for key in "pqrs"]
    table = DOMAINS.frame(rows)
    counts = count_architectures(domain_architectures(table, records))
    assert counts.to_dict("list") == {
        "architecture": ["A", "B, X"], "proteins": [2, 1], "fraction": [0.5, 0.25],
        "members": ["p q", "r"], "clans": ["A", "B, X"],
    }  # fmt: skip
    lines = [line.rstrip("\n").split("\t") for line in presence(table, "pqrs")]
    assert lines == [
        ["id", "A", "B", "X"], ["p", "1", "0", "0"], ["q", "1", "0", "0"],
        ["r", "0", "1", "1"], ["s", "0", "0", "0"],
    ]  # fmt: skip


def test_coverage_counts_every_residue_of_the_envelopes_once():
    table = DOMAINS.frame(
        [
            make_hit(start=11, end=30),
            make_hit(profile="B", start=29, end=50, evalue=1e-9),
        ]
    )
    told = domain_architectures(table, [Sequence("p", "M" * 100)])
    assert told["covered_fraction"][0] == pytest.approx(0.44)  # 9 to 52


def test_every_protein_has_a_row_in_the_order_given(proteins, hits):
    told = domain_architectures(hits, proteins)
    assert list(told["id"]) == [record.id for record in proteins]
    assert list(told.columns) == ARCHITECTURES.names
    assert told["covered_fraction"].between(0, 1).all()
    assert (told["domains"] > 0).mean() > 0.85


# --- GFF3 ------------------------------------------------------------------------------


def test_gff3_columns_coordinates_and_escaping(tmp_path):
    proteins = [Sequence("a b;c", "M" * 100), Sequence("sp|P1|X/2", "M" * 50)]
    table = DOMAINS.frame(
        [
            make_hit(id="a b;c", profile="x=1;y&z%", start=3, end=20, evalue=0.0),
            make_hit(
                id="sp|P1|X/2", profile="Kinase", accession="PF00069.30", start=5, end=40
            ),
        ]
    )
    write_gff3(table, proteins, tmp_path / "a.gff3")
    lines = (tmp_path / "a.gff3").read_text().splitlines()
    assert lines[0] == "##gff-version 3"
    regions = [line.split() for line in lines if line.startswith("##sequence-region")]
    features = [line.split("\t") for line in lines if not line.startswith("#")]
    assert [(unquote(r[1]), r[2:]) for r in regions] == [
        ("a b;c", ["1", "100"]),
        ("sp|P1|X/2", ["1", "50"]),
    ]
    assert [len(row) for row in features] == [9, 9]
    # the envelope, which holds the alignment, is the feature
    assert [row[1:8] for row in features] == [
        ["HMMER", "polypeptide_domain", "1", "22", "0", ".", "."],
        ["HMMER", "polypeptide_domain", "3", "42", "1e-10", ".", "."],
    ]
    # a feature names its sequence as the sequence-region does
    assert [row[0] for row in features] == [region[1] for region in regions]
    attributes = [dict(pair.split("=") for pair in row[8].split(";")) for row in features]
    assert attributes[0]["ID"] != attributes[1]["ID"]
    assert [unquote(a["Name"]) for a in attributes] == ["x=1;y&z%", "Kinase"]
    assert attributes[1]["Dbxref"] == "Pfam:PF00069.30"
    assert "Dbxref" not in attributes[0]
    assert (attributes[1]["alignment_start"], attributes[1]["alignment_end"]) == ("5", "40")
    assert attributes[1]["Target"] == "Kinase 1 10"


def test_a_gff3_id_cannot_pass_for_a_fasta_or_comment_line(tmp_path):
    write_gff3(
        DOMAINS.frame([make_hit(id=">x")]), [Sequence(">x", "M" * 100)], tmp_path / "a"
    )
    rows = (tmp_path / "a").read_text().splitlines()
    assert not any(row.startswith(">") for row in rows)
