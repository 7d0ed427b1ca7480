"""Split classes and stratified splits."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cratermill.samples.splits import grouped_mask, held_out_tiles, split_classes, stratified_mask

CLASSES = st.lists(st.integers(0, 9), min_size=12, max_size=300)


def test_class_is_connection_times_five_plus_distance_bin():
    found = split_classes(np.array([0, 3, 0, 1, 0]), np.array([0.0, 19.9, 20.0, 99.0, 150.0]), 100.0)
    assert found.tolist() == [0, 5, 1, 9, 4]


@given(CLASSES, st.floats(0.05, 0.4), st.integers(0, 2**62))
def test_every_class_with_two_members_is_on_both_sides(classes, fraction, seed):
    classes = np.array(classes)
    values, counts = np.unique(classes, return_counts=True)
    if (counts > 1).sum() * 2 > counts[counts > 1].sum() or not (counts > 1).any():
        return
    held_out = stratified_mask(classes, fraction, seed)
    assert held_out.sum() >= (counts > 1).sum()
    for value, number in zip(values, counts, strict=True):
        if number == 1:
            assert not held_out[classes == value].any()
    assert not held_out.all()


@given(CLASSES, st.integers(0, 2**62))
def test_a_split_follows_from_its_seed_alone(classes, seed):
    classes = np.array(classes)
    if (np.bincount(classes) > 1).any():
        assert (stratified_mask(classes, 0.2, seed) == stratified_mask(classes, 0.2, seed)).all()


def test_stratified_shares_are_kept():
    classes = np.repeat([0, 1, 2], [600, 300, 100])
    held_out = stratified_mask(classes, 0.2, 3)
    assert [held_out[classes == value].sum() for value in range(3)] == [120, 60, 20]


@given(st.integers(0, 2**62))
def test_a_ground_tile_stays_on_one_side(seed):
    rng = np.random.default_rng(0)
    groups, classes = rng.integers(0, 40, 300), rng.integers(0, 10, 300)
    held_out = grouped_mask(groups, classes, 0.25, seed)
    assert 0 < held_out.sum() < 300
    assert all(len(set(held_out[groups == group])) == 1 for group in set(groups))


def test_too_few_tiles_is_an_error():
    with pytest.raises(ValueError, match="none of them sharing"):
        stratified_mask(np.array([1, 2, 3]), 0.2, 0)


@given(st.lists(st.integers(0, 30), min_size=8, max_size=80), st.floats(0.1, 0.5), st.integers(0, 2**32))
def test_tiles_of_the_same_ground_are_held_out_together(ground, fraction, seed):
    table = pd.DataFrame({"ground": ground})
    mask = held_out_tiles(table, fraction, seed, by_place=False, turn=0.0)
    assert table.groupby("ground")["ground"].agg(lambda group: mask[group.index].mean()).isin([0, 1]).all()
    if table["ground"].nunique() > 1:
        assert 0 < mask.sum() < len(mask)
