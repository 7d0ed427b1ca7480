"""Pictures of training: learning curves of a version's cells, and all versions side by side."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from .images import save_figure
from .style import SAFE

SPLIT_COLOURS = tuple(SAFE)


def learning_curves(path: Path, curves: dict[tuple[int, int], pd.DataFrame], metric: str, rank: Callable) -> Path | None:
    """Losses and the validation score by epoch, a line per (split, iteration); the best epoch of each is marked. None without curves.

    ``rank(metric, scores)`` orders epochs: more is better.
    """
    curves = {cell: curve for cell, curve in curves.items() if len(curve)}
    if not curves:
        return None
    figure = Figure(figsize=(12, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    splits = sorted({split for split, _ in curves})
    for place, split in enumerate(splits):
        colour = SPLIT_COLOURS[place % len(SPLIT_COLOURS)]
        own = [curve for cell, curve in sorted(curves.items()) if cell[0] == split]
        _lines(left, own, "train_loss", colour, alpha=0.45, linestyles="--")
        _lines(left, own, "loss", colour)
        _lines(right, own, metric, colour)
        best = [best_row(curve, metric, rank) for curve in own if metric in curve]
        right.plot([epoch + 1 for epoch, _ in best], [score for _, score in best], "o", color=colour, markersize=4)
    left.set(xlabel="epoch", ylabel="loss (dashed: training, solid: validation)")
    right.set(xlabel="epoch", ylabel=f"validation {metric}")
    if all(curve[metric].between(0, 1).all() for curve in curves.values() if metric in curve):
        right.set_ylim(0, 1)
    for split in splits:
        right.plot([], [], color=SPLIT_COLOURS[splits.index(split) % len(SPLIT_COLOURS)], label=f"test-set {split}")
    right.legend(fontsize=8, loc="lower right")
    return save_figure(figure, path, dpi=110)


def best_row(curve: pd.DataFrame, metric: str, rank: Callable) -> tuple[int, float]:
    """Epoch and score of the epoch that was kept."""
    rows = zip(curve["epoch"].tolist(), curve[metric].tolist(), curve["loss"].tolist(), strict=True)
    epoch, score, _ = max(rows, key=lambda row: rank(metric, {"loss": row[2], metric: row[1]}))
    return epoch, score


def _lines(axes: Axes, curves: list[pd.DataFrame], column: str, colour: str, **look: Any) -> None:
    """A line per curve, drawn as one thing: a version may have hundreds."""
    lines = [np.column_stack([curve["epoch"].to_numpy() + 1, curve[column].to_numpy(float)]) for curve in curves if column in curve]
    axes.add_collection(LineCollection(lines, colors=colour, linewidths=1.1, **look))
    axes.autoscale_view()


def leaderboard_picture(path: Path, board: pd.DataFrame) -> Path | None:
    """The versions' main score with its 95 % interval, best on top. None where no version has a score."""
    means = [name for name in board.columns if name.endswith("_mean")]
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
    if mean.min() >= 0 and mean.max() <= 1:
        axes.set_xlim(0, 1)
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    return save_figure(figure, path, dpi=110)
