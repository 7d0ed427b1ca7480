"""Craters side by side on one sheet, for a person to judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ..core.frames import rows_of
from ..geo.grid import square_grid
from ..geo.mosaic import Mosaic
from .images import save_figure, seen

MOST_SHOWN, COLUMNS, RADII, LEAST_PX = 40, 8, 2.5, 14
"""Craters on a sheet, side by side, and how far each is shown around its centre."""
SIDE_PX = 96


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
    from matplotlib.patches import Circle

    rows = max(1, -(-len(craters) // COLUMNS))
    height = 1.75 * rows + 0.3
    figure = Figure(figsize=(1.5 * COLUMNS, height))
    # By hand: see crater_pictures.py.
    figure.subplots_adjust(left=0.005, right=0.995, bottom=0.05 / height, top=1 - 0.5 / height, wspace=0.05, hspace=0.2)
    figure.suptitle(title, fontsize=9, y=1 - 0.06 / height, va="top")
    places = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for place in places:
        place.set_axis_off()
    for place, crater in zip(places, craters, strict=False):
        reach = max(RADII * crater.radius_px, LEAST_PX)
        low, high = crater.span or (None, None)
        place.imshow(crater.picture, cmap="gray", vmin=low, vmax=high)
        place.add_patch(Circle((crater.x, crater.y), crater.radius_px, fill=False, color=colour, lw=0.8))
        place.set(xlim=(crater.x - reach, crater.x + reach), ylim=(crater.y + reach, crater.y - reach))
        place.set_title(crater.caption, fontsize=6.5)
    return save_figure(figure, path, dpi=110)


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
