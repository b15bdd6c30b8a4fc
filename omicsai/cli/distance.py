"""``omicsai distance``."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from omicsai.cli.options import add_section, add_seed, section_of
from omicsai.config import DistanceOptions

HELP = "measure all tRNAs against each other on the canonical positions, and cluster them"
EXAMPLE = "omicsai distance numbered --weights information --out distances"
DRAWN = 3000  # most tRNAs on the map; a seeded sample beyond

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("numbered", type=Path, help="folder of 'omicsai number'")
    parser.add_argument(
        "--identity", type=Path,
        help="identity.tsv of 'omicsai identity', for --weights identity",
    )  # fmt: skip
    add_section(parser, DistanceOptions)
    add_seed(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")


def run(arguments: argparse.Namespace) -> None:
    """Measure, cluster, map and write."""
    import h5py
    import numpy as np

    from omicsai.errors import ConfigError
    from omicsai.tables import atomic_path, write_provenance
    from omicsai.trna import (
        CLUSTERS,
        MAP,
        NEIGHBOURS,
        SUPPORT,
        cluster_distances,
        core_weights,
        distances,
        identity_positions,
        identity_weights,
        learned_weights,
        map_distances,
        nearest,
        position_information,
        read_collection,
        unique_trnas,
    )

    options = section_of(arguments, DistanceOptions)
    trnas = read_collection(arguments.numbered)
    if options.weights == "identity":
        if arguments.identity is None:
            raise ConfigError("--weights identity needs --identity identity.tsv")
        weights = identity_weights(identity_positions(SUPPORT.read(arguments.identity)))
    elif options.weights == "information":
        rows = unique_trnas(trnas.matrix, trnas.classes)
        classes_of_rows = [trnas.classes[i] for i in rows]
        weights = position_information(trnas.matrix[rows], classes_of_rows)
        weights *= core_weights()
    elif options.weights == "learned":
        weights = learned_weights(trnas.matrix, trnas.classes, seed=arguments.seed)
    else:
        weights = core_weights()
    if not weights.any():
        raise ConfigError(
            f"--weights {options.weights} gives no position any weight: the tRNAs need "
            "isotypes, or use --weights uniform"
        )
    D = distances(trnas.matrix, weights, by_pairs=options.pairs == "on")
    classes = np.array(trnas.classes, dtype=object)
    ids = np.array(trnas.ids, dtype=object)
    with (
        atomic_path(arguments.out / "distances.h5") as temporary,
        h5py.File(temporary, "w", track_order=True) as file,
    ):
        file.create_dataset("distance", data=D, track_times=False)
        file.create_dataset(
            "id", data=trnas.ids, dtype=h5py.string_dtype(), track_times=False
        )
        file.create_dataset("weight", data=weights, track_times=False)
    near = nearest(D)
    clusters = cluster_distances(D, options.threshold)
    NEIGHBOURS.write(
        {
            "id": ids,
            "nearest_id": ids[near],
            "distance": D[np.arange(len(D)), near],
            "isotype": classes,
            "nearest_isotype": classes[near],
        },
        arguments.out / "neighbours.tsv",
    )
    CLUSTERS.write(
        {"id": ids, "cluster": clusters, "isotype": classes},
        arguments.out / "clusters.tsv",
    )
    chosen = np.arange(len(D))
    if len(chosen) > DRAWN:
        rng = np.random.default_rng(arguments.seed)
        chosen = np.sort(rng.choice(chosen, DRAWN, replace=False))
    places = map_distances(D[np.ix_(chosen, chosen)])
    MAP.write(
        {
            "id": ids[chosen],
            "x": places[:, 0],
            "y": places[:, 1],
            "isotype": classes[chosen],
        },
        arguments.out / "map.tsv",
    )
    inputs = {"matrix": arguments.numbered / "matrix.tsv"}
    if arguments.identity is not None:
        inputs["identity"] = arguments.identity
    write_provenance(
        arguments.out / "distance.provenance.json",
        stage="distance",
        options={**options.model_dump(), "seed": arguments.seed},
        inputs=inputs,
    )
    agree = (classes[near] == classes)[classes != ""]
    logger.info(
        "%d tRNAs in %d clusters; the nearest carries the same amino acid for %.1f %%",
        len(D), clusters.max(), 100 * agree.mean() if len(agree) else 0.0,
    )  # fmt: skip
