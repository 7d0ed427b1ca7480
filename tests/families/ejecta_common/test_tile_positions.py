"""Tile tables: where tiles lie, how far, how much ejecta they hold, which meet the drawn ones."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cratermill.config import Tiles
from cratermill.core.errors import InputError
from cratermill.families.ejecta_common.craters import Crater
from cratermill.families.ejecta_common.tile_positions import (
    EVAL_COLUMNS,
    eval_positions,
    read_positions,
    require_on_mosaic,
    training_positions,
    window_of,
)
from cratermill.geo.grid import Window
from cratermill.geo.mosaic import Mosaic
from tests.tiny import BODY, SHAPE, write_raster

TILES = Tiles(eval_size_px=10)


@pytest.fixture(scope="module")
def mosaic(tmp_path_factory):
    with Mosaic.open(write_raster(tmp_path_factory.mktemp("m") / "m.tif", np.ones((3, *SHAPE), np.uint8))) as opened:
        yield opened


def crater(lon: float, lat: float) -> Crater:
    return Crater(7, lon, lat, 90e3, True)


@pytest.mark.parametrize(("lon", "lat"), [(0.0, 0.0), (179.9, 5.0), (-179.9, -30.0), (60.0, 75.0)])
def test_eval_grid_covers_the_reach_and_knows_the_drawn_tiles(mosaic, lon, lat):
    one = crater(lon, lat)
    grid = one.grid(mosaic.grid)
    row, col = (int(np.rint(value)) for value in mosaic.grid.rowcol_of_lonlat(lon, lat))
    drawn = pd.DataFrame([{"pos_index": 0, "x": col - 10, "y": row - 5, "height": 10, "width": 20}])
    table = eval_positions(one, mosaic.grid, drawn, TILES)
    assert list(table) == EVAL_COLUMNS and table["eval_pos_index"].tolist() == list(range(len(table)))
    centres = np.hypot(*(table[axis] + 5 - grid.shape[0] / 2 for axis in ("x", "y"))) * grid.resolution_m
    assert centres.max() <= 0.25 * BODY.half_circumference_m
    # A disc of this radius holds this many steps of 9 pixels.
    expected = np.pi * (0.25 * BODY.half_circumference_m / grid.resolution_m / 9) ** 2
    assert len(table) == pytest.approx(expected, rel=0.1)
    # Independently: a tile meets the drawn one if any of its own pixels lies in it.
    for tile in table.itertuples():
        rows, cols = np.mgrid[tile.y : tile.y + 10 : 0.5, tile.x : tile.x + 10 : 0.5]
        inside_row, inside_col = mosaic.grid.rowcol_of_lonlat(*grid.lonlat(rows, cols))
        away = (inside_col - (col - 10) + 180) % 360 - 180
        inside = (inside_row >= row - 5) & (inside_row < row + 5) & (away >= 0) & (away < 20)
        if inside.mean() > 0.05:
            assert tile.train_intersect == 1
        if not inside.any() and tile.train_intersect:
            edge = (inside_row >= row - 7) & (inside_row < row + 7) & (away >= -2) & (away < 22)
            assert edge.any(), "a tile far from the drawn one"


def test_more_tiles_to_map_than_a_table_can_hold_are_refused(mosaic):
    huge = Tiles(eval_size_px=8, eval_step=1e-9, max_distance_overrides={7: 1e6})
    with pytest.raises(InputError, match="tiles to map around crater 7"):
        eval_positions(crater(0, 0), mosaic.grid, None, huge)


def test_override_extends_the_reach_of_one_crater(mosaic):
    wide = TILES.model_copy(update={"max_distance_overrides": {7: 0.5}})
    near, far = (eval_positions(crater(0, 0), mosaic.grid, None, config) for config in (TILES, wide))
    assert len(far) > 3 * len(near) and not near["train_intersect"].any()


@pytest.mark.parametrize("lon", [10.0, 179.5])
def test_training_rows_count_ejecta_and_measure_distance(mosaic, tmp_path, lon):
    one = crater(lon, 12.0)
    lons, lats = np.meshgrid(np.arange(SHAPE[1]) - 179.5, 89.5 - np.arange(SHAPE[0]))
    ejecta = (BODY.distance_m(lons, lats, lon, 12.0) < 500e3).astype(np.uint8)
    path = write_raster(tmp_path / "mask.tif", ejecta[None])
    row, col = (int(np.rint(value)) for value in mosaic.grid.rowcol_of_lonlat(lon, 12.0))
    corners = [(row - 5, col - 10), (row - 5, col + 25), (row - 5, col + 100)]
    tiles = pd.DataFrame([{"pos_index": i, "x": x % 360, "y": y, "height": 10, "width": 20} for i, (y, x) in enumerate(corners)])
    with Mosaic.open(path) as mask:
        table = training_positions(one, mosaic.grid, mask, mask, tiles, TILES)
    assert table["pos_index"].tolist() == [0, 1], "the third tile is beyond a quarter of pi R"
    assert table["num_1"].iloc[0] == table["height"].iloc[0] * table["width"].iloc[0] and table["num_1"].iloc[1] == 0
    grid = one.grid(mosaic.grid)
    for tile in table.itertuples():
        middle = (tile.y + tile.height / 2 - 0.5, tile.x + tile.width / 2 - 0.5)
        there = BODY.distance_m(*grid.lonlat(*middle), lon, 12.0)
        assert tile.distance == pytest.approx(float(there), abs=1.0)
        assert 8 <= tile.height == tile.width <= 20


def test_positions_without_a_column_are_refused(tmp_path):
    (tmp_path / "p.csv").write_text("x,y,height\n1,2,3\n")
    with pytest.raises(InputError, match=r"lacks the columns \['width'\]"):
        read_positions(tmp_path / "p.csv")


def test_window_of_a_row():
    row = next(pd.DataFrame([{"x": 3, "y": 4, "height": 5, "width": 6}]).itertuples())
    assert window_of(row) == Window(4, 3, 5, 6)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("", "lists no tiles"),
        ("0,1,2,8,8\n1,nan,2,8,8\n", "row 2: x is nan"),
        ("0,1,2,8,8\n1,1.5,2,8,8\n", "row 2: x is 1.5"),
        ("0,1,2,8,8\n1,one,2,8,8\n", "row 2: x is one"),
        ("0,1,2,0,8\n", "row 1: height is 0"),
        ("4,1,2,8,8\n4,1,9,8,8\n", "row 2: the tile 4 was listed before"),
    ],
)
def test_tile_tables_that_are_none_are_named_by_file_and_row(tmp_path, rows, said):
    path = tmp_path / "positions_crater_1.csv"
    path.write_text("pos_index,x,y,height,width\n" + rows)
    with pytest.raises(InputError, match=said) as error:
        read_positions(path)
    assert str(path) in str(error.value)


def test_tiles_beside_the_mosaic_are_named(mosaic, tmp_path):
    table = pd.DataFrame({"x": [0, 5], "y": [0, 999], "height": 8, "width": 8})
    with pytest.raises(InputError, match="row 2: the tile at x 5, y 999 lies off the mosaic"):
        require_on_mosaic(table, mosaic.grid, tmp_path / "tiles.csv")
