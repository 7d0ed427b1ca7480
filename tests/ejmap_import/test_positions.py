"""EJMAP's azimuthal raster against ours."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from affine import Affine

from cratermill.ejmap_import.positions import grid_shift_px
from cratermill.ejmap_import.source import EjmapData
from cratermill.geo.bodies import Body
from cratermill.geo.grid import Grid

MERCURY = Body("mercury", 2439400.0, 2439400.0, "EJMAP")
RESOLUTION_M = 665.24315271
GRID = Grid(
    MERCURY.cylindrical_crs(), Affine(RESOLUTION_M, 0, -11520 * RESOLUTION_M, 0, -RESOLUTION_M, 5760 * RESOLUTION_M), (11520, 23040)
)


def tiles(size: int | None) -> pd.DataFrame:
    """Tiles in a raster of ``size`` pixels, with the distances of their centres; without a size with distances that say nothing."""
    rng = np.random.default_rng(1)
    table = pd.DataFrame({"x": rng.integers(9000, 13000, 40), "y": rng.integers(9000, 13000, 40), "height": 112, "width": 112, "test_0": 0})
    centre = (size or 0) / 2
    metres = np.hypot(table["x"] + 56 - centre, table["y"] + 56 - centre) * RESOLUTION_M
    return table.assign(pos_index=range(40), crat_FID=1, distance=metres if size else rng.uniform(0, 1e6, 40))


@pytest.mark.parametrize(("size", "shift"), [(23038, 1), (23040, 0), (None, 1)])
def test_the_raster_of_ejmaps_own_mosaic_is_two_pixels_smaller_than_ours(tmp_path, size, shift):
    # int() of 11519.99999992, where we round: EJMAP's formula counts where the distances say nothing.
    assert int(math.pi * 2439400 / RESOLUTION_M) == 11519
    assert grid_shift_px(tiles(size), GRID, EjmapData(tmp_path)) == shift


def test_distance_channels_decide_before_the_table(tmp_path):
    table, data = tiles(23040), EjmapData(tmp_path)
    data.distance(0, 1).parent.mkdir(parents=True)
    for row in table.itertuples():
        x, y = row.x + 0.5 - 11519, row.y + 0.5 - 11519
        np.save(data.distance(row.pos_index, 1), np.full((1, 112, 112), math.hypot(x, y) * RESOLUTION_M))
    assert grid_shift_px(table, GRID, data) == 1
