"""Pictures of crater lists: rims over a mosaic."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from ..geo.mosaic import Mosaic
from .images import picture_of, reduced_shape, save_figure
from .map_pictures import degree_ticks, rims

MOST_RIMS = 20000
"""More rims than this would hide the mosaic; the largest are drawn."""


def overlay(path: Path, mosaic: Mosaic, kinds: dict[str, tuple[pd.DataFrame, str]]) -> Path:
    """The mosaic, reduced, with the rims of craters over it; ``kinds``: a table and a colour by what the legend calls them."""
    shape = reduced_shape(mosaic.grid)
    width, height = 15.3, 15.3 * shape[0] / shape[1]
    figure = Figure(figsize=(16, height + 0.8))
    # By hand, in inches: to find the place of one panel takes matplotlib as long as to draw it.
    axes = figure.add_axes((0.55 / 16, 0.35 / (height + 0.8), width / 16, height / (height + 0.8)))
    right, bottom = mosaic.grid.width - 0.5, mosaic.grid.height - 0.5
    axes.imshow(picture_of(mosaic, shape), interpolation="nearest", extent=(-0.5, right, bottom, -0.5))
    for name, (table, colour) in kinds.items():
        largest = table.nlargest(MOST_RIMS, "radius_m") if len(table) else table
        drawn = [line[::-1].T for line in rims(mosaic.grid, largest, points=49)] if len(table) else []
        axes.add_collection(LineCollection(drawn, colors=colour, linewidths=0.8, label=f"{name} ({len(table):,})"))
    axes.set(xlim=(-0.5, right), ylim=(bottom, -0.5))
    degree_ticks(axes, mosaic.grid)
    legend = figure.legend(loc="upper left", ncols=len(kinds), fontsize=9, facecolor="#555555", labelcolor="white")
    for line in legend.get_lines():
        line.set_linewidth(2.5)
    return save_figure(figure, path, dpi=128)
