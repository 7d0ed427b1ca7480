"""Mosaics that lie elsewhere: of a file behind a server only the blocks that are needed are fetched; Zarr stores open."""

from __future__ import annotations

import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from cratermill import open_mosaic, sample_tile
from cratermill.core.errors import InputError
from cratermill.geo.arrays import as_array, write_array
from cratermill.geo.cog import write_cog
from cratermill.geo.mosaic import Mosaic
from tests.mosaics import global_grid, noise, write_mosaic


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A COG, its address, and the list of (first, last) bytes that were asked for."""
    grid, folder = global_grid(rows=1024), tmp_path_factory.mktemp("server")
    path, asked = write_cog(folder / "mosaic.tif", noise(grid, 1), grid), []
    content = path.read_bytes()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.answer(body=False)

        def do_GET(self):
            self.answer(body=True)

        def answer(self, body: bool) -> None:
            if self.path != "/mosaic.tif":
                self.send_error(404)
                return
            wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            first, last = (int(wanted[1]), min(int(wanted[2] or len(content)), len(content) - 1)) if wanted else (0, len(content) - 1)
            self.send_response(206 if wanted else 200)
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Length", str(last - first + 1))
            if wanted:
                self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
            self.end_headers()
            if body:
                asked.append((first, last))
                self.wfile.write(content[first : last + 1])

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", "127.0.0.1")
        patch.setenv("no_proxy", "127.0.0.1")
        yield path, f"http://127.0.0.1:{server.server_port}/mosaic.tif", asked
    server.shutdown()


def test_only_the_blocks_that_are_needed_are_fetched(served):
    path, address, asked = served
    asked.clear()
    tile = sample_tile(address, 30, 10, extent_m=300e3, size_px=32)
    fetched = sum(last - first + 1 for first, last in asked)
    assert 0 < fetched < 0.3 * path.stat().st_size, fetched
    np.testing.assert_array_equal(tile, sample_tile(path, 30, 10, extent_m=300e3, size_px=32))
    mosaic = open_mosaic(address, ["b1 * 2"], chunk_px=512)
    np.testing.assert_array_equal(mosaic[:, :20, -20:], 2 * open_mosaic(path)[:, :20, -20:].to_numpy())
    assert sum(last - first + 1 for first, last in asked) < 0.7 * path.stat().st_size


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
    with pytest.raises(InputError, match="no bands"):
        open_mosaic(store, ["b1 / b2"])
    with pytest.raises(InputError, match="can't be opened"):
        open_mosaic(tmp_path / "none.zarr")
