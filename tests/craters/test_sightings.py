"""Levels of a pyramid joined to one list: nothing twice, nothing lost, whatever the order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cratermill.craters.sightings import Levels, joined
from cratermill.geo.bodies import Body

LEVELS = Levels((1.0, 2.0, 4.0))


def test_what_several_levels_agree_on_scores_their_mean_and_lonely_sightings_less():
    both = [[50, 50, 12, 0.8, 0], [51, 50, 12.5, 0.6, 1]]
    alone = [[150, 50, 12, 0.9, 0]]
    found = joined(np.array(both + alone), LEVELS)
    assert found[0, :2] == pytest.approx([50.36, 50], abs=0.01)
    assert found[0, 3] == pytest.approx(0.7) and found[0, 5:7].tolist() == [2, 2]
    assert found[1, 3] == pytest.approx(0.45) and found[1, 5:7].tolist() == [1, 2]
    assert found[0, 7] > found[1, 7] == 0


def test_a_level_sees_one_crater_once_and_craters_in_craters_stay():
    sightings = np.array([[50, 50, 12, 0.9, 0], [52, 50, 12, 0.5, 0], [50, 50, 5, 0.9, 0], [80, 50, 12, 0.4, 0]])
    found = joined(sightings, LEVELS)
    assert sorted(found[:, 2].round(1)) == [5, 12, 12]


def test_members_are_looks_of_their_own():
    levels = Levels((1.0,), members=2)
    found = joined(np.array([[9, 9, 6, 0.8, 0], [9, 9, 6, 0.4, 1]]), levels)
    assert found[0, 3] == pytest.approx(0.6) and found[0, 6] == 2


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_the_order_of_sightings_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    sightings = np.column_stack([rng.uniform(0, 60, (30, 2)), rng.uniform(2, 20, 30), rng.uniform(0.1, 1, 30), rng.integers(0, 3, 30)])
    first, second = joined(sightings, LEVELS), joined(rng.permutation(sightings), LEVELS)
    np.testing.assert_allclose(first, second)
    assert ((first[:, 3] > 0) & (first[:, 3] <= 1) & (first[:, 5] <= first[:, 6])).all()


def test_on_a_body_sightings_meet_across_the_seam_and_at_the_pole():
    body = Body("Pebble", 100_000.0, 100_000.0)
    levels = Levels((100.0, 200.0))
    seam = [[179.99, 0, 1000, 0.8, 0], [-179.99, 0, 1000, 0.8, 1]]
    pole = [[0, 89.95, 1000, 0.8, 0], [180, 89.95, 1000, 0.8, 1]]
    found = joined(np.array(seam + pole, float), levels, body)
    assert len(found) == 2 and (found[:, 5] == 2).all()
    assert abs(found[found[:, 1].argmin(), 0]) == pytest.approx(180, abs=0.01) and found[:, 1].max() > 89.99
