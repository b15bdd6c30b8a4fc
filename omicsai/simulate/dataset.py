"""The example data set: synthetases, by the amino acid that they charge.

Everything here is simulated. The class of a protein is the amino acid of its synthetase
domain, drawn from a profile of the library that ships; around it lie domains of common
families, shared between classes. Planted are wrong labels, near-duplicates that a naive
split would scatter, families that no training sequence belongs to, and a few records that
`omicsai check` must set aside.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from omicsai.domains import builtin_files, builtin_table, read_profiles
from omicsai.sequences import Sequence
from omicsai.sequences.alphabet import AMINO_ACIDS
from omicsai.simulate.evolve import (
    Family,
    Tree,
    evolve_family,
    profile_family,
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
ARCHITECTURES_PER_CLASS = 14
NOVEL_FAMILIES = 6
LONGEST_ACCESSORY = 200
NOVEL_LENGTH = (260, 500)
LINKER_LENGTH = (6, 25)
LINKER_SPREAD = 0.35  # composition of linkers strays about this far
SHARPNESS = 1.7  # of profiles when sampled; most families stay strangers to a split at 30 %
DEPTH = (0.1, 0.5)
LINKER_TIME = 2.0  # linkers diverge this many times faster than domains
UNKNOWN_FRACTION = 0.05
NEW_SHARE = 0.15


@dataclass(frozen=True)
class Simulated:
    """A simulated data set.

    Attributes
    ----------
    known, new
        Sequences of the training batch and of the batch to predict.
    truth
        The `TRUTH` table.
    """

    known: list[Sequence]
    new: list[Sequence]
    truth: pd.DataFrame


def simulate(
    *,
    classes: int = 8,
    family_size: int = 9,
    mislabelled_fraction: float = 0.2,
    near_duplicates: int = 60,
    seed: int = 1,
) -> Simulated:
    """Simulate synthetase families with planted errors.

    Parameters
    ----------
    classes
        Number of amino acids, each with fourteen families of proteins.
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
    synthetases, accessories, strangers = _profiles(classes)
    names = sorted(synthetases)
    rows = []
    for number in range(classes * ARCHITECTURES_PER_CLASS):
        name = names[number % classes]
        chosen = rng.choice(len(accessories), rng.integers(3), replace=False)
        models = [synthetases[name], *(accessories[k] for k in chosen)]
        domains = [_sampled(rng, models[i]) for i in rng.permutation(len(models))]
        size = int(rng.integers(family_size // 2, family_size * 3 // 2 + 1))
        for protein in _proteins(rng, domains, size):
            batch = "new" if rng.random() < NEW_SHARE else "known"
            rows.append((protein, batch, f"family {number + 1:02d}", name, False, ""))
    for number, k in enumerate(rng.choice(len(strangers), NOVEL_FAMILIES, replace=False)):
        domain = _sampled(rng, strangers[k])
        for protein in _proteins(rng, [domain], family_size // 2):
            rows.append((protein, "new", f"novel {number + 1}", "", True, ""))
    known_rows = [i for i, row in enumerate(rows) if row[1] == "known"]
    for source in rng.choice(known_rows, near_duplicates, replace=False):
        copy = _near_copy(rng, rows[source][0])
        rows.append((copy, "known", *rows[source][2:5], int(source)))
    known, new, truth = _assemble(rng, rows, names, mislabelled_fraction)
    return Simulated(known, new, truth)


def write_example(data: Simulated, folder: Path | str) -> None:
    """Write the data set as a user would have it, with some unusable records.

    Parameters
    ----------
    data
        From `simulate`.
    folder
        Receives `FILES`: FASTA of both batches, labels and the truth.
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
    TRUTH.write(data.truth, folder / FILES["truth"])


def _profiles(classes: int) -> tuple[dict[str, HMM], list[HMM], list[HMM]]:
    """Profile by amino acid; of short common families; of longer ones, to be novel."""
    models = {model.name: model for model in read_profiles(builtin_files().profiles)}
    about = builtin_table()
    charged = about[about["class"] != ""].sort_values("named", kind="stable")
    largest = charged.drop_duplicates("class", keep="last")
    synthetases = {
        row.aa: models[row.profile]
        for row in largest.rename(columns={"class": "aa"}).itertuples()
    }
    # the amino acids with short synthetases first: less to compute
    names = sorted(synthetases, key=lambda name: (synthetases[name].M, name))[:classes]
    common = [models[profile] for profile in about["profile"][about["class"] == ""]]
    low, high = NOVEL_LENGTH
    return (
        {name: synthetases[name] for name in sorted(names)},
        [model for model in common if model.M < LONGEST_ACCESSORY],
        [model for model in common if low <= model.M < high],
    )


def _sampled(rng: np.random.Generator, model: Any) -> Family:
    emissions = np.array(model.match_emissions, dtype=np.float64)[1:]
    return profile_family(rng, emissions, sharpness=SHARPNESS)


def _proteins(rng: np.random.Generator, domains: list[Family], size: int) -> list[str]:
    """Proteins of one family: domains joined by linkers, all along the same tree."""
    tree = random_tree(rng, size, depth=float(rng.uniform(*DEPTH)))
    fast = Tree(LINKER_TIME * tree.depth, [(LINKER_TIME * t, p) for t, p in tree.splits])
    parts = []
    for domain in domains:
        linker = random_family(rng, int(rng.integers(*LINKER_LENGTH)), spread=LINKER_SPREAD)
        parts.append(evolve_family(rng, linker, fast, stem=0.0))
        parts.append(evolve_family(rng, domain, tree, stem=0.0))
    tail = random_family(rng, int(rng.integers(*LINKER_LENGTH)), spread=LINKER_SPREAD)
    parts.append(evolve_family(rng, tail, fast, stem=0.0))
    rows = ["M" + "".join(row).replace("-", "") for row in zip(*parts, strict=True)]
    return list(dict.fromkeys(rows))  # young siblings may be equal


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
