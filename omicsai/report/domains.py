"""The report's section on domains: glyphs, coverage, classes, batches, map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from omicsai.domains.compare import enrichment, family_changes
from omicsai.report.figures import (
    COLOURS,
    GREY,
    MORE_COLOURS,
    NARROW,
    PARTS,
    WIDE,
    Drawing,
    draw,
)
from omicsai.report.story import Batch, Sequences

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["changes", "domain_figures", "domain_tables"]

SHOWN_ARCHITECTURES = 12
LETTERS_ACROSS = 100  # letters of a domain's name that fit across the wide figure
SIGNIFICANT = 0.05
TEETH = 2  # of the ragged edge of a truncated domain


def domain_figures(batches: list[Batch]) -> dict[str, Drawing | None]:
    """Draw what the section shows; None where there is nothing to show."""
    drawn = _architectures_to_draw(batches)
    colours = _profile_colours(batches)
    return {
        "architectures": _architectures(drawn, colours) if len(drawn) else None,
        "coverage": _coverage(batches) if len(drawn) else None,
    }


def domain_tables(story: Sequences, batches: list[Batch]) -> dict[str, pd.DataFrame]:
    """Tables of the section: architectures, families by class."""
    if not batches:
        return {"architectures": pd.DataFrame(), "enrichment": pd.DataFrame()}
    labelled = story.examples[story.examples["label"] != ""]
    classes = dict(zip(labelled["id"], labelled["label"], strict=True))
    found = pd.concat([_domains(batch) for batch in batches], ignore_index=True)
    by_class = enrichment(found, classes)
    return {
        "architectures": _architecture_counts(batches),
        "enrichment": by_class[by_class["p_adjusted"] <= SIGNIFICANT],
    }


def changes(batches: list[Batch]) -> dict[str, pd.DataFrame]:
    """Families gained and lost from what is learned from to each batch predicted."""
    before = [batch for batch in batches if batch.predictions is None]
    if not before:
        return {}
    known = pd.concat([_domains(batch) for batch in before], ignore_index=True)
    size = sum(len(batch.records) for batch in before)
    return {
        batch.name: family_changes(known, _domains(batch), (size, len(batch.records)))
        for batch in batches
        if batch.predictions is not None
    }


def _domains(batch: Batch) -> pd.DataFrame:
    assert batch.domains is not None
    return batch.domains


def _architecture_counts(batches: list[Batch]) -> pd.DataFrame:
    """Proteins per architecture, one column per batch."""
    counted = {
        batch.name: batch.architectures["architecture"].value_counts()
        for batch in batches
        if batch.architectures is not None
    }
    frame = pd.DataFrame(counted).fillna(0).astype(int).rename_axis(None)
    frame.insert(0, "proteins", frame.sum(axis=1))
    frame.insert(0, "architecture", [name or "(no domain found)" for name in frame.index])
    return frame.sort_values(
        ["proteins", "architecture"], ascending=[False, True], ignore_index=True
    )


def _architectures_to_draw(batches: list[Batch]) -> pd.DataFrame:
    """Choose the commonest architectures, each on its member of median length."""
    members: dict[str, list[tuple[int, str, Batch]]] = {}
    for batch in batches:
        assert batch.architectures is not None
        lengths = batch.records.set_index("id")["length_aa"]
        for row in batch.architectures.itertuples():
            if row.architecture:
                members.setdefault(row.architecture, []).append(
                    (int(lengths[row.id]), row.id, batch)
                )
    ranked = sorted(members.items(), key=lambda item: (-len(item[1]), item[0]))
    rows = []
    for name, found in ranked[:SHOWN_ARCHITECTURES]:
        length, key, batch = sorted(found, key=lambda m: (m[0], m[1]))[len(found) // 2]
        hits = _domains(batch)
        kept = hits[(hits["id"] == key) & hits["kept"].to_numpy(dtype=bool)]
        domains = [
            (hit.profile, int(hit.envelope_start), int(hit.envelope_end), hit.completeness)
            for hit in kept.sort_values(["start", "end"], kind="stable").itertuples()
        ]
        rows.append(
            {"name": name, "proteins": len(found), "length": length, "domains": domains}
        )
    return pd.DataFrame(rows, columns=["name", "proteins", "length", "domains"])


def _profile_colours(batches: list[Batch]) -> dict[str, str]:
    """Choose a colour for each profile, the commonest first; colours repeat."""
    names = pd.concat([_domains(batch)["profile"] for batch in batches]).value_counts()
    ranked = sorted(names.index, key=lambda name: (-names[name], name))
    palette = COLOURS + MORE_COLOURS
    return {name: palette[i % len(palette)] for i, name in enumerate(ranked)}


def _architectures(shown: pd.DataFrame, colours: dict[str, str]) -> Drawing:
    """Draw domain architectures to scale; a truncated end is ragged, as Pfam draws it.

    Parameters
    ----------
    shown
        One row per architecture: ``name``, ``proteins``, ``length`` of the protein drawn
        and ``domains``, a list of (profile, start, end, completeness).
    colours
        Colour by profile.
    """
    longest = int(shown["length"].max())

    def plot(figure: Figure, narrow: bool) -> None:
        axes = figure.subplots()
        for y, row in enumerate(shown[::-1].itertuples()):
            axes.plot(
                [1, row.length], [y, y], color=GREY, lw=2, zorder=1, solid_capstyle="butt"
            )
            for profile, start, end, completeness in row.domains:
                height = 0.3 if narrow else 0.56
                _glyph(axes, (start, end), y, height, colours[profile], completeness)
                letters = (end - start) / longest * LETTERS_ACROSS
                if not narrow and len(profile) <= letters:
                    axes.text(
                        (start + end) / 2, y, profile, ha="center", va="center",
                        color="white", fontsize="small", zorder=3,
                    )  # fmt: skip
            if narrow or any(
                len(p) > (e - s) / longest * LETTERS_ACROSS for p, s, e, _ in row.domains
            ):
                above = 0.18 if narrow else 0.28
                axes.text(1, y + above, row.name, va="bottom", fontsize="x-small")
            axes.text(
                row.length + longest * 0.015, y, f"{row.proteins}", va="center",
                fontsize="small",
            )  # fmt: skip
        axes.set_yticks([])
        axes.set_ylim(-0.6, len(shown) - 0.2)
        axes.set_xlim(0, longest * 1.1)
        axes.set_xlabel("residue")
        axes.spines["left"].set_visible(False)

    return draw(
        "architectures",
        f"The {len(shown)} most frequent domain architectures, to scale.",
        plot,
        wide=(WIDE, 0.7 + 0.4 * len(shown)),
        narrow=(NARROW, 0.7 + 0.44 * len(shown)),
    )


def _glyph(
    axes: Axes,
    span: tuple[int, int],
    y: float,
    height: float,
    colour: str,
    completeness: str,
) -> None:
    """Draw one domain; the ends that are missing from the profile are ragged."""
    from matplotlib.patches import Polygon

    start, end = span
    depth = min(0.06 * (end - start), 8)
    steps = np.linspace(-height / 2, height / 2, 2 * TEETH + 1)
    ragged = depth * (np.arange(len(steps)) % 2)
    left = ragged if completeness in ("n_truncated", "fragment") else 0 * ragged
    right = ragged if completeness in ("c_truncated", "fragment") else 0 * ragged
    outline = [
        *zip(start + left, y + steps, strict=True),
        *zip((end - right)[::-1], (y + steps)[::-1], strict=True),
    ]
    axes.add_patch(Polygon(outline, facecolor=colour, edgecolor="white", lw=0.8, zorder=2))


def _coverage(batches: list[Batch]) -> Drawing:
    """Share of proteins by how much of them lies in domains, one line per batch."""
    edges = np.linspace(0, 1, 21)
    palette = list(PARTS.values())

    def plot(figure: Figure, narrow: bool) -> None:
        axes = figure.subplots()
        for number, batch in enumerate(batches):
            assert batch.architectures is not None
            covered = batch.architectures["covered_fraction"].to_numpy(dtype=float)
            above = [
                (covered >= edge).mean() if edge else (covered > 0).mean() for edge in edges
            ]
            colour = palette[number % 3 if number % 3 != 1 else 2] if number < 2 else GREY
            axes.plot(100 * edges, 100 * np.array(above), color=colour, lw=2)
            axes.annotate(
                batch.name, (50, 100 * above[10]), (4, 4 - 14 * (number % 2)),
                textcoords="offset points", color=colour, fontsize="small",
            )  # fmt: skip
        axes.set_xlim(0, 100)
        axes.set_ylim(0, 102)
        axes.set_xlabel("at least this much of a protein inside domains, %")
        axes.set_ylabel("proteins, %")

    return draw(
        "coverage",
        "Share of proteins by the share of their residues inside domains.",
        plot,
        wide=(WIDE, 2.6),
        narrow=(NARROW, 2.4),
    )


def summary(batches: list[Batch]) -> dict[str, Any]:
    """Count proteins, those with a domain, residues and those inside domains."""
    proteins = with_domain = residues = 0
    covered = 0.0
    for batch in batches:
        assert batch.architectures is not None
        table = batch.architectures
        lengths = batch.records.set_index("id")["length_aa"].reindex(table["id"]).to_numpy()
        proteins += len(table)
        with_domain += int((table["domains"] > 0).sum())
        residues += int(lengths.sum())
        covered += float((table["covered_fraction"].to_numpy(dtype=float) * lengths).sum())
    return {
        "proteins": proteins,
        "with_domain": with_domain,
        "covered_fraction": covered / max(residues, 1),
    }
