"""Minimum weighted vertex cover: the fewest sequences whose removal cuts all edges."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

__all__ = ["vertex_cover"]


def vertex_cover(
    first: ArrayLike,
    second: ArrayLike,
    weight: ArrayLike,
    *,
    side: ArrayLike | None = None,
) -> tuple[NDArray[np.bool_], int]:
    """Find a set of vertices that touches every edge, of least or nearly least weight.

    With two sides the minimum cover is a minimum cut (König 1931 for unit weights). In
    general the linear relaxation is half-integral and is a minimum cut of the bipartite
    double cover; its value bounds every cover from below, vertices at 0 and 1 keep their
    value in some optimal cover (Nemhauser and Trotter 1975), and those at one half are
    covered greedily and pruned.

    Parameters
    ----------
    first, second
        (m,) ends of the edges.
    weight
        (n,) positive integer weights.
    side
        (n,) booleans that colour the graph in two, if it can be.

    Returns
    -------
    cover : (n,) bool
        The vertices chosen.
    bound : int
        No cover weighs less; with `side` this is the weight of the cover.
    """
    a = np.asarray(first, dtype=np.int64)
    b = np.asarray(second, dtype=np.int64)
    w = np.asarray(weight, dtype=np.int64)
    n = len(w)
    if not len(a):
        return np.zeros(n, dtype=bool), 0
    used = np.unique(np.concatenate([a, b]))
    a, b, w_used = np.searchsorted(used, a), np.searchsorted(used, b), w[used]
    chosen = np.zeros(n, dtype=bool)
    if side is not None:
        left = np.asarray(side, dtype=bool)[used]
        swap = left[b]
        x, y = np.where(swap, b, a), np.where(swap, a, b)
        inside, value = _minimum_cut(x, y, w_used, w_used)
        cover = np.where(left, inside[0], inside[1])
        chosen[used] = cover
        return chosen, value
    inside, value = _minimum_cut(
        np.concatenate([a, b]), np.concatenate([b, a]), w_used, w_used
    )
    whole, half = inside[0] & inside[1], inside[0] ^ inside[1]
    open_edges = half[a] & half[b]
    cover = whole | _greedy_cover(a[open_edges], b[open_edges], w_used)
    _prune(cover, a, b, w_used)
    chosen[used] = cover
    return chosen, -(-value // 2)


def _minimum_cut(
    x: NDArray, y: NDArray, left: NDArray, right: NDArray
) -> tuple[NDArray[np.bool_], int]:
    """Minimum vertex cover of a bipartite graph with sides of n vertices each.

    Returns
    -------
    cover : (2, n) bool
        Cover on the left and on the right side.
    value : int
        Its weight.
    """
    n = len(left)
    source, sink = 2 * n, 2 * n + 1
    endless = np.int64(min(int(left.sum()) + 1, np.iinfo(np.int32).max))
    edges = np.unique(np.stack([x, y + n]), axis=1)
    heads = np.concatenate([np.full(n, source), edges[0], np.arange(n, 2 * n)])
    tails = np.concatenate([np.arange(n), edges[1], np.full(n, sink)])
    room = np.concatenate([left, np.full(edges.shape[1], endless), right])
    graph = csr_matrix(
        (room.astype(np.int32), (heads, tails)), shape=(2 * n + 2, 2 * n + 2)
    )
    solved = maximum_flow(graph, source, sink)
    rest = (graph - solved.flow).tocsr()
    rest.data = (rest.data > 0).astype(np.int32)
    rest.eliminate_zeros()
    reached = np.zeros(2 * n + 2, dtype=bool)
    reached[breadth_first_order(rest, source, return_predecessors=False)] = True
    return np.stack([~reached[:n], reached[n : 2 * n]]), int(solved.flow_value)


def _greedy_cover(a: NDArray, b: NDArray, weight: NDArray) -> NDArray[np.bool_]:
    """Cover edges by taking again and again the vertex with most open edges per weight."""
    import heapq

    n = len(weight)
    cover = np.zeros(n, dtype=bool)
    if not len(a):
        return cover
    graph = csr_matrix(
        (np.ones(2 * len(a), dtype=np.int8), (np.r_[a, b], np.r_[b, a])), shape=(n, n)
    )
    degree = np.diff(graph.indptr)
    heap = [
        (-d / w, v, d) for v, (d, w) in enumerate(zip(degree, weight, strict=True)) if d
    ]
    heapq.heapify(heap)
    while heap:
        _, v, d = heapq.heappop(heap)
        if cover[v] or degree[v] == 0:
            continue
        if d != degree[v]:
            heapq.heappush(heap, (-degree[v] / weight[v], v, degree[v]))
            continue
        cover[v] = True
        for u in graph.indices[graph.indptr[v] : graph.indptr[v + 1]]:
            degree[u] -= not cover[u]
        degree[v] = 0
    return cover


def _prune(cover: NDArray, a: NDArray, b: NDArray, weight: NDArray) -> None:
    """Drop vertices that are not needed, the heaviest first."""
    n = len(cover)
    graph = csr_matrix(
        (np.ones(2 * len(a), dtype=np.int8), (np.r_[a, b], np.r_[b, a])), shape=(n, n)
    )
    chosen = np.flatnonzero(cover)
    for v in chosen[np.argsort(-weight[chosen], kind="stable")]:
        cover[v] = not cover[graph.indices[graph.indptr[v] : graph.indptr[v + 1]]].all()
