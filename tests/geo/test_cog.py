from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import rasterio

from cratermill.core.errors import InputError, WorkError
from cratermill.geo import cog
from cratermill.geo.bodies import body_of_crs, get_body
from cratermill.geo.cog import write_cog
from cratermill.geo.grid import Window
from cratermill.geo.mosaic import Mosaic
from tests.mosaics import MERCURY, global_grid, noise


@pytest.fixture(params=["in memory", "on disk"])
def scratch(request, monkeypatch):
    if request.param == "on disk":
        monkeypatch.setattr(cog, "MEMORY_BYTES", 0)


@pytest.fixture
def grid():
    return global_grid(MERCURY, 700, "metres")


def read(path):
    dataset = rasterio.open(path)
    return dataset.read(), dataset


def test_a_window_with_colours_names_and_tags(tmp_path, grid, scratch):
    window = Window(20, 1350, 600, 100)  # across the seam
    mask = (noise(grid.window(window))[0] > 125).astype(np.uint8)
    path = write_cog(
        tmp_path / "new 'folder'" / 'a "mask".tif',
        mask,
        grid,
        window=window,
        nodata=255,
        colormap={0: (0, 0, 0), 1: (255, 80, 0)},
        names=["ejecta"],
        tags={"cratermill": 1},
    )
    found, dataset = read(path)
    np.testing.assert_array_equal(found[0], mask)
    assert dataset.nodata == 255 and dataset.descriptions == ("ejecta",) and dataset.tags()["cratermill"] == "1"
    assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG" and dataset.overviews(1) == [2]
    assert dataset.colormap(1)[1] == (255, 80, 0, 255)
    assert grid.window_of(Mosaic.open(path, labels=True).grid, "mask") == window
    assert body_of_crs(dataset.crs).same_figure(MERCURY)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "uint16", "int32", "float32", "float64"])
def test_blocks_in_any_order_with_fill_between(tmp_path, grid, scratch, dtype):
    wanted = np.full((2, *grid.shape), 7, "uint8" if dtype == "bool" else dtype)
    blocks = []
    for row, col in ((500, 1200), (0, 0), (511, 513), (30, 40)):
        values = noise(grid.window(Window(0, 0, 100, 150)), 2, "uint8", seed=row).astype(dtype)
        blocks.append((Window(row, col, 100, 150), values))
        wanted[:, row : row + 100, col : col + 150] = values
    found, dataset = read(write_cog(tmp_path / "x.tif", iter(blocks), grid, fill=7))
    np.testing.assert_array_equal(found, wanted)
    assert dataset.dtypes[0] == str(wanted.dtype)


def test_uncovered_ground_is_nodata_or_zero(tmp_path, grid):
    block = [(Window(5, 5, 10, 10), np.ones((10, 10), np.float32))]
    found, _ = read(write_cog(tmp_path / "x.tif", block, grid, nodata=float("nan")))
    assert np.isnan(found).sum() == found.size - 100
    found, _ = read(write_cog(tmp_path / "y.tif", block, grid, nodata=-1))
    assert found.sum() == 100 - (found.size - 100)
    found, _ = read(write_cog(tmp_path / "z.tif", block, grid))
    assert found.sum() == 100
    found, dataset = read(write_cog(tmp_path / "none.tif", [], grid, nodata=0, dtype="int32"))
    assert not found.any() and dataset.dtypes == ("int32",)


def test_four_bytes_are_rgba(tmp_path, grid):
    picture = noise(grid, 4)
    found, dataset = read(write_cog(tmp_path / "x.tif", picture, grid, overviews=False))
    np.testing.assert_array_equal(found, picture)
    assert [colour.name for colour in dataset.colorinterp] == ["red", "green", "blue", "alpha"] and not dataset.overviews(1)


def test_ellipsoids_and_projections_survive(tmp_path):
    for body in (get_body("mars"), get_body("vesta")):
        for kind in ("degrees", "metres lon_0=180", "degrees 0-360"):
            grid = global_grid(body, 60, kind)
            again = Mosaic.open(write_cog(tmp_path / "x.tif", noise(grid), grid)).grid
            assert again.body.same_figure(body) and again.period_px == 120
            np.testing.assert_allclose(
                again.rowcol_of_lonlat([10, -170], [20, -80]), grid.rowcol_of_lonlat([10, -170], [20, -80]), atol=1e-6
            )


def test_wrong_blocks_are_refused_and_leave_nothing(tmp_path, grid, scratch):
    good = (Window(0, 0, 5, 5), np.ones((5, 5), np.uint8))
    with pytest.raises(InputError, match="outside the raster"):
        write_cog(tmp_path / "x.tif", [good, (Window(698, 0, 5, 5), np.ones((5, 5)))], grid)
    with pytest.raises(InputError, match="block of shape"):
        write_cog(tmp_path / "x.tif", [good, (Window(0, 0, 5, 5), np.ones((6, 5)))], grid)
    with pytest.raises(InputError, match="array of shape"):
        write_cog(tmp_path / "x.tif", np.ones((3, 3)), grid)
    with pytest.raises(InputError, match="dtype="):
        write_cog(tmp_path / "x.tif", [], grid)
    assert list(tmp_path.iterdir()) == []


def test_a_failing_block_leaves_the_older_file_alone(tmp_path, grid, scratch):
    path = write_cog(tmp_path / "x.tif", noise(grid), grid)
    before = path.read_bytes()

    def blocks():
        yield Window(0, 0, 5, 5), np.ones((5, 5), np.uint8)
        raise RuntimeError("the model broke")

    with pytest.raises(RuntimeError, match="the model broke"):
        write_cog(path, blocks(), grid)
    assert path.read_bytes() == before and [file.name for file in tmp_path.iterdir()] == ["x.tif"]


def test_what_is_put_together_on_the_disk_takes_little_room_there(tmp_path, monkeypatch):
    """Shares of votes in strips that don't keep to blocks; the file is the same as of one that was made in memory."""
    grid, rng = global_grid(MERCURY, 1100, "metres"), np.random.default_rng(0)
    shares = np.full(grid.shape, np.nan, np.float32)
    shares[100:900, 300:1900] = np.repeat(np.repeat(rng.integers(0, 21, (100, 200)) / 20, 8, 0), 8, 1)
    strips = [(Window(row, 0, min(300, 1100 - row), 2200), shares[row : row + 300]) for row in range(0, 1100, 300)]
    wanted = write_cog(tmp_path / "a.tif", iter(strips), grid, nodata=np.nan, resampling="average").read_bytes()
    sizes, copy = list[int](), cog._copy

    def measured(source, target, in_memory, options):
        sizes.append(sum(file.stat().st_blocks * 512 for file in tmp_path.iterdir() if file.name != "a.tif"))
        copy(source, target, in_memory, options)

    monkeypatch.setattr(cog, "MEMORY_BYTES", 0)
    monkeypatch.setattr(cog, "_copy", measured)
    assert write_cog(tmp_path / "b.tif", iter(strips), grid, nodata=np.nan, resampling="average").read_bytes() == wanted
    assert 0 < sizes[0] < shares.nbytes / 10 and [file.name for file in sorted(tmp_path.iterdir())] == ["a.tif", "b.tif"]


FULL_DISK = """
    import resource, sys
    import numpy as np
    from cratermill.geo import cog
    from cratermill.core.errors import WorkError
    from tests.mosaics import MERCURY, global_grid, noise
    grid = global_grid(MERCURY, 1000)
    pixels = noise(grid)
    cog.MEMORY_BYTES = int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, resource.RLIM_INFINITY))
    try:
        cog.write_cog(sys.argv[1], pixels, grid)
    except WorkError as error:
        print(error)
        sys.exit(error.exit_code)
"""


@pytest.mark.parametrize("memory", ["1000000000", "0"])
def test_a_full_disk_is_told_and_leaves_nothing(tmp_path, project_folder, memory):
    """A limit on file sizes stands for the full disk: every write beyond it fails, with no need for root."""
    path = tmp_path / "a 'b'.tif"
    path.write_text("older")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(project_folder), str(project_folder / "code")])}
    command = [sys.executable, "-c", textwrap.dedent(FULL_DISK), str(path), memory]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 1, done.stderr
    assert f"{path} can't be written" in done.stdout and "MB free" in done.stdout and "Next:" in done.stdout
    assert path.read_text() == "older" and [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_folder_that_cannot_be_made(tmp_path, grid):
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkError, match="can't be written"):
        write_cog(tmp_path / "file" / "x.tif", noise(grid), grid)
