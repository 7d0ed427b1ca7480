"""What a device samples is what the sampler samples; here the device is the CPU."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cratermill.geo.grid import Grid, Window, azimuthal_grid
from cratermill.geo.mosaic import Mosaic
from cratermill.geo.placing import placed
from cratermill.geo.sampling import sample_many_masked
from cratermill.samples import device_tiles
from cratermill.samples.device_tiles import KINDS, on_device
from tests.mosaics import KINDS as GRIDS
from tests.mosaics import MARS, MERCURY, column_distance, exact_positions, global_grid, noise, write_mosaic

ROWS, CPU = 180, torch.device("cpu")
PLACES = {"middle": (10, 0), "seam": (179.9, 20), "other seam": (0.2, -35), "high": (100, -50)}


@pytest.fixture(scope="module")
def mosaics(tmp_path_factory):
    """A mosaic of noise for each kind of grid and type of pixels; those of bytes and heights also with a quarter of them missing."""
    folder, made = tmp_path_factory.mktemp("mosaics"), {}
    for kind, dtype, holes in product(GRIDS, ["uint8", "uint16", "float32"], [False, True]):
        grid = global_grid(MARS if "lon_0" in kind else MERCURY, ROWS, kind)
        pixels = noise(grid, 2, dtype) * (200 if dtype == "uint16" else 1)
        if holes:
            pixels[np.broadcast_to(np.random.default_rng(1).random(grid.shape) < 0.25, pixels.shape)] = 0
        made[kind, dtype, holes] = Mosaic.open(
            write_mosaic(folder / f"{kind} {dtype} {holes}.tif", pixels.astype(dtype), grid, nodata=0 if holes else None)
        )
    return made


def tiles_at(mosaic, lon, lat, corners, size=40, zoom=1.0):
    grid = azimuthal_grid(mosaic.grid.body, lon, lat, mosaic.grid.resolution_m / zoom)
    return [grid.window(Window(grid.height // 2 + row, grid.width // 2 + col, size, size)) for row, col in corners]


def require_alike(mosaic, grids):
    """Within a grey level, and nearly always the same; missing in the same places, but for weights on the edge of half."""
    wanted, lacking = sample_many_masked(mosaic, grids)
    found, missing = on_device(mosaic, grids, CPU)
    assert found.dtype == torch.float32 and found.shape == wanted.shape
    assert (lacking is None) <= (missing is None or not missing.any())
    lacking, gone = (np.zeros(wanted.shape, bool) if one is None else np.asarray(one) for one in (lacking, missing))
    assert np.count_nonzero(lacking != gone) <= 2 + 1e-3 * gone.size
    off = np.abs(found.numpy().astype(float) - wanted)[~lacking & ~gone]
    if mosaic.dtype.kind == "f":
        assert off.max(initial=0) <= 0.02
    else:
        # Positions differ by single precision's last digits: of 50 000 grey levels that is more than one.
        assert off.max(initial=0) <= (1 if mosaic.dtype == np.uint8 else 4)
        assert np.count_nonzero(off) <= 2 + off.size * (1e-3 if mosaic.dtype == np.uint8 else 0.5)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(GRIDS),
    st.sampled_from(["uint8", "uint16", "float32"]),
    st.booleans(),
    st.floats(-180, 180),
    st.floats(-90, 90),
    st.lists(st.tuples(st.integers(-90, 90), st.integers(-90, 90)), min_size=1, max_size=4),
    st.integers(1, 60),
    st.sampled_from([3.0, 1.3, 1.0, 0.7, 0.4, 0.13, 0.06]),
)
def test_tiles_anywhere_are_those_of_the_sampler(mosaics, kind, dtype, holes, lon, lat, corners, size, zoom):
    mosaic = mosaics[kind, dtype, holes]
    # Not where all pixels lie half-way between two others, so that last digits decide about each.
    require_alike(mosaic, tiles_at(mosaic, lon + 0.0137, lat * 0.9993 + 0.0071, corners, size, zoom))


@pytest.mark.parametrize("where", PLACES)
def test_the_device_does_the_usual_by_itself(mosaics, monkeypatch, where):
    def refused(*_):
        raise AssertionError("the sampler was asked")

    monkeypatch.setattr(device_tiles, "sample_many_masked", refused)
    for key, zoom in product(mosaics, [2.0, 0.4]):
        tiles = tiles_at(mosaics[key], *PLACES[where], [(-9, -20), (-10, 5)], 20, zoom)
        values, missing = on_device(mosaics[key], tiles, CPU)
        assert values.std() > 1 and (missing is not None) is key[2]


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("kind", GRIDS)
def test_positions_are_pyprojs(tmp_path, kind, where):
    """A mosaic that holds its own rows and columns, those once more with the seam elsewhere."""
    grid = global_grid(MARS, ROWS, kind)
    rows, cols = np.mgrid[:ROWS, : 2 * ROWS].astype(np.float32)
    bands = np.stack([rows, cols, np.roll(cols, ROWS, axis=1)])
    mosaic = Mosaic.open(write_mosaic(tmp_path / "m.tif", bands, grid))
    for zoom in (1.0, 3.0):
        tiles = tiles_at(mosaic, *PLACES[where], [(-20, -20), (3, -12)], 24, zoom)
        found, _ = on_device(mosaic, tiles, CPU)
        for (row, col, other), tile in zip(found.double().numpy(), tiles, strict=True):
            exact_row, exact_col = exact_positions(tile, mosaic.grid)
            near_seam = np.abs(column_distance(exact_col, 0, 2 * ROWS)) < 3
            col = np.where(near_seam, other + ROWS, col)
            assert np.abs(row - exact_row).max() <= 0.01
            assert np.abs(column_distance(col, exact_col, 2 * ROWS)).max() <= 0.01


@pytest.mark.parametrize("dtype", KINDS)
def test_copied_pixels_are_exact(tmp_path, dtype):
    """All that a type can hold, where the tile's pixels are the mosaic's."""
    grid = global_grid(MERCURY, ROWS)
    low, high = (-1e30, 1e30) if dtype == "float32" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    pixels = np.random.default_rng(2).uniform(low, high, (2, *grid.shape)).astype(dtype)
    pixels[0, 50, 60:62] = low, high
    mosaic = Mosaic.open(write_mosaic(tmp_path / "m.tif", pixels, grid))
    windows = [Window(40, 50, 30, 35), Window(100, 2 * ROWS - 10, 30, 35)]
    found, missing = on_device(mosaic, [grid.window(window) for window in windows], CPU)
    wanted = np.stack([np.take(pixels[:, w.row : w.stop_row], range(w.col, w.stop_col), axis=2, mode="wrap") for w in windows])
    assert missing is None
    np.testing.assert_array_equal(found.numpy(), wanted)


def test_means_are_those_of_the_pixels(tmp_path):
    grid = global_grid(MERCURY, ROWS)
    pixels = noise(grid, 1, "float32")
    mosaic = Mosaic.open(write_mosaic(tmp_path / "m.tif", pixels, grid))
    for factor in (2, 3, 6):
        coarse, rows = grid.resized((ROWS // factor, 2 * ROWS // factor)), ROWS // factor
        wanted = pixels.reshape(1, rows, factor, 2 * rows, factor).mean(axis=(2, 4))
        part = Window(4, 5, 12, 15)
        assert len(placed(mosaic, [coarse.window(part)], factor)[0]) == 1
        found, _ = on_device(mosaic, [coarse.window(part)], CPU)
        np.testing.assert_allclose(found[0], wanted[:, *part.slices], atol=1e-2)


def special_mosaics(folder):
    """Mosaics and tiles on them of which the sampler has to make the first: why, and how many of them a device can make."""
    whole = global_grid(MERCURY, ROWS)
    plain = Mosaic.open(write_mosaic(folder / "plain.tif", noise(whole), whole))
    yield "a pole", plain, tiles_at(plain, 30, 88, [(-20, -20), (60, 0)]), 1
    yield "the antipode", plain, tiles_at(plain, 30, 0, [(-20, -200), (0, 0)]), 1
    yield "averaged first", plain, tiles_at(plain, 30, 0, [(0, 0)], zoom=0.05), 0
    for kind in ("int32", "float64"):
        other = Mosaic.open(write_mosaic(folder / f"{kind}.tif", noise(whole, dtype=kind), whole))
        yield kind, other, tiles_at(other, 30, 10, [(0, 0)]), 0
    part = whole.window(Window(40, 100, 80, 120))
    regional = Mosaic.open(write_mosaic(folder / "regional.tif", noise(part), part))
    beyond = [(-20, 70), (-20, -20), (-20, -90), (-90, 0), (60, -20), (-20, 61), (61, -40), (300, 0)]
    yield "beyond the edge", regional, tiles_at(regional, -20, 10, beyond, 30), 1
    wide = Grid(whole.plane, Affine(1.0005, 0, -180, 0, -1, 90), whole.shape)
    gap = Mosaic.open(write_mosaic(folder / "gap.tif", noise(wide), wide))
    yield "ends with a gap", gap, tiles_at(gap, 179, 10, [(-20, -20)]), 0


def test_what_a_device_cannot_the_sampler_does(tmp_path):
    for what, mosaic, grids, on_their_own in special_mosaics(tmp_path):
        wanted, lacking = sample_many_masked(mosaic, grids)
        found, missing = on_device(mosaic, grids, CPU)
        assert np.abs(found.numpy() - wanted).max() <= 1, what
        np.testing.assert_array_equal(found.numpy()[:1], wanted[:1].astype(np.float32), err_msg=what)
        assert (lacking is None) == (missing is None) and (lacking is None or (lacking == missing.numpy()).all()), what
        if what not in ("averaged first", "int32", "float64"):
            assert sum(len(piece.tiles) for piece in placed(mosaic, grids)[0]) == on_their_own, what


def test_how_many_points_at_a_time_changes_no_bit(mosaics, monkeypatch):
    mosaic = mosaics["metres", "float32", True]
    for zoom, size in ((1.0, 30), (0.4, 30), (6.0, 500)):  # the last in four blocks
        tiles = tiles_at(mosaic, 20, 30, [(-9, 0), (-5, 7), (2, -20)], size, zoom)
        found = []
        for points in (2**22, 100):
            monkeypatch.setattr(device_tiles, "POINTS", points)
            found.append(on_device(mosaic, tiles, CPU))
        assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))
        require_alike(mosaic, tiles)


def test_one_copy_of_the_pixels_serves_overlapping_tiles(mosaics, monkeypatch):
    copied, send = [], device_tiles.sent
    monkeypatch.setattr(device_tiles, "sent", lambda value, device: copied.append(value) or send(value, device))
    mosaic = mosaics["metres", "uint8", False]
    corners = list(product(range(-14, 0, 2), repeat=2))
    on_device(mosaic, tiles_at(mosaic, 0, 0, corners, 16), CPU)
    (pixels,) = (one for one in copied if one.dtype == np.uint8)
    assert pixels.size < 2 * 40**2 and len(corners) * 16**2 > 12_000
