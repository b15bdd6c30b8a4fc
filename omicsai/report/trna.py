"""The tRNA section of the page: tables and figures of every tRNA batch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from omicsai.report.figures import COLOURS, GREY, INK, MORE_COLOURS, Drawing, draw
from omicsai.trna.isotypes import AMINO_ACIDS, ONE_LETTER

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["TrnaBatch", "read_trna_batches"]

LETTER = {name: letter for letter, name in ONE_LETTER.items()} | {"SeC": "U"}
BASES = "ACGU"
LETTERED = 0.8  # bits: higher bars carry the letter of their amino acid


@dataclass(frozen=True)
class TrnaBatch:
    """What the page shows of one tRNA batch; parts of stages that did not run are None."""

    name: str
    statuses: dict[str, int]
    not_ok: pd.DataFrame
    cloverleaf: Drawing
    logo: Drawing | None
    map: Drawing | None
    confusion: Drawing | None
    metrics: dict[str, Any] | None
    verdicts: dict[str, int]
    contradicted: pd.DataFrame
    cognates: pd.DataFrame | None
    suspects: pd.DataFrame | None
    control: list[dict[str, Any]]


def read_trna_batches(
    results: Path, batches: list[str], truth: Path | None = None
) -> list[TrnaBatch]:
    """Read the batches that ``omicsai number`` has numbered.

    Parameters
    ----------
    results
        The results folder.
    batches
        Names of all batches.
    truth
        Truth of the simulated tRNAs, if the example is among the batches.
    """
    found = [
        n for n in batches if (results / "batches" / n / "trna" / "matrix.tsv").is_file()
    ]
    return [_read(results / "batches" / name, name, truth) for name in found]


def _read(folder: Path, name: str, truth: Path | None) -> TrnaBatch:
    from omicsai.robust.evaluation import CONFUSION
    from omicsai.robust.mislabels import SUSPECTS
    from omicsai.simulate.trna import TRNA_TRUTH
    from omicsai.trna import (
        COGNATES,
        FEATURES,
        MAP,
        NUMBERING,
        SUPPORT,
        TRNA_RECORDS,
        read_matrix,
    )
    from omicsai.trna.drawing import class_cloverleaf

    def optional(table: Any, file: str) -> pd.DataFrame | None:
        path = folder / file
        return table.read(path) if path.is_file() else None

    records = TRNA_RECORDS.read(folder / "trna" / "records.tsv")
    _, matrix = read_matrix(folder / "trna" / "matrix.tsv")
    support = optional(SUPPORT, "identity/identity.tsv")
    features = optional(FEATURES, "identity/logo_features.tsv")
    places = optional(MAP, "distance/map.tsv")
    confusion = optional(CONFUSION, "isotype/confusion.tsv")
    cognates = optional(COGNATES, "cognates/cognates.tsv")
    suspects = optional(SUSPECTS, "isotype/suspected_mislabels.tsv")
    metrics = folder / "isotype" / "metrics.json"
    svg = (
        class_cloverleaf(matrix, f"Consensus of {len(matrix)} tRNAs") if len(matrix) else ""
    )
    contradicted = pd.DataFrame()
    if support is not None:
        wrong = support[support["verdict"] == "contradicted"]
        contradicted = wrong[
            ["organism", "isotype", "position", "bases", "genes", "supporting", "source"]
        ]
    control = []
    if truth is not None and truth.is_file():
        known = TRNA_TRUTH.read(truth).set_index("id")
        if known.index.isin(records["id"]).any():
            numbering = NUMBERING.read(folder / "trna" / "numbering.tsv")
            control = _control(known, numbering, records, cognates, suspects)
    return TrnaBatch(
        name=name,
        statuses=records["status"].value_counts().to_dict(),
        not_ok=records[records["status"] != "ok"][["id", "status", "confidence", "reason"]],
        cloverleaf=Drawing(svg, svg, "Cloverleaf of the commonest bases, by conservation"),
        logo=function_logo(features) if features is not None and len(features) else None,
        map=distance_map(places) if places is not None and len(places) > 2 else None,
        confusion=confusion_map(confusion)
        if confusion is not None and len(confusion) else None,
        metrics=json.loads(metrics.read_text()) if metrics.is_file() else None,
        verdicts={} if support is None else support["verdict"].value_counts().to_dict(),
        contradicted=contradicted,
        cognates=cognates,
        suspects=None if suspects is None else suspects.drop(columns="cluster"),
        control=control,
    )  # fmt: skip


def _control(
    truth: pd.DataFrame,
    numbering: pd.DataFrame,
    records: pd.DataFrame,
    cognates: pd.DataFrame | None,
    suspects: pd.DataFrame | None,
) -> list[dict[str, Any]]:
    """How much of what the simulation planted was found."""
    labels = numbering.groupby("id", sort=False)["label"].agg(" ".join)
    shared = [key for key in truth.index if key in labels.index]
    # a sequence may be written without CCA, so the truth may go on
    right = sum(truth.at[k, "positions"].startswith(labels[k].strip()) for k in shared)
    rows = [
        {
            "what": "tRNAs with every position right",
            "planted": len(shared), "found": right, "false": None,
            "note": f"records that failed: {int((records['status'] == 'failed').sum())}",
        }
    ]  # fmt: skip
    if cognates is not None:
        planted = [
            k for k in cognates["id"] if k in truth.index and truth.at[k, "orthogonal"]
        ]
        top = set(cognates["id"].head(len(planted)))
        rows.append(
            {
                "what": "orthogonal tRNAs among the first ranks",
                "planted": len(planted), "found": len(top & set(planted)),
                "false": len(top - set(planted)), "note": "by likelihood ratio",
            }
        )  # fmt: skip
    if suspects is not None:
        named = set(suspects["id"])
        wrong = {
            k for k in truth.index[truth["mislabelled"].astype(bool)] if k in labels.index
        }
        rows.append(
            {
                "what": "wrong isotypes",
                "planted": len(wrong), "found": len(wrong & named),
                "false": len(named - wrong), "note": "suspected by the body alone",
            }
        )  # fmt: skip
    return rows


def function_logo(features: pd.DataFrame) -> Drawing:
    """Information of each base at each position, lettered by the amino acid it speaks for.

    Parameters
    ----------
    features
        The logo features, single bases among them.
    """
    from omicsai.trna import LABELS

    single = features[
        features["state"].isin(list(BASES)) & features["position"].isin(LABELS)
    ]
    order = {label: i for i, label in enumerate(LABELS)}
    shown = [p for p in LABELS if p in set(single["position"])]

    def plot(figure: Figure, narrow: bool) -> None:
        positions = shown
        if narrow:
            best = single.groupby("position")["information"].max().nlargest(16).index
            positions = sorted(best, key=order.__getitem__)
        x = {p: i for i, p in enumerate(positions)}
        axes = figure.subplots(4, 1, sharex=True, sharey=True)
        for base, axis in zip(BASES, axes, strict=True):
            rows = single[(single["state"] == base) & single["position"].isin(positions)]
            sure = (rows["q"] <= 0.05).to_numpy()
            at = rows["position"].map(x).to_numpy()
            height = rows["information"].to_numpy()
            colours = np.where(sure, COLOURS[0], "#D5DADF")
            axis.bar(at, height, color=colours, width=0.8)
            for place, value, name, good in zip(
                at, height, rows["top_class"], sure, strict=True
            ):
                if good and value >= LETTERED:
                    axis.text(
                        place, value + 0.08, LETTER.get(name, "?"), ha="center",
                        va="bottom", fontsize=7, color=INK,
                    )  # fmt: skip
            axis.set_ylabel(base, rotation=0, va="center", fontweight="bold")
            axis.set_ylim(0, 5.2)
            axis.set_yticks([0, 2, 4])
        axes[-1].set_xticks(range(len(positions)), positions, rotation=90, fontsize=7)
        axes[-1].set_xlim(-0.7, len(positions) - 0.3)
        axes[-1].set_xlabel("canonical position")
        figure.supylabel("information about the amino acid, bits", fontsize=9)

    return draw(
        "trna-logo",
        "Function logo: information of each base at each canonical position",
        plot, wide=(9.6, 5.2), narrow=(3.6, 5.2),
    )  # fmt: skip


def distance_map(places: pd.DataFrame) -> Drawing:
    """Principal coordinates of the distances, coloured by amino acid."""
    names = [a for a in [*AMINO_ACIDS, "SeC"] if a in set(places["isotype"])]
    palette = COLOURS + MORE_COLOURS
    colour = {name: palette[i % len(palette)] for i, name in enumerate(names)}

    def plot(figure: Figure, narrow: bool) -> None:
        axes = figure.subplots()
        other = places[~places["isotype"].isin(names)]
        axes.scatter(
            other["x"], other["y"], s=22, facecolors="none", edgecolors=GREY, linewidths=1
        )
        for name in names:
            rows = places[places["isotype"] == name]
            axes.scatter(rows["x"], rows["y"], s=16, color=colour[name], alpha=0.75, lw=0)
            for row in rows.head(1 if narrow else 3).itertuples():
                axes.annotate(
                    LETTER[name], (row.x, row.y), fontsize=8, color=colour[name],
                    fontweight="bold", xytext=(3, 3), textcoords="offset points",
                )  # fmt: skip
        axes.set_xlabel("first principal coordinate")
        axes.set_ylabel("second principal coordinate")
        axes.set_aspect("equal", adjustable="datalim")

    return draw(
        "trna-map", "Map of tRNA distances coloured by amino acid", plot,
        wide=(9.6, 5.4), narrow=(3.6, 3.8),
    )  # fmt: skip


def confusion_map(confusion: pd.DataFrame) -> Drawing:
    """Stated against predicted amino acids, each row as shares."""
    names = sorted(set(confusion["label"]) | set(confusion["predicted"]))
    index = {name: i for i, name in enumerate(names)}
    counts = np.zeros((len(names), len(names)))
    for row in confusion.itertuples():
        counts[index[row.label], index[row.predicted]] += row.sequences
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)

    def plot(figure: Figure, narrow: bool) -> None:
        axes = figure.subplots()
        axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
        size = 5 if narrow else 8
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=size + 1)
        axes.set_yticks(range(len(names)), names, fontsize=size + 1)
        axes.set_xlabel("predicted from the body")
        axes.set_ylabel("stated")
        for i, j in np.argwhere(counts > 0):
            axes.text(
                j, i, f"{counts[i, j]:.0f}", ha="center", va="center", fontsize=size,
                color="white" if share[i, j] > 0.55 else INK,
            )  # fmt: skip

    return draw(
        "trna-confusion", "Stated against predicted amino acids", plot,
        wide=(7.2, 6.6), narrow=(3.6, 3.7),
    )  # fmt: skip
