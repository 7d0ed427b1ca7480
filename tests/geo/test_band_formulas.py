"""Bands by number, name and formula, read as any others."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import rasterio

from cratermill.core.errors import InputError
from cratermill.geo.grid import Window, square_grid
from cratermill.geo.mosaic import Mosaic
from cratermill.geo.sampling import sample_masked
from tests.mosaics import global_grid, noise, write_mosaic

WANTED = ["b1", 2, "b1 / blue"]


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """A mosaic with a hole in all its bands, zeros in the third, and a name; pixels as floats with NaN for what is missing."""
    grid, path = global_grid(rows=60), tmp_path_factory.mktemp("bands") / "x.tif"
    pixels = noise(grid, 3)
    pixels[2, 10, 20:30] = 0
    pixels[:, 30:34, 40:50] = 0
    write_mosaic(path, pixels, grid, nodata=0)
    with rasterio.open(path, "r+") as file:
        file.set_band_description(3, "blue")
    floats = pixels.astype(float)
    hole = (pixels == 0).all(axis=0)
    ratio = np.where(hole | (pixels[2] == 0), np.nan, floats[0] / np.where(pixels[2] == 0, 1, floats[2]))
    expected = np.stack([np.where(hole, np.nan, floats[0]), np.where(hole, np.nan, floats[1]), ratio]).astype(np.float32)
    return path, grid, expected


def test_windows_hold_what_numpy_computes(case):
    path, grid, expected = case
    mosaic = Mosaic.open(path, WANTED)
    assert mosaic.dtype == np.float32 and mosaic.bands == (1, 2, "b1 / blue")
    pixels, missing = mosaic.read_masked(Window(0, 0, *grid.shape))
    np.testing.assert_array_equal(pixels, expected)
    np.testing.assert_array_equal(np.broadcast_to(missing, pixels.shape), np.isnan(expected))
    across = pickle.loads(pickle.dumps(mosaic)).read(Window(5, 115, 8, 10))  # noqa: S301
    np.testing.assert_array_equal(across, np.concatenate([expected[:, 5:13, 115:], expected[:, 5:13, :5]], axis=2))
    assert np.isnan(mosaic.read(Window(-3, 0, 3, 4))).all()


def test_statistics_and_samples_follow(case):
    path, grid, expected = case
    mosaic = Mosaic.open(path, WANTED)
    found = mosaic.statistics()
    np.testing.assert_allclose(found.mean, np.nanmean(expected.astype(float), axis=(1, 2)), rtol=1e-6)
    assert found.count.tolist() == np.isfinite(expected).sum(axis=(1, 2)).tolist()
    tile, gone = sample_masked(mosaic, square_grid(grid.body, 5.0, 0.0, 300e3, 16), "nearest")
    plain, _ = sample_masked(Mosaic.open(path), square_grid(grid.body, 5.0, 0.0, 300e3, 16), "nearest")
    assert gone is None
    np.testing.assert_allclose(tile[2], plain[0] / plain[2].astype(float), rtol=1e-6)


def test_names_alone_leave_pixels_as_they_are(case):
    mosaic = Mosaic.open(case[0], ["blue", "b1"])
    assert mosaic.bands == (3, 1) and mosaic.dtype == np.uint8


@pytest.mark.parametrize("bands, said", [(["b4"], "there is no b4"), (["b1 / red"], "names red"), ([4], "wanted"), (["b1 > 2"], "gives")])
def test_what_the_file_lacks_is_refused(case, bands, said):
    with pytest.raises(InputError, match=said):
        Mosaic.open(case[0], bands)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_formulas_see_what_scales_and_offsets_say(tmp_path, dtype):
    grid = global_grid(rows=60)
    pixels = noise(grid, 2).astype(dtype)
    path = write_mosaic(tmp_path / "x.tif", pixels, grid)
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets = (0.01, 0.02), (0.5, -3.0)
    made = Mosaic.open(path, ["b1", "b1 / b2"]).read(Window(0, 0, *grid.shape))
    physical = pixels * np.array([0.01, 0.02])[:, None, None] + np.array([0.5, -3.0])[:, None, None]
    np.testing.assert_array_equal(made[0], pixels[0])  # a band as it is
    with np.errstate(divide="ignore"):
        wanted = (physical[0] / physical[1]).astype(np.float32)
    np.testing.assert_allclose(made[1], np.where(np.isfinite(wanted), wanted, np.nan), rtol=1e-6)
