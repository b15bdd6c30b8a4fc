"""``omicsai isotype``."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omicsai.cli.options import add_section, add_seed, section_of
from omicsai.config import IsotypeOptions

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from omicsai.robust import Trained
    from omicsai.trna.features import BodyFeatures

HELP = "learn the amino acid of tRNAs from their body, anticodon aside, from noisy labels"
EXAMPLE = "omicsai isotype numbered --out isotype"
LANDMARKS = 4000  # fewer than there are tRNAs cost accuracy
PARTS = 5  # one part in five is for validation, by cluster

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "numbered", type=Path, help="folder of 'omicsai number': tRNAs with stated isotypes"
    )
    parser.add_argument(
        "--predict", nargs="*", default=[], metavar="[NAME=]FOLDER",
        help="further folders of 'omicsai number', to predict into NAME.predictions.tsv; "
        "the name is that of the folder if none is given",
    )  # fmt: skip
    add_section(parser, IsotypeOptions)
    add_seed(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")


def run(arguments: argparse.Namespace) -> None:
    """Train, judge out of fold, predict and write."""
    import numpy as np

    from omicsai.robust import Options, save_classifier, train_classifier
    from omicsai.robust.evaluation import CONFUSION
    from omicsai.robust.mislabels import EXAMPLES, SUSPECTS, suspected_mislabels
    from omicsai.robust.prediction import PREDICTIONS, predict
    from omicsai.tables import write_json, write_provenance
    from omicsai.trna import ISOTYPES, amino_acid, read_collection

    options = section_of(arguments, IsotypeOptions)
    others = _named(arguments.predict)
    trnas = read_collection(arguments.numbered)
    stated = np.array([amino_acid(i) for i in trnas.records["isotype"]], dtype=object)
    first, cluster, part, fold = _partition(trnas.matrix, options, arguments.seed)
    ids = np.array(trnas.ids, dtype=object)[first]
    given = stated[first]
    shape = _shape(trnas.matrix[first], given, part, fold, options, arguments.seed)
    features = shape(trnas.matrix[first])
    trained = train_classifier(
        features, list(given), part, cluster, fold,
        Options(
            loss=options.loss, head=options.head, members=options.members,
            epochs=options.epochs, weight_decay=10.0, scaling="common",
            calibration="temperature", seed=arguments.seed,
        ),
    )  # fmt: skip
    examples = EXAMPLES.frame(
        {"id": ids, "part": part, "cluster": cluster.astype(str), "label": given}
    )
    suspects = suspected_mislabels(
        trained.classifier,
        trained.detector,
        examples,
        features,
        trained.held_out_logits,
        examples,
        {"AUM": trained.low_margin},
    )
    out = arguments.out
    save_classifier(trained.classifier, out / "model")
    EXAMPLES.write(examples, out / "examples.tsv")
    SUSPECTS.write(suspects, out / "suspected_mislabels.tsv")
    table, metrics = _held_out(trained, ids, given, cluster)
    ISOTYPES.write(table, out / "isotypes.tsv")
    judged = table[table["stated"] != ""]
    counts = judged.groupby(["stated", "predicted"], as_index=False).size()
    counts.columns = ["label", "predicted", "sequences"]
    CONFUSION.write(counts, out / "confusion.tsv")
    write_json(out / "metrics.json", {**metrics, "anticodon": options.anticodon})
    for name, folder in others.items():
        more = read_collection(folder)
        batch = shape(more.matrix)
        table = predict(
            trained.for_batch(batch) if options.adapt == "on" else trained.classifier,
            batch, np.array(more.ids, dtype=object),
            reference_ids=ids, reference_labels=given,
        )  # fmt: skip
        PREDICTIONS.write(table, out / f"{name}.predictions.tsv")
    inputs = {"matrix": arguments.numbered / "matrix.tsv"}
    inputs |= {f"predict_{name}": path / "matrix.tsv" for name, path in others.items()}
    write_provenance(
        out / "isotype.provenance.json",
        stage="isotype",
        options={**options.model_dump(), "seed": arguments.seed},
        inputs=inputs,
    )
    logger.info(
        "%d different tRNAs, anticodon %s: %.1f %% of stated amino acids predicted out of "
        "fold; %d suspected mislabels",
        len(ids), options.anticodon, 100 * metrics["accuracy"], len(suspects),
    )  # fmt: skip


def _named(folders: list[str]) -> dict[str, Path]:
    """Folders to predict by the name of their table."""
    from omicsai.errors import ConfigError

    named: dict[str, Path] = {}
    for told in folders:
        name, _, folder = told.rpartition("=")
        name = name or Path(folder).resolve().name
        if name in named or "/" in name:
            raise ConfigError(
                f"--predict {told}: {name}.predictions.tsv would be written twice or "
                "elsewhere: give each folder a name of its own, NAME=FOLDER"
            )
        named[name] = Path(folder)
    return named


def _partition(
    matrix: NDArray[np.int8], options: IsotypeOptions, seed: int
) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Rows of different bodies, and their clusters, parts and cross-fitting folds.

    Copies that differ only outside positions 1 to 73 (CCA, leader) are one tRNA. Whole
    clusters go to one part and one fold, so that no near copy is on both sides.
    """
    import numpy as np

    from omicsai.trna import cluster_distances, core_weights, distances

    weights = core_weights()
    bodies = np.where(weights > 0, matrix, 0)
    first = np.sort(np.unique(bodies, axis=0, return_index=True)[1])
    clusters = cluster_distances(distances(matrix[first]), 1 - options.identity)
    names = np.unique(clusters)
    drawn = np.random.default_rng(seed).permutation(len(names))
    place = dict(zip(names.tolist(), drawn.tolist(), strict=True))
    order = np.array([place[c] for c in clusters.tolist()])
    part = np.where(order % PARTS == 0, "validation", "train").astype(object)
    fold = np.where(part == "train", order // PARTS % options.folds + 1, 0)
    return first, clusters, part, fold


def _shape(
    matrix: NDArray[np.int8], given: NDArray, part: NDArray, fold: NDArray,
    options: IsotypeOptions, seed: int,
) -> BodyFeatures:  # fmt: skip
    """Feature map made from the training part alone."""
    import numpy as np

    from omicsai.trna import position_information
    from omicsai.trna.features import choose_landmarks, make_features, unit_weights
    from omicsai.trna.transfer import learn_unit_weights

    training = np.flatnonzero(part == "train")
    matrix, given, fold = matrix[training], given[training], fold[training]
    kept = options.anticodon == "kept"
    start = unit_weights(position_information(matrix, given.tolist()), keep_anticodon=kept)
    return make_features(
        matrix[choose_landmarks(matrix, LANDMARKS, seed)],
        learn_unit_weights(matrix, given, fold, start, keep_anticodon=kept, seed=seed),
        keep_anticodon=kept,
    )


def _held_out(
    trained: Trained, ids: NDArray, given: NDArray, cluster: NDArray
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Calibrated predictions by members that saw no tRNA of the same cluster."""
    import numpy as np

    from omicsai.robust.conformal import conformal_p_values
    from omicsai.robust.neighbours import neighbour_distance
    from omicsai.trna import ISOTYPES

    logits, classifier = trained.held_out_logits, trained.classifier
    known = ~np.isnan(logits[:, 0])  # the rest has no stated isotype
    P = np.full(logits.shape, np.nan)
    P[known] = classifier.calibrated(logits[known])
    names = np.array(classifier.classes, dtype=object)
    best = np.where(known, np.nan_to_num(P).argmax(axis=1), 0)
    own = np.arange(len(ids))
    novelty = neighbour_distance(classifier.reference, classifier.reference, skip=own)
    table = ISOTYPES.frame(
        {
            "id": ids,
            "stated": given,
            "predicted": np.where(known, names[best], ""),
            "probability": np.where(known, P[own, best], np.nan),
            "stated_probability": [
                P[i, classifier.classes.index(g)] if g in classifier.classes else np.nan
                for i, g in enumerate(given)
            ],
            "novelty": novelty,
            "novelty_p": conformal_p_values(novelty, classifier.novelty_calibration),
            "cluster": cluster.astype(str),
        }
    )
    table = table[known].reset_index(drop=True)
    hit = (table["predicted"] == table["stated"]).to_numpy()
    return table, {
        "trnas": len(table),
        "accuracy": float(hit.mean()) if len(hit) else 0.0,
        "temperature": float(1 / classifier.calibration.scale[0]),
    }
