"""Chips cut from a mosaic: craters in the middle, negatives free of craters, hard ones on rims, same ground on one side."""

from __future__ import annotations

import numpy as np
import pytest

from cratermill.errors import InputError
from cratermill.families.chips.cutting import NEGATIVE, POSITIVE, Places, choose_places, cut_chips, distances_m, free_places, overlapping
from cratermill.families.chips.options import Cut
from tests.families.chips.case import CRATERS, RADIUS_M, write_planet
from tests.tiny import BODY


@pytest.fixture
def planet(tmp_path):
    return write_planet(tmp_path)


def options(**values) -> Cut:
    return Cut(mosaic="mosaic.tif", catalogue="craters.csv", max_abs_lat=70, **{"negatives_per_crater": 4, "half_side_radii": 1.5} | values)


def known() -> Places:
    lon, lat = np.array(list(CRATERS.values())).T
    return Places(lon, lat, np.full(len(lon), RADIUS_M), np.full(len(lon), POSITIVE))


def test_craters_fill_the_middle_of_their_chips_even_across_the_seam(planet):
    chips, _ = cut_chips(options(hard_share=0), planet, 24, seed=1)
    stack = chips.stack(24)
    craters = stack[chips.labels == POSITIVE]
    assert len(craters) == len(CRATERS)
    assert (craters[:, 9:15, 9:15] == 150).all() and (stack[chips.labels == NEGATIVE] < 150).all()
    alone = craters[[number for number, fid in enumerate(CRATERS) if fid not in (3, 6)]]
    for chip in alone:
        # The mosaic's pixels are 1.5 of the chip's, so that a disc's middle is known to about half of that.
        assert np.argwhere(chip == 150).mean(axis=0) == pytest.approx(11.5, abs=0.8)


def test_hard_negatives_lie_on_rims_and_are_no_centre_of_a_crater(planet):
    places = choose_places(options(hard_share=1.0, negatives_per_crater=20), known(), BODY, np.random.default_rng(0))
    hard = places[places.label == NEGATIVE]
    nearest = distances_m(hard, known(), BODY).min(axis=1) / RADIUS_M
    assert len(hard) > 60 and nearest.min() >= 0.5 and nearest.max() <= 1.61


def test_easy_negatives_keep_their_whole_chip_off_every_crater(planet):
    places = choose_places(options(hard_share=0, negatives_per_crater=10), known(), BODY, np.random.default_rng(0))
    easy = places[places.label == NEGATIVE]
    assert len(easy) == 60 and distances_m(easy, known(), BODY).min() > RADIUS_M * (1 + 1.5 * np.sqrt(2))


def test_craters_far_smaller_than_a_chip_may_be_told_not_to_count():
    crowd = known()
    small = Places(np.arange(-180.0, 180, 4).repeat(40), np.tile(np.arange(-80.0, 80, 4), 90), np.full(3600, 9e3), np.full(3600, POSITIVE))
    everywhere = Places.joined([crowd, small])
    found = [
        free_places(crowd.radius_m, everywhere, 20, options(ignore_below=share), BODY, np.random.default_rng(0), tries=4)
        for share in (0, 0.2)
    ]
    assert [len(places) for places in found] == [0, 20]
    assert distances_m(found[1], crowd, BODY).min() > RADIUS_M


def test_chips_that_hold_each_others_centre_are_tied():
    ties = {tuple(sorted(pair)) for pair in overlapping(known(), BODY, 1.5).T.tolist()}
    assert ties == {(2, 5)}


def test_diameters_that_no_crater_has_are_refused(planet):
    with pytest.raises(InputError, match="has no crater of 1 to 2 m"):
        cut_chips(options(min_diameter_m=1, max_diameter_m=2), planet, 24, seed=0)


def test_a_catalogue_that_leaves_no_free_ground_is_refused(planet):
    with pytest.raises(InputError, match="no chips without one"):
        cut_chips(options(negatives_per_crater=0), planet, 24, seed=0)


def test_unlabelled_chips_come_with_the_cut(planet):
    chips, _ = cut_chips(options(unlabelled=15), planet, 16, seed=0)
    assert (chips.labels == -1).sum() == 15
