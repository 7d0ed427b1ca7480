"""Pictures of training: learning curves of a version's cells, and all versions side by side."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from .images import save_figure

SPLIT_COLOURS = ("#1f6fb4", "#d9480f", "#2b8a3e", "#862e9c", "#b58900", "#0b7285", "#c2255c", "#495057")


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
    for (split, _), curve in sorted(curves.items()):
        look = {"color": SPLIT_COLOURS[splits.index(split) % len(SPLIT_COLOURS)], "linewidth": 1.1}
        epochs = curve["epoch"] + 1
        left.plot(epochs, curve["train_loss"], **look, alpha=0.45, linestyle="--")
        left.plot(epochs, curve["loss"], **look)
        if metric in curve:
            right.plot(epochs, curve[metric], **look)
            best = max(range(len(curve)), key=lambda row: rank(metric, curve.iloc[row]))
            right.plot(epochs.iloc[best], curve[metric].iloc[best], "o", color=look["color"], markersize=4)
    left.set(xlabel="epoch", ylabel="loss (dashed: training, solid: validation)")
    right.set(xlabel="epoch", ylabel=f"validation {metric}")
    if all(curve[metric].between(0, 1).all() for curve in curves.values() if metric in curve):
        right.set_ylim(0, 1)
    for split in splits:
        right.plot([], [], color=SPLIT_COLOURS[splits.index(split) % len(SPLIT_COLOURS)], label=f"test-set {split}")
    right.legend(fontsize=8, loc="lower right")
    return save_figure(figure, path, dpi=110)


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
