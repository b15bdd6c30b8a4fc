"""Graphs over sequences: connected components, clusters, size-capped pieces."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

__all__ = ["adjacency", "capped_linkage", "components", "star_clusters"]


def adjacency(n: int, first: NDArray, second: NDArray) -> csr_matrix:
    """Symmetric (n, n) matrix with a one for each edge, however often it is listed."""
    a, b = np.concatenate([first, second]), np.concatenate([second, first])
    matrix = csr_matrix((np.ones(len(a), dtype=np.float32), (a, b)), shape=(n, n))
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


def components(n: int, first: NDArray, second: NDArray) -> NDArray[np.int64]:
    """Label the connected component of each vertex: (n,), by first vertex."""
    _, label = connected_components(adjacency(n, first, second), directed=False)
    return label.astype(np.int64)


def star_clusters(graph: csr_matrix) -> NDArray[np.int64]:
    """Greedy set cover: the vertex with most neighbours takes all that are still free.

    Parameters
    ----------
    graph
        (n, n) symmetric adjacency.

    Returns
    -------
    (n,) int64
        Index of each vertex's representative, which is itself or a neighbour.
    """
    n = graph.shape[0]
    degree = np.diff(graph.indptr)
    representative = np.full(n, -1, dtype=np.int64)
    for v in np.argsort(-degree, kind="stable"):
        if representative[v] < 0:
            around = graph.indices[graph.indptr[v] : graph.indptr[v + 1]]
            representative[around[representative[around] < 0]] = v
            representative[v] = v
    return representative


def capped_linkage(
    n: int, first: NDArray, second: NDArray, strength: NDArray, cap: int
) -> NDArray[np.int64]:
    """Single linkage from the strongest edge on that never makes a piece above a size.

    Parameters
    ----------
    n
        Number of vertices.
    first, second, strength
        (m,) ends and strength of the edges.
    cap
        Largest size of a piece.

    Returns
    -------
    (n,) int64
        Piece of each vertex, from 0.
    """
    parent = np.arange(n)
    size = np.ones(n, dtype=np.int64)

    def root(v: int) -> int:
        while parent[v] != v:
            parent[v] = parent[parent[v]]
            v = parent[v]
        return v

    for e in np.argsort(-strength, kind="stable"):
        a, b = root(int(first[e])), root(int(second[e]))
        if a != b and size[a] + size[b] <= cap:
            if size[a] < size[b]:
                a, b = b, a
            parent[b] = a
            size[a] += size[b]
    _, piece = np.unique([root(v) for v in range(n)], return_inverse=True)
    return piece.astype(np.int64)
