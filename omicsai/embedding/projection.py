"""Two-dimensional map of embeddings, for looking at."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["project"]


def project(vectors: NDArray[np.float32], *, seed: int = 1) -> NDArray[np.float32]:
    """Place embeddings on a plane: 50 principal components, then t-SNE.

    Parameters
    ----------
    vectors
        (n, d) embeddings, standardised here per feature.
    seed
        Seed of t-SNE.

    Returns
    -------
    (n, 2) float32
        Coordinates; distances between far points mean little. With fewer than 10
        points, the first two principal components.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    if len(vectors) < 2:
        return np.zeros((len(vectors), 2), dtype=np.float32)
    scale = vectors.std(axis=0)
    standard = (vectors - vectors.mean(axis=0)) / np.where(scale > 0, scale, 1)
    n_components = min(50, *standard.shape)
    components = PCA(n_components, random_state=seed).fit_transform(standard)
    if len(vectors) < 10:
        plane = np.zeros((len(vectors), 2), dtype=np.float32)
        plane[:, : min(2, n_components)] = components[:, :2]
        return plane
    perplexity = min(30, (len(vectors) - 1) / 3)
    return TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(
        components
    )
