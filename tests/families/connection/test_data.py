"""Sampling weights of the connection family."""

from __future__ import annotations

import pandas as pd
import pytest

from cratermill.families.connection.data import sample_weights
from cratermill.families.connection.evaluate import connected_tiles

TABLE = pd.DataFrame({"num_1": [5, 0, 0, 9, 0], "distance": [100.0, 200.0, 400.0, 300.0, 100.0]})
CONNECTED = TABLE["num_1"].to_numpy() > 0


def test_no_weights_without_a_flag():
    assert sample_weights(TABLE, False, False) is None


@pytest.mark.parametrize("by_distance", [False, True])
def test_both_classes_are_drawn_alike(by_distance):
    weights = sample_weights(TABLE, True, by_distance)
    assert weights[CONNECTED].sum() == pytest.approx(weights[~CONNECTED].sum())


@pytest.mark.parametrize("by_connection", [False, True])
def test_far_connected_and_near_unconnected_tiles_are_drawn_more(by_connection):
    weights = sample_weights(TABLE, by_connection, True)
    assert weights[3] / weights[0] == pytest.approx(3) and weights[4] / weights[2] == pytest.approx(4)
    if not by_connection:
        assert weights[CONNECTED].sum() == pytest.approx(2) and weights[~CONNECTED].sum() == pytest.approx(3)


def test_votes_reach_the_threshold():
    voted = pd.DataFrame({"votes": [0.4, 0.5, 0.6]})
    assert connected_tiles(voted, 0.5)["votes"].tolist() == [0.5, 0.6]
    assert connected_tiles(voted, None)["votes"].tolist() == [0.5, 0.6]
    assert connected_tiles(voted, 0.6)["votes"].tolist() == [0.6]
