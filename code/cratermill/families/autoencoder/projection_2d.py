"""Latents on a plane."""

from __future__ import annotations

import numpy as np

MOST = {"pca": 1_000_000, "tsne": 5_000, "umap": 20_000}
"""Points that a view is made of; a random choice of more."""


def plane(features: np.ndarray, view: str, seed: int = 0) -> tuple[np.ndarray, np.ndarray, dict[str, float]]:
    """Row numbers (M,), their places (M, 2), and for ``pca`` the share of the variance that the axes hold."""
    count = len(features)
    chosen = (
        np.arange(count) if count <= MOST[view] else np.sort(np.random.default_rng([seed, 11]).choice(count, MOST[view], replace=False))
    )
    if view == "pca":
        from sklearn.decomposition import PCA

        fitted = PCA(min(2, *features.shape)).fit(features[chosen])
        places = fitted.transform(features[chosen])
        places = np.column_stack([places, np.zeros((len(chosen), 2 - places.shape[1]))])
        return chosen, places, {f"PC{number + 1}": float(share) for number, share in enumerate(fitted.explained_variance_ratio_)}
    return chosen, (_tsne if view == "tsne" else _umap)(features[chosen], seed), {}


def _tsne(features: np.ndarray, seed: int) -> np.ndarray:
    from sklearn.manifold import TSNE

    return TSNE(perplexity=min(30, (len(features) - 1) / 3), init="pca", random_state=seed).fit_transform(features)


def _umap(features: np.ndarray, seed: int) -> np.ndarray:
    from umap import UMAP

    return UMAP(n_neighbors=min(15, len(features) - 1), random_state=seed, n_jobs=1).fit_transform(features)
