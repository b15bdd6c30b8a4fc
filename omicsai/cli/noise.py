"""``omicsai noise``."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from omicsai.cli.options import add_section, add_seed, section_of
from omicsai.config import NoiseOptions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

HELP = "plant wrong labels in a table, and record which, for experiments on your own data"
EXAMPLE = "omicsai noise labels.tsv --kind symmetric --rate 0.4 --seed 1 --out noisy.tsv"
REMEDY = "use the files of the same batch"

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("labels", type=Path, help="table with the columns id and label")
    parser.add_argument(
        "--label-column", default="label", help="name of that column (default: label)"
    )
    add_section(parser, NoiseOptions)
    parser.add_argument(
        "--embeddings", type=Path, nargs="+", default=[],
        help=".h5 files of 'embed', for the kind 'neighbour'",
    )  # fmt: skip
    parser.add_argument(
        "--split", type=Path, help="split.tsv of 'omicsai split', for the kind 'cluster'"
    )
    add_seed(parser)
    parser.add_argument("--out", type=Path, required=True, help="table to write")


def run(arguments: argparse.Namespace) -> None:
    """Plant and write."""
    import numpy as np

    from omicsai.errors import InputError
    from omicsai.robust.noise import NOISY
    from omicsai.sequences import read_labels, split_labels
    from omicsai.tables import write_provenance

    options = section_of(arguments, NoiseOptions)
    labels = read_labels(arguments.labels, column=arguments.label_column)
    # unknown and several labels stay as they are: what is wrong about them is undefined
    ids = [key for key, label in labels.items() if len(split_labels(label)) == 1]
    classes = sorted({labels[key] for key in ids})
    if len(classes) < 2:
        raise InputError(f"{arguments.labels}: wrong labels need two classes")
    code = np.array([classes.index(labels[key]) for key in ids])
    noisy = _plant(arguments, options, ids, code, len(classes))
    given = dict(labels)
    given.update(zip(ids, (classes[k] for k in noisy), strict=True))
    table = NOISY.frame(
        {
            "id": list(labels),
            "label": [given[key] for key in labels],
            "true_label": list(labels.values()),
            "wrong": [given[key] != labels[key] for key in labels],
        }
    )
    NOISY.write(table, arguments.out)
    inputs = {"labels": arguments.labels}
    inputs |= {f"embeddings_{i}": p for i, p in enumerate(arguments.embeddings, 1)}
    inputs |= {"split": arguments.split} if arguments.split else {}
    write_provenance(
        arguments.out.with_suffix(".provenance.json"),
        stage="noise",
        options={
            **options.model_dump(),
            "label_column": arguments.label_column,
            "seed": arguments.seed,
        },
        inputs=inputs,
    )
    logger.info("%d of %d labels made wrong", int(table["wrong"].sum()), len(ids))


def _plant(
    arguments: argparse.Namespace,
    options: NoiseOptions,
    ids: list[str],
    code: NDArray[np.int64],
    classes: int,
) -> NDArray[np.int64]:
    from omicsai.cli.inputs import rows_of
    from omicsai.embedding import read_embeddings
    from omicsai.errors import InputError
    from omicsai.homology import SPLIT
    from omicsai.robust import noise

    rate, seed = options.rate, arguments.seed
    if options.kind == "symmetric":
        return noise.symmetric_noise(code, classes, rate, seed=seed)
    if options.kind == "class":
        return noise.class_dependent_noise(code, classes, rate, seed=seed)
    if options.kind == "neighbour":
        if not arguments.embeddings:
            raise InputError("noise by neighbours needs --embeddings: what is near?")
        names, vectors, _ = read_embeddings(*arguments.embeddings)
        rows = rows_of(
            ids,
            names,
            f"labelled ids have no embedding in {arguments.embeddings[0]}",
            REMEDY,
        )
        return noise.neighbour_dependent_noise(
            code, classes, rate, vectors[rows], seed=seed
        )
    if arguments.split is None:
        raise InputError("noise by clusters needs --split: which clusters are there?")
    split = SPLIT.read(arguments.split)
    rows = rows_of(
        ids, list(split["id"]), f"labelled ids have no cluster in {arguments.split}", REMEDY
    )
    return noise.cluster_dependent_noise(
        code, classes, rate, split["cluster"].to_numpy()[rows], seed=seed
    )
