"""A crater's ejecta on its own azimuthal plane, at the mosaic's resolution: only where there are any."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from ..core.errors import InputError
from ..geo.grid import Grid, Window, azimuthal_grid, hull
from ..geo.mosaic import Mosaic
from ..geo.pixel_maps import Link
from ..geo.sampling import sample
from .masks import Claims

BLOCK_PX = 256
COARSE_PX = 8
"""Ejecta are found in squares of so many mosaic pixels first."""
MOST_STRETCH = 50.0
"""Of tangential distances, which grow without end towards the antipode."""


@dataclass(frozen=True)
class Crater:
    """``rim``: the polygon of its rim in metres east and north of the centre, a circle if there is none."""

    fid: int
    lon: float
    lat: float
    radius_m: float
    rim: BaseGeometry | None = None

    def inside_rim(self, east_m: np.ndarray, north_m: np.ndarray, distance_m: np.ndarray) -> np.ndarray:
        """Which points lie within the rim."""
        if self.rim is None:
            return distance_m < self.radius_m
        inside = distance_m <= max(np.hypot(*np.array(shapely.get_coordinates(self.rim)).T))
        inside[inside] = shapely.contains_xy(self.rim, east_m[inside], north_m[inside])
        return inside


class Readable(Protocol):
    """Masks or claims on the mosaic's grid."""

    def read(self, window: Window) -> np.ndarray: ...


class Blocks(Protocol):
    """A mask that knows where it isn't empty."""

    @property
    def path(self) -> Path: ...

    def blocks(self, side: int) -> Iterable[tuple[Window, np.ndarray]]: ...


@dataclass(frozen=True)
class Place:
    """A crater's conceptual azimuthal raster, at the mosaic's resolution if no other is named, and where it lies on the mosaic."""

    crater: Crater
    mosaic: Grid
    resolution_m: float | None = None

    @cached_property
    def grid(self) -> Grid:
        return azimuthal_grid(self.mosaic.body, self.crater.lon, self.crater.lat, self.resolution_m or self.mosaic.resolution_m)

    @cached_property
    def link(self) -> Link:
        return Link(self.grid, self.mosaic)

    @property
    def middle(self) -> float:
        """Row and column of the crater's centre."""
        return (self.grid.height - 1) / 2

    def polar(self, window: Window) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Pixels east (1, w) and north (h, 1) of the centre, and distance (h, w), of a window of the plane; float32."""
        east = (np.arange(window.col, window.stop_col) - self.middle).astype(np.float32)[None, :]
        north = (self.middle - np.arange(window.row, window.stop_row)).astype(np.float32)[:, None]
        return east, north, np.hypot(east, north)

    def read(self, window: Window, claims: Readable) -> np.ndarray:
        """Masks on a window of the plane, each pixel that of the mosaic it lies on: (h, w) uint8 or bool, 0 beside the mosaic."""
        rows, cols = self.link.mosaic_positions(window)
        on = np.isfinite(rows) & np.isfinite(cols)
        if not on.all():
            rows, cols = np.where(on, rows, 0), np.where(on, cols, 0)
        rows, cols = np.rint(rows).astype(np.int64), np.rint(cols).astype(np.int64) + self.link.anchor
        np.clip(rows, 0, self.mosaic.height - 1, out=rows)  # half a pixel around a pole belongs to the last row
        if not self.mosaic.period_px:
            cols = self._nearest_turn(cols)
        row, col = int(rows.min()), int(cols.min())
        pixels = claims.read(Window(row, col, int(rows.max()) - row + 1, int(cols.max()) - col + 1))
        return pixels[rows - row, cols - col] * on

    def _nearest_turn(self, cols: np.ndarray) -> np.ndarray:
        """Columns of a regional mosaic, on the turn that is nearest to its middle."""
        if self.link.turn is None:
            return cols
        start = self.mosaic.width / 2 - self.link.turn / 2
        return np.rint(np.mod(cols - start, self.link.turn) + start).astype(np.int64)


@dataclass(frozen=True)
class Plane:
    """``code``: claims (h, w) uint8 on ``window`` of the crater's azimuthal raster, see :class:`~.masks.Claims`."""

    place: Place
    window: Window
    code: np.ndarray

    def blocks(self, *masks: np.ndarray) -> Iterator[tuple[Window, list[np.ndarray]]]:
        """Squares of the plane where any of some masks (h, w) holds something: the window of the raster, and each mask there."""
        for window in self.window.squares(BLOCK_PX):
            found = [mask[window.within(self.window).slices] for mask in masks]
            if any(mask.any() for mask in found):
                yield window, found

    def bands(self, window: Window, mosaic: Mosaic) -> np.ndarray:
        """The mosaic on a window of the raster, (C, h, w) float32 with NaN where it holds nothing."""
        pixels = sample(mosaic, self.place.grid.window(window))
        missing = mosaic.missing(pixels)
        values = pixels.astype(np.float32)
        if missing is not None:
            values[np.broadcast_to(missing, values.shape)] = np.nan
        return values


def blocks_between(place: Place, rows: tuple[float, float], cols: tuple[float, float]) -> list[Window]:
    """The squares of the plane between two rows and two columns."""
    last = place.grid.height - 1
    first_row, last_row, first_col, last_col = (int(np.clip(at, 0, last)) // BLOCK_PX for at in (*rows, *cols))
    return [_square(place, row, col) for row in range(first_row, last_row + 1) for col in range(first_col, last_col + 1)]


def _square(place: Place, row: int, col: int) -> Window:
    size = place.grid.height
    return Window(row * BLOCK_PX, col * BLOCK_PX, min(BLOCK_PX, size - row * BLOCK_PX), min(BLOCK_PX, size - col * BLOCK_PX))


def plane_of(place: Place, claims: Claims) -> Plane | None:
    """The crater's claims on its plane, None where it has no ejecta."""
    windows = occupied(place, claims.own)
    if not windows:
        return None
    whole = hull(windows)
    code = np.zeros((whole.height, whole.width), np.uint8)
    for window in windows:
        code[window.within(whole).slices] = place.read(window, claims)
    return Plane(place, whole, code) if code.any() else None


def occupied(place: Place, mask: Blocks) -> list[Window]:
    """Squares of the plane that may hold ejecta, by row and column; all within the plane."""
    rows, cols = coarse_points(place, mask)
    if not len(rows):
        return []
    angle = np.hypot(rows - place.middle, cols - place.middle) * place.grid.resolution_m / place.mosaic.body.semi_major_m
    stretch = np.minimum(1 / np.maximum(np.sinc(np.minimum(angle / np.pi, 1)), 1e-9), MOST_STRETCH)
    reach = COARSE_PX * np.maximum(stretch, 1) + 2
    first = [np.floor(np.clip(at - reach, 0, place.grid.height - 1) / BLOCK_PX).astype(int) for at in (rows, cols)]
    last = [np.floor(np.clip(at + reach, 0, place.grid.height - 1) / BLOCK_PX).astype(int) for at in (rows, cols)]
    if max(int((b - a).max()) for a, b in zip(first, last, strict=True)) > 3:
        raise InputError(
            f"the ejecta of crater {place.crater.fid} reach the point opposite to it, where its azimuthal plane has no shape",
            valid="ejecta within some 170° of their crater",
            next_step=f"look at {mask.path}",
        )
    found: set[tuple[int, int]] = set()
    for down in range(4):
        for across in range(4):
            here = np.minimum(first[0] + down, last[0]), np.minimum(first[1] + across, last[1])
            found |= set(map(tuple, np.unique(np.stack(here, 1), axis=0).tolist()))
    return [_square(place, row, col) for row, col in sorted(found)]


def coarse_points(place: Place, mask: Blocks) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the plane (n,) of the middles of the squares of the mosaic that hold ejecta."""
    rows, cols = [], []
    for window, pixels in mask.blocks(64 * COARSE_PX):
        full = np.zeros((-(-window.height // COARSE_PX) * COARSE_PX, -(-window.width // COARSE_PX) * COARSE_PX), bool)
        full[: window.height, : window.width] = pixels
        any_ = full.reshape(full.shape[0] // COARSE_PX, COARSE_PX, -1, COARSE_PX).any(axis=(1, 3))
        row, col = np.nonzero(any_)
        rows.append(window.row + row * COARSE_PX + (COARSE_PX - 1) / 2)
        cols.append(window.col + col * COARSE_PX + (COARSE_PX - 1) / 2)
    if not rows:
        return np.zeros(0), np.zeros(0)
    return place.link.to_tile(np.clip(np.concatenate(rows), 0, place.mosaic.height - 1), np.concatenate(cols) - place.link.anchor)
