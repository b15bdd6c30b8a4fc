"""Figures about how far labels can be trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from omicsai.report.figures import NARROW, WIDE, Drawing, draw

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["noise_matrix"]

MOST_NUMBERS = 12  # classes up to which cells carry their number


def noise_matrix(transition: NDArray[np.float64], classes: list[str]) -> Drawing:
    """Estimated share of each true class that is recorded as each other class.

    Parameters
    ----------
    transition
        (C, C) rows: true class, columns: given label; the diagonal is left blank.
    classes
        Their C names.
    """
    wrong = np.where(np.eye(len(classes), dtype=bool), np.nan, transition)
    top = max(float(np.nanmax(wrong)), 0.01)

    def plot(figure: Figure, narrow: bool) -> None:
        axes = figure.subplots()
        image = axes.imshow(wrong, cmap="Blues", vmin=0, vmax=top)
        axes.set_xticks(range(len(classes)), classes, rotation=90)
        axes.set_yticks(range(len(classes)), classes)
        axes.set_xlabel("recorded as")
        axes.set_ylabel("true class")
        if len(classes) <= MOST_NUMBERS and not narrow:
            for (i, j), value in np.ndenumerate(wrong):
                if np.isfinite(value):
                    axes.text(
                        j, i, f"{100 * value:.1f}", ha="center", va="center",
                        fontsize="x-small", color="white" if value > 0.6 * top else "black",
                    )  # fmt: skip
        bar = figure.colorbar(image, ax=axes, shrink=0.8)
        bar.ax.yaxis.set_major_formatter(lambda value, _: f"{value:.1%}")
        bar.set_label("share of the true class")

    return draw(
        "noise-matrix",
        "Heat map: estimated share of each true class recorded as another class.",
        plot,
        wide=(WIDE * 0.75, WIDE * 0.45),
        narrow=(NARROW, NARROW * 0.9),
    )
