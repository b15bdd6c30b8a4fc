"""tRNAs: numbering, identity elements, distances, cognates, isotypes, pairing."""

# ruff: noqa: E501
from __future__ import annotations

import csv
import json
import shutil
import xml.etree.ElementTree as ET
from dataclasses import fields, replace
from importlib import resources
from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from omicsai.config import read_config
from omicsai.errors import ConfigError, InputError
from omicsai.simulate.trna import simulate_trnas, write_trnas
from omicsai.trna import (
    LABELS,
    MATRIX,
    NUMBERING,
    STEM_PAIRS,
    SUPPORT,
    TRNA_RECORDS,
    check_identity,
    cluster_distances,
    core_weights,
    covariation,
    describe_synthetases,
    distances,
    dot_brackets,
    function_logo,
    identity_positions,
    identity_scores,
    learned_weights,
    likelihood_ratios,
    make_host,
    map_distances,
    match_pairs,
    matrix_table,
    normal_isotype,
    number_sequences,
    number_trnas,
    numbering_table,
    position_information,
    read_collection,
    read_identity,
    read_trnas,
    stockholm,
)
from omicsai.trna.bases import ALPHABET, GAP
from omicsai.trna.cloverleaf import (
    CCA_LOG_ODDS,
    LEAD_PRIOR,
    TAIL_PRIOR,
    Segmentation,
    load_model,
    segment,
)
from omicsai.trna.covariance import LEAST_BITS, _adopt, _columns, second_opinion
from omicsai.trna.drawing import cloverleaf_svg, drawings
from omicsai.trna.features import (
    make_features,
    unit_names,
    unit_weights,
)
from omicsai.trna.isotypes import anticodon_amino_acid
from omicsai.trna.labelling import OUTSIDE
from omicsai.trna.pairing import mirror_correlation
from omicsai.trna.positions import INDEX, REGIONS
from omicsai.trna.stockholm import read_stockholm, stockholm_text
from omicsai.trna.transfer import PENALTY, _without_groups, learn_unit_weights

YEAST_PHE = "GCGGAUUUAGCUCAGUUGGGAGAGCGCCAGACUGAAGAUCUGGAGGUCCUGUGUUCGAUCCACAGAAUUCGCACCA"
ECOLI = {
    "Ala": "GGGGCUAUAGCUCAGCUGGGAGAGCGCCUGCUUUGCACGCAGGAGGUCUGCGGUUCGAUCCCGCAUAGCUCCACCA",
    "Leu": "GCCCGAGUGGUGGAAUCGGUAGACACAAGGGAUUUAAAAUCCCUCGGCGUUCGCGCUGUGCGGGUUCAAGUCCCGCUCCGGGUACCA",
    "His": "GGUGGCUAUAGCUCAGUUGGUAGAGCCCUGGAUUGUGAUUCCAGUUGUCGUGGGUUCGAAUCCCAUUAGCCACCCCA",
    "SeC": "GGAAGAUCGUCGUCUCCGGUGAGGCGGCUGGACUUCAAAUCCAGUUGGGGCCGCCAGCGGUCCCGGGCAGGUUCGACUCCUGUGAUCUUCCGCCA",
}
YEAST_LEU_WITH_INTRON = "GGUUGUUUGGCCGAGCGGUCUAAGGCGCCUGAUUCAAGAAAUAUCUUGACCGCAGUUAACUGUGGGAAUACUCAGGUAUCGUAAGAUGCAAGAGUUCGAAUCUCUUAGCAACCA"


def table_of(sequence: str, **told) -> pd.DataFrame:
    return numbering_table(number_sequences([sequence], ["t"], **told))


def at(sequence: str) -> dict[str, str]:
    table = table_of(sequence)
    return dict(zip(table["label"], table["base"], strict=True))


@pytest.fixture(scope="module")
def sample():
    """Simulated host tRNAs, numbered, with their amino acids."""
    data = simulate_trnas(families=2, copies=2, orthogonal=4, mislabelled_fraction=0)
    clean = [s.upper().replace("T", "U") for s in data.sequences.values()]
    return number_sequences(clean, list(data.sequences)), data


# --- the axis -----------------------------------------------------------------------------


def test_axis_has_the_99_positions_in_order():
    assert len(LABELS) == len(set(LABELS)) == 99
    assert LABELS[:2] == ("-1", "1")
    assert LABELS[-4:] == ("73", "74", "75", "76")
    assert LABELS[INDEX["17"] : INDEX["20b"] + 1] == (
        "17", "17a", "18", "19", "20", "20a", "20b",
    )  # fmt: skip
    assert LABELS[INDEX["45"] + 1] == "e11"
    assert LABELS[INDEX["46"] - 1] == "e21"
    assert len(STEM_PAIRS) == 21
    assert {("3", "70"), ("10", "25")} <= set(STEM_PAIRS)
    assert REGIONS["73"] == "discriminator"


# --- numbering ----------------------------------------------------------------------------


def test_yeast_phe_is_numbered_as_in_the_crystal_structure():
    found = at(YEAST_PHE)
    assert [found[p] for p in ("16", "17", "18", "19", "20", "21")] == list("UUGGGA")
    assert [found[p] for p in ("33", "34", "35", "36", "37")] == list("UGAAG")
    assert [found[p] for p in ("44", "45", "46", "47", "48")] == list("AGGUC")
    assert [found[p] for p in ("54", "55", "56", "73", "76")] == list("UUCAA")
    assert len(found) == 76


def test_his_has_its_extra_g_and_leu_its_arm():
    his = at(ECOLI["His"])
    assert his["-1"] == "G"
    assert his["73"] == "C"
    assert "".join(his[p] for p in ("34", "35", "36")) == "GUG"
    leu = table_of(ECOLI["Leu"]).set_index("label")
    assert leu.loc["e11", "pair"] == "e21"
    assert leu.loc["e11", "region"] == "variable_arm"
    assert "".join(leu.loc[p, "base"] for p in ("34", "35", "36")) == "UAA"


def test_selenocysteine_trna_is_read_with_its_eighth_pair():
    numbered = number_sequences([ECOLI["SeC"]])
    record = numbered.records.iloc[0]
    assert record["anticodon"] == "UCA"
    assert "selenocysteine" in record["reason"]
    labels = set(numbering_table(numbered)["label"])
    assert {"7i1", "65i1"} <= labels


def test_intron_is_cut_out_and_told():
    numbered = number_sequences([YEAST_LEU_WITH_INTRON])
    record = numbered.records.iloc[0]
    assert record["anticodon"] == "CAA"
    assert record["intron"]
    table = numbering_table(numbered)
    inside = table[table["region"] == "intron"]
    assert len(inside) == len(YEAST_LEU_WITH_INTRON) - (table["label"] != "").sum()
    assert (inside["label"] == "").all()


@given(
    name=st.sampled_from(["Ala", "Leu", "His"]),
    dna=st.booleans(),
    lower=st.booleans(),
    tail=st.sampled_from(["CCA", "", "CC", "C"]),
    lead=st.text("AU", max_size=2),
)
def test_numbering_does_not_depend_on_how_it_is_written(
    tmp_path_factory, name, dna, lower, tail, lead
):
    body = ECOLI[name].removesuffix("CCA")
    written = lead + body + tail
    written = written.replace("U", "T") if dna else written
    written = written.lower() if lower else written
    path = tmp_path_factory.mktemp("written") / "one.fasta"
    path.write_bytes(f">x\r\n{written}\r\n".encode())
    numbered = number_trnas(read_trnas(path))
    plain = number_sequences([body + "CCA"])
    kept = [i for i, p in enumerate(LABELS) if p not in ("-1", "74", "75", "76")]
    assert (numbered.matrix[0, kept] == plain.matrix[0, kept]).all()
    assert numbered.records["status"][0] == "ok"


@pytest.mark.parametrize(
    ("sequence", "status", "reason"),
    [
        ("GUAAAUAUAGUUUAACCAAAACAUCAGAUUGUGAAUCUGAC", "failed", "too short"),
        ("ACGU" * 50, "failed", "no cloverleaf"),
        (ECOLI["Ala"] + ECOLI["His"], "low", "two tRNAs in one record?"),
        (ECOLI["Ala"][:8] + "N" * 30 + ECOLI["Ala"][38:], "failed", "unknown"),
        ("A" * 300, "failed", "too long"),
        ("ACGUACGUGGAUCCAAUUGGCCAAGGUUCC", "failed", "30 bases: too short"),
        # human mitochondrial Ser-GCU, which has no D arm
        ("GAGAAAGCUCACAAGAACUGCUAACUCAUGCCCCCAUGUCUAACAACAUGGCUUUCUCACCA", "", ""),
    ],
)
def test_what_is_no_tRNA_is_never_ok(sequence, status, reason):  # noqa: N802
    record = number_sequences([sequence]).records.iloc[0]
    assert record["status"] != "ok"
    assert record["status"] == (status or record["status"])
    assert reason in record["reason"]
    assert record["reason"]


def test_protein_and_empty_records_get_a_reason(write):
    path = write(
        "mixed.fasta", f">p\nMKTAYIAKQRQISFVKSHFSRQ\n>e\n>a\n{ECOLI['Ala']}\n>a\nACGU\n"
    )
    records = number_trnas(read_trnas(path)).records
    assert records["status"].tolist() == ["failed", "failed", "ok", "failed"]
    assert "not nucleotides" in records["reason"][0]
    assert records["reason"][1] == "empty sequence"
    assert "already used by record 3" in records["reason"][3]


def all_ways(s: str) -> list[tuple[float, tuple[int, ...]]]:
    """Score every segmentation of a sequence, base by base and pair by pair."""
    model, n = load_model(), len(s)
    code = {i: "ACGU".index(base) for i, base in enumerate(s)}

    def base(i, *labels, step=1):
        places = [(label, code.get(i + step * k, 4)) for k, label in enumerate(labels)]
        return sum(float(model.base[label][c]) for label, c in places)

    def stem(first, last, *labels):
        codes = [(code.get(first + k, 4), code.get(last - k, 4)) for k in range(7)]
        pairs = zip(labels, codes, strict=False)
        return sum(float(model.pair[label][5 * x + y]) for label, (x, y) in pairs)

    leads = [  # lead, linker: score up to the D stem, and where that begins
        ((lead, linker), lead + 7 + linker, float(LEAD_PRIOR[lead])
         + model.span("linker", linker) + base(lead + 7, *["8", "9"][:linker]))
        for lead, linker in product(range(5), range(1, 4))
    ]  # fmt: skip
    d_arms = [  # D stem to the anticodon arm
        ((*key, alpha, beta, hinge), d + 13 + alpha + beta + hinge, score
         + stem(d, d + 12 + alpha + beta, "10", "11", "12", "13") + base(d + 4, "14", "15")
         + base(d + 6, *["16", "17", "17a"][:alpha]) + base(d + 6 + alpha, "18", "19")
         + base(d + 8 + alpha, *["20", "20a", "20b"][:beta])
         + base(d + 8 + alpha + beta, "21") + model.span("alpha", alpha)
         + model.span("beta", beta) + model.span("hinge", hinge)
         + (base(d + 12 + alpha + beta + hinge, "26") if hinge else 0))
        for key, d, score in leads
        for alpha, beta, hinge in product(range(6), range(7), range(3))
    ]  # fmt: skip
    arms = [  # through the anticodon arm
        ((*key, loop), a + 10 + loop, score
         + stem(a, a + 9 + loop, "27", "28", "29", "30", "31") + base(a + 5, "32", "33")
         + base(a + 3 + loop, "37", "38") + model.span("anticodon_loop", loop)
         + base(a + 10 + loop, "44", "45", "46"))
        for key, a, score in d_arms if 21 <= a <= 40
        for loop in (6, 7, 8)
    ]  # fmt: skip
    t_arms = {}
    for tail, loop in product(range(8), (6, 7, 8)):
        end, first = n - tail, n - tail - 18 - loop
        score = TAIL_PRIOR[tail] + base(end - 1, "73") + model.span("t_loop", loop)
        score += sum(
            CCA_LOG_ODDS[s[end + k] == "CCA"[k]] for k in range(3) if tail > k
        )  # fmt: skip
        score += stem(first, end - 9, "49", "50", "51", "52", "53")
        score += base(first + 5, "54", "55", "56", "57", "58") + base(first - 1, "48")
        t_arms[tail, loop] = first, score + base(end - 15, "59", "60")
    acceptor = {
        (lead, tail): stem(lead, n - tail - 2, *map(str, range(1, 8)))
        for lead, tail in product(range(5), range(8))
    }
    return [
        (score + last + acceptor[key[0], tail] + model.span("variable", first - b),
         (*key, first - b, loop, tail))
        for key, b, score in arms
        for (tail, loop), (first, last) in t_arms.items() if 0 <= first - b <= 40
    ]  # fmt: skip


@pytest.mark.parametrize("sequence", [ECOLI["Ala"], ECOLI["Leu"][3:-5], ECOLI["SeC"]])
def test_the_best_of_all_ways_is_found_with_its_share_of_them(sequence):
    scores, ways = zip(*all_ways(sequence), strict=True)
    # beside others, so that what is done for some lengths only is done here
    found = segment([YEAST_PHE, sequence, YEAST_LEU_WITH_INTRON])
    best = int(np.argmax(scores))
    names = [field.name for field in fields(Segmentation)][:-2]
    assert tuple(int(getattr(found, name)[1]) for name in names) == ways[best]
    assert found.score[1] == pytest.approx(scores[best], abs=1e-4)
    share = 1 / np.exp(np.array(scores) - scores[best]).sum()
    assert found.posterior[1] == pytest.approx(share, rel=1e-4)


def test_a_sequence_is_read_alike_alone_and_among_others():
    among = segment([*ECOLI.values(), YEAST_LEU_WITH_INTRON, "A" * 60])
    quick = segment([*ECOLI.values(), YEAST_LEU_WITH_INTRON, "A" * 60], posterior=False)
    alone = segment([ECOLI["His"]])
    for field in fields(Segmentation):
        assert getattr(alone, field.name)[0] == getattr(among, field.name)[2]
        if field.name != "posterior":
            values = getattr(among, field.name), getattr(quick, field.name)
            np.testing.assert_array_equal(*values)
    assert np.isnan(quick.posterior).all()
    assert among.score[-1] < 0


def test_shuffled_trnas_are_never_ok():
    rng = np.random.default_rng(0)
    shuffled = ["".join(rng.permutation(list(ECOLI["Ala"]))) for _ in range(200)]
    assert "ok" not in set(number_sequences(shuffled).records["status"])


def test_stated_anticodon_that_differs_makes_a_record_low():
    record = number_sequences([ECOLI["Ala"]], anticodons=["GGC"]).records.iloc[0]
    assert record["status"] == "low"
    assert record["reason"] == "stated anticodon GGC but 34-36 is UGC"


def test_truncated_trna_is_low_and_keeps_its_anticodon():
    record = number_sequences([ECOLI["Ala"][5:]]).records.iloc[0]
    assert record["status"] == "low"
    assert record["anticodon"] == "UGC"
    assert "missing at the 5' end" in record["reason"]


def test_empty_collection():
    numbered = number_sequences([])
    assert len(numbered.records) == 0
    assert len(numbering_table(numbered)) == 0


def test_simulated_trnas_are_numbered_as_planted(sample):
    numbered, data = sample
    table = numbering_table(numbered)
    labels = table.groupby("id", sort=False)["label"].agg(" ".join)
    truth = data.truth.set_index("id")["positions"]
    right = [truth[key].startswith(labels[key]) for key in truth.index]
    assert np.mean(right) >= 0.9
    assert (numbered.records["anticodon"] == data.truth["anticodon"]).all()


def test_structure_and_alignment_agree_with_the_table(sample):
    numbered, _ = sample
    shown = dot_brackets(numbered)[0]
    assert len(shown) == len(numbered.sequences[0])
    assert shown.count("(") == shown.count(")") >= 15
    rows = [r for r in stockholm(numbered).splitlines() if r.startswith("SIMT")]
    assert all(len(r.split()[1]) == 99 for r in rows)


def test_cloverleafs_are_xml_and_names_are_safe(sample):
    numbered, _ = sample
    for svg in drawings(numbered, each=False).values():
        ET.fromstring(svg)
    assert "<" not in cloverleaf_svg({"1": "G"}, "a<b").split("<title>")[1][:5]
    odd = number_sequences([ECOLI["Ala"]] * 2, ["../../x", ".._.._x"])
    names = list(drawings(odd, each=True))
    assert len(set(names)) == 2
    assert not any("/" in name or name.startswith(".") for name in names)


# --- formats ------------------------------------------------------------------------------


def test_trnascan_structures(write):
    text = (
        "chr1.trna1 (10-85)\tLength: 76 bp\r\n"
        "Type: Ala\tAnticodon: TGC at 34-36 (43-45)\tScore: 70.1\r\n"
        f"Seq: {ECOLI['Ala'].replace('U', 'T')}\r\nStr: >>>>\r\n\r\n"
        "chr1.trna2 (200-300)\tLength: 101 bp\r\nType: Undet\tAnticodon: NNN at 0-0\r\n"
        "Possible intron: 38-50 (237-249)\r\nSeq: ACGTACGT\r\n"
    )
    first, second = read_trnas(write("a.ss", text))
    assert (first.id, first.isotype, first.anticodon) == ("chr1.trna1", "Ala", "UGC")
    assert first.sequence == ECOLI["Ala"]
    assert (second.isotype, second.anticodon, second.introns) == ("Und", "", ((37, 13),))


def test_several_introns_are_cut_out_as_both_files_of_trnascan_tell(write):
    # 17 bases after position 17 and 9 after 37, as archaea have them
    at = (YEAST_PHE.index("CUCAGUU") + 3, YEAST_PHE.index("GAAGAUC") + 4)
    split = YEAST_PHE[: at[0]] + "GGGAACCCAAAGGGAAC" + YEAST_PHE[at[0] : at[1]]
    split += "AACCAACCA" + YEAST_PHE[at[1] :]
    first, second = (at[0] + 1, at[0] + 17), (at[1] + 18, at[1] + 26)
    told = [f"Possible intron: {a}-{b} ({a}-{b})\n" for a, b in (first, second)]
    ss = f"g.trna1 (1-{len(split)})\n{''.join(told)}Seq: {split}\n"
    header = "Sequence\t\ttRNA\tBounds\ttRNA\tAnti\tIntron\tBounds\tInf\n"
    bounds = "\t".join(f"{a},{b}" for a, b in zip(first, second, strict=True))
    out = f"{header}g\t1\t1\t{len(split)}\tPhe\tGAA\t{bounds}\t50.0\n"
    genome = write("g.fasta", f">g\n{split}\n")
    for found in (
        read_trnas(write("a.ss", ss)),
        read_trnas(write("a.out", out), genome),
    ):
        assert found[0].introns == ((at[0], 17), (at[1] + 17, 9))
        numbered = number_trnas(found)
        plain = number_sequences([YEAST_PHE])
        assert (numbered.matrix == plain.matrix).all()
        record = numbered.records.iloc[0]
        assert record["status"] == "ok"
        assert record["intron"] == f"{first[0]}-{first[1]},{second[0]}-{second[1]}"
        assert "intron of 17 and 9 bases cut out" in record["reason"]
        table = numbering_table(numbered)
        assert (table["region"] == "intron").sum() == 26
        assert table["label"][table["label"] != ""].is_unique
    wrong = number_sequences([YEAST_PHE], introns=[[(70, 9)]])
    assert "no intron can be at 71-79" in wrong.records["reason"][0]


def test_coordinates_need_the_genome_and_mind_the_strand(write):
    trna = ECOLI["Ala"].replace("U", "T")
    other = trna[::-1].translate(str.maketrans("ACGT", "TGCA"))
    genome = write("g.fasta", f">chr1\nAAAA{trna}AAAA{other}A\n")
    header = (
        "Sequence\t\ttRNA\tBounds\ttRNA\tAnti\tIntron\tBounds\tInf\nName\ttRNA #\n---\n"
    )
    n = len(trna)
    rows = (
        f"chr1\t1\t5\t{4 + n}\tAla\tTGC\t0\t0\t70.0\n"
        f"chr1\t2\t{8 + 2 * n}\t{9 + n}\tAla\tTGC\t0\t0\t70.0\n"
    )
    path = write("a.out", header + rows)
    with pytest.raises(InputError, match="give --genome"):
        read_trnas(path)
    found = read_trnas(path, genome)
    assert [t.sequence for t in found] == [ECOLI["Ala"]] * 2
    wrong = write("b.out", header + f"chr1\t1\t5\t{9 * n}\tAla\tTGC\t0\t0\t70.0\n")
    with pytest.raises(InputError, match="lies outside 'chr1'"):
        read_trnas(wrong, genome)


def test_aragorn_with_sequences(write):
    text = (
        ">g1 test\n1 genes found\n"
        "1   tRNA-Ala                      [25,100]\t34  \t(tgc)\n"
        f"{ECOLI['Ala'].replace('U', 'T').lower()[:50]}\n"
        f"{ECOLI['Ala'].replace('U', 'T').lower()[50:]}\n"
    )
    (found,) = read_trnas(write("a.txt", text))
    assert (found.id, found.isotype, found.sequence) == ("g1.trna1", "Ala", ECOLI["Ala"])


def test_stockholm_and_gtrnadb_headers(write):
    (row,) = read_trnas(write("a.sto", "# STOCKHOLM 1.0\n\nx  GGG.CUA-U\n//\n"))
    assert row.sequence == "GGGCUAU"
    fasta = write("a.fa", f">Homo_sapiens_tRNA-iMet-CAT-1-1 Chr1\n{YEAST_PHE}\n")
    (row,) = read_trnas(fasta)
    assert (row.isotype, row.anticodon) == ("iMet", "CAU")


def test_unknown_format_is_refused_with_its_first_words(write):
    with pytest.raises(InputError, match=r"line 1: 'hello world' begins none of the"):
        read_trnas(write("a.txt", "hello world\n"))


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("ala", "Ala"), ("A", "Ala"), ("tRNA-Ala", "Ala"), ("fMet", "fMet"),
        ("iMet", "iMet"), ("Ile2", "Ile2"), ("SeC(p)", "SeC"), ("Undet", "Und"),
        ("Sup", "Sup"), ("Pseudo", "Und"), ("kidney", ""),
    ],
)  # fmt: skip
def test_isotypes_are_normalised(written, normal):
    assert normal_isotype(written) == normal


# --- identity and logos -------------------------------------------------------------------


def test_every_shipped_claim_names_its_source_and_is_well_formed():
    table = read_identity()
    assert (table["source"] != "").all()
    assert len(table) > 250
    assert not table.duplicated(["organism", "isotype", "position", "class"]).any()


def test_unknown_organism_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match="it has Escherichia coli"):
        read_identity("Mus musculus")


def test_support_counts_unique_genes_and_contradicted_claims_are_not_used():
    numbered = number_sequences([ECOLI["Ala"], ECOLI["Ala"], ECOLI["His"]])
    claims = pd.DataFrame(
        [("x", "Ala", "3", "G", "determinant", "s"), ("x", "Ala", "73", "U", "minor", "s"),
         ("x", "Trp", "73", "G", "determinant", "s")],
        columns=["organism", "isotype", "position", "bases", "class", "source"],
    )  # fmt: skip
    support = check_identity(claims, numbered.matrix, ["Ala", "Ala", "His"])
    assert support["genes"].tolist() == [1, 1, 0]
    assert support["supporting"].tolist() == [1, 0, 0]
    assert support["verdict"].tolist() == ["supported", "contradicted", "unchecked"]
    assert identity_positions(support) == {"Ala": ["3"]}


def test_information_of_a_perfect_and_of_a_useless_feature():
    matrix = np.full((40, 99), 0, dtype=np.int8)
    classes = ["Ala"] * 20 + ["Gly"] * 20
    matrix[20:, INDEX["73"]] = 2
    features, _ = function_logo(matrix, classes, permutations=99)
    assert set(features["position"]) == {"73"}
    # H(class) = 1 bit + 1/(2 ln 2 * 40), H(class | base) = 0
    expected = 1 + 1 / (2 * np.log(2) * 40)
    assert features["information"].tolist() == pytest.approx([expected] * 2)
    assert (features["p"] == 0.01).all()
    information = position_information(matrix, classes)
    assert information[INDEX["73"]] == pytest.approx(expected)
    assert information[INDEX["1"]] == pytest.approx(0, abs=1e-12)


# --- distances ----------------------------------------------------------------------------

codes = st.lists(st.integers(0, 5), min_size=99, max_size=99)


@given(st.lists(codes, min_size=3, max_size=4), st.booleans(), st.integers(0, 3))
def test_distance_is_a_metric(rows, by_pairs, kind):
    matrix = np.array(rows, dtype=np.int8)
    rng = np.random.default_rng(kind)
    weights = core_weights() if kind == 0 else rng.random(99)
    D = distances(matrix, weights, by_pairs=by_pairs).astype(float)
    assert (np.diag(D) == 0).all()
    assert (D == D.T).all()
    assert ((D >= 0) & (D <= 1)).all()
    for i in range(len(D)):
        for j in range(len(D)):
            assert D[i, j] <= (D[i] + D[:, j]).min() + 1e-5


def test_distance_matches_the_formula():
    a = np.full((1, 99), 0, dtype=np.int8)
    b = a.copy()
    b[0, INDEX["73"]] = 2
    both = np.concatenate([a, b])
    weights = np.zeros(99)
    weights[INDEX["73"]], weights[INDEX["1"]] = 1, 3
    assert distances(both, weights)[0, 1] == pytest.approx(0.25)
    # G3-C70 to A3-U70 keeps the pair: half of one unit of weight (1 + 1) / 2
    pair = np.full((2, 99), 0, dtype=np.int8)
    pair[0, [INDEX["3"], INDEX["70"]]] = 2, 1
    pair[1, [INDEX["3"], INDEX["70"]]] = 0, 3
    weights = np.zeros(99)
    weights[[INDEX["3"], INDEX["70"], INDEX["73"]]] = 1
    assert distances(pair, weights)[0, 1] == pytest.approx(2 / 3)
    assert distances(pair, weights, by_pairs=True)[0, 1] == pytest.approx(0.5 / 2)


def test_clusters_are_numbered_by_first_member():
    D = np.array([[0, 0.9, 0.05], [0.9, 0, 0.9], [0.05, 0.9, 0]], dtype=np.float32)
    assert cluster_distances(D, 0.2).tolist() == [1, 2, 1]
    assert map_distances(D).shape == (3, 2)
    assert cluster_distances(D[:1, :1], 0.2).tolist() == [1]


def test_learned_weights_find_the_position_that_tells_isotypes_apart():
    rng = np.random.default_rng(0)
    matrix = rng.integers(0, 4, (60, 99)).astype(np.int8)
    classes = [["Ala", "Gly", "Val"][i % 3] for i in range(60)]
    matrix[:, INDEX["73"]] = np.arange(60) % 3
    weights = learned_weights(matrix, classes, pairs=2000)
    assert weights.argmax() == INDEX["73"]
    assert (weights >= 0).all()


# --- cognates -----------------------------------------------------------------------------


def test_scores_match_hand_computed_values():
    host = np.full((3, 99), 0, dtype=np.int8)  # all A
    host[1, INDEX["73"]] = 2
    host[2, INDEX["73"]] = 1
    classes = ["Ala", "Ala", "Gly"]
    positions = {"Ala": ["1", "35", "70", "73"], "Gly": ["35"]}
    made = make_host(host, classes, positions, exclude=["34", "35", "36"], shrinkage=4.0)
    query = np.full((1, 99), 0, dtype=np.int8)
    query[0, INDEX["73"]] = 3  # U: no Ala tRNA of the host has it
    scores, judged = identity_scores(query, made)
    assert judged.tolist() == [[3, 0]]  # 35 is excluded; Gly has nothing left
    assert scores[0].tolist() == pytest.approx([(1 + 1 - 1) / 3, 0.0])
    # only 73 differs between the classes, so it alone carries weight (1, the largest):
    # q(A) of the others (one Gly, C) = 0.5/4; P(A | Ala) = (1 + 4 q)/(2 + 4)
    query[0, INDEX["73"]] = 0
    q = 0.5 / 4
    expected = np.log2(((1 + 4 * q) / 6) / q)
    assert likelihood_ratios(query, made)[0, 0] == pytest.approx(expected)
    copies = [0, 0, 0, 1, 2, 2]  # of genes are no evidence
    again = make_host(host[copies], [classes[i] for i in copies], positions)
    assert np.array_equal(again.ratio, made.ratio)
    # an unknown base speaks neither for nor against
    query[0, INDEX["73"]] = ALPHABET.index("N")
    assert likelihood_ratios(query, made).tolist() == [[0.0, 0.0]]
    scores, judged = identity_scores(query, made)
    assert (scores[0, 0], judged[0, 0]) == (1.0, 2)


def test_class_judged_on_too_few_positions_is_flagged(sample):
    from omicsai.trna import cognate_tables

    numbered, data = sample
    classes = data.truth["true_isotype"].tolist()
    support = check_identity(
        read_identity("Escherichia coli"), numbered.matrix, classes, min_support=0.5
    )
    host = make_host(numbered.matrix, classes, identity_positions(support))
    table, scores, evidence = cognate_tables(
        numbered.ids, numbered.matrix, classes, host, min_positions=3
    )
    assert {"Asn", "Lys"} <= set(scores[~scores["enough"].astype(bool)]["synthetase"])
    flagged = table[table["flag"] != ""]
    assert flagged["flag"].str.startswith("fewer than 3 positions").all()
    own = table[table["isotype"] != ""]
    assert (own["recognised_by"] == own["isotype"]).mean() > 0.9
    orthogonal = data.truth.loc[data.truth["orthogonal"], "id"]
    ranks = table.set_index("id")["rank"]
    assert ranks[orthogonal].median() < ranks.median() / 2
    assert set(evidence["id"]) == set(numbered.ids)


# --- isotype features ---------------------------------------------------------------------


def test_features_do_not_see_the_anticodon_and_span_the_kernel(sample):
    numbered, data = sample
    M = numbered.matrix
    weights = unit_weights(position_information(M, data.truth["true_isotype"].tolist()))
    shape = make_features(M[:40], weights)
    changed = M.copy()
    changed[:, [INDEX[p] for p in ("34", "35", "36")]] = 0
    assert np.allclose(shape(M), shape(changed))
    F = shape(M[:40])
    assert np.allclose((F * F).sum(axis=1), 1, atol=2e-2)
    seen = unit_weights(np.zeros(99), keep_anticodon=True)
    seeing = make_features(M[:40], seen, keep_anticodon=True)
    assert not np.allclose(seeing(M), seeing(changed))


def test_weights_that_carry_over_are_those_of_the_positions_that_do():
    """73 tells the class in every group; 1 tells it in one group and misleads in others."""
    rng = np.random.default_rng(1)
    M = rng.integers(0, 4, (240, 99)).astype(np.int8)
    code, group = rng.integers(0, 3, 240), np.arange(240) % 4
    M[:, INDEX["73"]] = code
    M[:, INDEX["1"]] = (code + group) % 3
    labels = np.array(["Ala", "Gly", "Ser"], dtype=object)[code]
    start = unit_weights(np.zeros(99))
    learned = learn_unit_weights(M, labels, group, start)
    assert learned.sum() == pytest.approx(1)
    assert np.array_equal(learned, learn_unit_weights(M, labels, group, start))
    ratio = dict(zip(unit_names(), learned / start * start.sum(), strict=True))
    assert ratio["73"] > 3 * max(ratio[p] for p in ("1", "9", "26"))
    assert ratio["1"] < 1.5
    labels[:200] = ""  # unknown ones are not looked at, and one group has no other to judge
    again = learn_unit_weights(M, labels, np.where(labels == "", group, 0), start)
    assert np.array_equal(again, start / start.sum())


def test_scores_without_a_group_are_those_of_a_regression_without_it():
    rng = np.random.default_rng(2)
    X = rng.normal(size=(30, 5))
    kernel, given = torch.from_numpy(X @ X.T), torch.eye(3)[rng.integers(0, 3, 30)].double()
    importance = torch.from_numpy(rng.uniform(0.5, 2, 30))
    scores = _without_groups(kernel, given, importance, [12, 18])
    share = (importance / importance.sum()).numpy()
    centred = X - share @ X
    penalty = PENALTY * (centred**2).sum(axis=1).mean()
    for own in (np.arange(12), np.arange(12, 30)):
        rest = np.setdiff1d(np.arange(30), own)
        A, w = centred[rest], importance.numpy()[rest, None]
        bias = share @ given.numpy()  # of all: the mean is not left out
        B = np.linalg.solve(
            A.T @ (w * A) + penalty * np.eye(5), A.T @ (w * (given.numpy()[rest] - bias))
        )
        assert scores[own].numpy() == pytest.approx(bias + centred[own] @ B, abs=1e-8)


# --- pairing ------------------------------------------------------------------------------


def test_synthetases_are_matched_by_genome_and_amino_acid():
    told = describe_synthetases(
        [("a", "class1_arg|ArgRS_x substrate=Arginine", "MK"),
         ("b", "Alanine--tRNA ligase OS=E. coli", "MK"),
         ("c", "hypothetical protein", "MK"), ("d", "glycyl-tRNA synthetase beta", "MK")],
        {"a": "g1", "b": "g1", "c": "g1", "d": "g9"},
    )  # fmt: skip
    assert [s.amino_acid for s in told] == ["Arg", "Ala", "", "Gly"]
    assert [s.enzyme_class for s in told] == ["I", "II", "", "II"]
    trnas = pd.DataFrame(
        {"id": ["t1", "t2"], "genome": ["g1", "g1"], "amino_acid": ["Arg", "Gly"],
         "anticodon": ["UCU", "GCC"]}
    )  # fmt: skip
    table, pairs = match_pairs(told, trnas)
    assert pairs[["synthetase", "trna"]].to_numpy().tolist() == [["a", "t1"]]
    assert table["note"].tolist() == [
        "", "its genome has no tRNA for Ala here",
        "header and table do not name its amino acid", "no tRNA of its genome",
    ]  # fmt: skip


@pytest.mark.shared
def test_published_pairs_are_found_and_no_other(shared):
    folder = shared / "data" / "domains" / "aars"
    listed = pd.read_csv(folder / "aars_trna_pairs.tsv", sep="\t", dtype=str)
    listed["trna"] = listed["trna_seqname"] + " of " + listed["taxon"]
    proteins = [
        (header.split()[0].split("|")[1], header, "")
        for header, _ in (
            record.split("\n", 1)
            for record in (folder / "aars_sequences.fasta").read_text().split(">")[1:]
        )
    ]
    told = describe_synthetases(
        proteins, dict(zip(listed["aars_id"], listed["taxon"], strict=True))
    )
    trnas = listed.drop_duplicates("trna")
    _, pairs = match_pairs(
        told,
        pd.DataFrame(
            {
                "id": trnas["trna"],
                "genome": trnas["taxon"],
                "amino_acid": [
                    anticodon_amino_acid(a.replace("T", "U")) for a in trnas["anticodon"]
                ],
                "anticodon": trnas["anticodon"],
            }
        ),
    )
    wanted = set(zip(listed["aars_id"], listed["trna"], strict=True))
    found = set(zip(pairs["synthetase"], pairs["trna"], strict=True))
    assert (len(wanted), len(found)) == (305, 285)
    assert found <= wanted
    # the rest: proteins that the FASTA lacks, and enzymes that charge two amino acids
    known = {key for key, _, _ in proteins}
    missed = {key for key, _ in wanted - found}
    assert all(key not in known or key.startswith(("Asx", "Glx")) for key in missed)


def test_mirror_tree_finds_coevolution_and_not_chance():
    rng = np.random.default_rng(1)
    places = rng.random((12, 2))
    A = np.linalg.norm(places[:, None] - places, axis=-1)
    B = A + 0.02 * (lambda E: E + E.T)(rng.random(A.shape))
    r, p = mirror_correlation(A, B, permutations=199)
    assert r > 0.9
    assert p == pytest.approx(1 / 200)
    other = rng.random((12, 2))
    C = np.linalg.norm(other[:, None] - other, axis=-1)
    _, chance = mirror_correlation(A, C, permutations=199)
    assert chance > 0.05
    r, p = mirror_correlation(A, np.ones_like(A), permutations=99)
    assert np.isnan(r)
    assert p == 1
    few = covariation(
        describe_synthetases([("a", "AlaRS", "MK")], {"a": "g"}),
        ["g"], ["Ala"], np.zeros((1, 1), np.float32),
    )  # fmt: skip
    assert few["note"][0] == "fewer than 4 genomes have both"


# --- commands -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory, run_omicsai):
    """Every tRNA command, once, on simulated tRNAs."""
    place = tmp_path_factory.mktemp("trna")
    write_trnas(simulate_trnas(families=2, copies=3), place)
    assert run_omicsai(
        "number", place / "trnas.fasta", "--labels", place / "trnas.labels.tsv",
        "--out", place / "b" / "trna",
    ) == 0  # fmt: skip
    assert run_omicsai("identity", place / "b" / "trna", "--permutations", "20",
                       "--out", place / "b" / "identity") == 0  # fmt: skip
    return place / "b"


def test_number_writes_its_tables(folder):
    records = TRNA_RECORDS.read(folder / "trna" / "records.tsv")
    numbering = NUMBERING.read(folder / "trna" / "numbering.tsv")
    assert records["id"].iloc[-1] == "SIMTARMLESS"
    assert records["status"].iloc[-1] != "ok"
    assert set(numbering["id"]) <= set(records["id"])
    assert (folder / "trna" / "cloverleaf" / "all.svg").is_file()
    assert SUPPORT.read(folder / "identity" / "identity.tsv")["verdict"].ne("").all()


@pytest.mark.parametrize("weights", ["uniform", "identity", "information", "learned"])
def test_distance_and_cognates_run_and_repeat(folder, tmp_path, run_omicsai, weights):
    outputs = []
    for name in ("one", "two"):
        assert run_omicsai(
            "distance", folder / "trna", "--weights", weights, "--pairs", "on",
            "--identity", folder / "identity" / "identity.tsv", "--out", tmp_path / name,
        ) == 0  # fmt: skip
        outputs.append(
            [p.read_bytes() for p in sorted((tmp_path / name).iterdir()) if p.is_file()]
        )
    assert outputs[0] == outputs[1]
    assert run_omicsai(
        "cognates", folder / "trna", "--identity", folder / "identity" / "identity.tsv",
        "--host", folder / "trna", "--out", tmp_path / "c",
    ) == 0  # fmt: skip


def test_isotype_learns_from_bodies_and_predicts_another_folder(
    folder, tmp_path, run_omicsai, capsys
):
    assert run_omicsai(
        "isotype", folder / "trna", "--predict", folder / "trna",
        f"again={folder / 'trna'}", "--head", "linear",
        "--members", "2", "--epochs", "8", "--out", tmp_path / "i",
    ) == 0  # fmt: skip
    metrics = json.loads((tmp_path / "i" / "metrics.json").read_text())
    assert metrics["accuracy"] > 0.3
    for name in ("trna", "again"):
        assert (tmp_path / "i" / f"{name}.predictions.tsv").is_file()
    capsys.readouterr()
    assert run_omicsai(
        "isotype", folder / "trna", "--predict", folder / "trna", folder / "trna",
        "--out", tmp_path / "j",
    ) == 1  # fmt: skip
    assert "trna.predictions.tsv would be written twice" in capsys.readouterr().err


def test_ridge_head_takes_the_place_of_members_and_refuses_them(
    folder, tmp_path, run_omicsai, capsys
):
    out = tmp_path / "i"
    assert run_omicsai("isotype", folder / "trna", "--out", out) == 0
    accuracy = json.loads((out / "metrics.json").read_text())["accuracy"]
    assert accuracy > 0.5
    capsys.readouterr()
    assert run_omicsai("isotype", folder / "trna", "--members", "2", "--out", out) == 1
    assert "the ridge head has no members: choose head linear" in capsys.readouterr().err
    with pytest.raises(ConfigError, match=r"isotype.*has no loss or epochs"):
        read_config({"isotype": {"epochs": 3, "loss": "cross_entropy"}})


def test_wrong_use_of_commands_is_one_line(folder, tmp_path, run_omicsai, capsys, write):
    assert run_omicsai("distance", folder / "trna", "--weights", "identity",
                       "--out", tmp_path) == 1  # fmt: skip
    assert "needs --identity" in capsys.readouterr().err
    assert run_omicsai("pairing", folder / "trna", "--out", tmp_path) == 1
    assert "needs --synthetases" in capsys.readouterr().err
    assert run_omicsai("number", folder / "no.fasta", "--out", tmp_path) == 1
    assert "does not exist" in capsys.readouterr().err
    assert run_omicsai("number", write("a.fa", f">a\n{YEAST_PHE}\n"), "--backend",
                       "cmalign", "--out", tmp_path) == 1  # fmt: skip
    assert "needs --model" in capsys.readouterr().err


def test_pairing_command(folder, tmp_path, run_omicsai, write):
    fasta = write("s.fasta", ">s1 AlaRS\nMKKLL\n>s2 GlyRS\nMKKAA\n")
    ids = TRNA_RECORDS.read(folder / "trna" / "records.tsv")["id"]
    rows = [f"{key}\tg" for key in [*ids, "s1", "s2"]]
    genomes = write("g.tsv", "id\tgenome\n" + "\n".join(rows) + "\n")
    assert run_omicsai(
        "pairing", folder / "trna", "--synthetases", fasta, "--genomes", genomes,
        "--out", tmp_path / "p",
    ) == 0  # fmt: skip
    assert len((tmp_path / "p" / "pairs.tsv").read_text().splitlines()) > 2


# --- real data ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(shared):
    with (shared / "data/trna/all_labelled_trna.tsv").open() as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


@pytest.mark.shared
def test_stated_anticodons_of_real_trnas_are_found(real):
    wanted = {
        (r["seq"], r["anticodon"])
        for r in real
        if r["source"] == "trnas-in-space" and r["domain"] in ("E", "B", "A")
        and set(r["seq"]) <= set("ACGU") and len(r["anticodon"]) == 3
        and set(r["anticodon"]) <= set("ACGU")
    }  # fmt: skip
    sequences, anticodons = zip(*sorted(wanted), strict=True)
    numbered = number_sequences(sequences)
    right = numbered.records["anticodon"].to_numpy() == np.array(anticodons)
    assert len(wanted) > 6000
    assert right.mean() >= 0.9965
    assert (numbered.records["status"] != "").all()


@pytest.mark.shared
def test_shipped_parameters_come_from_the_seed(shared):
    from omicsai.tables import file_digest
    from omicsai.trna.training import train_numbering

    seed = shared / "data/trna/rfam_RF00005_seed.sto"
    place = resources.files("omicsai.trna").joinpath("data/numbering.json")
    shipped = json.loads(place.read_text())
    rows, _ = read_stockholm(seed)
    assert shipped == {
        "seed_sha256": file_digest(seed),
        **train_numbering(list(rows.values())),
    }


@pytest.mark.shared
def test_ecoli_identity_elements_are_supported_by_its_genes(real):
    rows = [r for r in real if r["species"] == "ecoliK12MG1655"]
    numbered = number_sequences([r["seq"] for r in rows])
    classes = [normal_isotype(r["isotype"]) for r in rows]
    support = check_identity(read_identity("Escherichia coli"), numbered.matrix, classes)
    assert (support["verdict"] == "supported").mean() > 0.9


def test_covariance_needs_infernal(tmp_path, run_omicsai, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (
        run_omicsai("covariance", "--alignment", "seed.sto", "--out", tmp_path / "trna.cm")
        == 1
    )
    assert "cmbuild is not on PATH" in capsys.readouterr().err


def test_what_has_a_problem_is_not_asked_of_cmalign(tmp_path, monkeypatch):
    monkeypatch.setattr("omicsai.trna.covariance._need", lambda tool: None)
    model = tmp_path / "trna.cm"
    model.touch()
    twice = number_sequences([YEAST_PHE] * 2, ["a", "a"], problems=["", "id already used"])
    assert second_opinion(twice, model) is twice


def forget(told):
    """The same records as if enumeration had found nothing."""
    return replace(
        told, position=np.full_like(told.position, OUTSIDE),
        insertion=np.zeros_like(told.insertion), matrix=np.full_like(told.matrix, GAP),
        records=told.records.assign(
            status="failed", anticodon="", stem_pairs=pd.NA, reason="no fit"
        ),
    )  # fmt: skip


def test_columns_of_an_alignment_become_positions():
    told = number_sequences([YEAST_PHE + "GG"], ["a"])
    assert told.records["status"].tolist() == ["ok"]
    failed = forget(told)
    row = "".join(ALPHABET[code] for code in told.matrix[0]) + "gg"
    reference = "x" * len(LABELS) + ".."
    taken = _adopt(failed, [0], {"0": row.upper()}, reference, {"0": LEAST_BITS})
    record = taken.records.iloc[0]
    assert (record["status"], record["method"]) == ("low", "cmalign")
    assert record["anticodon"] == told.records["anticodon"].iloc[0] == "GAA"
    assert (taken.matrix == told.matrix).all()
    pd.testing.assert_frame_equal(numbering_table(taken), numbering_table(told))
    # a base between two columns is an insertion
    where, extra = _columns("A-CG", "xx.x")
    assert where.tolist() == [0, 0, 2]
    assert extra.tolist() == [0, 1, 0]
    # what scores like a shuffled sequence stays failed; what is low must gain
    again = _adopt(failed, [0], {"0": row.upper()}, reference, {"0": LEAST_BITS - 0.1})
    assert again.records["status"].tolist() == ["failed"]
    low = replace(told, records=told.records.assign(status="low"))
    again = _adopt(low, [0], {"0": row.upper()}, reference, {"0": 99.0})
    assert (again.records["method"] != "cmalign").all()


def test_an_id_that_is_usable_twice_is_refused(tmp_path):
    numbered = number_sequences([YEAST_PHE, ECOLI["Ala"]], ["a", "a"])
    TRNA_RECORDS.write(numbered.records, tmp_path / "records.tsv")
    MATRIX.write(matrix_table(numbered), tmp_path / "matrix.tsv")
    with pytest.raises(InputError, match="'a' is usable twice"):
        read_collection(tmp_path)


def answers_of_cmalign(told, change=lambda rows: rows):
    """Stand in for cmalign, that aligns as enumeration did, last record first."""

    def answer(*command, folder):
        letters = np.array(list(ALPHABET))
        rows = {
            str(i): "".join(letters[told.matrix[i]])
            for i in reversed(range(len(told.ids)))
            if told.readable[i]
        }
        rows = change(rows)
        marks = {"RF": "x" * len(LABELS)}
        (folder / "out.sto").write_text(stockholm_text(rows, marks))
        scores = [f"1 {key} 72 1 99 no 50.0 0.99 0.1 0.1 0.1 0.1" for key in rows]
        (folder / "scores.txt").write_text("\n".join(["# idx name", *scores]) + "\n")

    return answer


def test_what_cmalign_says_goes_to_the_record_that_was_asked_of(tmp_path, monkeypatch):
    model = tmp_path / "trna.cm"
    model.touch()
    told = number_sequences(
        [YEAST_PHE, ECOLI["Ala"], ECOLI["His"][1:], ECOLI["Leu"]], ["a", "b", "a", "c"],
        problems=["", "", "id already used", ""],
    )  # fmt: skip
    monkeypatch.setattr("omicsai.trna.covariance._need", lambda tool: None)

    def ask(change=lambda rows: rows):
        run = answers_of_cmalign(told, change)
        monkeypatch.setattr("omicsai.trna.covariance._run", run)
        return second_opinion(forget(told), model)

    again = ask()
    assert again.records["status"].tolist() == ["low", "low", "failed", "low"]
    assert again.records["anticodon"].tolist() == ["GAA", "UGC", "", "UAA"]
    pd.testing.assert_frame_equal(numbering_table(again), numbering_table(told))
    for change in (
        lambda rows: rows | {"0": rows["0"].replace("G", "C", 1)},  # a wrong base
        lambda rows: rows | {"0": rows["1"], "1": rows["0"]},  # two changed places
        lambda rows: {key: rows[key] for key in ("0", "1")},  # one is missing
        lambda rows: rows | {"2": rows["0"]},  # one was not asked of
    ):
        with pytest.raises(InputError, match="other sequences than it was given"):
            ask(change)


@pytest.mark.shared
@pytest.mark.skipif(shutil.which("cmalign") is None, reason="needs Infernal on PATH")
def test_cmalign_reads_real_trnas_as_enumeration_does(shared, tmp_path, run_omicsai):
    seed = shared / "data" / "trna" / "rfam_RF00005_seed.sto"
    model = tmp_path / "trna.cm"
    assert run_omicsai("covariance", "--alignment", seed.as_uri(), "--out", model) == 0
    assert model.read_text().startswith("INFERNAL1")
    rows, _ = read_stockholm(seed)
    bare = [
        r.replace(".", "").replace("-", "").upper().replace("T", "U") for r in rows.values()
    ]
    rng = np.random.default_rng(1)
    real = rng.permutation([s for s in bare if set(s) <= set("ACGU")])[:150].tolist()
    shuffled = ["".join(rng.permutation(list(s))) for s in real]
    told = number_sequences(real)
    clear = np.flatnonzero(told.usable("ok"))
    sequences = [*(real[i] for i in clear), *shuffled, YEAST_PHE]
    n = len(clear)
    ids = [*map(str, range(n)), *(f"s{k}" for k in range(len(shuffled))), "0"]
    problems = [""] * (len(ids) - 1) + ["id already used"]
    told = number_sequences(sequences, ids, problems=problems)
    again = second_opinion(forget(told), model)
    records = again.records
    taken = records["method"].to_numpy() == "cmalign"
    assert taken[:n].mean() > 0.95
    assert not taken[n:].any()
    assert (records["status"].to_numpy() == np.where(taken, "low", "failed")).all()
    table = numbering_table(again)
    assert list(dict.fromkeys(table["id"])) == [ids[i] for i in np.flatnonzero(taken)]
    for key, mine in table.groupby("id", sort=False):
        i = int(key)
        assert "".join(mine["base"]) == sequences[i]
        assert mine["index"].tolist() == [*range(1, len(sequences[i]) + 1)]
        placed = mine[mine["label"].isin(INDEX)]
        columns = [INDEX[label] for label in placed["label"]]
        assert columns == sorted(set(columns))
        assert "".join(ALPHABET[c] for c in again.matrix[i, columns]) == "".join(
            placed["base"]
        )
        assert (np.delete(again.matrix[i], columns) == GAP).all()
    # where enumeration is sure, both put stems and anticodon at the same bases
    sure = [INDEX[p] for pair in STEM_PAIRS for p in pair] + [
        INDEX[p] for p in ("34", "35", "36")
    ]
    same = told.matrix[taken][:, sure] == again.matrix[taken][:, sure]
    assert same.mean() > 0.98
    codons = records["anticodon"][taken] == told.records["anticodon"][taken]
    assert codons.mean() > 0.98
