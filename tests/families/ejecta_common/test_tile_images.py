"""What a network sees: tiles, pairs, corridors, annuli."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from cratermill.families.ejecta.channels import distance_channel, tile_distances_m
from cratermill.families.ejecta_common import tile_images as views
from cratermill.families.ejecta_common.craters import Crater
from cratermill.geo.mosaic import Mosaic
from cratermill.samples import device_tiles
from tests.tiny import BODY, SHAPE, write_raster


@pytest.fixture(scope="module")
def mosaic(tmp_path_factory):
    """Band 1: degrees from the crater at (170, 10), times 2; band 2: longitude; so that positions can be read off the pixels."""
    lons, lats = np.meshgrid(np.arange(SHAPE[1]) - 179.5, 89.5 - np.arange(SHAPE[0]))
    distance = np.degrees(BODY.distance_m(lons, lats, 170.0, 10.0) / BODY.semi_major_m)
    array = np.stack([distance, np.cos(np.radians(lons)), lats]).astype(np.float32)
    with Mosaic.open(write_raster(tmp_path_factory.mktemp("v") / "m.tif", array)) as opened:
        yield opened


CRATER = Crater(1, 170.0, 10.0, 100e3)
DEGREE_M = BODY.semi_major_m * np.pi / 180


def tile_at(mosaic, across_px: int, down_px: int, size: int = 12) -> pd.DataFrame:
    half = CRATER.grid(mosaic.grid).shape[0] // 2
    return pd.DataFrame([{"x": half + across_px - size // 2, "y": half + down_px - size // 2, "height": size, "width": size}])


def test_square_images_show_the_ground_at_their_distance(mosaic):
    image = views.square_images(mosaic, CRATER.grid(mosaic.grid), tile_at(mosaic, 30, -10), 12)
    across, down = np.meshgrid(np.arange(24, 36) + 0.5, np.arange(-16, -4) + 0.5)
    np.testing.assert_allclose(image[0, 0], np.hypot(across, down), atol=0.05)


def test_pair_shows_the_crater_at_the_left_and_the_tile_at_the_right(mosaic):
    table = pd.concat([tile_at(mosaic, 30, 0), tile_at(mosaic, 0, 40)], ignore_index=True)
    image, attention = views.pair_images(mosaic, CRATER, table, "pair", 32, 3.0)
    assert image.shape == (2, 3, 16, 32) and attention.shape == (2, 16, 32)
    assert (attention[:, :, :16] == views.CRATER).all() and (attention[:, :, 16:] == views.TILE).all()
    assert image[0, 0, 7:9, 7:9].max() < 2, "the crater is in the middle of the left half"
    np.testing.assert_allclose(image[0, :, :, :16], image[1, :, :, :16])
    assert image[0, 0, :, 16:].mean() == pytest.approx(30, abs=0.5) and image[1, 0, :, 16:].mean() == pytest.approx(40, abs=0.5)


@pytest.mark.parametrize(("across", "down"), [(40, 0), (0, 40), (-25, 30), (-40, -1), (20, -35)])
def test_corridor_runs_along_the_great_circle(mosaic, across, down):
    image, attention = views.pair_images(mosaic, CRATER, tile_at(mosaic, across, down), "corridor", 64, 3.0)
    middle = image[0, 0, 15:17].mean(0)
    distance = np.hypot(across, down)
    reach = [-max(CRATER.radius_m / DEGREE_M, 6), distance + 6]
    expected = np.abs(np.linspace(*reach, 65)[:-1] + (reach[1] - reach[0]) / 128)
    # The mosaic's own pixels round the tip of the cone off.
    np.testing.assert_allclose(middle, expected, atol=0.75)
    tile_columns = (attention[0] == views.TILE).any(0)
    assert middle[tile_columns].mean() == pytest.approx(distance, abs=0.6)
    assert (attention[0] == views.CRATER).any()


def test_no_tiles_make_empty_arrays(mosaic):
    none = tile_at(mosaic, 0, 0).iloc[:0]
    image, attention = views.pair_images(mosaic, CRATER, none, "pair", 32, 3.0)
    assert image.shape == (0, 3, 16, 32) and attention.shape == (0, 16, 32)
    assert views.square_images(mosaic, CRATER.grid(mosaic.grid), none, 8).shape == (0, 3, 8, 8)


@pytest.mark.parametrize("bounds", [(2.0, 5.0), (0.0, 2.0), (1.0, 4.0)])
def test_annulus_mean_of_distance_is_the_mean_over_a_ring(mosaic, bounds):
    inner, outer = (radius * CRATER.radius_m / DEGREE_M for radius in bounds)
    expected = 2 / 3 * (outer**3 - inner**3) / (outer**2 - inner**2)
    assert views.annulus_mean(mosaic, CRATER, bounds)[0] == pytest.approx(expected, rel=0.02)


def test_annulus_leaves_missing_pixels_out(tmp_path):
    array = np.full((3, *SHAPE), 50, np.uint8)
    array[:, :, 350:] = 0
    with Mosaic.open(write_raster(tmp_path / "holes.tif", array, nodata=0)) as holes:
        np.testing.assert_allclose(views.annulus_mean(holes, CRATER, (0.0, 5.0)), 50)


@pytest.mark.parametrize(("dtype", "nodata", "given"), [("int16", -9999, -9999), ("float32", None, np.nan), ("float32", -9999.0, -9999)])
def test_values_of_missing_pixels_reach_no_network(tmp_path, dtype, nodata, given):
    """Half of the ground is missing: tiles there become what the rest of their band is; where nothing is left, the value that is given."""
    array = np.full((1, *SHAPE), 100, dtype)
    array[:, :, 330:350] = given  # longitudes 150° to 170°; the crater lies at 170°
    with Mosaic.open(write_raster(tmp_path / "m.tif", array, nodata=nodata)) as opened:
        grid = CRATER.grid(opened.grid)
        tables = [tile_at(opened, across, 0) for across in (0, 40, -10)]
        half, whole, bare = (views.square_images(opened, grid, table, 12, [77.0]) for table in tables)
        pair, _ = views.pair_images(opened, CRATER, tables[0], "pair", 32, 3.0)
    for image, value in ((half, 100), (whole, 100), (bare, 77), (pair, 100)):
        np.testing.assert_allclose(image, value, rtol=1e-6)
    assert half.dtype == dtype


@pytest.mark.parametrize(("dtype", "nodata", "given"), [("uint8", 0, 0), ("int16", -9999, -9999), ("float32", None, np.nan)])
def test_images_made_on_a_device_are_the_same(tmp_path, dtype, nodata, given):
    """All layouts, over ground of which a part is missing; here the device is the CPU."""
    array = np.random.default_rng(0).integers(1, 200, (2, *SHAPE)).astype(dtype)
    array[:, :, 330:350] = given  # longitudes 150° to 170°; the crater lies at 170°
    with Mosaic.open(write_raster(tmp_path / "m.tif", array, nodata=nodata)) as opened:
        for across in (-25, 0, 40):
            table, (host, there) = tile_at(opened, across, 7), (None, torch.device("cpu"))
            square = [views.square_images(opened, CRATER.grid(opened.grid), table, 12, [7.0, 9.0], place) for place in (host, there)]
            pair, attention = zip(
                *(views.pair_images(opened, CRATER, table, "pair", 32, 3.0, [7.0, 9.0], place) for place in (host, there)), strict=True
            )
            corridor = [views.pair_images(opened, CRATER, table, "corridor", 32, 3.0, [7.0, 9.0], place)[0] for place in (host, there)]
            assert np.array_equal(*attention) and square[0].dtype == dtype
            for wanted, found in (square, pair, corridor):
                assert found.dtype == torch.float32 and found.shape == wanted.shape
                assert np.abs(found.numpy() - wanted).max() <= (0.05 if dtype == "float32" else 1)


def test_no_step_of_sampling_on_a_gpu_mixes_it_with_the_host(tmp_path, monkeypatch):
    """By PyTorch's tensors without contents, which know their device as real ones do."""
    monkeypatch.setattr(device_tiles, "sent", lambda value, device: torch.as_tensor(value).to(device))
    gpu = torch.device("cuda", 0)
    for dtype in ("uint8", "uint16", "float32"):
        array = np.random.default_rng(0).integers(1, 200, (2, *SHAPE)).astype(dtype)
        array[:, :, 330:350] = 0 if dtype == "uint8" else 1  # missing bytes beside the crater
        mosaic = Mosaic.open(write_raster(tmp_path / f"{dtype}.tif", array, nodata=0 if dtype == "uint8" else None))
        grid = CRATER.grid(mosaic.grid)
        with mosaic, FakeTensorMode(allow_non_fake_inputs=True):
            for table in (tile_at(mosaic, 0, 0), tile_at(mosaic, -25, 7)):
                pictures = [views.square_images(mosaic, grid, table, size, None, gpu) for size in (4, 12)]
                pictures += [views.pair_images(mosaic, CRATER, table, layout, 32, 3.0, None, gpu)[0] for layout in ("pair", "corridor")]
                metres = tile_distances_m(table["x"], table["y"], table["height"], table["width"], grid.shape[0], 1.0, 12, gpu)
                for mode in ("absolute", "ratio", "rank"):
                    pictures.append(distance_channel(metres, np.ones(len(table)), mode, mode != "rank"))
                assert all(one.device == gpu and one.dtype == torch.float32 for one in pictures)


def test_bytes_keep_the_grey_of_missing_pixels(tmp_path):
    array = np.full((1, *SHAPE), 100, np.uint8)
    array[:, :, 330:350] = 0
    with Mosaic.open(write_raster(tmp_path / "m.tif", array, nodata=0)) as opened:
        image = views.square_images(opened, CRATER.grid(opened.grid), tile_at(opened, 0, 0), 12)
    assert set(np.unique(image)) == {0, 100}
