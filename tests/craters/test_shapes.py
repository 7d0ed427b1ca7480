"""Masks as the authors drew them."""

from __future__ import annotations

import numpy as np

from cratermill.craters.shapes import Shape


def test_disc_is_two_radii_and_a_pixel_wide():
    mask = Shape("fill").draw(np.array([[20.0, 20, 9]]), (41, 41))
    assert mask[20].sum() == mask[:, 20].sum() == 19
    assert (mask == mask[::-1]).all() and (mask == mask.T).all()


def test_outline_shows_craters_in_craters():
    mask = Shape("outline").draw(np.array([[60.0, 60, 10], [60, 60, 50]]), (121, 121))
    assert not mask[60, 60]  # hole of the small one
    assert mask[60, 69]  # its rim, in the hole of the large one
    assert not mask[60, 80]
    assert mask[60, 105]


def test_outline_hole_follows_the_fraction():
    wide = Shape("outline", inner_fraction=0.5).draw(np.array([[60.0, 60, 40]]), (121, 121))
    thin = Shape("outline", inner_fraction=0.9).draw(np.array([[60.0, 60, 40]]), (121, 121))
    assert wide[60, 60 + 22] and not thin[60, 60 + 22]
    assert not wide[60, 60 + 19]
    assert wide[60, 99] and thin[60, 99]


def test_hybrid_gives_large_craters_a_hole_and_small_ones_none():
    shape = Shape("hybrid", disc_below_px=16)
    mask = shape.draw(np.array([[30.0, 60, 15], [85, 60, 30], [85, 60, 5]]), (121, 121))
    assert mask[60, 30] and not mask[60, 75] and mask[60, 60]
    assert mask[60, 85], "a small crater in the hole of a large one"


def test_ring_lies_on_the_rim():
    mask = Shape("ring", width_px=4).draw(np.array([[60.0, 60, 30]]), (121, 121))
    assert np.flatnonzero(mask[60, 60:]).tolist() == [28, 29, 30, 31, 32]


def test_nothing_to_draw_and_circles_outside():
    for kind in ("fill", "outline", "ring"):
        assert not Shape(kind).draw(np.zeros((0, 3)), (10, 10)).any()
        assert not Shape(kind).draw(np.array([[1e6, -1e6, 5.0]]), (10, 10)).any()
        assert Shape(kind).draw(np.array([[-3.0, 5, 8]]), (10, 10)).any()
