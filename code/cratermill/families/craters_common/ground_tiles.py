"""Square tiles on a body: where their centres lie, and their own azimuthal grids, in which craters are round at every latitude."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...core.errors import InputError
from ...geo.bodies import Body
from ...geo.box import Box
from ...geo.grid import Grid, Window, azimuthal_grid

WIDEST_DEG = 30.0
"""Side of the largest box to map in one piece: at the corners of its azimuthal tile circles are stretched by 3 %."""
WIDEST_TILE_DEG = 60.0
"""Side of the largest tile to train on: 12 % at its corners."""
WIDEST_MAP_TILE_DEG = 110.0
"""A level of a map whose tiles would be wider is left out: its craters would not be round."""
MOST_BOXES = 10_000_000
"""Boxes that an area is cut into at most: their lists would not fit into the memory."""


def extent(grid: Grid, latitudes: tuple[float, float] = (-90.0, 90.0)) -> Box:
    """What a mosaic covers, cut to some latitudes."""
    if grid.columns_per_turn is None:
        raise InputError(
            "the mosaic is neither geographic nor equidistant cylindrical",
            valid="a cylindrical mosaic",
            next_step="reproject it with gdalwarp",
        )
    _, ends = grid.lonlat(np.array([-0.5, grid.height - 0.5]), np.zeros(2))
    south, north = max(min(ends), latitudes[0], -90.0), min(max(ends), latitudes[1], 90.0)
    if south >= north:
        raise InputError(f"latitudes {latitudes[0]:g} to {latitudes[1]:g}", valid=f"within the mosaic's {min(ends):g} to {max(ends):g}")
    west = float(grid.lonlat(0.0, -0.5)[0])
    width = 360.0 if grid.period_px else min(grid.width / grid.columns_per_turn * 360.0, 360.0)
    return Box(west, float(south), west + width, float(north))


def degree_m(body: Body) -> float:
    return np.pi * body.semi_major_m / 180


def is_too_wide(body: Body, margin_px: int, pixel_m: float) -> bool:
    """Whether the tile of a map's widest box, with a margin of so many pixels, would be too wide for a level."""
    return 2 * margin_px * pixel_m / degree_m(body) + WIDEST_DEG > WIDEST_MAP_TILE_DEG


def boxes(body: Body, area: Box, side_m: float) -> Iterator[Box]:
    """An area cut into boxes of at most ``side_m`` in height and width, rows from the south, each row from the west."""
    for row, columns in box_rows(body, area, side_m):
        yield from columns_of(row, columns)


def box_rows(body: Body, area: Box, side_m: float) -> list[tuple[Box, int]]:
    """Rows of such boxes from the south, and how many boxes are in each."""
    per_degree = degree_m(body)
    count = (area.north - area.south) * (area.east - area.west) * (per_degree / side_m) ** 2
    if count > MOST_BOXES:
        raise InputError(
            f"the mosaic would be cut into {count:.3g} squares of {side_m:.5g} m",
            valid=f"at most {MOST_BOXES:.3g}",
            next_step="raise tile_px, block_px or resolution_m, or choose latitudes",
        )
    rows, found = max(1, int(np.ceil((area.north - area.south) * per_degree / side_m - 1e-9))), []
    parallels = np.linspace(area.south, area.north, rows + 1)
    for south, north in zip(parallels[:-1], parallels[1:], strict=True):
        widest = 1.0 if south <= 0 <= north else np.cos(np.radians(min(abs(south), abs(north))))
        columns = max(1, int(np.ceil((area.east - area.west) * per_degree * widest / side_m - 1e-9)))
        found.append((Box(area.west, float(south), area.east, float(north)), columns))
    return found


def columns_of(row: Box, columns: int) -> Iterator[Box]:
    """A row cut into boxes, from the west."""
    meridians = np.linspace(row.west, row.east, columns + 1)
    for west, east in zip(meridians[:-1], meridians[1:], strict=True):
        yield Box(float(west), row.south, float(east), row.north)


def square(body: Body, lon: float, lat: float, resolution_m: float, side_px: int) -> Grid:
    """The azimuthal grid of a square tile around a position."""
    whole = azimuthal_grid(body, lon, lat, resolution_m)
    first = (whole.height - side_px) // 2
    return _tile(whole, Window(first, first, side_px, side_px))


def _tile(whole: Grid, window: Window) -> Grid:
    side_px = max(window.height, window.width)
    if side_px > whole.height:
        raise InputError(
            f"a tile of {side_px} px of {whole.resolution_m:.5g} m is larger than the whole of {whole.body.name}",
            valid=f"at most {whole.height} px; map tiles hold a block and the largest craters around it",
            next_step="lower the row's size_max or tile_px",
        )
    return whole.window(window)


def around(body: Body, box: Box, resolution_m: float, margin_px: int, multiple: int) -> Grid:
    """The azimuthal grid of the smallest tile that holds a box and a margin; its sides are multiples of ``multiple``."""
    whole = azimuthal_grid(body, *box.centre, resolution_m)
    rows, cols = whole.rowcol_of_lonlat(*box.edge())
    (top, height), (left, width) = (_span(values, margin_px, multiple, whole.height) for values in (rows, cols))
    return _tile(whole, Window(top, left, height, width))


def _span(values: np.ndarray, margin_px: int, multiple: int, whole_px: int) -> tuple[int, int]:
    """Where positions along one axis and a margin begin, and the multiple of pixels that holds them; what is left lies on both sides."""
    low, high = values.min() - margin_px - 1, values.max() + margin_px + 1
    length = int(np.ceil((high - low + 1) / multiple)) * multiple
    first = round((low + high + 1 - length) / 2)
    return min(max(first, 0), max(whole_px - length, 0)), length


def circles_on(grid: Grid, craters, margin_px: float = 2.0) -> np.ndarray:
    """Craters (a table with lon, lat, radius_m) that touch an azimuthal grid, (N, 4): x, y, radius in its pixels, row of the table."""
    centre_x, centre_y = (grid.width - 1) / 2, (grid.height - 1) / 2
    lon, lat = grid.lonlat(centre_y, centre_x)
    radius = craters["radius_m"].to_numpy(float) / grid.resolution_m
    distance = grid.body.distance_m(float(lon), float(lat), craters["lon"].to_numpy(float), craters["lat"].to_numpy(float))
    near = np.flatnonzero(distance / grid.resolution_m < np.hypot(centre_x, centre_y) + radius + margin_px)
    rows, cols = grid.rowcol_of_lonlat(craters["lon"].to_numpy(float)[near], craters["lat"].to_numpy(float)[near])
    circles = np.column_stack([cols, rows, radius[near], near])
    from .sources import touching

    return touching(circles, grid.shape)
