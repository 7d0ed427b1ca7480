"""Tiles averaged and brought to the mosaic: whatever the order, the portions, the cuts, the seam."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest
from affine import Affine

from cratermill.families.ejecta_common import stitch as module
from cratermill.families.ejecta_common.stitch import Stitcher, land, resize, stitch
from cratermill.geo.bodies import Body
from cratermill.geo.grid import Grid, Window, azimuthal_grid, hull

BODY = Body("test body", 1_000_000.0, 1_000_000.0)


def mosaic_grid(rows=180, first_lon=-180.0):
    step = 180 / rows
    return Grid(BODY.geographic_crs(), Affine(step, 0, first_lon, 0, -step, 90), (rows, 2 * rows))


def tiles_around(grid, count=3, size=16, step=14):
    origin = (grid.shape[0] - size) // 2
    index = np.arange(count) - count // 2
    rows, cols = (axis.ravel() for axis in np.meshgrid(index, index, indexing="ij"))
    return pd.DataFrame({"x": origin + cols * step, "y": origin + rows * step, "height": size, "width": size})


def paste(pieces, grid, layer=0):
    whole = np.full(grid.shape, np.nan, np.float32)
    for window, values in pieces:
        assert np.isnan(whole[window.slices]).all(), "pieces overlap"
        whole[window.slices] = values[layer]
    return whole


def test_overlaps_are_averaged_and_gaps_stay_empty():
    tiles = pd.DataFrame({"x": [0, 2, 10], "y": [0, 0, 0], "height": 4, "width": 4})
    values = np.stack([np.full((4, 4), value, np.float32) for value in (0.2, 0.6, 1.0)])
    ((window, layers),) = stitch(values, tiles)
    assert window == Window(0, 0, 4, 14)
    np.testing.assert_allclose(layers[0, 0], [0.2] * 2 + [0.4] * 2 + [0.6] * 2 + [0] * 4 + [1] * 4, rtol=1e-6)
    assert layers[1, 0].tolist() == [1] * 6 + [0] * 4 + [1] * 4


def test_order_and_portions_of_tiles_change_nothing():
    random = np.random.default_rng(3)
    tiles = tiles_around(azimuthal_grid(BODY, 0, 0, 17000.0))
    values = random.random((len(tiles), 2, 16, 16)).astype(np.float32)
    expected = stitch(values, tiles)
    order = random.permutation(len(tiles))
    shuffled = stitch(values[order], tiles.iloc[order])
    portions = Stitcher(tiles, 2)
    for start in range(0, len(tiles), 4):
        assert portions.add(values[start : start + 4]) == min(start + 4, len(tiles))
    for other in (shuffled, portions.canvases()):
        for (window, layers), (window_2, layers_2) in zip(expected, other, strict=True):
            assert window == window_2
            np.testing.assert_array_equal(layers, layers_2)


@pytest.mark.parametrize("lat", [0.0, 60.0, 88.0, -90.0])
def test_cuts_into_canvases_leave_no_trace(monkeypatch, lat):
    grid, random = azimuthal_grid(BODY, 20.0, lat, 17000.0), np.random.default_rng(5)
    tiles = tiles_around(grid)
    values = random.random((len(tiles), 16, 16)).astype(np.float32)
    whole = paste(land(stitch(values, tiles), grid, mosaic_grid()), mosaic_grid())
    monkeypatch.setattr(module, "CANVAS_PX", 10)
    canvases = stitch(values, tiles)
    assert len(canvases) > 9
    cut = paste(land(canvases, grid, mosaic_grid()), mosaic_grid())
    np.testing.assert_allclose(cut, whole, atol=1e-3)  # positions are good to a thousandth of a pixel


def test_far_groups_stay_apart():
    tiles = pd.DataFrame({"x": [0, 5000], "y": [0, 9000], "height": 8, "width": 8})
    canvases = stitch(np.ones((2, 8, 8), np.float32), tiles)
    assert sum(layers.size for _, layers in canvases) == 2 * 2 * 64


@pytest.mark.parametrize(("lon", "lat"), [(10.0, 5.0), (179.8, -30.0), (-180.0, 70.0), (33.0, 90.0)])
def test_a_field_of_longitude_and_latitude_comes_back(lon, lat):
    grid, mosaic = azimuthal_grid(BODY, lon, lat, 17000.0), mosaic_grid()
    tiles = tiles_around(grid, 5)
    rows, cols = np.mgrid[:16, :16]

    def field(lon, lat):  # smooth on the whole sphere
        return np.cos(np.radians(lat)) * np.cos(np.radians(lon - 40)) + np.sin(np.radians(lat))

    values = np.stack([field(*grid.lonlat(rows + tile.y, cols + tile.x)) for tile in tiles.itertuples()]).astype(np.float32)
    whole = paste(land(stitch(values, tiles), grid, mosaic), mosaic)
    covered = np.isfinite(whole)
    assert covered.sum() > 3000
    lon_of, lat_of = mosaic.lonlat(np.arange(180)[:, None], np.arange(360)[None])
    az_row, az_col = grid.rowcol_of_lonlat(lon_of, lat_of)
    middle, reach = (grid.shape[0] - 1) / 2, tiles["x"].max() + 16 - grid.shape[1] / 2
    outwards = np.maximum(abs(az_row - middle), abs(az_col - middle)) - reach
    error = abs(whole - field(lon_of, lat_of))
    # Interpolated between pixel centres; over the outermost half pixel the last value holds.
    assert np.nanmax(error[outwards < -0.5]) < 1e-4 and np.nanmax(error) < 0.02
    # The tiles' own pixels and no others; at corners to a third of a pixel.
    assert covered[outwards < -0.3].all() and not covered[outwards > 0.01].any()


def test_rolling_the_mosaic_rolls_the_result():
    random, shift = np.random.default_rng(9), 77
    first, rolled = mosaic_grid(), mosaic_grid(first_lon=-180.0 + shift)
    for lon, lat in ((100.5, 12.0), (-179.3, 50.0), (-104.0, -85.0)):
        grid = azimuthal_grid(BODY, lon, lat, 17000.0)
        tiles = tiles_around(grid, 4)
        values = random.random((len(tiles), 16, 16)).astype(np.float32)
        one = paste(land(stitch(values, tiles), grid, first), first)
        two = paste(land(stitch(values, tiles), grid, rolled), rolled)
        np.testing.assert_array_equal(np.roll(one, -shift, axis=1), two)


def test_tiles_are_resized_to_their_windows():
    ramp = np.tile(np.arange(8, dtype=np.float32), (1, 8, 1))
    np.testing.assert_allclose(resize(ramp, (4, 4))[0, 0], [0.5, 2.5, 4.5, 6.5])
    np.testing.assert_allclose(resize(ramp, (16, 16))[0, 0, 1:-1], (np.arange(1, 15) + 0.5) / 2 - 0.5)
    assert resize(ramp, (8, 8)) is not None and resize(ramp, (8, 8)).shape == (1, 8, 8)


def test_no_tiles_make_no_pieces():
    grid = azimuthal_grid(BODY, 0, 0, 17000.0)
    tiles = tiles_around(grid).iloc[:0]
    assert stitch(np.zeros((0, 16, 16), np.float32), tiles) == [] and land([], grid, mosaic_grid()) == []


def test_hull():
    assert hull([Window(2, 3, 4, 5), Window(0, 7, 3, 2)]) == Window(0, 3, 6, 6)


def test_landing_keeps_no_second_copy_of_the_map(monkeypatch):
    """Beside the map itself there is a canvas at a time, whatever their number."""
    monkeypatch.setattr(module, "CANVAS_PX", 64)
    mosaic = mosaic_grid(1440)
    grid = azimuthal_grid(BODY, 20.0, 45.0, mosaic.resolution_m)
    tiles = tiles_around(grid, count=30, step=16)
    canvases = stitch(np.ones((len(tiles), 16, 16), np.float32), tiles)
    assert len(canvases) > 50
    tracemalloc.start()
    try:
        pieces = land(canvases, grid, mosaic)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    whole = sum(2 * 4 * window.height * window.width for window, _ in pieces)  # layer and coverage, float32
    assert peak < 1.8 * whole
