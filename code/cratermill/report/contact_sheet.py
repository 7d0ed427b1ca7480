"""Craters side by side on one sheet, for a person to judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..core.frames import rows_of
from ..geo.grid import square_grid
from ..geo.mosaic import Mosaic
from .images import save_figure, seen

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_SHOWN, COLUMNS, RADII, LEAST_PX = 40, 8, 2.5, 14
"""Craters on a sheet, side by side, and how far each is shown around its centre."""
SIDE_PX = 96
ACROSS, DOWN = 1.05, 1.2
"""From one panel to the next, in their sides."""


@dataclass(frozen=True)
class Shown:
    """A picture (h, w) or (h, w, 3), and the circle on it, in its pixels; ``span``: what becomes black and white."""

    picture: np.ndarray
    x: float
    y: float
    radius_px: float
    caption: str
    span: tuple[float, float] | None = None


def contact_sheet(path: Path, title: str, craters: Sequence[Shown], colour: str) -> Path:
    from matplotlib.figure import Figure

    rows = max(1, -(-len(craters) // COLUMNS))
    height = 1.75 * rows + 0.3
    figure = Figure(figsize=(1.5 * COLUMNS, height))
    figure.suptitle(title, fontsize=9, y=1 - 0.06 / height, va="top")
    # One pair of axes for all panels, in sides of a panel: matplotlib takes five times as long for a pair each.
    axes = figure.add_axes((0.005, 0.05 / height, 0.99, 1 - 0.4 / height))
    for number, crater in enumerate(craters):
        row, col = divmod(number, COLUMNS)
        _draw(axes, crater, col * ACROSS, row * DOWN, colour)
    axes.set(xlim=(0, COLUMNS * ACROSS), ylim=(rows * DOWN - DOWN + 1, 1 - DOWN))
    axes.set_axis_off()
    return save_figure(figure, path, dpi=110)


def _draw(axes: Axes, crater: Shown, left: float, top: float, colour: str) -> None:
    """A crater on a panel of side 1."""
    from matplotlib.patches import Circle

    reach = max(RADII * crater.radius_px, LEAST_PX)
    ends = [(int(max(0, middle - reach)), int(middle + reach) + 1) for middle in (crater.y, crater.x)]
    part = crater.picture[slice(*ends[0]), slice(*ends[1])]
    edges = [[min(end, length) - 0.5 for end in pair] for pair, length in zip(ends, crater.picture.shape, strict=False)]
    (up, down), (west, east) = (
        [start + (edge - middle + reach) / (2 * reach) for edge in pair]
        for start, middle, pair in zip((top, left), (crater.y, crater.x), edges, strict=True)
    )
    low, high = crater.span or (None, None)
    axes.imshow(part, cmap="gray", vmin=low, vmax=high, extent=(west, east, down, up))
    axes.add_patch(Circle((left + 0.5, top + 0.5), crater.radius_px / (2 * reach), fill=False, color=colour, lw=0.8))
    axes.text(left + 0.5, top - 0.03, crater.caption, fontsize=6.5, ha="center")


def on_ground(mosaic: Mosaic, craters: pd.DataFrame) -> list[Shown]:
    """The first ``MOST_SHOWN`` craters of a table (lon, lat, radius_m, perhaps confidence), each on a square of its own around it."""
    found = []
    for crater in rows_of(craters.head(MOST_SHOWN)):
        half_m = max(RADII * crater.radius_m, LEAST_PX * mosaic.grid.resolution_m)
        picture = seen(mosaic, square_grid(mosaic.grid.body, crater.lon, crater.lat, half_m, SIDE_PX))
        sure = f"{crater.confidence:.2f}  " if "confidence" in craters else ""
        caption = f"{sure}{crater.lon:.2f}, {crater.lat:.2f}  {2 * crater.radius_m / 1e3:.3g} km"
        middle = (SIDE_PX - 1) / 2
        found.append(Shown(picture, middle, middle, crater.radius_m / half_m * SIDE_PX / 2, caption))
    return found
