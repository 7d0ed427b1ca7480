"""The same crater seen twice is one; versions vote."""

from __future__ import annotations

import numpy as np

from cratermill.craters.merge import agreement, union, without_doubles
from cratermill.geo.bodies import get_body

MARS = get_body("mars")


def test_doubles_across_the_seam_and_at_the_pole_become_one():
    craters = np.array(
        [
            [179.99, 0, 20e3, 0.7],
            [-179.99, 0.01, 20.5e3, 0.9],
            [10, 89.99, 30e3, 0.8],
            [190, 89.99, 30e3, 0.6],
            [50, 10, 30e3, 0.5],
            [50, 10, 10e3, 0.5],  # nested, of another size
        ]
    )
    assert without_doubles(craters, MARS).tolist() == [1, 2, 4, 5]


def test_order_does_not_matter():
    rng = np.random.default_rng(0)
    craters = np.column_stack([rng.uniform(0, 30, 300), rng.uniform(-15, 15, 300), rng.uniform(20e3, 90e3, 300), rng.random(300)])
    order = rng.permutation(300)
    one = craters[without_doubles(craters, MARS)]
    other = craters[order][without_doubles(craters[order], MARS)]
    assert set(map(tuple, one)) == set(map(tuple, other))
    assert 0 < len(one) < 300


def test_votes():
    first = np.array([[10.0, 0, 20e3, 0.9], [30, 0, 20e3, 0.8]])
    second = np.array([[10.05, 0, 21e3, 0.9], [60, 0, 20e3, 0.6]])
    third = np.array([[9.95, 0, 19e3, 0.9]])
    joined = union([first, second, third], 1, MARS)
    assert joined[:, 4].tolist() == [3, 1, 1]
    assert np.allclose(joined[0, :3], [10.0, 0, 20e3], rtol=1e-3)
    assert np.isclose(joined[0, 3], 0.9)
    # Two lists lie 0.05° off the third, as sure as it is; radii 1 km off.
    away = np.radians(0.05) * MARS.semi_major_m * np.sqrt(2 / 3)
    assert np.allclose(joined[0, 5:], [away, 1e3 * np.sqrt(2 / 3)], rtol=1e-3)
    assert (joined[1:, 5:] < 1e-6).all()
    assert len(union([first, second, third], 2, MARS)) == 1
    assert np.allclose(union([third, first, second], 1, MARS), joined)


def test_agreement_counts_lists_and_measures_from_the_crater_across_the_seam():
    craters = np.array([[179.99, 0, 20e3], [50, 10, 30e3], [0, 60, 10e3]])
    lists = [np.array([[-179.99, 0, 21e3], [50, 10, 30e3]]), np.array([[179.97, 0, 17e3]]), np.zeros((0, 3))]
    found = agreement(craters, lists, MARS)
    away = MARS.distance_m(np.array([0.0]), np.array([0.0]), np.array([0.02]), np.array([0.0]))[0]
    assert found[:, 0].tolist() == [2, 1, 0]
    np.testing.assert_allclose(found[:2, 1:], [[away, np.sqrt((1e3**2 + 3e3**2) / 2)], [0, 0]], rtol=1e-6, atol=1e-3)
    assert np.isnan(found[2, 1:]).all()


def test_union_of_nothing():
    assert union([np.zeros((0, 4)), np.zeros((0, 4))], 1).shape == (0, 7)
    assert len(union([np.array([[5.0, 5, 3, 0.5]]), np.zeros((0, 4))], 1)) == 1
