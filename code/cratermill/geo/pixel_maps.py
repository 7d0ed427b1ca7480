"""Where the pixels of a tile lie on a mosaic, and back: exact at nodes, interpolated between them to far below 0.01 px.

The maps between an azimuthal tile and a cylindrical mosaic are analytic away from the poles and the antipode, so a polynomial through
12 × 12 Chebyshev nodes per block of at most 384 px reproduces them to some 1e-6 px. Each block is checked at points between its nodes;
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

BLOCK_PX = 384
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
        assert isinstance(self.mosaic.projection, Linear)
        return self.mosaic.affine.a / self.mosaic.projection.x_per_degree

    def to_mosaic(self, rows, cols):
        """Exact mosaic (rows, columns − anchor) of tile pixels; NaN off the body."""
        x, y = np.broadcast_arrays(*self.tile.xy(rows, cols))
        dlon, lat = self.tile.projection.to_lonlat(x, y, self.lon_ref)
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
            x, y = np.broadcast_arrays(*self.mosaic.xy(rows, cols))
            dlon, lat = self.mosaic.projection.to_lonlat(x, y, self.lon_ref)
        dlon, lat = np.broadcast_arrays(dlon, lat)
        return self.tile.rowcol(*self.tile.projection.to_xy(dlon, lat, self.lon_ref))

    def mosaic_positions(self, window: Window, oversample: int = 1):
        """Mosaic (rows, columns − anchor) of the pixels of a window of the tile, (h·k, w·k) float64, with k × k points per pixel."""
        return _Field(self.to_mosaic, window, oversample, self.turn).arrays(np.float64)

    def nodes(self, window: Window, oversample: int = 1, moves: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The same at the nodes alone, (n, 2, NODES, NODES), and of each of n windows whether that tells the rest: whether polynomials,
        which :func:`node_weights` evaluate, are good enough. ``moves`` (n, 2): by how many rows and columns the windows are moved."""
        moves = np.zeros((1, 2)) if moves is None else moves
        field = _Field(self.to_mosaic, window, oversample, self.turn)
        return field.nodes(Window(0, 0, window.height * oversample, window.width * oversample), moves)

    def tile_positions(self, window: Window):
        """Tile (rows, columns) of the mosaic pixels of a window counted from ``anchor``, (h, w) float32 each."""
        return _Field(self.to_tile, window).arrays(np.float32)


def blocks(shape: tuple[int, int], side: int):
    """Windows of at most ``side`` × ``side`` that tile a shape, all of nearly the same size."""
    row_edges, col_edges = (np.linspace(0, length, -(-length // side) + 1).astype(int).tolist() for length in shape)
    for row, stop_row in zip(row_edges[:-1], row_edges[1:], strict=True):
        for col, stop_col in zip(col_edges[:-1], col_edges[1:], strict=True):
            yield Window(row, col, stop_row - row, stop_col - col)


@dataclass(frozen=True)
class _Field:
    """Two coordinates as functions of the pixels of a window, ``oversample``² points each; the second may jump by ``turn``."""

    exact: Exact
    window: Window
    oversample: int = 1
    turn: float | None = None

    def arrays(self, dtype) -> tuple[np.ndarray, np.ndarray]:
        """Both coordinates of all points; jumps are taken out within each block."""
        shape = (self.window.height * self.oversample, self.window.width * self.oversample)
        out = np.empty(shape, dtype), np.empty(shape, dtype)
        for block in blocks(shape, BLOCK_PX):
            self._fill(block, out)
        return out

    def _fill(self, block: Window, out: tuple[np.ndarray, np.ndarray]) -> None:
        (cores,), (good,) = self.nodes(block, np.zeros((1, 2)))
        if good:
            down, across = node_weights(block.height), node_weights(block.width)
            for core, target in zip(cores, out, strict=True):
                _product(down, core, across, target[block.slices])
        elif max(block.height, block.width) > SMALLEST_BLOCK_PX:
            for part in blocks((block.height, block.width), -(-max(block.height, block.width) // 2)):
                self._fill(Window(block.row + part.row, block.col + part.col, part.height, part.width), out)
        else:
            rows, cols = np.arange(block.row, block.stop_row)[:, None], np.arange(block.col, block.stop_col)[None, :]
            for values, target in zip(self._at(rows[None], cols[None]), out, strict=True):
                target[block.slices] = values[0]

    def _at(self, rows, cols) -> tuple[np.ndarray, np.ndarray]:
        """The exact coordinates at (sub)pixel numbers of the window's array, which may be fractional: (n, h, w) of (n, h, 1), (n, 1, w)."""
        to_pixel = 0.5 / self.oversample - 0.5
        first, second = self.exact(self.window.row + to_pixel + rows / self.oversample, self.window.col + to_pixel + cols / self.oversample)
        return first, _unwrap(second, self.turn)

    def nodes(self, block: Window, moves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Both coordinates at nodes × nodes (n, 2, NODES, NODES) of a block that is moved by rows and columns (n, 2), and (n,) whether
        points between the nodes agree with their polynomial to the tolerance."""
        points, at_checks = _points(), _weights_at_checks()
        rows, cols = (start + (length - 1) / 2 * (1 + points) for start, length in ((block.row, block.height), (block.col, block.width)))
        down, across = moves.T[:, :, None] * self.oversample
        values = np.stack(self._at((down + rows)[:, :, None], (across + cols)[:, None, :]), axis=1)
        # Nodes × nodes give the polynomial; checks × checks, which it hasn't seen, judge it.
        cores, wanted = values[..., :NODES, :NODES], values[..., NODES:, NODES:]
        error = np.abs(at_checks @ cores @ at_checks.T - wanted).max(axis=(1, 2, 3))
        return cores, error <= TOLERANCE_PX  # False for NaN, too


def _product(down: np.ndarray, core: np.ndarray, across: np.ndarray, out: np.ndarray) -> None:
    """down @ core @ across.T into ``out``, in its precision."""
    # Around the core's middle, so that single precision keeps its digits for the differences.
    middle = core[NODES // 2, NODES // 2]
    left, right = (down @ (core - middle)).astype(out.dtype), across.T.astype(out.dtype)
    # In slabs that BLAS finds too small to thread: its threads spin, which costs 100 times the product itself on a busy machine.
    for row in range(0, len(left), SLAB_ROWS):
        np.matmul(left[row : row + SLAB_ROWS], right, out=out[row : row + SLAB_ROWS])
    out += out.dtype.type(middle)


def _unwrap(values: np.ndarray, turn: float | None) -> np.ndarray:
    """Columns (n, h, w) on that turn on which the middle of each window lies; as they are where that is nowhere."""
    if turn is None:
        return values
    middle = values[:, values.shape[1] // 2, values.shape[2] // 2][:, None, None]
    return np.where(np.isfinite(middle), values - np.round((values - middle) / turn) * turn, values)


@lru_cache(maxsize=4)
def chebyshev_nodes(count: int = NODES) -> np.ndarray:
    """Points (count,) from 1 to −1, between whose values a polynomial is as good as it can be."""
    return np.cos(np.pi * (np.arange(count) + 0.5) / count)


@lru_cache(maxsize=1)
def _check_points() -> np.ndarray:
    # The block's edges, where polynomials fail first, and points half-way between nodes.
    nodes = chebyshev_nodes()
    between = (nodes[:-1] + nodes[1:]) / 2
    return np.concatenate([[-1.0, 1.0], between[::2]])


@lru_cache(maxsize=1)
def _points() -> np.ndarray:
    return np.concatenate([chebyshev_nodes(), _check_points()])


@lru_cache(maxsize=1)
def _weights_at_checks() -> np.ndarray:
    return weights_at(_check_points())


@lru_cache(maxsize=256)
def node_weights(length: int) -> np.ndarray:
    """(length, NODES): values at a block's nodes → values at its points, evenly spaced from edge to edge."""
    return weights_at(np.linspace(-1, 1, length) if length > 1 else np.zeros(1))


def weights_at(points: np.ndarray, count: int = NODES) -> np.ndarray:
    """(points, count): values at the nodes → values at the points; barycentric form (Berrut and Trefethen 2004, SIAM Review 46, 501)."""
    nodes = chebyshev_nodes(count)
    node_weights = (-1.0) ** np.arange(count) * np.sin(np.pi * (np.arange(count) + 0.5) / count)
    distance = points[:, None] - nodes[None, :]
    at_node = distance == 0
    terms = node_weights / np.where(at_node, 1.0, distance)
    weights = terms / terms.sum(axis=1, keepdims=True)
    return np.where(at_node.any(axis=1, keepdims=True), at_node.astype(float), weights)
