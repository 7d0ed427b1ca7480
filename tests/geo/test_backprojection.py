from __future__ import annotations

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

from cratermill.core.errors import InputError
from cratermill.geo.backprojection import inscribed_square, largest_square, to_mosaic
from cratermill.geo.bodies import get_body
from cratermill.geo.grid import Grid, Window, azimuthal_grid
from tests.mosaics import KINDS, MARS, MERCURY, exact_positions, global_grid, slow_bilinear

ROWS = 360
PLACES = {"equator": (10, 0), "seam": (179.9, 20), "other seam": (0.2, -35), "high": (100, 84), "pole": (-60, 90), "south pole": (0, -90)}


def tile_at(mosaic, lon, lat, row=-30, col=-40, shape=(60, 80)):
    grid = azimuthal_grid(mosaic.body, lon, lat, mosaic.resolution_m)
    return grid.window(Window(grid.height // 2 + row, grid.width // 2 + col, *shape))


def canvas(pieces, mosaic, fill=0, dtype="uint8"):
    """The pieces pasted onto the whole mosaic; fails if two overlap or one reaches outside."""
    whole, hits = np.full(mosaic.shape, fill, dtype), np.zeros(mosaic.shape, int)
    for window, values in pieces:
        assert values.shape == (window.height, window.width) == whole[window.slices].shape
        whole[window.slices] = values
        hits[window.slices] += 1
    assert hits.max(initial=0) <= 1
    return whole


def tile_positions(mosaic, tile):
    """Tile (rows, columns) of every mosaic pixel, by pyproj."""
    return exact_positions(mosaic, tile)


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize(("body", "kind"), [*((MERCURY, kind) for kind in KINDS), (MARS, "metres 0-360")])
def test_nearest_equals_the_slow_way_on_the_whole_mosaic(body, kind, where):
    mosaic = global_grid(body, ROWS, kind)
    tile = tile_at(mosaic, *PLACES[where])
    mask = np.random.default_rng(5).integers(1, 255, tile.shape).astype(np.uint8)
    found = canvas(to_mosaic(mask, tile, mosaic), mosaic)
    rows, cols = tile_positions(mosaic, tile)
    row, col = np.floor(np.nan_to_num(rows, nan=-9) + 0.5), np.floor(np.nan_to_num(cols, nan=-9) + 0.5)
    inside = (row >= 0) & (row < 60) & (col >= 0) & (col < 80)
    wanted = np.where(inside, mask[np.clip(row, 0, 59).astype(int), np.clip(col, 0, 79).astype(int)], 0)
    clear = (np.abs(rows % 1 - 0.5) > 0.01) & (np.abs(cols % 1 - 0.5) > 0.01)
    assert inside.sum() > 4000 * 0.9
    np.testing.assert_array_equal(found[clear], wanted[clear])


@pytest.mark.parametrize("where", PLACES)
def test_bilinear_equals_the_slow_way(where):
    mosaic = global_grid(MERCURY, ROWS)
    tile = tile_at(mosaic, *PLACES[where])
    values = np.random.default_rng(5).uniform(0, 1, tile.shape).astype(np.float32)
    found = canvas(to_mosaic(values, tile, mosaic, fill=-1, method="bilinear"), mosaic, -1, "float32")
    rows, cols = tile_positions(mosaic, tile)
    inside = (rows > -0.49) & (rows < 59.49) & (cols > -0.49) & (cols < 79.49)
    wanted = slow_bilinear(values[None], np.clip(rows, 0, 59)[inside], np.clip(cols, 0, 78.9999)[inside])[0]
    np.testing.assert_allclose(found[inside], wanted, atol=0.01)
    assert (found[~((rows > -0.51) & (rows < 59.51) & (cols > -0.51) & (cols < 79.51))] == -1).all()


def test_bands_types_and_nan():
    mosaic = global_grid(MERCURY, ROWS)
    tile = tile_at(mosaic, 10, 20)
    for dtype in (bool, np.uint8, np.int16, np.int32, np.float32, np.float64):
        bands = np.random.default_rng(6).integers(0, 2, (3, *tile.shape)).astype(dtype)
        ((window, values),) = to_mosaic(bands, tile, mosaic)
        assert values.shape == (3, window.height, window.width) and values.dtype == dtype
        np.testing.assert_array_equal(values[1], to_mosaic(bands[1], tile, mosaic)[0][1])
    holed = np.ones(tile.shape, np.float32)
    holed[20:40, 30:50] = np.nan
    ((_, values),) = to_mosaic(holed, tile, mosaic, fill=np.nan, method="bilinear")
    assert np.nanmin(values) == np.nanmax(values) == 1 and 350 < np.isnan(values[20:45, 30:65]).sum() < 600


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 2 * ROWS - 1), st.floats(-180, 180), st.floats(-90, 90), st.sampled_from(["nearest", "bilinear"]), st.booleans())
def test_rolling_the_mosaic_rolls_the_masks(shift, lon, lat, method, along_with_crater):
    mosaic = global_grid(MERCURY, ROWS)
    other = mosaic if along_with_crater else global_grid(MERCURY, ROWS, first_lon=-180 - shift / 2)
    mask = np.random.default_rng(7).uniform(0, 1, (60, 80)).astype(np.float32)
    first = canvas(to_mosaic(mask, tile_at(mosaic, lon, lat), mosaic, method=method), mosaic, dtype="float32")
    moved = tile_at(other, lon + shift / 2 if along_with_crater else lon, lat)
    second = canvas(to_mosaic(mask, moved, other, method=method), other, dtype="float32")
    np.testing.assert_array_equal(np.roll(first, shift, axis=1), second)


def test_out_and_back_keeps_a_mask():
    mosaic = global_grid(MERCURY, ROWS)
    tile = tile_at(mosaic, 179.7, 30)
    y, x = np.mgrid[:60, :80]
    disc = (np.hypot(y - 29.5, x - 39.5) < 22).astype(np.uint8)
    landed = canvas(to_mosaic(disc, tile, mosaic), mosaic)
    lon, lat = mosaic.lonlat(*np.mgrid[:ROWS, : 2 * ROWS])
    distance = MERCURY.distance_m(179.7, 30, lon, lat) / mosaic.resolution_m
    assert (landed[distance < 21] == 1).all() and (landed[distance > 23.5] == 0).all()


def test_masks_off_a_regional_mosaic_land_nowhere():
    part = Grid(MERCURY.geographic_crs(), Affine(0.5, 0, 100, 0, -0.5, 20), (80, 60))
    mosaic = global_grid(MERCURY, ROWS)
    mask = np.ones((60, 80), np.uint8)
    assert to_mosaic(mask, tile_at(mosaic, -60, 0), part) == []
    assert to_mosaic(mask, tile_at(mosaic, 110, 70), part) == []
    whole = canvas(to_mosaic(mask, tile_at(mosaic, 130, 0), mosaic), mosaic)
    ((window, values),) = to_mosaic(mask, tile_at(mosaic, 130, 0), part)
    np.testing.assert_array_equal(values, whole[140:220, 560:620][window.slices])


def test_a_gap_at_the_seam_shifts_nothing():
    grid = global_grid(MERCURY, ROWS, "metres")
    step = grid.affine.a * 720 / 720.4
    short = Grid(grid.crs, Affine(step, 0, -360 * step, 0, -step, 180 * step), (ROWS, 720))
    tile = azimuthal_grid(MERCURY, 179.6, 10, step).window(Window(330, 330, 60, 80))
    values = np.random.default_rng(5).uniform(0, 1, tile.shape).astype(np.float32)
    found = canvas(to_mosaic(values, tile, short, fill=-1, method="bilinear"), short, -1, "float32")
    rows, cols = tile_positions(short, tile)
    inside = (rows > 0) & (rows < 59) & (cols > 0) & (cols < 79)
    np.testing.assert_allclose(found[inside], slow_bilinear(values[None], rows[inside], cols[inside])[0], atol=0.01)


def test_a_mosaic_in_another_projection():
    polar = Grid("+proj=stere +lat_0=90 +R=2439400", Affine(20_000, 0, -1e6, 0, -20_000, 1e6), (100, 100))
    tile = azimuthal_grid(polar.body, 70, 82, 20_000)
    tile = tile.window(Window(tile.height // 2 - 15, tile.width // 2 - 20, 30, 40))
    values = np.random.default_rng(5).uniform(0, 1, tile.shape).astype(np.float32)
    found = canvas(to_mosaic(values, tile, polar, fill=-1, method="bilinear"), polar, -1, "float32")
    rows, cols = tile_positions(polar, tile)
    inside = (rows > 0) & (rows < 29) & (cols > 0) & (cols < 39)
    assert inside.sum() > 900
    np.testing.assert_allclose(found[inside], slow_bilinear(values[None], rows[inside], cols[inside])[0], atol=0.01)


def test_wrong_arrays_and_methods_are_refused():
    mosaic = global_grid(MERCURY, ROWS)
    tile = tile_at(mosaic, 0, 0)
    with pytest.raises(InputError, match="shape"):
        to_mosaic(np.ones((5, 5)), tile, mosaic)
    with pytest.raises(InputError, match="shape"):
        to_mosaic(np.ones(60), tile, mosaic)
    with pytest.raises(InputError, match="'cubic'"):
        to_mosaic(np.ones(tile.shape), tile, mosaic, method="cubic")
    with pytest.raises(InputError, match="another ellipsoid"):
        to_mosaic(np.ones(tile.shape), tile, global_grid(get_body("mercury"), ROWS))


def image_of(mosaic, window, azimuthal):
    """Azimuthal pixels (mask of the whole raster) whose centre falls into a window of the mosaic: the slow way, by pyproj."""
    rows, cols = exact_positions(azimuthal, mosaic)
    offset = (cols - window.col + 0.5) % mosaic.period_px
    return (rows >= window.row - 0.5) & (rows < window.stop_row - 0.5) & (offset >= 0) & (offset < window.width)


def slow_square(mask):
    """Side of the largest square of True, by the textbook recurrence."""
    best = np.zeros(np.array(mask.shape) + 1, int)
    for row in range(mask.shape[0]):
        for col in range(mask.shape[1]):
            if mask[row, col]:
                best[row + 1, col + 1] = 1 + min(best[row, col], best[row, col + 1], best[row + 1, col])
    return best.max()


@pytest.mark.parametrize(
    "window", [Window(80, 90, 14, 28), Window(20, 300, 14, 28), Window(100, 350, 20, 20), Window(0, 30, 12, 60), Window(168, 100, 12, 90)]
)
@pytest.mark.parametrize("body", [MERCURY, MARS], ids=["sphere", "ellipsoid"])
def test_inscribed_squares_equal_a_search_over_the_whole_globe(body, window):
    mosaic = global_grid(body, 180)
    azimuthal = azimuthal_grid(body, 172.3, 25.6, mosaic.resolution_m)
    image = image_of(mosaic, window, azimuthal)
    square = inscribed_square(mosaic, window, azimuthal)
    assert abs(square.height - slow_square(image)) <= 1 and square.height == square.width
    assert image[square.slices].mean() > 0.99


def test_each_square_has_its_own_size():
    mosaic = global_grid(MERCURY, ROWS)
    azimuthal = azimuthal_grid(MERCURY, 0, 0, mosaic.resolution_m)
    sides = [inscribed_square(mosaic, Window(180 - size // 2, 360 - size, size, 2 * size), azimuthal).height for size in (10, 40, 20)]
    assert sides[0] < sides[2] < sides[1] and sides[1] >= 38


def test_no_square_around_the_antipode_or_in_nothing():
    mosaic = global_grid(MERCURY, ROWS)
    azimuthal = azimuthal_grid(MERCURY, 0, 0, mosaic.resolution_m)
    assert inscribed_square(mosaic, Window(170, 710, 20, 20), azimuthal) is None
    assert inscribed_square(mosaic, Window(100, 500, 20, 20), azimuthal) is not None
    fine = global_grid(MERCURY, ROWS * 8)
    found = [inscribed_square(fine, Window(1000, col, 1, 1), azimuthal) for col in range(1000, 1016)]
    assert None in found  # most single fine pixels hold no centre of the coarse raster


def test_largest_square_of_masks():
    assert largest_square(np.zeros((5, 6), bool)) is None
    assert largest_square(np.ones((5, 7), bool)) == Window(0, 1, 5, 5)
    mask = np.random.default_rng(0).random((40, 50)) < 0.9
    mask[10:20, 15:27] = True
    found = largest_square(mask)
    assert found.height == slow_square(mask) and mask[found.slices].all()
