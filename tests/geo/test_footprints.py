from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

from cratermill.geo.bodies import get_body
from cratermill.geo.footprints import edge_points, footprint, split_at_seam, tile_window, tile_windows
from cratermill.geo.grid import Grid, Window, azimuthal_grid
from tests.mosaics import KINDS, MARS, MERCURY, exact_positions, global_grid

ROWS = 1440


def tile_at(mosaic, lon, lat, row, col, shape=(100, 120), zoom=1.0):
    grid = azimuthal_grid(mosaic.body, lon, lat, mosaic.resolution_m / zoom)
    return grid.window(Window(grid.height // 2 + row, grid.width // 2 + col, *shape))


def holds(window: Window, mosaic: Grid, tile: Grid) -> tuple[bool, int, int]:
    """Whether all of a tile's pixels lie in the window, and how many rows and columns they really span."""
    rows, cols = exact_positions(tile, mosaic)
    sound = np.isfinite(rows)
    rows, cols = np.clip(np.round(rows[sound]), 0, mosaic.height - 1), np.round(cols[sound])
    offset = (cols - window.col) % mosaic.period_px
    inside = (rows >= window.row) & (rows < window.stop_row) & (offset < window.width)
    used = np.unique(offset)
    return bool(inside.all()), int(np.ptp(rows)) + 1, int(used.max() - used.min()) + 1


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from([MERCURY, MARS, get_body("vesta")]),
    st.sampled_from(KINDS),
    st.floats(-180, 360),
    st.floats(-90, 90),
    st.integers(-700, 700),
    st.integers(-700, 700),
    st.sampled_from([0.05, 0.5, 1.0, 3.0]),
)
def test_every_pixel_of_any_tile_lies_in_its_window(body, kind, lon, lat, row, col, zoom):
    mosaic = global_grid(body, ROWS, kind)
    tile = tile_at(mosaic, lon, lat, int(row * min(zoom, 1)), int(col * min(zoom, 1)), (40, 50), zoom)
    window = tile_window(tile, mosaic)
    inside, _, _ = holds(window, mosaic, tile)
    assert inside


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(KINDS),
    st.floats(-180, 360),
    st.floats(-90, 90),
    st.lists(st.tuples(st.integers(-700, 700), st.integers(-700, 700), st.sampled_from([1.0, 3.0]), st.booleans()), min_size=2, max_size=6),
)
def test_windows_of_many_tiles_are_those_of_each(kind, lon, lat, places):
    """On one plane or several, turned or not, near and far, over the poles and beyond the antipode; with a last digit to spare."""
    mosaic = global_grid(MERCURY, ROWS, kind)
    tiles = [tile_at(mosaic, lon, lat, row, col, (40, 40), zoom) for row, col, zoom, _ in places]
    turned = [tile.affine @ Affine.rotation(30) if turn else tile.affine for tile, (*_, turn) in zip(tiles, places, strict=True)]
    tiles = [Grid(tile.plane, affine, tile.shape) for tile, affine in zip(tiles, turned, strict=True)]
    tiles += [tile_at(mosaic, lon + 5, lat / 2, 7, -9), tile_at(mosaic, lon, lat, 7, -9), mosaic.window(Window(100, 200, 40, 40))]
    for found, wanted in zip(tile_windows(tiles, mosaic), [tile_window(tile, mosaic) for tile in tiles], strict=True):
        assert found is not None and wanted is not None
        for name in ("row", "col", "stop_row", "stop_col"):
            assert abs(getattr(found, name) - getattr(wanted, name)) % mosaic.period_px in (0, 1, mosaic.period_px - 1)


@pytest.mark.parametrize("lon", [0, 60, 179.9, -179.9])
@pytest.mark.parametrize("lat", [0, 50, -75])
def test_windows_are_hardly_larger_than_needed(lon, lat):
    mosaic = global_grid(MERCURY, ROWS)
    tile = tile_at(mosaic, lon, lat, -50, -60)
    window = tile_window(tile, mosaic)
    inside, height, width = holds(window, mosaic, tile)
    assert inside and window.height <= height + 6 and window.width <= width + 14


def test_seam_gives_two_windows_and_a_pole_a_full_turn():
    mosaic = global_grid(MERCURY, ROWS)
    assert len(footprint(tile_at(mosaic, 60, 10, -50, -60), mosaic)) == 1
    left, right = footprint(tile_at(mosaic, 180, 10, -50, -60), mosaic)
    assert left.stop_col == mosaic.width and right.col == 0 and left.row == right.row
    assert 100 < left.width + right.width < 140
    polar = footprint(tile_at(mosaic, 33, 90, -50, -60), mosaic)
    assert sum(window.width for window in polar) == mosaic.width and {window.row for window in polar} == {0}
    assert max(window.stop_row for window in polar) < 90


def test_several_tiles_have_one_footprint_around_the_shorter_way():
    mosaic = global_grid(MERCURY, ROWS)
    tiles = [tile_at(mosaic, lon, 5, -20, -20, (40, 40)) for lon in (170, -175, -170)]
    windows = footprint(tiles, mosaic)
    assert len(windows) == 2 and sum(window.width for window in windows) < 220
    for tile in tiles:
        window = tile_window(tile, mosaic)
        assert windows[0].row <= window.row and windows[0].stop_row >= window.stop_row
    one = footprint([tile_at(mosaic, 10, 5, 0, 0), tile_at(mosaic, 30, -5, 0, 0)], mosaic)
    assert len(one) == 1
    around = footprint([tile_at(mosaic, lon, 0, 0, 0) for lon in range(0, 360, 10)], mosaic)
    assert sum(window.width for window in around) == mosaic.width
    assert footprint([], mosaic) == []


def test_tiles_that_miss_a_regional_mosaic():
    mosaic = Grid(MERCURY.geographic_crs(), Affine(0.125, 0, 100, 0, -0.125, 20), (320, 240))
    assert footprint(tile_at(global_grid(MERCURY, ROWS), 0, 0, 0, 0), mosaic) == []
    assert footprint(tile_at(global_grid(MERCURY, ROWS), 115, 60, 0, 0), mosaic) == []
    (window,) = footprint(tile_at(global_grid(MERCURY, ROWS), 100, 0, -50, -60), mosaic)
    assert window.col == 0 and window.width < 80
    (window,) = footprint(tile_at(global_grid(MERCURY, ROWS), 110 - 360, 0, -50, -60), mosaic)
    assert 10 < window.col < 40


def test_the_whole_azimuthal_raster_touches_everything():
    mosaic = global_grid(MERCURY, 90)
    windows = footprint(azimuthal_grid(MERCURY, 12, 34, mosaic.resolution_m), mosaic)
    assert sum(window.height * window.width for window in windows) == 90 * 180


def test_window_of_a_rolled_mosaic_is_the_rolled_window():
    for lat in (0, 70, 90):
        for shift in (1, 500, 2879):
            first = tile_window(tile_at(global_grid(MERCURY, ROWS), 20, lat, -50, -60), global_grid(MERCURY, ROWS))
            rolled = global_grid(MERCURY, ROWS, first_lon=-180 + shift * 0.125)
            second = tile_window(tile_at(rolled, 20, lat, -50, -60), rolled)
            assert (second.row, second.height, second.width) == (first.row, first.height, first.width)
            assert (second.col + shift - first.col) % (2 * ROWS) == 0


def test_splitting_at_the_seam():
    assert split_at_seam(Window(1, 90, 5, 20), 100) == [Window(1, 90, 5, 10), Window(1, 0, 5, 10)]
    assert split_at_seam(Window(1, -10, 5, 20), 100) == [Window(1, 90, 5, 10), Window(1, 0, 5, 10)]
    assert split_at_seam(Window(1, 30, 5, 70), 100) == [Window(1, 30, 5, 70)]
    assert split_at_seam(Window(1, 30, 5, 170), 100) == [Window(1, 30, 5, 70), Window(1, 0, 5, 30)]
    assert split_at_seam(Window(1, 90, 5, 20), None) == [Window(1, 90, 5, 20)]


def test_edge_points_surround_the_outermost_pixels():
    rows, cols = edge_points((10, 20), 3)
    assert (rows.min(), rows.max(), cols.min(), cols.max()) == (-0.5, 9.5, -0.5, 19.5)
    assert np.hypot(np.diff(rows), np.diff(cols)).max() <= 3 and (rows[0], cols[0]) == (rows[-1], cols[-1])
