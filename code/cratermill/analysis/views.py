"""Craters seen from above, for pictures: the mosaic, their masks and those of their neighbours on one square."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..geo.grid import Grid, square_grid
from ..geo.mosaic import Mosaic
from ..geo.sampling import sample
from .map_tables import Analysed, half_width_m
from .masks import Mask, MaskSet

SIZE_PX = 360
MOST_NEIGHBOURS = 12


def square_around(one: Analysed) -> Grid:
    """The square of a picture that shows a crater's ejecta whole."""
    return square_grid(one.place.grid.body, one.crater.lon, one.crater.lat, half_width_m(one), SIZE_PX)


def view_of(one: Analysed, grid: Grid, masks: MaskSet, drawn: MaskSet | None) -> dict[str, Any]:
    """What :class:`report.pattern_pictures.View` holds, but the ground."""
    crater = one.crater
    seen = {"mapped": on_square(masks.open(crater.fid), grid)}
    if drawn and crater.fid in drawn.files:
        seen["drawn by hand"] = on_square(drawn.open(crater.fid), grid)
    blanket_km = one.patterns.overlaps_row["blanket_radius"] * one.place.grid.resolution_m / 1e3
    near = neighbours((masks.open(fid) for fid in one.neighbours), grid)
    place = {"fid": crater.fid, "lon": crater.lon, "lat": crater.lat, "radius_km": crater.radius_m / 1e3}
    return {**place, "blanket_km": blanket_km, "half_km": half_width_m(one) / 1e3, "masks": seen, "neighbours": near}


def neighbours(masks: Iterable[Mask], grid: Grid) -> dict[int, np.ndarray]:
    """The other craters' masks that show on the square, those that show most."""
    found = {}
    for mask in masks:
        square = on_square(mask, grid)
        if square.any():
            found[mask.fid] = square
    largest = sorted(found, key=lambda fid: -int(found[fid].sum()))[:MOST_NEIGHBOURS]
    return {fid: found[fid] for fid in sorted(largest)}


def on_square(mask: Mask, grid: Grid) -> np.ndarray:
    """A mask on a small azimuthal square, each of its pixels that of the mosaic it lies on: (n, n) bool."""
    with Mosaic.open(mask.path, [1], labels=True) as file:
        return sample(file, grid, "nearest", nodata="ignore")[0] > 0
