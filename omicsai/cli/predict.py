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
    from omicsai.robust.multilabel_model import is_multilabel
    from omicsai.robust.prediction import PREDICTIONS, predict
    from omicsai.tables import write_provenance

    options = section_of(arguments, PredictOptions)
    if is_multilabel(arguments.model):
        from omicsai.cli import multilabel

        multilabel.predict(arguments, options)
        return
    classifier = load_classifier(arguments.model)
    examples = EXAMPLES.read(arguments.model / "examples.tsv")
    ids, vectors, encoder = read_embeddings(*arguments.embeddings)
    require_encoder(classifier, encoder)
    predictions = predict(
        classifier,
        vectors,
        np.array(ids, dtype=object),
        reference_ids=examples["id"].to_numpy(),
        reference_labels=examples["label"].to_numpy(),
        novel_fdr=options.novel_fdr,
        coverage=options.coverage,
    )
    PREDICTIONS.write(predictions, arguments.out)
    write_provenance(
        arguments.out.with_name("predict.provenance.json"),
        stage="predict",
        options=options.model_dump(),
        inputs={"model": arguments.model}
        | {f"embeddings_{i}": p for i, p in enumerate(arguments.embeddings, 1)},
    )
    logger.info(
        "%d predictions, %d of them novel (false-discovery rate %g)",
        len(predictions), int(predictions["novel"].sum()), options.novel_fdr,
    )  # fmt: skip
