"""``omicsai report``."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from omicsai.cli.options import add_section, add_seed, section_of
from omicsai.config import ReportOptions

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from scipy.sparse import csr_matrix

    from omicsai.report import Story
    from omicsai.report.story import Batch

HELP = "tell what was found, as one self-contained page"
EXAMPLE = "omicsai report results --batches known new --out results/report.html"
LEAST_MAPPED = 10  # fewer proteins with a domain make no map
MAPPED = 3000  # most sequences on the map; a seeded sample beyond

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("results", type=Path, help="results folder of the workflow")
    parser.add_argument(
        "--batches", nargs="+", required=True, metavar="NAME", help="batches to tell about"
    )
    parser.add_argument(
        "--truth", type=Path, help="truth.tsv of the simulated example, if it is that"
    )
    parser.add_argument(
        "--trna-truth", type=Path, help="trnas.truth.tsv of the simulated tRNAs"
    )
    add_section(parser, ReportOptions)
    add_seed(parser)
    parser.add_argument("--out", type=Path, required=True, help="the .html file to write")


def run(arguments: argparse.Namespace) -> None:
    """Read everything, draw, write."""
    from omicsai.tables import write_text

    page = _page(arguments, section_of(arguments, ReportOptions))
    write_text(arguments.out, page)
    logger.info("%s: %.1f MB", arguments.out, len(page.encode()) / 1e6)


def _page(arguments: argparse.Namespace, options: ReportOptions) -> str:
    """Draw the page that suits the run: several labels, tRNAs alone, or proteins."""
    from dataclasses import replace

    from omicsai.report import read_story, render_page
    from omicsai.report.multilabel import multilabel_page
    from omicsai.report.page import render_trna_page
    from omicsai.report.story import read_provenance, read_times
    from omicsai.report.trna import read_trna_batches
    from omicsai.robust.multilabel_model import is_multilabel

    trna = read_trna_batches(arguments.results, arguments.batches, arguments.trna_truth)
    if is_multilabel(arguments.results / "model"):
        return multilabel_page(
            arguments.results, arguments.batches, title=options.title, trna=trna
        )
    if trna and len(trna) == len(arguments.batches):  # no proteins
        return render_trna_page(
            trna,
            read_provenance(arguments.results, arguments.batches),
            read_times(arguments.results / "benchmarks", arguments.batches),
            title=options.title,
        )
    story = read_story(arguments.results, arguments.batches, arguments.truth)
    story = replace(
        story,
        map=_map(story, arguments.results, arguments.seed),
        domain_map=_domain_map(story, arguments.seed),
    )
    return render_page(story, title=options.title, trna=trna)


def _kinds(story: Story, batch: Batch) -> dict[str, tuple[str, str]]:
    """Label and kind (known, predicted, novel) of the proteins of a batch to map."""
    if batch.predictions is None:
        return {
            key: (label, "known")
            for key, label in zip(
                story.examples["id"], story.examples["label"], strict=True
            )
        }
    return {
        row.id: (row.label, "novel" if row.novel else "predicted")
        for row in batch.predictions.itertuples()
    }


def _placed(
    vectors: np.ndarray | csr_matrix, rows: list[tuple[str, str]], seed: int
) -> pd.DataFrame:
    """Places on a plane, of a seeded sample where there are many."""
    import numpy as np
    import pandas as pd

    from omicsai.embedding import project

    chosen = np.arange(vectors.shape[0])
    if len(chosen) > MAPPED:
        rng = np.random.default_rng(seed)
        chosen = np.sort(rng.choice(chosen, MAPPED, replace=False))
    sample = vectors[chosen]
    places = project(
        sample if isinstance(sample, np.ndarray) else sample.toarray(), seed=seed
    )
    labels, states = zip(*[rows[i] for i in chosen], strict=True)
    return pd.DataFrame(
        {"x": places[:, 0], "y": places[:, 1], "label": labels, "kind": states}
    )


def _domain_map(story: Story, seed: int) -> pd.DataFrame:
    """Place proteins by their profile scores; empty if too few have a domain."""
    import pandas as pd

    from omicsai.domains import profile_vectors

    rows: dict[str, tuple[str, str]] = {}
    tables = []
    for batch in story.batches:
        if batch.domains is None:
            continue
        kinds = _kinds(story, batch)
        found = batch.domains[batch.domains["id"].isin(kinds)]
        rows |= {key: kinds[key] for key in found["id"]}
        tables.append(found)
    if len(rows) < LEAST_MAPPED:
        return pd.DataFrame()
    vectors, _ = profile_vectors(pd.concat(tables, ignore_index=True), list(rows))
    return _placed(vectors, list(rows.values()), seed)


def _map(story: Story, results: Path, seed: int) -> pd.DataFrame:
    """Place a sample of all proteins on a plane; see `omicsai.report.figures`."""
    import numpy as np

    from omicsai.embedding import read_embeddings

    rows: list[tuple[str, str]] = []
    parts: list[np.ndarray] = []
    for batch in story.batches:
        file = results / "batches" / batch.name / "embeddings.h5"
        if not file.is_file():
            continue
        kinds = _kinds(story, batch)
        ids, vectors, _ = read_embeddings(file)
        shown = [i for i, key in enumerate(ids) if key in kinds]
        rows += [kinds[ids[i]] for i in shown]
        parts.append(vectors[shown])
    return _placed(np.concatenate(parts), rows, seed)
