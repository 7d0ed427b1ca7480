"""What notebooks use: mosaics and tiles as xarray, at no cost before it is used; its page is true."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import xarray

import cratermill
from cratermill import open_craters, open_map, open_mosaic, sample_tile
from cratermill.core.errors import InputError
from cratermill.geo.grid import square_grid
from cratermill.geo.mosaic import Mosaic
from cratermill.geo.sampling import sample
from tests.mosaics import MERCURY, global_grid, noise, write_mosaic

PLACES = [(10.0, 5.0), (179.9, -3.0), (-50.0, 89.5), (200.0, -90.0)]
EVERY = """
import sys, time
start = time.process_time()
import cratermill
took = time.process_time() - start
print(took < 0.2, *(name in sys.modules for name in ("numpy", "pandas", "rasterio", "torch", "xarray")))
"""


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    grid = global_grid(rows=90, kind="degrees 0-360")
    pixels = noise(grid, 3)
    pixels[:, 20:25, 30:40] = 0
    return write_mosaic(tmp_path_factory.mktemp("api") / "x.tif", pixels, grid, nodata=0, tiled=True, blockxsize=32, blockysize=32)


def test_importing_costs_nothing():
    found = subprocess.run([sys.executable, "-c", EVERY], capture_output=True, text=True, check=True).stdout.split()
    assert found == ["True"] + ["False"] * 5
    assert set(cratermill.__all__) <= set(dir(cratermill))
    with pytest.raises(ImportError, match="open_nothing"):
        from cratermill import open_nothing  # noqa: F401


def test_a_mosaic_is_lazy_and_knows_where_it_is(path):
    mosaic = open_mosaic(path, chunk_px=64)
    assert mosaic.chunks == ((3,), (64, 26), (64, 64, 52)) and mosaic.dtype == np.float32
    assert (
        mosaic.attrs["body"].lower() == "mercury"
        and mosaic.rio.crs.to_wkt()
        and mosaic.rio.transform() == global_grid(rows=90, kind="degrees 0-360").affine
    )
    np.testing.assert_allclose(mosaic["lon"][[0, -1]], [1, 359])
    np.testing.assert_allclose(mosaic["lat"][[0, -1]], [89, -89])
    with Mosaic.open(path) as plain:
        pixels = plain.reduced(plain.grid.shape)
    np.testing.assert_array_equal(mosaic, pixels)
    assert not mosaic.notnull()[:, 20:25, 30:40].any() and int(mosaic.isnull().sum()) == 3 * 50
    raw = open_mosaic(path, masked=False)
    assert raw.dtype == np.uint8 and raw.rio.nodata == 0
    ratio = open_mosaic(path, ["b2", "b1 / b3"])
    assert ratio["band"].values.tolist() == ["b2", "b1 / b3"]
    np.testing.assert_allclose(ratio.sel(band="b1 / b3"), pixels[0] / pixels[2], rtol=1e-6)


@pytest.mark.parametrize("lon, lat", PLACES)
def test_tiles_of_a_path_and_of_an_array_are_the_samplers(path, lon, lat):
    tile = sample_tile(path, lon, lat, 200e3, size_px=24)
    assert tile.dims == ("band", "y", "x") and tile.shape == (3, 24, 24) and abs(float(tile["x"][-1])) < 400e3
    with Mosaic.open(path) as mosaic:
        expected = sample(mosaic, square_grid(mosaic.grid.body, lon, lat, 400e3, 24)).astype(float)
    np.testing.assert_array_equal(tile.fillna(0), expected)
    for array in (open_mosaic(path, masked=False), open_mosaic(path)):
        np.testing.assert_allclose(sample_tile(array, lon, lat, extent_m=800e3, size_px=24), tile, atol=0.51)
    whole = sample_tile(open_mosaic(path, masked=False), lon, lat, extent_m=800e3, size_px=24)
    xarray.testing.assert_identical(whole.drop_attrs(), tile.drop_attrs())


def test_an_array_needs_a_crs_and_a_tile_one_size(path):
    with pytest.raises(InputError, match="no CRS"):
        sample_tile(xarray.DataArray(np.zeros((4, 8)), dims=("y", "x")), 0, 0, 1e3)
    for sizes in ({}, {"radius_m": 1e3, "extent_m": 1e3}, {"radius_m": -5}, {"extent_m": float("nan")}):
        with pytest.raises(InputError, match="radius_m"):
            sample_tile(path, 0, 0, **sizes)
    with pytest.raises(InputError, match="there is no b9"):
        open_mosaic(path, ["b9"])
    with pytest.raises(InputError, match="no map nothing"):
        open_map("nothing")


def test_formulas_over_an_array(path):
    """What xarray derives is sampled as the file's own bands are."""
    mosaic = open_mosaic(path)
    derived = (mosaic.sel(band=1) / mosaic.sel(band=3)).rio.write_crs(mosaic.rio.crs)
    found = sample_tile(derived, 10, 5, 200e3, size_px=16, method="nearest")
    np.testing.assert_allclose(found[0], sample_tile(path, 10, 5, 200e3, size_px=16, bands=["b1 / b3"], method="nearest")[0], rtol=1e-6)


def test_craters_by_expression(tmp_path):
    (tmp_path / "list.csv").write_text("lon,lat,diam_km\n0,0,5\n350,10,50\n")
    found = open_craters(tmp_path / "list.csv", where="radius_m > 1e4")
    assert found["lon"].tolist() == [-10] and found.geometry.x.tolist() == [-10] and MERCURY.name


def test_the_page_is_true():
    from tests.docs import api

    assert api.PAGE.read_text(encoding="utf-8") == api.page(), "run: python -m tests.docs.api"
