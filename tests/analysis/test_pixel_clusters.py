"""Clusters from runs against labels of every pixel."""

import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cratermill.analysis.pixel_clusters import denoise


def by_labels(mask, least):
    kept = mask & ~_small(scipy.ndimage.label(mask)[0], least)
    labels = scipy.ndimage.label(np.pad(~kept, 1, constant_values=True))[0]
    small = _small(labels, least) & (labels != labels[0, 0])
    return kept | small[1:-1, 1:-1]


def _small(labels, least):
    sizes = np.bincount(labels.ravel())
    return (sizes[labels] < least) & (labels > 0)


@settings(max_examples=60, deadline=None)
@given(arrays(bool, st.tuples(st.integers(1, 24), st.integers(1, 24))), st.integers(2, 20))
def test_small_clusters_go_and_small_holes_are_filled(mask, least):
    np.testing.assert_array_equal(denoise(mask, least), by_labels(mask, least))


@pytest.mark.parametrize("least", [0, 1])
def test_nothing_is_smaller_than_one_pixel(least):
    mask = np.eye(4, dtype=bool)
    np.testing.assert_array_equal(denoise(mask, least), mask)


def test_pixels_that_share_a_corner_are_apart():
    assert not denoise(np.eye(9, dtype=bool), 2).any()
