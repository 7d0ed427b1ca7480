from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

from cratermill.core.errors import InputError
from cratermill.geo.bodies import get_body
from cratermill.geo.grid import Grid, Window, azimuthal_grid, hull, tile_distance_m
from tests.mosaics import KINDS, MARS, MERCURY, global_grid


def test_ejmap_mosaic_has_its_documented_grid():
    step = 665.24315271
    grid = Grid(MERCURY.cylindrical_crs(), Affine(step, 0, -11520 * step, 0, -step, 5760 * step), (11520, 23040))
    assert grid.period_px == 23040 and grid.resolution_m == pytest.approx(step, rel=1e-12)
    assert azimuthal_grid(MERCURY, 12, 34, grid.resolution_m).shape == (23040, 23040)


@settings(deadline=None)
@given(st.sampled_from(KINDS), st.floats(-200, 500), st.floats(-89.9, 89.9))
def test_every_longitude_finds_its_pixel_and_comes_back(kind, lon, lat):
    for body in (MERCURY, MARS):
        grid = global_grid(body, kind=kind)
        row, col = grid.rowcol_of_lonlat(lon, lat)
        assert -0.5 <= row <= 179.5 and -0.5 <= col <= 359.5
        back = grid.lonlat(row, col)
        assert abs((back[0] - lon + 180) % 360 - 180) < 1e-9 and back[1] == pytest.approx(lat, abs=1e-9)


def test_pixel_centres_windows_and_resizing_agree():
    grid = global_grid(kind="metres")
    window = Window(20, 350, 30, 40)  # across the seam
    part = grid.window(window)
    np.testing.assert_allclose(part.xy(3, 4), grid.xy(23, 354))
    assert part.resized((60, 80)).bounds == pytest.approx(part.bounds)
    assert part.resized((15, 20)).resolution_m == pytest.approx(2 * grid.resolution_m)
    np.testing.assert_allclose(grid.rowcol(*grid.xy(7.25, 9.5)), (7.25, 9.5))


def test_azimuthal_pixels_lie_where_the_formula_says():
    grid = azimuthal_grid(MERCURY, 100, -30, 10_000)
    size = grid.width
    assert size == round(2 * np.pi * 2439400 / 10_000)
    x, y = grid.xy(5, 9)
    assert (x, y) == (pytest.approx((9.5 - size / 2) * 1e4), pytest.approx((size / 2 - 5.5) * 1e4))
    tile = grid.window(Window(700, 800, 4, 6))
    lon, lat = tile.lonlat(np.arange(4)[:, None], np.arange(6)[None, :])
    np.testing.assert_allclose(tile_distance_m(tile), MERCURY.distance_m(100, -30, lon, lat), rtol=1e-10)


def test_distance_is_true_on_an_ellipsoid_too():
    tile = azimuthal_grid(MARS, 10, 80, 5_000).window(Window(2300, 1700, 5, 5))
    lon, lat = tile.lonlat(np.arange(5)[:, None], np.arange(5)[None, :])
    np.testing.assert_allclose(tile_distance_m(tile), MARS.distance_m(10, 80, lon, lat), rtol=1e-9)


def test_width_rounded_by_half_a_column_is_still_global():
    # The Moon at 100 m: 109 164 columns where 109 164.07 would close the circle.
    moon = get_body("moon")
    grid = Grid(moon.cylindrical_crs(), Affine(100, 0, -5458203.08, 0, -100, 2729101.54), (54582, 109164))
    assert grid.period_px == 109164 and grid.columns_per_turn == pytest.approx(109164.06, abs=0.01)


def test_regional_grid_takes_the_turn_it_lies_on():
    grid = Grid(MERCURY.geographic_crs(), Affine(1, 0, 170, 0, -1, 20), (40, 30))  # 170…200°
    assert grid.period_px is None
    np.testing.assert_allclose(grid.rowcol_of_lonlat([175.5, -165.5, 185.5], 0.5)[1], [5, 24, 15])
    assert grid.rowcol_of_lonlat(0, 0)[1] < 0 or grid.rowcol_of_lonlat(0, 0)[1] > 30


def test_degrees_and_metres_give_the_same_ground_size():
    assert global_grid(MARS, kind="degrees").resolution_m == pytest.approx(global_grid(MARS, kind="metres").resolution_m)


def test_impossible_grids_and_windows_are_refused():
    crs = MERCURY.geographic_crs()
    for affine in (Affine(0, 0, 0, 0, -1, 0), Affine(1, 0, float("nan"), 0, -1, 0), Affine(1, 1, 0, 1, 1, 0)):
        with pytest.raises(InputError, match="transform"):
            Grid(crs, affine, (5, 5))
    with pytest.raises(InputError, match="at least one"):
        Window(0, 0, 0, 5)
    with pytest.raises(InputError, match="row is 1.5"):
        Window(1.5, 0, 2, 5)
    with pytest.raises(InputError, match="resolution"):
        azimuthal_grid(MERCURY, 0, 0, -5)


def test_window_of_a_cut_out_mask_is_found_again():
    grid = global_grid(kind="metres")
    for window in (Window(10, 20, 30, 40), Window(0, 0, 180, 360), Window(50, 340, 20, 50)):
        assert grid.window_of(grid.window(window), "mask") == window
    shifted = global_grid(kind="metres", first_lon=90)
    assert grid.window_of(shifted, "mask") == Window(0, 270, 180, 360)


def test_masks_off_the_mosaic_or_between_its_pixels_are_refused():
    grid = Grid(MERCURY.geographic_crs(), Affine(1, 0, 100, 0, -1, 20), (40, 30))
    with pytest.raises(InputError, match="mask 'a b' lies off the mosaic"):
        grid.window_of(grid.window(Window(50, 0, 5, 5)), "mask 'a b'")
    with pytest.raises(InputError, match="lies off"):
        grid.window_of(grid.window(Window(0, 28, 5, 5)), "mask")
    for wrong in (grid.window(Window(0, 0, 10, 10)).resized((20, 20)), Grid(grid.crs, Affine(1, 0, 100.4, 0, -1, 20), (5, 5))):
        with pytest.raises(InputError, match="starting at row"):
            grid.window_of(wrong, "mask")
    with pytest.raises(InputError, match="another ellipsoid"):
        grid.window_of(global_grid(MARS), "mask")


def test_a_turned_grid_maps_there_and_back():
    crs = MERCURY.azimuthal_crs(10, 20)
    grid = Grid(crs, Affine.rotation(30) @ Affine(2000, 0, 5000, 0, -1000, 8000), (50, 80))
    assert not grid.is_north_up and grid.resolution_m == pytest.approx(2000)
    x, y = grid.xy(np.arange(50)[:, None], np.arange(80)[None, :])
    rows, cols = grid.rowcol(x, y)
    np.testing.assert_allclose(rows, np.broadcast_to(np.arange(50)[:, None], (50, 80)), atol=1e-9)
    np.testing.assert_allclose(cols, np.broadcast_to(np.arange(80)[None, :], (50, 80)), atol=1e-9)
    np.testing.assert_allclose(tile_distance_m(grid), np.hypot(x, y))


WINDOWS = st.builds(Window, st.integers(-3, 9), st.integers(-40, 40), st.integers(1, 9), st.integers(1, 20))


@given(WINDOWS, WINDOWS, st.sampled_from([None, 20, 33]))
def test_windows_share_what_their_pixels_share(one, other, period):
    def pixels(window, turn=0):
        return {(row, col + turn) for row in range(window.row, window.stop_row) for col in range(window.col, window.stop_col)}

    both = one.common(other)
    assert (pixels(both) if both else set()) == pixels(one) & pixels(other)
    around = pixels(hull([one, other]))
    assert pixels(one) | pixels(other) <= around and len(around) == np.prod(np.ptp(sorted(pixels(one) | pixels(other)), axis=0) + 1)
    parts = list(one.squares(4))
    assert set().union(*map(pixels, parts)) == pixels(one) and sum(map(len, map(pixels, parts))) == len(pixels(one))
    turns = [0] if period is None else [turn * period for turn in range(-9, 10)]
    met = {turn: found for turn in turns if (found := pixels(one) & pixels(other, turn))}
    shared = list(one.shared(other, period))
    assert [pixels(here.moved(one.row, one.col)) for here, _ in shared] == list(met.values())
    assert [pixels(there.moved(other.row, other.col), turn) for (_, there), turn in zip(shared, met, strict=True)] == list(met.values())
    places = [other, other.moved(2, 3)]
    found = [(part, [number for number, place in enumerate(places) if part.turns(place, period)]) for part in parts]
    assert list(one.squares_met(4, places, period)) == [(part, numbers) for part, numbers in found if numbers]
