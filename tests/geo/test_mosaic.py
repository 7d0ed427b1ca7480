from __future__ import annotations

import multiprocessing
import pickle
import re

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine

from cratermill.core.errors import InputError
from cratermill.core.files import fingerprint
from cratermill.geo.cog import write_cog
from cratermill.geo.grid import Grid, Window
from cratermill.geo.mosaic import Mosaic
from tests.mosaics import KINDS, MERCURY, global_grid, noise, write_mosaic


@pytest.fixture
def grid():
    return global_grid(MERCURY, 60, "metres")


def test_windows_wrap_the_seam_and_end_at_the_poles(tmp_path, grid):
    pixels = noise(grid, 3)
    with Mosaic.open(write_mosaic(tmp_path / "a 'b' c.tif", pixels, grid, nodata=0)) as mosaic:
        assert (mosaic.count, mosaic.dtype, mosaic.nodata, mosaic.grid.shape) == (3, np.uint8, 0, (60, 120))
        assert mosaic.grid.body.same_figure(MERCURY)
        rolled = np.roll(pixels, 10, axis=2)
        np.testing.assert_array_equal(mosaic.read(Window(5, -10, 20, 30)), rolled[:, 5:25, :30])
        np.testing.assert_array_equal(mosaic.read(Window(5, 110, 20, 30)), rolled[:, 5:25, :30])
        np.testing.assert_array_equal(mosaic.read(Window(0, 115, 60, 300)), np.concatenate([pixels] * 4, axis=2)[:, :, 115:415])
        polar = mosaic.read(Window(-3, 0, 10, 5))
        assert (polar[:, :3] == 0).all() and (polar[:, 3:] == pixels[:, :7, :5]).all()
        assert (mosaic.read(Window(200, 0, 4, 4)) == 0).all()


def test_regional_mosaics_end_at_their_edges(tmp_path, grid):
    part = grid.window(Window(10, 20, 20, 30))
    pixels = noise(part, 1, "float32")
    mosaic = Mosaic.open(write_mosaic(tmp_path / "part.tif", pixels, part))
    assert mosaic.grid.period_px is None and np.isnan(mosaic.fill)
    found = mosaic.read(Window(-2, -5, 30, 50))
    np.testing.assert_array_equal(found[:, 2:22, 5:35], pixels)
    found[:, 2:22, 5:35] = np.nan
    assert np.isnan(found).all()


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"])
def test_every_pixel_type(tmp_path, grid, dtype):
    pixels = noise(grid, 2, "int16").astype(dtype)
    mosaic = Mosaic.open(write_mosaic(tmp_path / "x.tif", pixels, grid))
    assert mosaic.dtype == dtype
    np.testing.assert_array_equal(mosaic.read(Window(3, 4, 5, 6)), pixels[:, 3:8, 4:10])


def test_a_vrt_of_an_image_and_heights_has_the_wider_type(tmp_path, grid):
    """Bands of different types, which rasterio does not read at once."""
    image, heights = noise(grid, 1), noise(grid, 1, "int16")
    texts = []
    for name, pixels in (("image", image), ("heights", heights)):
        rasterio.shutil.copy(write_mosaic(tmp_path / f"{name}.tif", pixels, grid), tmp_path / f"{name}.vrt", driver="VRT")
        texts.append((tmp_path / f"{name}.vrt").read_text())
    second = re.search(r"<VRTRasterBand.*</VRTRasterBand>", texts[1], re.DOTALL).group().replace('band="1"', 'band="2"', 1)
    (tmp_path / "both.vrt").write_text(texts[0].replace("</VRTDataset>", f"{second}</VRTDataset>"))
    with Mosaic.open(tmp_path / "both.vrt") as mosaic:
        assert (mosaic.count, mosaic.dtype) == (2, np.int16)
        np.testing.assert_array_equal(mosaic.read(Window(0, 0, *grid.shape)), np.concatenate([image, heights]))
        assert mosaic.reduced(grid.shape) == pytest.approx(np.concatenate([image, heights]).astype(float))


@pytest.mark.parametrize("kind", KINDS)
def test_vrt_and_cog_read_like_the_geotiff(tmp_path, kind):
    grid = global_grid(MERCURY, 60, kind)
    pixels = noise(grid, 2)
    path = write_mosaic(tmp_path / "x.tif", pixels, grid)
    rasterio.shutil.copy(path, tmp_path / "x.vrt", driver="VRT")
    write_cog(tmp_path / "cog.tif", pixels, grid)
    for other in ("x.vrt", "cog.tif"):
        mosaic = Mosaic.open(tmp_path / other)
        np.testing.assert_array_equal(mosaic.read(Window(2, -7, 30, 40)), Mosaic.open(path).read(Window(2, -7, 30, 40)))
        assert mosaic.grid.period_px == 120 and mosaic.grid.body.same_figure(MERCURY)


def test_bands_chosen_repeated_and_refused(tmp_path, grid):
    path = write_mosaic(tmp_path / "x.tif", noise(grid, 2), grid)
    window = Window(0, 0, 4, 4)
    everything = Mosaic.open(path).read(window)
    np.testing.assert_array_equal(Mosaic.open(path, [2, 1, 2]).read(window), everything[[1, 0, 1]])
    assert Mosaic.open(path, 2).count == 2
    for wrong in (3, 1, [0], [1, 3], []):
        with pytest.raises(InputError, match=r"has 2 band\(s\)"):
            Mosaic.open(path, wrong)


def test_missing_pixels(tmp_path, grid):
    pixels = noise(grid, 2)
    pixels[:, 0, 0], pixels[0, 0, 1] = 0, 0
    mosaic = Mosaic.open(write_mosaic(tmp_path / "x.tif", pixels, grid, nodata=0))
    missing = mosaic.missing(mosaic.read(Window(0, 0, 2, 3)))
    assert missing.shape == (1, 2, 3) and missing.sum() == 1 and missing[0, 0, 0]
    assert mosaic.missing(mosaic.read(Window(5, 5, 2, 3))) is None
    broken = noise(grid, 2, "float32")
    broken[0, 0, 0], broken[1, 0, 1] = np.nan, np.inf
    mosaic = Mosaic.open(write_mosaic(tmp_path / "y.tif", broken, grid))
    np.testing.assert_array_equal(mosaic.missing(mosaic.read(Window(0, 0, 1, 2)))[:, 0], [[True, False], [False, True]])


@pytest.mark.parametrize(("values", "said"), [((1, 3), "holds 1 to 3"), ((255, 255), ""), ((1, 1), "")])
def test_masks_of_several_classes_are_said(tmp_path, grid, capsys, values, said):
    """All of them count, which may not be meant; classes that lie in different windows are seen as well."""
    pixels = np.zeros((1, *grid.shape), np.uint8)
    pixels[0, 3, 3], pixels[0, 40, 40] = values
    with Mosaic.open(write_mosaic(tmp_path / "mask.tif", pixels, grid), [1], labels=True) as mask:
        found = [mask.read_mask(Window(row, row, 8, 8)).sum() for row in (0, 38)]
    text = capsys.readouterr().err
    assert found == [1, 1] and (said in text if said else not text)
    assert not said or ("gdal_calc.py" in text and "mask.tif" in text)


def test_nodata_the_type_cannot_hold_flags_nothing(tmp_path, grid):
    path = write_mosaic(tmp_path / "x.tif", noise(grid), grid)
    vrt = tmp_path / "x.vrt"
    rasterio.shutil.copy(path, vrt, driver="VRT")
    vrt.write_text(vrt.read_text().replace("<ColorInterp>", "<NoDataValue>-9999</NoDataValue><ColorInterp>"))
    mosaic = Mosaic.open(vrt)
    assert mosaic.nodata is None and mosaic.fill == 0


def test_statistics_leave_missing_pixels_out(tmp_path, grid):
    pixels = noise(grid, 2)
    pixels[:, :30] = 0
    mosaic = Mosaic.open(write_mosaic(tmp_path / "x.tif", pixels, grid, nodata=0))
    found = mosaic.statistics()
    np.testing.assert_allclose(found.mean, pixels[:, 30:].mean(axis=(1, 2)))
    np.testing.assert_allclose(found.std, pixels[:, 30:].std(axis=(1, 2)))
    assert list(found.count) == [3600, 3600]
    empty = Mosaic.open(write_mosaic(tmp_path / "empty.tif", np.zeros_like(pixels), grid, nodata=0))
    with pytest.raises(InputError, match="no pixel holds data"):
        empty.statistics()


def _sum_of_window(mosaic):
    return int(mosaic.read(Window(0, 0, 60, 120)).sum())


def test_survives_pickling_and_forking(tmp_path, grid):
    pixels = noise(grid)
    mosaic = Mosaic.open(write_mosaic(tmp_path / "x.tif", pixels, grid, compress="deflate"))
    assert _sum_of_window(pickle.loads(pickle.dumps(mosaic))) == pixels.sum()  # noqa: S301
    for start in ("fork", "spawn"):
        with multiprocessing.get_context(start).Pool(2) as pool:
            assert pool.map(_sum_of_window, [mosaic] * 4) == [pixels.sum()] * 4


def test_whoever_reads_at_the_same_time_has_a_handle_of_its_own(tmp_path, grid):
    mosaic = Mosaic.open(write_mosaic(tmp_path / "x.tif", noise(grid), grid))
    with mosaic._handle() as one, mosaic._handle() as other:
        assert one is not other
    with mosaic._handle() as again:
        assert again in (one, other)
    mosaic.close()
    assert one.closed and other.closed


def test_missing_file_and_files_that_are_no_raster(tmp_path):
    with pytest.raises(InputError, match="check the path"):
        Mosaic.open(tmp_path / "no 'such' file.tif")
    (tmp_path / "text.tif").write_text("this is no raster")
    with pytest.raises(InputError, match="can't be opened"):
        Mosaic.open(tmp_path / "text.tif")


def test_a_geotiff_cut_off_in_its_overviews(tmp_path):
    """GDAL opens it, and rasterio hands GDAL's own error on where more is asked of it."""
    path = write_mosaic(tmp_path / "m.tif", noise(global_grid(MERCURY, 180)), global_grid(MERCURY, 180))
    with rasterio.open(path, "r+") as dataset:
        dataset.build_overviews([2, 4], rasterio.enums.Resampling.average)
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(InputError, match="truncated"):
        Mosaic.open(path).statistics()


@pytest.mark.parametrize("share", [0.05, 0.5, 0.98])
def test_truncated_geotiffs(tmp_path, grid, share):
    path = write_mosaic(tmp_path / "x.tif", noise(grid, 3), grid, compress="deflate", tiled=True, blockxsize=32, blockysize=32)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InputError, match="truncated"):
        Mosaic.open(path).read(Window(0, 0, 60, 120))
    assert [file.name for file in tmp_path.iterdir()] == ["x.tif"]


def test_missing_crs_and_missing_geotransform(tmp_path, grid):
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning):
        path = write_mosaic(tmp_path / "x.tif", noise(grid), grid, transform=Affine.identity())
    with pytest.raises(InputError, match="no geotransform"):
        Mosaic.open(path)
    with rasterio.open(
        tmp_path / "y.tif", "w", driver="GTiff", width=4, height=4, count=1, dtype="uint8", transform=Affine(1, 0, 0, 0, -1, 0)
    ):
        pass
    with pytest.raises(InputError, match="has no CRS") as raised:
        Mosaic.open(tmp_path / "y.tif")
    assert "gdal_edit.py" in str(raised.value)


@pytest.mark.parametrize(
    ("crs", "said"),
    [
        ("EPSG:4326", "is on the Earth's ellipsoid (WGS 84)"),
        ("EPSG:32633", "is on the Earth's ellipsoid"),
        ("IAU_2015:49901", "Mars (2015) / Ographic, which counts longitudes westwards"),
        ("IAU_2015:49911", "Mars (2015) / Ographic / Equirectangular, clon = 0, which counts longitudes westwards"),
        ("IAU_2015:49900", ""),
        ("IAU_2015:49910", ""),
        ("+proj=eqc +R=1737400 +units=km", ""),
    ],
)
def test_a_crs_that_is_likely_another_than_the_pixels_is_said(tmp_path, grid, capsys, crs, said):
    path = write_mosaic(tmp_path / f"{fingerprint([crs])}.tif", noise(grid), grid, crs=crs, transform=Affine(1, 0, -60, 0, -1, 30))
    Mosaic.open(path)
    err = capsys.readouterr().err
    assert said in err and bool(err) == bool(said)


def test_a_pole_of_its_own_is_refused(tmp_path, grid):
    turned = "+proj=ob_tran +o_proj=longlat +o_lat_p=45 +o_lon_p=0 +R=1737400"
    path = write_mosaic(tmp_path / "x.tif", noise(grid), grid, crs=turned, transform=Affine(3, 0, -180, 0, -3, 90))
    with pytest.raises(InputError, match="the CRS has a pole of its own"):
        Mosaic.open(path)


def test_rotated_and_complex_rasters_are_refused(tmp_path, grid):
    path = write_mosaic(tmp_path / "x.tif", noise(grid), grid, transform=Affine(1000, 10, 0, 10, -1000, 0))
    with pytest.raises(InputError, match="rotated"):
        Mosaic.open(path)
    path = write_mosaic(tmp_path / "y.tif", noise(grid).astype("complex64"), grid)
    with pytest.raises(InputError, match="complex64"):
        Mosaic.open(path)


def test_south_up_rasters_are_fine(tmp_path):
    up = Grid(MERCURY.geographic_crs(), Affine(3, 0, -180, 0, 3, -90), (60, 120))
    mosaic = Mosaic.open(write_mosaic(tmp_path / "x.tif", noise(up), up))
    assert mosaic.grid.lonlat(0, 0)[1] < -88 and mosaic.grid.period_px == 120


@pytest.mark.parametrize("name", ["mercury", "moon", "moon_dem"])
def test_real_mosaics_open(real_data, name):
    with Mosaic.open(real_data(f"mosaics/{name}.tif")) as mosaic:
        assert mosaic.grid.period_px == 1024 and mosaic.grid.shape == (512, 1024)
        found = mosaic.statistics()
        assert np.isfinite(found.mean).all() and found.std[0] > 1
