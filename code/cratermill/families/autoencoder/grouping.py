"""Grouping latents: what is taken out of them first, which method groups them, and into how many."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from .hparams import Hparams

MOST = {"kmeans": 50_000, "gmm": 50_000, "spectral": 4_000, "agglomerative": 6_000, "hdbscan": 20_000}
"""Latents that a method is fitted on; what is beyond joins the cluster with the nearest mean."""
JUDGED = 4_000
"""Latents on which silhouettes are taken."""
NEIGHBOURS = 5
"""Crops that make a dense place for hdbscan, and at least a cluster."""
BLOCK = 100_000
"""Latents that are given to clusters at a time."""
STARTS = 10
"""Random starts of k-means and mixtures, the best of which is kept."""


@dataclass(frozen=True)
class Recipe:
    """How latents are grouped; ``count`` None: the best of 2…``most`` by silhouette, for ``gmm`` by BIC. ``hdbscan`` finds its own."""

    method: str = "kmeans"
    count: int | None = None
    most: int = 10
    pca: int | None = None
    regress_out: str = "none"

    @classmethod
    def of(cls, row: Hparams) -> Recipe:
        return cls(row.cluster_method, row.clusters, row.cluster_max, row.cluster_pca, row.cluster_regress_out)


@dataclass(frozen=True)
class Clustering:
    """Labels (N,) of latents, −1 for none, and what is needed to group further ones: cleaning, axes and the clusters' means."""

    labels: np.ndarray
    features: np.ndarray
    coefficients: np.ndarray
    mean: np.ndarray
    axes: np.ndarray
    centres: np.ndarray
    usual: np.ndarray
    """Means (P,) of the nuisances, which stand for unknown ones."""

    @property
    def count(self) -> int:
        return len(self.centres)

    def assign(self, latents: np.ndarray, nuisances: np.ndarray) -> np.ndarray:
        """The cluster with the nearest mean, for latents (M, D) and their nuisances (M, P)."""
        parts = [slice(start, start + BLOCK) for start in range(0, max(len(latents), 1), BLOCK)]
        return np.concatenate([nearest_mean(self.features_of(latents[part], nuisances[part]), self.centres) for part in parts])

    def features_of(self, latents: np.ndarray, nuisances: np.ndarray) -> np.ndarray:
        """Latents (M, D) as they are grouped, (M, d)."""
        if nuisances.shape[1] != len(self.usual):
            raise InputError(
                f"the clusters were made with {len(self.usual)} quantities taken out of the latents, there are {nuisances.shape[1]}",
                valid="clusters made with the same cluster_regress_out",
                next_step="group the latents again",
            )
        return _features(latents, _filled(nuisances, self.usual), self.coefficients, self.mean, self.axes)

    def arrays(self) -> dict[str, np.ndarray]:
        """What :meth:`assign` needs, for keeping."""
        return {name: getattr(self, name) for name in ("coefficients", "mean", "axes", "centres", "usual")}

    @classmethod
    def of_arrays(cls, arrays: Any) -> Clustering:
        empty = np.zeros((0,))
        usual = arrays.get("usual", np.zeros(len(arrays["coefficients"]) - 1))  # clusters of older versions have none
        return cls(empty, empty, **{name: arrays[name] for name in ("coefficients", "mean", "axes", "centres")}, usual=usual)


def group(latents: np.ndarray, recipe: Recipe, nuisances: np.ndarray, seed: int = 0) -> Clustering:
    """Group latents (N, D); ``nuisances`` (N, P) as :func:`nuisance_columns` gives them for the recipe. The same seed, the same labels."""
    require_enough(len(latents), recipe)
    usual = _means(nuisances)
    nuisances = _filled(nuisances, usual)
    coefficients = _linear_part(latents, nuisances)
    cleaned = _features(latents, nuisances, coefficients, np.zeros(latents.shape[1]), None)
    mean, axes = _axes(cleaned, recipe.pca, seed)
    cleaned -= mean
    features = cleaned if axes is None else cleaned @ axes
    if recipe.method != "hdbscan" and recipe.count is None:
        recipe = replace(recipe, count=_best_count(features, recipe, seed))
    labels, centres = _fit(features, recipe, seed)
    return Clustering(labels, features, coefficients, mean, np.eye(len(mean)) if axes is None else axes, centres, usual)


def require_enough(crops: int, recipe: Recipe) -> None:
    wanted = recipe.count or 3
    if recipe.method == "hdbscan" and crops < NEIGHBOURS:
        raise InputError(f"{crops} crops are too few for hdbscan", valid=f"at least {NEIGHBOURS}", next_step="prepare more crops")
    if recipe.method != "hdbscan" and crops <= wanted:
        raise InputError(
            f"{crops} crops can't make {wanted} clusters",
            valid="more crops than clusters",
            next_step="lower clusters, or prepare more crops",
        )
    if recipe.pca and recipe.pca > crops:
        raise InputError(f"{crops} crops have no {recipe.pca} principal components", next_step="lower cluster_pca, or prepare more crops")


def nuisance_columns(rows: pd.DataFrame, regress_out: str) -> np.ndarray:
    """(N, P) of what is to be taken out of latents, unknown values NaN; P may be 0, and is the same whatever is known."""
    if regress_out == "none":
        return np.zeros((len(rows), 0))
    angle = np.radians(rows["light_deg"].to_numpy(float))
    contrast, brightness = (rows[name].to_numpy(float) for name in ("light_contrast", "brightness"))
    columns = [np.cos(angle), np.sin(angle), contrast * np.cos(angle), contrast * np.sin(angle), contrast, brightness]
    if regress_out == "all":
        lat = np.radians(rows["lat"].to_numpy(float))
        columns += [np.abs(lat), lat, np.log(rows["radius_m"].to_numpy(float)), np.log(rows["upsampling"].to_numpy(float))]
    table = np.stack(columns, axis=1)
    return np.where(np.isfinite(table), table, np.nan)


def _means(nuisances: np.ndarray) -> np.ndarray:
    """Means (P,) of what is known of each column, 0 where nothing is: a constant, which takes nothing out."""
    known = np.isfinite(nuisances)
    return np.where(known, nuisances, 0).sum(0) / np.maximum(known.sum(0), 1)


def _filled(nuisances: np.ndarray, usual: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(nuisances), nuisances, usual)


def _linear_part(latents: np.ndarray, nuisances: np.ndarray) -> np.ndarray:
    """(P + 1, D): least-squares coefficients of the latents on the nuisances and a constant, which is left at 0."""
    if not nuisances.shape[1]:
        return np.zeros((1, latents.shape[1]))
    design = np.column_stack([nuisances, np.ones(len(nuisances))])
    scale = np.maximum(np.abs(design).max(0), 1e-12)
    found = np.linalg.lstsq(design / scale, latents.astype(float), rcond=1e-8)[0] / scale[:, None]
    found[-1] = 0
    return found


def _features(latents, nuisances, coefficients, mean, axes) -> np.ndarray:
    cleaned = latents.astype(np.float64)
    if nuisances.shape[1]:
        cleaned -= nuisances @ coefficients[:-1]
    cleaned -= mean
    return cleaned if axes is None else cleaned @ axes


def _axes(cleaned: np.ndarray, components: int | None, seed: int) -> tuple[np.ndarray, np.ndarray | None]:
    if components is None or components >= cleaned.shape[1]:
        return cleaned.mean(0), None
    from sklearn.decomposition import PCA

    fitted = PCA(components, svd_solver="auto", random_state=seed).fit(cleaned)
    return fitted.mean_, fitted.components_.T


def _fit(features: np.ndarray, recipe: Recipe, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels of all features, fitted on at most ``MOST`` of them, and the clusters' means; clusters are numbered by falling size."""
    most = MOST[recipe.method]
    chosen = _sample(len(features), most, seed)
    labels = _METHODS[recipe.method](features[chosen], recipe.count, seed)
    found, sizes = np.unique(labels[labels >= 0], return_counts=True)
    order = found[np.argsort(-sizes, kind="stable")]  # methods may find fewer groups than asked for, and number them with gaps
    centres = np.stack([features[chosen][labels == label].mean(0) for label in order]) if len(order) else features[:0]
    every = np.full(len(features), -1)
    if len(chosen) < len(features) and len(centres):
        every = nearest_mean(features, centres)
        every[chosen] = -1
    for number, label in enumerate(order):
        every[chosen[labels == label]] = number
    return every, centres


def _sample(count: int, most: int, seed: int) -> np.ndarray:
    return np.arange(count) if count <= most else np.sort(np.random.default_rng([seed, 7]).choice(count, most, replace=False))


def nearest_mean(features: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """The number of the nearest centre (K, d) of each feature (N, d); −1 where there is no centre."""
    if not len(centres):
        return np.full(len(features), -1)
    squares = (centres**2).sum(1)
    parts = [features[start : start + BLOCK] for start in range(0, len(features), BLOCK)]
    return np.concatenate([np.argmin(squares - 2 * part @ centres.T, axis=1) for part in parts]) if parts else np.zeros(0, int)


def _best_count(features: np.ndarray, recipe: Recipe, seed: int) -> int:
    """Number of clusters with the best silhouette; of a mixture with the lowest BIC."""
    chosen = _sample(len(features), min(JUDGED, MOST[recipe.method]), seed)
    tried = features[chosen]
    scores = {}
    for count in range(2, min(recipe.most, len(tried) - 1) + 1):
        if recipe.method == "gmm":
            scores[count] = -_mixture(count, seed).fit(tried).bic(tried)
        else:
            labels = _METHODS[recipe.method](tried, count, seed)
            scores[count] = silhouette(tried, labels)
    return max(scores, key=scores.__getitem__)


def silhouette(features: np.ndarray, labels: np.ndarray, seed: int = 0) -> float:
    """Mean silhouette of at most ``JUDGED`` clustered features; NaN unless there are two clusters."""
    from sklearn.metrics import silhouette_score

    features, labels = features[labels >= 0], labels[labels >= 0]
    chosen = _sample(len(features), JUDGED, seed)
    found = np.unique(labels[chosen])
    return float(silhouette_score(features[chosen], labels[chosen])) if 1 < len(found) < len(chosen) else float("nan")


def _kmeans(features: np.ndarray, count: int, seed: int) -> np.ndarray:
    from sklearn.cluster import KMeans

    return KMeans(count, n_init=STARTS, random_state=seed).fit_predict(features)


def _mixture(count: int, seed: int):
    from sklearn.mixture import GaussianMixture

    return GaussianMixture(count, covariance_type="full", n_init=2, reg_covar=1e-5, random_state=seed)


def _gmm(features: np.ndarray, count: int, seed: int) -> np.ndarray:
    return _mixture(count, seed).fit_predict(features)


def _spectral(features: np.ndarray, count: int, seed: int) -> np.ndarray:
    from sklearn.cluster import SpectralClustering

    neighbours = min(15, len(features) - 1)
    grouping = SpectralClustering(
        count, affinity="nearest_neighbors", n_neighbors=neighbours, assign_labels="cluster_qr", random_state=seed
    )
    return grouping.fit_predict(features)


def _agglomerative(features: np.ndarray, count: int, seed: int) -> np.ndarray:
    from sklearn.cluster import AgglomerativeClustering

    return AgglomerativeClustering(count).fit_predict(features)


def _hdbscan(features: np.ndarray, count: int | None, seed: int) -> np.ndarray:
    from sklearn.cluster import HDBSCAN

    return HDBSCAN(min_cluster_size=max(NEIGHBOURS, len(features) // 100), min_samples=NEIGHBOURS, copy=True).fit_predict(features)


_METHODS: dict[str, Callable[..., np.ndarray]] = {
    "kmeans": _kmeans,
    "gmm": _gmm,
    "spectral": _spectral,
    "agglomerative": _agglomerative,
    "hdbscan": _hdbscan,
}
