"""Pictures of training and of clusters on the latent plane."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage

from ...report.images import save_figure
from ...report.palette import CLUSTERS, cluster_colour

COLUMNS = 12
MARKERS = "os^Dv*PX"


def cluster_look(cluster: int) -> dict[str, Any]:
    """Colour and marker of a cluster: what has a colour for the second time has another shape."""
    return {"color": cluster_colour(cluster), "marker": MARKERS[max(cluster, 0) // len(CLUSTERS) % len(MARKERS)]}


def names(clusters: np.ndarray) -> list[tuple[int, str]]:
    """(cluster, its name with its size) in order; what belongs to none comes last."""
    found, counts = np.unique(clusters, return_counts=True)
    listed = [(int(one), f"cluster {one} ({count})" if one >= 0 else f"none ({count})") for one, count in zip(found, counts, strict=True)]
    return sorted(listed, key=lambda pair: (pair[0] < 0, pair[0]))


def loss_curve(path: Path, curves: dict[tuple[int, int], pd.DataFrame]) -> Path:
    """Training (dashed) and validation loss by epoch, one pair of lines per (split, iteration)."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for number, ((split, iteration), curve) in enumerate(sorted(curves.items())):
        colour = cluster_colour(number)
        axes.plot(curve["epoch"] + 1, curve["train_loss"], color=colour, linestyle="--", alpha=0.6)
        best = f"test-set {split}, iteration {iteration}: {curve['loss'].min():.4g}"
        axes.plot(curve["epoch"] + 1, curve["loss"], color=colour, label=best)
    axes.set(xlabel="epoch", ylabel="mean squared error (dashed: training)", yscale="log")
    axes.legend(fontsize=8)
    return save_figure(figure, path, dpi=120)


def reconstructions(path: Path, crops: np.ndarray, made: np.ndarray) -> Path:
    """Crops (n, S, S) in 0…1, their reconstructions and the difference between them, a column each."""
    figure = Figure(figsize=(1.5 * len(crops) + 0.8, 4.9), layout="constrained")
    panels = figure.subplots(3, len(crops), squeeze=False)
    reach = max(float(np.abs(made - crops).max()), 1e-6)
    for column, (crop, other) in enumerate(zip(crops, made, strict=True)):
        panels[0, column].imshow(crop, cmap="gray", vmin=0, vmax=1)
        panels[1, column].imshow(other, cmap="gray", vmin=0, vmax=1)
        shown = panels[2, column].imshow(other - crop, cmap="RdBu_r", vmin=-reach, vmax=reach)
        panels[2, column].set_xlabel(f"MSE {((other - crop) ** 2).mean():.4f}", fontsize=8)
    for axes in panels.ravel():
        axes.set(xticks=[], yticks=[])
    for axes, name in zip(panels[:, 0], ("crop", "reconstruction", "difference"), strict=True):
        axes.set_ylabel(name)
    figure.colorbar(shown, ax=list(panels[2]), shrink=0.9)
    return save_figure(figure, path, dpi=110)


def dots(path: Path, places: np.ndarray, clusters: np.ndarray, labels: tuple[str, str]) -> Path:
    """Latents on a plane (M, 2), coloured by cluster."""
    figure = Figure(figsize=(9, 7), layout="constrained")
    axes = figure.add_subplot()
    size = float(np.clip(20_000 / max(len(places), 1), 0.5, 20))
    for cluster, name in names(clusters):
        one = clusters == cluster
        x, y = places[one].T
        axes.scatter(x, y, s=size, **cluster_look(cluster), label=name, linewidths=0, alpha=0.7, rasterized=True)
    axes.set(xlabel=labels[0], ylabel=labels[1])
    axes.legend(fontsize=8, markerscale=max(1.0, 5 / size**0.5))
    return save_figure(figure, path, dpi=120)


def thumbnails(path: Path, places: np.ndarray, clusters: np.ndarray, crops, labels: tuple[str, str], cells: int = 28) -> Path:
    """Crops at their latents' places, one for each occupied cell of a grid, framed in their cluster's colour. ``crops[i]`` is the i-th."""
    figure = Figure(figsize=(14, 11), layout="constrained")
    axes = figure.add_subplot()
    low, high = np.percentile(places, [0.5, 99.5], axis=0)
    grid = np.floor((places - low) / np.maximum(high - low, 1e-12) * cells).astype(int)
    inside = np.flatnonzero(((grid >= 0) & (grid <= cells)).all(1))
    _, first = np.unique(grid[inside], axis=0, return_index=True)
    for number in inside[first]:
        place_crop(axes, places[number], crops[number], cluster_colour(int(clusters[number])), 0.30)
    margin = 0.04 * (high - low)
    axes.set(
        xlim=(low[0] - margin[0], high[0] + margin[0]), ylim=(low[1] - margin[1], high[1] + margin[1]), xlabel=labels[0], ylabel=labels[1]
    )
    _legend(axes, clusters)
    return save_figure(figure, path, dpi=100)


def place_crop(axes, place, crop: np.ndarray, colour: str, zoom: float) -> None:
    """One crop as a small picture, 100 px wide whatever its size, in a coloured frame."""
    picture = OffsetImage(crop, zoom=zoom * 100 / crop.shape[0], cmap="gray")
    picture.image.set_clim(0, 255)
    box = AnnotationBbox(picture, place, pad=0.08, bboxprops={"edgecolor": colour, "facecolor": colour, "linewidth": 1})
    axes.add_artist(box)


def _legend(axes, clusters: np.ndarray) -> None:
    for cluster, name in names(clusters):
        axes.plot([], [], "s", color=cluster_colour(cluster), label=name)
    axes.legend(fontsize=8, loc="upper right")


def montage(path: Path, clusters: np.ndarray, distances: np.ndarray, crops) -> Path:
    """A row per cluster: the crops nearest to its middle, then some at random."""
    listed = [pair for pair in names(clusters) if pair[0] >= 0] or names(clusters)
    figure = Figure(figsize=(1.05 * COLUMNS + 1.2, 1.12 * len(listed) + 0.4), layout="constrained")
    panels = figure.subplots(len(listed), COLUMNS, squeeze=False)
    rng = np.random.default_rng(0)
    for line, (cluster, name) in zip(panels, listed, strict=True):
        members = np.flatnonzero(clusters == cluster)
        nearest = members[np.argsort(distances[members], kind="stable")][: COLUMNS // 2]
        others = np.setdiff1d(members, nearest)
        chosen = [*nearest, *rng.permutation(others)[: COLUMNS - len(nearest)]]
        for axes in line:
            axes.set(xticks=[], yticks=[])
        for axes, number in zip(line, chosen, strict=False):
            axes.imshow(crops[number], cmap="gray", vmin=0, vmax=255)
        line[0].set_ylabel(name.replace(" (", "\n("), fontsize=8, color=cluster_colour(cluster))
    figure.suptitle(f"nearest to the cluster's middle (left {COLUMNS // 2}), and any", fontsize=9)
    return save_figure(figure, path, dpi=100)


def histograms(path: Path, rows: pd.DataFrame) -> Path | None:
    """Share of each cluster by diameter and by latitude. None where neither is known."""
    known = rows[np.isfinite(rows["lat"].to_numpy(float)) & np.isfinite(rows["radius_m"].to_numpy(float))]
    if known.empty:
        return None
    figure = Figure(figsize=(11, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    diameter = 2 * known["radius_m"].to_numpy() / 1000
    edges = np.geomspace(diameter.min() * 0.999, diameter.max() * 1.001, 25)
    for cluster, name in names(known["cluster"].to_numpy()):
        one = (known["cluster"] == cluster).to_numpy()
        look = {"histtype": "step", "color": cluster_colour(cluster), "label": name, "weights": np.full(one.sum(), 1 / one.sum())}
        left.hist(diameter[one], bins=edges, **look)
        right.hist(known["lat"].to_numpy()[one], bins=np.linspace(-90, 90, 37), **look)
    left.set(xscale="log", xlabel="diameter [km]", ylabel="share of the cluster")
    right.set(xlabel="latitude [°]", xlim=(-90, 90))
    right.legend(fontsize=7)
    return save_figure(figure, path, dpi=120)
