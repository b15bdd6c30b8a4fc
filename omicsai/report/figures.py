"""Figures of the report, each drawn twice: for a wide page and for a phone.

Colours are those of Okabe and Ito (2008), which colour-blind readers can tell apart; lines
and groups are labelled where they are, not in a legend.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "Drawing",
    "embedding_map",
    "label_counts",
    "learning_curves",
    "novelty",
    "reliability",
]

COLOURS = [
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#8C6D1F",
    "#5B4B8A",
]
MORE_COLOURS = [
    "#00486F", "#8A3C00", "#00644A", "#8C4F73", "#9A6A00", "#23769F", "#B59A5B", "#8F86AE",
]  # fmt: skip
MODEL, CONTROL, GREY, INK = "#0072B2", "#D55E00", "#9AA3AB", "#1F2933"
PARTS = {
    "train": "#0072B2",
    "validation": "#56B4E9",
    "test": "#E69F00",
    "removed": "#9AA3AB",
}
WIDE, NARROW = 9.6, 3.6  # inches at 100 pixels an inch
RASTER_ABOVE = 1500  # points of a scatter that go into the page as pixels


@dataclass(frozen=True)
class Drawing:
    """One figure as SVG text in both layouts, with its description for screen readers."""

    wide: str
    narrow: str
    description: str


def draw(
    name: str,
    description: str,
    plot: Callable[[Figure, bool], None],
    *,
    wide: tuple[float, float],
    narrow: tuple[float, float],
) -> Drawing:
    """Draw a figure in both layouts.

    Parameters
    ----------
    name
        Unique name, so that ids inside different SVGs do not collide.
    description
        What the figure shows, in words.
    plot
        Called with an empty figure and whether the layout is narrow.
    wide, narrow
        Width and height in inches.
    """
    import matplotlib as mpl

    svgs = []
    for is_narrow, size in ((False, wide), (True, narrow)):
        style = {
            "svg.hashsalt": f"{name}-{is_narrow}",
            "font.size": 10 if not is_narrow else 9,
            "font.family": "DejaVu Sans",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.edgecolor": "#7B8794",
            "axes.labelcolor": INK,
            "text.color": INK,
            "xtick.color": "#52606D",
            "ytick.color": "#52606D",
            "axes.titlesize": "medium",
            "axes.titleweight": "bold",
            "axes.titlelocation": "left",
            "text.parse_math": False,  # names may hold a dollar sign
        }
        with mpl.rc_context(style):
            from matplotlib.backends.backend_svg import FigureCanvasSVG
            from matplotlib.figure import Figure

            figure = Figure(figsize=size, dpi=100, layout="constrained")
            FigureCanvasSVG(figure)
            plot(figure, is_narrow)
            text = io.StringIO()
            figure.savefig(text, format="svg", metadata={"Date": None}, transparent=True)
        svgs.append(text.getvalue()[text.getvalue().index("<svg") :])
    return Drawing(svgs[0], svgs[1], description)


def class_colours(classes: Sequence[str]) -> dict[str, str]:
    """One colour per class; beyond eight classes the rest is grey."""
    return {
        name: COLOURS[i] if i < len(COLOURS) else GREY for i, name in enumerate(classes)
    }


def label_counts(counts: pd.DataFrame) -> Drawing:
    """Sequences per label and part, as stacked bars.

    Parameters
    ----------
    counts
        Index label, one column per part.
    """
    shown = counts.head(25)[::-1]

    def plot(figure: Figure, narrow: bool) -> None:
        axes = figure.subplots()
        left = np.zeros(len(shown))
        for part in shown.columns:
            axes.barh(
                shown.index, shown[part], left=left, color=PARTS.get(part, GREY), label=part
            )
            left += shown[part].to_numpy()
        for y, total in enumerate(left):
            axes.text(total, y, f" {int(total)}", va="center", fontsize="small")
        axes.set_xlabel("sequences")
        axes.tick_params(left=False)
        axes.spines["left"].set_visible(False)
        axes.legend(
            loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4 if not narrow else 2,
            frameon=False, handlelength=1,
        )  # fmt: skip

    height = 1.1 + 0.27 * len(shown)
    return draw(
        "labels",
        f"Bars: number of sequences of {len(shown)} labels, by part of the split.",
        plot,
        wide=(WIDE, height),
        narrow=(NARROW, height + 0.3),
    )


def embedding_map(
    points: pd.DataFrame, classes: Sequence[str], *, name: str = "map"
) -> Drawing:
    """Scatter of all sequences; class by colour, batch to predict by shape.

    Parameters
    ----------
    points
        Columns ``x``, ``y``, ``label`` (given or predicted, may be empty), ``kind``
        (``"known"``, ``"predicted"`` or ``"novel"``).
    classes
        Classes in order of colour.
    """
    colours = class_colours(classes)
    styles: dict[str, dict[str, Any]] = {
        "known": {"s": 14, "alpha": 0.75, "marker": "o", "lw": 0},
        "predicted": {
            "s": 20,
            "alpha": 0.95,
            "marker": "^",
            "lw": 0.4,
            "edgecolor": "white",
        },
    }

    def plot(figure: Figure, narrow: bool) -> None:
        axes = figure.subplots()
        for kind, style in styles.items():
            chosen = points[points["kind"] == kind]
            axes.scatter(
                chosen["x"], chosen["y"],
                c=[colours.get(name, GREY) for name in chosen["label"]],
                rasterized=len(points) > RASTER_ABOVE, **style,
            )  # fmt: skip
        novel = points[points["kind"] == "novel"]
        axes.scatter(
            novel["x"],
            novel["y"],
            s=26,
            marker="D",
            facecolor="none",
            edgecolor="black",
            lw=1.1,
        )
        size = "small" if narrow else "medium"
        for name in classes[: len(COLOURS)]:
            chosen = points[(points["label"] == name) & (points["kind"] == "known")]
            if len(chosen):
                _halo(axes, *_densest(chosen), name, colours[name], size)
        if len(novel):
            _halo(axes, *_densest(novel), "novel", "black", size)
        axes.set_axis_off()

    return draw(
        name,
        "Scatter of all sequences by embedding; colour is the class, triangles are the "
        "predicted batch, open diamonds are novel.",
        plot,
        wide=(WIDE, 6.2),
        narrow=(NARROW, 3.9),
    )


def _densest(points: pd.DataFrame) -> tuple[float, float]:
    """Where most of a class is: the point with the nearest tenth of the others closest."""
    xy = points[["x", "y"]].to_numpy(dtype=float)[:500]
    distance = np.linalg.norm(xy[:, None] - xy[None], axis=2)
    near = np.sort(distance, axis=1)[:, : max(2, len(xy) // 10)].mean(axis=1)
    return tuple(xy[near.argmin()])


def _halo(axes: Axes, x: float, y: float, text: str, colour: str, size: str) -> None:
    from matplotlib.patheffects import withStroke

    axes.text(
        x, y, text, color=colour, weight="bold", ha="center", va="center", fontsize=size,
        path_effects=[withStroke(linewidth=3, foreground="white")],
        bbox={"boxstyle": "round,pad=0.15", "fc": "white", "ec": colour, "alpha": 0.85},
    )  # fmt: skip


def learning_curves(history: dict[str, pd.DataFrame], names: dict[str, str]) -> Drawing:
    """Agreement with the given labels along training, both losses.

    Parameters
    ----------
    history
        History tables of ``"model"`` and ``"control"``.
    names
        Name of each.
    """
    colours = {"model": MODEL, "control": CONTROL}

    def plot(figure: Figure, narrow: bool) -> None:
        panels: Any = figure.subplots(
            2 if narrow else 1, 1 if narrow else 2, sharey=not narrow
        )
        for axes, part, title in zip(
            panels,
            ("train", "validation"),
            ("training part: fitting given labels", "validation part: held-out clusters"),
            strict=True,
        ):
            ends = []
            for which, table in history.items():
                chosen = table[table["part"] == part].groupby("epoch")["accuracy"]
                mean, low, high = chosen.mean(), chosen.min(), chosen.max()
                axes.plot(mean.index, mean, color=colours[which], lw=2)
                axes.fill_between(
                    mean.index, low, high, color=colours[which], alpha=0.2, lw=0
                )
                ends.append((float(mean.iloc[-1]), names[which], colours[which]))
            _label_ends(axes, ends, int(mean.index[-1]))
            axes.set_title(title)
            axes.set_xlabel("epoch")
            axes.set_ylim(0, 1.02)
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        panels[0].set_ylabel("agreement")

    return draw(
        "learning",
        "Lines: agreement with given labels by epoch, training and validation part.",
        plot,
        wide=(WIDE, 3.6),
        narrow=(NARROW, 5.4),
    )


def _label_ends(axes: Axes, ends: list[tuple[float, str, str]], last: int) -> None:
    """Write each line's name and end value beside its end, apart from each other."""
    ends = sorted(ends)
    places = [value for value, _, _ in ends]
    for i in range(1, len(places)):
        places[i] = max(places[i], places[i - 1] + 0.1)
    for place, (value, name, colour) in zip(places, ends, strict=True):
        axes.annotate(
            f"{name} {value:.0%}", (last, place), xytext=(4, 0), textcoords="offset points",
            color=colour, va="center", fontsize="small", weight="bold",
            annotation_clip=False,
        )  # fmt: skip


def reliability(calibration: pd.DataFrame, names: dict[str, str]) -> Drawing:
    """Confidence against accuracy on unseen sequences, before and after calibration."""
    colours = {"model": MODEL, "control": CONTROL}

    def plot(figure: Figure, narrow: bool) -> None:
        panels: Any = (
            figure.subplots(1, 2, sharey=True) if not narrow else figure.subplots(2, 1)
        )
        for axes, calibrated in zip(panels, (False, True), strict=True):
            axes.plot([0, 1], [0, 1], color=GREY, lw=1, ls=(0, (4, 3)))
            axes.text(0.62, 0.56, "perfect", color="#7B8794", fontsize="small", va="top")
            chosen = calibration[calibration["calibrated"] == calibrated]
            for which, bins in chosen.groupby("model"):
                axes.plot(
                    bins["confidence"], bins["accuracy"], color=colours[which], lw=1.5
                )
                axes.scatter(
                    bins["confidence"], bins["accuracy"], color=colours[which],
                    s=8 + 400 * bins["sequences"] / bins["sequences"].sum(),
                    alpha=0.75, lw=0,
                )  # fmt: skip
            axes.set_title("after calibration" if calibrated else "before calibration")
            axes.set_xlabel("confidence")
            axes.set_xlim(0, 1.02)
            axes.set_ylim(0, 1.02)
            for y, which in ((0.93, "model"), (0.85, "control")):
                axes.text(
                    0.03, y, names[which], color=colours[which], weight="bold",
                    fontsize="small", transform=axes.transAxes,
                )  # fmt: skip
        panels[0].set_ylabel("accuracy")
        if narrow:
            panels[1].set_ylabel("accuracy")

    return draw(
        "reliability",
        "Reliability diagram: mean confidence against accuracy in ten bins.",
        plot,
        wide=(WIDE, 4.2),
        narrow=(NARROW, 6.4),
    )


def novelty(known: np.ndarray, batches: dict[str, np.ndarray], threshold: float) -> Drawing:
    """Distribution of novelty: known sequences, then each predicted batch.

    Parameters
    ----------
    known
        Novelty of known sequences, one per cluster.
    batches
        Novelty of each predicted batch.
    threshold
        Novelty at and above which a sequence is called novel.
    """
    rows = {"known clusters": known, **batches}

    def plot(figure: Figure, narrow: bool) -> None:
        axes = figure.subplots()
        top = max(float(np.max(values)) for values in rows.values() if len(values))
        edges = np.linspace(0, top * 1.02, 41)
        for i, (name, values) in enumerate(reversed(rows.items())):
            density, _ = np.histogram(values, edges)
            height = 0.85 * density / max(density.max(), 1)
            colours = [CONTROL if x >= threshold else MODEL for x in edges[:-1]]
            if name == "known clusters":
                colours = [GREY] * len(height)
            axes.bar(
                edges[:-1], height, width=np.diff(edges) * 0.92, bottom=i, align="edge",
                color=colours,
            )  # fmt: skip
            axes.axhline(i, color="#7B8794", lw=0.8)
            axes.text(
                0,
                i + 0.86,
                f"{name} ({len(values):,})",
                fontsize="small",
                weight="bold",
                va="top",
            )
        axes.axvline(threshold, color=INK, lw=1, ls=(0, (4, 3)))
        axes.text(
            threshold, len(rows) + 0.02, " called novel →", fontsize="small", va="bottom",
            ha="right" if threshold > 0.7 * top else "left",
        )  # fmt: skip
        axes.set_ylim(0, len(rows) + 0.18)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("novelty: mean cosine distance to the 5 nearest known sequences")
        if narrow:
            axes.set_xlabel("novelty (distance to known sequences)")

    height = 0.9 + 0.95 * len(rows)
    return draw(
        "novelty",
        "Histograms of novelty of known clusters and of each predicted batch.",
        plot,
        wide=(WIDE, height),
        narrow=(NARROW, height),
    )
