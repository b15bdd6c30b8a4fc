"""Strangers found: whole superfamilies or kingdoms that training has not seen.

    python -m tests.benchmarks.novelty WORK --seeds 5

SCOPe: half of the superfamilies (of those with at least five domains) are strangers;
classes are folds with a known superfamily. SignalP: each kingdom in turn is the stranger.
Three fifths of the known clusters train, one calibrates, one is the familiar half of the
test. Prints AUROC and false-positive rate at 95 % true positives of each score, and the
false-discovery rate realised by the conformal list of each. Then the same of `omicsai
predict` (alone with ``--only-predict``): there a familiar sequence is a further member of a
known cluster; one member of each is held out, and a fifth of the clusters whole, as novel.
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
from omicsai.robust.novelty import Mahalanobis, logit_scores, novelty_calibration
from tests.benchmarks.mislabels import features_of
from tests.benchmarks.real_data import (
    SETS,
    Labelled,
    clusters,
    homology_folds,
    some_of,
)

LEVELS = (0.05, 0.1, 0.2)
FEWEST = 5  # domains of a superfamily that takes part


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path, help="folder for clusters and features")
    parser.add_argument("--sets", nargs="+", default=["domains", "signalp"])
    parser.add_argument("--encoder", default="composition")
    parser.add_argument("--most", type=int, help="proteins of a set (default: all)")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only-predict", action="store_true")
    arguments = parser.parse_args()
    rows = []
    for name in arguments.sets:
        data = SETS[name]()
        X = features_of(data, arguments.encoder, arguments.work)
        cluster = clusters(data, arguments.work)
        drawn = some_of(len(X), arguments.most)
        data, X, cluster = data.rows(drawn), X[drawn], cluster[drawn]
        rows += [
            {"set": name, "novel": "clusters", "seed": seed, **as_predict(X, cluster, seed)}
            for seed in range(1, arguments.seeds + 1)
        ]
        if arguments.only_predict:
            continue
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


def as_predict(X: NDArray, cluster: NDArray, seed: int) -> dict:
    """Score of `predict` on further members of known clusters, and on new clusters."""
    fold = homology_folds(cluster, seed)
    shuffled = np.random.default_rng(seed).permutation(len(X))
    _, first, size = np.unique(cluster[shuffled], return_index=True, return_counts=True)
    further = shuffled[first[size > 1]]
    further = further[fold[further] > 0]
    new = shuffled[first[fold[shuffled[first]] == 0]]
    known = fold > 0
    known[further] = False
    calibration = novelty_calibration(X[known], cluster[known])
    tested = np.r_[further, new]
    novel = np.arange(len(tested)) >= len(further)
    score = neighbour_distance(X[tested], X[known])
    return {"score": "as predict", **told(score, novel, calibration)}


def told(score: NDArray, novel: NDArray[np.bool_], calibration: NDArray) -> dict:
    """AUROC, false positives, and what the conformal list holds at each level."""
    false, true, _ = roc_curve(novel, score)
    row = {
        "AUROC": roc_auc_score(novel, score),
        "FPR95": false[np.searchsorted(true, 0.95)],
    }
    p = conformal_p_values(score, calibration)
    for level in LEVELS:
        called = benjamini_hochberg(p, level)
        row[f"FDR at {level:g}"] = (~novel)[called].sum() / max(called.sum(), 1)
        row[f"found at {level:g}"] = called[novel].mean()
    return row


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
        calibration = np.sort(score[first])
        rows.append({"score": name, **told(score[test], novel[test], calibration)})
    return rows


if __name__ == "__main__":
    main()
