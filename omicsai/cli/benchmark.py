"""``omicsai benchmark``."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from omicsai.cli.options import add_section, add_seed, section_of
from omicsai.config import NoiseBenchmarkOptions

if TYPE_CHECKING:
    from omicsai.robust.laboratory import Laboratory
    from omicsai.robust.outcomes import Outcome, Run

HELP = "compare losses on wrong labels planted into data of your own"
EXAMPLE = (
    "omicsai benchmark noise --embeddings proteins.h5 --labels labels.tsv "
    "--split split/split.tsv --conditions symmetric:0 symmetric:0.4 --out comparison"
)

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("what", choices=["noise"], help="what is varied")
    parser.add_argument(
        "--embeddings", type=Path, nargs="+", required=True, help=".h5 files of 'embed'"
    )
    parser.add_argument(
        "--labels", type=Path, nargs="+", required=True,
        help="tables with the columns id and label, taken for the truth",
    )  # fmt: skip
    parser.add_argument(
        "--label-column", default="label", help="name of that column (default: label)"
    )
    parser.add_argument(
        "--split", type=Path, required=True,
        help="split.tsv of 'omicsai split', or columns id, part, cluster of your own",
    )  # fmt: skip
    add_section(parser, NoiseBenchmarkOptions)
    add_seed(parser)
    parser.add_argument(
        "--out", type=Path, required=True, help="folder; a second call adds what is missing"
    )


def run(arguments: argparse.Namespace) -> None:
    """Run what is missing, then write tables and figure."""
    import numpy as np

    from omicsai.progress import track
    from omicsai.report.dynamics import dynamics_figure, weighting_figure
    from omicsai.robust.checkpoint import fingerprint
    from omicsai.robust.laboratory import (
        CHOSEN,
        Condition,
        experiment,
        method_settings,
    )
    from omicsai.robust.outcomes import (
        DYNAMICS,
        RUNS,
        SUMMARY,
        load_outcome,
        run_rows,
        save_outcome,
        summary_rows,
    )
    from omicsai.robust.pilot import TIMER
    from omicsai.robust.weighting import WEIGHTING, weighting_table
    from omicsai.tables import write_provenance, write_text
    from omicsai.tables.provenance import package_versions

    options = section_of(arguments, NoiseBenchmarkOptions)
    conditions = [Condition.parse(text) for text in options.conditions]
    reference = options.loss or CHOSEN
    methods = _methods(options)
    laboratory = _laboratory(arguments, options)
    plan = [(condition, method) for condition in conditions for method in methods]
    planted = {condition: laboratory.planted(condition) for condition in conditions}
    outcomes: dict[Run, Outcome] = {}
    rows, curves = [], []
    test = laboratory.parts["test"]
    code, cluster = laboratory.code[test], laboratory.cluster[test]
    clusters = np.unique(laboratory.cluster, return_inverse=True)[1]
    for condition, method in track(plan, total=len(plan), label="benchmark noise"):
        given = planted[condition]
        run = (method, condition.kind, condition.rate)
        path = arguments.out / "outcomes" / f"{condition.kind}_{condition.rate:g}"
        path /= f"{method}.safetensors"
        watch = method in (TIMER, reference)
        settings = method_settings(laboratory, method)
        key = fingerprint(
            {"run": run, "options": settings, "watch": watch},
            laboratory.X, given, *laboratory.parts.values(), clusters,
        )  # fmt: skip
        outcome = load_outcome(path, key)
        if outcome is None:
            pilot = outcomes.get((TIMER, *run[1:]))
            outcome = experiment(
                laboratory, given, method, pilot.pilot if pilot else None, watch=watch
            )
            save_outcome(outcome, path, key)
        outcomes[run] = outcome
        rows += run_rows(run, outcome, code, first_seed=arguments.seed)
        name = dict(zip(("method", "noise", "rate"), run, strict=True))
        curves += [{**name, **row} for row in outcome.dynamics]
    table = DYNAMICS.frame(curves)
    RUNS.write(rows, arguments.out / "runs.tsv")
    DYNAMICS.write(table, arguments.out / "dynamics.tsv")
    found = summary_rows(
        outcomes, code, cluster, reference,
        resamples=options.resamples, seed=arguments.seed,
    )  # fmt: skip
    SUMMARY.write(found, arguments.out / "summary.tsv")
    write_text(arguments.out / "dynamics.svg", dynamics_figure(table).wide)
    weighting = weighting_table()
    WEIGHTING.write(weighting, arguments.out / "weighting.tsv")
    write_text(arguments.out / "weighting.svg", weighting_figure(weighting).wide)
    inputs = {"split": arguments.split}
    inputs |= {f"embeddings_{i}": p for i, p in enumerate(arguments.embeddings, 1)}
    inputs |= {f"labels_{i}": p for i, p in enumerate(arguments.labels, 1)}
    write_provenance(
        arguments.out / "benchmark.provenance.json",
        stage="benchmark",
        options={
            **options.model_dump(),
            "label_column": arguments.label_column,
            "head": laboratory.options.head,
            "weight_decay": laboratory.options.weight_decay,
            "seed": arguments.seed,
        },
        inputs=inputs,
        tools=package_versions("torch", "numpy"),
    )
    logger.info("%d runs; see summary.tsv and dynamics.svg", len(outcomes))


def _methods(options: NoiseBenchmarkOptions) -> list[str]:
    """Methods in order, the pilot first: others need its transits."""
    from omicsai.errors import InputError
    from omicsai.robust.laboratory import CHOSEN, METHODS
    from omicsai.robust.pilot import TIMER

    unknown = [name for name in options.methods if name not in METHODS]
    if unknown:
        raise InputError(f"no method is called '{unknown[0]}'; known: {', '.join(METHODS)}")
    chosen = [options.loss or CHOSEN, *(options.methods or METHODS)]
    return list(dict.fromkeys([TIMER, *chosen]))


def _laboratory(
    arguments: argparse.Namespace, options: NoiseBenchmarkOptions
) -> Laboratory:
    """Read embeddings, labels and split of the sequences with exactly one label."""
    import numpy as np

    from omicsai.cli.inputs import labels_of, pooled_labels, rows_of
    from omicsai.embedding import read_embeddings
    from omicsai.homology import SPLIT
    from omicsai.robust import Options
    from omicsai.robust.laboratory import new_laboratory
    from omicsai.sequences import split_labels

    split = SPLIT.read(arguments.split)
    ids, vectors, _ = read_embeddings(*arguments.embeddings)
    labels = np.array(
        labels_of(
            list(split["id"]), pooled_labels(arguments.labels, arguments.label_column)
        ),
        dtype=object,
    )
    single = np.array([len(split_labels(label)) == 1 for label in labels])
    if not single.all():
        logger.warning("%d sequences without exactly one label left out", (~single).sum())
    rows = rows_of(
        list(split["id"][single]),
        ids,
        f"sequences of {arguments.split} have no embedding",
        "embed the same FASTA files that were split",
    )
    chosen = options.model_dump(exclude={"conditions", "methods", "resamples"})
    return new_laboratory(
        vectors[rows],
        labels[single],
        split["part"].to_numpy()[single],
        split["cluster"].to_numpy()[single],
        Options(**chosen, seed=arguments.seed),
    )
