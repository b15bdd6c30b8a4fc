"""The page of a run whose sequences have several labels (``train.task: multi``)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from omicsai.report.figures import CONTROL, GREY, MODEL, NARROW, WIDE, Drawing, draw
from omicsai.report.page import (
    environment,
    sequence_sections,
    shown_table,
    told_apart,
    trna_tables,
)
from omicsai.report.story import read_json, read_sequences
from omicsai.report.trna import TrnaBatch
from omicsai.version import __version__

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["multilabel_page"]

METRIC_NAMES = {
    "fmax": "Fmax",
    "micro_aupr": "micro-AUPR",
    "macro_aupr": "macro-AUPR",
    "macro_mcc": "mean Matthews correlation",
    "smin": "Smin, bits (low is good)",
}


def multilabel_page(
    results: Path, batches: list[str], *, title: str, trna: Sequence[TrnaBatch] = ()
) -> str:
    """Render the report of several labels as one self-contained HTML page.

    Parameters
    ----------
    results
        Results folder in the layout of the workflow.
    batches
        Names of the batches to tell about.
    title
        Title of the page.
    trna
        tRNA batches, from `read_trna_batches`.

    Raises
    ------
    InputError
        If a table of a stage that always runs is missing or broken.
    """
    from omicsai.robust.evaluation import CALIBRATION
    from omicsai.robust.multilabel_mislabels import MULTILABEL_SUSPECTS
    from omicsai.robust.multilabel_prediction import LABEL_COUNTS, MULTILABEL_PREDICTIONS
    from omicsai.robust.multilabel_train import MULTILABEL_HISTORY, MULTILABEL_LOSSES

    metrics = read_json(results / "evaluation" / "metrics.json")
    suspects = pd.concat(
        [
            MULTILABEL_SUSPECTS.read(results / folder / "suspected_mislabels.tsv")
            for folder in ("model", "evaluation")
        ],
        ignore_index=True,
    )
    models = {"model": metrics} | (
        {"control": metrics["control"]} if "control" in metrics else {}
    )
    names = told_apart(
        {which: MULTILABEL_LOSSES[one["loss"]] for which, one in models.items()}
    )
    history = {
        which: MULTILABEL_HISTORY.read(results / which / "history.tsv") for which in models
    }
    story = read_sequences(results, batches, MULTILABEL_PREDICTIONS)
    shared = sequence_sections(story)
    predictions = {
        batch.name: batch.predictions
        for batch in story.batches
        if batch.predictions is not None
    }
    counts = LABEL_COUNTS.read(results / "evaluation" / "confusion.tsv")
    lists = {
        problem: suspects[suspects["problem"] == problem].drop(
            columns=["problem", "cluster"]
        )
        for problem in ("missing", "wrong")
    }
    figures = {
        "learning": learning(history, names),
        "calibration": calibration(
            CALIBRATION.read(results / "evaluation" / "calibration.tsv"), names
        ),
    }
    tables = {
        "labels": shown_table("labels", counts.sort_values("mcc", ascending=False)),
        "missing": shown_table("missing", lists["missing"]),
        "wrong": shown_table("wrong", lists["wrong"]),
        "predictions": {
            batch: shown_table(f"predictions_{batch}", frame)
            for batch, frame in predictions.items()
        },
    }
    return (
        environment()
        .get_template("multilabel.html")
        .render(
            shared,
            figures=shared["figures"] | figures,
            tables=shared["tables"] | tables,
            title=title,
            version=__version__,
            story=story,
            m=metrics,
            models=models,
            names=names,
            metric_names=METRIC_NAMES,
            novel={b: int(p["novel"].sum()) for b, p in predictions.items()},
            uncalled={b: int((p["label"] == "").sum()) for b, p in predictions.items()},
            predicted={b: len(p) for b, p in predictions.items()},
            suspected={problem: len(frame) for problem, frame in lists.items()},
            trna=trna,
            trna_tables={batch.name: trna_tables(batch) for batch in trna},
        )
    )


def learning(history: dict[str, pd.DataFrame], names: dict[str, str]) -> Drawing:
    """Cross entropy against the given labels along training, both losses."""
    colours = {"model": MODEL, "control": CONTROL}

    def plot(figure: Figure, narrow: bool) -> None:
        panels: Any = figure.subplots(2 if narrow else 1, 1 if narrow else 2, sharey=True)
        titles = ("training part", "validation part: held-out clusters")
        for axes, part, title in zip(panels, ("train", "validation"), titles, strict=True):
            for which, table in history.items():
                by_epoch = table[table["part"] == part].groupby("epoch")["nll"]
                mean, low, high = by_epoch.mean(), by_epoch.min(), by_epoch.max()
                style = {"color": colours[which], "lw": 2}
                axes.plot(mean.index, mean, label=names[which], **style)
                axes.fill_between(
                    mean.index, low, high, color=colours[which], alpha=0.2, lw=0
                )
            axes.set_title(title)
            axes.set_xlabel("epoch")
        panels[0].set_ylabel("cross entropy, nats")
        panels[0].legend(frameon=False)

    return draw(
        "learning",
        "Lines: binary cross entropy by epoch, training and validation part.",
        plot,
        wide=(WIDE, 3.4),
        narrow=(NARROW, 5.2),
    )


def calibration(table: pd.DataFrame, names: dict[str, str]) -> Drawing:
    """Probability of single labels against the share that is annotated."""
    colours = {"model": MODEL, "control": CONTROL}

    def plot(figure: Figure, narrow: bool) -> None:
        axes: Any = figure.subplots()
        axes.plot([0, 1], [0, 1], color=GREY, lw=1, ls=(0, (4, 3)))
        for which, bins in table.groupby("model"):
            axes.plot(
                bins["confidence"], bins["accuracy"], color=colours[which], marker="o",
                lw=1.5, label=names[which],
            )  # fmt: skip
        axes.set_xlabel("probability of a label")
        axes.set_ylabel("share annotated")
        axes.set_xlim(0, 1.02)
        axes.set_ylim(0, max(1.02, float(np.nanmax(table["accuracy"])) + 0.02))
        axes.legend(frameon=False)

    return draw(
        "calibration",
        "Reliability diagram: probability of a label against the share annotated.",
        plot,
        wide=(WIDE, 3.6),
        narrow=(NARROW, 3.6),
    )
