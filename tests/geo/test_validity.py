"""Kinds of missing pixels × whatever reads pixels; GDAL's own masks say what is right wherever GDAL knows the kind."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import rasterio
import rasterio.shutil
from rasterio.enums import ColorInterp

from cratermill.core.errors import InputError
from cratermill.geo.arrays import as_array
from cratermill.geo.cog import write_cog
from cratermill.geo.grid import Window
from cratermill.geo.mosaic import Mosaic
from cratermill.geo.sampling import sample_many_masked, sample_masked
from cratermill.report.images import grey_or_colour
from cratermill.samples.crops import Cutter, Geometry
from tests.mosaics import MERCURY, global_grid, write_mosaic

GRID = global_grid(MERCURY, 90, "metres")
HOLE = Window(30, 60, 30, 60)
"""Around the middle of the map; its outermost pixels aren't looked at."""
UNDER = 201
"""The value that the file holds where it says that there is nothing."""


def pixels(dtype: str, bands: int = 1, under: float = UNDER) -> np.ndarray:
    """Values around 100 everywhere, ``under`` in the hole."""
    values = np.random.default_rng(0).integers(90, 111, (bands, *GRID.shape)).astype(dtype)
    values[:, *HOLE.slices] = np.asarray(under, dtype)
    return values


def hole() -> np.ndarray:
    mask = np.full(GRID.shape, 255, np.uint8)
    mask[HOLE.slices] = 0
    return mask


def with_alpha(path, dtype="uint8", bands=1, **profile):
    write_mosaic(path, np.concatenate([pixels(dtype, bands), hole()[None].astype(dtype)]), GRID, **profile)
    with rasterio.open(path, "r+") as file:
        names = [ColorInterp.gray] if bands == 1 else [ColorInterp.red, ColorInterp.green, ColorInterp.blue]
        file.colorinterp = [*names, ColorInterp.alpha]


def with_mask(path, inside: bool):
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=inside):
        write_mosaic(path, pixels("uint8"), GRID)
        with rasterio.open(path, "r+") as file:
            file.write_mask(hole())
    assert path.with_name(f"{path.name}.msk").exists() != inside


def vrt_of(path, source, *changes):
    rasterio.shutil.copy(source, path, driver="VRT")
    text = path.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)


def vrt_mask_band(path):
    source = path.with_name("source.tif")
    with_alpha(source)
    mask = (
        "<MaskBand><VRTRasterBand dataType='Byte'><SimpleSource><SourceFilename relativeToVRT='1'>source.tif</SourceFilename>"
        "<SourceBand>2</SourceBand></SimpleSource></VRTRasterBand></MaskBand>"
    )
    grey = write_mosaic(path.with_name("grey.tif"), pixels("uint8"), GRID)
    vrt_of(path, grey, ("</VRTDataset>", f"{mask}</VRTDataset>"))


def nodata_per_band(path, dtype="uint8", only=None):
    values = pixels(dtype, 3)
    values[:, *HOLE.slices] = np.array([0, 255, 7], dtype)[:, None, None]
    source = write_mosaic(path.with_name("source.tif"), values, GRID)
    bands = [f'band="{number}"' for number in (1, 2, 3)]
    vrt_of(path, source)
    text = path.read_text()
    for name, value in list(zip(bands, (0, 255, 7), strict=True))[:only]:
        start = text.index(">", text.index(name)) + 1
        text = text[:start] + f"<NoDataValue>{value}</NoDataValue>" + text[start:]
    path.write_text(text)


def isis(path, dtype="float32"):
    values = pixels(dtype)
    if dtype == "float32":
        special = np.array([0xFF7FFFFB + number for number in range(5)], np.uint32).view(np.float32)
    else:
        special = np.arange(-32768, -32763, dtype=np.int16)
    values[0, *HOLE.slices] = np.resize(special, (HOLE.height, HOLE.width))
    place = {"crs": GRID.crs.to_wkt(), "transform": GRID.affine}
    with rasterio.open(path, "w", driver="ISIS3", count=1, dtype=dtype, height=GRID.height, width=GRID.width, **place) as file:
        file.write(values)


def copied(path, driver: str, dtype: str):
    """An ISIS cube in another format, as GDAL writes it, without the mask beside it."""
    isis(path.with_name("source.cub"), dtype)
    rasterio.shutil.copy(path.with_name("source.cub"), path, driver=driver)
    path.with_name(f"{path.name}.msk").unlink(missing_ok=True)


KINDS = {
    "alpha": ("x.tif", with_alpha),
    "alpha of 16 bits": ("x.tif", lambda path: with_alpha(path, "uint16")),
    "colours with alpha": ("x.tif", lambda path: with_alpha(path, bands=3, photometric="RGB")),
    "alpha of a VRT": ("x.vrt", lambda path: (with_alpha(path.with_name("s.tif")), vrt_of(path, path.with_name("s.tif")))),
    "mask inside": ("x.tif", lambda path: with_mask(path, True)),
    "mask beside": ("x.tif", lambda path: with_mask(path, False)),
    "mask band of a VRT": ("x.vrt", vrt_mask_band),
    "nodata": ("x.tif", lambda path: write_mosaic(path, pixels("int16"), GRID, nodata=UNDER)),
    "nodata per band": ("x.vrt", nodata_per_band),
    "nodata per band, 16 bits": ("x.vrt", lambda path: nodata_per_band(path, "int16")),
    "NaN": ("x.tif", lambda path: write_mosaic(path, pixels("float32", under=np.nan), GRID)),
    "huge and undeclared": ("x.tif", lambda path: write_mosaic(path, pixels("float32", under=-3.4e38), GRID)),
    "ISIS reals": ("x.cub", isis),
    "ISIS words": ("x.cub", lambda path: isis(path, "int16")),
    "ISIS reals as GeoTIFF": ("x.tif", lambda path: copied(path, "GTiff", "float32")),
    "ISIS words as GeoTIFF": ("x.tif", lambda path: copied(path, "GTiff", "int16")),
    "ISIS words as VRT": ("x.vrt", lambda path: copied(path, "VRT", "int16")),
}
GDAL_DOES_NOT_KNOW = {"NaN", "huge and undeclared", "ISIS reals as GeoTIFF", "ISIS words as GeoTIFF"}


@pytest.fixture(scope="module", params=KINDS)
def kind(request, tmp_path_factory):
    name, make = KINDS[request.param]
    path = tmp_path_factory.mktemp("kind") / name
    make(path)
    return request.param, path


def test_reading_agrees_with_gdal(kind):
    name, path = kind
    with Mosaic.open(path) as mosaic, rasterio.open(path) as file:
        found, missing = mosaic.read_masked(Window(0, 0, *GRID.shape))
        wanted = hole() if name in GDAL_DOES_NOT_KNOW else file.dataset_mask()
        np.testing.assert_array_equal(missing.all(axis=0), wanted == 0)
        assert mosaic.count == len(found) == (3 if "colours" in name or "per band" in name else 1)
        assert mosaic.read_masked(Window(0, 0, 20, 20))[1] is None
        _, across = mosaic.read_masked(Window(30, -90, 3, 360))
        np.testing.assert_array_equal(across[:, :, :180], across[:, :, 180:])
        gone = np.broadcast_to(missing, found.shape)
        assert found[~gone].min() >= 90 and found[~gone].max() <= 110
        np.testing.assert_array_equal(found[gone], np.full(gone.sum(), mosaic.fill))


def test_samplers_statistics_crops_and_pictures_obey(kind):
    _, path = kind
    with Mosaic.open(path) as mosaic:
        inner = np.zeros(GRID.shape, bool)
        inner[32:58, 62:118] = True
        for method in ("bilinear", "nearest"):
            tile, gone = sample_masked(mosaic, GRID.window(HOLE), method)
            assert gone.all() and np.array_equal(tile, np.full_like(tile, mosaic.fill), equal_nan=True)
            tile, gone = sample_masked(mosaic, GRID.window(Window(20, 60, 40, 60)), method)
            seen = tile[~np.broadcast_to(gone, tile.shape)]
            assert 90 <= seen.min() <= seen.max() <= 110 and abs(gone.mean() - 0.75) < 0.01
        tiles, gone = sample_many_masked(mosaic, [GRID.window(Window(row, 80, 10, 10)) for row in (5, 40)])
        assert len(tiles) == 2 and not gone[0].any() and gone[1].all()
        mean, std, count = mosaic.statistics()
        assert (count == GRID.height * GRID.width - HOLE.height * HOLE.width).all()
        assert np.all((mean > 99) & (mean < 101) & (std > 5.9) & (std < 6.2))
        crops, share = Cutter(mosaic, Geometry(20)).cut_and_missing(
            pd.DataFrame({"lon": [0.0, 100.0, 10.0], "lat": [0.0, 20.0, 86.0], "radius_m": [4e5] * 3})
        )
        assert share[0] == 1 and share[1] == 0 and share[2] == 0 and np.ptp(crops[1]) > 5 and np.ptp(crops[2]) > 5
        picture = grey_or_colour(mosaic, (45, 90))
        assert (picture[inner[::2, ::2]] == 0).all() and picture[:10].mean() > 0.3


@pytest.mark.parametrize(("only", "hidden"), [(1, [True, False, False]), (2, [True, True, False]), (None, [True, True, True])])
def test_bytes_of_bands_with_and_without_nodata_are_the_same_to_every_reader(tmp_path, only, hidden):
    nodata_per_band(tmp_path / "x.vrt", only=only)
    with rasterio.open(tmp_path / "source.tif", "r+") as file:  # band 1 holds its value there, the others don't
        file.write(np.zeros((10, 10), np.uint8), 1, window=((70, 80), (10, 20)))
    alone = np.array([only is not None, False, False])
    with Mosaic.open(tmp_path / "x.vrt") as mosaic:
        _, missing = mosaic.read_masked(Window(0, 0, *GRID.shape))
        missing = np.broadcast_to(missing, (3, *GRID.shape))
        assert missing[:, 45, 90].tolist() == hidden and missing[:, 75, 15].tolist() == alone.tolist()
        np.testing.assert_array_equal(missing.sum((1, 2)), GRID.height * GRID.width - mosaic.statistics().count)
        np.testing.assert_array_equal(np.isnan(mosaic.reduced((45, 90)))[:, [22, 37], [45, 7]].T, [hidden, alone])
        for window, wanted in ((Window(40, 80, 10, 10), hidden), (Window(72, 12, 5, 5), alone)):
            gone = sample_masked(mosaic, GRID.window(window), "nearest")[1]
            assert (np.zeros(3, bool) if gone is None else np.broadcast_to(gone, (3, *gone.shape[1:])).all((1, 2))).tolist() == list(wanted)
        np.testing.assert_array_equal(np.isnan(as_array(mosaic).values), missing)
        with pytest.raises(InputError, match="different nodata values"):
            as_array(mosaic, masked=False)


def test_an_alpha_band_is_no_channel(tmp_path):
    with_alpha(tmp_path / "x.tif")
    assert Mosaic.open(tmp_path / "x.tif", 1).count == 1
    with pytest.raises(InputError, match=r"band 2 of .* is its alpha band"):
        Mosaic.open(tmp_path / "x.tif", [1, 2])


def test_a_composite_of_ours_can_be_read_again(tmp_path):
    colours = np.concatenate([pixels("uint8", 3), hole()[None]])
    with Mosaic.open(write_cog(tmp_path / "map.tif", colours, GRID)) as mosaic:
        missing = mosaic.read_masked(Window(0, 0, *GRID.shape))[1]
        assert mosaic.count == 3 and mosaic.statistics().count[0] == (hole() > 0).sum()
        np.testing.assert_array_equal(missing[0], hole() == 0)


def test_heights_keep_the_values_that_are_special_in_isis_only(tmp_path):
    heights = np.resize(np.arange(-32768, 32767, 37, dtype=np.int16), (1, *GRID.shape))
    with Mosaic.open(write_mosaic(tmp_path / "x.tif", heights, GRID, nodata=-32768)) as mosaic:
        missing = mosaic.read_masked(Window(0, 0, *GRID.shape))[1]
        np.testing.assert_array_equal(missing, heights == -32768)


@pytest.mark.parametrize(("colours", "expand"), [(False, "gray"), (True, "rgb")])
def test_indices_into_a_palette_are_refused_but_labels_may_have_colours(tmp_path, colours, expand):
    path = write_mosaic(tmp_path / "x.tif", pixels("uint8"), GRID)
    with rasterio.open(path, "r+") as file:
        file.write_colormap(1, {index: (255 - index, 255 - index, 7 if colours else 255 - index, 255) for index in range(256)})
    with pytest.raises(InputError, match="indices into a palette") as caught:
        Mosaic.open(path)
    assert f"gdal_translate -expand {expand} " in str(caught.value)
    with Mosaic.open(path, labels=True) as labels:
        assert (labels.read(HOLE) == UNDER).all()


def test_a_palette_of_the_grey_values_themselves_is_none(tmp_path):
    path = write_mosaic(tmp_path / "x.tif", pixels("uint8"), GRID)
    with rasterio.open(path, "r+") as file:
        file.write_colormap(1, {index: (index, index, index, 255) for index in range(256)})
    assert (Mosaic.open(path).read(HOLE) == UNDER).all()
