"""Whole rasters as dask graphs: the same bits on every scheduler, in order, written whole or not at all."""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path

import dask
import numpy as np
import pytest
import rasterio

from cratermill.core.errors import InputError
from cratermill.geo.arrays import as_array, write_array
from cratermill.geo.blocks import computed, in_order, lazy_raster
from cratermill.geo.grid import Window
from cratermill.geo.mosaic import ArrayMosaic, Mosaic
from tests.mosaics import global_grid, noise, write_mosaic

FORMULA = ["b1", "sqrt(b1) / b2"]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    grid = global_grid(rows=96)
    pixels = noise(grid, 2, "uint16")
    pixels[:, 40:60, 100:120] = 0
    return write_mosaic(tmp_path_factory.mktemp("blocks") / "x.tif", pixels, grid, nodata=0, tiled=True, blockxsize=32, blockysize=32)


def products(path: Path, folder: Path) -> tuple:
    """Statistics, a smoothed mosaic as COG, and its bytes."""
    mosaic = Mosaic.open(path, FORMULA)
    smooth = as_array(mosaic, chunk_px=32).data.map_overlap(_blurred, depth=(0, 2, 2), boundary="nearest")
    made = write_array(folder / "smooth.tif", smooth, mosaic.grid, nodata=np.nan, resampling="average")
    from cratermill.geo.band_statistics import _counted

    return [value.tobytes() for value in _counted(mosaic)], made.read_bytes()


def _blurred(block: np.ndarray) -> np.ndarray:
    return (block + np.roll(block, 1, -1) + np.roll(block, -1, -1)) / np.float32(3)


@pytest.fixture(scope="module")
def expected(path, tmp_path_factory):
    with dask.config.set(scheduler="synchronous"):
        return products(path, tmp_path_factory.mktemp("one"))


def _survives(folder: Path, job: int) -> int:
    """Kills its own process the first time job 3 is done."""
    if job == 3 and not (folder / "died").exists():
        (folder / "died").touch()
        os._exit(1)
    return job * job


def test_threads_and_processes_give_the_same_bits(path, expected, tmp_path):
    for number, options in enumerate(({"scheduler": "threads", "num_workers": 3}, {"scheduler": "processes", "num_workers": 2})):
        with dask.config.set(**options, **{"multiprocessing.context": "fork"}):
            assert products(path, tmp_path / str(number)) == expected


@pytest.mark.slow
def test_so_do_workers_of_a_cluster_even_when_one_dies(path, expected, tmp_path, monkeypatch):
    """By the scheduler that the environment names, as 'cratermill dask start' tells to set it."""
    from distributed import Client, LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:  # noqa: SIM117  # its address
        with dask.config.set({"scheduler-address": cluster.scheduler_address}):
            assert list(in_order(partial(_survives, tmp_path), list(range(12)), 8)) == [job * job for job in range(12)]
            client = Client.current()
            assert (tmp_path / "died").exists() and client.scheduler.address == cluster.scheduler_address
            assert products(path, tmp_path / "cluster") == expected
            client.close()


def _counts(folder: Path, job: int) -> np.ndarray:
    (folder / str(job)).touch()
    return np.zeros(4 * 2**20, np.uint8)


def test_few_results_are_held_at_a_time(tmp_path):
    results = in_order(partial(_counts, tmp_path), list(range(200)), 64 * 2**20)
    next(results)
    time.sleep(0.3)
    assert len(list(tmp_path.iterdir())) <= 8
    results.close()


def test_what_fails_leaves_the_older_file(path, tmp_path):
    grid = Mosaic.open(path).grid

    def broken(window: Window) -> np.ndarray:
        if window.row:
            raise InputError("a broken block")
        return np.ones((1, window.height, window.width), np.uint8)

    target = tmp_path / "x.tif"
    target.write_bytes(b"older")
    with pytest.raises(InputError, match="broken block"):
        write_array(target, lazy_raster(broken, (1, *grid.shape), np.uint8, (32, 32)), grid)
    assert target.read_bytes() == b"older" and [one.name for one in tmp_path.iterdir()] == ["x.tif"]


def test_zarr_comes_back_as_a_mosaic(path, tmp_path):
    import xarray

    mosaic = Mosaic.open(path)
    for _ in range(2):  # the second time it replaces the first
        store = write_array(tmp_path / "x.zarr", as_array(mosaic, masked=False, chunk_px=64), mosaic.grid, nodata=0)
    assert [one.name for one in tmp_path.iterdir()] == ["x.zarr"]
    array = xarray.open_zarr(store, consolidated=False, mask_and_scale=False, decode_coords="all")["mosaic"]
    again = ArrayMosaic(array)
    assert again.grid == mosaic.grid and again.validity.nodata == (0, 0)
    window = Window(30, 180, 40, 30)
    for ours, theirs in zip(again.read_masked(window), mosaic.read_masked(window), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_windows_of_an_array_cover_it_once():
    array = dask.array.from_array(np.arange(6 * 7).reshape(6, 7), chunks=(4, 3))
    out = np.zeros((6, 7), int)
    for window, pixels in computed(array):
        out[window.slices] += pixels
    np.testing.assert_array_equal(out, array)


def _waits_for_others(folder: Path, job: int) -> bool:
    """The first takes until four others are there; whether they came."""
    (folder / str(job)).touch()
    until, others = time.monotonic() + 60, {"1", "2", "3", "4"}
    while (missing := not job and not others <= {one.name for one in folder.iterdir()}) and time.monotonic() < until:
        time.sleep(0.01)
    return not missing


def test_no_core_waits_for_another(tmp_path):
    """While a block takes long, the other thread goes on, but not without end."""
    with dask.config.set(num_workers=2):
        results = in_order(partial(_waits_for_others, tmp_path), list(range(40)), 8)
        assert next(results), "the others were begun while the first was at work"
        results.close()
    assert len(list(tmp_path.iterdir())) < 40


def _counted(folder: Path, window: Window) -> np.ndarray:
    (folder / f"{window.row}-{window.col}-{time.monotonic_ns()}").touch()
    return np.ones((1, window.height, window.width), np.float32)


def test_neighbours_share_what_they_are_made_of(tmp_path):
    source = lazy_raster(partial(_counted, tmp_path), (1, 64, 128), np.float32, (16, 16))
    smooth = source.map_overlap(_blurred, depth=(0, 2, 2), boundary="nearest")
    assert sum(pixels.size for _, pixels in computed(smooth)) == 64 * 128
    assert len(list(tmp_path.iterdir())) < 4 * 32  # of 32 blocks, most have 9 neighbours with themselves


def test_holes_stay_holes(tmp_path):
    grid = global_grid(rows=1024)
    sparse = lazy_raster(_corner, (1, *grid.shape), np.float32, (512, 512))
    with rasterio.open(write_array(tmp_path / "x.tif", sparse, grid, nodata=np.nan, overviews=False)) as file:
        assert np.isnan(file.read(1)[512:]).all() and file.read(1)[:512, :512].all()
    assert (tmp_path / "x.tif").stat().st_size < 100_000


def _corner(window: Window) -> np.ndarray:
    return np.full((1, window.height, window.width), 1 if window.row == window.col == 0 else np.nan, np.float32)
