"""Circles read from masks: all of them, where they are, however the mask is turned, cut or crowded."""

from __future__ import annotations

import zipfile

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cratermill.core.errors import InputError
from cratermill.craters import extract as module
from cratermill.craters import refine
from cratermill.craters.extract import extract, extract_each
from cratermill.craters.matching import STRICT, match
from cratermill.craters.options import Options
from cratermill.craters.shapes import Shape

SHAPES = [Shape("ring", width_px=4), Shape("ring", width_px=8), Shape("fill"), Shape("outline")]
HYBRID = Shape("hybrid", disc_below_px=16)
SMALL = Options(6, 40)


def scattered(seed: int, count: int = 12, side: int = 320, radii=(9, 36)) -> np.ndarray:
    """Circles (N, 3) wholly inside, of which none meets another."""
    rng, circles = np.random.default_rng(seed), []
    for _ in range(2000):
        radius = rng.uniform(*radii)
        x, y = rng.uniform(radius + 6, side - radius - 7, 2)
        if all(np.hypot(x - a, y - b) > radius + r + 14 for a, b, r in circles):
            circles.append((x, y, radius))
        if len(circles) == count:
            break
    return np.array(circles)


def nearest_error(found: np.ndarray, truth: np.ndarray) -> float:
    """The largest distance in x, y and radius between partners; infinite unless all have one."""
    pairs = match(found, truth).pairs
    assert len(pairs) == len(found) == len(truth), f"{len(found)} found, {len(truth)} there, {len(pairs)} pairs"
    return float(np.abs(found[pairs[:, 0], :3] - truth[pairs[:, 1], :3]).max())


@pytest.mark.parametrize("shape", [*SHAPES, HYBRID], ids=lambda shape: f"{shape.kind}{shape.width_px}")
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_circles_come_back_to_a_fraction_of_a_pixel(shape, seed):
    circles = scattered(seed)
    found = extract(shape.draw(circles, (320, 320)), shape, SMALL)
    assert nearest_error(found, circles) < 0.5
    assert found[:, 3].min() > 0.95


@pytest.mark.parametrize("shape", [SHAPES[0], SHAPES[2]], ids=lambda shape: shape.kind)
@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 10**6), turns=st.integers(0, 3), flip=st.booleans(), roll=st.integers(1, 200))
def test_the_list_turns_with_the_image(shape, seed, turns, flip, roll):
    circles, side = scattered(seed, 8), 320
    mask = np.pad(shape.draw(circles, (side, side)), ((0, 0), (0, 200)))
    straight = extract(mask, shape, SMALL)
    assert nearest_error(extract(np.roll(mask, roll, axis=1), shape, SMALL), straight + [roll, 0, 0, 0, 0]) <= 0.5
    square = mask[:, :side]
    moved, expected = (square[:, ::-1], straight * [-1, 1, 1, 1, 1] + [side - 1, 0, 0, 0, 0]) if flip else (square, straight)
    for _ in range(turns):
        moved = np.rot90(moved)
        expected = np.column_stack([expected[:, 1], side - 1 - expected[:, 0], expected[:, 2:]])
    assert nearest_error(extract(np.ascontiguousarray(moved), shape, SMALL), expected) <= 0.5


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape.kind}{shape.width_px}")
def test_a_clear_rim_explains_its_own_edges_and_those_of_no_other(shape):
    circles = np.array([[100.0, 100, 50], [160, 100, 30]])  # the second crosses the first
    image = module.smoothed(torch.from_numpy(shape.draw(circles, (200, 220)).astype(np.float32)), module.SMOOTHING_PX)
    points, normals = module.contour(image, torch.ones(image.shape, dtype=torch.bool), 0.5)
    factors = [(1.0, shape.outer_px), shape.inner][: 1 + shape.has_inner]

    def off(circle: np.ndarray) -> np.ndarray:
        away = np.hypot(*(points.numpy() - circle[:2]).T)
        return np.min([np.abs(away - factor * circle[2] - shift) for factor, shift in factors], axis=0)

    rim = np.array([[*circles[0], 1.0, 0.9, 0.1]])
    left = module.unexplained(points, normals, rim, image.shape, shape).numpy()
    assert not left[(off(circles[0]) < 1) & (off(circles[1]) > 5)].any()
    assert left[off(circles[0]) > 4].all() and left[(off(circles[1]) < 1) & (off(circles[0]) > 4)].sum() > 50
    unsure = rim * [1, 1, 1, 1, 0.8, 1]
    assert module.unexplained(points, normals, unsure, image.shape, shape).all()
    # Light on the other side: the edges are another's.
    assert module.unexplained(points, -normals, rim, image.shape, shape).all()


def test_what_clear_rims_explain_is_not_fitted(monkeypatch):
    circles, fitted, real = scattered(3), [], module.fit

    def counted(sheet, candidates, *others):
        fitted.append(len(candidates))
        return real(sheet, candidates, *others)

    monkeypatch.setattr(module, "fit", counted)
    assert nearest_error(extract(SHAPES[0].draw(circles, (320, 320)), SHAPES[0], SMALL), circles) < 0.5
    assert len(fitted) == 2 and sum(fitted) < 3 * len(circles), fitted


@pytest.mark.parametrize("shape", SHAPES[:2] + SHAPES[3:], ids=lambda shape: f"{shape.kind}{shape.width_px}")
def test_nested_and_touching_craters_are_kept(shape):
    circles = np.array([[100.0, 100, 60], [115, 95, 15], [198, 100, 36], [100, 205, 40]])
    found = extract(shape.draw(circles, (300, 300)), shape, Options(9, 80))
    assert nearest_error(found, circles) < 1.0


@pytest.mark.parametrize("shape", SHAPES[:2] + SHAPES[3:], ids=lambda shape: f"{shape.kind}{shape.width_px}")
def test_candidates_that_are_left_out_before_the_fit_cost_no_crater(shape, monkeypatch):
    """Nested, crossing and concentric rims: as near to the truth as where every candidate is fitted, from a quarter of them or less."""
    circles = np.array([[100.0, 100, 60], [115, 95, 15], [100, 100, 30], [260, 100, 40], [310, 110, 38], [285, 150, 12], [150, 250, 45]])
    mask, fitted, every, real = shape.draw(circles, (340, 380)), [], [], module.strongest

    def count(candidates, votes):
        fitted.append(len(kept := real(candidates, votes)))
        return kept

    def all_of_them(candidates, _):
        every.append(len(candidates))
        return candidates

    monkeypatch.setattr(module, "strongest", count)
    found = extract(mask, shape, Options(9, 80))
    monkeypatch.setattr(module, "strongest", all_of_them)
    monkeypatch.setattr(module, "STRONG", 9.0)  # no rim is fitted before the others
    assert nearest_error(found, circles) <= nearest_error(extract(mask, shape, Options(9, 80)), circles) + 0.1 < 1.0
    assert sum(fitted) <= sum(every) / 4, (fitted, every)


def test_a_disc_in_a_disc_is_lost_and_nothing_is_made_up():
    circles = np.array([[100.0, 100, 60], [115, 95, 15]])
    found = extract(Shape("fill").draw(circles, (220, 220)), Shape("fill"), Options(9, 80))
    assert nearest_error(found, circles[:1]) < 0.5


def test_a_crater_near_the_size_at_which_holes_begin_is_read_once():
    circles = np.array([[40.0, 40, 15.8], [120, 40, 16.2], [50, 120, 15.2], [130, 120, 17]])
    found = extract(HYBRID.draw(circles, (180, 190)), HYBRID, SMALL)
    assert nearest_error(found, circles) < 0.5


def test_blocks_change_nothing(monkeypatch):
    shape, circles = SHAPES[0], scattered(5, 20, 700)
    mask = shape.draw(circles, (700, 700))
    whole = extract(mask, shape, SMALL)
    monkeypatch.setattr("cratermill.craters.extract.BLOCK_PX", 130)
    assert nearest_error(extract(mask, shape, SMALL), whole) < 0.05


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape.kind}{shape.width_px}")
def test_maps_read_together_have_the_craters_of_each(shape):
    """Of other sizes, with missing ground, with nothing on them, or with craters in craters and across each other."""
    close = np.array([[80, 80, 36], [80, 84, 14], [120, 84, 12], [170, 90, 30], [196, 96, 26]], float)
    known, sides = [scattered(1), scattered(2, side=240), close, scattered(3)], [(320, 320), (240, 260), (200, 260), (320, 320)]
    maps = [shape.draw(circles, size).astype(np.float32) for circles, size in zip(known, sides, strict=True)]
    maps[3][:, :100] = np.nan
    maps.insert(2, np.zeros((100, 90), np.float32))
    together = extract_each(maps, shape, SMALL)
    assert extract_each([], shape, SMALL) == [] and len(together.pop(2)) == len(extract(maps.pop(2), shape, SMALL)) == 0
    for one, found in zip(maps, together, strict=True):
        alone = extract(one, shape, SMALL)
        assert nearest_error(found, alone) < 0.1
        assert found[:, 4].sum() == pytest.approx(alone[:, 4].sum(), abs=0.05)


def test_soft_maps_are_read_like_masks():
    from scipy.ndimage import gaussian_filter

    shape, circles = SHAPES[0], scattered(7)
    soft = gaussian_filter(shape.draw(circles, (320, 320)).astype(np.float32), 1.0)
    assert nearest_error(extract(np.clip(soft / soft.max(), 0, 1), shape, SMALL), circles) < 0.6


def test_missing_pixels_are_neither_for_nor_against():
    shape, circles = SHAPES[0], np.array([[80.0, 80, 30]])
    probability = shape.draw(circles, (160, 160)).astype(np.float32)
    probability[:, 90:97] = np.nan
    found = extract(probability, shape, SMALL)
    assert nearest_error(found, circles) < 0.7
    assert found[0, 3] > 0.95


def test_an_empty_mask_has_no_craters():
    for shape in SHAPES:
        assert extract(np.zeros((200, 200), np.float32), shape, SMALL).shape == (0, 5)


@pytest.mark.parametrize(
    ("probability", "options", "message"),
    [
        (np.full((64, 64), np.nan), SMALL, "no number but NaN"),
        (np.arange(4096).reshape(64, 64), SMALL, "run from 0 to 4095"),
        (np.ones((64, 64), bool), SMALL, "above 0.5 everywhere"),
        (np.zeros((1, 64, 64)), SMALL, "shape"),
        (np.zeros((64, 64)), Options(100, 200), "radii from 100 px"),
    ],
)
def test_maps_that_cannot_be_read_are_refused(probability, options, message):
    with pytest.raises(InputError, match=message):
        extract(probability, SHAPES[0], options)


def test_radii_in_the_wrong_order_are_refused():
    with pytest.raises(InputError, match="radii from 20 to 9"):
        Options(20, 9)


@pytest.mark.parametrize(("kind", "width"), [("_4_edge", 4), ("_8_edge", 8), ("", None)])
def test_authors_masks(real_data, kind, width):
    """A piece of the sparser of the two Mars tiles; benchmarks/crater_lists.py does both whole tiles."""
    import io

    from PIL import Image

    side = 1800
    with zipfile.ZipFile(real_data("mars_robbins_tiles.zip")) as archive:
        name = next(name for name in archive.namelist() if "210_-30_0_-150" in name and name.endswith(f"segrng{kind}.png"))
        Image.MAX_IMAGE_PIXELS = None
        mask = np.asarray(Image.open(io.BytesIO(archive.read(name))))[:side, :side] > 0
        table = pd.read_csv(io.BytesIO(archive.read(next(name for name in archive.namelist() if "Tile_07" in name))))
    circles = table[["LONG_X_PX", "LAT_Y_PX", "RAD_PX"]].to_numpy(float)
    circles = circles[(circles[:, 2] >= 9) & (circles[:, 2] <= 138)]
    shape = Shape("ring", width_px=width) if width else Shape("fill")
    drawn = shape.draw(circles, mask.shape)
    inside = (circles[:, 0] < side) & (circles[:, 1] < side)
    assert (drawn & mask).sum() / (drawn | mask).sum() > (0.999 if width else 0.99)
    found = extract(mask, shape)
    matched = match(found, circles[inside], STRICT).pairs
    assert len(matched) / inside.sum() >= 0.97
    assert len(matched) / len(found) >= 0.98


def test_of_candidates_that_came_to_lie_on_one_another_the_one_with_most_edges_stays():
    circles = torch.tensor([[50.0, 50, 20], [50.2, 49.9, 20.1], [50, 50, 40], [90, 50, 20], [50.1, 50, 40.1]])
    met = torch.tensor([0.4, 0.9, 0.7, 0.1, 0.2])
    kept = {tuple(row) for row in refine._unlike(circles, met).tolist()}
    assert kept == {tuple(circles[number].tolist()) for number in (1, 2, 3)}


def test_pixels_far_from_the_level_hold_no_contour():
    """What is left out beforehand is what the condition itself would leave out."""
    rng = np.random.default_rng(0)
    image = module.smoothed(torch.from_numpy((rng.random((90, 80)) > 0.6).astype(np.float32)), module.SMOOTHING_PX)
    known = torch.ones_like(image, dtype=torch.bool)
    points = module.contour(image, known, 0.5)[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "WITHIN", 1.0)
        assert torch.equal(points, module.contour(image, known, 0.5)[0]) and len(points) > 500
