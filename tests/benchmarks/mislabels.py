"""Wrong labels found, beside cleanlab on the same out-of-fold probabilities.

    python -m tests.benchmarks.mislabels WORK --seeds 5

plants 5, 10, 20 and 40 % of three kinds of noise in the labels of SignalP, DeepLoc's ten
locations and the top level of EC numbers, trains five folds of linear heads with cross
entropy, and prints F1 at the default cut, area under precision and recall, and estimated
rates, beside the area under the margin (AUM) of heads that learn from all of the labels.
``consensus`` is the mean rank by our probability, self-confidence and AUM. With ``--folds
plain`` homologues may lie in different folds; ``--most 5000`` draws so many proteins of a
larger set. Scores are kept in WORK/mislabels; a second call adds what is missing. cleanlab
2.9.0 must be installed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.special import softmax
from scipy.stats import rankdata
from scipy.stats import t as student
from sklearn.metrics import average_precision_score

from omicsai.embedding import embed_sequences, load_encoder
from omicsai.progress import track
from omicsai.robust import Options
from omicsai.robust.detection import fit_detector, self_confidence
from omicsai.robust.fit import fit_members
from omicsai.robust.heads import all_logits, new_head, on_vectors
from omicsai.robust.margins import area_under_margin
from omicsai.robust.noise import (
    class_dependent_noise,
    neighbour_dependent_noise,
    symmetric_noise,
)
from omicsai.robust.train import standardisation
from omicsai.sequences import Sequence
from tests.benchmarks.real_data import (
    SETS,
    Labelled,
    clusters,
    homology_folds,
    plain_folds,
    some_of,
)

RATES = (0.05, 0.1, 0.2, 0.4)
FILTERS = (
    "prune_by_noise_rate",  # cleanlab's default
    "prune_by_class",
    "both",
    "confident_learning",
    "predicted_neq_given",
    "low_self_confidence",
    "low_normalized_margin",
)
OPTIONS = Options(
    loss="cross_entropy", members=0, epochs=20, batch_size=256, weight_decay=3.0
)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path, help="folder for clusters and features")
    parser.add_argument("--sets", nargs="+", default=["signalp", "deeploc", "enzymes"])
    parser.add_argument("--encoder", default="composition")
    parser.add_argument("--most", type=int, help="proteins of a set (default: all)")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--folds", choices=("homology", "plain"), default="homology")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for name in arguments.sets:
        data = SETS[name]()
        X = features_of(data, arguments.encoder, arguments.work)
        cluster = clusters(data, arguments.work)
        drawn = some_of(len(X), arguments.most)
        data, X, cluster = data.rows(drawn), X[drawn], cluster[drawn]
        runs = [
            (kind, rate, seed)
            for seed in range(1, arguments.seeds + 1)
            for kind in ("symmetric", "class", "neighbour")
            for rate in RATES
        ]
        for kind, rate, seed in track(runs, total=len(runs), label=name):
            given = planted(data, X, kind, rate, seed)
            stem = (
                f"{name}.{Path(arguments.encoder).name}.{arguments.most}.{arguments.folds}"
            )
            kept = arguments.work / "mislabels" / f"{stem}.{kind}.{rate:g}.{seed}.npz"
            if not kept.exists():
                kept.parent.mkdir(exist_ok=True)
                plain = arguments.folds == "plain"
                fold = plain_folds(len(X), seed) if plain else homology_folds(cluster, seed)
                logits, area = scores(X, given, fold, len(data.classes), seed)
                np.savez(kept, logits=logits, area=area, given=given, true=data.code)
            one = np.load(kept)
            found = compare(one["logits"], one["area"], given, data.code)
            rows.append({"set": name, "kind": kind, "rate": rate, "seed": seed, **found})
    table = pd.DataFrame(rows)
    table.to_csv(arguments.work / f"mislabels.{arguments.folds}.tsv", sep="\t", index=False)
    tell(table)


def features_of(data: Labelled, encoder: str, work: Path) -> NDArray[np.float32]:
    """Standardised embeddings (n, d), kept in `work`."""
    kept = work / f"{data.name}.{Path(encoder).name}.npy"
    if not kept.exists():
        records = [Sequence(str(i), text) for i, text in enumerate(data.residues)]
        work.mkdir(parents=True, exist_ok=True)
        np.save(kept, embed_sequences(records, load_encoder(encoder)))
    X = np.load(kept)
    mean, scale = standardisation(X)
    return ((X - mean) / scale).astype(np.float32)


def planted(
    data: Labelled, X: NDArray, kind: str, rate: float, seed: int
) -> NDArray[np.int64]:
    """Class indices (n,), some of them wrong."""
    classes = len(data.classes)
    if kind == "symmetric":
        return symmetric_noise(data.code, classes, rate, seed=seed)
    if kind == "class":
        return class_dependent_noise(data.code, classes, rate, seed=seed)
    return neighbour_dependent_noise(data.code, classes, rate, X, seed=seed)


def scores(
    X: NDArray, given: NDArray[np.int64], fold: NDArray, classes: int, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Out-of-fold logits (n, C), and area under the margin (n,) of heads that see all."""
    area = area_under_margin(
        new_head("linear", 2, X.shape[1], classes + 1, 0, seed),
        on_vectors(torch.from_numpy(X)), given, np.ones(len(X), bool), OPTIONS,
    )  # fmt: skip
    return out_of_fold(X, given, fold, classes, seed), area


def out_of_fold(
    X: NDArray, given: NDArray[np.int64], fold: NDArray, classes: int, seed: int
) -> NDArray[np.float32]:
    """Logits (n, C) of members that have not seen the example's fold."""
    folds = np.unique(fold)
    forward = on_vectors(torch.from_numpy(X))
    start = new_head("linear", len(folds), X.shape[1], classes, 0, seed)
    Q = torch.eye(classes)[torch.from_numpy(given)]
    fitted = fit_members(start, forward, Q, [fold != f for f in folds], OPTIONS, watched={})
    by_fold = all_logits(forward, fitted.last, len(given))
    return by_fold[np.searchsorted(folds, fold), np.arange(len(given))]


def compare(
    logits: NDArray,
    area: NDArray,
    given: NDArray[np.int64],
    true: NDArray[np.int64],
) -> dict[str, float]:
    """Scores of the detector, of the area under the margin and of cleanlab's filters."""
    from cleanlab.count import estimate_joint
    from cleanlab.filter import find_label_issues

    wrong = given != true
    detector = fit_detector(logits, given)
    judged = detector.judge(logits, given)
    P = softmax(logits.astype(np.float64), axis=1)
    flagged = judged.flagged
    trust = self_confidence(P, given)
    ranks = [rankdata(score) for score in (judged.wrong, -trust, -area)]
    named = judged.proposed[flagged & wrong] == true[flagged & wrong]
    found = {
        "classifier_accuracy": (logits.argmax(axis=1) == true).mean(),
        "F1": f1(flagged, wrong),
        "precision": wrong[flagged].mean(),
        "recall": flagged[wrong].mean(),
        "right_proposal": named.mean(),
        "AUPRC": average_precision_score(wrong, judged.wrong),
        "AUPRC_self_confidence": average_precision_score(wrong, -trust),
        "AUPRC_AUM": average_precision_score(wrong, -area),
        "AUPRC_consensus": average_precision_score(wrong, np.mean(ranks, axis=0)),
        "F1_AUM": f1(area <= 0, wrong),
        "estimate": detector.rate,
        "estimate_low": min(detector.rates),
        "estimate_high": max(detector.rates),
        "estimate_cleanlab": 1 - np.trace(estimate_joint(given, P)),
    }
    for name in FILTERS:
        issues = find_label_issues(given, P, filter_by=name, n_jobs=1)
        found[f"cleanlab_{name}"] = f1(issues, wrong)
    return {name: float(value) for name, value in found.items()}


def f1(flagged: NDArray[np.bool_], wrong: NDArray[np.bool_]) -> float:
    """Harmonic mean of precision and recall."""
    return 2 * (flagged & wrong).sum() / max(flagged.sum() + wrong.sum(), 1)


def tell(table: pd.DataFrame) -> None:
    """Print means, the intervals over seeds, and the shares of good estimates."""
    values = [name for name in table if name not in ("set", "kind", "rate", "seed")]
    with pd.option_context("display.width", 250, "display.max_columns", None):
        shown = [name for name in values if not name.startswith("cleanlab_")]
        print(table.groupby(["set", "kind", "rate"])[shown].mean().round(3).to_string())
        print(table.groupby("set")[values].mean().round(3).T.to_string())
    by_seed = table.groupby("seed")[values].mean()
    half = student.ppf(0.975, len(by_seed) - 1) * by_seed.std() / np.sqrt(len(by_seed))
    for name in values:
        print(f"{name:36s} {by_seed[name].mean():.3f} ± {half[name]:.3f}")
    for name in ("estimate", "estimate_cleanlab"):
        near = (table[name] - table["rate"]).abs() <= 0.2 * table["rate"]
        print(f"{name}: within 20 % of the planted rate in {near.mean():.0%} of runs")
        print(near.groupby([table["set"], table["kind"]]).mean().unstack().to_string())


if __name__ == "__main__":
    main()
