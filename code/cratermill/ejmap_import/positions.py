"""EJMAP's tables of tiles, brought to our azimuthal grid.

EJMAP's conceptual raster of a planet has 2·int(πR / resolution) pixels a side, ours round(2πR / resolution). Both are centred on the
crater, so pixel positions differ by half of the difference: 1 px for EJMAP's own mosaic, where πR / resolution is 11519.99999992.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..core.errors import InputError, nearest
from ..core.frames import rows_of
from ..families.ejecta_common.prepare import read_table
from ..families.ejecta_common.tile_positions import EVAL_COLUMNS, POSITION_COLUMNS
from ..geo.grid import azimuthal_grid
from .npy_files import Unreadable, as_plane, mapped

if TYPE_CHECKING:
    from pathlib import Path

    from ..families.ejecta_common.craters import Crater
    from ..geo.grid import Grid
    from .source import EjmapData

CLEAR_PX, UNLIKE_PX = 0.05, 0.2
"""A size fits if tiles lie where EJMAP says to within the first, and is ruled out if they are off by more than the second."""
LOOKED_AT = 12


def read_az_positions(path: Path, craters: list[Crater]) -> pd.DataFrame:
    """``az_positions_all.csv`` with the columns that training reads; the radius is taken from the crater list if the table has none."""
    table = read_table(path)
    table = table[[name for name in table.columns if not name.startswith("Unnamed:")]]
    if "radius" not in table and "crat_FID" in table:
        table = table.assign(radius=table["crat_FID"].map({crater.fid: crater.radius_m for crater in craters}))
    _require(table, path, [*POSITION_COLUMNS, "split_class"])
    known = {crater.fid for crater in craters}
    strange = sorted(set(table["crat_FID"]) - known)
    if strange:
        raise InputError(
            f"{path} has tiles of craters {strange[:5]}, which the crater list lacks", valid=nearest(str(strange[0]), sorted(known))
        )
    if not any(name.startswith("test_") for name in table.columns):
        raise InputError(f"{path} has no TV-Test split", valid="columns test_0, test_1, …", next_step="make a split in EJMAP first")
    return table


def read_eval_positions(path: Path) -> pd.DataFrame:
    table = read_table(path)
    table = table[[name for name in table.columns if not name.startswith("Unnamed:")]]
    _require(table, path, EVAL_COLUMNS)
    return table


def _require(table: pd.DataFrame, path: Path, columns: list[str]) -> None:
    missing = [column for column in columns if column not in table]
    if missing:
        raise InputError(f"{path} lacks the columns {missing}; it has {list(table.columns)}", valid=", ".join(columns))


def shifted(table: pd.DataFrame, shift_px: int) -> pd.DataFrame:
    """The same tiles as pixels of our grid."""
    return table.assign(x=table["x"] + shift_px, y=table["y"] + shift_px)


def used(table: pd.DataFrame) -> np.ndarray:
    """Which rows (N,) any split trains or tests on."""
    return (table[[name for name in table.columns if name.startswith("test_")]] >= 0).any(axis=1).to_numpy()


def grid_shift_px(table: pd.DataFrame, mosaic_grid: Grid, data: EjmapData) -> int:
    """What to add to EJMAP's x and y: by EJMAP's formula, unless its distances say that the raster had another size."""
    grid = azimuthal_grid(mosaic_grid.body, 0.0, 0.0, mosaic_grid.resolution_m)
    half = math.pi * mosaic_grid.body.semi_major_m / mosaic_grid.resolution_m
    sizes = [2 * (int(half) + more) for more in (0, 1, -1)]
    rows = table[used(table)]
    for measured in (_tile_residuals, _centre_residuals):
        residuals = measured(rows, sizes, grid.resolution_m, data)
        if residuals and min(residuals) < CLEAR_PX and max(residuals) > UNLIKE_PX:
            return (grid.shape[0] - sizes[int(np.argmin(residuals))]) // 2
    return (grid.shape[0] - sizes[0]) // 2


def _tile_residuals(rows: pd.DataFrame, sizes: list[int], resolution_m: float, data: EjmapData) -> list[float]:
    """Median difference in pixels between the corner of some tiles' distance channels and what each size makes of it."""
    found = []
    for row in rows_of(rows.iloc[:: max(1, len(rows) // LOOKED_AT)]):
        try:
            plane = as_plane(mapped(data.distance(row.pos_index, row.crat_FID)))
        except Unreadable:
            continue
        across, down = row.width / plane.shape[1] / 2, row.height / plane.shape[0] / 2
        expected = [math.hypot(row.x + across - size / 2, row.y + down - size / 2) for size in sizes]
        found.append([abs(float(plane[0, 0]) / resolution_m - value) for value in expected])
    return np.median(found, axis=0).tolist() if found else []


def _centre_residuals(rows: pd.DataFrame, sizes: list[int], resolution_m: float, _data: EjmapData) -> list[float]:
    """The same from the column ``distance``, where that is the distance of the tile's centre."""
    if rows.empty:
        return []
    given = rows["distance"].to_numpy(float)
    return [float(np.median(np.abs(_distance_m(rows, size, resolution_m) - given))) / resolution_m for size in sizes]


def _distance_m(rows: pd.DataFrame, size: int, resolution_m: float) -> np.ndarray:
    across = (rows["x"] + rows["width"] / 2 - size / 2).to_numpy(float)
    down = (rows["y"] + rows["height"] / 2 - size / 2).to_numpy(float)
    return np.hypot(across, down) * resolution_m
