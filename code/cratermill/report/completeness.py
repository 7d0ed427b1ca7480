"""How complete a list of craters is, by size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .images import save_figure
from .style import SAFE, SIZES, few_ticks, tidy

PER_OCTAVE = 2
"""Bins of the recall to a double of the diameter."""


def completeness(path: Path, table: pd.DataFrame, found: np.ndarray, known: np.ndarray, unit: str) -> Path:
    """Recall with its 95 % band against the diameter, and how many craters of at least each diameter both lists have.

    ``table``: :func:`..craters.score_tables.size_table` of one rule; ``found`` and ``known``: diameters that count, in ``unit``.
    """
    figure = Figure(figsize=(6.4, 6.2))
    figure.subplots_adjust(left=0.12, right=0.98, bottom=0.08, top=0.985, hspace=0.09)  # by hand: see crater_pictures.py
    above, below = figure.subplots(2, 1, sharex=True)
    draw_recall(above, table)
    for name, diameters, colour in (("found", found, SAFE[0]), ("in the list", known, SAFE[1])):
        ordered = np.sort(diameters)
        below.step(ordered, np.arange(len(ordered), 0, -1), where="pre", color=colour, linewidth=1.4, label=f"{name}: {len(ordered):,}")
    tidy(above, "", "share of the list's craters that was found")
    tidy(below, f"diameter D ({unit})", "craters ≥ D")
    below.set_xscale("log")
    below.set_yscale("log")
    few_ticks(below.xaxis, SIZES)
    few_ticks(below.yaxis)
    below.legend(fontsize=8, frameon=False)
    return save_figure(figure, path, dpi=110)


def draw_recall(axes: Axes, table: pd.DataFrame) -> None:
    shown = table[table["known"] > 0]
    middle = np.sqrt(shown["diameter_from"] * shown["diameter_to"])
    axes.fill_between(middle, shown["Recall_low"], shown["Recall_high"], color=SAFE[0], alpha=0.25, linewidth=0)
    axes.plot(middle, shown["Recall"], "o-", color=SAFE[0], markersize=4, linewidth=1.2)
    axes.set_ylim(-0.02, 1.02)
