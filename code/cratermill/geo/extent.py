"""Where a mosaic lies: its longitudes and latitudes, and which squares on the ground it holds whole."""

from __future__ import annotations

import numpy as np

from .footprints import edge_points
from .grid import Grid

EDGE_STEP_PX = 16
LATTICE = 512
"""Points per side inside a mosaic whose edge lies off the body; near the limb meridians crowd."""
AZIMUTHS = np.arange(0.0, 360.0, 45.0)
"""Of the middles of a square's sides and of its corners."""


def extent(grid: Grid) -> tuple[float, float, float, float]:
    """West, south, east, north in degrees, east above west and at most 360° from it."""
    if grid.columns_per_turn is not None:
        (west,), (north,) = (np.atleast_1d(value) for value in grid.lonlat(-0.5, -0.5))
        south = float(grid.lonlat(grid.height - 0.5, 0)[1])
        span = 360.0 * grid.width / grid.columns_per_turn
        return float(west), max(min(float(north), south), -90.0), float(west) + min(span, 360.0), min(max(float(north), south), 90.0)
    lon, lat = _points(grid)
    poles = [pole for pole in (-90.0, 90.0) if grid.holds(*grid.rowcol_of_lonlat(0.0, pole))]
    south, north = float(min([*lat, *poles])), float(max([*lat, *poles]))
    west, east = (-180.0, 180.0) if poles else _range_of(lon)
    return west, south, east, north


def _points(grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Longitudes and latitudes of the edge; also of points inside where parts of the edge lie off the body."""
    rows, cols = edge_points(grid.shape, EDGE_STEP_PX)
    lon, lat = grid.lonlat(rows, cols)
    if not np.isfinite(lon).all():
        inside = np.meshgrid(np.linspace(0, grid.height - 1, LATTICE), np.linspace(0, grid.width - 1, LATTICE))
        lon, lat = grid.lonlat(np.append(rows, inside[0]), np.append(cols, inside[1]))
    known = np.isfinite(lon) & np.isfinite(lat)
    return lon[known], lat[known]


def _range_of(lon: np.ndarray) -> tuple[float, float]:
    """First and last longitude of points on the circle: what remains without the largest gap between neighbours."""
    lon = np.unique(np.mod(lon, 360))
    gaps = np.diff(lon, append=lon[0] + 360)
    last = int(np.argmax(gaps))
    west = lon[(last + 1) % len(lon)]
    span = (lon[last] - west) % 360
    west = west - 360 if west >= 180 else west
    return float(west), float(west + span)


def holds(grid: Grid, lon: np.ndarray, lat: np.ndarray, half_m: np.ndarray) -> np.ndarray:
    """Which squares (N,), north up and ``half_m`` to each side of their centres, lie wholly on the mosaic.

    By position alone: pixels can't tell, since what lies beside a mosaic reads like dark ground where no value stands for missing. A pole
    is no edge of a global mosaic.
    """
    if grid.is_global:
        return np.ones(len(lon), bool)
    found = grid.holds(*grid.rowcol_of_lonlat(lon, lat))
    # Of a whole planet's list few lie on a small mosaic: only for their squares is more to be looked at.
    near = np.flatnonzero(found)
    away = np.where(AZIMUTHS % 90, np.sqrt(2), 1.0)[None] * np.asarray(half_m, float)[near, None]
    starts = np.broadcast_arrays(np.asarray(lon, float)[near, None], np.asarray(lat, float)[near, None], AZIMUTHS[None], away)
    lons, lats, azimuths, metres = (values.ravel() for values in starts)
    there = grid.body.geod.fwd(lons, lats, azimuths, metres)
    found[near] = grid.holds(*grid.rowcol_of_lonlat(there[0], there[1])).reshape(away.shape).all(axis=1)
    return found
