"""The canonical (Sprinzl) axis of a tRNA: labels, regions and base pairs.

Sprinzl et al. 1998 (Nucleic Acids Res. 26:148). A variable loop of four has 44, 45, 46 and
48 (47 is the empty one); the long variable arm carries e11-e17, e1-e5 and e27-e21. Bases
beyond these are insertions, named after the position they follow: ``17ai1``, ``e5i2``.
"""

from __future__ import annotations

__all__ = [
    "ANTICODON",
    "INDEX",
    "LABELS",
    "REGIONS",
    "STEM_PAIRS",
]

ARM_5 = tuple(f"e1{k}" for k in range(1, 8))
ARM_LOOP = tuple(f"e{k}" for k in range(1, 6))
ARM_3 = tuple(f"e2{k}" for k in range(7, 0, -1))
LABELS: tuple[str, ...] = (
    "-1",
    *map(str, range(1, 18)), "17a", "18", "19", "20", "20a", "20b",
    *map(str, range(21, 46)), *ARM_5, *ARM_LOOP, *ARM_3, *map(str, range(46, 77)),
)  # fmt: skip
INDEX: dict[str, int] = {label: index for index, label in enumerate(LABELS)}
ANTICODON = ("34", "35", "36")


def _stem(first: int, last: int, partner: int) -> list[tuple[str, str]]:
    return [(str(first + k), str(partner - k)) for k in range(last - first + 1)]


STEM_PAIRS: tuple[tuple[str, str], ...] = (
    *_stem(1, 7, 72), *_stem(10, 13, 25), *_stem(27, 31, 43), *_stem(49, 53, 65),
)  # fmt: skip


def _region(label: str) -> str:
    if label in (*ARM_5, *ARM_LOOP, *ARM_3):
        return "variable_arm"
    number = int(label.rstrip("ab"))
    ends = (
        (0, "leader"), (7, "acceptor_stem"), (9, "linker"), (13, "d_stem"),
        (21, "d_loop"), (25, "d_stem"), (26, "linker"), (31, "anticodon_stem"),
        (38, "anticodon_loop"), (43, "anticodon_stem"), (48, "variable_loop"),
        (53, "t_stem"), (60, "t_loop"), (65, "t_stem"), (72, "acceptor_stem"),
        (73, "discriminator"), (76, "cca"),
    )  # fmt: skip
    return next(name for end, name in ends if number <= end)


REGIONS: dict[str, str] = {label: _region(label) for label in LABELS}
