from __future__ import annotations

import numpy as np
import pytest

from cratermill.geo import resampling
from cratermill.geo.resampling import bilinear, nearest, nearest_or_fill
from tests.mosaics import slow_bilinear

TYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"]


@pytest.fixture(params=["installed OpenCV", "NumPy"])
def backend(request, monkeypatch):
    if request.param == "NumPy":
        monkeypatch.setattr(resampling, "_remap_is_exact", lambda dtype: False)


@pytest.fixture
def positions():
    random = np.random.default_rng(3)
    return random.uniform(0, 38, (60, 70)), random.uniform(0, 48, (60, 70))


@pytest.mark.parametrize("dtype", TYPES)
def test_bilinear_is_exact_for_every_type(backend, positions, dtype):
    pixels = np.random.default_rng(4).integers(0, 120, (3, 40, 50)).astype(dtype)
    found = bilinear(pixels, *positions, None, 0)
    assert found.dtype == dtype and found.shape == (3, 60, 70)
    wanted = slow_bilinear(pixels, *positions)
    assert np.abs(found - wanted).max() <= (1e-3 if pixels.dtype.kind == "f" else 0.501)


def test_large_values_keep_their_digits(backend, positions):
    for dtype in ("uint32", "int32", "float64"):
        pixels = (2_000_000_000 + np.arange(2000).reshape(1, 40, 50)).astype(dtype)
        assert np.abs(bilinear(pixels, *positions, None, 0) - slow_bilinear(pixels, *positions)).max() <= 0.501


def test_a_gradient_shows_positions_to_a_thousandth(backend, positions):
    pixels = np.broadcast_to(np.arange(50, dtype=np.float32), (1, 40, 50))
    np.testing.assert_allclose(bilinear(pixels, *positions, None, 0)[0], positions[1], atol=1e-4)


def test_missing_pixels_have_no_say(backend):
    pixels = np.array([[[10, 20, 0], [10, 20, 0]]], dtype=np.float32)
    missing = pixels == 0
    pixels[missing] = np.nan
    cols = np.array([[0.5, 1.0, 1.4, 1.6, 2.0]])
    found = bilinear(pixels, np.zeros_like(cols), cols, missing, -1)
    np.testing.assert_allclose(found, [[[15, 20, 20, -1, -1]]], rtol=1e-6)


def test_averaging_takes_the_mean_of_what_is_there(backend):
    pixels = np.arange(16, dtype=np.uint16).reshape(1, 4, 4)
    rows, cols = np.mgrid[:4, :4].astype(float)
    np.testing.assert_array_equal(bilinear(pixels, rows, cols, None, 0, factor=2), [[[2, 4], [10, 12]]])  # 2.5 → 2, ties to even
    missing = np.zeros_like(pixels, dtype=bool)
    missing[0, :2, 0] = missing[0, 2:, 2:] = True
    np.testing.assert_array_equal(bilinear(pixels, rows, cols, missing, 9, factor=2), [[[3, 4], [10, 9]]])


def test_nearest_halves_go_one_way_only():
    pixels = np.arange(20).reshape(1, 4, 5)
    found = nearest(pixels, np.array([0.49, 0.5, 1.5, 2.5]), np.array([0.5, 1.5, 2.49, 3.5]))
    np.testing.assert_array_equal(found, [[1, 7, 12, 19]])


@pytest.mark.parametrize("dtype", TYPES)
def test_nearest_or_fill_outside_and_nowhere(dtype):
    pixels = np.arange(1, 21).reshape(1, 4, 5).astype(dtype)
    rows = np.array([[-0.51, -0.5, 3.49, 3.5, np.nan, 1e30, 1.0, 1.0]])
    cols = np.array([[0.0, 0.0, 4.0, 0.0, 0.0, 0.0, -1e30, 4.5]])
    found = nearest_or_fill(pixels, rows, cols, 99)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, [[[99, 1, 20, 99, 99, 99, 99, 99]]])


def test_thinning_first_gives_nearly_the_same_mean(backend):
    pixels = np.random.default_rng(8).uniform(0, 100, (2, 96, 120)).astype(np.float32)
    missing = np.zeros((1, 96, 120), bool)
    missing[:, 30:70, 40:90] = True
    rows, cols = ((np.arange(length) + 0.5) * 3 - 0.5 for length in (32, 40))
    rows, cols = np.broadcast_arrays(rows[:, None], cols[None, :])
    for gaps in (None, missing):
        thinned = bilinear(pixels, rows, cols, gaps, -1, factor=4, thin=3)
        source = np.where(missing, np.nan, pixels) if gaps is not None else pixels
        blocks = source.reshape(2, 8, 12, 10, 12)
        wanted = np.where(np.isnan(blocks).mean(axis=(2, 4)) <= 0.5, np.nanmean(blocks, axis=(2, 4)), -1)
        np.testing.assert_allclose(thinned, wanted, atol=1e-3)


@pytest.mark.parametrize("shape", [(2, 1), (1, 2), (1, 1)])
def test_sources_of_one_row_or_column(backend, shape):
    pixels = np.full((1, *shape), 7.0, dtype=np.float32)
    np.testing.assert_allclose(bilinear(pixels, np.array([[shape[0] - 1.0]]), np.array([[0.0]]), None, 0), [[[7.0]]])
