"""Tiles sampled straight from a mosaic: only the pixels a tile needs are read, at exact positions.

Between a mosaic's outermost pixel centres and its edge the outermost pixel is repeated (half a pixel; at the poles too).
``nodata="mask"`` (default): missing pixels (see validity.py) give nothing to their neighbours; where less than half of the weight is left
the result is missing. A file that flags a legitimate value, such as 0 in a uint8 image, thus loses nothing: a dark pixel stays 0, only its
blending with neighbours changes. ``nodata="ignore"``: declared nodata values are data; NaN and what alpha or masks hide never are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from ..core.errors import InputError
from ..core.machine import cores
from .footprints import tile_windows
from .grid import Grid, Window
from .mosaic import Mosaic, Raw
from .pixel_maps import Link, blocks
from .reads import grouped, reading_order
from .resampling import bilinear_masked, nearest

METHODS = ("bilinear", "nearest", "average", "auto")
# Shrinking by less than this isn't worth averaging: bilinear weights already cover the pixels in between.
AVERAGE_FROM = 1.25
# From more subpixels per side on, the mosaic's pixels are averaged in small blocks first, which is much less work.
MOST_SUBPIXELS, COARSE_SUBPIXELS = 8, 3
"""Of any tile; and where pixels twice as wide as the mosaic's set how sharp a picture needs to be: about as sharp at any reduction, for a
fraction of the work."""
# Tiles are sampled in blocks that need about so many pixels of the mosaic per side, whatever the shrinking.
SOURCE_BLOCK_PX = 768
GROUP_BYTES = 96 * 2**20
WASTE, LOOK_BACK = 1.5, 16
"""Tiles are read in one piece of at most so many times their own pixels; so many groups are looked through for a tile's neighbours."""

Masked = tuple[np.ndarray, np.ndarray | None]


@dataclass
class Region:
    """Pixels of a window of a mosaic, read once for several tiles; ``read_raw`` falls back to the file outside of it."""

    mosaic: Mosaic
    window: Window
    raw: Raw

    def read_raw(self, window: Window) -> Raw:
        row, col = window.row - self.window.row, window.col - self.window.col
        period = self.mosaic.grid.period_px
        if period and not 0 <= col <= self.window.width - window.width:
            col %= period
        inside = row >= 0 and col >= 0 and row + window.height <= self.window.height and col + window.width <= self.window.width
        if not inside:
            return self.mosaic.read_raw(window)
        part = np.s_[:, row : row + window.height, col : col + window.width]
        return Raw(self.raw.pixels[part], None if self.raw.hidden is None else self.raw.hidden[part])


def sample(mosaic: Mosaic, grid: Grid, method: str = "auto", *, nodata: str = "mask") -> np.ndarray:
    """The mosaic on another grid: (C, h, w) in the mosaic's dtype, ``mosaic.fill`` where it has nothing.

    ``auto`` averages when the grid's pixels are larger than the mosaic's, and is bilinear otherwise. InputError if the bodies differ.
    """
    return sample_masked(mosaic, grid, method, nodata=nodata)[0]


def sample_masked(mosaic: Mosaic, grid: Grid, method: str = "auto", *, nodata: str = "mask", subpixels: int = MOST_SUBPIXELS) -> Masked:
    """The same, and a mask (C, h, w) of where the mosaic has nothing; None if it has data everywhere. ``subpixels``: see there."""
    return _sample(mosaic, mosaic, grid, way_of(mosaic, grid, method, nodata, subpixels))


def sample_many(
    mosaic: Mosaic, grids: Sequence[Grid], method: str = "auto", *, nodata: str = "mask", threads: int | None = None
) -> np.ndarray:
    """Tiles of one shape, (N, C, h, w); neighbours share their reads; ``threads`` (default: the cores, at most 8) resample."""
    return sample_many_masked(mosaic, grids, method, nodata=nodata, threads=threads)[0]


def sample_many_masked(
    mosaic: Mosaic, grids: Sequence[Grid], method: str = "auto", *, nodata: str = "mask", threads: int | None = None
) -> Masked:
    """The same, and a mask (N, C, h, w) of where the mosaic has nothing; None if it has data everywhere."""
    grids = list(grids)
    if not grids:
        raise InputError("no tiles to sample", valid="at least one grid")
    shapes = {grid.shape for grid in grids}
    if len(shapes) > 1:
        raise InputError(f"tiles of {len(shapes)} different shapes", valid="tiles of one shape", next_step="call sample for each")
    tiles = np.empty((len(grids), mosaic.count, *grids[0].shape), dtype=mosaic.dtype)
    gone: dict[int, np.ndarray] = {}

    def work(job: tuple[int, Region | Mosaic]) -> None:
        index, source = job
        tiles[index], missing = _sample(mosaic, source, grids[index], way_of(mosaic, grids[index], method, nodata))
        if missing is not None:
            gone[index] = missing

    with ThreadPoolExecutor(threads or min(cores(), 8)) as pool:
        for members, window in groups(mosaic, grids):
            source = mosaic if window is None else Region(mosaic, window, mosaic.read_raw(window))
            list(pool.map(work, [(index, source) for index in members]))
    if not gone:
        return tiles, None
    masks = np.zeros(tiles.shape, bool)
    for index, missing in gone.items():
        masks[index] = missing
    return tiles, masks


@dataclass(frozen=True)
class Way:
    """How to sample: by subpixels per side of a pixel (``factor``), out of the mosaic's pixels averaged by ``thin`` × ``thin``."""

    method: str
    factor: int = 1
    thin: int = 1
    masked: bool = True


def way_of(mosaic: Mosaic, grid: Grid, method: str, nodata: str, most: int = MOST_SUBPIXELS) -> Way:
    if method not in METHODS:
        raise InputError(f"sampling method {method!r}", valid=", ".join(METHODS))
    if nodata not in ("mask", "ignore"):
        raise InputError(f"nodata={nodata!r}", valid="mask, ignore")
    masked, shrink = nodata == "mask", grid.resolution_m / mosaic.grid.resolution_m
    if method == "auto":
        method = "average" if shrink >= AVERAGE_FROM else "bilinear"
    if method != "average":
        return Way(method, masked=masked)
    subpixels = max(1, int(np.ceil(shrink - 1e-6)))
    thin = 1 if subpixels <= most else subpixels // ((most + 1) // 2)
    return Way(method, -(-subpixels // thin), thin, masked)


def _sample(mosaic: Mosaic, source: Region | Mosaic, grid: Grid, way: Way) -> Masked:
    link, gone = Link(grid, mosaic.grid), None
    tile = np.empty((mosaic.count, *grid.shape), dtype=mosaic.dtype)
    for block in blocks(grid.shape, max(1, SOURCE_BLOCK_PX // (way.factor * way.thin))):
        tile[:, *block.slices], missing = _sample_block(mosaic, source, link, block, way)
        if missing is not None and missing.any():
            gone = np.zeros(tile.shape, bool) if gone is None else gone
            gone[:, *block.slices] = missing
    return tile, gone


def _sample_block(mosaic: Mosaic, source: Region | Mosaic, link: Link, block: Window, way: Way) -> Masked:
    rows, cols, outside = _onto_mosaic(link, *link.mosaic_positions(block, way.factor))
    if outside is not None and outside.all():
        shape = (mosaic.count, block.height, block.width)
        return np.full(shape, mosaic.fill, dtype=mosaic.dtype), np.ones(shape, bool)
    window = _window_around(link, rows, cols, way.thin)
    pixels, hidden = source.read_raw(Window(window.row, window.col + link.anchor, window.height, window.width))
    rows -= window.row
    cols -= window.col
    missing = mosaic.missing(pixels, hidden, declared=way.masked)
    if way.method == "nearest":
        values, gone = _nearest(pixels, rows, cols, missing, mosaic.fill)
    else:
        values, gone = bilinear_masked(pixels, rows, cols, missing, mosaic.fill, way.factor, way.thin)
    if outside is not None:
        # A shrunk pixel is missing if more than half of it is.
        share = outside.reshape(block.height, way.factor, block.width, way.factor).mean(axis=(1, 3))
        values[:, share > 0.5] = mosaic.fill
        gone = share[None] > 0.5 if gone is None else gone | (share > 0.5)
    return values, gone


def _nearest(pixels: np.ndarray, rows: np.ndarray, cols: np.ndarray, missing: np.ndarray | None, fill: float) -> Masked:
    values = nearest(pixels, rows, cols)
    if missing is None:
        return values, None
    gone = nearest(missing, rows, cols)
    return np.where(gone, np.asarray(fill, pixels.dtype), values), gone


def _onto_mosaic(link: Link, rows: np.ndarray, cols: np.ndarray):
    """Positions that can be read (clamped at the edges, columns in one piece), and where they were off the mosaic (None: nowhere)."""
    grid = link.mosaic
    outside = ~((rows >= -0.5 - 1e-6) & (rows <= grid.height - 0.5 + 1e-6))  # True for NaN too
    rows = np.clip(rows, 0, grid.height - 1)
    if grid.period_px:
        cols = _around(link, cols)
    else:
        if link.turn:
            # A regional mosaic has one piece of the circle: each position goes on the turn that is nearest to its middle.
            start = grid.width / 2 - link.turn / 2 - link.anchor
            cols = np.mod(cols - start, link.turn) + start
        outside |= ~((cols >= -0.5 - 1e-6 - link.anchor) & (cols <= grid.width - 0.5 + 1e-6 - link.anchor))
        cols = np.clip(cols, -link.anchor, grid.width - 1 - link.anchor)
    if not outside.any():
        return rows, cols, None
    # Any position that can be read will do where the result is thrown away.
    inside_row, inside_col = (rows[~outside][0], cols[~outside][0]) if not outside.all() else (0.0, 0.0)
    return np.where(outside, inside_row, rows), np.where(outside, inside_col, cols), outside


def _around(link: Link, cols: np.ndarray) -> np.ndarray:
    """Columns of a global mosaic, in one piece of at most one turn, with the seam of a mosaic that isn't quite closed taken out."""
    period, turn = link.mosaic.period_px, link.turn
    assert period is not None and turn is not None, "asked of mosaics around a body alone"
    if np.nanmax(cols, initial=-np.inf) - np.nanmin(cols, initial=np.inf) > period - 2:
        cols = np.mod(cols, turn)
    gap = turn - period
    if abs(gap) > 1e-3:
        cols = cols - np.floor((cols + link.anchor + 0.5) / turn) * gap
    return cols


def _window_around(link: Link, rows: np.ndarray, cols: np.ndarray, thin: int) -> Window:
    """The pixels, two by two at least, that interpolation at the positions needs; columns from the anchor."""
    # Thin × thin blocks start where the first subpixel does, and one more block lies on every side.
    margin, lead = (thin, (thin - 1) / 2 - 1e-3) if thin > 1 else (0, 0.0)
    row, stop_row = int(np.floor(rows.min() - lead)) - margin, int(np.floor(rows.max() + lead)) + 2 + margin
    row, stop_row = max(min(row, link.mosaic.height - 2), 0), min(stop_row, link.mosaic.height)
    col, stop_col = int(np.floor(cols.min() - lead)) - margin, int(np.floor(cols.max() + lead)) + 2 + margin
    if not link.mosaic.period_px:
        first, end = -link.anchor, link.mosaic.width - link.anchor
        col, stop_col = max(min(col, end - 2), first), min(stop_col, end)
    return Window(row, col, stop_row - row, stop_col - col)


def groups(mosaic: Mosaic, grids: list[Grid]) -> Iterator[tuple[list[int], Window | None]]:
    """(indices, window): tiles whose footprints are worth reading in one piece; window None where each reads for itself."""
    most_pixels = GROUP_BYTES / (mosaic.count * mosaic.dtype.itemsize)
    windows = tile_windows(grids, mosaic.grid)
    small = {index: window for index, window in enumerate(windows) if window is not None and window.height * window.width <= most_pixels}
    loose, placed = sorted(set(range(len(grids))) - set(small)), np.array(list(small))
    if small:
        edges = np.array([(window.row, window.col, window.stop_row, window.stop_col) for window in small.values()])
        order = reading_order(edges[:, 0], edges[:, 1], in_strips=False)
        placed, edges = placed[order], edges[order]
        areas = ((edges[:, 2] - edges[:, 0]) * (edges[:, 3] - edges[:, 1])).tolist()
        for members, hull in grouped(edges, areas, _area, most_pixels, WASTE, LOOK_BACK):
            yield placed[members].tolist(), Window(hull[0], hull[1], hull[2] - hull[0], hull[3] - hull[1])
    if loose:
        yield loose, None


def _area(hull: list[int]) -> int:
    return (hull[2] - hull[0]) * (hull[3] - hull[1])
