"""Copies of chips are found whatever was done to them, and different ground is not taken for a copy."""

from __future__ import annotations

import io

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cratermill.families.chips_common.duplicates import detail, duplicate_groups, hashes, orientations, unit
from tests.families.chips_common.case import chips


def jpeg(image: np.ndarray) -> np.ndarray:
    content = io.BytesIO()
    Image.fromarray(image).save(content, format="JPEG", quality=85)
    return np.asarray(Image.open(content))


def test_different_chips_are_no_copies():
    images, _ = chips(60)
    assert len(np.unique(duplicate_groups(images))) == 60


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 7), st.floats(0.4, 1.6), st.floats(-30, 30), st.booleans())
def test_a_copy_is_found_turned_mirrored_brighter_flatter_or_compressed(turn, contrast, brightness, compressed):
    images, _ = chips(20, seed=5)
    copy = list(orientations(images[3:4]))[turn][0]
    copy = np.clip((copy.astype(float) - 110) * contrast * 0.8 + 110 + brightness, 0, 255).astype(np.uint8)
    groups = duplicate_groups(np.concatenate([images, (jpeg(copy) if compressed else copy)[None]]))
    assert groups[20] == groups[3] and len(np.unique(groups)) == 20


def test_chips_without_contrast_are_one_group_of_their_own():
    images, _ = chips(4)
    flat = np.stack([np.full((24, 24), value, np.uint8) for value in (0, 90, 255)])
    groups = duplicate_groups(np.concatenate([images, flat]))
    assert len(set(groups[4:])) == 1 and len(set(groups)) == 5


def test_the_hash_never_rates_a_pair_below_its_correlation():
    images, _ = chips(30, seed=2, side=32)
    for signal in (images.astype(np.float32), detail(images.astype(np.float32))):
        vectors = unit(signal)
        assert (hashes(vectors) @ hashes(vectors).T - vectors @ vectors.T).min() > -1e-5


def test_groups_of_mars_chips_hold_the_copies_that_stand_beside_them(real_data):
    """Three quarters of the real chips are in pairs or more, and no group mixes craters with other ground."""
    from cratermill.families.chips_common.readers import read_labelled

    read, _ = read_labelled(real_data("mars_hrsc_chips.zip"), ["non-crater", "crater"])
    groups = duplicate_groups(read.stack(32))
    counts = np.bincount(groups)
    assert 1900 < len(counts) < 2300 and counts.max() < 60
    assert all(len(set(read.labels[groups == group])) == 1 for group in np.flatnonzero(counts > 1))
