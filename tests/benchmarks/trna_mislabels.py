"""Planted isotype errors: our suspects beside cleanlab's, on the same probabilities.

``python -m tests.benchmarks.trna_mislabels`` plants 5 % and 20 % wrong isotypes in the
non-vertebrate tRNAs of ``all_labelled_trna.tsv``, cross-fits by cluster with the anticodon
masked, and prints precision and recall. cleanlab is no dependency of the package: install
it beside.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np

from omicsai.robust import Options, train_classifier
from omicsai.trna import cluster_distances, core_weights, distances, position_information
from omicsai.trna.features import choose_landmarks, make_features, unit_weights
from omicsai.trna.transfer import learn_unit_weights
from tests.benchmarks.trna_isotype import LANDMARKS, corrupt, load, thin_rows


def scores(named: np.ndarray, wrong: np.ndarray) -> str:
    """Precision and recall of a list of suspects."""
    hit = (named & wrong).sum()
    return f"precision {hit / max(named.sum(), 1):.3f} recall {hit / wrong.sum():.3f}"


def main() -> None:
    """Measure and print."""
    logging.disable(logging.INFO)
    matrix, labels, clades, _ = load(Path(os.environ["OMICSAI_SHARED"]))
    kept = np.array([not {"vertebrates", "mammals"} & c for c in clades])
    matrix, labels = matrix[kept], labels[kept]
    rows = thin_rows(matrix, labels)
    matrix, labels = matrix[rows], labels[rows]
    cluster = cluster_distances(distances(matrix, core_weights()), 0.15)
    for share in (0.05, 0.2):
        for seed in (1, 2, 3):
            given = corrupt(labels, share, seed)
            wrong = given != labels
            order = np.random.default_rng(seed).permutation(cluster.max() + 1)[cluster]
            part = np.where(order % 6 == 0, "validation", "train")
            fold = np.where(part == "train", order // 6 % 5 + 1, 0)
            learned = part == "train"
            start = unit_weights(
                position_information(matrix[learned], given[learned].tolist())
            )
            shape = make_features(
                matrix[choose_landmarks(matrix, LANDMARKS, seed)],
                learn_unit_weights(
                    matrix[learned], given[learned], fold[learned], start, seed=seed
                ),
            )
            trained = train_classifier(
                shape(matrix), given.tolist(), part, cluster, fold,
                Options(head="ridge", scaling="common", seed=seed),
            )  # fmt: skip
            classes = trained.classifier.classes
            code = np.array([classes.index(g) for g in given])
            logits = trained.held_out_logits
            judged = trained.detector.judge(logits, code)
            P = trained.classifier.calibrated(logits)
            line = f"{share:.0%} seed {seed} n={len(code)} planted {wrong.sum()}: "
            line += f"ours {scores(judged.flagged, wrong)}"
            from cleanlab.filter import find_label_issues

            theirs = find_label_issues(code, P, filter_by="prune_by_noise_rate")
            line += f" | cleanlab {scores(theirs, wrong)}"
            top = np.zeros(len(code), dtype=bool)
            top[np.argsort(-judged.wrong, kind="stable")[: theirs.sum()]] = True
            line += f" | ours, list as long {scores(top, wrong)}"
            print(line, flush=True)


if __name__ == "__main__":
    main()
