from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cratermill.core.errors import InputError
from cratermill.geo.bodies import get_body
from cratermill.geo.grid import Window, azimuthal_grid
from cratermill.geo.pixel_maps import Link, blocks
from tests.mosaics import KINDS, MARS, MERCURY, column_distance, exact_positions, global_grid

# EJMAP's mosaic has 11 520 rows; positions don't need its pixels, so the full size costs nothing here.
ROWS = 11520
OFFSETS = {"on the crater": (0, 0), "near": (-500, 300), "a quarter": (2000, 4000), "over a pole": (-5700, 60), "far side": (-7000, -8000)}


def worst_error_px(tile, mosaic) -> float:
    """Largest distance from pyproj's positions in mosaic pixels; columns count by their ground size within 40 rows of a pole."""
    link = Link(tile, mosaic)
    rows, cols = link.mosaic_positions(Window(0, 0, *tile.shape))
    wanted_rows, wanted_cols = exact_positions(tile, mosaic)
    on_body = np.isfinite(wanted_rows) & (np.abs(mosaic.lonlat(wanted_rows, 0)[1]) <= 90)
    assert np.isfinite(rows[on_body]).all()
    off = column_distance(cols + link.anchor, wanted_cols, mosaic.columns_per_turn)
    lat = mosaic.lonlat(wanted_rows, 0)[1]
    near_pole = np.abs(lat) > 90 - 40 * 180 / mosaic.height
    off = np.where(near_pole, off * np.cos(np.radians(lat)), off)
    return float(np.hypot(rows - wanted_rows, off)[on_body].max(initial=0))


@pytest.mark.parametrize("where", OFFSETS)
@pytest.mark.parametrize("lat", [0, -37, 81, 89.95, 90, -90])
@pytest.mark.parametrize("body", [MERCURY, MARS], ids=["sphere", "ellipsoid"])
def test_tiles_lie_within_a_hundredth_of_a_pixel_of_pyproj(body, lat, where):
    mosaic = global_grid(body, ROWS, "metres")
    grid = azimuthal_grid(body, 179.93, lat, mosaic.resolution_m)
    row, col = OFFSETS[where]
    assert worst_error_px(grid.window(Window(grid.height // 2 - 112 + row, grid.width // 2 - 112 + col, 224, 224)), mosaic) < 0.002


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([MERCURY, MARS, get_body("vesta")]),
    st.sampled_from(KINDS),
    st.floats(-180, 360),
    st.floats(-90, 90),
    st.integers(-5000, 5000),
    st.integers(-5000, 5000),
    st.sampled_from([0.3, 1.0, 4.0]),
)
def test_any_tile_anywhere(body, kind, lon, lat, row, col, zoom):
    mosaic = global_grid(body, ROWS, kind)
    grid = azimuthal_grid(body, lon, lat, mosaic.resolution_m)
    tile = grid.window(Window(grid.height // 2 + row, grid.width // 2 + col, 150, 130)).resized((int(150 / zoom), int(130 / zoom)))
    assert worst_error_px(tile, mosaic) < 0.01


@pytest.mark.parametrize("body", [MERCURY, MARS], ids=["sphere", "ellipsoid"])
@pytest.mark.parametrize("lat", [0.0, 55.0, -89.99])
def test_the_way_back_is_as_exact(body, lat):
    mosaic = global_grid(body, ROWS, "degrees")
    tile = azimuthal_grid(body, -179.9, lat, mosaic.resolution_m).window(Window(11000, 11300, 400, 400))
    link = Link(tile, mosaic)
    middle = mosaic.rowcol_of_lonlat(*tile.lonlat(200, 200))
    window = Window(min(max(int(middle[0]) - 150, 0), ROWS - 300), int(middle[1]) - link.anchor - 150, 300, 300)
    rows, cols = link.tile_positions(window)
    lon, lat = mosaic.lonlat(*np.mgrid[window.row : window.stop_row, window.col + link.anchor : window.stop_col + link.anchor])
    wanted = tile.rowcol_of_lonlat(lon, lat)
    assert np.hypot(rows - wanted[0], cols - wanted[1]).max() < 0.005


def test_subpixels_lie_inside_their_pixels():
    mosaic = global_grid(MERCURY, 720)
    tile = azimuthal_grid(MERCURY, 20, 30, 4 * mosaic.resolution_m).window(Window(150, 170, 20, 30))
    fine_rows, fine_cols = Link(tile, mosaic).mosaic_positions(Window(5, 6, 10, 12), oversample=4)
    assert fine_rows.shape == (40, 48)
    rows, cols = Link(tile.window(Window(5, 6, 10, 12)).resized((40, 48)), mosaic).mosaic_positions(Window(0, 0, 40, 48))
    np.testing.assert_allclose(fine_rows, rows, atol=1e-5)
    np.testing.assert_allclose(fine_cols, cols, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 719), st.floats(-180, 180), st.floats(-90, 90))
def test_moving_the_seam_changes_no_bit(shift, lon, lat):
    window = Window(200, 300, 60, 60)
    results = []
    for first_lon in (-180.0, -180.0 + shift * 0.5):
        mosaic = global_grid(MERCURY, 360, "degrees", first_lon)
        tile = azimuthal_grid(MERCURY, lon, lat, mosaic.resolution_m).window(window)
        link = Link(tile, mosaic)
        results.append((link.mosaic_positions(Window(0, 0, 60, 60)), link.tile_positions(Window(90, -30, 60, 60))))
    for first, second in zip(*results, strict=True):
        np.testing.assert_array_equal(first, second)


def test_pixels_beyond_the_antipode_are_nan():
    mosaic = global_grid(MERCURY, 180)
    grid = azimuthal_grid(MERCURY, 0, 0, mosaic.resolution_m)
    rows, cols = Link(grid, mosaic).mosaic_positions(Window(0, 0, *grid.shape))
    outside = np.hypot(*grid.xy(*np.mgrid[:360, :360])) > np.pi * MERCURY.semi_major_m
    np.testing.assert_array_equal(np.isnan(rows), outside)
    np.testing.assert_array_equal(np.isnan(cols), outside)


def test_another_body_is_refused():
    with pytest.raises(InputError, match="another ellipsoid"):
        Link(azimuthal_grid(get_body("mercury"), 0, 0, 1e4), global_grid(MERCURY))


def test_blocks_tile_a_shape():
    covered = np.zeros((517, 256), int)
    for block in blocks((517, 256), 256):
        covered[block.slices] += 1
        assert block.height <= 256 and block.width <= 256
    assert (covered == 1).all()
