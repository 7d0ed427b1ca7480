"""How good clusters are: apart, stable, in agreement with labels, and not merely an image of the light or the resolution."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from .grouping import Clustering, Recipe, group, silhouette

SEEDS = 5
SECTORS = 8
"""Bins of a nuisance for mutual information: octiles, of directions eighths of the circle."""


def judge(
    latents: np.ndarray, clustering: Clustering, recipe: Recipe, nuisances: np.ndarray, rows: pd.DataFrame, seed: int
) -> dict[str, Any]:
    """All figures of one clustering, as plain values."""
    sizes = np.bincount(clustering.labels[clustering.labels >= 0], minlength=clustering.count).tolist()
    found = {
        "clusters": clustering.count,
        "sizes": sizes,
        "unclustered": int((clustering.labels < 0).sum()),
        "silhouette": silhouette(clustering.features, clustering.labels, seed),
        **stability(latents, clustering, recipe, nuisances, seed),
        **associations(clustering.labels, rows),
    }
    if "label" in rows and rows["label"].notna().any():
        found |= agreement(clustering.labels, rows["label"])
    return found


def stability(latents: np.ndarray, clustering: Clustering, recipe: Recipe, nuisances: np.ndarray, seed: int) -> dict[str, float]:
    """``seed_ARI``: mean adjusted Rand index between pairs of ``SEEDS`` groupings that differ only in their seed. ``bootstrap_ARI``: mean
    index between the clusters and those of resampled crops, over all crops. Both with the same number of clusters; NaN without any."""
    from dataclasses import replace

    if not clustering.count:
        return {"seed_ARI": float("nan"), "bootstrap_ARI": float("nan")}  # that nothing is found every time is no agreement
    fixed = replace(recipe, count=clustering.count if recipe.method != "hdbscan" and clustering.count else recipe.count)
    others = [group(latents, fixed, nuisances, seed + 1 + turn).labels for turn in range(SEEDS)]
    rng, again = np.random.default_rng([seed, 3]), []
    for turn in range(SEEDS):
        drawn = np.sort(rng.integers(0, len(latents), len(latents)))
        made = group(latents[drawn], fixed, nuisances[drawn], seed + turn)
        if made.count:
            again.append(_ari(clustering.labels, made.assign(latents, nuisances)))
    return {
        "seed_ARI": float(np.mean([_ari(first, second) for first, second in combinations(others, 2)])),
        "bootstrap_ARI": float(np.mean(again)) if again else float("nan"),
    }


def _ari(first: np.ndarray, second: np.ndarray) -> float:
    from sklearn.metrics import adjusted_rand_score

    return float(adjusted_rand_score(first, second))


def agreement(labels: np.ndarray, truth: pd.Series) -> dict[str, Any]:
    """Against known classes, crops without one left out: ARI, NMI, V-measure, and the accuracy and confusion after the best one-to-one
    matching of clusters to classes (Kuhn 1955)."""
    from scipy.optimize import linear_sum_assignment
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score, v_measure_score

    known = truth.notna().to_numpy()
    codes, names = pd.factorize(truth[known], sort=True)
    found = labels[known]
    clusters = np.unique(found)
    table = np.array([[int(((codes == code) & (found == cluster)).sum()) for cluster in clusters] for code in range(len(names))])
    rows, columns = linear_sum_assignment(-table)
    rest = [column for column in range(len(clusters)) if column not in columns]
    return {
        "ARI": float(adjusted_rand_score(codes, found)),
        "NMI": float(normalized_mutual_info_score(codes, found)),
        "V_measure": float(v_measure_score(codes, found)),
        "matched_accuracy": float(table[rows, columns].sum() / len(codes)),
        "confusion": {
            "classes": [str(name) for name in names],
            "clusters": [int(clusters[column]) for column in [*columns, *rest]],
            "counts": table[:, [*columns, *rest]].tolist(),
        },
    }


def associations(labels: np.ndarray, rows: pd.DataFrame) -> dict[str, float]:
    """How much clusters say about each nuisance: ``eta2_…``, the share of its variance between clusters (of directions: of their unit
    vectors), and ``AMI_…``, adjusted mutual information with its eighths. 0: nothing. Constant or unknown ones are left out."""
    angle = np.radians(rows["light_deg"].to_numpy(float))
    columns = {
        "light": np.column_stack([np.cos(angle), np.sin(angle)]),
        "brightness": rows["brightness"].to_numpy(float)[:, None],
        "latitude": rows["lat"].to_numpy(float)[:, None],
        "diameter": np.log(rows["radius_m"].to_numpy(float))[:, None],
        "upsampling": np.log(rows["upsampling"].to_numpy(float))[:, None],
    }
    found: dict[str, float] = {}
    for name, values in columns.items():
        known = np.isfinite(values).all(1) & (labels >= 0)
        if known.sum() < 2 or np.ptp(values[known], axis=0).max() < 1e-9:
            continue
        bins = _sectors(angle[known]) if name == "light" else _octiles(values[known, 0])
        found |= {f"eta2_{name}": _eta2(labels[known], values[known]), f"AMI_{name}": _ami(labels[known], bins)}
    return found


def _eta2(labels: np.ndarray, values: np.ndarray) -> float:
    """Between-cluster sum of squares over the total one, of vectors (N, d)."""
    centred = values - values.mean(0)
    between = sum((centred[labels == label].sum(0) ** 2).sum() / (labels == label).sum() for label in np.unique(labels))
    return float(between / (centred**2).sum())


def _ami(labels: np.ndarray, bins: np.ndarray) -> float:
    from sklearn.metrics import adjusted_mutual_info_score

    return float(adjusted_mutual_info_score(labels, bins))


def _octiles(values: np.ndarray) -> np.ndarray:
    return np.searchsorted(np.quantile(values, np.arange(1, SECTORS) / SECTORS), values)


def _sectors(angle: np.ndarray) -> np.ndarray:
    return np.floor(np.mod(angle, 2 * np.pi) / (2 * np.pi / SECTORS)).astype(int)
