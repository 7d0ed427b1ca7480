"""Augmentation of whole batches: imgaug's changes to the grey value or two, the same moves, and a sample's own seed alone decides."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cratermill.core.errors import InputError
from cratermill.samples.augment import Augmenter, _usual, imgaug, moved
from cratermill.samples.batch_augment import OPERATIONS, SPACES, USUAL, BatchAugmenter, Changes, moved_batch, parted
from cratermill.samples.recipe import ON_DEVICE, Recipe, require_on_device
from cratermill.samples.sampler import sample_seed

RNG = np.random.default_rng(0)
SIDE = 48
KEYS = [(epoch, position, position % 5) for epoch in (0, 3) for position in range(20)]


def smooth(bands: int) -> np.ndarray:
    """Images (H, W, bands) of bytes, from black to white."""
    waves = [np.sin(np.outer(np.linspace(0, 7 + band, SIDE), np.linspace(0, 3 + band, SIDE)) + band) for band in range(bands)]
    return np.rint(127.5 + 127.5 * np.stack(waves, axis=2)).astype(np.uint8)


def batch(image_HWC: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image_HWC.transpose(2, 0, 1)[None].astype(np.float32))


def changed(name: str, numbers: tuple[float, ...], image_HWC: np.ndarray) -> np.ndarray:
    found = OPERATIONS[name](batch(image_HWC) / 255, np.array([numbers])).clamp(0, 1) * 255
    return found.round()[0].numpy().transpose(1, 2, 0)


CASES = [
    ("Add", {"value": 23}),
    ("Add", {"value": -40}),
    ("GammaContrast", {"gamma": 0.6}),
    ("GammaContrast", {"gamma": 1.7}),
    ("GaussianBlur", {"sigma": 0.0005}),
    ("GaussianBlur", {"sigma": 0.4}),
    ("GaussianBlur", {"sigma": 2.0}),
    ("GaussianBlur", {"sigma": 4.1}),
    ("Invert", {"p": 1}),
    ("LinearContrast", {"alpha": 0.6}),
    ("LinearContrast", {"alpha": 1.4}),
    ("LogContrast", {"gain": 0.8}),
    ("Multiply", {"mul": 0.7}),
    ("Multiply", {"mul": 1.3}),
    ("SigmoidContrast", {"gain": 7, "cutoff": 0.3}),
]


@pytest.mark.parametrize("bands", [1, 3, 4])
@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_a_change_is_imgaug_s_to_one_grey_value(name, arguments, bands):
    image = smooth(bands)
    wanted = getattr(imgaug().augmenters, name)(**arguments)(image=image)
    assert np.abs(changed(name, tuple(arguments.values()), image) - wanted).max() <= 1


def test_every_change_of_the_device_is_compared():
    assert {name for name, _ in CASES} | {"AdditiveGaussianNoise"} == set(ON_DEVICE)
    assert set(OPERATIONS) == set(ON_DEVICE) | set(USUAL)
    for name, arguments in ON_DEVICE.items():
        change = getattr(imgaug().augmenters, name)()
        assert change is not None and Recipe(name="one", changes={name: dict.fromkeys(arguments, 1)}, some_of=(1, 1))


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize(("space", "name"), list(enumerate(["YCrCb", "HSV", "HLS", "Lab", "Luv", "YUV"])))
def test_brightness_is_changed_in_imgaug_s_colour_spaces(space, name, first):
    image, augmenters = smooth(3), imgaug().augmenters
    children = [augmenters.Multiply(1.15), augmenters.Add(-12)]
    wanted = augmenters.WithBrightnessChannels(augmenters.Sequential(children[:: -1 if first else 1]), to_colorspace=name)(image=image)
    assert SPACES[space][0] == name.lower().replace("ycrcb", "ycbcr")
    off = np.abs(changed("brightness", (1.15, -12, first, space), image) - wanted)
    # imgaug goes through bytes in every space: hues of 2°, and L, u, v in steps of 0.4, 1.4 and 1.
    assert off.mean() < 1.5 and np.percentile(off, 97) <= 5
    assert np.abs(wanted.astype(float) - image).mean() > 5


@pytest.mark.parametrize("first", [0, 1])
def test_brightness_of_other_counts_of_bands_changes_all(first):
    image, augmenters = smooth(4), imgaug().augmenters
    children = [augmenters.Multiply(1.15), augmenters.Add(-12)]
    wanted = augmenters.Sequential(children[:: -1 if first else 1])(image=image)
    assert np.abs(changed("brightness", (1.15, -12, first, 2), image) - wanted).max() <= 1


def test_noise_has_the_recipe_s_mean_and_deviation_and_is_the_same_in_all_bands():
    flat = torch.full((2, 3, 200, 200), 0.5)
    found = (OPERATIONS["AdditiveGaussianNoise"](flat, np.array([[4.0, 12.0, 1.0], [4.0, 12.0, 2.0]])) - 0.5) * 255
    assert abs(float(found.mean()) - 4) < 0.2 and abs(float(found.std()) - 12) < 0.2
    assert torch.equal(found[:, 0], found[:, 2]) and not torch.equal(found[0], found[1])


def test_numbers_are_drawn_like_imgaug_s():
    """How many, which, in which order, and from which ranges."""
    changes = Changes(True, (0, 255), whole=True)
    drawn = [changes.drawn(seed) for seed in range(3000)]
    counts = np.bincount([len(one) for one in drawn])
    assert len(counts) == 3 and np.abs(counts / 3000 - 1 / 3).max() < 0.04
    orders = {tuple(name for name, _ in one) for one in drawn}
    assert len(orders) == 1 + 3 + 6
    contrast, brightness, blur = list(_usual(True))
    for name, place, parameter in (
        ("SigmoidContrast", 0, contrast.params1d[0]),
        ("SigmoidContrast", 1, contrast.params1d[1]),
        ("brightness", 0, brightness.children[0].mul),
        ("brightness", 1, brightness.children[1].value),
        ("GaussianBlur", 0, blur.sigma),
    ):
        values = np.array([numbers[place] for one in drawn for kind, numbers in one if kind == name])
        low, high = parameter.a.value, parameter.b.value
        assert low <= values.min() < low + 0.02 * (high - low) and high - 0.02 * (high - low) < values.max() <= high
    spaces = [numbers[2:] for one in drawn for kind, numbers in one if kind == "brightness"]
    assert len(set(spaces)) == 2 * 6


@pytest.mark.parametrize("turns", [False, True])
def test_moves_are_those_of_single_samples_bit_for_bit(turns):
    augmenter = Augmenter(turns, Recipe(name="still", changes={"Add": {}}, some_of=(0, 0)))
    images = RNG.integers(0, 256, (len(KEYS), 3, SIDE, SIDE if turns else 40), dtype=np.uint8)
    masks = images[:, :1] > 100
    one, together = parted(augmenter, "device", 7, images)
    assert one is None
    target = torch.tensor([1.0])
    given = {"image": torch.from_numpy(images).float(), "target": torch.from_numpy(masks).float(), "label": target.expand(len(KEYS), 1)}
    found = together(given, KEYS)
    for place, (epoch, position, _) in enumerate(KEYS):
        image, mask = augmenter.geometry([images[place].transpose(1, 2, 0), masks[place, 0]], sample_seed(7, epoch, position))
        assert np.array_equal(found["image"][place].numpy(), image.transpose(2, 0, 1))
        assert np.array_equal(found["target"][place, 0].numpy(), mask)
    assert torch.equal(found["label"], given["label"])


def test_all_moves():
    images = torch.from_numpy(RNG.random((16, 2, 6, 6)))
    moves = [(bool(up), bool(left), turns) for up in (0, 1) for left in (0, 1) for turns in range(4)]
    found = moved_batch(images, moves)
    for image, one, move in zip(images, found, moves, strict=True):
        assert np.array_equal(one.numpy().transpose(1, 2, 0), moved(image.numpy().transpose(1, 2, 0), *move))


def test_a_sample_s_seed_alone_decides():
    """Not its place in the batch, nor what else lies in it, nor the global generators; channels beyond the bands keep their values."""
    recipe = Recipe(name="some", changes={name: {} for name in ON_DEVICE}, some_of=(0, 4))
    images = torch.from_numpy(RNG.integers(0, 256, (len(KEYS), 4, SIDE, SIDE)).astype(np.float32))
    augment = BatchAugmenter(3, Changes(recipe, (0, 255), whole=True), Augmenter(True).drawn_moves, 3)
    found = augment({"image": images}, KEYS)["image"]
    assert torch.equal(found, found.round()) and float(found.min()) >= 0 and float(found.max()) <= 255
    torch.manual_seed(5)
    order = RNG.permutation(len(KEYS))
    again = augment({"image": images[order]}, [KEYS[place] for place in order])["image"]
    assert float((again - found[order]).abs().max()) <= 1  # a blur sums in another order where a wider kernel stands beside it
    assert float((again != found[order]).float().mean()) < 1e-3
    for place, (epoch, position, _) in enumerate(KEYS):
        channel = images[place, 3].numpy()
        assert np.array_equal(found[place, 3], moved(channel, *Augmenter(True).drawn_moves(sample_seed(3, epoch, position))))
    assert len({one.numpy().tobytes() for one in found[:, 0]}) == len(KEYS)


def test_other_values_than_bytes_keep_their_range_and_what_is_missing():
    images = torch.from_numpy(RNG.uniform(-3, 5, (40, 1, SIDE, SIDE)).astype(np.float32))
    images[:, :, 3, 4] = torch.nan
    change = Changes(Recipe(name="two", changes={"Multiply": {}, "GaussianBlur": {}}, some_of=(0, 2)), (-3, 5), whole=False)
    found = change(images, range(40))
    assert torch.isnan(found[:, :, 3, 4]).all() and torch.isnan(found).sum() == 40
    assert float(found.nan_to_num(0).min()) >= -3 and float(found.nan_to_num(0).max()) <= 5.001
    alone = [place for place in range(40) if not change.drawn(place)]
    assert 5 < len(alone) < 25 and torch.equal(found[alone].nan_to_num(9), images[alone].nan_to_num(9))


def test_what_can_t_be_done_is_refused_with_what_can():
    recipe = Recipe(name="rough", changes={"JpegCompression": {}, "Add": {"per_channel": True}, "Multiply": {"mul": 1.1}}, some_of=(0, 1))
    with pytest.raises(InputError, match=r"'rough' can't have JpegCompression, Add\.per_channel") as caught:
        require_on_device(recipe)
    assert all(name in str(caught.value) for name in ON_DEVICE) and "workers" in str(caught.value)
    with pytest.raises(InputError, match="not float32"):
        parted(Augmenter(True), "device", 1, np.zeros((1, 3, 4, 4), np.float32))
    assert parted(None, "device", 1, np.zeros((1, 3, 4, 4))) == (None, None)
    augmenter = Augmenter(True, recipe)
    assert parted(augmenter, "workers", 1, np.zeros((1, 3, 4, 4))) == (augmenter, None)
