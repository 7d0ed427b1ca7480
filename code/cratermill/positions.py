"""Where the pixels of a tile lie on a mosaic, and back: exact at nodes, interpolated between them to far below 0.01 px.

The maps between an azimuthal tile and a cylindrical mosaic are analytic away from the poles and the antipode, so a polynomial through
12 × 12 Chebyshev nodes per block of at most 256 px reproduces them to some 1e-6 px. Each block is checked at points between its nodes;
where it fails (a pole, the antipode, the edge of the projection) it is halved, down to blocks whose pixels are all computed exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from .bodies import require_same_body
from .grid import Grid, Window
from .projections import Linear

BLOCK_PX = 256
SMALLEST_BLOCK_PX = 32
NODES = 12
TOLERANCE_PX = 1e-3
SLAB_ROWS = 64
# Columns of a crater are rounded to 1/65 536 px: far below any accuracy asked for, and what makes a rolled mosaic give the same bits.
COLUMN_STEPS = 65536

Exact = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Link:
    """A tile (any grid) and a mosaic on the same body. Mosaic columns are counted from ``anchor`` and not wrapped."""

    tile: Grid
    mosaic: Grid

    def __post_init__(self):
        require_same_body(self.mosaic.body, self.tile.body, "the tile")

    @cached_property
    def lon_ref(self) -> float:
        """The meridian that longitudes are counted from: the crater's, else that of the tile's middle."""
        lon_0 = getattr(self.tile.projection, "lon_0", None)
        if lon_0 is not None:
            return lon_0
        lon = self.tile.lonlat((self.tile.height - 1) / 2, (self.tile.width - 1) / 2)[0]
        return float(lon) if np.isfinite(lon) else 0.0

    @cached_property
    def anchor(self) -> int:
        return int(np.floor(self._reference_column))

    @cached_property
    def _reference_column(self) -> float:
        if not isinstance(self.mosaic.projection, Linear):
            return 0.0
        column = float(self.mosaic.rowcol_of_lonlat(self.lon_ref, 0.0)[1])
        return round(column * COLUMN_STEPS) / COLUMN_STEPS

    @cached_property
    def turn(self) -> float | None:
        """Mosaic columns in 360°, or None where they don't repeat."""
        return self.mosaic.columns_per_turn

    @cached_property
    def _degrees_per_column(self) -> float:
        return self.mosaic.affine.a / self.mosaic.projection.x_per_degree

    def to_mosaic(self, rows, cols):
        """Exact mosaic (rows, columns − anchor) of tile pixels; NaN off the body."""
        dlon, lat = self.tile.projection.to_lonlat(*np.broadcast_arrays(*self.tile.xy(rows, cols)), self.lon_ref)
        if not isinstance(self.mosaic.projection, Linear):
            return self.mosaic.rowcol(*self.mosaic.projection.to_xy(dlon, lat, self.lon_ref))
        mosaic_rows = self.mosaic.rowcol(0.0, self.mosaic.projection.to_xy(0.0, lat)[1])[0]
        return mosaic_rows, dlon / self._degrees_per_column + (self._reference_column - self.anchor)

    def to_tile(self, rows, cols):
        """Exact tile (rows, columns) of mosaic pixels given as (rows, columns − anchor)."""
        if isinstance(self.mosaic.projection, Linear):
            dlon = (np.asarray(cols) - (self._reference_column - self.anchor)) * self._degrees_per_column
            lat = self.mosaic.projection.to_lonlat(0.0, self.mosaic.xy(rows, 0)[1])[1]
        else:
            dlon, lat = self.mosaic.projection.to_lonlat(*np.broadcast_arrays(*self.mosaic.xy(rows, cols)), self.lon_ref)
        return self.tile.rowcol(*self.tile.projection.to_xy(*np.broadcast_arrays(dlon, lat), self.lon_ref))

    def mosaic_positions(self, window: Window, oversample: int = 1):
        """Mosaic (rows, columns − anchor) of the pixels of a window of the tile, (h·k, w·k) float64, with k × k points per pixel."""
        return interpolate(self.to_mosaic, window, oversample, self.turn)

    def tile_positions(self, window: Window):
        """Tile (rows, columns) of the mosaic pixels of a window counted from ``anchor``, (h, w) float64 each."""
        return interpolate(self.to_tile, window)


def interpolate(exact: Exact, window: Window, oversample: int = 1, turn: float | None = None):
    """``exact`` for all (sub)pixels of a window, block by block; the second coordinate may jump by ``turn`` (then unwrapped per block)."""
    shape = (window.height * oversample, window.width * oversample)
    first, second = np.empty(shape), np.empty(shape)
    for block in blocks(shape, BLOCK_PX):
        _fill_block(exact, window, oversample, turn, block, first, second)
    return first, second


def blocks(shape: tuple[int, int], side: int):
    """Windows of at most ``side`` × ``side`` that tile a shape, all of nearly the same size."""
    row_edges, col_edges = (np.linspace(0, length, -(-length // side) + 1).astype(int) for length in shape)
    for row, stop_row in zip(row_edges[:-1], row_edges[1:], strict=True):
        for col, stop_col in zip(col_edges[:-1], col_edges[1:], strict=True):
            yield Window(row, col, stop_row - row, stop_col - col)


def _fill_block(exact: Exact, window: Window, oversample: int, turn: float | None, block: Window, first, second) -> None:
    def at(rows, cols):
        """``exact`` at fractional (sub)pixel numbers of the whole array, the second coordinate unwrapped around the block's middle."""
        to_pixel = (0.5 / oversample) - 0.5
        return exact(window.row + rows / oversample + to_pixel, window.col + cols / oversample + to_pixel)

    values = _polynomial(at, block, turn)
    if values is not None:
        first[block.slices], second[block.slices] = values
    elif max(block.height, block.width) > SMALLEST_BLOCK_PX:
        for part in blocks((block.height, block.width), -(-max(block.height, block.width) // 2)):
            moved = Window(block.row + part.row, block.col + part.col, part.height, part.width)
            _fill_block(exact, window, oversample, turn, moved, first, second)
    else:
        rows, cols = np.arange(block.row, block.stop_row)[:, None], np.arange(block.col, block.stop_col)[None, :]
        values = at(rows, cols)
        first[block.slices], second[block.slices] = values[0], _unwrap(values[1], turn)


def _polynomial(at: Exact, block: Window, turn: float | None):
    """Both coordinates (h, w) from Chebyshev nodes, or None if points between the nodes disagree by more than the tolerance."""
    nodes = _chebyshev_nodes()
    checks = _check_points()
    points = np.concatenate([nodes, checks])
    half_height, half_width = (block.height - 1) / 2, (block.width - 1) / 2
    first, second = at((block.row + half_height * (1 + points))[:, None], (block.col + half_width * (1 + points))[None, :])
    second = _unwrap(second, turn)
    weights, down, across = _weights_at_checks(), _weights(block.height), _weights(block.width)
    results = []
    for values in (first, second):
        core = values[:NODES, :NODES]
        # Nodes × nodes give the polynomial; checks × checks, which it hasn't seen, judge it.
        error = np.abs(weights @ core @ weights.T - values[NODES:, NODES:]).max()
        if not error <= TOLERANCE_PX:  # also catches NaN
            return None
        results.append(_product(down @ core, across.T))
    return results


def _product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    # In slabs that BLAS finds too small to thread: its threads spin, which costs 100 times the product itself on a busy machine.
    return np.concatenate([left[row : row + SLAB_ROWS] @ right for row in range(0, left.shape[0], SLAB_ROWS)])


def _unwrap(values, turn: float | None):
    if turn is None:
        return values
    middle = values[values.shape[0] // 2, values.shape[1] // 2]
    if not np.isfinite(middle):
        return values
    return values - np.round((values - middle) / turn) * turn


@lru_cache(maxsize=1)
def _chebyshev_nodes() -> np.ndarray:
    return np.cos(np.pi * (np.arange(NODES) + 0.5) / NODES)


@lru_cache(maxsize=1)
def _check_points() -> np.ndarray:
    # The block's edges, where polynomials fail first, its middle, and points half-way between nodes.
    nodes = _chebyshev_nodes()
    between = (nodes[:-1] + nodes[1:]) / 2
    return np.concatenate([[-1.0, 1.0], between[::2]])


@lru_cache(maxsize=1)
def _weights_at_checks() -> np.ndarray:
    return _weight_matrix(_check_points())


@lru_cache(maxsize=256)
def _weights(length: int) -> np.ndarray:
    return _weight_matrix(np.linspace(-1, 1, length) if length > 1 else np.zeros(1))


def _weight_matrix(points: np.ndarray) -> np.ndarray:
    """(points, nodes): values at the nodes → values at the points; barycentric form (Berrut and Trefethen 2004, SIAM Review 46, 501)."""
    nodes = _chebyshev_nodes()
    node_weights = (-1.0) ** np.arange(NODES) * np.sin(np.pi * (np.arange(NODES) + 0.5) / NODES)
    distance = points[:, None] - nodes[None, :]
    at_node = distance == 0
    terms = node_weights / np.where(at_node, 1.0, distance)
    weights = terms / terms.sum(axis=1, keepdims=True)
    return np.where(at_node.any(axis=1, keepdims=True), at_node.astype(float), weights)
