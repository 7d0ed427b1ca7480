"""One grey rule for all families, and what is said of ground that is brighter or darker than the training's."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cratermill.core.errors import InputError
from cratermill.core.paths import DataFolder
from cratermill.families.crater_unet.planned import map_warnings  # noqa: F401 (the hook that launch map calls)
from cratermill.families.ejecta_common.craters import Crater
from cratermill.families.ejecta_common.mask_warnings import mask_warnings
from cratermill.geo.mosaic import Mosaic, require_body
from cratermill.samples.brightness import Ground, brightness_of, described, doubts, far_from, light, unlike_share
from cratermill.samples.grey import GreyRange, grey_mark, grey_range, mean_of_bands
from tests.mosaics import MERCURY, global_grid, noise, write_mosaic

GRID = global_grid(MERCURY, 30)


def mosaic_of(path, pixels, **profile) -> Mosaic:
    return Mosaic.open(write_mosaic(path, pixels, GRID, **profile))


def test_bytes_stay_and_other_types_reach_four_deviations_to_either_side(tmp_path):
    grey = noise(GRID)
    with mosaic_of(tmp_path / "b.tif", grey) as mosaic:
        assert grey_range(mosaic) == GreyRange() and grey_mark(mosaic.path) == []
        np.testing.assert_array_equal(grey_range(mosaic).to_bytes(grey), grey[0])
    with mosaic_of(tmp_path / "f.tif", grey.astype(np.float32) / 1000 - 3) as mosaic:
        levels, (mean, std, _) = grey_range(mosaic), mosaic.statistics()
        assert (levels.low, levels.high) == pytest.approx((mean[0] - 4 * std[0], mean[0] + 4 * std[0])) and grey_mark(mosaic.path)
        pixels, missing = np.array([[[mean[0], levels.low - 1, levels.high, np.nan]]]), np.array([[[False, False, False, True]]])
        assert levels.to_bytes(pixels, missing).tolist() == [[128, 0, 255, 0]]
    with mosaic_of(tmp_path / "c.tif", np.full_like(grey, 7, "int16")) as mosaic, pytest.raises(InputError, match="all pixels are alike"):
        grey_range(mosaic)


def test_several_bands_are_averaged_and_missing_where_one_is():
    pixels = np.array([[[10, 20]], [[20, 40]]], np.uint8)
    missing = np.array([[[False, True]], [[False, False]]])
    np.testing.assert_array_equal(mean_of_bands(pixels, missing), [[15, np.nan]])
    assert GreyRange().to_bytes(pixels, missing).tolist() == [[15, 0]]


@pytest.mark.parametrize("grey", [False, True])
def test_ground_unlike_the_trainings_is_said_with_both_means(tmp_path, grey):
    values = noise(GRID).astype(np.uint8)
    trained = brightness_of([{"image": values.astype(np.float32)}])
    assert trained["mean"][0] == pytest.approx(values.mean()) and trained["std"][0] == pytest.approx(values.std())
    for name, pixels, far in (
        ("same", values, False),
        ("a bit darker", values // 2 + 20, False),
        ("0…1", (values > 125).astype(np.uint8), True),
        ("constant", np.full_like(values, 120), True),
        ("fractions", values.astype(np.float32) / 255, not grey),
    ):
        with mosaic_of(tmp_path / "m.tif", pixels) as mosaic:
            said = far_from(trained, mosaic, "version 3", grey=grey)
            assert len(said) == far, name
            if far:
                assert f"{mosaic.statistics().mean[0]:.4g}" in said[0] and f"{values.mean():.4g}" in said[0] and "version 3" in said[0]
            assert far_from({}, mosaic, "an older network", grey=grey) == []


def test_what_networks_are_shown_is_compared_with_their_training_by_brightness_contrast_and_roughness():
    rng = np.random.default_rng(0)
    rough = rng.normal(100, 20, (8, 1, 64, 64))
    smooth = np.repeat(np.repeat(rng.normal(100, 20, (8, 1, 16, 16)), 4, -1), 4, -2)
    trained = brightness_of([{"image": image, "target": np.array([float(number < 2)])} for number, image in enumerate(rough)])
    assert trained["share"] == [0.25] and trained["roughness"][0] == pytest.approx(np.abs(np.diff(rough)).mean() / rough.std(), rel=0.02)
    for name, images, colour in (
        ("the same", rough, "green"),
        ("brighter", rough + 30, "amber"),
        ("far brighter", rough + 60, "red"),
        ("flatter", rough / 3 + 70, "amber"),
        ("smoother", smooth, "red"),
        # Where one looks, among highlands and plains of the same make, isn't what the ground is like.
        ("highlands and plains", rough + np.repeat([-15, 15], 4)[:, None, None, None], "green"),
    ):
        parts = []
        for half in (images[:4], images[4:]):
            ground = Ground()
            ground.add(half)
            parts.append(ground.plain())
        here = described(parts)
        assert here["mean"][0] == pytest.approx(images.mean()) and here["std"][0] == pytest.approx(images.std())
        found = light(doubts(trained, here, "version 3"))
        assert found["light"] == colour, name
        assert all("version 3" in reason for reason in found["reasons"]) and bool(found["reasons"]) == (colour != "green")
    assert light(unlike_share(0.13, 0.45, "connected tiles"))["light"] == "red"
    assert light(doubts(trained, described([]), "nobody"))["light"] == "green"
    before = {name: values for name, values in parts[0].items() if name not in ("contrasts", "blocks")}  # noted by an earlier program
    assert "roughness" not in described([before, parts[1]]) and light(doubts(trained, described([before]), "version 3"))["light"] == "green"


@pytest.mark.parametrize(
    ("values", "dtype", "profile", "said"),
    [
        (0, "uint8", {}, "holds 0 everywhere"),
        (-1, "int16", {}, "holds -1 everywhere"),
        (7, "uint8", {"nodata": 7}, "nothing but nodata"),
        (0.3, "float32", {}, "holds fractions"),
        (1, "uint8", {}, "no ejecta in the drawn tiles"),
        (1, "uint8", {"compress": "jpeg"}, "compressed as JPEG"),
    ],
)
def test_odd_masks_are_named(tmp_path, values, dtype, profile, said):
    data = DataFolder(tmp_path)
    data.mask(3).parent.mkdir(parents=True)
    write_mosaic(data.mask(3), np.full((1, *GRID.shape), values, dtype), GRID, **profile)
    craters = [Crater(3, 0.0, 0.0, 1e5, True), Crater(4, 0.0, 0.0, 1e5, False)]
    table = pd.DataFrame({"crat_FID": [3, 3], "num_1": [0, 0]})
    (line,) = mask_warnings(data, craters, table)
    assert line.startswith("crater 3: ") and said in line
    drawn = mask_warnings(data, craters, table.assign(num_1=5))
    assert bool(drawn) == (dtype == "float32" or "compress" in profile)


def test_another_body_than_the_mosaics_is_refused(tmp_path):
    with mosaic_of(tmp_path / "x.tif", noise(GRID)) as mosaic:
        require_body(mosaic, "mercury")
        with pytest.raises(InputError, match="but the config says mars"):
            require_body(mosaic, "mars")
