"""Crops around craters, cut straight from a mosaic: exact positions at a few nodes per crop, bicubic pixels, neighbours read together.

A crop is a square centred on its crater, north up, ``half_side_radii`` crater radii to each side. ``azimuthal``: equidistant around the
centre, so that craters are as round as they are on the ground. ``legacy``: a window of the cylindrical mosaic whose width is divided by the
cosine of the centre's latitude.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from ..geo.bodies import Body
from ..geo.grid import Window, square_grid
from ..geo.mosaic import Mosaic
from ..geo.pixel_maps import chebyshev_nodes, weights_at
from ..geo.projections import azimuthal_to_lonlat
from ..geo.reads import grouped, reading_order
from ..geo.sampling import sample_masked
from .grey import grey_range

NODES = 8
"""Chebyshev nodes per side: positions between them are a polynomial, good to 0.01 px of any mosaic away from the poles."""
POLE_DEG = 85.0
"""Crops that reach farther are sampled pixel by pixel."""
BATCH = 16
SUBPIXELS = 32
REMAP_PX = 32_000
"""OpenCV resamples nothing wider or taller than 16 bits count."""
MARGIN_PX = 3
REGION_BYTES = 64 * 2**20
MOST_MISSING = 0.05
"""Share of a crop that may lack data. A declared value can be a legitimate one too, like 0 for a dark pixel."""
LOOKED_AT = 20
"""Points per side of a crop at which data are looked for."""


@dataclass(frozen=True)
class Geometry:
    """How crops are cut."""

    size_px: int = 100
    half_side_radii: float = 1.5
    projection: str = "azimuthal"

    def half_m(self, radius_m: np.ndarray) -> np.ndarray:
        return np.asarray(radius_m, float) * self.half_side_radii

    def upsampling(self, radius_m: np.ndarray, resolution_m: float) -> np.ndarray:
        """Pixels of the crop per pixel of the mosaic, along one side."""
        return self.size_px * resolution_m / (2 * self.half_m(radius_m))


class Cutter:
    """Cuts crops from one mosaic as grey uint8 values; safe to share between threads."""

    def __init__(self, mosaic: Mosaic, geometry: Geometry, remembered: Path | None = None):
        """``remembered``: where the mosaic's statistics are kept."""
        self.mosaic, self.geometry, self.grid = mosaic, geometry, mosaic.grid
        self.grey_range = grey_range(mosaic, remembered)

    def order(self, craters: pd.DataFrame) -> np.ndarray:
        """Row numbers in the order in which neighbours are read together."""
        rows, cols = self.grid.rowcol_of_lonlat(craters["lon"].to_numpy(), craters["lat"].to_numpy())
        return reading_order(rows, cols, self.mosaic.block_shape[1] >= self.grid.width)

    def inside(self, craters: pd.DataFrame) -> np.ndarray:
        """Which crops lie wholly on the mosaic; a pole is no edge of a global one."""
        found = np.ones(len(craters), bool)
        if self.grid.is_global:
            return found
        for start in range(0, len(craters), 4096):
            part = craters.iloc[start : start + 4096]
            rows, cols = self._nodes(part, np.array([-1.0, 0.0, 1.0]))
            found[start : start + len(part)] = self.grid.holds(rows, cols).all((1, 2))
        return found

    def cut(self, craters: pd.DataFrame) -> np.ndarray:
        """Crops (N, S, S) uint8 of craters (``lon``, ``lat``, ``radius_m``), in their order; fastest in that of :meth:`order`."""
        return self.cut_and_missing(craters)[0]

    def cut_and_missing(self, craters: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """The same, and the share (N,) of each crop that the mosaic has no data for."""
        crops = np.empty((len(craters), self.geometry.size_px, self.geometry.size_px), np.uint8)
        missing = np.zeros(len(craters))
        reach = np.degrees(1.5 * self.geometry.half_m(craters["radius_m"].to_numpy()) / self.grid.body.semi_major_m)
        polar = (np.abs(craters["lat"].to_numpy()) + reach > POLE_DEG) & (self.geometry.projection == "azimuthal")
        for index in np.flatnonzero(polar):
            pixels, gone = self._slowly(craters.iloc[index])
            crops[index] = self.grey_range.to_bytes(pixels, gone)
            missing[index] = 0 if gone is None else gone.any(axis=0).mean()
        usual = np.flatnonzero(~polar)
        if not len(usual):
            return crops, missing
        places = self._places(craters.iloc[usual])
        for members, hull in self._groups(places.windows):
            pixels, gone = self.mosaic.read_masked(hull)
            self._group(places, members, hull, self.grey_range.to_bytes(pixels, gone), usual, crops)
            if gone is not None:
                missing[usual[members]] = _shares(places, members, hull, np.asarray(gone.any(axis=0)))
        return crops, missing

    def _slowly(self, crater: pd.Series) -> tuple[np.ndarray, np.ndarray | None]:
        """Pixels (C, S, S) and a mask of those without data."""
        half_m = float(self.geometry.half_m(crater["radius_m"]))
        view = square_grid(self.grid.body, float(crater["lon"]), float(crater["lat"]), half_m, self.geometry.size_px)
        pixels, gone = sample_masked(self.mosaic, view, nodata="ignore")
        return pixels, self.mosaic.missing(pixels, gone)

    def _places(self, craters: pd.DataFrame) -> _Places:
        rows, cols = self._nodes(craters, chebyshev_nodes(NODES))
        # Nodes don't reach the corners; a window has a margin of its own size's twentieth for that, and one for the interpolation.
        corners = []
        for values in (rows, cols):
            low, high = values.min((1, 2)), values.max((1, 2))
            margin = 0.05 * (high - low) + MARGIN_PX
            corners.append((np.floor(low - margin).astype(int), np.ceil(high + margin).astype(int) + 1))
        (row, stop_row), (col, stop_col) = corners
        # Relative to each window's corner, so that 32 bits hold positions on the widest mosaic.
        down, across = ((values - first[:, None, None]).astype(np.float32) for values, first in ((rows, row), (cols, col)))
        shrink = 1 / self.geometry.upsampling(craters["radius_m"].to_numpy(), self.grid.resolution_m)
        return _Places(down, across, np.stack([row, col, stop_row, stop_col], axis=1), np.maximum(1, shrink.astype(int)))

    def _group(self, places: _Places, members: np.ndarray, hull: Window, pixels: np.ndarray, rows: np.ndarray, crops: np.ndarray) -> None:
        """Cut the crops of one group out of the grey pixels (h, w) that are read in one piece."""
        weights = _weights(self.geometry.size_px)
        for numbers in places.batches(members):
            top, left, bottom, right = _hull(places.windows[numbers])
            piece = pixels[top - hull.row : bottom - hull.row, left - hull.col : right - hull.col]
            corners = places.windows[numbers, :2] - (top, left)
            down, across = (
                _to_subpixels(weights @ nodes[numbers] @ weights.T, corner)
                for nodes, corner in zip((places.rows, places.cols), corners.T, strict=True)
            )
            crops[rows[numbers]] = _resample(piece, down, across, int(places.shrink[numbers[0]]))

    def _nodes(self, craters: pd.DataFrame, nodes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mosaic rows and columns (N, n, n) of points at ``nodes`` (−1…1, n) of each crop's sides; columns in one piece."""
        lon, lat, radius_m = (craters[name].to_numpy(float)[:, None, None] for name in ("lon", "lat", "radius_m"))
        half = self.geometry.half_m(radius_m)
        east, north = half * nodes[None, None, :], -half * nodes[None, :, None]
        if self.geometry.projection == "legacy":
            degree_m = np.radians(1) * self.grid.body.semi_major_m
            there = np.broadcast_arrays(lon + east / degree_m / np.cos(np.radians(lat)), np.clip(lat + north / degree_m, -90, 90))
        else:
            there = from_centres(self.grid.body, lon, lat, east, north)
        rows, cols = self.grid.rowcol_of_lonlat(*there)
        turn = self.grid.columns_per_turn
        if turn is not None:
            middle = self.grid.rowcol_of_lonlat(lon, lat)[1]
            cols = cols - np.round((cols - middle) / turn) * turn
        return rows, cols

    def _groups(self, windows: np.ndarray) -> Iterator[tuple[np.ndarray, Window]]:
        """(numbers, hull): neighbours whose windows (N, 4) are cheaper to read in one piece."""
        most_pixels = REGION_BYTES / (self.mosaic.count * self.mosaic.dtype.itemsize)
        for members, hull in grouped(windows, self._cost(*windows.T).tolist(), lambda hull: self._cost(*hull), most_pixels):
            yield np.array(members), _window(hull)

    def _cost(self, row, col, stop_row, stop_col):
        """Pixels that the file must decode for a window, or for many: whole blocks."""
        tall, wide = self.mosaic.block_shape
        return (-(-stop_row // tall) - row // tall) * (-(-stop_col // wide) - col // wide) * tall * wide


def from_centres(body: Body, lon, lat, east_m, north_m) -> tuple[np.ndarray, np.ndarray]:
    """Longitude and latitude of points given as metres east and north in the azimuthal equidistant projection around (lon, lat).

    All arrays broadcast. On a sphere: Snyder 1987, USGS Professional Paper 1395, p. 195; on an ellipsoid geodesics.
    """
    lon, lat, east, north = np.broadcast_arrays(lon, lat, east_m, north_m)
    if not body.is_sphere:
        azimuth, distance = np.degrees(np.arctan2(east, north)), np.hypot(east, north)
        there = body.geod.fwd(*(values.ravel() for values in (lon, lat, azimuth, distance)))
        return np.reshape(there[0], lon.shape), np.reshape(there[1], lon.shape)
    centre = np.radians(lat)
    dlon, there_lat, _ = azimuthal_to_lonlat(body.semi_major_m, np.sin(centre), np.cos(centre), east, north)
    return lon + dlon, there_lat


@dataclass(frozen=True)
class _Places:
    """Where crops lie: rows and columns of their nodes (N, n, n) float32 from their window's corner, windows (N, 4; first row and column,
    row and column after the last), and whole factors by which the mosaic's pixels are averaged first."""

    rows: np.ndarray
    cols: np.ndarray
    windows: np.ndarray
    shrink: np.ndarray

    def batches(self, numbers: np.ndarray) -> Iterator[np.ndarray]:
        """``numbers`` in parts that are resampled together: neighbours; those whose pixels are averaged first one by one."""
        numbers = numbers[np.lexsort((self.windows[numbers, 1], self.shrink[numbers]))]
        shrink = self.shrink[numbers]
        first_row, col, stop_row, stop_col = self.windows[numbers].T
        start = 0
        for stop in range(1, len(numbers) + 1):
            members = slice(start, stop + 1)
            if (
                stop == len(numbers)
                or stop - start == BATCH
                or shrink[stop] > 1
                or stop_col[members].max() - col[start] > REMAP_PX
                or stop_row[members].max() - first_row[members].min() > REMAP_PX
            ):
                yield numbers[start:stop]
                start = stop


def _shares(places: _Places, members: np.ndarray, hull: Window, gone: np.ndarray) -> np.ndarray:
    """The share of each crop that is missing, by evenly spaced points in the mask (h, w) of what is read in one piece."""
    weights, found = _weights(LOOKED_AT), np.zeros(len(members))
    for number, member in enumerate(members):
        corner = places.windows[member, :2] - (hull.row, hull.col)
        positions = (weights @ nodes[member] @ weights.T + first for nodes, first in zip((places.rows, places.cols), corner, strict=True))
        at = (np.clip(np.rint(values).astype(int), 0, size - 1) for values, size in zip(positions, gone.shape, strict=True))
        found[number] = gone[tuple(at)].mean()
    return found


def _to_subpixels(positions: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Positions (N, S, S) float32 from corners (N,), rounded to OpenCV's 1/32 px before the corners shift them, so that they are the same
    whatever the corners are counted from."""
    positions *= SUBPIXELS
    np.rint(positions, out=positions)
    positions += (corners * SUBPIXELS).astype(np.float32)[:, None, None]
    positions *= 1 / SUBPIXELS
    return positions


def _resample(piece: np.ndarray, rows: np.ndarray, cols: np.ndarray, shrink: int) -> np.ndarray:
    """Bicubic values at positions (N, S, S); pixels are averaged first where the crop's are at least twice as large."""
    if shrink >= 2:
        shape = piece.shape[1] // shrink, piece.shape[0] // shrink
        piece = cv2.resize(piece[: shape[1] * shrink, : shape[0] * shrink], shape, interpolation=cv2.INTER_AREA)
        rows, cols = ((values - (shrink - 1) / 2) / np.float32(shrink) for values in (rows, cols))
    size = rows.shape[-1]
    x, y = cols.reshape(-1, size), rows.reshape(-1, size)
    return cv2.remap(piece, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE).reshape(rows.shape)


@lru_cache(maxsize=16)
def _weights(size: int) -> np.ndarray:
    """(size, nodes): values at the nodes → values at the centres of ``size`` pixels."""
    return np.ascontiguousarray(weights_at((2 * np.arange(size) + 1) / size - 1, NODES), np.float32)


def _hull(windows: np.ndarray) -> list[int]:
    return [*windows[:, :2].min(0).tolist(), *windows[:, 2:].max(0).tolist()]


def _window(edges: list[int]) -> Window:
    return Window(edges[0], edges[1], edges[2] - edges[0], edges[3] - edges[1])
