"""Fmax and Smin against the published figures of CAFA-evaluator's example.

The example (IDPO, 20 terms, 168 targets) is in the source archive of cafaeval 1.3.0
(GPL-3, so it is not shipped here): ``pip download cafaeval==1.3.0 --no-deps --no-binary
:all:``, unpack, then

    python -m tests.benchmarks.multilabel_oracle cafaeval-1.3.0/src/cafaeval/data/example
"""

from __future__ import annotations

import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np

from omicsai.robust.label_matrix import label_matrix, propagate
from omicsai.robust.multilabel_metrics import fmax, smin
from omicsai.sequences.hierarchy import read_obo

PUBLISHED = {  # Smin from the README of cafaeval; Fmax as re-implemented elsewhere
    1: (0.540941, 2.033799),
    2: (0.539604, 2.043410),
    3: (0.668637, 1.859983),
    4: (0.776137, 0.985798),
    5: (0.674768, 1.586552),
}


def main(folder: Path) -> None:
    """Compare the five predictions."""
    ontology = replace(read_obo(folder / "IDPO_disorder_function.obo"), roots=frozenset())
    given = defaultdict(set)
    for line in (folder / "ground_truth.tsv").read_text().splitlines():
        target, term = line.split()[:2]
        given[target].add(term)
    row = {target: i for i, target in enumerate(sorted(given))}
    cells = [";".join(given[target]) for target in row]
    truth = label_matrix(cells, ontology, sorted(ontology.above))
    column = {term: i for i, term in enumerate(truth.classes)}
    # theirs misses scores of exactly 0.06, 0.29 and others by a rounding error
    exact, rounded = np.arange(1, 100) / 100, np.arange(0.01, 1, 0.01)
    for number, (published_fmax, published_smin) in PUBLISHED.items():
        scores = np.zeros(truth.truth.shape)
        for line in (folder / f"predictions/pred_{number}.tsv").read_text().splitlines():
            target, term, score = line.split()[:3]
            if target in row and term in column:
                at = row[target], column[term]
                scores[at] = max(scores[at], float(score))  # some are given twice
        scores = propagate(scores, truth.parents)
        f, tau = fmax(scores, truth.truth, thresholds=exact)
        bits = np.ones(len(column))
        s = smin(scores, truth.truth, bits, thresholds=rounded)
        ours = smin(scores, truth.truth, bits, thresholds=exact)
        print(
            f"pred_{number}: Fmax {f[0]:.6f} ({published_fmax:.6f}) at {tau[0]:.2f}; "
            f"Smin {s[0]:.6f} ({published_smin:.6f}), {ours[0]:.6f} on an exact grid"
        )
        assert abs(f[0] - published_fmax) < 1e-6
        assert abs(s[0] - published_smin) < 1e-6


if __name__ == "__main__":
    main(Path(sys.argv[1]))
