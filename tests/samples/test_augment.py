"""Augmentation: as specified, from the seed alone, the same for all that belongs to a sample."""

from __future__ import annotations

import pickle
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest

from cratermill.core.errors import InputError
from cratermill.samples.augment import Augmenter, bands_first, bands_last, draw_geometry, imgaug, moved

RNG = np.random.default_rng(0)
IMAGE = np.kron(RNG.integers(0, 256, (8, 8, 3), dtype=np.uint8), np.ones((8, 8, 1), np.uint8))
SEEDS = range(200)


def colours(seeds=SEEDS):
    augmenter = Augmenter(True)
    return [augmenter.colour(IMAGE, seed) for seed in seeds]


def test_colour_follows_from_the_seed_alone():
    first = colours()
    again = colours(reversed(SEEDS))[::-1]
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert len({image.tobytes() for image in first}) > 100


def test_nothing_else_has_a_say():
    """The order of the brightness change comes from a Sequential that imgaug's own reseeding leaves to its global generator."""
    imgaug().seed(1)
    first = colours()
    imgaug().seed(2)
    np.random.seed(3)
    assert all(np.array_equal(a, b) for a, b in zip(first, colours(), strict=True))


def colour_in_worker(arguments):
    augmenter, seed = arguments
    return augmenter.colour(IMAGE, seed)


def test_workers_draw_what_their_seeds_say():
    augmenter = Augmenter(True)
    expected = [augmenter.colour(IMAGE, seed) for seed in range(20)]
    with ProcessPoolExecutor(2) as pool:
        found = list(pool.map(colour_in_worker, [(augmenter, seed) for seed in range(20)]))
    assert all(np.array_equal(a, b) for a, b in zip(expected, found, strict=True))
    assert np.array_equal(pickle.loads(pickle.dumps(augmenter)).colour(IMAGE, 5), expected[5])  # noqa: S301


def test_a_third_is_left_alone_and_the_input_always():
    before = IMAGE.copy()
    unchanged = np.mean([np.array_equal(image, IMAGE) for image in colours(range(600))])
    assert 0.25 < unchanged < 0.45  # none of three drawn in a third of the cases; a blur of nearly 0 or the like adds a little
    assert np.array_equal(IMAGE, before)


def test_the_changes_are_those_specified():
    """Each of them alone, within its bounds: what SomeOf draws them from."""
    iaa = imgaug().augmenters
    augmenter = Augmenter(True)
    augmenter.colour(IMAGE, 0)
    some_of, _ = augmenter._colours[True]
    contrast, brightness, blur = list(some_of)
    assert (some_of.n.a.value, some_of.n.b.value, some_of.random_order) == (0, 2, True)
    assert (contrast.params1d[0].a.value, contrast.params1d[0].b.value) == (2, 7)
    assert (contrast.params1d[1].a.value, contrast.params1d[1].b.value) == (0.3, 0.6)
    assert isinstance(brightness, iaa.MultiplyAndAddToBrightness)
    multiply, add = brightness.children[0], brightness.children[1]
    assert (multiply.mul.a.value, multiply.mul.b.value, add.value.a.value, add.value.b.value) == (0.8, 1.2, -20, 20)
    assert (blur.sigma.a.value, blur.sigma.b.value) == (0, 2)


def test_flat_grey_stays_flat_and_within_bounds():
    augmenter = Augmenter(False)
    flat = np.full((16, 16, 3), 127, np.uint8)
    means = []
    for seed in SEEDS:
        image = augmenter.colour(flat, seed)
        assert np.ptp(image, axis=(0, 1)).max() == 0
        means.append(image.mean())
    assert 40 < min(means) < 110
    assert 140 < max(means) < 230


@pytest.mark.parametrize("bands", [1, 2, 4, 7])
def test_any_number_of_bands(bands):
    image = RNG.integers(0, 256, (32, 32, bands), dtype=np.uint8)
    augmenter = Augmenter(True)
    found = [augmenter.colour(image, seed) for seed in range(30)]
    assert {(one.shape, one.dtype.name) for one in found} == {(image.shape, "uint8")}
    assert any(not np.array_equal(one, image) for one in found)


def test_other_types_need_a_range():
    image = IMAGE.astype(np.float32) * 4 + 100
    image[3, 4] = np.nan
    augmenter = Augmenter(True)
    with pytest.raises(InputError, match="not float32") as caught:
        augmenter.colour(image, 1)
    assert "img_augment" in str(caught.value)
    for seed in range(12):
        changed = augmenter.colour(image, seed, value_range=(100, 1120))
        assert changed.dtype == np.float32
        assert np.isnan(changed[3, 4]).all()
        assert np.isfinite(np.delete(changed.reshape(-1, 3), 3 * 64 + 4, axis=0)).all()
    whole = (IMAGE.astype(np.uint16) * 100 + 7, (7, 25507))
    unchanged = next(seed for seed in SEEDS if np.array_equal(augmenter.colour(IMAGE, seed), IMAGE))
    assert np.array_equal(augmenter.colour(whole[0], unchanged, whole[1]), whole[0])


@pytest.mark.parametrize("turns", [False, True])
def test_an_image_that_is_its_own_mask_stays_so(turns):
    """Image, mask and distance are made of the same numbers; after every draw they still are."""
    index = np.arange(64 * 64, dtype=np.float32).reshape(64, 64)
    image = (index[..., None] % 251).repeat(3, 2).astype(np.uint8)
    mask = image[..., 0] > 100
    augmenter = Augmenter(turns)
    for seed in range(64):
        image_moved, mask_moved, index_moved = augmenter.geometry([image, mask, index], seed)
        assert np.array_equal(mask_moved, image_moved[..., 0] > 100)
        assert np.array_equal(image_moved[..., 1], (index_moved % 251).astype(np.uint8))
        assert all(array.flags.c_contiguous for array in (image_moved, mask_moved, index_moved))


@pytest.mark.parametrize(("turns", "kinds_of_moves"), [(False, 4), (True, 8)])
def test_every_move_is_drawn_equally_often(turns, kinds_of_moves):
    draws = [draw_geometry(turns, seed) for seed in range(4000)]
    counts = {draw: draws.count(draw) for draw in set(draws)}
    assert len(counts) == kinds_of_moves
    expected = 4000 / kinds_of_moves
    assert all(abs(count - expected) < 5 * expected**0.5 for count in counts.values())


def test_moves_are_imgaugs():
    iaa = imgaug().augmenters
    augmenter = Augmenter(True)
    for seed in range(40):
        flip_up, turns = draw_geometry(True, seed)
        parts = [iaa.Flipud(1.0 if flip_up else 0.0), iaa.Rot90(-turns, keep_size=False)]
        assert np.array_equal(augmenter.geometry([IMAGE], seed)[0], iaa.Sequential(parts)(image=IMAGE))
    pair = IMAGE[:32]
    for seed in range(20):
        flip_up, flip_left = draw_geometry(False, seed)
        expected = iaa.Sequential([iaa.Flipud(float(flip_up)), iaa.Fliplr(float(flip_left))])(image=pair)
        assert np.array_equal(Augmenter(False).geometry([pair], seed)[0], expected)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16", "int16", "float32", "float64", "int64"])
@pytest.mark.parametrize("shape", [(6, 6), (6, 6, 1), (6, 6, 3), (6, 6, 9)])
def test_fast_and_plain_moves_agree(dtype, shape):
    array = (np.arange(np.prod(shape)).reshape(shape) % 3).astype(dtype)
    for flip_up in (False, True):
        for flip_left in (False, True):
            for turns in range(4):
                expected = np.rot90(array[:: -1 if flip_up else 1, :: -1 if flip_left else 1], turns)
                found = moved(array, flip_up, flip_left, turns)
                assert np.array_equal(found, expected)
                assert (found.dtype, found.shape) == (array.dtype, array.shape)
                assert not np.shares_memory(found, array)


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
@pytest.mark.parametrize("bands", [1, 3, 5])
def test_axes_are_exchanged(dtype, bands):
    image = np.arange(bands * 6 * 4).reshape(bands, 6, 4).astype(dtype)
    last = bands_last(image)
    assert np.array_equal(last, image.transpose(1, 2, 0))
    assert np.array_equal(bands_first(last), image)
    assert np.array_equal(bands_first(last[::-1]), image[:, ::-1])
    assert last.flags.c_contiguous
    assert bands_first(last).flags.c_contiguous


def test_colour_and_geometry_are_drawn_independently():
    augmenter = Augmenter(True)
    changed = np.array([not np.array_equal(augmenter.colour(IMAGE, seed), IMAGE) for seed in range(800)])
    flipped = np.array([draw_geometry(True, seed)[0] for seed in range(800)])
    assert abs(np.corrcoef(changed, flipped)[0, 1]) < 0.12
