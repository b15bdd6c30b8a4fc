"""``omicsai train``."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from omicsai.cli.options import add_section, add_seed, section_of
from omicsai.config import MULTILABEL_ONLY, TrainOptions

HELP = "train a calibrated classifier that survives wrong labels, and name suspects"
EXAMPLE = (
    "omicsai train --embeddings proteins.h5 --labels labels.tsv --split split/split.tsv "
    "--seed 1 --out model"
)

CHECKPOINTS = ".unfinished"  # in the model folder, until the model is complete

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
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
        "--split", type=Path, required=True, help="split.tsv of 'omicsai split'"
    )
    add_section(parser, TrainOptions)
    add_seed(parser)
    parser.add_argument("--out", type=Path, required=True, help="model folder to write")


def run(arguments: argparse.Namespace) -> None:
    """Train and write the model folder."""
    import shutil
    from dataclasses import replace

    from omicsai.cli.inputs import labels_of, pooled_labels, rows_of
    from omicsai.embedding import read_embeddings
    from omicsai.homology import SPLIT
    from omicsai.robust import HISTORY, Options, save_classifier, train_classifier
    from omicsai.robust.detection import save_detector
    from omicsai.robust.mislabels import EXAMPLES, SUSPECTS, suspected_mislabels
    from omicsai.robust.pilot import PILOT
    from omicsai.sequences import split_labels
    from omicsai.tables import write_provenance
    from omicsai.tables.provenance import package_versions

    options = section_of(arguments, TrainOptions)
    split = SPLIT.read(arguments.split)
    single_label = options.task == "single"
    ids, vectors, encoder = read_embeddings(*arguments.embeddings, residues=single_label)
    rows = rows_of(
        list(split["id"]),
        ids,
        f"sequences of {arguments.split} have no embedding",
        "embed the same FASTA files that were split",
    )
    labels = labels_of(
        list(split["id"]), pooled_labels(arguments.labels, arguments.label_column)
    )
    if options.task == "multi":
        from omicsai.cli import multilabel

        multilabel.train(
            arguments, options, split, labels, vectors[rows], encoder,
            arguments.out / CHECKPOINTS,
        )  # fmt: skip
        shutil.rmtree(arguments.out / CHECKPOINTS, ignore_errors=True)
        return
    several = sum(len(split_labels(label)) > 1 for label in labels)
    if several:
        logger.warning(
            "%d sequences have several labels and are left out of training "
            "(train.task: multi, --task multi, learns them)",
            several,
        )
    single = [label if len(split_labels(label)) == 1 else "" for label in labels]
    features = vectors[rows]
    part = split["part"].to_numpy()
    trained = train_classifier(
        features,
        single,
        part,
        split["cluster"].to_numpy(),
        split.get("fold"),
        Options(**options.model_dump(exclude=MULTILABEL_ONLY), seed=arguments.seed),
        checkpoints=arguments.out / CHECKPOINTS,
    )
    classifier = replace(trained.classifier, encoder=encoder)
    save_classifier(classifier, arguments.out)
    HISTORY.write(trained.history, arguments.out / "history.tsv")
    PILOT.write(trained.pilot, arguments.out / "pilot.tsv")
    examples = EXAMPLES.frame(
        {
            "id": split["id"],
            "part": part,
            "cluster": split["cluster"],
            "label": single,
        }
    )
    EXAMPLES.write(examples, arguments.out / "examples.tsv")
    save_detector(trained.detector, arguments.out / "detector.json")
    suspects = suspected_mislabels(
        classifier, trained.detector, examples, features, trained.held_out_logits, examples,
        {"AUM": trained.low_margin},
    )  # fmt: skip
    SUSPECTS.write(suspects, arguments.out / "suspected_mislabels.tsv")
    inputs = {"split": arguments.split}
    inputs |= {f"embeddings_{i}": p for i, p in enumerate(arguments.embeddings, 1)}
    inputs |= {f"labels_{i}": p for i, p in enumerate(arguments.labels, 1)}
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
    shutil.rmtree(arguments.out / CHECKPOINTS, ignore_errors=True)
    last = trained.history[trained.history["epoch"] == options.epochs]
    accuracy = last.groupby("part")["accuracy"].mean()
    logger.info(
        "%d classes; agreement with given labels: train %.3f, validation %.3f; "
        "%d suspected mislabels (estimates of all wrong labels: %.1f to %.1f %%)",
        len(classifier.classes), accuracy["train"], accuracy["validation"], len(suspects),
        *(100 * rate for rate in sorted(trained.detector.rates)),
    )  # fmt: skip
