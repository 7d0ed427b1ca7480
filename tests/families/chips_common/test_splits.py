"""Splits keep copies together and labels are drawn alike for every row."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cratermill.core.errors import InputError
from cratermill.families.chips_common.data import cell_chips
from cratermill.families.chips_common.splits import draw_labels, held_out
from tests.families.chips_common.case import CLASSES

LABELS = np.array([0, 1] * 60 + [-1] * 30)
GROUPS = np.repeat(np.arange(75), 2)[: len(LABELS)]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.integers(5, 40), st.floats(0.1, 0.5))
def test_copies_are_never_on_both_sides(seed, group_count, fraction):
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, group_count, 200)
    labels = np.where(rng.random(200) < 0.2, -1, groups % 2)
    labels[:4], groups[:4] = [0, 0, 1, 1], [0, 2, 1, 3]
    held = held_out(labels, groups, fraction, seed)
    assert not set(groups[held]) & set(groups[~held])
    assert {0, 1} <= set(labels[held]) and {0, 1} <= set(labels[~held])


def test_both_sides_have_the_classes_in_like_shares():
    labels = np.array([0] * 300 + [1] * 100)
    held = held_out(labels, np.arange(400), 0.25, 1)
    assert held.sum() == 100 and labels[held].mean() == pytest.approx(0.25)


def test_a_class_of_nothing_but_copies_is_refused():
    with pytest.raises(InputError, match=r"class 1 has 1 chip\(s\) that are no copies"):
        held_out(np.array([0, 0, 0, 1, 1]), np.array([0, 1, 2, 3, 3]), 0.3, 0)


@pytest.mark.parametrize("seed", range(5))
def test_a_larger_budget_holds_the_smaller_one_and_both_are_balanced(seed):
    labels, groups = np.array([0] * 80 + [1] * 20), np.arange(100)
    small, large = (draw_labels(labels, groups, budget, CLASSES, seed) for budget in (10, 30))
    assert np.bincount(labels[small]).tolist() == [5, 5] and np.bincount(labels[large]).tolist() == [15, 15]
    assert set(small) < set(large)


def test_no_two_labelled_chips_are_copies():
    labels, groups = np.array([0, 1] * 40), np.arange(80) // 8 * 2 + np.array([0, 1] * 40)
    drawn = draw_labels(labels, groups, 20, CLASSES, 3)
    assert len(set(groups[drawn])) == 20


def test_more_labels_than_there_are_is_refused_with_the_number_there_is():
    with pytest.raises(InputError, match="30 labels of class plain are asked for, but only 20 different") as error:
        draw_labels(np.array([0] * 20 + [1] * 50), np.arange(70), 60, CLASSES, 0)
    assert "at most 20" in error.value.valid


def test_a_budget_that_classes_cannot_share_is_refused():
    with pytest.raises(InputError, match="7 labels for 2 classes"):
        draw_labels(LABELS, GROUPS, 7, CLASSES, 0)


def table(count=200) -> pd.DataFrame:
    labels = np.arange(count) % 2
    return pd.DataFrame({"role": "labelled", "label": labels, "group": np.arange(count), "test_0": (np.arange(count) >= 160).astype(int)})


def test_the_parts_of_a_cell_share_no_chip_and_hidden_labels_become_unlabelled_chips():
    one = cell_chips(table(), CLASSES, 0, 0, 1, 0.25, 20)
    parts = [one.labelled, one.unlabelled, one.val, one.test]
    assert sorted(np.concatenate(parts)) == list(range(200)) and [len(part) for part in parts] == [20, 100, 40, 40]


def test_the_draw_follows_from_split_and_iteration_and_not_from_the_row():
    labels = [cell_chips(table(), CLASSES, 0, iteration, 1, 0.25, budget) for iteration in (0, 1) for budget in (10, 20)]
    assert set(labels[0].labelled) < set(labels[1].labelled) and np.array_equal(labels[0].val, labels[1].val)
    assert set(labels[2].labelled) != set(labels[0].labelled) and not np.array_equal(labels[2].val, labels[0].val)


def test_an_unprepared_split_is_named():
    with pytest.raises(InputError, match="split 3 is not among the prepared ones"):
        cell_chips(table(), CLASSES, 3, 0, 1, 0.25, 20)
