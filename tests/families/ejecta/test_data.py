"""Training data of the ejecta family: image, mask and distance stay together, and every row's channels are what it asked for."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from cratermill.core.errors import InputError
from cratermill.families.ejecta.channels import distance_channel, midinput_vector, tile_distances_m
from cratermill.families.ejecta.data import Tiles, overlap_weights
from cratermill.samples.sampler import build_augmenter
from cratermill.samples.store import Piece, Spec, Store, write_store


@pytest.fixture
def own_mask_stack(tmp_path):
    """Tiles whose every band is their mask, scaled: any misalignment shows."""
    rng = np.random.default_rng(0)
    mask = (rng.random((6, 24, 24)) < 0.5).astype(np.uint8)
    made = {"image": np.repeat(mask[:, None] * np.uint8(200) + np.uint8(20), 3, axis=1), "mask": mask}
    arrays = {name: Spec(array.shape[1:], array.dtype) for name, array in made.items()}
    rows = pd.DataFrame({"row": range(6)})
    return write_store(
        tmp_path / "stack", "mark", rows, arrays, lambda rows: Piece(rows, {n: a[rows.index] for n, a in made.items()})
    ), mask


def test_augmentation_moves_image_mask_and_distance_together(own_mask_stack):
    stack, mask = own_mask_stack
    distance = mask.astype(np.float32) * 1000
    tiles = Tiles(stack, np.arange(6), distance, None, build_augmenter(True, True), seed=3)
    moved = 0
    for epoch in range(12):
        for index in range(6):
            item = tiles[epoch, index, index]
            target = item["target"][0].numpy()
            assert np.array_equal(item["image"][3].numpy(), target * 1000)
            # Contrast, brightness and blur change values, but bright stays brighter than dark on average.
            band = item["image"][0].numpy()
            assert band[target == 1].mean() > band[target == 0].mean()
            moved += not np.array_equal(target, mask[index])
    assert moved > 30


def test_every_epoch_and_position_draws_anew_and_repeatably(own_mask_stack):
    stack, mask = own_mask_stack
    tiles = Tiles(stack, np.arange(6), mask.astype(np.float32), None, build_augmenter(True, True), seed=3)
    draws = [tiles[epoch, 0, 0]["image"] for epoch in range(10)]
    again = [tiles[epoch, 0, 0]["image"] for epoch in range(10)]
    assert all(torch.equal(one, other) for one, other in zip(draws, again, strict=True))
    assert len({one.numpy().tobytes() for one in draws}) >= 7


def test_validation_is_never_augmented(own_mask_stack):
    stack, mask = own_mask_stack
    tiles = Tiles(stack, np.arange(6), mask.astype(np.float32), None)
    assert np.array_equal(tiles[2]["target"][0].numpy(), mask[2]) and np.array_equal(tiles[2]["image"][0].numpy(), mask[2] * 200 + 20)


def test_distances_are_exact_in_the_azimuthal_plane():
    found = tile_distances_m([90], [40], [20], [20], 200, 500.0, 20)
    rows, cols = np.mgrid[40:60, 90:110] + 0.5
    np.testing.assert_allclose(found[0], np.hypot(cols - 100, rows - 100) * 500, rtol=1e-6)


@pytest.mark.parametrize(
    ("mode", "log", "expected"),
    [("absolute", False, [10.0, 1000.0]), ("absolute", True, [1.0, 3.0]), ("ratio", False, [0.1, 10.0]), ("ratio", True, [-1.0, 1.0])],
)
def test_distance_modes(mode, log, expected):
    channel = distance_channel(torch.tensor([[[10.0, 1000.0]]]), np.array([100.0]), mode, log)
    np.testing.assert_allclose(channel.ravel(), expected, rtol=1e-6)


def test_ranks_are_shares_of_the_pixels():
    channel = distance_channel(torch.tensor([[[30.0, 10.0], [20.0, 40.0]]]), np.array([1.0]), "rank", False)
    assert channel.ravel().tolist() == [0.75, 0.25, 0.5, 1.0]


def test_midinput_has_the_radius_only_for_absolute_distances():
    means, radius, offsets = np.array([[1.0, np.nan, 3.0]]), np.array([1000.0]), np.array([7.0, 8.0, 9.0])
    assert midinput_vector(means, radius, "absolute", True, offsets).tolist() == [[1.0, 8.0, 3.0, 3.0]]
    assert midinput_vector(means, radius, "absolute", False, offsets).tolist() == [[1.0, 8.0, 3.0, 1000.0]]
    assert midinput_vector(means, radius, "ratio", True, offsets).tolist() == [[1.0, 8.0, 3.0]]


def test_crowded_tiles_are_drawn_more_often():
    table = pd.DataFrame({"num_1": [10, 10, 10], "h_num_1": [10, 100, 10000]})
    np.testing.assert_allclose(overlap_weights(table, 2.0, 10), [1.0, 1 + 2 * 0.95, 3.0], atol=1e-6)
    assert overlap_weights(table, None, 10) is None


def test_missing_samples_name_the_command(tmp_path):
    with pytest.raises(InputError, match="training samples can't be used: .* is missing") as error:
        Store(tmp_path).array("image")
    assert "cratermill prepare" in error.value.next_step
