"""Pictures of classifiers of chips: precision and recall, confusion, learning curves, sheets of chips."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ...report.images import literal, save_figure

INK = "#1f6fb4"


CAPTIONS = {
    "confusion_matrix": "Test chips of each class (rows), and what they were taken for (columns), all cells together.",
    "learning_curve": "Losses by epoch, round by round; dashed: training, solid: validation.",
    "mistakes": "Test chips that were taken for what they aren't, the surest first.",
    "pr_curve": "Precision against recall of Test chips, a line per cell.",
}
"""Of the pictures of a version."""


def pr_picture(path: Path, curves: Sequence[tuple[np.ndarray, np.ndarray]], positive: str) -> Path:
    """Precision against recall of the second class, a line per (labels, probabilities); the share of the class is the base line."""
    from sklearn.metrics import average_precision_score, precision_recall_curve

    figure = Figure(figsize=(5, 4.4), layout="constrained")
    axes = figure.add_subplot()
    areas = []
    for true, probability in curves:
        precision, recall, _ = precision_recall_curve(true, probability)
        axes.step(recall, precision, where="post", color=INK, alpha=0.9 if len(curves) == 1 else 0.5, linewidth=1.2)
        areas.append(average_precision_score(true, probability))
    axes.axhline(np.mean([true.mean() for true, _ in curves]), color="#868e96", linestyle=":", linewidth=1)
    axes.set(xlabel=f"recall of {literal(positive)}", ylabel="precision", xlim=(0, 1.01), ylim=(0, 1.01))
    axes.set_title(f"average precision {np.mean(areas):.3f} (mean of {len(areas)})", fontsize=10)
    return save_figure(figure, path, dpi=110)


def confusion_picture(path: Path, counts_KK: np.ndarray, classes: Sequence[str]) -> Path:
    """Counts with the share of each true class."""
    figure = Figure(figsize=(1.8 + 0.9 * len(classes), 1.4 + 0.9 * len(classes)), layout="constrained")
    axes = figure.add_subplot()
    share = counts_KK / np.maximum(counts_KK.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts_KK):
        colour = "white" if share[row, column] > 0.5 else "black"
        axes.text(column, row, f"{count:.0f}\n{share[row, column]:.1%}", ha="center", va="center", color=colour, fontsize=8)
    shown = [literal(name) for name in classes]
    axes.set_xticks(range(len(classes)), shown, rotation=30, ha="right")
    axes.set_yticks(range(len(classes)), shown)
    axes.set(xlabel="predicted", ylabel="true")
    return save_figure(figure, path, dpi=110)


def curves_picture(path: Path, rounds: Sequence[Sequence[pd.DataFrame]]) -> Path | None:
    """Training and validation loss by epoch, a panel per round and a pair of lines per cell."""
    rounds = [curves for curves in rounds if any(len(curve) for curve in curves)]
    if not rounds:
        return None
    figure = Figure(figsize=(5 * len(rounds), 3.6), layout="constrained")
    for number, (axes, curves) in enumerate(zip(figure.subplots(1, len(rounds), squeeze=False)[0], rounds, strict=True)):
        for curve in curves:
            axes.plot(curve["epoch"] + 1, curve["train_loss"], color=INK, linestyle="--", alpha=0.6, linewidth=1)
            axes.plot(curve["epoch"] + 1, curve["loss"], color=INK, linewidth=1.2)
        axes.set(xlabel="epoch", ylabel="loss (dashed: training, solid: validation)", title=f"round {number + 1}")
        axes.locator_params(axis="x", integer=True)
    return save_figure(figure, path, dpi=110)


def mistakes_picture(path: Path, images_NHW: np.ndarray, captions: Sequence[str], columns: int = 8) -> Path:
    """Chips with a line below each; an empty sheet says so."""
    rows = max(1, -(-len(images_NHW) // columns))
    figure = Figure(figsize=(1.5 * columns, 1.85 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for place in axes:
        place.set_axis_off()
    for place, image, caption in zip(axes, images_NHW, captions, strict=False):
        place.imshow(image, cmap="gray", vmin=0, vmax=255)
        place.set_title(literal(caption), fontsize=6.5)
    if not len(images_NHW):
        figure.suptitle("no test chip is classified wrongly")
    return save_figure(figure, path, dpi=110)


def chip_sheet(images_NHW: np.ndarray, columns: int = 10, gap_px: int = 2, scale: int = 2) -> np.ndarray:
    """Chips (N, h, w) 0–255 side by side, as one grey picture uint8."""
    height, width = images_NHW.shape[1:]
    rows = -(-len(images_NHW) // columns)
    sheet = np.full((rows * (height + gap_px) + gap_px, columns * (width + gap_px) + gap_px), 255, np.uint8)
    for number, image in enumerate(images_NHW):
        top, left = (number // columns) * (height + gap_px) + gap_px, (number % columns) * (width + gap_px) + gap_px
        sheet[top : top + height, left : left + width] = np.clip(np.rint(image), 0, 255)
    return sheet.repeat(scale, axis=0).repeat(scale, axis=1)
