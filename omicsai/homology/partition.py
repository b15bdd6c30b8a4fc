"""Partition a graph into parts without an edge between them, removing the least.

Connected components are placed whole while they fit. One that fits nowhere is cut: into
pieces by size-capped single linkage, the pieces to parts by their edges, single vertices
moved while that cuts fewer edges, and the edges still between parts covered by the fewest
vertices (`omicsai.homology.cover`). What was removed returns where that is safe.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import minimum_spanning_tree

from omicsai.errors import InputError
from omicsai.homology.balance import group_counts, lonely, place_groups
from omicsai.homology.cover import vertex_cover
from omicsai.homology.graph import adjacency, capped_linkage, components

__all__ = ["Partition", "partition_graph"]

REMOVED = -1
PIECES_PER_PART = (1, 2, 4, 8, 16)  # how finely a component is cut before pieces move
MOVE_SWEEPS = 8
RETURN_PASSES = 5


@dataclass(frozen=True)
class Partition:
    """A partition.

    Attributes
    ----------
    part
        (n,) part of each vertex, -1 for removed.
    cut_components
        How many components were too large for every part and were cut.
    removal_bound
        For these cuts no cover of the edges between parts is smaller: the exact minimum
        for two parts, the bound of the linear relaxation for more; 0 without a cut.
    covered
        Size of the cover found, before vertices returned.
    """

    part: NDArray[np.int64]
    cut_components: int = 0
    removal_bound: int = 0
    covered: int = 0


def partition_graph(
    n: int,
    first: NDArray,
    second: NDArray,
    strength: NDArray,
    strata: ArrayLike,
    fractions: ArrayLike,
    *,
    tolerance: float = 0.05,
    fixed: NDArray | None = None,
    unremovable: NDArray | None = None,
    start: NDArray | None = None,
    settled: bool = False,
    classes: NDArray | None = None,
    seed: int = 1,
) -> Partition:
    """Partition vertices so that no edge joins two parts.

    Parameters
    ----------
    n
        Number of vertices.
    first, second, strength
        (m,) ends of the edges and how strongly they bind.
    strata
        (n, k) membership in k strata.
    fractions
        (p,) target shares of the parts.
    tolerance
        By how much of all vertices a part may exceed its target before a component is cut.
    fixed
        (n,) part that a vertex stays in, -1 if it is free.
    unremovable
        (n,) vertices that must be in some part.
    start
        (n,) parts of an earlier partition of the same vertices, kept as far as the edges
        allow.
    settled
        What `start` has in some part moves for its edges alone, not for balance.
    classes
        (n, c) membership in classes; one that lives in one component only stays in part 0,
        where it can be learned. None keeps none.
    seed
        Of every random choice.

    Returns
    -------
    Partition
        Of the vertices in the given order.

    Raises
    ------
    InputError
        If fixed or unremovable vertices cannot all stay, or a part would be empty.
    """
    membership = np.asarray(strata, dtype=np.float64).reshape(n, -1)
    shares = np.asarray(fractions, dtype=np.float64)
    shares = shares / shares.sum()
    fixed = np.full(n, -1, dtype=np.int64) if fixed is None else fixed
    if n < len(shares):
        raise InputError(
            f"{n} sequence{'' if n == 1 else 's'} cannot fill {len(shares)} parts: add "
            "sequences or ask for fewer parts"
        )
    stays = (fixed >= 0) | (np.zeros(n, dtype=bool) if unremovable is None else unremovable)
    room = np.ceil((shares + tolerance) * n)
    graph = adjacency(n, first, second)
    component = components(n, first, second)
    size = np.bincount(component)
    own = _own_part(component, fixed)
    if classes is not None:
        alone = lonely(component, classes, len(shares)) & (own == -1)
        if size[alone | (own == 0)].sum() <= room[0]:
            own = np.where(alone, 0, own)
    begin = _majority(component, start, own, len(shares))
    part = np.full(n, REMOVED, dtype=np.int64)
    binding = None
    cut: list[NDArray[np.int64]] = []
    members = np.split(np.argsort(component, kind="stable"), np.cumsum(size)[:-1])
    filled = np.zeros(len(shares), dtype=np.int64)
    # kept vertices first, then largest first: small components fit anywhere
    for c in np.lexsort((-size, own == -1)):
        where = members[c]
        home = _home(int(size[c]), int(own[c]), int(begin[c]), filled, shares * n, room)
        if home != REMOVED:
            part[where] = home
            filled[home] += size[c]
            continue
        cut.append(where)
        if start is not None:  # an earlier cut stays, and what it removed may return
            part[where] = np.where(fixed[where] >= 0, fixed[where], start[where])
        else:
            if binding is None:
                binding = _strengths(n, first, second, strength)
            part[where] = _cut(
                graph[where][:, where],
                binding[where][:, where],
                fixed[where],
                stays[where],
                np.maximum(room - filled, 0),
                seed,
            )
        placed = part[where][part[where] >= 0]
        filled += np.bincount(placed, minlength=len(shares))
    bound = covered = 0
    for where in cut:
        local, low = _cover(graph[where][:, where], part[where], fixed[where], stays[where])
        bound, covered = bound + low, covered + int((local == REMOVED).sum())
        part[where] = local
    if cut:
        _return_removed(graph, part, fixed, room, shares * n)
    held = fixed
    if settled and start is not None:
        held = np.where(start >= 0, part, fixed)
    _balance(graph, part, membership, held, own[component], shares, room, start, seed)
    if cut:
        _return_removed(graph, part, fixed, room, shares * n)
    _refuse_empty(part, size, n, len(shares))
    return Partition(part, len(cut), bound, covered)


# --- packing components ------------------------------------------------------------------


def _own_part(component: NDArray, fixed: NDArray) -> NDArray[np.int64]:
    """Part of each component that has fixed vertices; -1 free, -2 of several parts."""
    own = np.full(int(component.max(initial=-1)) + 1, -1, dtype=np.int64)
    for v in np.flatnonzero(fixed >= 0):
        c, p = component[v], fixed[v]
        own[c] = p if own[c] in (-1, p) else -2
    return own


def _majority(
    component: NDArray, start: NDArray | None, own: NDArray, parts: int
) -> NDArray[np.int64]:
    """Part that most of each component is in at the start, -1 if in none."""
    if start is None:
        return np.full(len(own), -1, dtype=np.int64)
    votes = np.zeros((len(own), parts), dtype=np.int64)
    placed = start >= 0
    np.add.at(votes, (component[placed], start[placed]), 1)
    return np.where(votes.any(axis=1), votes.argmax(axis=1), -1)


def _home(
    size: int, own: int, begin: int, filled: NDArray, target: NDArray, room: NDArray
) -> int:
    """Part for a whole component; -1 if it fits nowhere or is held by several parts."""
    if own >= 0:
        return own
    fits = filled + size <= room
    if own == -2 or not fits.any():
        return REMOVED
    if begin >= 0 and fits[begin]:
        return begin
    return int(np.argmax(np.where(fits, target - filled, -np.inf)))


def _balance(
    graph: csr_matrix,
    part: NDArray,
    membership: NDArray,
    fixed: NDArray,
    own: NDArray,
    shares: NDArray,
    room: NDArray,
    start: NDArray | None,
    seed: int,
) -> None:
    """Move whole components of what is kept, for sizes and strata; in place."""
    kept = np.flatnonzero(part >= 0)
    edges = graph[kept][:, kept].tocoo()
    group = components(len(kept), edges.row, edges.col)
    n_groups = int(group.max(initial=-1)) + 1
    held = np.full(n_groups, -1, dtype=np.int64)
    for source in (own[kept], fixed[kept]):
        bound = source >= 0
        held[group[bound]] = source[bound]
    begin = np.full(n_groups, -1, dtype=np.int64)
    counts = group_counts(group, membership[kept])
    # small components are placed by their strata, large ones stay where they fitted
    large = counts[:, -1] > shares.min() * len(part) / 20
    begin[group] = np.where(
        large[group] if start is None else np.ones(len(kept), dtype=bool), part[kept], -1
    )
    part[kept] = place_groups(
        counts, shares, fixed=held, start=begin, room=room, swap=start is None, seed=seed
    )[group]


def _refuse_empty(part: NDArray, size: NDArray, n: int, parts: int) -> None:
    filled = np.bincount(part[part >= 0], minlength=parts)
    if (filled == 0).any():
        raise InputError(
            f"{n} sequences cannot fill {parts} parts without a pair of similar ones "
            f"between them: {int(size.max(initial=0))} of them are one connected family; "
            "raise the identity or the coverage threshold, ask for fewer parts, or add "
            "more diverse sequences"
        )


# --- cutting a component that fits nowhere -----------------------------------------------


def _strengths(n: int, first: NDArray, second: NDArray, strength: NDArray) -> csr_matrix:
    """Symmetric matrix of the largest strength of each edge."""
    a, b = np.concatenate([first, second]), np.concatenate([second, first])
    s = np.concatenate([strength, strength]).astype(np.float64)
    order = np.lexsort((-s, b, a))
    a, b, s = a[order], b[order], s[order]
    new = np.ones(len(a), dtype=bool)
    new[1:] = (a[1:] != a[:-1]) | (b[1:] != b[:-1])
    return csr_matrix((np.maximum(s[new], 1e-6), (a[new], b[new])), shape=(n, n))


def _cut(
    graph: csr_matrix,
    binding: csr_matrix,
    fixed: NDArray,
    stays: NDArray,
    left: NDArray,
    seed: int,
) -> NDArray[np.int64]:
    """Divide one component over the room that is left; the best of several attempts.

    Returns
    -------
    (g,) int64
        Part of each vertex; edges may still cross.
    """
    rng = np.random.default_rng(seed)
    tree = minimum_spanning_tree(
        csr_matrix((1.0 / binding.data, binding.indices, binding.indptr), binding.shape)
    ).tocoo()
    best, fewest = None, (np.inf, np.inf)
    for pieces in PIECES_PER_PART:
        cap = max(int(left[left > 0].min(initial=1)) // pieces, 1)
        piece = capped_linkage(graph.shape[0], tree.row, tree.col, 1 / tree.data, cap)
        for order in (np.argsort(-left, kind="stable"), np.argsort(left, kind="stable")):
            part = _grow(graph, piece, fixed, left, order, rng)
            _move_vertices(graph, part, fixed, left)
            covered, _ = _cover(graph, part, fixed, stays, strict=False)
            held = np.bincount(covered[covered >= 0], minlength=len(left))
            score = (int((covered == REMOVED).sum()), float(-(held > 0).sum()))
            if score < fewest:
                best, fewest = part, score
        if cap == 1:
            break
    assert best is not None
    return best


def _grow(
    graph: csr_matrix,
    piece: NDArray,
    fixed: NDArray,
    left: NDArray,
    order: NDArray,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Fill the parts one after the other with the pieces most bound to what they hold."""
    n_pieces = int(piece.max()) + 1
    member = csr_matrix(
        (np.ones(len(piece), dtype=np.float32), (np.arange(len(piece)), piece)),
        shape=(len(piece), n_pieces),
    )
    links = (member.T @ graph @ member).tocsr()
    links.setdiag(0)
    size = np.bincount(piece)
    free = np.ones(n_pieces, dtype=bool)
    home = np.full(n_pieces, REMOVED, dtype=np.int64)
    weight = np.asarray(links.sum(axis=1)).ravel()
    for p in order:
        room = left[p]
        pull = np.zeros(n_pieces)
        while True:
            open_pieces = free & (size <= room)
            if not open_pieces.any():
                break
            # most bound to this part, least to the rest
            score = np.where(open_pieces, pull - (weight - pull), -np.inf)
            if not pull.any():
                score = np.where(open_pieces, size if p == order[0] else -weight, -np.inf)
            chosen = int(np.argmax(score))
            home[chosen], free[chosen] = p, False
            room -= size[chosen]
            row = slice(links.indptr[chosen], links.indptr[chosen + 1])
            pull[links.indices[row]] += links.data[row]
    part = home[piece]
    part[fixed >= 0] = fixed[fixed >= 0]
    return part


def _move_vertices(graph: csr_matrix, part: NDArray, fixed: NDArray, left: NDArray) -> None:
    """Move single vertices while that cuts fewer edges and fits; in place."""
    n_parts = len(left)
    inside = np.flatnonzero(part >= 0)
    one_hot = np.zeros((len(part), n_parts), dtype=np.float32)
    one_hot[inside, part[inside]] = 1
    links = graph @ one_hot
    filled = one_hot.sum(axis=0)
    for _ in range(MOVE_SWEEPS):
        here = np.where(part >= 0, links[np.arange(len(part)), part], -1)
        gain = links.max(axis=1) - here
        moved = False
        candidates = np.flatnonzero((gain > 0) & (fixed < 0))
        for v in candidates[np.argsort(-gain[candidates], kind="stable")]:
            home = part[v]
            fits = filled + 1 <= left
            pull = np.where(fits, links[v], -np.inf)
            best = int(np.argmax(pull))
            if best == home or pull[best] <= (links[v, home] if home >= 0 else -1):
                continue
            around = graph.indices[graph.indptr[v] : graph.indptr[v + 1]]
            if home >= 0:
                links[around, home] -= 1
                filled[home] -= 1
            links[around, best] += 1
            filled[best] += 1
            part[v], moved = best, True
        if not moved:
            return


def _cover(
    graph: csr_matrix,
    part: NDArray,
    fixed: NDArray,
    stays: NDArray,
    *,
    strict: bool = True,
) -> tuple[NDArray[np.int64], int]:
    """Remove the fewest vertices so that no edge joins two parts.

    Returns
    -------
    part : (n,) int64
        With -1 for what was removed, and for what was in no part before.
    bound : int
        Least number that had to go.
    """
    part = part.copy()
    edges = graph.tocoo()
    a, b = edges.row, edges.col
    once = (a < b) & (part[a] >= 0) & (part[b] >= 0) & (part[a] != part[b])
    a, b = a[once], b[once]
    # what must stay pushes out whatever it touches across
    clash = stays[a] & stays[b]
    if clash.any() and strict:
        raise InputError(
            f"{int(clash.sum())} pairs of similar sequences that must stay are in "
            "different parts, or fit into no part together: release one of each pair"
        )
    forced = np.unique(np.concatenate([b[stays[a] & ~stays[b]], a[stays[b] & ~stays[a]]]))
    part[forced] = REMOVED
    still = (part[a] >= 0) & (part[b] >= 0) & ~clash
    a, b = a[still], b[still]
    bound = len(forced)
    used = np.unique(part[np.concatenate([a, b])])
    side = part == used[0] if len(used) == 2 else None
    cover, low = vertex_cover(a, b, np.ones(len(part), dtype=np.int64), side=side)
    part[cover] = REMOVED
    return part, bound + low


# --- returning what was removed ----------------------------------------------------------


def _return_removed(
    graph: csr_matrix, part: NDArray, fixed: NDArray, room: NDArray, target: NDArray
) -> None:
    """Put removed vertices back where all they touch is in one part, or can be; in place.

    The components that a vertex touches may move together into one part if its room
    allows; a component with fixed vertices stays.
    """
    least = np.maximum(target - (room - target), 1)
    kept = np.flatnonzero(part >= 0)
    edges = graph[kept][:, kept].tocoo()
    group = np.full(len(part), -1, dtype=np.int64)
    group[kept] = components(len(kept), edges.row, edges.col)
    n_groups = int(group.max(initial=-1)) + 1
    parent = list(range(n_groups))
    size = list(np.bincount(group[kept], minlength=n_groups))
    home = [REMOVED] * n_groups
    held = [False] * n_groups
    for v in kept:
        home[group[v]] = int(part[v])
        held[group[v]] |= bool(fixed[v] >= 0)
    filled = np.bincount(part[kept], minlength=len(room)).astype(float)

    def root(g: int) -> int:
        while parent[g] != g:
            parent[g] = parent[parent[g]]
            g = parent[g]
        return g

    def touched(v: int) -> list[int]:
        around = group[graph.indices[graph.indptr[v] : graph.indptr[v + 1]]]
        return sorted({root(int(g)) for g in around[around >= 0]})

    for _ in range(RETURN_PASSES):
        returned = False
        out = np.flatnonzero(group < 0)
        cost = [sum(size[g] for g in touched(int(v))) for v in out]
        for v in out[np.argsort(cost, kind="stable")]:
            groups = touched(int(v))
            goal = _best_part(groups, size, home, held, filled, room, least)
            if goal is None:
                continue
            for g in groups:
                filled[home[g]] -= size[g]
                filled[goal] += size[g]
            filled[goal] += 1
            parent.append(len(parent))
            size.append(1 + sum(size[g] for g in groups))
            home.append(goal)
            held.append(any(held[g] for g in groups) or bool(fixed[v] >= 0))
            for g in groups:
                parent[g] = len(parent) - 1
            group[v] = len(parent) - 1
            returned = True
        if not returned:
            break
    for v in np.flatnonzero(group >= 0):
        part[v] = home[root(int(group[v]))]


def _best_part(
    groups: list[int],
    size: list[int],
    home: list[int],
    held: list[bool],
    filled: NDArray,
    room: NDArray,
    least: NDArray,
) -> int | None:
    """Part in which the groups and one more vertex can be together, moving the least."""
    best, fewest = None, np.inf
    for p in range(len(room)):
        moving = [g for g in groups if home[g] != p]
        if any(held[g] for g in moving):
            continue
        after = filled.copy()
        for g in moving:
            after[home[g]] -= size[g]
            after[p] += size[g]
        after[p] += 1
        touched = {home[g] for g in moving}
        if after[p] > room[p] or any(after[q] < least[q] for q in touched):
            continue
        moved = sum(size[g] for g in moving)
        # a vertex that touches nothing goes where most is missing
        rank = moved + after[p] / room[p] / 2
        if rank < fewest:
            best, fewest = p, rank
    return best
