"""Counts by size."""

from __future__ import annotations

import numpy as np

from cratermill.craters.frequencies import frequencies
from cratermill.report.size_frequency import size_frequency


def test_counts_are_cumulative_from_above_and_differential_by_width():
    table = frequencies(np.array([1.0, 1.2, 2.0, 2.0, 4.0]), area_km2=10.0)
    assert table["count"].sum() == 5
    assert table["cumulative"].iloc[0] == 0.5
    at_two = table[np.isclose(table["diameter_km"], 2)].iloc[0]
    assert at_two["count"] == 2
    assert np.isclose(at_two["cumulative"], 0.3)
    assert np.isclose(at_two["differential"], 2 / (2 * (np.sqrt(2) - 1)) / 10)
    assert np.isclose(at_two["R"], at_two["differential"] * at_two["middle_km"] ** 3)
    # Three craters: 1.367 to 5.918 in Gehrels 1986, table 1 and 2.
    assert np.allclose(at_two[["cumulative_low", "cumulative_high"]].astype(float) * 10, [1.367, 5.918], atol=2e-3)
    assert (table.loc[table["count"] > 0, "differential_low"] > 0).all(), "no bar reaches down to nothing"


def test_a_power_law_keeps_its_slope():
    diameters = (1 - np.random.default_rng(0).random(40_000)) ** (-1 / 2)
    table = frequencies(diameters, 1.0)
    table = table[table["cumulative"] > 100]
    slope = np.polyfit(np.log(table["diameter_km"]), np.log(table["cumulative"]), 1)[0]
    assert abs(slope + 2) < 0.05


def test_plots_of_nothing_and_of_one_crater(tmp_path):
    assert frequencies(np.zeros(0), 1.0).empty
    for name, lists in {"none": {"found": []}, "one": {"found": [3.0], "catalogue": [2.9, 5.0]}}.items():
        assert size_frequency(tmp_path / f"{name}.png", lists, 100.0).stat().st_size > 1000
