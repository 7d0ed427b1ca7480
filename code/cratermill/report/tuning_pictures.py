"""Scores against hyper-parameters, splits and numbers of drawn tiles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from .images import save_figure
from .style import INK, RAYS, new_figure, tidy

COLUMNS, MOST_PANELS, MOST_VALUES = 4, 24, 12


def hparam_picture(path: Path, table: pd.DataFrame, names: list[str], score: str) -> Path | None:
    """A panel per hyper-parameter that differs between versions: every version's mean over splits. None if nothing differs."""
    names = names[:MOST_PANELS]
    if not names:
        return None
    versions = table.groupby("version").agg({score: "mean", **dict.fromkeys(names, "first")})
    columns = min(COLUMNS, len(names))
    rows = -(-len(names) // columns)
    figure = new_figure(3.1 * columns, 2.6 * rows)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in panels[len(names) :]:
        axes.set_axis_off()
    for axes, name in zip(panels, names, strict=False):
        panel(axes, versions[name], versions[score].to_numpy(float), name.removeprefix("hparam "), score)
    return save_figure(figure, path, dpi=110)


def panel(axes: Axes, values: pd.Series, scores: np.ndarray, name: str, score: str) -> None:
    """Numbers on their own axis, logarithmic where they span two orders; words and lists side by side."""
    numbers = pd.to_numeric(values, errors="coerce")
    if numbers.notna().all() and not pd.api.types.is_bool_dtype(values):
        axes.plot(numbers, scores, "o", color=RAYS, markersize=4)
        if numbers.min() > 0 and numbers.max() / numbers.min() >= 100:
            axes.set_xscale("log")
    else:
        words = values.astype(str)
        labels = sorted(words.unique())[:MOST_VALUES]
        for at, label in enumerate(labels):
            here = scores[(words == label).to_numpy()]
            axes.plot(np.full(len(here), at), here, "o", color=RAYS, markersize=4)
            axes.plot([at - 0.25, at + 0.25], [here.mean()] * 2, color=INK, linewidth=1)
        axes.set_xticks(range(len(labels)), [label[:18] for label in labels], rotation=30, ha="right")
    tidy(axes, name, score)


def split_picture(path: Path, table: pd.DataFrame, score: str) -> Path | None:
    """Scores of all versions on each split: how much a score depends on what was held out. None with one split."""
    splits = sorted(table["split"].unique())
    if len(splits) < 2:
        return None
    figure = new_figure(max(4.0, 0.5 * len(splits) + 2), 3.4)
    axes = figure.add_subplot()
    for at, split in enumerate(splits):
        here = table.loc[table["split"] == split, score].to_numpy(float)
        axes.plot(np.full(len(here), at), here, "o", color=RAYS, alpha=0.6, markersize=4)
        axes.plot([at - 0.3, at + 0.3], [np.nanmean(here)] * 2, color=INK, linewidth=1.2)
    axes.set_xticks(range(len(splits)), [str(split) for split in splits])
    return save_figure(tidied(axes, "TV-Test split", score), path, dpi=110)


def tiles_picture(path: Path, table: pd.DataFrame, score: str) -> Path | None:
    """Scores against the number of drawn tiles; a line per version that was trained on several numbers. None if all are the same."""
    known = table.dropna(subset=["drawn_tiles"])
    if known["drawn_tiles"].nunique() < 2:
        return None
    figure = new_figure(5, 3.4)
    axes = figure.add_subplot()
    for version, part in known.groupby("version"):
        means = part.groupby("drawn_tiles")[score].agg(["mean", "std", "count"])
        error = np.nan_to_num(means["std"] / np.sqrt(means["count"]))
        axes.errorbar(means.index, means["mean"], error, fmt="o-", markersize=4, linewidth=1, capsize=2, label=f"version {version}")
    if known["version"].nunique() <= 12:
        axes.legend(fontsize=7, frameon=False)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return save_figure(tidied(axes, "drawn tiles to train and validate", score), path, dpi=110)


def tidied(axes: Axes, xlabel: str, ylabel: str):
    tidy(axes, xlabel, ylabel)
    return axes.figure
