"""Bands of several rasters as one mosaic, against what the heights were made with."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_bounds

from cratermill.config import Config, RunConfig, band_marks
from cratermill.core.errors import InputError
from cratermill.geo.grid import Window, azimuthal_grid
from cratermill.geo.layers import gradient, open_mosaic
from cratermill.geo.mosaic import Mosaic
from cratermill.geo.sampling import sample

R = 1_737_400.0
LONGLAT = f"+proj=longlat +R={R} +no_defs"


def raster(path, values, bounds=(-180, -90, 180, 90), crs=LONGLAT, **options):
    """A file of values (h, w) or (C, h, w) between west, south, east and north."""
    values = np.atleast_3d(values.T).T if values.ndim == 2 else values
    count, height, width = values.shape
    profile = {"driver": "GTiff", "count": count, "height": height, "width": width, "dtype": values.dtype, "crs": crs}
    with rasterio.open(path, "w", **profile, transform=from_bounds(*bounds, width, height), **options) as file:
        file.write(values)
    return path


def hills(lon, lat):
    """Heights in metres of a smooth planet without a seam."""
    return 3000 * np.sin(np.radians(3 * lon)) * np.cos(np.radians(lat)) ** 2 + 1000 * np.sin(np.radians(2 * lat))


def centres(rows, cols, west=-180.0, south=-90.0, east=180.0, north=90.0):
    lon = west + (np.arange(cols) + 0.5) * (east - west) / cols
    lat = north - (np.arange(rows) + 0.5) * (north - south) / rows
    return np.meshgrid(lon, lat)


@pytest.fixture
def planet(tmp_path):
    raster(tmp_path / "grey.tif", np.arange(64 * 128, dtype=np.uint16).reshape(64, 128) + 1)
    raster(tmp_path / "dem.tif", hills(*centres(360, 720)).astype(np.float32))
    return tmp_path


def opened(folder, bands, derived, mosaic="grey.tif"):
    config = Config(RunConfig(name="x", data="data", mosaic=mosaic, bands=bands, derived=derived), folder)
    return open_mosaic(config.mosaic, config.bands)


def test_heights_slopes_and_shades_are_those_of_the_ground(planet):
    derived = {
        "dem": "dem.tif",
        "slope": {"of": "dem.tif", "make": "slope"},
        "shade": {"of": "dem.tif", "make": "hillshade", "azimuth_deg": 300, "altitude_deg": 40},
    }
    mosaic = opened(planet, [1, "dem", "slope", "shade", "dem / 1000 + b1"], derived)
    window = Window(20, -6, 10, 20)  # across the seam
    grey, dem, slope, shade, both = mosaic.read(window)
    lon, lat = mosaic.grid.lonlat(*np.mgrid[20:30, -6:14])
    assert np.array_equal(grey, Mosaic.open(planet / "grey.tif").read(window)[0])
    assert np.abs(dem - hills(lon, lat)).max() < 30, "means over pixels of 2.8 degrees of what is no plane"
    step = 1e-4
    east = (hills(lon + step, lat) - hills(lon - step, lat)) / (2 * step * np.radians(1) * R * np.cos(np.radians(lat)))
    north = (hills(lon, lat + step) - hills(lon, lat - step)) / (2 * step * np.radians(1) * R)
    assert np.abs(slope - np.degrees(np.arctan(np.hypot(east, north)))).max() < 0.02
    sun = np.array(
        [np.sin(np.radians(300)) * np.cos(np.radians(40)), np.cos(np.radians(300)) * np.cos(np.radians(40)), np.sin(np.radians(40))]
    )
    normal = np.stack([-east, -north, np.ones_like(east)]) / np.sqrt(1 + east**2 + north**2)
    assert np.abs(shade - np.tensordot(sun, normal, 1)).max() < 1e-3
    assert np.allclose(both, dem / 1000 + grey, rtol=1e-6)
    again = pickle.loads(pickle.dumps(mosaic))  # noqa: S301
    assert np.array_equal(again.read(window), mosaic.read(window)) and again.bands == mosaic.bands


def test_horns_gradient_of_a_plane_is_the_plane_at_every_pixel():
    rows, cols = np.mgrid[:6, :7]
    east, north = gradient(4.0 * cols - 3.0 * rows, 2.0, 0.5)
    assert np.allclose(east, 2) and np.allclose(north, 6)
    hole = 4.0 * cols
    hole[:, 0] = np.nan
    east, _ = gradient(hole, 1.0, 1.0)
    assert np.allclose(east[:, 1:], 4) and np.allclose(east[:, 0], 2), "a missing neighbour is as high as the pixel"


def test_layers_of_other_resolution_extent_and_projection_and_unit(planet):
    local = hills(*centres(200, 200, 10, -10, 30, 10)) / 1000
    raster(planet / "local.tif", local.astype(np.float32), np.radians([10, -10, 30, 10]) * R, f"+proj=eqc +R={R} +units=m")
    mosaic = opened(planet, ["near"], {"near": {"of": "local.tif", "metres_per_unit": 1000}}, "dem.tif")
    grid = azimuthal_grid(mosaic.grid.body, 20, 0, 6000)
    tile = sample(mosaic, grid.window(Window(grid.height // 2 - 20, grid.width // 2 - 20, 40, 40)))
    lon, lat = grid.lonlat(*np.mgrid[grid.height // 2 - 20 : grid.height // 2 + 20, grid.width // 2 - 20 : grid.width // 2 + 20])
    assert np.abs(tile[0] - hills(lon, lat)).max() < 10
    whole = mosaic.read(Window(0, 0, 360, 720))[0]
    lon, lat = centres(360, 720)
    inside = (np.abs(lon - 20) < 10) & (np.abs(lat) < 10)
    assert np.isfinite(whole[inside]).all() and np.isnan(whole[~inside]).all()
    assert mosaic.statistics().count[0] == inside.sum()
    small = mosaic.reduced((36, 72))[0]
    assert np.isfinite(small).sum() == 16 and np.abs(small[np.isfinite(small)].mean() - whole[inside].mean()) < 100


def test_what_a_layer_was_made_of_marks_what_is_made_with_it(planet):
    bands = ["b1", "shade"]
    low, high = (opened(planet, bands, {"shade": {"of": "dem.tif", "make": "hillshade", "altitude_deg": deg}}) for deg in (10, 80))
    assert low.bands != high.bands and low.statistics().mean[1] < 0.3 < 0.9 < high.statistics().mean[1]
    assert {path.rpartition("/")[2] for path in low.files()} == {"grey.tif", "dem.tif"}
    config = Config(RunConfig(name="x", data="data", mosaic="grey.tif", bands=bands, derived={"shade": "dem.tif"}), planet)
    before = band_marks(config.bands)
    raster(planet / "dem.tif", np.zeros((4, 8), np.float32))
    assert band_marks(config.bands) != before and str(planet) not in str(before)


@pytest.mark.parametrize(
    ("bands", "derived", "said"),
    [
        (["b1"], {"dem": "dem.tif"}, "no list of bands names 'dem'"),
        (["b1", "b2"], {"b2": "dem.tif"}, "'b2' can't be a band's name"),
        (["dem"], {"dem": {"of": "dem.tif", "make": "slope", "azimuth_deg": 3}}, "azimuth_deg, altitude_deg: no keys of make: slope"),
        (["dem"], {"dem": {"of": "dem.tif", "make": "aspect"}}, "values"),
    ],
)
def test_flaws_of_a_configuration_are_named(planet, bands, derived, said):
    with pytest.raises(ValueError, match=said):
        opened(planet, bands, derived)


def test_flaws_of_files_are_named(planet):
    with pytest.raises(InputError, match="nothing.tif can't be opened"):
        opened(planet, ["dem"], {"dem": "nothing.tif"})
    with pytest.raises(InputError, match=r"has 1 band\(s\), \[2\] wanted"):
        opened(planet, ["dem"], {"dem": {"of": "dem.tif", "band": 2}})
    polar = f"+proj=stere +lat_0=90 +R={R}"
    raster(planet / "polar.tif", np.zeros((8, 8), np.float32), (-1e5, -1e5, 1e5, 1e5), polar)
    with pytest.raises(InputError, match="slopes and shades of another projection"):
        opened(planet, ["slope"], {"slope": {"of": "polar.tif", "make": "slope"}})
    raster(planet / "mars.tif", np.zeros((8, 16), np.float32), crs="+proj=longlat +R=3396190 +no_defs")
    with pytest.raises(InputError, match="mars.tif is on another ellipsoid"):
        opened(planet, ["mars"], {"mars": "mars.tif"})
