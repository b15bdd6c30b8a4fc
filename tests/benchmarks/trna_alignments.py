"""Per-position agreement of the numbering with the columns of two structural alignments.

``python -m tests.benchmarks.trna_alignments`` needs ``OMICSAI_SHARED``. Consensus columns
of an alignment are canonical positions; D loop, variable loop and what is inserted between
columns are conventions of the aligner and left out. RF00005 is what the model was trained
on; the 1993 compilation is not.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from omicsai.trna import number_sequences
from omicsai.trna.positions import INDEX
from omicsai.trna.stockholm import read_stockholm
from omicsai.trna.training import CONSENSUS

LOOPS = {*map(str, range(16, 22)), *map(str, range(44, 49))}


def main() -> None:
    """Measure and print."""
    folder = Path(os.environ["OMICSAI_SHARED"]) / "data/trna"
    for name in ("rfam_RF00005_seed.sto", "sprinzl1993_1415.sto"):
        rows, _ = read_stockholm(folder / name)
        aligned = [row.upper().replace("T", "U") for row in rows.values()]
        filled = [
            i
            for i in range(len(aligned[0]))
            if 2 * sum(row[i] not in ".-" for row in aligned) >= len(aligned)
        ]
        labels = [*CONSENSUS]
        if len(filled) == 72:  # 47 is a column of its own
            labels.insert(labels.index("48"), "47")
        place = dict(zip(labels, filled, strict=True))
        numbered = number_sequences([r.replace(".", "").replace("-", "") for r in aligned])
        status = numbered.records["status"].to_numpy()
        totals: dict[str, list[int]] = {}
        for i, row in enumerate(aligned):
            index = np.cumsum([c not in ".-" for c in row]) - 1
            found = {
                int(p): j
                for j, (p, extra) in enumerate(
                    zip(numbered.position[i], numbered.insertion[i], strict=True)
                )
                if p >= 0 and extra == 0
            }
            for label, column in place.items():
                if label in LOOPS or row[column] in ".-" or status[i] == "failed":
                    continue
                counts = totals.setdefault(status[i], [0, 0])
                counts[0] += found.get(INDEX[label]) == index[column]
                counts[1] += 1
        counted = dict(zip(*np.unique(status.astype(str), return_counts=True), strict=True))
        print(name, {k: int(v) for k, v in counted.items()})
        for key, (right, all_) in sorted(totals.items()):
            print(f"  {key}: {right / all_:.4f} of {all_} bases")


if __name__ == "__main__":
    main()
