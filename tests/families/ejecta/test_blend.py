"""Blocks of the composite: owners, colours, independence of order."""

import itertools

import numpy as np

from cratermill.families.ejecta.blend import NO_OWNER, Layer, blend
from cratermill.geo.grid import Window
from cratermill.report.palette import CRATERS, Colours


def layer(fid, mask, probability):
    mask = np.array(mask, bool)
    return Layer(fid, Window(0, 0, *mask.shape), mask, np.broadcast_to(np.array(probability, np.float32), mask.shape))


def test_highest_probability_owns_and_ties_go_to_the_lower_fid():
    layers = [layer(7, [[1, 1, 1, 0]], [[0.6, 0.8, 0.7, 0.9]]), layer(2, [[1, 1, 0, 0]], [[0.6, 0.9, np.nan, np.nan]])]
    made = blend(layers, (1, 4), 0.5)
    assert made.owner.tolist() == [[2, 2, 7, NO_OWNER]]
    np.testing.assert_array_equal(made.probability, np.array([[0.6, 0.9, 0.7, 0.9]], np.float32))


def test_later_craters_lie_half_transparent_over_earlier_ones():
    made = blend([layer(1, [[1, 1, 0]], 0.7), layer(4, [[0, 1, 0]], 0.9)], (1, 3), 0.5)
    mixed = np.rint((np.array(CRATERS.rgb(1)) + np.array(CRATERS.rgb(4))) / 2)
    assert tuple(made.rgba[:3, 0, 0]) == CRATERS.rgb(1) and (made.rgba[:3, 0, 1] == mixed).all()
    assert made.rgba[3].tolist() == [[255, 255, 0]] and (made.rgba[:, 0, 2] == 0).all()
    own = blend([layer(1, [[1]], 0.7)], (1, 1), 0.5, Colours({1: "#123456"}))
    assert own.rgba[:, 0, 0].tolist() == [0x12, 0x34, 0x56, 255]


def test_any_order_gives_the_same_block():
    random = np.random.default_rng(1)
    windows = [Window(0, 0, 8, 9), Window(2, 1, 6, 5), Window(0, 4, 8, 5), Window(1, 1, 5, 5)]
    shapes = [(window.height, window.width) for window in windows]
    layers = [
        Layer(fid, window, random.random(shape) > 0.5, random.random(shape).astype(np.float32))
        for fid, window, shape in zip((3, 11, 12, 400), windows, shapes, strict=True)
    ]
    first = blend(layers, (8, 9), 0.5)
    for order in itertools.permutations(layers):
        again = blend(list(order), (8, 9), 0.5)
        for name in ("owner", "rgba", "probability"):
            np.testing.assert_array_equal(getattr(first, name), getattr(again, name))


def test_a_block_without_craters_is_empty():
    made = blend([], (2, 3), 0.5)
    assert (made.owner == NO_OWNER).all() and (made.rgba == 0).all() and np.isnan(made.probability).all()


def test_colours_are_fixed_and_differ_between_neighbours():

    assert [CRATERS.hex(fid) for fid in (0, 1, 7)] == ["#ff7373", "#3666d9", "#3dd936"]
    assert len({CRATERS.rgb(fid) for fid in range(1000)}) == 1000
    apart = [np.abs(np.subtract(CRATERS.rgb(fid), CRATERS.rgb(fid + 1))).max() for fid in range(200)]
    assert min(apart) > 60
