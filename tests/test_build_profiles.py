"""Building a library from named proteins: grouping, recruiting, thresholds, the command."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from omicsai.cli.build_profiles import product_name
from omicsai.domains import open_library, read_profiles, search_domains
from omicsai.domains.build import build_library
from omicsai.domains.built import BUILT, FAMILIES
from omicsai.errors import InputError
from omicsai.sequences import Sequence
from omicsai.simulate.evolve import evolve_family, random_family, random_tree

TABLE = [
    {
        "family": name, "clan": "", "class": name, "description": f"{name} family",
        "include": include, "exclude": "regulator", "least": 4,
    }
    for name, include in (("Red", r"\bred(ase)?\b"), ("Blue", "blue"))
]  # fmt: skip


@pytest.fixture(scope="module")
def corpus():
    """Two families, partly named, among strangers."""
    rng = np.random.default_rng(7)
    records, products = [], []

    def add(family, count, product, depth=0.5):
        tree = random_tree(rng, count, depth=depth)
        for row in evolve_family(rng, family, tree, stem=0.0):
            records.append(Sequence(f"p{len(records)}", "M" + row.replace("-", "")))
            products.append(product)

    red, blue = (random_family(rng, 90, spread=0.3) for _ in range(2))
    add(red, 14, "Redase [Some bug]")
    add(red, 5, "hypothetical protein")
    add(blue, 12, "blue protein")
    add(random_family(rng, 90, spread=0.3), 2, "red regulator")  # excluded by name
    add(random_family(rng, 90, spread=0.3), 1, "red")  # named like it, not related
    for _ in range(25):
        add(random_family(rng, 120, spread=0.3), 1, "something else")
    return records, products


@pytest.fixture(scope="module")
def built(corpus):
    return build_library(*corpus, FAMILIES.frame(TABLE))


def test_families_are_found_by_name_and_unnamed_members_by_score(built):
    table = built.built.set_index("profile")
    assert list(table.index) == ["Red", "Blue"]
    assert list(table["named"]) == [14, 12]  # the unrelated 'red' is no member
    assert table["recruited"]["Red"] == 5
    assert table["recruited"]["Blue"] == 0
    assert (
        table["aligned"] + table["held_out"] <= table["named"] + table["recruited"]
    ).all()


def test_thresholds_part_members_from_the_rest(built, corpus):
    records, products = corpus
    found = search_domains(records, open_library(built.profiles))
    owner = {r.id: p for r, p in zip(records, products, strict=True)}
    hits = {name: set(rows["id"]) for name, rows in found.groupby("profile")}
    assert {owner[key] for key in hits["Red"]} == {
        "Redase [Some bug]", "hypothetical protein",
    }  # fmt: skip
    assert {owner[key] for key in hits["Blue"]} == {"blue protein"}
    assert len(hits["Red"]) == 19
    assert len(hits["Blue"]) == 12


def test_held_out_members_are_not_built_from(built, corpus):
    aligned = {key for keys in built.members.values() for key in keys}
    table = built.built
    assert len(aligned) == table["aligned"].sum()
    assert table["held_out"].sum() > 0
    assert (table["held_out_found"].dropna() == 1).all()


def test_the_same_input_gives_the_same_library(built, corpus):
    again = build_library(*corpus, FAMILIES.frame(TABLE))
    pd.testing.assert_frame_equal(again.built, built.built)
    for a, b in zip(again.profiles, built.profiles, strict=True):
        np.testing.assert_array_equal(a.match_emissions, b.match_emissions)


def test_expressions_that_are_none_or_name_nothing_are_refused(corpus):
    broken = [{**TABLE[0], "include": "(red"}]
    with pytest.raises(InputError, match="family 'Red': not a regular expression"):
        build_library(*corpus, FAMILIES.frame(broken))
    nothing = [{**TABLE[0], "include": "green"}]
    with pytest.raises(InputError, match="no family has enough related members"):
        build_library(*corpus, FAMILIES.frame(nothing))


def test_the_command_writes_a_library_and_leaves_out_what_it_must(
    corpus, tmp_path, run_omicsai
):
    records, products = corpus
    fasta = tmp_path / "a.fasta"
    fasta.write_text(
        "".join(
            f">sp|{r.id}|X {p}\n{r.residues}\n"
            for r, p in zip(records, products, strict=True)
        )
    )
    FAMILIES.write(FAMILIES.frame(TABLE), tmp_path / "families.tsv")
    (tmp_path / "ours.fasta").write_text(f">kept_back\n{records[20].residues}\n")
    code = run_omicsai(
        "build-profiles", fasta, "--families", tmp_path / "families.tsv", "--exclude",
        tmp_path / "ours.fasta", "--out", tmp_path / "library",
    )  # fmt: skip
    assert code == 0
    about = BUILT.read(tmp_path / "library" / "library.tsv")
    profiles = read_profiles(tmp_path / "library" / "library.hmm.gz")
    assert [p.name for p in profiles] == list(about["profile"]) == ["Red", "Blue"]
    assert [p.description for p in profiles] == ["Red family", "Blue family"]
    members = (tmp_path / "library" / "library.members.tsv").read_text()
    assert f"\tsp|{records[20].id}|X\n" not in members
    assert f"\tsp|{records[0].id}|X\n" in members


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("NP_1 src=ml2:Bacteria_1 valyl-tRNA synthetase [Bug [x] 1]",
         "valyl-tRNA synthetase"),
        ("P1 src=cfdb:UP1 Aspartate--tRNA ligase OS=Podospora GN=x PE=4",
         "Aspartate--tRNA ligase"),
        ("X src=prokka:g 6.1.1.2~~~trpS~~~Tryptophanyl-tRNA synthetase II~~~COG1",
         "Tryptophanyl-tRNA synthetase II"),
        ("UniRef90_A src=uniref90 ", ""),
        ("only_an_id", ""),
    ],
)  # fmt: skip
def test_product_names_are_taken_from_headers(header, expected):
    assert product_name(header) == expected
