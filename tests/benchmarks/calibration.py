"""Calibration and coverage of label sets on proteins of clusters not seen before.

    python -m tests.benchmarks.calibration WORK --seeds 5

For each seed, three fifths of the clusters of a set train a classifier, one validates and
calibrates it, one tests it against the true labels, with no noise and with 20 % and 40 %
of all labels but the test's made wrong. Coverage is measured with one vote for each
protein and with one for each cluster; the calibration promises the latter. Intervals
resample clusters, the same for all seeds, whose test parts differ. Each run is kept in
WORK/calibration; a second call adds what is missing.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from omicsai.progress import track
from omicsai.robust import Options, train_classifier
from omicsai.robust.calibration import (
    Calibration,
    Scaling,
    choose_scaling,
    cluster_weights,
    fit_calibration,
)
from omicsai.robust.conformal import label_scores, prediction_sets
from omicsai.robust.detection import Detector
from omicsai.robust.metrics import metric_draws, resampled_weights
from tests.benchmarks.mislabels import features_of, planted
from tests.benchmarks.real_data import SETS, Labelled, clusters, homology_folds

COVERAGES = (0.8, 0.9, 0.95)
SHOWN = ("accuracy", "nll", "brier", "ece", "adaptive_ece")
RESAMPLES = 200
SCALINGS: tuple[Scaling | None, ...] = ("temperature", "vector", None)
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
    draws: dict[tuple[str, str, str], pd.DataFrame] = {}
    for name in arguments.sets:
        data = SETS[name]()
        X = features_of(data, arguments.encoder, arguments.work)
        cluster = clusters(data, arguments.work)
        weights = resampled_weights(cluster, resamples=RESAMPLES, seed=1)
        weights = np.vstack([np.ones((1, len(cluster))), weights])
        runs = [(noise, s) for s in range(1, arguments.seeds + 1) for noise in NOISES]
        stem = f"{name}.{Path(arguments.encoder).name}.{arguments.loss}"
        kept = arguments.work / "calibration"
        kept.mkdir(exist_ok=True)
        for (kind, rate), seed in track(runs, total=len(runs), label=name):
            path = kept / f"{stem}.{kind}.{rate:g}.{seed}.tsv"
            if not path.exists():
                given = planted(data, X, kind, rate, seed) if rate else data.code
                found = calibrated(
                    X, given, data, cluster, weights, replace(options, seed=seed)
                )
                found.to_csv(path, sep="\t", index=False)
            for how, one in pd.read_csv(path, sep="\t").groupby("calibration"):
                key = name, f"{kind} {rate:g}", str(how)
                values = one.drop(columns="calibration").reset_index(drop=True)
                draws[key] = values / arguments.seeds + draws.get(key, 0)
    table = pd.DataFrame({key: told(values) for key, values in draws.items()}).T
    table.to_csv(arguments.work / "calibration.tsv", sep="\t")
    with pd.option_context("display.width", 250, "display.max_columns", None):
        print(table.to_string())


def calibrated(
    X: NDArray[np.float32],
    given: NDArray[np.int64],
    data: Labelled,
    cluster: NDArray,
    weights: NDArray,
    options: Options,
) -> pd.DataFrame:
    """`measure` of each scaling, with labels at their word and with noise allowed for."""
    fold = homology_folds(cluster, options.seed)
    held, test = fold == 1, fold == 0
    # cross-fitting on the three training fifths
    trained = train_classifier(
        X, [data.classes[k] for k in given],
        np.select([test, held], ["test", "validation"], "train"), cluster,
        np.where(fold > 1, fold - 1, 0), options,
    )  # fmt: skip
    z = trained.classifier.logits(X)
    ways = {
        "labels at their word": (None, None),
        "noise allowed for": (trained.classifier.calibration.transition, trained.detector),
    }
    tables = []
    for scaling in SCALINGS:
        for how, (transition, detector) in ways.items():
            labelled = z[held], given[held], cluster[held]
            chosen = scaling or choose_scaling(*labelled, transition=transition)
            found = fit_calibration(*labelled, scaling=chosen, transition=transition)
            measured = measure(
                found, z, given, data.code, cluster, held, test, weights[:, test], detector
            )
            tables.append(measured.assign(calibration=f"{scaling or 'chosen'}, {how}"))
    return pd.concat(tables)


def measure(
    calibration: Calibration,
    z: NDArray,
    given: NDArray[np.int64],
    true: NDArray[np.int64],
    cluster: NDArray,
    held: NDArray[np.bool_],
    test: NDArray[np.bool_],
    weights: NDArray,
    detector: Detector | None,
) -> pd.DataFrame:
    """Metrics of the test part, a row for each row of weights."""
    P = calibration(z[test])
    values = metric_draws(P, true[test], weights)
    found = {name: values[name] for name in SHOWN}
    labels = np.eye(z.shape[1])[given[held]]
    if detector is not None:
        labels = detector.judge(z[held], given[held]).posterior
    scores = label_scores(calibration(z[held]), labels, cluster[held])
    rows = np.arange(test.sum())
    for coverage in COVERAGES:
        sets = prediction_sets(P, scores, coverage=coverage)
        hit = sets[rows, true[test]]
        for name, value, voting in (
            ("coverage", hit, weights),
            ("coverage, by cluster", hit, weights * cluster_weights(cluster[test])),
            ("labels per set", sets.sum(axis=1), weights),
        ):
            found[f"{name} {coverage:g}"] = voting @ value / voting.sum(axis=1)
    return pd.DataFrame(found)


def told(values: pd.DataFrame) -> pd.Series:
    """Each first value with the 95 % interval of the others."""
    low, high = np.percentile(values.iloc[1:], [2.5, 97.5], axis=0)
    first = values.iloc[0].to_numpy()
    cells = [
        f"{value:.3f} ({a:.3f} to {b:.3f})"
        for value, a, b in zip(first, low, high, strict=True)
    ]
    return pd.Series(cells, index=values.columns)


if __name__ == "__main__":
    main()
