"""The cloverleaf as SVG: one tRNA, or the consensus of a class with its conservation."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray

from omicsai.trna.bases import ALPHABET, ARM_PAIRS, pairs_form
from omicsai.trna.numbering import Numbered, classes_of
from omicsai.trna.positions import ARM_3, ARM_5, ARM_LOOP, INDEX, LABELS, STEM_PAIRS

__all__ = ["class_cloverleaf", "cloverleaf_svg", "conservation", "drawings", "places"]

UNIT = 24.0  # pixels between neighbouring bases
RADIUS = 10.5
STEP = 0.62  # half the width of a stem, in units
INK, SOFT, PAIR, SHADE = "#1f2933", "#9aa3ab", "#52606d", (0, 114, 178)
NUMBERED = ("1", "10", "20", "26", "34", "36", "44", "49", "73", "76")
Place = tuple[float, float]


@cache
def places(arm_pairs: int = 7) -> dict[str, Place]:
    """Where each canonical position is drawn, in units, y downwards.

    Parameters
    ----------
    arm_pairs
        Pairs of the variable arm, 0 to 7; its loop follows them.
    """
    where: dict[str, Place] = {"-1": (-STEP, -10.0)}
    for k in range(7):
        where[str(1 + k)] = (-STEP, -9.0 + k)
        where[str(72 - k)] = (STEP, -9.0 + k)
    for k in range(4):
        where[str(73 + k)] = (STEP, -10.0 - k)
        where[str(10 + k)] = (-3.0 - k, -STEP)
        where[str(25 - k)] = (-3.0 - k, STEP)
    where["8"], where["9"], where["26"] = (-1.0, -2.05), (-1.9, -1.4), (-1.75, 1.5)
    loop = ["14", "15", "16", "17", "17a", "18", "19", "20", "20a", "20b", "21"]
    where |= _arc(loop, (-8.4, 0.0), 2.4, -48, -312)
    for k in range(5):
        where[str(27 + k)] = (-STEP, 2.6 + k)
        where[str(43 - k)] = (STEP, 2.6 + k)
        where[str(49 + k)] = (3.4 + k, STEP)
        where[str(65 - k)] = (3.4 + k, -STEP)
    where |= _arc([str(k) for k in range(32, 39)], (0.0, 8.35), 1.55, 222, -42)
    where |= _arc([str(k) for k in range(54, 61)], (9.15, 0.0), 1.55, 132, -132)
    where["44"], where["45"], where["46"] = (1.55, 2.75), (1.95, 3.65), (3.05, 2.75)
    where["47"], where["48"] = (3.6, 1.95), (2.55, 1.35)
    for k in range(7):
        where[ARM_5[k]] = (2.75 + 0.75 * k, 4.45 + 0.75 * k)
        where[ARM_3[6 - k]] = (3.7 + 0.75 * k, 3.5 + 0.75 * k)
    reach = 0.75 * arm_pairs
    where |= _arc(list(ARM_LOOP), (3.55 + reach, 4.3 + reach), 0.95, 165, -75)
    return where


def _arc(
    labels: list[str], centre: Place, radius: float, first: float, last: float
) -> dict[str, Place]:
    """Place labels on a circle between two angles (degrees, y downwards)."""
    angles = np.radians(np.linspace(first, last, len(labels)))
    return {
        label: (centre[0] + radius * math.cos(a), centre[1] + radius * math.sin(a))
        for label, a in zip(labels, angles, strict=True)
    }


def conservation(matrix: NDArray[np.int8]) -> NDArray[np.float64]:
    """Information at each position, bits: 2 minus the entropy, times the share filled.

    Parameters
    ----------
    matrix
        (n, 99) base codes.

    Returns
    -------
    (99,) float64
        0 (nothing, or anything) to 2 (one base in every tRNA).
    """
    counts = np.stack([(matrix == code).sum(axis=0) for code in range(4)]).astype(float)
    filled = counts.sum(axis=0)
    p = counts / np.maximum(filled, 1)
    entropy = -(p * np.log2(np.where(p > 0, p, 1))).sum(axis=0)
    return np.where(filled > 0, (2 - entropy) * filled / max(len(matrix), 1), 0.0)


def class_cloverleaf(matrix: NDArray[np.int8], title: str) -> str:
    """Draw the commonest base at each position, shaded by its conservation.

    Parameters
    ----------
    matrix
        (n, 99) base codes of the class, n >= 1.
    title
        What is drawn.
    """
    counts = np.stack([(matrix == code).sum(axis=0) for code in range(6)])
    commonest = counts.argmax(axis=0)
    bases = {
        label: ALPHABET[code]
        for label, code in zip(LABELS, commonest, strict=True)
        if code < 4
    }
    shade = dict(zip(LABELS, conservation(matrix) / 2, strict=True))
    return cloverleaf_svg(bases, title, shade=shade)


def cloverleaf_svg(
    bases: Mapping[str, str], title: str, *, shade: Mapping[str, float] | None = None
) -> str:
    """Draw one cloverleaf.

    Parameters
    ----------
    bases
        Base at each position that is filled.
    title
        Title above the drawing, and its description for screen readers.
    shade
        0 to 1 for each position, drawn as the depth of its colour.

    Returns
    -------
    str
        A self-contained SVG.
    """
    pairs = sum(label in bases for label in ARM_5)
    shown = {label: at for label, at in places(pairs).items() if label in bases}
    xs = [x for x, _ in shown.values()] or [0.0]
    ys = [y for _, y in shown.values()] or [0.0]
    left, top = min(xs) - 1.6, min(ys) - 2.4
    width, height = max(xs) + 1.6 - left, max(ys) + 1.4 - top

    def at(label: str) -> Place:
        x, y = shown[label]
        return (x - left) * UNIT, (y - top) * UNIT

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width * UNIT:.0f} '
        f'{height * UNIT:.0f}" role="img" font-family="DejaVu Sans, Arial, sans-serif">',
        f"<title>{escape(title)}</title>",
        f'<text x="8" y="22" font-size="15" font-weight="bold" fill="{INK}">'
        f"{escape(title)}</text>",
        *_backbone(at, [label for label in LABELS if label in shown]),
        *_pair_lines(at, bases),
    ]
    for label in shown:
        parts += _base(at(label), label, bases[label], (shade or {}).get(label))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _backbone(at: Callable[[str], Place], labels: list[str]) -> Iterable[str]:
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(at, labels))
    yield f'<polyline points="{points}" fill="none" stroke="{SOFT}" stroke-width="1.2"/>'


def _pair_lines(at: Callable[[str], Place], bases: Mapping[str, str]) -> Iterable[str]:
    matrix = np.full((1, len(LABELS)), ALPHABET.index("-"), dtype=np.int8)
    for label, base in bases.items():
        matrix[0, INDEX[label]] = ALPHABET.index(base)
    pairs = [(a, b) for a, b in (*STEM_PAIRS, *ARM_PAIRS) if a in bases and b in bases]
    if not pairs:
        return
    for (a, b), formed in zip(pairs, pairs_form(matrix, pairs)[0], strict=True):
        if formed:
            (x1, y1), (x2, y2) = at(a), at(b)
            wobble = {bases[a], bases[b]} == {"G", "U"}
            dash = ' stroke-dasharray="2 3"' if wobble else ""
            yield (
                f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
                f'stroke="{PAIR}" stroke-width="2.4"{dash}/>'
            )


def _base(where: Place, label: str, base: str, shade: float | None) -> Iterable[str]:
    x, y = where
    depth = 0.0 if shade is None else min(max(shade, 0.0), 1.0)
    colour = "#" + "".join(f"{round(255 - depth * (255 - c)):02x}" for c in SHADE)
    ink = "#fff" if depth > 0.55 else INK
    edge = "#D55E00" if label in ("34", "35", "36") else SOFT
    yield (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{RADIUS}" fill="{colour}" stroke="{edge}" '
        f'stroke-width="{2 if edge != SOFT else 1}"><title>{label}: {base}</title></circle>'
    )
    yield (
        f'<text x="{x:.1f}" y="{y + 4.6:.1f}" font-size="13" text-anchor="middle" '
        f'fill="{ink}">{base}</text>'
    )
    if label in NUMBERED:
        side = -1 if label in ("1", "10", "20", "26", "34") else 1
        anchor = "end" if side < 0 else "start"
        yield (
            f'<text x="{x + side * (RADIUS + 3):.1f}" y="{y + 3.4:.1f}" font-size="9" '
            f'text-anchor="{anchor}" fill="{PAIR}">{label}</text>'
        )


def drawings(numbered: Numbered, *, each: bool) -> dict[str, str]:
    """Cloverleafs by file name: of every tRNA, or of every class.

    Parameters
    ----------
    numbered
        Numbered tRNAs; failed ones are not drawn.
    each
        One drawing a tRNA; else one an isotype (stated, or by the anticodon), and all.
    """
    usable = np.flatnonzero(numbered.usable("ok", "low", "unsupported"))
    drawn: dict[str, str] = {}
    if each:
        for i in usable:
            bases = {
                label: ALPHABET[code]
                for label, code in zip(LABELS, numbered.matrix[i], strict=True)
                if code < 5
            }
            drawn[_file_name(numbered.ids[i], drawn)] = cloverleaf_svg(
                bases, numbered.ids[i]
            )
        return drawn
    if not len(usable):
        return drawn
    groups = {"all": usable}
    classes = classes_of(numbered)
    for name in sorted({classes[i] for i in usable} - {""}):
        groups[name] = np.array([i for i in usable if classes[i] == name])
    for name, rows in groups.items():
        title = f"{'All' if name == 'all' else name}: {len(rows)} tRNAs"
        drawn[name] = class_cloverleaf(numbered.matrix[rows], title)
    return drawn


def _file_name(name: str, taken: Mapping[str, str]) -> str:
    """Give a safe file name that no other record has."""
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip(".") or "trna"
    count, candidate = 1, safe
    while candidate in taken:
        count += 1
        candidate = f"{safe}_{count}"
    return candidate
