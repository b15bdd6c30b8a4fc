"""Learning dynamics: what is fitted when, right labels, wrong labels and corrections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from omicsai.report.figures import CONTROL, GREY, MODEL, NARROW, WIDE, Drawing, draw
from omicsai.robust.options import LOSSES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["dynamics_figure", "trust_curves", "weighting_figure"]

SUBSETS = {  # name, colour and line of each
    "clean": ("right labels fitted", "#0072B2", "-"),
    "wrong": ("wrong labels fitted", "#D55E00", "-"),
    "corrected": ("wrong labels corrected", "#009E73", "-"),
    "test": ("test", "#1F2933", "--"),
}
PANEL = 2.4  # inches


def dynamics_figure(dynamics: pd.DataFrame) -> Drawing:
    """Draw accuracy along training of each condition (rows) and method (columns).

    Parameters
    ----------
    dynamics
        The `omicsai.robust.outcomes.DYNAMICS` table; conditions without noise are left out
        unless there is nothing else.

    Returns
    -------
    Drawing
        Thin lines are the mean confidence.
    """
    noisy = dynamics[dynamics["rate"] > 0]
    shown = noisy if len(noisy) else dynamics
    conditions = list(dict.fromkeys(zip(shown["noise"], shown["rate"], strict=True)))
    methods = list(dict.fromkeys(shown["method"]))

    def plot(figure: Figure, narrow: bool) -> None:
        rows, columns = len(conditions), len(methods)
        if narrow:
            rows, columns = rows * columns, 1
        panels: Any = figure.subplots(
            rows, columns, sharex=True, sharey=True, squeeze=False
        )
        cells = [(c, m) for c in conditions for m in methods]
        for axes, ((kind, rate), method) in zip(panels.flat, cells, strict=True):
            mine = shown[
                (shown["noise"] == kind)
                & (shown["rate"] == rate)
                & (shown["method"] == method)
            ]
            for subset, (label, colour, line) in SUBSETS.items():
                curve = mine[mine["subset"] == subset]
                axes.plot(
                    curve["epoch"], curve["accuracy"], color=colour, ls=line, label=label
                )
                axes.plot(
                    curve["epoch"], curve["confidence"], color=colour, lw=0.6, ls=line
                )
            axes.set_title(
                f"{LOSSES.get(method, method)}, {kind} noise {rate:.0%}", fontsize="small"
            )
            axes.set_ylim(0, 1.02)
            axes.grid(axis="y", color=GREY, alpha=0.3, lw=0.6)
        for axes in panels[-1]:
            axes.set_xlabel("epoch")
        for axes in panels[:, 0]:
            axes.set_ylabel("share")
        figure.legend(
            *panels.flat[0].get_legend_handles_labels(), loc="outside lower center",
            ncols=2 if narrow else 4, frameon=False, fontsize="small",
        )  # fmt: skip

    count = len(conditions)
    return draw(
        "dynamics",
        "Along training: share of right training labels fitted, of wrong ones fitted, of "
        "wrong ones corrected, and accuracy on the test part; thin lines: confidence.",
        plot,
        wide=(4.2 * len(methods), 0.8 + PANEL * count),
        narrow=(NARROW, 0.9 + PANEL * count * len(methods)),
    )


def weighting_figure(weighting: pd.DataFrame) -> Drawing:
    """Draw how hard each loss pulls towards the given label, by its probability.

    Parameters
    ----------
    weighting
        The `omicsai.robust.weighting.WEIGHTING` table.

    Returns
    -------
    Drawing
        One small panel for each loss, cross entropy in grey behind it; below zero the
        given label is overruled.
    """
    names = [name for name in LOSSES if name in set(weighting["loss"])]
    plain = weighting[weighting["loss"] == "cross_entropy"]

    def plot(figure: Figure, narrow: bool) -> None:
        columns = 2 if narrow else 5
        rows = -(-len(names) // columns)
        panels: Any = figure.subplots(
            rows, columns, sharex=True, sharey=True, squeeze=False
        )
        for axes in panels.flat[len(names) :]:
            axes.set_visible(False)
        for axes, name in zip(panels.flat, names, strict=False):
            axes.plot(plain["p"], plain["pull"], color=GREY, lw=1)
            axes.axhline(0, color=GREY, lw=0.6)
            mine = weighting[weighting["loss"] == name]
            shades = ["#9CC9E3", "#3F93C4", "#004C7A"] if name == "proselflc" else [MODEL]
            trusts = mine["global_trust"].drop_duplicates()
            for trust, shade in zip(trusts, shades, strict=True):
                one = mine if pd.isna(trust) else mine[mine["global_trust"] == trust]
                axes.plot(one["p"], one["pull"], color=shade, label=f"g = {trust:g}")
            if len(trusts) > 1:
                axes.legend(frameon=False, fontsize="x-small", handlelength=1)
            axes.set_title(LOSSES[name], fontsize="small")
            axes.set_ylim(-2, 4.3)
        for axes in panels[:, 0]:
            axes.set_ylabel("pull")
        for axes in panels[-1]:
            axes.set_xlabel("p of the label")

    return draw(
        "weighting",
        "For each loss, pull towards the given label against its probability p.",
        plot,
        wide=(WIDE, 5.4),
        narrow=(NARROW, 11.0),
    )


def trust_curves(history: dict[str, pd.DataFrame], names: dict[str, str]) -> Drawing:
    """Draw how sure the models are of training labels, and what ProSelfLC makes of them.

    Parameters
    ----------
    history
        `omicsai.robust.fit.HISTORY` tables of ``"model"`` and ``"control"``.
    names
        Name of each.

    Returns
    -------
    Drawing
        Confidence on the training part, and of ProSelfLC the global trust with the share
        of labels that it overrules; means of the members.
    """
    colours = {"model": MODEL, "control": CONTROL}

    def plot(figure: Figure, narrow: bool) -> None:
        panels: Any = figure.subplots(2 if narrow else 1, 1 if narrow else 2, sharey=True)
        for which, table in history.items():
            training = table[table["part"] == "train"].groupby("epoch")
            confidence = training["confidence"].mean()
            panels[0].plot(confidence, color=colours[which], label=names[which])
            trust = training["global_trust"].mean()
            if trust.isna().all():  # another loss than ProSelfLC
                continue
            panels[1].plot(trust, color=GREY, ls="--", label="global trust in the model")
            overruled = training["corrected_fraction"].mean()
            panels[1].plot(overruled, color=colours[which], label="labels overruled")
        panels[0].set_title("confidence on the training part")
        panels[1].set_title("trust, and labels overruled")
        for axes in panels:
            axes.set_xlabel("epoch")
            axes.set_ylim(0, 1.02)
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
            if axes.get_legend_handles_labels()[0]:
                axes.legend(frameon=False, fontsize="small", loc="best")

    return draw(
        "trust",
        "Lines by epoch: mean confidence on the training part, ProSelfLC's global trust "
        "and the share of training labels it overrules.",
        plot,
        wide=(WIDE, 3.2),
        narrow=(NARROW, 5.2),
    )
