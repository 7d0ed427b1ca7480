"""Tiles sampled straight from a mosaic: only the pixels a tile needs are read, at exact positions.

Between a mosaic's outermost pixel centres and its edge the outermost pixel is repeated (half a pixel; at the poles too).
``nodata="mask"`` (default): missing pixels (see mosaic.py) give nothing to their neighbours; where less than half of the weight is left
the result is missing. A file that flags a legitimate value, such as 0 in a uint8 image, thus loses nothing: a dark pixel stays 0, only its
blending with neighbours changes. ``nodata="ignore"``: every declared nodata value is data.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from .errors import InputError
from .footprints import tile_window
from .grid import Grid, Window
from .mosaic import Mosaic
from .positions import BLOCK_PX, Link, blocks
from .resampling import bilinear, nearest

METHODS = ("bilinear", "nearest", "average", "auto")
# Shrinking by less than this isn't worth averaging: bilinear weights already cover the pixels in between.
AVERAGE_FROM = 1.25
MOST_SUBPIXELS = 32
GROUP_BYTES = 96 * 2**20


@dataclass
class Region:
    """Pixels of a window of a mosaic, read once for several tiles; ``read`` falls back to the file outside of it."""

    mosaic: Mosaic
    window: Window
    pixels: np.ndarray

    def read(self, window: Window) -> np.ndarray:
        row, col = window.row - self.window.row, window.col - self.window.col
        period = self.mosaic.grid.period_px
        if period and not 0 <= col <= self.window.width - window.width:
            col %= period
        inside = row >= 0 and col >= 0 and row + window.height <= self.window.height and col + window.width <= self.window.width
        return self.pixels[:, row : row + window.height, col : col + window.width] if inside else self.mosaic.read(window)


def sample(mosaic: Mosaic, grid: Grid, method: str = "auto", *, nodata: str = "mask") -> np.ndarray:
    """The mosaic on another grid: (C, h, w) in the mosaic's dtype, ``mosaic.fill`` where it has nothing.

    ``auto`` averages when the grid's pixels are larger than the mosaic's, and is bilinear otherwise. InputError if the bodies differ.
    """
    return _sample(mosaic, mosaic, grid, method, nodata)


def sample_many(
    mosaic: Mosaic, grids: Sequence[Grid], method: str = "auto", *, nodata: str = "mask", threads: int | None = None
) -> np.ndarray:
    """Many tiles of one shape: (N, C, h, w). Neighbours share their reads; ``threads`` (default: the cores, at most 8) resample."""
    grids = list(grids)
    if not grids:
        raise InputError("no tiles to sample", valid="at least one grid")
    shapes = {grid.shape for grid in grids}
    if len(shapes) > 1:
        raise InputError(f"tiles of {len(shapes)} different shapes", valid="tiles of one shape", next_step="call sample for each")
    tiles = np.empty((len(grids), mosaic.count, *grids[0].shape), dtype=mosaic.dtype)

    def work(job: tuple[int, Region | Mosaic]) -> None:
        index, source = job
        tiles[index] = _sample(mosaic, source, grids[index], method, nodata)

    with ThreadPoolExecutor(threads or min(os.cpu_count() or 1, 8)) as pool:
        for members, window in _groups(mosaic, grids):
            source = mosaic if window is None else Region(mosaic, window, mosaic.read(window))
            list(pool.map(work, [(index, source) for index in members]))
    return tiles


def _sample(mosaic: Mosaic, source: Region | Mosaic, grid: Grid, method: str, nodata: str) -> np.ndarray:
    method, factor = _resolve(mosaic, grid, method)
    if nodata not in ("mask", "ignore"):
        raise InputError(f"nodata={nodata!r}", valid="mask, ignore")
    link = Link(grid, mosaic.grid)
    tile = np.empty((mosaic.count, *grid.shape), dtype=mosaic.dtype)
    for block in blocks(grid.shape, max(1, BLOCK_PX // factor)):
        tile[:, *block.slices] = _sample_block(mosaic, source, link, block, method, factor, nodata == "mask")
    return tile


def _resolve(mosaic: Mosaic, grid: Grid, method: str) -> tuple[str, int]:
    """The method to use, and the number of subpixels per side that averaging takes."""
    if method not in METHODS:
        raise InputError(f"sampling method {method!r}", valid=", ".join(METHODS))
    shrink = grid.resolution_m / mosaic.grid.resolution_m
    if method == "auto":
        method = "average" if shrink >= AVERAGE_FROM else "bilinear"
    if method != "average":
        return method, 1
    return method, int(np.clip(np.ceil(shrink - 1e-6), 1, MOST_SUBPIXELS))


def _sample_block(mosaic: Mosaic, source: Region | Mosaic, link: Link, block: Window, method: str, factor: int, masked: bool) -> np.ndarray:
    rows, cols = link.mosaic_positions(block, factor)
    rows, cols, outside = _onto_mosaic(mosaic.grid, link, rows, cols)
    if outside is not None and outside.all():
        return np.full((mosaic.count, block.height, block.width), mosaic.fill, dtype=mosaic.dtype)
    window = _window_around(rows, cols)
    pixels = source.read(Window(window.row, window.col + link.anchor, window.height, window.width))
    missing = mosaic.missing(pixels) if masked else None
    rows -= window.row
    cols -= window.col
    if method == "nearest":
        values = nearest(pixels, rows, cols)
    else:
        values = bilinear(pixels, rows, cols, missing, mosaic.fill, factor)
    if outside is not None:
        # A shrunk pixel is missing if more than half of it is.
        share = outside.reshape(block.height, factor, block.width, factor).mean(axis=(1, 3))
        values[:, share > 0.5] = mosaic.fill
    return values


def _onto_mosaic(grid: Grid, link: Link, rows: np.ndarray, cols: np.ndarray):
    """Positions that can be read (clamped at the edges, columns in one piece), and where they were off the mosaic (None: nowhere)."""
    outside = ~((rows >= -0.5 - 1e-6) & (rows <= grid.height - 0.5 + 1e-6))  # True for NaN too
    if grid.period_px:
        cols = _around(grid, link, cols)
    else:
        if link.turn:
            # A regional mosaic has one piece of the circle: take the turn that brings the tile nearest to its middle.
            cols = cols - np.round((np.nanmedian(cols) + link.anchor - grid.width / 2) / link.turn) * link.turn
        columns = cols + link.anchor
        outside |= ~((columns >= -0.5 - 1e-6) & (columns <= grid.width - 0.5 + 1e-6))
        cols = np.clip(cols, -link.anchor, grid.width - 1 - link.anchor)
    rows = np.clip(rows, 0, grid.height - 1)
    if not outside.any():
        return rows, cols, None
    inside_row, inside_col = (rows[~outside][0], cols[~outside][0]) if not outside.all() else (0.0, 0.0)
    return np.where(outside, inside_row, rows), np.where(outside, inside_col, cols), outside


def _around(grid: Grid, link: Link, cols: np.ndarray) -> np.ndarray:
    """Columns of a global mosaic, in one piece of at most one turn, with the seam of a mosaic that isn't quite closed taken out."""
    if np.nanmax(cols, initial=-np.inf) - np.nanmin(cols, initial=np.inf) > grid.period_px - 2:
        cols = np.mod(cols, link.turn)
    gap = link.turn - grid.period_px
    if abs(gap) > 1e-3:
        cols = cols - np.floor((cols + link.anchor + 0.5) / link.turn) * gap
    return cols


def _window_around(rows: np.ndarray, cols: np.ndarray) -> Window:
    """The pixels that bilinear interpolation at the positions needs."""
    row, col = int(np.floor(rows.min())), int(np.floor(cols.min()))
    # One more on the far side, always: it is multiplied by zero where a position falls on a pixel centre, but it must exist.
    return Window(row, col, int(np.floor(rows.max())) - row + 2, int(np.floor(cols.max())) - col + 2)


def _groups(mosaic: Mosaic, grids: list[Grid]):
    """(indices, window): tiles whose footprints are worth reading in one piece; window None where each reads for itself."""
    pixel_bytes = mosaic.count * mosaic.dtype.itemsize
    windows = [tile_window(grid, mosaic.grid) for grid in grids]
    loose = [index for index, window in enumerate(windows) if window is None or window.height * window.width * pixel_bytes > GROUP_BYTES]
    placed = sorted(set(range(len(grids))) - set(loose), key=lambda index: (windows[index].row, windows[index].col))
    groups: list[tuple[list[int], Window, int]] = []
    for index in placed:
        window = windows[index]
        for at, (members, group, needed) in enumerate(groups):
            merged = _hull(group, window)
            area = merged.height * merged.width
            if area * pixel_bytes <= GROUP_BYTES and area <= 1.5 * (needed + window.height * window.width):
                groups[at] = ([*members, index], merged, needed + window.height * window.width)
                break
        else:
            groups.append(([index], window, window.height * window.width))
    yield from ((members, window) for members, window, _ in groups)
    if loose:
        yield loose, None


def _hull(first: Window, second: Window) -> Window:
    row, col = min(first.row, second.row), min(first.col, second.col)
    return Window(row, col, max(first.stop_row, second.stop_row) - row, max(first.stop_col, second.stop_col) - col)
