"""What ``train`` and ``evaluate`` do for models of several labels."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omicsai.config import EvaluateOptions, TrainOptions

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

__all__ = ["evaluate", "train"]

logger = logging.getLogger(__name__)


def train(
    arguments: argparse.Namespace,
    options: TrainOptions,
    split: pd.DataFrame,
    labels: list[str],
    features: NDArray,
    encoder: dict[str, str],
    checkpoints: Path,
) -> None:
    """Train on the sequences of a split and write the model folder."""
    from dataclasses import fields, replace

    from omicsai.errors import InputError
    from omicsai.robust.mislabels import EXAMPLES
    from omicsai.robust.multilabel_mislabels import MULTILABEL_SUSPECTS, multilabel_suspects
    from omicsai.robust.multilabel_model import save_multilabel
    from omicsai.robust.multilabel_train import (
        MULTILABEL_HISTORY,
        MultiLabelOptions,
        train_multilabel,
    )
    from omicsai.robust.pilot import PILOT
    from omicsai.sequences.hierarchy import read_hierarchy
    from omicsai.tables import write_provenance
    from omicsai.tables.provenance import package_versions

    if options.head == "light_attention":
        raise InputError("light_attention is for one label a sequence: use linear or mlp")
    chosen = options.model_dump() | {"loss": options.multilabel_loss}
    chosen |= {"head": options.head or "mlp"}  # no pilot runs over heads here
    chosen |= {"seed": arguments.seed}
    trained = train_multilabel(
        features,
        labels,
        split["part"].to_numpy(),
        split["cluster"].to_numpy(),
        split.get("fold"),
        MultiLabelOptions(
            **{
                f.name: chosen[f.name]
                for f in fields(MultiLabelOptions)
                if f.name in chosen
            }
        ),
        read_hierarchy(options.hierarchy),
        checkpoints=checkpoints,
    )
    classifier = replace(trained.classifier, encoder=encoder)
    save_multilabel(classifier, arguments.out)
    MULTILABEL_HISTORY.write(trained.history, arguments.out / "history.tsv")
    PILOT.write(trained.pilot, arguments.out / "pilot.tsv")
    examples = EXAMPLES.frame(
        {
            "id": split["id"],
            "part": split["part"],
            "cluster": split["cluster"],
            "label": labels,
        }
    )
    EXAMPLES.write(examples, arguments.out / "examples.tsv")
    suspects = multilabel_suspects(
        classifier.calibrated(trained.held_out_logits),
        trained.labels.truth,
        trained.labels.known,
        classifier.classes,
        examples,
    )
    MULTILABEL_SUSPECTS.write(suspects, arguments.out / "suspected_mislabels.tsv")
    inputs = {"split": arguments.split, **_read_files(arguments)}
    if options.hierarchy and options.hierarchy.lower() != "ec":
        inputs["hierarchy"] = Path(options.hierarchy)
    write_provenance(
        arguments.out / "train.provenance.json",
        stage="train",
        options={
            **options.model_dump(),
            "label_column": arguments.label_column,
            "seed": arguments.seed,
        },
        inputs=inputs,
        tools=package_versions("torch", "numpy"),
    )
    problems = suspects["problem"].value_counts()
    logger.info(
        "%d labels; %d probably missing and %d probably wrong annotations",
        len(classifier.classes), problems.get("missing", 0), problems.get("wrong", 0),
    )  # fmt: skip


def evaluate(arguments: argparse.Namespace, options: EvaluateOptions) -> None:
    """Evaluate on labelled sequences that were not trained on, and write."""
    import numpy as np

    from omicsai.cli.inputs import (
        labels_of,
        pooled_labels,
        require_encoder,
        seen_in_training,
    )
    from omicsai.embedding import read_embeddings
    from omicsai.errors import InputError
    from omicsai.robust.evaluation import CALIBRATION
    from omicsai.robust.label_matrix import label_matrix
    from omicsai.robust.mislabels import EXAMPLES
    from omicsai.robust.multilabel_mislabels import MULTILABEL_SUSPECTS, multilabel_suspects
    from omicsai.robust.multilabel_model import is_multilabel, load_multilabel
    from omicsai.robust.multilabel_prediction import (
        LABEL_COUNTS,
        MULTILABEL_TESTED,
        evaluate_labels,
    )
    from omicsai.tables import write_json, write_provenance

    classifier = load_multilabel(arguments.model)
    examples = EXAMPLES.read(arguments.model / "examples.tsv").set_index("id")
    ids, vectors, encoder = read_embeddings(*arguments.embeddings)
    require_encoder(classifier, encoder)
    cells = labels_of(ids, pooled_labels(arguments.labels, arguments.label_column))
    seen, copies, part, cluster = seen_in_training(classifier, examples, ids, vectors)
    labels = label_matrix(cells, classifier.hierarchy, classifier.classes)
    where = np.flatnonzero(~seen & labels.truth.any(axis=1))
    if not len(where):
        raise InputError(
            "no sequence to evaluate on: every labelled one was used in training, or "
            f"carries none of the {len(classifier.classes)} labels of the model (a batch "
            "to predict needs none: empty its cell 'labels')"
        )
    logger.info(
        "%d labelled sequences; %d others were used in training, or removed, or have no "
        "label of the model",
        len(where), len(ids) - len(where),
    )  # fmt: skip
    control = None
    if arguments.control:
        if not is_multilabel(arguments.control):
            raise InputError(
                f"{arguments.control} is a model of one label a sequence and "
                f"{arguments.model} one of several: train both with the same train.task"
            )
        control = load_multilabel(arguments.control)
        if control.classes != classifier.classes:
            raise InputError(
                f"{arguments.control} knows other labels than {arguments.model}: train "
                "both on the same labels"
            )
    own = np.array(ids, dtype=object)[where]
    chosen = labels.rows(where)
    result = evaluate_labels(
        classifier,
        vectors[where],
        chosen,
        cluster[where],
        own,
        control=control,
        resamples=options.resamples,
        seed=arguments.seed,
    )
    frame = EXAMPLES.frame(
        {
            "id": own,
            "part": part[where],
            "cluster": cluster[where],
            "label": np.array(cells, dtype=object)[where],
        }
    )
    suspects = multilabel_suspects(
        result.probabilities, chosen.truth, chosen.known, classifier.classes, frame
    )
    metrics: dict[str, Any] = {
        **result.metrics,
        "sequences": len(where),
        "clusters": len(set(cluster[where])),
        "copies_left_out": int(copies.sum()),
        "seed": arguments.seed,
    }
    write_json(arguments.out / "metrics.json", metrics)
    MULTILABEL_TESTED.write(result.tested, arguments.out / "tested.tsv")
    CALIBRATION.write(result.calibration, arguments.out / "calibration.tsv")
    LABEL_COUNTS.write(result.counts, arguments.out / "confusion.tsv")
    MULTILABEL_SUSPECTS.write(suspects, arguments.out / "suspected_mislabels.tsv")
    inputs = {"model": arguments.model, **_read_files(arguments)}
    inputs |= {"control": arguments.control} if arguments.control else {}
    write_provenance(
        arguments.out / "evaluate.provenance.json",
        stage="evaluate",
        options={
            **options.model_dump(),
            "label_column": arguments.label_column,
            "seed": arguments.seed,
        },
        inputs=inputs,
    )
    low, high = metrics["intervals"]["fmax"]
    logger.info(
        "Fmax %.3f (95 %% interval %.3f to %.3f), micro-AUPR %.3f",
        metrics["fmax"], low, high, metrics["micro_aupr"],
    )  # fmt: skip


def _read_files(arguments: argparse.Namespace) -> dict[str, Path]:
    """Embeddings and label tables by role, for the provenance."""
    files = {f"embeddings_{i}": path for i, path in enumerate(arguments.embeddings, 1)}
    labels = getattr(arguments, "labels", [])
    return files | {f"labels_{i}": path for i, path in enumerate(labels, 1)}
