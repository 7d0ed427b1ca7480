"""Mosaics that lie elsewhere: of a file behind a server only the blocks that are needed are fetched; Zarr stores open."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cratermill import open_mosaic, sample_tile
from cratermill.core.errors import InputError
from cratermill.families.autoencoder.mapping import open_mosaic as open_mapped
from cratermill.families.autoencoder.prepare import stack_of
from cratermill.geo.arrays import as_array, write_array
from cratermill.geo.cog import write_cog
from cratermill.geo.elsewhere import address_of
from cratermill.geo.mosaic import Mosaic
from cratermill.pipeline.launch import prepare
from cratermill.pipeline.load_config import load_config
from cratermill.pipeline.planning import wanted_rows
from cratermill.samples.inputs import mark
from tests.families.autoencoder import case
from tests.geo.range_server import ASKED
from tests.mosaics import global_grid, noise, write_mosaic


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A COG, its address, and a function that says how many bytes were asked for since it was called last."""
    grid, folder = global_grid(rows=1024), tmp_path_factory.mktemp("server")
    path = write_cog(folder / "mosaic.tif", noise(grid, 1), grid)

    def asked() -> int:
        spans = [[int(word) for word in line.split()] for line in (folder / ASKED).read_text().splitlines()]
        (folder / ASKED).write_text("")
        return sum(last - first + 1 for first, last in spans)

    line = [sys.executable, "-m", "tests.geo.range_server", str(folder)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as server:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("NO_PROXY", "127.0.0.1")
            patch.setenv("no_proxy", "127.0.0.1")
            patch.setenv("CPL_VSIL_CURL_NON_CACHED", "/vsicurl/http://127.0.0.1")
            yield path, f"http://127.0.0.1:{server.stdout.readline().strip()}/mosaic.tif", asked
        server.terminate()


def test_only_the_blocks_that_are_needed_are_fetched(served):
    path, address, asked = served
    size = path.stat().st_size
    tile = sample_tile(address, 30, 10, extent_m=300e3, size_px=32)
    assert 0 < asked() < 0.3 * size
    np.testing.assert_array_equal(tile, sample_tile(path, 30, 10, extent_m=300e3, size_px=32))
    mosaic = open_mosaic(address, ["b1 * 2"], chunk_px=512)
    np.testing.assert_array_equal(mosaic[:, :20, -20:], 2 * open_mosaic(path)[:, :20, -20:].to_numpy())
    assert asked() < 0.5 * size


def test_an_address_without_a_mosaic_is_named(served):
    with pytest.raises(InputError, match="nothing.tif can't be opened") as refused:
        open_mosaic(served[1].replace("mosaic.tif", "nothing.tif"))
    assert "address" in str(refused.value)


def test_a_vrt_of_what_lies_elsewhere_is_a_file_like_others(served, tmp_path):
    """How a run configuration names a mosaic behind an address."""
    import rasterio.shutil

    rasterio.shutil.copy(f"/vsicurl/{served[1]}", tmp_path / "mosaic.vrt", driver="VRT")
    with Mosaic.open(tmp_path / "mosaic.vrt") as ours, Mosaic.open(served[0]) as theirs:
        np.testing.assert_array_equal(ours.statistics().mean, theirs.statistics().mean)


def test_zarr_stores_open(tmp_path):
    grid = global_grid(rows=90)
    pixels = noise(grid, 2, "int16")
    pixels[:, 10:20] = -5
    path = write_mosaic(tmp_path / "x.tif", pixels, grid, nodata=-5)
    with Mosaic.open(path) as mosaic:
        store = write_array(tmp_path / "x.zarr", as_array(mosaic, masked=False, chunk_px=64), grid, nodata=-5)
    np.testing.assert_array_equal(open_mosaic(store), open_mosaic(path))
    for bands in (None, [2]):
        ours, theirs = (sample_tile(one, 179, 85, 200e3, size_px=16, bands=bands) for one in (store, path))
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(open_mosaic(store, ["b1 / b2"]), open_mosaic(path, ["b1 / b2"]))
    with Mosaic.open(store) as ours, Mosaic.open(path) as theirs:
        np.testing.assert_array_equal(ours.statistics(), theirs.statistics())
        np.testing.assert_allclose(ours.reduced((9, 18)), theirs.reduced((9, 18)), atol=0.5)  # GDAL rounds means of whole numbers
    with pytest.raises(InputError, match="there is no b3"):
        open_mosaic(store, ["b3"])
    with pytest.raises(InputError, match="can't be opened"):
        open_mosaic(tmp_path / "none.zarr")


def test_runs_read_mosaics_elsewhere_and_zarr_stores_as_they_read_files(tmp_path, served):
    """Crops are the same to the bit, maps open them, and what was made of them is made anew when they change."""
    path, address, _ = served
    file = case.write_mosaic(tmp_path / "file.tif", case.catalogue())
    with Mosaic.open(file) as mosaic:
        grid, store = mosaic.grid, write_array(tmp_path / "x.zarr", as_array(mosaic, masked=False), mosaic.grid, nodata=0)
    before = path.read_bytes()
    path.write_bytes(file.read_bytes())
    try:
        crops = {}
        for name, mosaic in {"file": file, "zarr": store, "address": address}.items():
            config = case.project(tmp_path / name)
            text = config.read_text().replace("data: data/moon\n", f"data: data/moon\nmosaic: {mosaic}\n")
            config.write_text(text.replace("map:\n", f"map:\n  mosaic: {mosaic}\n"))
            loaded = load_config(config)
            rows = wanted_rows(loaded)["autoencoder"]
            prepare(config)
            crops[name] = np.array(stack_of(loaded, rows[0]).array("image"))
            with open_mapped(loaded) as opened:
                assert opened.grid == grid
        for name in ("zarr", "address"):
            np.testing.assert_array_equal(crops["file"], crops[name])
        first = mark(loaded.mosaic)
        assert mark(load_config(config).mosaic) == first
        case.write_mosaic(path, case.catalogue(), seed=1, compress="deflate")
        assert mark(load_config(config).mosaic) != first
    finally:
        path.write_bytes(before)


def test_addresses_without_an_answer_are_refused_unless_they_answered_before(tmp_path, served, monkeypatch, capsys):
    config = case.project(tmp_path / "it")
    whole = config.read_text()
    for given, reason in {"gone.tif": "gone.tif can't be opened", "x.zarr": "Zarr store elsewhere"}.items():
        config.write_text(whole.replace("seed: 3", f"mosaic: {served[1].replace('mosaic.tif', given)}"))
        with pytest.raises(InputError, match=reason):
            load_config(config)
    config.write_text(whole.replace("seed: 3", f"mosaic: {served[1]}"))
    there = load_config(config).mosaic

    def away(address, threads):
        raise InputError(f"{address} can't be opened")

    monkeypatch.setattr("cratermill.geo.raster_files.opened", away)
    assert load_config(config).mosaic == there
    assert "as it was when" in capsys.readouterr().err
    assert address_of(Path(served[1])) == served[1], "what a command is given as a path"
    assert address_of(Path("C:/x.tif")) is None and address_of(there) is None
