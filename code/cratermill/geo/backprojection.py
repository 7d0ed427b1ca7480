"""From crater-centred azimuthal tiles back to the mosaic's grid, only where they land; and the squares that fit cylindrical tiles."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..core.errors import InputError
from .footprints import edge_points, footprint, split_at_seam, tile_window
from .grid import Grid, Window
from .pixel_maps import BLOCK_PX, Link, blocks
from .resampling import bilinear, nearest_or_fill

__all__ = ["footprint", "inscribed_square", "landings", "to_mosaic"]

METHODS = ("nearest", "bilinear")


def to_mosaic(
    array: np.ndarray, azimuthal_grid: Grid, mosaic_grid: Grid, fill: float = 0, method: str = "nearest"
) -> list[tuple[Window, np.ndarray]]:
    """An array (h, w) or (C, h, w) on an azimuthal tile, resampled to the windows of the mosaic where it lands.

    Returns (window, array of the window's shape) once, twice across the seam, never where the tile misses the mosaic. Mosaic pixels whose
    centre lies outside the tile hold ``fill``. Cost and memory follow the tile's footprint, not the mosaic.
    """
    landed = [
        (window, np.full((*np.shape(array)[:-2], window.height, window.width), fill, dtype=np.asarray(array).dtype))
        for window in footprint(azimuthal_grid, mosaic_grid)
    ]
    for part, values in landings(array, azimuthal_grid, mosaic_grid, fill, method):
        window, whole = next(piece for piece in landed if piece[0].common(part))
        whole[..., *part.within(window).slices] = values
    return landed


def landings(
    array: np.ndarray, azimuthal_grid: Grid, mosaic_grid: Grid, fill: float = 0, method: str = "nearest"
) -> Iterator[tuple[Window, np.ndarray]]:
    """The same block by block: (window inside one of the :func:`footprint`'s, array), for those who add to what is there; none for blocks
    that the tile misses."""
    planes = _planes(array, azimuthal_grid, method)
    window = tile_window(azimuthal_grid, mosaic_grid)
    if window is None:
        return
    link, period = Link(azimuthal_grid, mosaic_grid), mosaic_grid.period_px
    missing = _without_value(planes) if method == "bilinear" else None
    # A mosaic that isn't quite closed has a gap at its seam, so the two sides are computed apart, each in the file's own columns.
    closed = period is not None and link.turn is not None and abs(link.turn - period) <= 1e-3
    for whole in [window] if closed else split_at_seam(window, period):
        start = _nearest_turn(whole, link).col if closed else whole.col - link.anchor
        for block in blocks((whole.height, whole.width), BLOCK_PX):
            rows, cols = link.tile_positions(Window(whole.row + block.row, start + block.col, block.height, block.width))
            if _misses(rows, planes.shape[1]) or _misses(cols, planes.shape[2]):
                continue
            if method == "nearest":
                values = nearest_or_fill(planes, rows, cols, fill)
            else:
                values = _bilinear_or_fill(planes, rows, cols, missing, fill)
            there = Window(whole.row + block.row, whole.col + block.col, block.height, block.width)
            for part, piece in _split(there, values, period):
                yield part, piece.reshape(*np.shape(array)[:-2], part.height, part.width)


def inscribed_square(mosaic_grid: Grid, window: Window, azimuthal_grid: Grid) -> Window | None:
    """The largest square of the azimuthal grid whose pixel centres all lie in a cylindrical tile (a window of the mosaic's grid).

    Of several it is the one nearest to the middle of the tile's image. None if not even one pixel fits, or the tile holds the antipode,
    around which its image isn't one piece.
    """
    link = Link(azimuthal_grid, mosaic_grid)
    rows, cols = edge_points((window.height, window.width), 4)
    tile_rows, tile_cols = link.to_tile(rows + window.row, cols + window.col - link.anchor)
    if _holds_antipode(link, window) or not (np.isfinite(tile_rows).all() and np.isfinite(tile_cols).all()):
        return None
    box = _box(tile_rows, tile_cols, azimuthal_grid.shape)
    if box is None:
        return None
    inside = _inside(link, window, *link.mosaic_positions(box))
    found = largest_square(inside)
    return None if found is None else Window(box.row + found.row, box.col + found.col, found.height, found.width)


def largest_square(mask: np.ndarray) -> Window | None:
    """The largest axis-aligned square of True in a mask (h, w); of several the one nearest to the middle of all True."""
    total = np.zeros((mask.shape[0] + 1, mask.shape[1] + 1), dtype=np.int32)
    np.cumsum(mask, axis=0, out=total[1:, 1:])
    np.cumsum(total[1:, 1:], axis=1, out=total[1:, 1:])
    low, high = 0, min(mask.shape)
    while low < high:
        side = (low + high + 1) // 2
        low, high = (side, high) if _full_squares(total, side).any() else (low, side - 1)
    if low == 0:
        return None
    rows, cols = np.nonzero(_full_squares(total, low))
    middle_row, middle_col = (np.average(np.arange(length), weights=mask.sum(axis=1 - axis)) for axis, length in enumerate(mask.shape))
    best = np.argmin((rows + (low - 1) / 2 - middle_row) ** 2 + (cols + (low - 1) / 2 - middle_col) ** 2)
    return Window(rows[best], cols[best], low, low)


def _full_squares(total: np.ndarray, side: int) -> np.ndarray:
    # Sums over all squares of one side, from the summed-area table.
    sums = total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side]
    return sums == side * side


def _planes(array: np.ndarray, grid: Grid, method: str) -> np.ndarray:
    array = np.asarray(array)
    if array.ndim not in (2, 3) or array.shape[-2:] != grid.shape:
        raise InputError(
            f"array of shape {array.shape} for a tile of {grid.shape}", valid="(h, w) or (bands, h, w) with the tile's h and w"
        )
    if method not in METHODS:
        raise InputError(f"method {method!r}", valid=", ".join(METHODS))
    return array.reshape(-1, *grid.shape)


def _nearest_turn(window: Window, link: Link) -> Window:
    """The window with columns counted from the crater's, on the turn where its middle is less than half a turn away."""
    period = link.mosaic.period_px
    assert period is not None, "asked of mosaics around a body alone"
    half_width = window.width // 2
    middle = window.col - link.anchor + half_width
    return Window(window.row, (middle + period // 2) % period - period // 2 - half_width, window.height, window.width)


def _misses(positions: np.ndarray, length: int) -> bool:
    low, high = positions.min(), positions.max()
    if np.isnan(low):
        low, high = np.nanmin(positions, initial=np.inf), np.nanmax(positions, initial=-np.inf)
    return not (high >= -0.5 and low < length - 0.5)


def _without_value(planes: np.ndarray) -> np.ndarray | None:
    """Where planes are NaN or infinite; None: nowhere."""
    if planes.dtype.kind != "f" or np.isfinite(planes).all():
        return None
    return ~np.isfinite(planes)


def _bilinear_or_fill(planes: np.ndarray, rows: np.ndarray, cols: np.ndarray, missing: np.ndarray | None, fill: float) -> np.ndarray:
    height, width = planes.shape[1:]
    inside = (rows >= -0.5) & (rows < height - 0.5) & (cols >= -0.5) & (cols < width - 0.5)  # False for NaN
    everywhere = inside.all()
    rows, cols = (np.clip(at, 0, length - 1) for at, length in ((rows, height), (cols, width)))
    if not everywhere:
        rows, cols = np.where(inside, rows, 0), np.where(inside, cols, 0)
    values = bilinear(planes, rows, cols, missing, fill)
    if not everywhere:
        np.copyto(values, np.asarray(fill, dtype=planes.dtype), where=~inside)
    return values


def _split(window: Window, values: np.ndarray, period: int | None) -> list[tuple[Window, np.ndarray]]:
    parts = split_at_seam(window, period)
    edges = np.cumsum([0, *(part.width for part in parts)])
    return [(part, values[..., start : start + part.width]) for part, start in zip(parts, edges[:-1], strict=True)]


def _holds_antipode(link: Link, window: Window) -> bool:
    centre = getattr(link.tile.projection, "lat_0", None)
    lon, lat = (link.lon_ref + 180, -centre) if centre is not None else _antipode_of(link)
    row, col = link.mosaic.rowcol_of_lonlat(lon, lat)
    period = link.mosaic.period_px
    offset = (col - window.col + 0.5) % period if period else col - window.col + 0.5
    return bool(-0.5 <= row - window.row + 0.5 <= window.height + 0.5 and -0.5 <= offset <= window.width + 0.5)


def _antipode_of(link: Link) -> tuple[float, float]:
    lon, lat = link.tile.projection.to_lonlat(0.0, 0.0)
    return float(lon) + 180, -float(lat)


def _box(rows: np.ndarray, cols: np.ndarray, shape: tuple[int, int]) -> Window | None:
    """The pixels around an image's edge, with a margin for how far the edge bulges between its points."""
    spans = []
    for values, length in ((rows, shape[0]), (cols, shape[1])):
        first, stop = max(int(np.floor(values.min())) - 1, 0), min(int(np.ceil(values.max())) + 2, length)
        if stop <= first:
            return None
        spans.append((first, stop - first))
    return Window(spans[0][0], spans[1][0], spans[0][1], spans[1][1])


def _inside(link: Link, window: Window, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    offset = cols + (link.anchor - window.col + 0.5)
    if link.turn:
        offset = np.mod(offset, link.turn)
    return (rows >= window.row - 0.5) & (rows < window.stop_row - 0.5) & (offset >= 0) & (offset < window.width)
