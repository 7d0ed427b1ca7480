"""Ground area of pixels, exact on the ellipsoid."""

from __future__ import annotations

import numpy as np

from ..core.errors import InputError
from .bodies import Body
from .grid import Grid


def pixel_areas_m2(grid: Grid) -> np.ndarray:
    """Area of one pixel in each row of a cylindrical or geographic grid, (rows,) float64 m²; exact on the ellipsoid."""
    turn = grid.columns_per_turn
    if turn is None:
        given = "the mosaic is neither geographic nor equidistant cylindrical"
        raise InputError(given, valid="a cylindrical mosaic", next_step="reproject it with gdalwarp")
    _, lat = grid.lonlat(np.arange(grid.height + 1) - 0.5, np.zeros(grid.height + 1))
    # A mosaic may reach half a pixel beyond a pole; there is no ground.
    up_to = _zone_m2_per_radian(grid.body, np.radians(np.clip(lat, -90, 90)))
    return np.abs(np.diff(up_to)) * 2 * np.pi / turn


def _zone_m2_per_radian(body: Body, lat: np.ndarray) -> np.ndarray:
    """Area from the equator to a planetodetic latitude, per radian of longitude (Snyder 1987, eq. 3-12 times a²/2)."""
    sin = np.sin(lat)
    if body.is_sphere:
        return body.semi_major_m**2 * sin
    e2 = 1 - (body.semi_minor_m / body.semi_major_m) ** 2
    half_q = sin / (1 - e2 * sin**2) + np.arctanh(np.sqrt(e2) * sin) / np.sqrt(e2)
    return body.semi_minor_m**2 / 2 * half_q
