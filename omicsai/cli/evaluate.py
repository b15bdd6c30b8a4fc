"""``omicsai evaluate``."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Any

from omicsai.cli.options import add_section, add_seed, section_of
from omicsai.config import EvaluateOptions

HELP = "measure a model on labelled sequences that it has not seen"
EXAMPLE = (
    "omicsai evaluate model --embeddings proteins.h5 --labels labels.tsv "
    "--control control --out evaluation"
)

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("model", type=Path, help="model folder of 'omicsai train'")
    parser.add_argument(
        "--embeddings", type=Path, nargs="+", required=True, help=".h5 files of 'embed'"
    )
    parser.add_argument(
        "--labels", type=Path, nargs="+", required=True,
        help="tables with the columns id and label",
    )  # fmt: skip
    parser.add_argument(
        "--label-column", default="label", help="name of that column (default: label)"
    )
    parser.add_argument(
        "--control",
        type=Path,
        help="model folder to compare with on the same sequences",
    )
    parser.add_argument(
        "--identity-to-train", type=Path,
        help="identity_to_train.tsv of 'omicsai split': also measure by bands of identity",
    )  # fmt: skip
    add_section(parser, EvaluateOptions)
    add_seed(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")


def run(arguments: argparse.Namespace) -> None:
    """Evaluate and write."""
    import numpy as np

    from omicsai.cli.inputs import (
        labels_of,
        pooled_labels,
        require_encoder,
        seen_in_training,
    )
    from omicsai.embedding import read_embeddings
    from omicsai.errors import InputError
    from omicsai.robust import load_classifier
    from omicsai.robust.detection import load_detector
    from omicsai.robust.evaluation import CALIBRATION, CONFUSION, TESTED, evaluate
    from omicsai.robust.mislabels import EXAMPLES, SUSPECTS, suspected_mislabels
    from omicsai.robust.multilabel_model import is_multilabel
    from omicsai.tables import write_json, write_provenance

    options = section_of(arguments, EvaluateOptions)
    if is_multilabel(arguments.model):
        from omicsai.cli import multilabel

        multilabel.evaluate(arguments, options)
        return
    classifier = load_classifier(arguments.model)
    examples = EXAMPLES.read(arguments.model / "examples.tsv").set_index("id")
    ids, vectors, encoder = read_embeddings(*arguments.embeddings, residues=True)
    require_encoder(classifier, encoder)
    labels = np.array(
        labels_of(ids, pooled_labels(arguments.labels, arguments.label_column)), object
    )
    seen, copies, part, clusters = seen_in_training(classifier, examples, ids, vectors)
    usable = np.isin(labels, classifier.classes)
    foreign = sorted(set(labels[~seen & ~usable]) - {""})
    if foreign:
        logger.warning(
            "%d sequences carry labels the model does not know and are left out: %s",
            int((~seen & ~usable & (labels != "")).sum()), ", ".join(foreign[:5]),
        )  # fmt: skip
    chosen = usable & ~seen
    if not chosen.any():
        raise InputError(
            "no sequence to evaluate on: every labelled one was used in training, or "
            f"carries none of the labels {', '.join(classifier.classes)} (a batch to "
            "predict needs none: empty its cell 'labels')"
        )
    logger.info(
        "%d labelled sequences; %d others were used in training, or removed, or have no "
        "usable label",
        int(chosen.sum()), int((~chosen).sum()),
    )  # fmt: skip
    where = np.flatnonzero(chosen)
    own, cluster = np.array(ids, dtype=object)[where], clusters[where]
    code = np.array([classifier.classes.index(label) for label in labels[where]])
    control = load_classifier(arguments.control) if arguments.control else None
    if control is not None and control.classes != classifier.classes:
        raise InputError(
            f"{arguments.control} knows other classes than {arguments.model}: train both "
            "on the same labels"
        )
    result = evaluate(
        classifier,
        vectors[where],
        code,
        cluster,
        own,
        control=control,
        coverage=options.coverage,
        resamples=options.resamples,
        seed=arguments.seed,
    )
    frame = EXAMPLES.frame(
        {
            "id": own,
            "part": part[where],
            "cluster": cluster,
            "label": labels[where],
        }
    )
    suspects = suspected_mislabels(
        classifier,
        load_detector(arguments.model / "detector.json"),
        frame,
        vectors[where],
        result.logits,
        examples.reset_index(),
    )
    in_train = examples.loc[
        (examples["part"] == "train") & (examples["label"] != ""), "label"
    ]
    commonest = in_train.value_counts().sort_index().idxmax()
    metrics: dict[str, Any] = {
        **result.metrics,
        "sequences": len(where),
        "clusters": len(set(cluster)),
        "copies_left_out": int(copies.sum()),
        "majority_class_accuracy": round(float((labels[where] == commonest).mean()), 6),
        "seed": arguments.seed,
    }
    if arguments.identity_to_train:
        from omicsai.homology import IDENTITY_TO_TRAIN
        from omicsai.robust.bands import identity_bands

        nearest = IDENTITY_TO_TRAIN.read(arguments.identity_to_train).set_index("id")
        listed = np.isin(own, nearest.index)
        metrics["identity_bands"] = identity_bands(
            nearest["identity_fraction"].reindex(own[listed]).to_numpy(dtype=float),
            classifier.calibrated(result.logits)[listed],
            code[listed],
            cluster[listed],
            resamples=options.resamples,
            seed=arguments.seed,
        )
    write_json(arguments.out / "metrics.json", metrics)
    TESTED.write(result.tested, arguments.out / "tested.tsv")
    CALIBRATION.write(result.calibration, arguments.out / "calibration.tsv")
    CONFUSION.write(result.confusion, arguments.out / "confusion.tsv")
    SUSPECTS.write(suspects, arguments.out / "suspected_mislabels.tsv")
    inputs = {"model": arguments.model}
    inputs |= {"control": arguments.control} if arguments.control else {}
    if arguments.identity_to_train:
        inputs["identity_to_train"] = arguments.identity_to_train
    inputs |= {f"embeddings_{i}": p for i, p in enumerate(arguments.embeddings, 1)}
    inputs |= {f"labels_{i}": p for i, p in enumerate(arguments.labels, 1)}
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
    low, high = metrics["intervals"]["accuracy"]
    logger.info(
        "accuracy %.3f (95 %% interval %.3f to %.3f)", metrics["accuracy"], low, high
    )
