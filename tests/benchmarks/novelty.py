"""Strangers found: whole superfamilies or kingdoms that training has not seen.

    python -m tests.benchmarks.novelty WORK --seeds 5

SCOPe: half of the superfamilies (of those with at least five domains) are strangers;
classes are folds with a known superfamily. SignalP: each kingdom in turn is the stranger.
Three fifths of the known clusters train, one calibrates, one is the familiar half of the
test. Prints AUROC and false-positive rate at 95 % true positives of each score, and the
false-discovery rate realised by the conformal list of each. ``as predict`` is what `omicsai
predict` does: distances to train and calibration together, calibrated on the same clusters.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score, roc_curve

from omicsai.progress import track
from omicsai.robust import Options, train_classifier
from omicsai.robust.conformal import (
    benjamini_hochberg,
    conformal_p_values,
    one_per_cluster,
)
from omicsai.robust.neighbours import neighbour_distance
from omicsai.robust.novelty import Mahalanobis, logit_scores
from tests.benchmarks.mislabels import features_of
from tests.benchmarks.real_data import (
    SETS,
    Labelled,
    clusters,
    homology_folds,
    some_of,
)

LEVELS = (0.05, 0.1, 0.2)
SHIPPED = "as predict"
FEWEST = 5  # domains of a superfamily that takes part


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path, help="folder for clusters and features")
    parser.add_argument("--sets", nargs="+", default=["domains", "signalp"])
    parser.add_argument("--encoder", default="composition")
    parser.add_argument("--most", type=int, help="proteins of a set (default: all)")
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    rows = []
    for name in arguments.sets:
        data = SETS[name]()
        X = features_of(data, arguments.encoder, arguments.work)
        cluster = clusters(data, arguments.work)
        drawn = some_of(len(X), arguments.most)
        data, X, cluster = data.rows(drawn), X[drawn], cluster[drawn]
        runs = list(strangers(data, arguments.seeds))
        for what, seed, novel, used in track(runs, total=len(runs), label=name):
            found = measure(data, X, cluster, novel, used, seed)
            rows += [{"set": name, "novel": what, "seed": seed, **row} for row in found]
    table = pd.DataFrame(rows)
    table.to_csv(arguments.work / "novelty.tsv", sep="\t", index=False)
    mean = table.groupby(["set", "novel", "score"]).mean(numeric_only=True)
    with pd.option_context("display.width", 200, "display.max_columns", None):
        print(mean.drop(columns="seed").round(3).to_string())


def strangers(data: Labelled, seeds: int):  # type: ignore[no-untyped-def]
    """Yield name, seed, which examples are novel and which take part."""
    groups, count = np.unique(data.group, return_counts=True)
    for seed in range(1, seeds + 1):
        if data.name == "signalp":
            for kingdom in groups:
                yield kingdom, seed, data.group == kingdom, np.ones(len(data.group), bool)
            continue
        large = groups[count >= FEWEST]
        chosen = np.random.default_rng(seed).permutation(large)[: len(large) // 2]
        used = np.isin(data.group, large)
        yield "superfamilies", seed, np.isin(data.group, chosen), used


def measure(
    data: Labelled,
    X: NDArray,
    cluster: NDArray,
    novel: NDArray[np.bool_],
    used: NDArray[np.bool_],
    seed: int,
) -> list[dict]:
    """Scores of all detectors on the familiar test part and the strangers."""
    fold = homology_folds(cluster, seed)
    known = used & ~novel
    part = np.select(
        [~known, fold == 0, fold == 1], ["none", "test", "validation"], "train"
    )
    labels = [data.labels[i] if known[i] else "" for i in range(len(X))]
    inside = np.flatnonzero((part == "train") | (part == "validation"))
    trained = train_classifier(
        X[inside], [labels[i] for i in inside], part[inside], cluster[inside], None,
        Options(
            loss="cross_entropy", head="mlp", members=2, epochs=20, batch_size=256,
            weight_decay=3.0, seed=seed,
        ),
    )  # fmt: skip
    model = trained.classifier
    S, Z = model.standardise(X), model.logits(X)
    train, held = part == "train", part == "validation"
    class_of = {name: i for i, name in enumerate(model.classes)}
    code = np.array([class_of.get(label, -1) for label in labels])
    learned = train & (code >= 0)
    distances = Mahalanobis.fit(S[learned], code[learned])
    scores = {
        SHIPPED: neighbour_distance(S, model.reference),
        "5 nearest": neighbour_distance(S, S[train]),
        "nearest": neighbour_distance(S, S[train], count=1),
        "mahalanobis": distances(S),
        **logit_scores(Z),
    }
    ranks = [pd.Series(scores[name]).rank().to_numpy() for name in ("5 nearest", "energy")]
    scores["5 nearest + energy"] = ranks[0] + ranks[1]
    test = np.flatnonzero((part == "test") | (novel & used))
    held_rows = np.flatnonzero(held)
    first = held_rows[one_per_cluster(cluster[held_rows])]
    rows = []
    for name, score in scores.items():
        false, true, _ = roc_curve(novel[test], score[test])
        row = {
            "score": name,
            "AUROC": roc_auc_score(novel[test], score[test]),
            "FPR95": false[np.searchsorted(true, 0.95)],
        }
        calibration = np.sort(score[first])
        if name == SHIPPED:
            calibration = model.novelty_calibration
        p = conformal_p_values(score[test], calibration)
        for level in LEVELS:
            called = benjamini_hochberg(p, level)
            row[f"FDR at {level:g}"] = (~novel[test])[called].sum() / max(called.sum(), 1)
            row[f"found at {level:g}"] = called[novel[test]].mean()
        rows.append(row)
    return rows


if __name__ == "__main__":
    main()
