"""Pictures of training: learning curves of a version's cells, and all versions side by side."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from .images import save_figure
from .style import SAFE

SPLIT_COLOURS = tuple(SAFE)


Curve = dict[str, np.ndarray]
"""A value per epoch, by column of curve.csv."""


def learning_curves(path: Path, curves: dict[tuple[int, int], Curve], metric: str, rank: Callable) -> Path | None:
    """Losses and the validation score by epoch, a line per (split, iteration); the best epoch of each is marked. None without curves.

    ``rank(metric, scores)`` orders epochs: more is better.
    """
    curves = {cell: curve for cell, curve in sorted(curves.items()) if len(curve.get("epoch", ()))}
    if not curves:
        return None
    splits = sorted({split for split, _ in curves})
    colours = {split: _colour(place) for place, split in enumerate(splits)}
    figure, left, right = _emptied(*_two_axes(tuple(splits)))
    _lines(left, curves, "train_loss", colours, alpha=0.45, linestyles="--")
    _lines(left, curves, "loss", colours)
    _lines(right, curves, metric, colours)
    best = [(*best_row(curve, metric, rank), colours[split]) for (split, _), curve in curves.items() if metric in curve]
    if best:
        epochs, scores, shades = zip(*best, strict=True)
        right.scatter(np.array(epochs) + 1, scores, s=16, c=shades, zorder=2)
    right.set_ylabel(f"validation {metric}")
    values = np.concatenate([curve[metric] for curve in curves.values() if metric in curve] or [np.zeros(0)])
    if metric != "loss" and ((values >= 0) & (values <= 1)).all():
        right.set_ylim(0, 1)
    with rc_context({"text.hinting": "none"}):
        return save_figure(figure, path, dpi=110)


@lru_cache(maxsize=1)
def _two_axes(splits: tuple[int, ...]) -> tuple[Figure, Axes, Axes]:
    """One figure for the curves of all versions of the same splits: most of the time goes into axes, their ticks and the legend."""
    figure = Figure(figsize=(12, 4))
    # Margins that fit what stands there: to have them measured is to draw everything twice.
    left, right = figure.subplots(1, 2, gridspec_kw={"left": 0.065, "right": 0.985, "bottom": 0.13, "top": 0.96, "wspace": 0.16})
    left.set(xlabel="epoch", ylabel="loss (dashed: training, solid: validation)")
    right.set_xlabel("epoch")
    for axes in (left, right):
        axes.locator_params(nbins=5)
        axes.locator_params(axis="x", integer=True)
    for place, split in enumerate(reversed(splits)):
        # A legend would take as long as all lines.
        look: dict[str, Any] = {"fontsize": 8, "color": _colour(len(splits) - 1 - place), "ha": "right", "transform": right.transAxes}
        right.text(0.985, 0.02 + 0.048 * place, f"● test-set {split}", **look)
    return figure, left, right


def _colour(place: int) -> str:
    return SPLIT_COLOURS[place % len(SPLIT_COLOURS)]


def _emptied(figure: Figure, *both: Axes) -> tuple[Figure, Axes, Axes]:
    for axes in both:
        for artist in (*axes.lines, *axes.collections):
            artist.remove()
        axes.relim()
        axes.autoscale(True)
    return figure, both[0], both[1]


def best_row(curve: Curve, metric: str, rank: Callable) -> tuple[int, float]:
    """Epoch and score of the epoch that was kept."""
    rows = zip(curve["epoch"].tolist(), curve[metric].tolist(), curve["loss"].tolist(), strict=True)
    epoch, score, _ = max(rows, key=lambda row: rank(metric, {"loss": row[2], metric: row[1]}))
    return int(epoch), score


def _lines(axes: Axes, curves: dict[tuple[int, int], Curve], column: str, colours: dict[int, str], **look: Any) -> None:
    """A line per curve, drawn as one thing: a version may have hundreds."""
    drawn = {cell: curve for cell, curve in curves.items() if column in curve}
    lines = [np.column_stack([curve["epoch"] + 1, curve[column]]) for curve in drawn.values()]
    axes.add_collection(LineCollection(lines, colors=[colours[split] for split, _ in drawn], linewidths=1.1, **look))
    axes.autoscale_view()


def leaderboard_picture(path: Path, board: pd.DataFrame) -> Path | None:
    """The versions' main score with its 95 % interval, best on top. None where no version has a score."""
    means = [name for name in board.columns if name.endswith("_mean") and f"{name.removesuffix('_mean')}_ci95_low" in board]
    if not means:
        return None
    score = means[0].removesuffix("_mean")
    board = board.dropna(subset=means[:1]).iloc[:40]
    if board.empty:
        return None
    figure = Figure(figsize=(8, 1.2 + 0.3 * len(board)), layout="constrained")
    axes = figure.add_subplot()
    rows, mean = np.arange(len(board)), board[means[0]].to_numpy()
    low, high = (board[f"{score}_ci95_{side}"].to_numpy(float) for side in ("low", "high"))
    axes.errorbar(mean, rows, xerr=np.nan_to_num([mean - low, high - mean]), fmt="o", color="#1f6fb4", ecolor="#9db9d3", capsize=3)
    axes.set_yticks(rows, [f"version {version}" for version in board["version"]])
    axes.set(xlabel=f"{score}, mean and 95 % interval")
    if "loss" not in score and mean.min() >= 0 and mean.max() <= 1:
        axes.set_xlim(0, 1)
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    return save_figure(figure, path, dpi=110)
