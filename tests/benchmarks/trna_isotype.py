"""Amino acid of tRNAs of clades that were held out, the anticodon masked.

``python -m tests.benchmarks.trna_isotype CLADE... --noise 0.4 --seeds 5`` trains on every
other clade of ``all_labelled_trna.tsv`` and prints accuracy on the clade. Settings were
chosen on other clades (docs/trna.md). ``--loss logistic`` is the baseline: one-hot
positions and the logistic regression of scikit-learn, which is no dependency of the
package: install it beside. ``--sets sequences`` counts every different sequence, not every
different body. ``--held-out each`` trains on everything and leaves out each tRNA alone:
what the bodies of a clade could tell if the rest of it were known.
"""

from __future__ import annotations

import argparse
import csv
import logging
import os
import re
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import torch
from scipy.stats import t as student

from omicsai.robust import Options, train_classifier
from omicsai.robust.ridge import balanced_weights, fit_ridge
from omicsai.trna import (
    AMINO_ACIDS,
    amino_acid,
    core_weights,
    normal_isotype,
    number_sequences,
    position_information,
)
from omicsai.trna.features import (
    body_similarity,
    choose_landmarks,
    make_features,
    unit_weights,
)
from omicsai.trna.positions import ANTICODON, LABELS
from omicsai.trna.transfer import learn_unit_weights

LANDMARKS, ROWS, VALIDATION = 4000, 5000, 150
VERTEBRATES = {"danRer11", "xenTro9", "anoCar2", "sprinzl8", "sprinzl9"}
SPECIES = {
    "yeasts": {"sacCer", "schiPomb_972H", "candAlbi_WO_1", "komaPast_GS115"},
    "mammals": {"hg38", "panTro6", "mm39", "rn7", "bosTau9", "gorGor4", "HOMO"},
    "plants": {"araTha1", "sprinzl7"},
    "invertebrates": {"ce11", "dm6"},
    "fungi": {"sprinzl6"},
    "vertebrates": VERTEBRATES,
}


def clade_of(row: dict[str, str]) -> str:
    """Clade of a row: by its domain, or by its species."""
    species = row["species"]
    if match := re.match(r"sprinzl_org_(\d+)", species):
        number = int(match[1])
        if 20 <= number < 100:
            return "archaea"
        if number < 200:
            return "bacteria"
        if number < 600:
            return "organelles"
        species = f"sprinzl{number // 100}"
    if row["domain"] in ("phage", "virus"):
        return row["domain"]
    if row["domain"] in ("A", "B", "mito"):
        return {"A": "archaea", "B": "bacteria", "mito": "organelles"}[row["domain"]]
    for clade, names in SPECIES.items():
        if species in names:
            return clade
    return "trypanosomatids" if row["source"].startswith("tSFM") else species


def load(
    shared: Path, sets: str = "bodies"
) -> tuple[np.ndarray, np.ndarray, list[set[str]], list[str]]:
    """Matrix, amino acids and clades of what counts once, and its first sequence.

    Parameters
    ----------
    shared
        Folder that holds ``data/trna``.
    sets
        ``bodies``: every different body (positions 1 to 73) counts once, in all clades
        that have it. ``sequences``: every different sequence, in the clade of its first
        row, so that a body with and without CCA, or with another leader, counts twice and
        may be in the clade held out and in the training part.
    """
    with (shared / "data/trna/all_labelled_trna.tsv").open() as stream:
        rows = [r for r in csv.DictReader(stream, delimiter="\t") if r["seq"]]
    sequences = sorted({r["seq"] for r in rows})
    numbered = number_sequences(sequences)
    usable = dict(zip(sequences, numbered.usable(), strict=True))
    at = {s: i for i, s in enumerate(sequences)}
    bodies = np.where(core_weights() > 0, numbered.matrix, 0)
    votes: dict[bytes, Counter] = defaultdict(Counter)
    clades: dict[bytes, set[str]] = defaultdict(set)
    first: dict[bytes, int] = {}
    for row in rows:
        label = amino_acid(normal_isotype(row["isotype"]))
        if label in AMINO_ACIDS and usable[row["seq"]]:
            key = bodies[at[row["seq"]]].tobytes()
            if sets == "sequences":
                key = row["seq"].encode()
            votes[key][label] += 1
            if sets == "bodies" or key not in clades:
                clades[key].add(clade_of(row))
            first.setdefault(key, at[row["seq"]])
    keys = sorted(first)
    labels = np.array([votes[k].most_common(1)[0][0] for k in keys], dtype=object)
    chosen = [first[k] for k in keys]
    return numbered.matrix[chosen], labels, [clades[k] for k in keys], [
        sequences[i] for i in chosen
    ]  # fmt: skip


def corrupt(labels: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Replace a share of labels by another amino acid, drawn uniformly."""
    rng = np.random.default_rng(1000 + seed)
    wrong = rng.random(len(labels)) < share
    noisy = labels.copy()
    for i in np.flatnonzero(wrong):
        noisy[i] = rng.choice([a for a in AMINO_ACIDS if a != labels[i]])
    return noisy


def thin_rows(
    matrix: np.ndarray, labels: np.ndarray, identity: float = 0.955
) -> np.ndarray:
    """Rows left when near copies with the same label count once.

    Parameters
    ----------
    matrix, labels
        (n, 99) base codes and (n,) labels.
    identity
        Share of positions and stem pairs, anticodon aside, from which on a row is a near
        copy of an earlier one.

    Returns
    -------
    (m,) int64
        In order.
    """
    most = (identity + identity**3) / 2  # of the kernel
    even = np.ones(len(unit_weights(np.zeros(len(LABELS)))))
    kept = []
    for label in sorted(set(labels.tolist())):
        rows = np.flatnonzero(labels == label)
        alike = body_similarity(matrix[rows], matrix[rows], even) > most
        alive = np.ones(len(rows), dtype=bool)
        for i in range(len(rows)):
            if alive[i]:
                alive[i + 1 :] &= ~alike[i, i + 1 :]
        kept.append(rows[alive])
    return np.sort(np.concatenate(kept))


def balanced_rows(
    labels: np.ndarray, groups: np.ndarray, size: int, seed: int
) -> np.ndarray:
    """Draw training rows so that neither large groups nor large classes drown the rest.

    A row is drawn with probability proportional to (size of its group x weight of its
    class within the groups) to the power of -1/2.

    Parameters
    ----------
    labels, groups
        (n,) class and group (clade, species or cluster) of each row.
    size, seed
        Number of rows to draw, with replacement, and the seed.

    Returns
    -------
    (size,) int64
    """
    weight = np.ones(len(labels))
    for of in (groups, labels):
        _, code = np.unique(of.astype(str), return_inverse=True)
        weight /= np.sqrt(np.bincount(code, weight)[code])
    rng = np.random.default_rng(seed)
    return rng.choice(len(labels), size, p=weight / weight.sum())


def accuracy(
    matrix: np.ndarray,
    labels: np.ndarray,
    clades: list[set[str]],
    held_out: str,
    options: Options,
    *,
    noise: float = 0.0,
    keep_anticodon: bool = False,
) -> dict[str, np.ndarray]:
    """Train on all other clades; hits in the clade held out, by what was known of it."""
    test = np.array([held_out in c for c in clades])
    training = np.flatnonzero(~test)
    seed = options.seed
    given = corrupt(labels[training], noise, seed)
    kept = thin_rows(matrix[training], given)
    training, given = training[kept], given[kept]
    groups = np.array([min(clades[i]) for i in training])
    landmarks = choose_landmarks(matrix[training], LANDMARKS, seed)
    information = position_information(matrix[training], given.tolist())
    start = unit_weights(information, keep_anticodon=keep_anticodon)
    weights = learn_unit_weights(
        matrix[training], given, groups, start, keep_anticodon=keep_anticodon, seed=seed
    )
    shape = make_features(
        matrix[training][landmarks], weights, keep_anticodon=keep_anticodon
    )
    rng = np.random.default_rng(seed)
    validation = rng.choice(len(training), VALIDATION, replace=False)
    rest = np.setdiff1d(np.arange(len(training)), validation)
    if options.head != "ridge":  # which weighs instead
        rest = rest[balanced_rows(given[rest], groups[rest], ROWS, seed)]
    rows = np.concatenate([rest, validation])
    part = np.array(["train"] * len(rest) + ["validation"] * len(validation))
    trained = train_classifier(
        shape(matrix[training[rows]]), given[rows].tolist(), part,
        groups[rows] if options.head == "ridge" else rows.astype(str), None, options,
    )  # fmt: skip
    X = shape(matrix[test])
    readers = {"each alone": trained.classifier}
    if options.head == "ridge":
        readers["adapted to the batch"] = trained.for_batch(X)
    classes = np.array(trained.classifier.classes, dtype=object)
    return {
        name: classes[reader.logits(X).argmax(axis=1)] == labels[test]
        for name, reader in readers.items()
    }


def baseline(
    matrix: np.ndarray,
    labels: np.ndarray,
    clades: list[set[str]],
    held_out: str,
    *,
    noise: float = 0.0,
    keep_anticodon: bool = False,
    seed: int = 1,
) -> dict[str, np.ndarray]:
    """Hits in the clade held out of a logistic regression of one-hot positions."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import OneHotEncoder

    test = np.array([held_out in c for c in clades])
    outside = {"74", "75", "76"} | (set() if keep_anticodon else set(ANTICODON))
    shown = matrix[:, [p not in outside for p in LABELS]]
    X = OneHotEncoder(categories=[range(6)] * shown.shape[1]).fit_transform(shown)
    model = LogisticRegression(max_iter=1000)
    model.fit(X[~test], corrupt(labels[~test], noise, seed).astype(str))
    return {"each alone": model.predict(X[test]) == labels[test]}


def left_out_alone(
    matrix: np.ndarray, labels: np.ndarray, clades: list[set[str]], *, seed: int = 1
) -> np.ndarray:
    """Hits (n,) of the ridge regression on all tRNAs, each left out alone."""
    groups = np.array([min(c) for c in clades])
    start = unit_weights(position_information(matrix, labels.tolist()))
    weights = learn_unit_weights(matrix, labels, groups, start, seed=seed)
    shape = make_features(matrix[choose_landmarks(matrix, LANDMARKS, seed)], weights)
    names, code = np.unique(labels.astype(str), return_inverse=True)
    ridge = fit_ridge(
        torch.from_numpy(shape(matrix)), torch.eye(len(names))[code],
        torch.from_numpy(balanced_weights(code, groups)),
    )  # fmt: skip
    return ridge.left_out.argmax(dim=1).numpy() == code


def interval(hits: np.ndarray) -> float:
    """Half of the 95 % interval over tRNAs drawn again, of the mean over seeds."""
    rng = np.random.default_rng(1)
    mean = hits.mean(axis=0)
    drawn = rng.choice(mean, (2000, len(mean))).mean(axis=1)
    return float(np.diff(np.quantile(drawn, [0.025, 0.975]))[0] / 2)


def main() -> None:
    """Print accuracy of each clade, with intervals over seeds and over tRNAs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clades", nargs="+")
    parser.add_argument("--noise", type=float, default=0.0)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--loss", nargs="+", default=["ridge"])
    parser.add_argument("--decay", type=float, default=10.0)
    parser.add_argument("--members", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--anticodon", choices=["masked", "kept"], default="masked")
    parser.add_argument("--sets", choices=["bodies", "sequences"], default="bodies")
    parser.add_argument("--held-out", choices=["clade", "each"], default="clade")
    told = parser.parse_args()
    logging.disable(logging.INFO)
    matrix, labels, clades, _ = load(Path(os.environ["OMICSAI_SHARED"]), told.sets)
    if told.held_out == "each":
        hits = left_out_alone(matrix, labels, clades)
        for clade in told.clades:
            rows = np.array([clade in c for c in clades])
            print(
                f"{clade} {told.sets} n={rows.sum()} each left out alone: "
                f"{hits[rows].mean():.3f} +- {interval(hits[rows][None]):.3f} (tRNAs)"
            )
        return
    for clade in told.clades:
        n = sum(clade in c for c in clades)
        for loss in told.loss:
            means = {"head": "ridge"} if loss == "ridge" else {
                "head": "linear", "loss": loss, "members": told.members,
                "epochs": told.epochs, "weight_decay": told.decay,
            }  # fmt: skip
            question = {"noise": told.noise, "keep_anticodon": told.anticodon == "kept"}
            runs = [
                baseline(matrix, labels, clades, clade, seed=seed, **question)
                if loss == "logistic"
                else accuracy(
                    matrix, labels, clades, clade,
                    Options(**means, scaling="common", seed=seed), **question,
                )
                for seed in range(1, told.seeds + 1)
            ]  # fmt: skip
            for name in runs[0]:
                hits = np.array([run[name] for run in runs])
                values = hits.mean(axis=1)
                spread = np.std(values, ddof=1) if len(values) > 1 else np.nan
                half = student.ppf(0.975, len(values) - 1) * spread / np.sqrt(len(values))
                print(
                    f"{clade} {told.sets} n={n} noise={told.noise} "
                    f"anticodon {told.anticodon}, {loss}, "
                    f"{name}: {values.mean():.3f} +- {half:.3f} (seeds) "
                    f"+- {interval(hits):.3f} (tRNAs) {np.round(values, 3).tolist()}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
