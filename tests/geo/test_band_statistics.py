"""Statistics against NumPy, with holes, with overviews, and on every scheduler."""

from __future__ import annotations

import itertools
import json
import os

import dask
import numpy as np
import pytest
import rasterio
import rasterio.shutil
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from rasterio.enums import Resampling

from cratermill.core.errors import InputError
from cratermill.geo import band_statistics
from cratermill.geo.grid import Window
from cratermill.geo.mosaic import Mosaic
from tests.mosaics import MERCURY, global_grid, noise, write_mosaic

GRID = global_grid(MERCURY, 60)
TYPES = ("uint8", "int8", "uint16", "int16", "int32", "float32", "float64")


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch):
    monkeypatch.setattr(band_statistics, "_KNOWN", {})
    monkeypatch.setattr("cratermill.core.notices._said", set())


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.data(), st.sampled_from(TYPES))
def test_sums_of_blocks_are_numpys(data, dtype):
    """Any values, cut anywhere, with any holes."""
    values = data.draw(arrays(dtype, (6, 5), elements={"allow_nan": False, "allow_infinity": False} if dtype.startswith("f") else {}))
    if dtype.startswith("f"):
        values = np.clip(values, -1e12, 1e12)
    valid = data.draw(arrays(bool, values.shape))
    valid[0, 0] = True
    cut = data.draw(st.integers(0, 5))
    whole = band_statistics._is_counted(values.dtype)
    one, join = (
        (band_statistics._whole_sums, band_statistics._joined_whole) if whole else (band_statistics._real_sums, band_statistics._joined)
    )
    parts = [one(values[rows], valid[rows]) for rows in (slice(0, cut), slice(cut, None)) if values[rows].size]
    mean, std, count = join(tuple(parts))
    wanted = values[valid].astype(np.float64)
    assert count == valid.sum() and mean == pytest.approx(wanted.mean(), rel=1e-12, abs=1e-300)
    assert std == pytest.approx(wanted.std(), rel=1e-9, abs=max(1e-12 * np.abs(wanted).max(), 1e-300))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_equal_bit_by_bit_on_every_scheduler(tmp_path, monkeypatch, dtype):
    monkeypatch.setattr(band_statistics, "BLOCK_PX", 600)
    pixels = noise(GRID, 2, dtype) - (100 if dtype == "int16" else 0)
    mosaic = Mosaic.open(write_mosaic(tmp_path / "x.tif", pixels.astype(dtype), GRID, tiled=True, blockxsize=16, blockysize=16))
    assert len(list(band_statistics.block_windows(mosaic))) > 5
    found = []
    for scheduler in ("synchronous", "threads"):
        band_statistics._KNOWN.clear()
        with dask.config.set(scheduler=scheduler):
            found.append(mosaic.statistics())
    for values in zip(*found, strict=True):
        np.testing.assert_array_equal(*values)
    np.testing.assert_allclose(found[0].mean, pixels.mean(axis=(1, 2), dtype=np.float64), rtol=1e-12)
    np.testing.assert_allclose(found[0].std, pixels.std(axis=(1, 2), dtype=np.float64), rtol=1e-9)


def test_blocks_cover_every_pixel_once():
    for rows, block in itertools.product((1, 90, 4000), ((1, 180), (512, 512), (7, 3))):
        grid = global_grid(MERCURY, rows)
        mosaic = type("Fake", (), {"grid": grid, "count": 3, "dtype": np.dtype("f4"), "block_shape": block})()
        seen = sum(window.height * window.width for window in band_statistics.block_windows(mosaic))
        assert seen == grid.height * grid.width


def test_overviews_change_nothing(tmp_path):
    path = write_mosaic(tmp_path / "x.tif", noise(GRID), GRID)
    plain = Mosaic.open(path).statistics()
    with rasterio.open(path, "r+") as file:
        file.build_overviews([2, 4, 8], Resampling.average)
    with rasterio.open(path, overview_level=0) as smaller:
        assert smaller.read().std() < 0.8 * plain.std[0]
    assert Mosaic.open(path).statistics() == plain


def test_remembered_until_the_file_changes(tmp_path, monkeypatch):
    path, kept = write_mosaic(tmp_path / "x.tif", noise(GRID), GRID), tmp_path / "data" / "statistics.json"
    first = Mosaic.open(path).statistics(kept)
    monkeypatch.setattr(band_statistics, "_KNOWN", {})
    monkeypatch.setattr("cratermill.core.notices._said", set())
    monkeypatch.setattr(band_statistics, "_counted", lambda _: pytest.fail("counted again"))
    again = Mosaic.open(path).statistics(kept)
    assert again == first and len(json.loads(kept.read_text())) == 1
    monkeypatch.undo()
    write_mosaic(path, noise(GRID) // 2, GRID)
    os.utime(path, ns=(1, 1))
    assert Mosaic.open(path).statistics(kept).mean[0] < 0.6 * first.mean[0]
    kept.write_text('{"broken": ')
    band_statistics._KNOWN.clear()
    assert Mosaic.open(path).statistics(kept).mean[0] < 0.6 * first.mean[0]


def test_bands_without_data_are_refused(tmp_path):
    pixels = noise(GRID, 2, "float32")
    pixels[1] = np.nan
    with pytest.raises(InputError, match="no pixel holds data"):
        Mosaic.open(write_mosaic(tmp_path / "x.tif", pixels, GRID)).statistics()


def test_a_vrt_is_marked_by_its_sources(tmp_path):
    source = write_mosaic(tmp_path / "source.tif", noise(GRID), GRID)
    rasterio.shutil.copy(source, tmp_path / "x.vrt", driver="VRT")
    with Mosaic.open(tmp_path / "x.vrt") as mosaic:
        before = band_statistics.marks_of(mosaic)
        assert mosaic.read(Window(0, 0, 1, 1)).size == 1
    os.utime(source, ns=(1, 1))
    with Mosaic.open(tmp_path / "x.vrt") as mosaic:
        assert band_statistics.marks_of(mosaic) != before


@pytest.mark.parametrize(
    ("dtype", "fill", "nodata", "said"),
    [
        ("int16", -32768, None, "hold -32768"),
        ("float32", -9999, None, "hold -9999"),
        ("float32", 1e20, None, "hold 1e+20"),
        ("uint16", 65535, None, "hold 65535"),
        ("uint8", 0, None, "hold 0"),
        ("int16", -32768, -32768, ""),
        ("uint8", 99, None, ""),  # no gap: it may be a shadow
    ],
)
def test_a_fill_that_nobody_declared_is_said(tmp_path, capsys, dtype, fill, nodata, said):
    pixels = np.random.default_rng(0).integers(100, 200, (1, *GRID.shape)).astype(dtype)
    pixels[:, :4] = fill
    with Mosaic.open(write_mosaic(tmp_path / "m.tif", pixels, GRID, nodata=nodata)) as mosaic:
        mosaic.statistics()
    err = capsys.readouterr().err
    assert (f"of band 1 {said}, far from all other values" in err) if said else not err
