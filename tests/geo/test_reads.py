"""Which windows are read in one piece."""

from __future__ import annotations

import numpy as np

from cratermill.geo.reads import grouped, reading_order


def area(hull: list[int]) -> int:
    return (hull[2] - hull[0]) * (hull[3] - hull[1])


def test_every_window_is_in_one_hull_that_costs_no_more_than_it_may():
    rng = np.random.default_rng(0)
    rows, cols = rng.integers(0, 5000, (2, 3000))
    order = reading_order(rows, cols, in_strips=False)
    windows = np.stack([rows, cols, rows + 100, cols + 100], axis=1)[order]
    calls = []

    def cost_of(hull: list[int]) -> int:
        calls.append(1)
        return area(hull)

    found = grouped(windows, [10_000] * 3000, cost_of, 10**6, 1.5, 16)
    assert sorted(number for members, _ in found for number in members) == list(range(3000))
    for members, hull in found:
        assert hull == [*windows[members, :2].min(0).tolist(), *windows[members, 2:].max(0).tolist()]
        assert area(hull) <= min(10**6, 1.5 * 10_000 * len(members))
    assert len(found) < 1000 and len(calls) <= 16 * 3000


def test_windows_far_apart_stay_apart():
    windows = np.array([[0, 0, 10, 10], [0, 5, 10, 15], [0, 9000, 10, 9010]])
    assert [members for members, _ in grouped(windows, [100] * 3, area, 10**6)] == [[0, 1], [2]]
