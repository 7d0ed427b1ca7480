"""Which windows of a mosaic a tile touches, found from the tile's edge alone; across the seam and over the poles."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from .grid import Grid, Window, moved_alike
from .pixel_maps import Link
from .projections import Linear

# Spacing of the points along a tile's edge, in tile pixels; closer for coarse tiles, so that an edge bulges by less than the margin between
# its points.
EDGE_STEP_PX = 8
MARGIN_PX = 2
# A pole this close to a tile (share of its side) counts as inside: meridians crowd there, and so edges would need closer points.
POLE_MARGIN = 0.05


def footprint(tiles: Grid | Iterable[Grid], mosaic_grid: Grid) -> list[Window]:
    """Windows of the mosaic that hold everything the tiles touch: one, two if it crosses the seam, none if they miss the mosaic."""
    tiles = [tiles] if isinstance(tiles, Grid) else list(tiles)
    windows = [window for window in tile_windows(tiles, mosaic_grid) if window]
    return split_at_seam(_union(windows, mosaic_grid.period_px), mosaic_grid.period_px) if windows else []


def tile_window(tile: Grid, mosaic_grid: Grid) -> Window | None:
    """The window of the mosaic that holds a tile, a pixel or two larger than needed; it may cross the seam. None if the tile misses it."""
    return tile_windows([tile], mosaic_grid)[0]


def tile_windows(tiles: Sequence[Grid], mosaic_grid: Grid) -> list[Window | None]:
    """The same of many tiles; those on one plane cost little more than one."""
    windows: list[Window | None] = [None] * len(tiles)
    for numbers, moves in moved_alike(tiles):
        for number, window in zip(numbers, _windows_of(Link(tiles[numbers[0]], mosaic_grid), moves), strict=True):
            windows[number] = window
    return windows


def _windows_of(link: Link, moves: np.ndarray) -> Iterator[Window | None]:
    """Of a link's tile, moved by rows and columns (n, 2)."""
    edge_rows, edge_cols = edge_points(link.tile.shape, _edge_step(link))
    rows, cols = link.to_mosaic(edge_rows + moves[:, :1], edge_cols + moves[:, 1:])
    on_body = (np.isfinite(rows) & np.isfinite(cols)).all(1)
    poles = np.zeros((2, len(moves)), bool)
    pole_rows = np.zeros(2)
    if isinstance(link.mosaic.projection, Linear):
        poles = np.stack([_pole_is_near(link.tile, lat, moves) for lat in (90.0, -90.0)])
        pole_rows = np.array([float(link.mosaic.rowcol_of_lonlat(0.0, lat)[0]) for lat in (90.0, -90.0)])
        cols = np.unwrap(cols, period=link.turn or 0.0, axis=1)
    for number in range(len(moves)):
        if not on_body[number]:
            # The tile reaches beyond the antipode, so its edge doesn't bound it: it may touch anything.
            yield _clipped(link, np.array([0.0, link.mosaic.height]), None)
        elif poles[:, number].any():
            yield _clipped(link, np.append(rows[number], pole_rows[poles[:, number]]), None)
        else:
            yield _clipped(link, rows[number], cols[number])


def edge_points(shape: tuple[int, int], step: float) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns (n,) along the outer edge of a raster, all the way round, at most ``step`` pixels apart."""
    bottom, right = shape[0] - 0.5, shape[1] - 0.5
    down, across = (np.linspace(-0.5, length - 0.5, int(length / step) + 2) for length in shape)
    rows = [np.full(across.size, -0.5), down, np.full(across.size, bottom), down[::-1]]
    cols = [across, np.full(down.size, right), across[::-1], np.full(down.size, -0.5)]
    return np.concatenate(rows), np.concatenate(cols)


def split_at_seam(window: Window, period: int | None) -> list[Window]:
    """A window as one or two windows that lie within the file's columns."""
    if period is None:
        return [window]
    col = window.col % period
    width = min(window.width, period)
    if col + width <= period:
        return [Window(window.row, col, window.height, width)]
    first = period - col
    return [Window(window.row, col, window.height, first), Window(window.row, 0, window.height, width - first)]


def _edge_step(link: Link) -> float:
    """Tile pixels between points whose arc, on a circle of the body's radius, bulges by half a mosaic pixel at most."""
    body_radius_px = link.mosaic.body.semi_major_m / link.mosaic.resolution_m
    return min(EDGE_STEP_PX, 2 * body_radius_px**0.5 / _coarseness(link))


def _coarseness(link: Link) -> float:
    return link.tile.resolution_m / link.mosaic.resolution_m


def _clipped(link: Link, rows: np.ndarray, cols: np.ndarray | None) -> Window | None:
    """The window around positions, cut to the rows and columns that exist; ``cols`` None means all the way round."""
    grid = link.mosaic
    # Around a pole edges bulge most, by half a tile pixel between points eight apart.
    margin = MARGIN_PX + int(_coarseness(link) / 2)
    row = max(int(np.floor(rows.min())) - margin, 0)
    stop_row = min(int(np.ceil(rows.max())) + margin + 1, grid.height)
    if stop_row <= row:
        return None
    period = grid.period_px
    if cols is None:
        # Starting opposite the crater, not at the file's first column, so that the result doesn't depend on where the seam is.
        col, width = ((link.anchor - period // 2) % period, period) if period else (0, grid.width)
        return Window(row, col, stop_row - row, width)
    col, stop_col = int(np.floor(cols.min())) - margin + link.anchor, int(np.ceil(cols.max())) + margin + 1 + link.anchor
    if period:
        return _clipped(link, rows, None) if stop_col - col >= period else Window(row, col % period, stop_row - row, stop_col - col)
    if link.turn:
        shift = round(((col + stop_col) / 2 - grid.width / 2) / link.turn) * link.turn
        col, stop_col = int(np.floor(col - shift)), int(np.ceil(stop_col - shift))
    col, stop_col = max(col, 0), min(stop_col, grid.width)
    return Window(row, col, stop_row - row, stop_col - col) if stop_col > col else None


def _pole_is_near(tile: Grid, lat: float, moves: np.ndarray) -> np.ndarray:
    """Whether a pole lies in or by a tile that is moved by rows and columns (n, 2): (n,)."""
    place = np.array(tile.rowcol_of_lonlat(0.0, lat)) - moves
    margin = max(2 * EDGE_STEP_PX, POLE_MARGIN * max(tile.shape))
    return ((place >= -margin) & (place <= np.array(tile.shape) + margin)).all(1)


def _union(windows: list[Window], period: int | None) -> Window:
    """The smallest window around several; on a global grid around the side where they leave the largest gap."""
    row, stop_row = min(window.row for window in windows), max(window.stop_row for window in windows)
    if period is None:
        col, stop_col = min(window.col for window in windows), max(window.stop_col for window in windows)
        return Window(row, col, stop_row - row, stop_col - col)
    spans = sorted((window.col % period, min(window.width, period)) for window in windows)
    reach, best_gap, start = spans[0][0] + spans[0][1], -1, spans[0][0]
    for col, width in [*spans[1:], (spans[0][0] + period, spans[0][1])]:
        if col - reach > best_gap:
            best_gap, start = col - reach, col
        reach = max(reach, col + width)
    width = period - max(best_gap, 0)
    return Window(row, start % period, stop_row - row, width)
