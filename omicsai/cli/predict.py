"""``omicsai predict``."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from omicsai.cli.options import add_section, section_of
from omicsai.config import PredictOptions

HELP = "predict labels of a batch, with calibrated probability and novelty"
EXAMPLE = "omicsai predict model --embeddings new.h5 --out predictions.tsv"

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("model", type=Path, help="model folder of 'omicsai train'")
    parser.add_argument(
        "--embeddings", type=Path, nargs="+", required=True, help=".h5 files of 'embed'"
    )
    add_section(parser, PredictOptions)
    parser.add_argument("--out", type=Path, required=True, help="the .tsv file to write")


def run(arguments: argparse.Namespace) -> None:
    """Predict and write."""
    import numpy as np

    from omicsai.cli.inputs import require_encoder
    from omicsai.embedding import read_embeddings
    from omicsai.robust import load_classifier
    from omicsai.robust.mislabels import EXAMPLES
    from omicsai.robust.multilabel_model import (
        MultiLabelClassifier,
        is_multilabel,
        load_multilabel,
    )
    from omicsai.robust.multilabel_prediction import MULTILABEL_PREDICTIONS, predict_labels
    from omicsai.robust.prediction import PREDICTIONS, predict
    from omicsai.tables import write_provenance

    options = section_of(arguments, PredictOptions)
    load = load_multilabel if is_multilabel(arguments.model) else load_classifier
    classifier = load(arguments.model)
    examples = EXAMPLES.read(arguments.model / "examples.tsv")
    several = isinstance(classifier, MultiLabelClassifier)
    ids, vectors, encoder = read_embeddings(*arguments.embeddings, residues=not several)
    require_encoder(classifier, encoder)
    names = np.array(ids, dtype=object)
    known_ids, known_labels = examples["id"].to_numpy(), examples["label"].to_numpy()
    if isinstance(classifier, MultiLabelClassifier):
        predictions = predict_labels(
            classifier, vectors, names, reference_ids=known_ids,
            reference_labels=known_labels, novel_fdr=options.novel_fdr,
        )  # fmt: skip
        MULTILABEL_PREDICTIONS.write(predictions, arguments.out)
    else:
        predictions = predict(
            classifier, vectors, names, reference_ids=known_ids,
            reference_labels=known_labels, novel_fdr=options.novel_fdr,
            coverage=options.coverage,
        )  # fmt: skip
        PREDICTIONS.write(predictions, arguments.out)
    write_provenance(
        arguments.out.with_name("predict.provenance.json"),
        stage="predict",
        options=options.model_dump(),
        inputs={"model": arguments.model}
        | {f"embeddings_{i}": p for i, p in enumerate(arguments.embeddings, 1)},
    )
    uncalled = int((predictions["label"] == "").sum())  # of several labels, none
    logger.info(
        "%d predictions%s, %d of them novel (false-discovery rate %g)",
        len(predictions), f", {uncalled} without a label called" if uncalled else "",
        int(predictions["novel"].sum()), options.novel_fdr,
    )  # fmt: skip
