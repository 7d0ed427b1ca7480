"""Overviews against their definition, and that an empty planet costs nothing."""

import numpy as np
import pytest
import rasterio

from cratermill.geo import cog, overviews
from cratermill.geo.cog import write_cog
from cratermill.geo.grid import Window
from cratermill.geo.overviews import filled_blocks
from tests.mosaics import MERCURY, global_grid, noise, write_mosaic


@pytest.fixture(params=["in memory", "on disk"])
def grid(request, monkeypatch):
    if request.param == "on disk":
        monkeypatch.setattr(cog, "MEMORY_BYTES", 0)
    return global_grid(MERCURY, 1101)  # 1101 × 2202 px: sides that halve to odd numbers


def levels(path):
    with rasterio.open(path) as whole:
        count = len(whole.overviews(1))
    found = []
    for number in range(count):
        with rasterio.open(path, overview_level=number) as level:
            found.append(level.read())
    return found


def means(pixels, present):
    """The definition: every two by two pixels' mean over those present; an odd last row or column stands for itself."""
    padded = [
        np.pad(array.astype(float), ((0, 0), (0, array.shape[1] % 2), (0, array.shape[2] % 2)), mode="edge")
        for array in (np.where(present, pixels, 0), np.broadcast_to(present, pixels.shape))
    ]
    total, count = (sum(array[:, row::2, col::2] for row in (0, 1) for col in (0, 1)) for array in padded)
    with np.errstate(invalid="ignore"):
        return total / count, count > 0


def test_floats_are_averaged_without_what_is_missing(tmp_path, grid):
    pixels = noise(grid, 2).astype(np.float32)
    pixels[:, 100:400, 900:1700] = np.nan
    pixels[1, ::3] = np.nan
    found = levels(write_cog(tmp_path / "x.tif", pixels, grid, nodata=np.nan, resampling="average"))
    assert [level.shape[1:] for level in found] == [(551, 1101), (276, 551), (138, 276)]
    for level in found:
        wanted, _ = means(pixels, np.isfinite(pixels))
        np.testing.assert_allclose(level, wanted, rtol=1e-6)
        pixels = level


def test_colours_are_averaged_where_a_picture_is_opaque(tmp_path, grid):
    picture = noise(grid, 4)
    picture[3] = np.where(picture[3] > 120, 255, 0)
    found = levels(write_cog(tmp_path / "x.tif", picture, grid, resampling="average"))[0]
    wanted, opaque = means(picture[:3], picture[3:] > 0)
    np.testing.assert_allclose(found[:3][opaque], wanted[opaque], atol=0.5001)
    np.testing.assert_allclose(found[3:], means(picture[3:], np.ones_like(picture[3:], bool))[0], atol=0.5001)


def test_nearest_keeps_values(tmp_path, grid):
    owner = noise(grid)[0].astype(np.int32) // 50
    found = levels(write_cog(tmp_path / "x.tif", owner, grid, nodata=-1))
    np.testing.assert_array_equal(found[0][0], owner[::2, ::2])
    np.testing.assert_array_equal(found[1][0], owner[::4, ::4])


def test_only_blocks_with_something_in_them_are_looked_at_and_stored(tmp_path, grid):
    block = Window(600, 1600, 30, 40)  # in one block of 512 × 512 pixels
    path = write_cog(tmp_path / "x.tif", [(block, np.ones((30, 40), np.float32))], grid, nodata=np.nan, resampling="average")
    for number in (None, 0, 1):
        with rasterio.open(path, **({} if number is None else {"overview_level": number})) as level:
            assert np.nansum(level.read()) == pytest.approx(1200 / 4 ** (0 if number is None else number + 1), rel=0.1)
    with rasterio.open(path) as whole:
        assert [(window.row_off, window.col_off) for window in filled_blocks(whole)] == [(512, 1536)]
    assert path.stat().st_size < 20_000 and [file.name for file in tmp_path.iterdir()] == ["x.tif"]


def test_names_with_special_characters_and_relative_paths(tmp_path, grid, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pixels = noise(grid)
    path = write_cog("a & <b> \"c\" 'd' %20.tif", pixels, grid, tags={"note": "<&>"}, names=["<ejecta>"])
    with rasterio.open(path) as file:
        np.testing.assert_array_equal(file.read(), pixels)
        assert file.overviews(1) == [2, 4, 8] and file.tags()["note"] == "<&>" and file.descriptions == ("<ejecta>",)


def test_a_raster_without_overviews_gets_some_in_the_cache_once_and_isnt_touched(tmp_path, monkeypatch):
    monkeypatch.setattr(overviews, "LARGE_PX", 1000)
    monkeypatch.setenv("CRATERMILL_CACHE", str(tmp_path / "cache"))
    grid, said = global_grid(MERCURY, 512), []
    path = write_mosaic(tmp_path / "a mosaic.tif", noise(grid), grid)
    before = path.read_bytes()
    kept = overviews.with_kept_overviews(path, "average", said.append)
    assert overviews.with_kept_overviews(path, "average", said.append) == kept != path and len(said) == 1 and "a mosaic.tif" in said[0]
    with rasterio.open(path) as one, rasterio.open(kept) as other:
        whole = one.read()
        assert np.array_equal(whole, other.read()) and other.overviews(1) == list(overviews.FACTORS) and one.crs == other.crs
        reduced = other.read(out_shape=(1, 128, 256))
        exact = whole.reshape(1, 128, 4, 256, 4).mean((2, 4))
    assert np.abs(reduced - exact).max() <= 1
    assert path.read_bytes() == before and [one.name for one in tmp_path.iterdir() if one.name != "cache"] == ["a mosaic.tif"]
    monkeypatch.setenv("CRATERMILL_CACHE", "/proc/nowhere")
    assert overviews.with_kept_overviews(path, "average") == path
    monkeypatch.setattr(overviews, "LARGE_PX", 10**9)
    assert overviews.with_kept_overviews(path, "average") == path
