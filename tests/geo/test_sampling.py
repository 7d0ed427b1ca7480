from __future__ import annotations

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT
from scipy import ndimage

from cratermill.core.errors import InputError
from cratermill.geo.bodies import get_body
from cratermill.geo.grid import Grid, Window, azimuthal_grid
from cratermill.geo.mosaic import Mosaic
from cratermill.geo.sampling import COARSE_SUBPIXELS, sample, sample_many, sample_masked
from tests.mosaics import KINDS, MARS, MERCURY, exact_positions, global_grid, noise, slow_bilinear, write_mosaic

ROWS = 180


def make(tmp_path, body=MERCURY, kind="degrees", bands=2, dtype="uint8", **profile):
    grid = global_grid(body, ROWS, kind)
    pixels = noise(grid, bands, dtype)
    return pixels, Mosaic.open(write_mosaic(tmp_path / f"{body.name} {kind} {dtype}.tif", pixels, grid, **profile))


def tile_at(mosaic, lon, lat, row=0, col=0, size=40, zoom=1.0):
    """A square tile whose first pixel is row, col pixels away from the crater."""
    grid = azimuthal_grid(mosaic.grid.body, lon, lat, mosaic.grid.resolution_m / zoom)
    return grid.window(Window(grid.height // 2 + row, grid.width // 2 + col, size, size))


CENTRES = {
    "equator": (10, 0),
    "seam": (179.9, 20),
    "other seam": (0.2, -35),
    "near a pole": (100, 84),
    "pole": (-60, 90),
    "south pole": (0, -90),
}


@pytest.mark.parametrize("where", CENTRES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("body", [MERCURY, MARS], ids=["sphere", "ellipsoid"])
def test_bilinear_equals_the_slow_exact_way(tmp_path, body, kind, where):
    pixels, mosaic = make(tmp_path, body, kind)
    for zoom in (1.0, 3.0):
        tile = tile_at(mosaic, *CENTRES[where], -20, -20, zoom=zoom)
        found = sample(mosaic, tile, "bilinear")
        wanted = slow_bilinear(pixels, *exact_positions(tile, mosaic.grid))
        # Positions within 0.002 px: on noise of contrast 250 that is half a unit beside the rounding.
        assert found.shape == (2, 40, 40) and found.dtype == np.uint8
        assert np.abs(found - wanted).max() <= 1.01


@pytest.mark.parametrize("where", CENTRES)
def test_nearest_takes_the_pixel_it_falls_on(tmp_path, where):
    pixels, mosaic = make(tmp_path)
    tile = tile_at(mosaic, *CENTRES[where], -20, -20, zoom=1.7)
    rows, cols = exact_positions(tile, mosaic.grid)
    row, col = np.clip(np.floor(rows + 0.5), 0, ROWS - 1).astype(int), np.floor(cols + 0.5).astype(int) % (2 * ROWS)
    clear = (np.abs(rows % 1 - 0.5) > 0.01) & (np.abs(cols % 1 - 0.5) > 0.01)
    np.testing.assert_array_equal(sample(mosaic, tile, "nearest")[:, clear], pixels[:, row, col][:, clear])


@pytest.mark.parametrize("dtype", ["int8", "int16", "uint16", "int32", "float32", "float64"])
def test_other_types_are_as_exact(tmp_path, dtype):
    pixels, mosaic = make(tmp_path, dtype=dtype) if dtype != "int8" else make(tmp_path, dtype="uint8")
    tile = tile_at(mosaic, 179.9, 20, -20, -20)
    found = sample(mosaic, tile, "bilinear")
    wanted = slow_bilinear(pixels, *exact_positions(tile, mosaic.grid))
    assert found.dtype == mosaic.dtype and np.abs(found - wanted).max() <= 1.01


def test_gdal_agrees_where_it_can(tmp_path):
    """Within one piece of the map GDAL, told to be exact and not to blur, gives the same picture."""
    _, mosaic = make(tmp_path, dtype="float32")
    tile = tile_at(mosaic, 20, 20, -60, -50, size=90)
    place = {"crs": tile.crs.to_wkt(), "transform": tile.affine, "height": 90, "width": 90}
    exactly = {"resampling": Resampling.bilinear, "tolerance": 1e-6, "XSCALE": 1, "YSCALE": 1}
    with rasterio.open(mosaic.path) as file, WarpedVRT(file, **place, **exactly) as vrt:
        np.testing.assert_allclose(sample(mosaic, tile, "bilinear"), vrt.read(), atol=0.25)


def test_over_the_pole_the_picture_is_continuous(tmp_path):
    grid = global_grid(MERCURY, ROWS)
    lon, lat = grid.lonlat(*np.mgrid[:ROWS, : 2 * ROWS])
    smooth = (1000 * np.cos(np.radians(lat)) * np.cos(np.radians(lon)) + 5000).astype(np.float32)[None]
    mosaic = Mosaic.open(write_mosaic(tmp_path / "smooth.tif", smooth, grid))
    for pole in (90, -90):
        tile = tile_at(mosaic, 33, pole, -15, -15, size=30)
        lon, lat = tile.lonlat(*np.mgrid[:30, :30])
        wanted = 1000 * np.cos(np.radians(lat)) * np.cos(np.radians(lon)) + 5000
        # Within half a row of the pole the outermost row is repeated, hence the tolerance of half a pixel's slope.
        assert np.abs(sample(mosaic, tile, "bilinear")[0] - wanted).max() < 10


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(1, 2 * ROWS - 1),
    st.floats(-180, 180),
    st.floats(-90, 90),
    st.integers(-60, 60),
    st.integers(-60, 60),
    st.sampled_from(["bilinear", "nearest", "average"]),
    st.booleans(),
)
def test_rolling_the_mosaic_rolls_the_tiles(tmp_path, shift, lon, lat, row, col, method, along_with_crater):
    pixels, mosaic = make(tmp_path)
    rolled = np.roll(pixels, shift, axis=2)
    if along_with_crater:
        # The ground moves below fixed coordinates, and the crater with it.
        other_grid, other_lon = mosaic.grid, lon + shift
    else:
        # The same ground, cut open at another meridian.
        other_grid, other_lon = global_grid(MERCURY, ROWS, first_lon=-180 - shift), lon
    other = Mosaic.open(write_mosaic(tmp_path / "rolled.tif", rolled, other_grid))
    zoom = (0.4 if shift % 2 else 0.08) if method == "average" else 1.3
    first = sample(mosaic, tile_at(mosaic, lon, lat, row, col, zoom=zoom), method)
    second = sample(other, tile_at(other, other_lon, lat, row, col, zoom=zoom), method)
    np.testing.assert_array_equal(first, second)


def test_shrinking_averages_all_pixels(tmp_path):
    grid = global_grid(MERCURY, ROWS)
    pixels = noise(grid, 1, "float64")
    mosaic = Mosaic.open(write_mosaic(tmp_path / "x.tif", pixels, grid))
    for factor in (2, 3, 6, 12, 20):
        coarse = grid.resized((ROWS // factor, 2 * ROWS // factor))
        wanted = pixels.reshape(1, ROWS // factor, factor, 2 * ROWS // factor, factor).mean(axis=(2, 4))
        np.testing.assert_allclose(sample(mosaic, coarse), wanted, atol=1e-2)
    tile = tile_at(mosaic, 30, 10, -10, -10, size=20, zoom=0.2)
    assert sample(mosaic, tile, "auto").std() < 0.6 * sample(mosaic, tile, "bilinear").std()


def test_fewer_subpixels_average_the_same_pixels(tmp_path):
    """Exactly where pixels fall on those of the mosaic; elsewhere a little softer, with what is wider than a pixel of the tile kept."""
    grid = global_grid(MERCURY, ROWS)
    pixels = noise(grid, 1, "float64")
    mosaic = Mosaic.open(write_mosaic(tmp_path / "x.tif", pixels, grid))
    for factor in (2, 4, 6, 12):
        coarse = grid.resized((ROWS // factor, 2 * ROWS // factor))
        wanted = pixels.reshape(1, ROWS // factor, factor, 2 * ROWS // factor, factor).mean(axis=(2, 4))
        np.testing.assert_allclose(sample_masked(mosaic, coarse, subpixels=COARSE_SUBPIXELS)[0], wanted, atol=1e-2)
    smooth = Mosaic.open(write_mosaic(tmp_path / "y.tif", ndimage.gaussian_filter(pixels, (0, 8, 8), mode="wrap"), grid))
    for zoom in (0.25, 0.125):
        tile = tile_at(smooth, 30, 10, -10, -10, size=20, zoom=zoom)
        exact, quick = sample(smooth, tile), sample_masked(smooth, tile, subpixels=COARSE_SUBPIXELS)[0]
        assert (quick - exact).std() < 0.05 * exact.std() and quick.std() > 0.97 * exact.std()


def test_auto_is_bilinear_when_not_shrinking(tmp_path):
    _, mosaic = make(tmp_path)
    tile = tile_at(mosaic, 30, 10)
    np.testing.assert_array_equal(sample(mosaic, tile), sample(mosaic, tile, "bilinear"))


def test_turned_tiles(tmp_path):
    pixels, mosaic = make(tmp_path)
    step = mosaic.grid.resolution_m
    tile = Grid(MERCURY.azimuthal_crs(175, -50), Affine.rotation(40) @ Affine(step, 0, -5 * step, 0, -step, 10 * step), (20, 60))
    wanted = slow_bilinear(pixels, *exact_positions(tile, mosaic.grid))
    assert np.abs(sample(mosaic, tile, "bilinear") - wanted).max() <= 1.01


def test_many_tiles_equal_one_by_one_whatever_the_threads(tmp_path):
    _, mosaic = make(tmp_path, bands=3, nodata=0)
    grids = [tile_at(mosaic, lon, lat, row, col) for lon, lat in CENTRES.values() for row, col in ((0, 0), (30, -40), (-70, 20))]
    alone = np.stack([sample(mosaic, grid) for grid in grids])
    for threads in (1, 4):
        np.testing.assert_array_equal(sample_many(mosaic, grids, threads=threads), alone)


def test_neighbouring_tiles_are_read_together(tmp_path, monkeypatch):
    _, mosaic = make(tmp_path)
    reads = []
    original = Mosaic.read_raw
    monkeypatch.setattr(Mosaic, "read_raw", lambda self, window: reads.append(window) or original(self, window))
    sample_many(mosaic, [tile_at(mosaic, 179, 5, row, col, size=20) for row in (-20, 0) for col in (-20, 0)])
    assert len(reads) == 1


def test_missing_pixels_stay_out_and_dark_ones_stay_dark(tmp_path):
    grid = global_grid(MERCURY, ROWS)
    pixels = noise(grid, 2, "int16")
    hole = Window(80, 170, 10, 12)
    pixels[:, *hole.slices] = -32768
    pixels[0, 100:110, 170:180] = -32768  # one band alone is data
    mosaic = Mosaic.open(write_mosaic(tmp_path / "x.tif", pixels, grid, nodata=-32768))
    tile = tile_at(mosaic, -4, 5, -30, -30, size=60)
    masked, ignored = sample(mosaic, tile), sample(mosaic, tile, nodata="ignore")
    gone = (masked == -32768).all(axis=0)
    assert 80 < gone.sum() < 160
    others = masked[1][~gone]
    assert others.min() >= 1 and (ignored[1][~gone] < 0).any()
    rows, cols = exact_positions(tile, grid)
    within = (np.abs(rows - 84.5) < 5) & (np.abs(cols - 175.5) < 6)
    assert (gone == within).mean() > 0.99
    assert (masked[0] < -1000).sum() > gone.sum()


def test_nan_and_infinite_pixels_do_not_spread(tmp_path):
    grid = global_grid(MERCURY, ROWS)
    pixels = noise(grid, 2, "float32")
    pixels[0, 90, 180], pixels[1, 95, 185] = np.nan, np.inf
    mosaic = Mosaic.open(write_mosaic(tmp_path / "x.tif", pixels, grid))
    found = sample(mosaic, tile_at(mosaic, 0, 0, -20, -20))
    assert not np.isinf(found).any() and 1 <= np.isnan(found[0]).sum() <= 2 and 1 <= np.isnan(found[1]).sum() <= 2
    assert not np.isnan(found[:, :10]).any()


def test_nan_is_never_data_even_where_nodata_is_ignored(tmp_path):
    grid = global_grid(MERCURY, ROWS)
    pixels = noise(grid, 1, "float32")
    pixels[0, 90, 180], pixels[0, :3] = np.nan, -5
    mosaic = Mosaic.open(write_mosaic(tmp_path / "x.tif", pixels, grid, nodata=-5))
    assert np.isnan(sample(mosaic, tile_at(mosaic, 0, 0, -20, -20), nodata="ignore")).sum() == 0  # its place is filled with nodata instead
    assert 1 <= (sample(mosaic, tile_at(mosaic, 0, 0, -20, -20), nodata="ignore") == -5).sum() <= 2
    polar = tile_at(mosaic, 0, 90, -1, -1, size=2)
    assert (sample(mosaic, polar, nodata="ignore") == -5).all() and (sample(mosaic, polar) == -5).all()


def test_regional_mosaic_below_a_tile_over_the_pole(tmp_path):
    """A cap cut to half a turn: what lies on it is there, whichever side of the pole, and the rest is missing."""
    whole = global_grid(MERCURY, ROWS)
    pixels = noise(whole, 1, "float32")
    mosaic = Mosaic.open(write_mosaic(tmp_path / "whole.tif", pixels, whole))
    part = whole.window(Window(0, 30, 60, 180))
    regional = Mosaic.open(write_mosaic(tmp_path / "part.tif", pixels[:, :60, 30:210], part, nodata=-1))
    tile = tile_at(mosaic, 77, 90, -20, -20)
    rows, cols = exact_positions(tile, whole)
    inside = (cols > 30) & (cols < 209)
    assert 0.3 < inside.mean() < 0.7
    everywhere, found = sample(mosaic, tile, "bilinear")[0], sample(regional, tile, "bilinear")[0]
    np.testing.assert_allclose(found[inside], everywhere[inside], atol=0.05)
    assert (found[(cols < 29) | (cols > 210)] == -1).all()


def test_declared_but_legitimate_zeros(tmp_path):
    """A uint8 file that flags 0: dark pixels stay 0, bright ones are untouched, nothing else appears."""
    grid = global_grid(MERCURY, ROWS)
    pixels = np.where(noise(grid) > 125, 200, 0).astype(np.uint8)
    mosaic = Mosaic.open(write_mosaic(tmp_path / "x.tif", pixels, grid, nodata=0))
    tile = tile_at(mosaic, 50, 50)
    assert set(np.unique(sample(mosaic, tile))) == {0, 200}
    np.testing.assert_array_equal(sample(mosaic, tile, "nearest"), sample(mosaic, tile, "nearest", nodata="ignore"))


@pytest.mark.parametrize("kind", ["degrees", "degrees 0-360"])
def test_regional_mosaics_across_their_own_seam(tmp_path, kind):
    whole = global_grid(MERCURY, ROWS, kind)
    pixels = noise(whole, 1, "float32")
    part = whole.window(Window(40, 340, 80, 60))  # runs over the right edge
    cut = np.concatenate([pixels, pixels], axis=2)[:, 40:120, 340:400]
    regional = Mosaic.open(write_mosaic(tmp_path / "part.tif", cut, part, nodata=-1))
    mosaic = Mosaic.open(write_mosaic(tmp_path / "whole.tif", pixels, whole))
    lon, lat = part.lonlat(30, 20)
    tile = tile_at(mosaic, lon, lat, -60, -60, size=120)
    inside, everywhere = sample(regional, tile, "nearest"), sample(mosaic, tile, "nearest")
    rows, cols = exact_positions(tile, whole)
    on_part = (np.abs(rows - 79.5) < 39) & (np.abs((cols - 340) % 360 - 29.5) < 29)
    np.testing.assert_array_equal(inside[:, on_part], everywhere[:, on_part])
    assert (inside == -1).mean() > 0.3
    far = tile_at(mosaic, lon + 180, -lat)
    assert (sample(regional, far) == -1).all() and (sample_many(regional, [far, tile_at(mosaic, lon, lat)])[0] == -1).all()


def test_width_that_does_not_quite_close_the_circle(tmp_path):
    """Like the Moon's 100 m mosaic: 360 columns on 360.3 columns' worth of ground; positions keep to the file's own transform."""
    grid = global_grid(MERCURY, ROWS, "metres")
    step = grid.affine.a * 360 / 360.3
    short = Grid(grid.crs, Affine(step, 0, -180 * step, 0, -step, 90 * step), (ROWS, 360))
    pixels = noise(short, 1, "float32")
    mosaic = Mosaic.open(write_mosaic(tmp_path / "x.tif", pixels, short))
    tile = azimuthal_grid(MERCURY, 179.5, 10, step).window(Window(160, 160, 40, 40))
    rows, cols = exact_positions(tile, short)
    cols = np.mod(cols + 0.5, 360.3) - 0.5
    sound = cols < 359.4  # beyond lies the gap, where no answer is right
    wanted = slow_bilinear(pixels, rows, cols)[0]
    assert np.abs(sample(mosaic, tile, "bilinear")[0] - wanted)[sound].max() < 0.5


def test_tiles_beyond_the_antipode_hold_fill(tmp_path):
    _, mosaic = make(tmp_path, dtype="int16", nodata=-5)
    grid = azimuthal_grid(MERCURY, 0, 0, mosaic.grid.resolution_m)
    found = sample(mosaic, grid.window(Window(0, 0, 50, 50)))
    assert (found[:, :20, :20] == -5).all()
    assert (sample(mosaic, grid.window(Window(170, 0, 20, 20)))[:, :, 2:] != -5).all()


def test_a_mosaic_in_another_projection(tmp_path):
    """A polar mosaic has no columns that repeat; positions come from pyproj, the rest is the same."""
    step = 20_000.0
    polar = Grid("+proj=stere +lat_0=90 +R=2439400", Affine(step, 0, -50 * step, 0, -step, 50 * step), (100, 100))
    pixels = noise(polar, 1, "float32")
    mosaic = Mosaic.open(write_mosaic(tmp_path / "polar.tif", pixels, polar))
    tile = azimuthal_grid(mosaic.grid.body, 70, 82, step)
    tile = tile.window(Window(tile.height // 2 - 15, tile.width // 2 - 15, 30, 30))
    rows, cols = exact_positions(tile, mosaic.grid)
    np.testing.assert_allclose(sample(mosaic, tile, "bilinear")[0], slow_bilinear(pixels, rows, cols)[0], atol=0.5)


def test_wrong_wishes_are_refused(tmp_path):
    _, mosaic = make(tmp_path)
    tile = tile_at(mosaic, 0, 0)
    with pytest.raises(InputError, match="'cubic'"):
        sample(mosaic, tile, "cubic")
    with pytest.raises(InputError, match="nodata='drop'"):
        sample(mosaic, tile, nodata="drop")
    with pytest.raises(InputError, match="no tiles"):
        sample_many(mosaic, [])
    with pytest.raises(InputError, match="different shapes"):
        sample_many(mosaic, [tile, tile.resized((5, 5))])
    with pytest.raises(InputError, match="another ellipsoid"):
        sample(mosaic, azimuthal_grid(get_body("mercury"), 0, 0, 5000))


@pytest.mark.parametrize("name", ["mercury", "moon", "moon_dem"])
def test_real_mosaics_show_the_same_crater_from_any_cut(real_data, tmp_path, name):
    mosaic = Mosaic.open(real_data(f"mosaics/{name}.tif"))
    pixels = mosaic.read(Window(0, 0, *mosaic.grid.shape))
    turned = global_grid(mosaic.grid.body, 512, "degrees 0-360")
    other = Mosaic.open(write_mosaic(tmp_path / "turned.tif", np.roll(pixels, 512, axis=2), turned, nodata=mosaic.nodata))
    for lon, lat in ((179.8, -10), (0.1, 35), (-68, 89), (12, -90)):
        tiles = [tile_at(one, lon, lat, -40, -40, size=80) for one in (mosaic, other)]
        first, second = sample(mosaic, tiles[0]), sample(other, tiles[1])
        assert first.std() > 3
        # moon_dem's rows are a hair narrower than its columns; pixels may round apart at that.
        assert (np.abs(first.astype(int) - second) <= 1).mean() > (0.9 if name == "moon_dem" else 1 - 1e-9)
