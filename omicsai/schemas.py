"""Files made from our declarations: schemas for editors, and the page of all tables.

``python -m omicsai.schemas`` writes them into the repository it is run in; a test keeps the
shipped ones in step.
"""

from __future__ import annotations

import json
from pathlib import Path

from omicsai.batches import batches_schema
from omicsai.config import Config
from omicsai.tables import Table, write_text

__all__ = ["generated_files"]


def generated_files() -> dict[str, str]:
    """Make the content of every generated file, by path within the repository."""
    schemas = {"config": Config.model_json_schema(), "batches": batches_schema()}
    files = {
        f"workflow/schemas/{name}.schema.json": json.dumps(schema, indent=2) + "\n"
        for name, schema in schemas.items()
    }
    return files | {"docs/tables.md": _tables_page()}


def _tables() -> dict[str, Table]:
    """Every table, by the file it is written to."""
    from omicsai.domains import ARCHITECTURE_COUNTS, ARCHITECTURES, DOMAINS, GO_TERMS
    from omicsai.homology import (
        CLUSTERS,
        COMPARISON,
        CROSSING,
        IDENTITY_TO_TRAIN,
        REMOVED,
        SPLIT,
    )
    from omicsai.robust.evaluation import CALIBRATION, CONFUSION, TESTED
    from omicsai.robust.mislabels import EXAMPLES, SUSPECTS
    from omicsai.robust.multilabel_mislabels import MULTILABEL_SUSPECTS
    from omicsai.robust.multilabel_prediction import (
        LABEL_COUNTS,
        MULTILABEL_PREDICTIONS,
        MULTILABEL_TESTED,
    )
    from omicsai.robust.multilabel_train import MULTILABEL_HISTORY
    from omicsai.robust.noise import NOISY
    from omicsai.robust.pilot import PILOT
    from omicsai.robust.prediction import PREDICTIONS
    from omicsai.robust.train import HISTORY
    from omicsai.sequences.check import DUPLICATES, RECORDS, REJECTED
    from omicsai.simulate.dataset import LABELS, TRUTH
    from omicsai.simulate.trna import TRNA_TRUTH
    from omicsai.trna import (
        CLUSTERS as TRNA_CLUSTERS,
    )
    from omicsai.trna import (
        COGNATES,
        COVARIATION,
        EVIDENCE,
        FEATURES,
        HEIGHTS,
        ISOTYPES,
        MAP,
        MATRIX,
        NEIGHBOURS,
        NUMBERING,
        PAIRS,
        SCORES,
        SUPPORT,
        SYNTHETASES,
        TRNA_RECORDS,
    )

    return {
        "batches/{batch}/records.tsv": RECORDS,
        "batches/{batch}/duplicates.tsv": DUPLICATES,
        "batches/{batch}/rejected.tsv": REJECTED,
        "batches/{batch}/domains.tsv": DOMAINS,
        "batches/{batch}/architectures.tsv": ARCHITECTURES,
        "batches/{batch}/architecture_counts.tsv": ARCHITECTURE_COUNTS,
        "batches/{batch}/go_terms.tsv": GO_TERMS,
        "batches/{batch}/predictions.tsv": PREDICTIONS,
        "batches/{batch}/trna/numbering.tsv": NUMBERING,
        "batches/{batch}/trna/records.tsv": TRNA_RECORDS,
        "batches/{batch}/trna/matrix.tsv": MATRIX,
        "batches/{batch}/identity/identity.tsv": SUPPORT,
        "batches/{batch}/identity/logo_features.tsv": FEATURES,
        "batches/{batch}/identity/logo_heights.tsv": HEIGHTS,
        "batches/{batch}/distance/neighbours.tsv": NEIGHBOURS,
        "batches/{batch}/distance/clusters.tsv": TRNA_CLUSTERS,
        "batches/{batch}/distance/map.tsv": MAP,
        "batches/{batch}/cognates/cognates.tsv": COGNATES,
        "batches/{batch}/cognates/cognate_scores.tsv": SCORES,
        "batches/{batch}/cognates/cognate_evidence.tsv": EVIDENCE,
        "batches/{batch}/isotype/isotypes.tsv": ISOTYPES,
        "batches/{batch}/isotype/confusion.tsv": CONFUSION,
        "batches/{batch}/isotype/suspected_mislabels.tsv": SUSPECTS,
        "batches/{batch}/isotype/{other}.predictions.tsv": PREDICTIONS,
        "batches/{batch}/pairing/synthetases.tsv": SYNTHETASES,
        "batches/{batch}/pairing/pairs.tsv": PAIRS,
        "batches/{batch}/pairing/covariation.tsv": COVARIATION,
        "split/split.tsv": SPLIT,
        "split/clusters.tsv": CLUSTERS,
        "split/crossing.tsv": CROSSING,
        "split/removed.tsv": REMOVED,
        "split/identity_to_train.tsv": IDENTITY_TO_TRAIN,
        "split/comparison.tsv": COMPARISON,
        "model/examples.tsv": EXAMPLES,
        "model/history.tsv": HISTORY,
        "model/pilot.tsv": PILOT,
        "model/suspected_mislabels.tsv": SUSPECTS,
        "evaluation/tested.tsv": TESTED,
        "evaluation/calibration.tsv": CALIBRATION,
        "evaluation/confusion.tsv": CONFUSION,
        "model/history.tsv, of several labels": MULTILABEL_HISTORY,
        "model/suspected_mislabels.tsv, of several labels": MULTILABEL_SUSPECTS,
        "evaluation/tested.tsv, of several labels": MULTILABEL_TESTED,
        "evaluation/confusion.tsv, of several labels": LABEL_COUNTS,
        "batches/{batch}/predictions.tsv, of several labels": MULTILABEL_PREDICTIONS,
        "noisy.tsv (omicsai noise)": NOISY,
        "example/known.labels.tsv": LABELS,
        "example/truth.tsv": TRUTH,
        "example/trnas.truth.tsv": TRNA_TRUTH,
    }


def _tables_page() -> str:
    lines = [
        "# Tables",
        "",
        "Tab-separated UTF-8 with a header line. Missing is empty, booleans are `true` and",
        "`false`, coordinates are 1-based and closed, numbers have six significant digits.",
    ]
    for file, table in _tables().items():
        lines += ["", f"## {file}", "", "| column | type | meaning |", "|---|---|---|"]
        lines += [
            f"| `{c.name}` | {c.kind} | {c.meaning.replace('|', chr(92) + '|')} |"
            for c in table.columns
        ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    for name, content in generated_files().items():
        write_text(Path(name), content)
