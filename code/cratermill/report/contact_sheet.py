"""Craters side by side on one sheet, for a person to judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from ..core.frames import rows_of
from ..geo.grid import square_grid
from ..geo.mosaic import Mosaic
from .images import as_bytes, seen
from .palette import channels
from .sheet import Panel, draw_circle, write_sheet

MOST_SHOWN, COLUMNS, RADII, LEAST_PX = 40, 8, 2.5, 14
"""Craters on a sheet, side by side, and how far each is shown around its centre."""
SIDE_PX = 168


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
    """A sheet of at most ``COLUMNS`` craters side by side, their circles in a colour; an empty one says its title alone."""
    blank = Panel(np.full((SIDE_PX, SIDE_PX, 3), 255, np.uint8), "")
    return write_sheet(path, [_panel(crater, channels(colour)) for crater in craters] or [blank], COLUMNS, title)


def _panel(crater: Shown, colour: tuple[int, int, int]) -> Panel:
    """The ground around a crater; white beyond the picture."""
    reach = max(RADII * crater.radius_px, LEAST_PX)
    low, high = crater.span or (np.nanmin(crater.picture), np.nanmax(crater.picture))
    grey = crater.picture if crater.picture.ndim == 3 else (crater.picture - low) / max(high - low, 1e-6)
    picture = as_bytes(np.clip(grey, 0, 1))
    zoom = SIDE_PX / (2 * reach)
    middle = (SIDE_PX - 1) / 2
    onto = np.array([[zoom, 0, middle - crater.x * zoom], [0, zoom, middle - crater.y * zoom]])
    ground = cv2.warpAffine(picture, onto, (SIDE_PX, SIDE_PX), flags=cv2.INTER_LINEAR, borderValue=(255, 255, 255))
    ground = ground if ground.ndim == 3 else cv2.merge([ground] * 3)
    draw_circle(ground, middle, middle, crater.radius_px * zoom, colour)
    return Panel(ground, crater.caption)


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
