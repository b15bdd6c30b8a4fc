"""Calibration and coverage of label sets on proteins of clusters not seen before.

    python -m tests.benchmarks.calibration WORK --seeds 5

For each seed, three fifths of the clusters of a set train a classifier, one validates and
calibrates it, one tests it against the true labels, with no noise and with 20 % and 40 %
of all labels but the test's made wrong. Intervals resample test clusters.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from omicsai.progress import track
from omicsai.robust import Options, train_classifier
from omicsai.robust.calibration import fit_calibration
from omicsai.robust.conformal import label_scores, prediction_sets
from omicsai.robust.metrics import metric_draws, resampled_weights
from tests.benchmarks.mislabels import features_of, planted
from tests.benchmarks.real_data import SETS, clusters, homology_folds

COVERAGES = (0.8, 0.9, 0.95)
NOISES = (("none", 0.0), ("symmetric", 0.2), ("symmetric", 0.4), ("class", 0.2))


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path, help="folder for clusters and features")
    parser.add_argument("--sets", nargs="+", default=["signalp"])
    parser.add_argument("--encoder", default="composition")
    parser.add_argument("--loss", default="proselflc")
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    options = Options(
        loss=arguments.loss, head="mlp", members=2, epochs=20, batch_size=256,
        weight_decay=3.0,
    )  # fmt: skip
    rows = []
    for name in arguments.sets:
        data = SETS[name]()
        X = features_of(data, arguments.encoder, arguments.work)
        cluster = clusters(data, arguments.work)
        runs = [(noise, s) for s in range(1, arguments.seeds + 1) for noise in NOISES]
        for (kind, rate), seed in track(runs, total=len(runs), label=name):
            fold = homology_folds(cluster, seed)
            part = np.select([fold == 0, fold == 1], ["test", "validation"], "train")
            given = data.code
            if rate:
                given = planted(data, X, kind, rate, seed)
            # cross-fitting on the three training fifths
            trained = train_classifier(
                X, [data.classes[k] for k in given], part, cluster,
                np.where(part == "train", fold - 1, 0),
                replace(options, seed=seed),
            )  # fmt: skip
            classifier = trained.classifier
            z = classifier.logits(X)
            held, test = part == "validation", part == "test"
            transition = classifier.calibration.transition
            naive = {"labels at their word": None, "noise allowed for": transition}
            for scaling in ("temperature", "vector"):
                for how, matrix in naive.items():
                    found = fit_calibration(
                        z[held], given[held], cluster[held],
                        scaling=scaling, transition=matrix,
                    )  # fmt: skip
                    row = {
                        "set": name, "noise": f"{kind} {rate:g}", "seed": seed,
                        "calibration": f"{scaling}, {how}",
                    }  # fmt: skip
                    row |= measure(
                        found, z, given, data.code, cluster, held, test,
                        trained.detector, matrix is not None,
                    )  # fmt: skip
                    rows.append(row)
    table = pd.DataFrame(rows)
    table.to_csv(arguments.work / "calibration.tsv", sep="\t", index=False)
    shown = table.drop(columns="seed").groupby(["set", "noise", "calibration"]).mean()
    with pd.option_context("display.width", 250, "display.max_columns", None):
        print(shown.round(4).to_string())


def measure(
    calibration, z, given, true, cluster, held, test, detector, allowed_for
) -> dict[str, float]:  # type: ignore[no-untyped-def]
    """Metrics of the test part with an interval of the ECE, and coverages."""
    P = calibration(z[test])
    drawn = resampled_weights(cluster[test], resamples=200, seed=1)
    weights = np.vstack([np.ones((1, test.sum())), drawn])
    values = metric_draws(P, true[test], weights)
    found = {
        name: float(values[name][0])
        for name in ("accuracy", "nll", "brier", "ece", "adaptive_ece")
    }
    found["ece_low"], found["ece_high"] = np.percentile(values["ece"][1:], [2.5, 97.5])
    if allowed_for:
        labels = detector.judge(z[held], given[held]).posterior
    else:
        labels = np.eye(z.shape[1])[given[held]]
    scores = label_scores(calibration(z[held]), labels, cluster[held])
    rows = np.arange(test.sum())
    for coverage in COVERAGES:
        sets = prediction_sets(P, scores, coverage=coverage)
        hit = weights @ sets[rows, true[test]] / weights.sum(axis=1)
        found[f"cover_{coverage:g}"] = hit[0]
        found[f"low_{coverage:g}"], found[f"high_{coverage:g}"] = np.percentile(
            hit[1:], [2.5, 97.5]
        )
        found[f"size_{coverage:g}"] = sets.sum(axis=1).mean()
    return {name: float(value) for name, value in found.items()}


if __name__ == "__main__":
    main()
