"""Tables of azimuthal tiles, with EJMAP's column names and meanings.

Positions are pixels of the crater's azimuthal grid: ``x, y`` the column and row of the top-left corner, ``height, width`` the size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ...core.delimited import read_frame
from ...core.errors import InputError
from ...core.frames import rows_of
from ...geo.backprojection import inscribed_square
from ...geo.grid import Grid, Window
from ...geo.sampling import sample_masked

if TYPE_CHECKING:
    from pathlib import Path

    from ...config import Tiles
    from ...geo.mosaic import Mosaic
    from .craters import Crater

POSITION_COLUMNS = ["pos_index", "crat_FID", "x", "y", "height", "width", "distance", "num_1", "h_num_1", "radius"]
MOST_EVAL_TILES = 10_000_000
"""Tiles to map around one crater: a table of more would not fit into the memory."""
EVAL_COLUMNS = ["eval_pos_index", "x", "y", "height", "width", "train_intersect"]


def window_of(row) -> Window:
    return Window(row=int(row.y), col=int(row.x), height=int(row.height), width=int(row.width))


def read_positions(path: Path) -> pd.DataFrame:
    """Tile positions on the cylindrical mosaic: ``pos_index, x, y, height, width`` in pixels, top-left corner."""
    table = read_frame(path)
    needed = ["x", "y", "height", "width"]
    missing = [column for column in needed if column not in table]
    if missing:
        raise InputError(f"{path} lacks the columns {missing}; it has {list(table.columns)}", valid=f"pos_index, {', '.join(needed)}")
    if "pos_index" not in table:
        table.insert(0, "pos_index", range(len(table)))
    return sound_positions(table, ["pos_index", *needed], path)


def sound_positions(table: pd.DataFrame, columns: list[str], path: Path) -> pd.DataFrame:
    """The table with these columns as whole numbers; raises ``InputError``, naming file and row, where they aren't tiles."""
    if table.empty:
        raise InputError(f"{path} lists no tiles", valid="one row per tile", next_step="draw tiles, or remove the file")
    for column in columns:
        numbers = pd.to_numeric(table[column], errors="coerce").to_numpy(float)
        least = 1 if column in ("height", "width") else -np.inf
        bad = np.flatnonzero(~np.isfinite(numbers) | (numbers != np.rint(numbers)) | (numbers < least))
        if len(bad):
            raise InputError(
                f"{path}, row {bad[0] + 1}: {column} is {table[column].iloc[bad[0]]}",
                valid="whole numbers of pixels, height and width at least 1",
                next_step="correct the table",
            )
        table[column] = numbers.astype(np.int64)
    doubled = np.flatnonzero(table["pos_index"].duplicated())
    if len(doubled):
        row = doubled[0]
        raise InputError(f"{path}, row {row + 1}: the tile {table['pos_index'].iloc[row]} was listed before", valid="each pos_index once")
    return table


def require_on_mosaic(table: pd.DataFrame, grid: Grid, path: Path) -> None:
    """Raise ``InputError``, naming the row, where a drawn tile lies wholly beside the mosaic."""
    below = (table["y"] + table["height"] <= 0) | (table["y"] >= grid.height)
    beside = (table["x"] + table["width"] <= 0) | (table["x"] >= grid.width)
    off = np.flatnonzero(below if grid.period_px else below | beside)
    if len(off):
        tile = table.iloc[off[0]]
        raise InputError(
            f"{path}, row {off[0] + 1}: the tile at x {tile['x']}, y {tile['y']} lies off the mosaic",
            valid=f"columns 0 to {grid.width - 1}, rows 0 to {grid.height - 1}",
            next_step="check that the tiles were drawn on this mosaic",
        )


def centre_distance_m(grid: Grid, table: pd.DataFrame) -> np.ndarray:
    """Ground distance of each tile's centre from the crater, metres; exact in an azimuthal equidistant grid."""
    half = grid.shape[1] / 2
    across = (table["x"] + table["width"] / 2 - half).to_numpy(float)
    down = (table["y"] + table["height"] / 2 - half).to_numpy(float)
    return np.hypot(across, down) * grid.resolution_m


def training_positions(
    crater: Crater, mosaic_grid: Grid, mask: Mosaic, human_mask: Mosaic, tiles: pd.DataFrame, config: Tiles
) -> pd.DataFrame:
    """One row per drawn tile: its inscribed azimuthal square, distance [m] and ejecta counts; tiles too far away are left out.

    ``num_1`` counts the crater's own ejecta pixels in the square, ``h_num_1`` those of any crater.
    """
    grid = crater.grid(mosaic_grid)
    rows = []
    for tile in rows_of(tiles):
        square = inscribed_square(mosaic_grid, window_of(tile), grid)
        if square is not None:
            rows.append((int(tile.pos_index), crater.fid, square.col, square.row, square.height, square.width))
    table = pd.DataFrame(rows, columns=POSITION_COLUMNS[:6])
    table["distance"] = centre_distance_m(grid, table)
    table = table[table["distance"] <= config.max_distance_m(crater.fid, mosaic_grid.body.half_circumference_m)].reset_index(drop=True)
    own, every = count_ejecta(mask, grid, table), count_ejecta(human_mask, grid, table)
    # A crater's own ejecta belong to the ejecta of any crater, even where the joint mask was drawn a little differently.
    return table.assign(num_1=own, h_num_1=np.maximum(own, every), radius=crater.radius_m)[POSITION_COLUMNS]


def ejecta_pixels(mask: Mosaic, grid: Grid) -> np.ndarray:
    """Where a mask holds ejecta on a tile's grid, (h, w) bool; what the mask marks as nodata, or does not cover, holds none."""
    return mask.above_zero(*sample_masked(mask, grid, method="nearest"))


def count_ejecta(mask: Mosaic, grid: Grid, table: pd.DataFrame) -> list[int]:
    """Ejecta pixels of each azimuthal tile."""
    return [int(np.count_nonzero(ejecta_pixels(mask, grid.window(window_of(row))))) for row in rows_of(table)]


def eval_positions(crater: Crater, mosaic_grid: Grid, tiles: pd.DataFrame | None, config: Tiles) -> pd.DataFrame:
    """The grid of azimuthal tiles to map around a crater; ``train_intersect`` is 1 where a tile meets a hand-drawn one.

    One tile is centred on the crater; a tile belongs to the grid if its centre is within the crater's distance limit.
    """
    grid, size = crater.grid(mosaic_grid), config.eval_size_px
    step = max(1, round(size * config.eval_step))
    reach = int(config.max_distance_m(crater.fid, mosaic_grid.body.half_circumference_m) / mosaic_grid.resolution_m / step)
    _require_countable(crater, reach, step)
    index = np.arange(-reach, reach + 1)
    origin = (grid.shape[1] - size) // 2
    row, col = (axis.ravel() for axis in np.meshgrid(index, index, indexing="ij"))
    near = np.hypot(row, col) * step * mosaic_grid.resolution_m <= config.max_distance_m(crater.fid, mosaic_grid.body.half_circumference_m)
    row, col = row[near], col[near]
    table = pd.DataFrame({"x": origin + col * step, "y": origin + row * step, "height": size, "width": size})
    hit = set() if tiles is None else _cells_meeting(tiles, mosaic_grid, grid, origin, step, size)
    table["train_intersect"] = [int(cell in hit) for cell in zip(row.tolist(), col.tolist(), strict=True)]
    table.insert(0, "eval_pos_index", range(len(table)))
    return table


def _require_countable(crater: Crater, reach: int, step: int) -> None:
    """Raise ``InputError`` for more tiles than a table can hold."""
    count = round(np.pi * reach**2)
    if count > MOST_EVAL_TILES:
        raise InputError(
            f"a tile every {step} px would make {count:.3g} tiles to map around crater {crater.fid}",
            valid=f"at most {MOST_EVAL_TILES:.3g}",
            next_step="raise tiles.eval_step or eval_size_px, or lower max_distance_fraction",
        )


def _cells_meeting(tiles: pd.DataFrame, mosaic_grid: Grid, grid: Grid, origin: int, step: int, size: int) -> set[tuple[int, int]]:
    """(row, column) of the grid's tiles that contain the centre of any pixel of the drawn tiles."""
    found: set[tuple[int, int]] = set()
    for tile in rows_of(tiles):
        rows, cols = np.mgrid[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width].reshape(2, -1)
        lon, lat = mosaic_grid.lonlat(rows, cols)
        az_row, az_col = grid.rowcol_of_lonlat(lon, lat)
        # Pixel centres have whole numbers, so p lies in tile k if origin + k·step - .5 <= p < origin + k·step + size - .5.
        first = [np.ceil((axis - origin - size + 0.5) / step).astype(int) for axis in (az_row, az_col)]
        last = [np.floor((axis - origin + 0.5) / step).astype(int) for axis in (az_row, az_col)]
        for down in range(int((last[0] - first[0]).max()) + 1):
            for across in range(int((last[1] - first[1]).max()) + 1):
                inside = (first[0] + down <= last[0]) & (first[1] + across <= last[1])
                found.update(zip((first[0] + down)[inside].tolist(), (first[1] + across)[inside].tolist(), strict=True))
    return found
