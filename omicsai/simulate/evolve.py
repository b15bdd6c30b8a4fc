"""Evolution of aligned protein families along trees: substitutions, insertions, deletions.

The substitution process is reversible and derived from BLOSUM62's joint probabilities; its
equilibrium is the family's own amino-acid composition. Sites evolve at gamma-distributed
rates, and indels come and go with geometric lengths.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from omicsai.sequences.alphabet import AMINO_ACIDS

__all__ = [
    "Family",
    "Tree",
    "background",
    "evolve_family",
    "profile_family",
    "random_family",
    "random_tree",
]

BLOSUM62_LAMBDA = 0.3176  # ungapped, nats per score unit (Altschul and Gish 1996)
INDEL_RATE = 0.02  # indel events per site and per substitution per site
MEAN_INDEL = 2.0
GAMMA_SHAPE = 0.7
RATE_CLASSES = 8
GAP = -1
SHORTEST = 5  # a lineage is never deleted below this many residues


@dataclass(frozen=True)
class Family:
    """A domain family: its root, its composition and its site rates.

    Attributes
    ----------
    root
        (L,) residue codes of the ancestor.
    equilibrium
        (20,) equilibrium frequencies.
    rate_class
        (L,) index of each site's rate.
    """

    root: NDArray[np.int64]
    equilibrium: NDArray[np.float64]
    rate_class: NDArray[np.int64]


@cache
def background() -> NDArray[np.float64]:
    """Amino-acid frequencies (20,) implied by BLOSUM62: solve Σ_j p_j exp(λ S_ij) = 1."""
    likelihood = _likelihood_ratios()
    p = np.linalg.solve(likelihood, np.ones(20))
    p = np.maximum(p, 1e-3)
    return p / p.sum()


def _likelihood_ratios() -> NDArray[np.float64]:
    from Bio.Align import substitution_matrices

    matrix = substitution_matrices.load("BLOSUM62")
    scores = np.array([[matrix[a, b] for b in AMINO_ACIDS] for a in AMINO_ACIDS])
    return np.exp(BLOSUM62_LAMBDA * scores)


@cache
def _exchangeability() -> NDArray[np.float64]:
    """Symmetric exchange rates (20, 20): BLOSUM62 likelihood ratios off the diagonal."""
    rates = _likelihood_ratios()
    np.fill_diagonal(rates, 0.0)
    return rates


def rate_matrix(equilibrium: NDArray[np.float64]) -> NDArray[np.float64]:
    """Reversible generator (20, 20) with one expected substitution per unit time."""
    Q = _exchangeability() * equilibrium[None, :]
    np.fill_diagonal(Q, -Q.sum(axis=1))
    return Q / -(equilibrium @ np.diag(Q))


@cache
def _rates() -> NDArray[np.float64]:
    """Mean rate (RATE_CLASSES,) of each equal-probability gamma class, mean 1."""
    from scipy.stats import gamma

    middle = (np.arange(RATE_CLASSES) + 0.5) / RATE_CLASSES
    rates = gamma.ppf(middle, GAMMA_SHAPE, scale=1 / GAMMA_SHAPE)
    return rates / rates.mean()


def random_family(rng: np.random.Generator, length: int, *, spread: float) -> Family:
    """Invent a family.

    Parameters
    ----------
    rng
        Source of randomness.
    length
        Number of residues of the root.
    spread
        How far the composition strays from the background: 0 not at all; families of real
        folds differ by about 0.3.

    Returns
    -------
    Family
        With its root drawn from its own composition.
    """
    equilibrium = background() * np.exp(rng.normal(0, spread, 20))
    equilibrium /= equilibrium.sum()
    return Family(
        root=rng.choice(20, size=length, p=equilibrium),
        equilibrium=equilibrium,
        rate_class=rng.integers(RATE_CLASSES, size=length),
    )


def profile_family(
    rng: np.random.Generator, emissions: NDArray[np.float64], *, sharpness: float
) -> Family:
    """Draw a family from a profile HMM.

    Parameters
    ----------
    rng
        Source of randomness.
    emissions
        (L, 20) emission probabilities of the match states, in the order of `AMINO_ACIDS`.
    sharpness
        Power that emissions are raised to before roots are drawn from them: 1 is the
        profile itself, above it two roots are more alike.

    Returns
    -------
    Family
        With a root of one residue per match state, the profile's mean composition as
        equilibrium, and rates by conservation: the more a position's emissions say, the
        slower it evolves.
    """
    p = emissions**sharpness
    p = p / p.sum(axis=1, keepdims=True)
    steps = p.cumsum(axis=1)
    root = (steps < rng.random(len(p))[:, None] * steps[:, -1:]).sum(axis=1)
    equilibrium = p.mean(axis=0)
    information = (p * np.log(p.clip(1e-9) / background())).sum(axis=1)
    ranks = np.argsort(np.argsort(-information, kind="stable"), kind="stable")
    return Family(
        root=root,
        equilibrium=equilibrium / equilibrium.sum(),
        rate_class=ranks * RATE_CLASSES // len(p),
    )


@dataclass(frozen=True)
class Tree:
    """A pure-birth (Yule) tree as its splits in order of time.

    Attributes
    ----------
    depth
        Substitutions per site between root and every tip.
    splits
        For each split its time from the root and the lineage that splits; the new
        lineage takes the next free number.
    """

    depth: float
    splits: list[tuple[float, int]]


def random_tree(rng: np.random.Generator, tips: int, *, depth: float) -> Tree:
    """Draw a tree of `tips` tips whose root is `depth` substitutions per site away."""
    times = np.sort(rng.uniform(0, depth, size=tips - 1))
    return Tree(depth, [(float(t), int(rng.integers(n + 1))) for n, t in enumerate(times)])


@dataclass
class _Lineage:
    """Residues of one node, each tied to a column of the family's alignment."""

    columns: NDArray[np.int64]
    residues: NDArray[np.int64]


class _Alignment:
    """Columns of a growing alignment: their rate classes and their order."""

    def __init__(self, family: Family) -> None:
        self.rate_class = [int(c) for c in family.rate_class]
        self.order = list(range(len(self.rate_class)))

    def insert(self, rng: np.random.Generator, after: int, count: int) -> list[int]:
        """Add `count` new columns behind the column `after`."""
        new = list(range(len(self.rate_class), len(self.rate_class) + count))
        self.rate_class += [int(c) for c in rng.integers(RATE_CLASSES, size=count)]
        at = self.order.index(after) + 1
        self.order[at:at] = new
        return new


def evolve_family(
    rng: np.random.Generator, family: Family, tree: Tree, *, stem: float
) -> list[str]:
    """Evolve a family along a tree and return its true alignment.

    Parameters
    ----------
    rng
        Source of randomness.
    family
        Root, composition and rates.
    tree
        Tree of the tips.
    stem
        Substitutions per site between the family's root and the tree's root.

    Returns
    -------
    list of str
        One aligned row per tip, of equal length, gaps as ``-``.
    """
    values, vectors, inverse = _decompose(family.equilibrium)
    alignment = _Alignment(family)

    def along(node: _Lineage, time: float) -> _Lineage:
        grown = np.exp(values * _rates()[:, None] * time)
        transition = np.einsum("ik,rk,kj->rij", vectors, grown, inverse)
        cumulative = transition.clip(0).cumsum(axis=2)
        rates = np.array(alignment.rate_class)[node.columns]
        steps = cumulative[rates, node.residues]
        drawn = rng.random(len(node.residues))[:, None] * steps[:, -1:]
        moved = _Lineage(node.columns, (steps < drawn).sum(axis=1))
        for _ in range(rng.poisson(INDEL_RATE * time * len(moved.residues))):
            moved = _indel(rng, moved, alignment, family.equilibrium)
        return moved

    root = _Lineage(np.arange(len(family.root)), family.root)
    lineages = [along(root, stem)]
    now = 0.0
    for time, parent in [*tree.splits, (tree.depth, -1)]:
        lineages = [along(node, time - now) for node in lineages]
        now = time
        if parent >= 0:
            lineages.append(lineages[parent])
    return _aligned(lineages, alignment.order)


def _decompose(equilibrium: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """Eigenvalues, eigenvectors and their inverse of the reversible generator."""
    root = np.sqrt(equilibrium)
    Q = rate_matrix(equilibrium)
    values, symmetric = np.linalg.eigh(Q * root[:, None] / root[None, :])
    return values, symmetric / root[:, None], symmetric.T * root[None, :]


def _indel(
    rng: np.random.Generator,
    node: _Lineage,
    alignment: _Alignment,
    equilibrium: NDArray,
) -> _Lineage:
    """Insert or delete a run of geometric length at a random place."""
    length = int(rng.geometric(1 / MEAN_INDEL))
    at = int(rng.integers(len(node.columns)))
    if rng.random() < 0.5:
        if len(node.columns) - length < SHORTEST:
            return node
        cut = slice(at, at + length)
        return _Lineage(np.delete(node.columns, cut), np.delete(node.residues, cut))
    columns = alignment.insert(rng, int(node.columns[at]), length)
    residues = rng.choice(20, size=length, p=equilibrium)
    return _Lineage(
        np.insert(node.columns, at + 1, columns),
        np.insert(node.residues, at + 1, residues),
    )


def _aligned(leaves: list[_Lineage], order: list[int]) -> list[str]:
    place = {column: i for i, column in enumerate(order)}
    grid = np.full((len(leaves), len(order)), GAP)
    for row, leaf in enumerate(leaves):
        grid[row, [place[c] for c in leaf.columns]] = leaf.residues
    used = (grid != GAP).any(axis=0)
    letters = np.array([*AMINO_ACIDS, "-"])
    return ["".join(letters[row]) for row in grid[:, used]]
