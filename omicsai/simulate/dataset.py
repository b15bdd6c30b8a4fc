"""The example data set: protein families with planted errors and known truth.

Everything here is simulated. Classes are tied to a signature domain; each class has
several architectures, which share accessory domains with other classes. Planted are wrong
labels, near-duplicates that a naive split would scatter, families that no training
sequence belongs to, and a few records that `omicsai check` must set aside.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from omicsai.domains import build_profile, search_domains, write_profiles
from omicsai.sequences import Sequence
from omicsai.sequences.alphabet import AMINO_ACIDS
from omicsai.simulate.evolve import (
    Family,
    Tree,
    evolve_family,
    random_family,
    random_tree,
)
from omicsai.simulate.files import FILES
from omicsai.tables import Column, Table, write_text

if TYPE_CHECKING:
    from pyhmmer.plan7 import HMM

__all__ = ["LABELS", "TRUTH", "Simulated", "simulate", "write_example"]

LABELS = Table(
    "labels",
    (
        Column("id", "text", "sequence id"),
        Column("label", "text", "given label, wrong where the truth says so"),
    ),
)
TRUTH = Table(
    "truth",
    (
        Column("id", "text", "sequence id"),
        Column("batch", "text", "'known' (training) or 'new' (to predict)"),
        Column("family", "text", "simulated protein family"),
        Column("true_label", "text", "class by domain content, empty for novel families"),
        Column("given_label", "text", "label in the label table, empty where unknown"),
        Column("mislabelled", "boolean", "a wrong label was planted"),
        Column("novel", "boolean", "no training sequence is of this family"),
        Column("near_duplicate_of", "text", "sequence this one is a near-copy of"),
    ),
)
ACCESSORY_DOMAINS = 10
ARCHITECTURES_PER_CLASS = 14
NOVEL_FAMILIES = 6
SIGNATURE_LENGTH = (90, 150)
ACCESSORY_LENGTH = (50, 100)
LINKER_LENGTH = (6, 25)
DOMAIN_SPREAD = 0.35  # composition of real folds strays about this far
STEM, DEPTH = (0.7, 1.3), (0.3, 0.9)
LINKER_TIME = 2.0  # linkers diverge this many times faster than domains
UNKNOWN_FRACTION = 0.05
NEW_SHARE = 0.15
SEED_TIPS, SEED_DEPTH = 30, 0.9
LEAST_GATHERING = 20.0


@dataclass(frozen=True)
class Simulated:
    """A simulated data set.

    Attributes
    ----------
    known, new
        Sequences of the training batch and of the batch to predict.
    truth
        The `TRUTH` table.
    profiles
        Profile HMMs of the known domains, with gathering thresholds.
    """

    known: list[Sequence]
    new: list[Sequence]
    truth: pd.DataFrame
    profiles: list[HMM]


def simulate(
    *,
    classes: int = 8,
    family_size: int = 9,
    mislabelled_fraction: float = 0.2,
    near_duplicates: int = 60,
    seed: int = 1,
) -> Simulated:
    """Simulate protein families with planted errors.

    Parameters
    ----------
    classes
        Number of classes, each with fourteen architectures (families).
    family_size
        Mean number of proteins in a family.
    mislabelled_fraction
        Share of labels replaced by another class, drawn uniformly.
    near_duplicates
        Number of near-copies (95 to 99 % identity) of training proteins.
    seed
        Seed of everything.

    Returns
    -------
    Simulated
        The same for the same arguments.
    """
    rng = np.random.default_rng(seed)
    names = [f"class {chr(ord('A') + k)}" for k in range(classes)]
    signatures = {f"SimCore_{name[-1]}": _domain(rng, SIGNATURE_LENGTH) for name in names}
    accessories = {
        f"SimAcc_{k + 1:02d}": _domain(rng, ACCESSORY_LENGTH)
        for k in range(ACCESSORY_DOMAINS)
    }
    rows = []
    for number in range(classes * ARCHITECTURES_PER_CLASS):
        name = names[number % classes]
        domains = [
            signatures[f"SimCore_{name[-1]}"],
            *(
                accessories[k]
                for k in rng.choice(sorted(accessories), rng.integers(3), replace=False)
            ),
        ]
        order = rng.permutation(len(domains))
        size = int(rng.integers(family_size // 2, family_size * 3 // 2 + 1))
        for protein in _proteins(rng, [domains[i] for i in order], size):
            batch = "new" if rng.random() < NEW_SHARE else "known"
            rows.append((protein, batch, f"family {number + 1:02d}", name, False, ""))
    for number in range(NOVEL_FAMILIES):
        domain = _domain(rng, SIGNATURE_LENGTH)
        for protein in _proteins(rng, [domain], family_size // 2):
            rows.append((protein, "new", f"novel {number + 1}", "", True, ""))
    known_rows = [i for i, row in enumerate(rows) if row[1] == "known"]
    for source in rng.choice(known_rows, near_duplicates, replace=False):
        copy = _near_copy(rng, rows[source][0])
        rows.append((copy, "known", *rows[source][2:5], int(source)))
    known, new, truth = _assemble(rng, rows, names, mislabelled_fraction)
    profiles = _profiles(rng, {**signatures, **accessories})
    return Simulated(known, new, truth, profiles)


def write_example(data: Simulated, folder: Path | str) -> None:
    """Write the data set as a user would have it, with some unusable records.

    Parameters
    ----------
    data
        From `simulate`.
    folder
        Receives `FILES`: FASTA of both batches, labels, profiles and the truth.
    """
    folder = Path(folder)
    labelled = data.truth[data.truth.batch == "known"]
    conflicting = labelled[labelled.given_label != ""].iloc[-1]
    other = labelled[~labelled.given_label.isin(["", conflicting.given_label])].iloc[0]
    labels = [*zip(labelled.id, labelled.given_label, strict=True)]
    labels += [("CONFLICT1", other.given_label), ("MISSING1", other.given_label)]
    LABELS.write(pd.DataFrame(labels, columns=["id", "label"]), folder / FILES["labels"])
    residues = {s.id: s.residues for s in data.known}
    conflict = f">CONFLICT1 copy with another label\n{residues[conflicting.id]}\n"
    write_text(
        folder / FILES["known"], _fasta(data.known) + _unusable(data.known) + conflict
    )
    write_text(folder / FILES["new"], _fasta(data.new))
    write_profiles(data.profiles, folder / FILES["profiles"])
    TRUTH.write(data.truth, folder / FILES["truth"])


def _domain(rng: np.random.Generator, length: tuple[int, int]) -> Family:
    return random_family(rng, int(rng.integers(*length)), spread=DOMAIN_SPREAD)


def _proteins(rng: np.random.Generator, domains: list[Family], size: int) -> list[str]:
    """Proteins of one family: domains joined by linkers, all along the same tree."""
    tree = random_tree(rng, size, depth=float(rng.uniform(*DEPTH)))
    stem = float(rng.uniform(*STEM))
    fast = Tree(LINKER_TIME * tree.depth, [(LINKER_TIME * t, p) for t, p in tree.splits])
    parts = []
    for domain in domains:
        linker = random_family(rng, int(rng.integers(*LINKER_LENGTH)), spread=DOMAIN_SPREAD)
        parts.append(evolve_family(rng, linker, fast, stem=0.0))
        parts.append(evolve_family(rng, domain, tree, stem=stem))
    tail = random_family(rng, int(rng.integers(*LINKER_LENGTH)), spread=DOMAIN_SPREAD)
    parts.append(evolve_family(rng, tail, fast, stem=0.0))
    return ["M" + "".join(row).replace("-", "") for row in zip(*parts, strict=True)]


def _near_copy(rng: np.random.Generator, protein: str) -> str:
    letters = list(protein)
    changes = max(1, round(len(letters) * rng.uniform(0.01, 0.05)))
    for at in rng.choice(np.arange(1, len(letters)), changes, replace=False):
        letters[at] = rng.choice([a for a in AMINO_ACIDS if a != letters[at]])
    return "".join(letters)


def _assemble(
    rng: np.random.Generator,
    rows: list[tuple],
    names: list[str],
    mislabelled_fraction: float,
) -> tuple[list[Sequence], list[Sequence], pd.DataFrame]:
    """Shuffle, name, and plant unknown and wrong labels."""
    order = rng.permutation(len(rows))
    ids = {int(row): f"SIM{place + 1:05d}" for place, row in enumerate(order)}
    known: list[Sequence] = []
    new: list[Sequence] = []
    truth = []
    for row in order:
        residues, batch, family, true_label, novel, source = rows[row]
        sequence = Sequence(ids[int(row)], residues)
        (known if batch == "known" else new).append(sequence)
        given, wrong = "", False
        if batch == "known" and rng.random() >= UNKNOWN_FRACTION:
            wrong = bool(rng.random() < mislabelled_fraction)
            others = [name for name in names if name != true_label]
            given = str(rng.choice(others)) if wrong else true_label
        truth.append(
            {
                "id": sequence.id,
                "batch": batch,
                "family": family,
                "true_label": true_label,
                "given_label": given,
                "mislabelled": wrong,
                "novel": novel,
                "near_duplicate_of": ids[source] if source != "" else "",
            }
        )
    return known, new, TRUTH.frame(truth)


def _profiles(rng: np.random.Generator, domains: dict[str, Family]) -> list[HMM]:
    """Profiles built from sequences of their own, with calibrated gathering thresholds."""
    profiles, members = [], {}
    for name, family in domains.items():
        rows = [
            evolve_family(
                rng, family, random_tree(rng, SEED_TIPS, depth=SEED_DEPTH), stem=0.0
            )
            for _ in range(2)
        ]
        profiles.append(build_profile(name, rows[0], description="simulated domain family"))
        members[name] = [row.replace("-", "") for row in rows[1]]
    pooled = [
        Sequence(f"{name} {i}", residues)
        for name, held_out in members.items()
        for i, residues in enumerate(held_out)
    ]
    hits = search_domains(pooled, profiles, cutoff="evalue", evalue=10.0)
    own = hits.id.str.rsplit(" ", n=1).str[0] == hits.profile
    for profile in profiles:
        mine = hits.profile == profile.name
        false = hits.score[mine & ~own].max() if (mine & ~own).any() else 0.0
        true = hits.score[mine & own].quantile(0.05) if (mine & own).any() else 0.0
        threshold = round(max(LEAST_GATHERING, (false + true) / 2), 1)
        profile.cutoffs.gathering = (threshold, threshold)
    return profiles


def _fasta(sequences: list[Sequence]) -> str:
    """FASTA wrapped at 60 residues, as most files are."""
    records = []
    for s in sequences:
        lines = [s.residues[i : i + 60] for i in range(0, len(s), 60)]
        records.append(f">{s.id} simulated\n" + "\n".join(lines) + "\n")
    return "".join(records)


def _unusable(known: list[Sequence]) -> str:
    """Make records that checking must merge or set aside, one of each common kind."""
    first, second = known[0].residues, known[1].residues
    return (
        f">COPY1 exact copy of {known[0].id}\n{first.lower()}*\n"
        f">STOP1 stop codon inside\n{second[:40]}*{second[40:]}\n"
        ">EMPTY1 no residues\n"
        ">DNA1 nucleotides in a protein file\nATGGCTAAAGGTGAACTGTTCACCGGTGTTGTACCC\n"
        ">SHORT1 a fragment\nMKTAY\n"
        f">UNKNOWN1 mostly X\n{'X' * 60}{second[:30]}\n"
    )
