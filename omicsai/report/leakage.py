"""The page's section on the split: others beside it, and how far test is from train."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from omicsai.report.figures import CONTROL, GREY, MODEL, NARROW, WIDE, Drawing, draw

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["identity_to_train", "leaking_sequences"]

NAMES = {
    "homology": "this split",
    "cluster": "whole clusters",
    "random": "random",
    "family": "whole families",
    "column": "by column",
    "time": "in order",
}
BINS = np.linspace(0, 1, 21)


def leaking_sequences(comparison: pd.DataFrame) -> Drawing:
    """Share of sequences with a similar one in another part, for each kind of split."""
    names = [NAMES.get(method, method) for method in comparison["method"]]
    values = 100 * comparison["leaking_fraction"].to_numpy(dtype=float)
    colours = [MODEL if i == 0 else GREY for i in range(len(names))]

    def plot(figure: Figure, narrow: bool) -> None:
        axes = figure.subplots()
        axes.barh(names[::-1], values[::-1], color=colours[::-1], height=0.6)
        for y, value in enumerate(values[::-1]):
            axes.text(value, y, f" {value:.1f} %", va="center")
        axes.set_xlim(0, max(values.max(initial=0), 1) * 1.25)
        axes.xaxis.set_visible(False)
        axes.spines[["bottom", "left"]].set_visible(False)
        axes.tick_params(left=False)

    height = 0.4 + 0.32 * len(names)
    return draw(
        "leaking",
        "Bars: share of sequences with a similar one in another part, by kind of split.",
        plot,
        wide=(WIDE, height),
        narrow=(NARROW, height),
    )


def identity_to_train(nearest: pd.DataFrame, threshold: float) -> Drawing:
    """Histogram of the identity of validation and test to the nearest training sequence."""
    found = nearest.dropna(subset=["identity_fraction"])
    none = int(nearest["identity_fraction"].isna().sum())

    def plot(figure: Figure, narrow: bool) -> None:
        axes: Any = figure.subplots()
        axes.hist(
            [found.loc[found["part"] == part, "identity_fraction"] * 100
             for part in ("test", "validation")],
            bins=BINS * 100, stacked=True, color=[MODEL, CONTROL],
            label=["test", "validation"],
        )  # fmt: skip
        axes.axvline(100 * threshold, color=GREY, lw=1, ls="--")
        axes.text(
            100 * threshold, axes.get_ylim()[1], " threshold", va="top", fontsize="small"
        )
        axes.set_xlim(0, 100)
        axes.set_xlabel("identity to the nearest training sequence, %")
        axes.set_ylabel("sequences")
        axes.legend(frameon=False)

    return draw(
        "identity-to-train",
        f"Histogram: identity of validation and test sequences to the nearest training "
        f"sequence; {none} have none.",
        plot,
        wide=(WIDE, 2.4),
        narrow=(NARROW, 2.6),
    )
