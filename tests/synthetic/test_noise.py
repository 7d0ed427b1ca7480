import numpy as np
import pytest

from cratermill.synthetic.noise import SphereNoise, line_noise, octaves


@pytest.mark.parametrize("shape", [(256, 512), (150, 300), (97, 194)])
def test_block_is_a_cutting_of_the_whole(shape):
    noise = SphereNoise(octaves(3, "ground", 1.2, 0.05), shape)
    whole = noise(0, 0, *shape)
    assert np.array_equal(noise(31, 45, 40, 77), whole[31:71, 45:122])
    across_the_seam = noise(10, shape[1] - 9, 20, 30)
    assert np.array_equal(across_the_seam, np.concatenate([whole[10:30, -9:], whole[10:30, :21]], axis=1))


@pytest.mark.parametrize("shape", [(256, 512), (150, 300), (97, 194)])
def test_seam_and_poles_cannot_be_told_from_the_rest(shape):
    whole = SphereNoise(octaves(3, "ground", 1.2, 0.1), shape)(0, 0, *shape)
    steps = np.abs(np.diff(whole, axis=1))
    seam = np.abs(whole[:, 0] - whole[:, -1])
    assert seam.mean() < 1.5 * steps.mean() and seam.max() <= 1.2 * steps.max()
    # All pixels around a pole are one place.
    assert np.ptp(whole[0]) < 0.5 * np.ptp(whole[shape[0] // 2])
    opposite = np.roll(whole[0], shape[1] // 2)
    assert np.abs(whole[0] - opposite).max() < 2 * np.abs(np.diff(whole, axis=0)).max()


def test_amplitude_is_about_one_and_seeds_differ():
    first, second = (SphereNoise(octaves(seed, "ground", 0.5, 0.05), (200, 400))(0, 0, 200, 400) for seed in (1, 2))
    assert 0.7 < first.std() < 1.4 and abs(first.mean()) < 0.2
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.3


def test_finer_pixels_show_the_same_ground():
    stack = octaves(3, "ground", 1.2, 0.2)
    coarse = SphereNoise(stack, (64, 128))(0, 0, 64, 128)
    fine = SphereNoise(stack, (192, 384))(0, 0, 192, 384)[1::3, 1::3]
    assert np.abs(coarse - fine).max() < 0.25 and np.corrcoef(coarse.ravel(), fine.ravel())[0, 1] > 0.995


def test_line_noise_is_smooth():
    values = line_noise(np.random.default_rng(0), np.linspace(-3, 9, 5000))
    assert np.abs(np.diff(values)).max() < 0.02 and values.std() > 0.2
