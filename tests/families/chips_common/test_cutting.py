"""Chips cut from a mosaic: craters in the middle, negatives free of craters, hard ones on rims, same ground on one side."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pandas as pd
import pytest
from affine import Affine

from cratermill.core.errors import InputError
from cratermill.families.chips_common.cutting import (
    NEGATIVE,
    POSITIVE,
    Ground,
    Keeping,
    Places,
    choose_places,
    cut_chips,
    distances_m,
    free_places,
    overlapping,
    rim_places,
)
from cratermill.families.chips_common.options import Cut
from cratermill.geo.grid import Grid
from tests.families.chips_common.case import CRATERS, RADIUS_M, write_planet
from tests.tiny import BODY, SHAPE, write_raster

PIXEL_M = np.pi * BODY.semi_major_m / SHAPE[0]
GLOBE = Grid(BODY.cylindrical_crs(), Affine(PIXEL_M, 0, -180 * PIXEL_M, 0, -PIXEL_M, 90 * PIXEL_M), SHAPE)


@pytest.fixture
def planet(tmp_path):
    return write_planet(tmp_path)


def options(**values) -> Cut:
    return Cut(mosaic="mosaic.tif", catalogue="craters.csv", max_abs_lat=70, **{"negatives_per_crater": 4, "half_side_radii": 1.5} | values)


def known() -> Places:
    lon, lat = np.array(list(CRATERS.values())).T
    return Places(lon, lat, np.full(len(lon), RADIUS_M), np.full(len(lon), POSITIVE))


def test_craters_fill_the_middle_of_their_chips_even_across_the_seam(planet):
    chips, _ = cut_chips(options(hard_share=0), planet, 24, 1, Keeping(planet / "cut", "test"))
    stack = chips.stack(24)
    craters = stack[chips.labels == POSITIVE]
    assert len(craters) == len(CRATERS)
    assert (craters[:, 9:15, 9:15] == 150).all() and (stack[chips.labels == NEGATIVE] < 150).all()
    alone = craters[[number for number, fid in enumerate(CRATERS) if fid not in (3, 6)]]
    for chip in alone:
        # The mosaic's pixels are 1.5 of the chip's, so that a disc's middle is known to about half of that.
        assert np.argwhere(chip == 150).mean(axis=0) == pytest.approx(11.5, abs=0.8)


def test_hard_negatives_lie_on_rims_and_are_no_centre_of_a_crater(planet):
    places = choose_places(options(hard_share=1.0, negatives_per_crater=20), known(), GLOBE, np.random.default_rng(0))
    hard = places[places.label == NEGATIVE]
    nearest = distances_m(hard, known(), BODY).min(axis=1) / RADIUS_M
    assert len(hard) > 60 and nearest.min() >= 0.5 and nearest.max() <= 1.61


def test_easy_negatives_keep_their_whole_chip_off_every_crater(planet):
    places = choose_places(options(hard_share=0, negatives_per_crater=10), known(), GLOBE, np.random.default_rng(0))
    easy = places[places.label == NEGATIVE]
    assert len(easy) == 60 and distances_m(easy, known(), BODY).min() > RADIUS_M * (1 + 1.5 * np.sqrt(2))


def test_craters_far_smaller_than_a_chip_may_be_told_not_to_count():
    crowd = known()
    small = Places(np.arange(-180.0, 180, 4).repeat(40), np.tile(np.arange(-80.0, 80, 4), 90), np.full(3600, 9e3), np.full(3600, POSITIVE))
    everywhere = Places.joined([crowd, small])
    found = [
        free_places(crowd.radius_m, everywhere, 20, share, Ground(GLOBE, 1.5, 70), np.random.default_rng(0), tries=4) for share in (0, 0.2)
    ]
    assert [len(places) for places in found] == [0, 20]
    assert distances_m(found[1], crowd, BODY).min() > RADIUS_M


def test_chips_that_hold_each_others_centre_are_tied():
    ties = {tuple(sorted(pair)) for pair in overlapping(known(), BODY, 1.5).T.tolist()}
    assert ties == {(2, 5)}


def test_diameters_that_no_crater_has_are_refused(planet):
    with pytest.raises(InputError, match="has no crater of 1 to 2 m"):
        cut_chips(options(min_diameter_m=1, max_diameter_m=2), planet, 24, 0, Keeping(planet / "cut", "test"))


def test_a_catalogue_that_leaves_no_free_ground_is_refused(planet):
    with pytest.raises(InputError, match="no chips without one"):
        cut_chips(options(negatives_per_crater=0), planet, 24, 0, Keeping(planet / "cut", "test"))


def test_more_chips_than_memory_can_hold_are_refused_by_number(planet):
    with pytest.raises(InputError, match="6,000,000,000 negatives"):
        cut_chips(options(negatives_per_crater=1e9), planet, 24, 0, Keeping(planet / "cut", "test"))


def test_unlabelled_chips_come_with_the_cut(planet):
    chips, _ = cut_chips(options(unlabelled=15), planet, 16, 0, Keeping(planet / "cut", "test"))
    assert (chips.labels == -1).sum() == 15


def region(folder):
    """``region.tif``: 20° × 20°, nowhere 0 and without a value for missing; ``region.csv``: 30 craters on it among 600 elsewhere."""
    degree, rng = np.radians(1) * BODY.semi_major_m, np.random.default_rng(1)
    pixels = rng.integers(100, 140, (1, 400, 400), np.uint8)
    write_raster(folder / "region.tif", pixels, affine=Affine(0.05 * degree, 0, 30 * degree, 0, -0.05 * degree, 20 * degree))
    lon = np.concatenate([rng.uniform(31, 49, 30), rng.uniform(60, 300, 600)])
    lat = np.concatenate([rng.uniform(1, 19, 30), rng.uniform(-60, 60, 600)])
    pd.DataFrame({"lon": lon, "lat": lat, "radius_m": 12e3}).to_csv(folder / "region.csv", index=False)
    return {"mosaic": "region.tif", "catalogue": "region.csv", "negatives_per_crater": 1}


def test_chips_of_a_regional_mosaic_lie_on_it_and_none_is_lost_to_craters_beside_it(tmp_path):
    given = Cut(**region(tmp_path), unlabelled=200, max_craters=20)
    chips, _ = cut_chips(given, tmp_path, 24, 0, Keeping(tmp_path / "cut", "test"))
    assert [int((chips.labels == label).sum()) for label in (POSITIVE, NEGATIVE, -1)] == [20, 20, 200]
    assert min(image.min() for image in chips.images) >= 80  # whatever lies beside the mosaic would be 0; cubics swing a little


def test_craters_beside_the_mosaic_alone_are_refused(tmp_path):
    given = region(tmp_path)
    pd.DataFrame({"lon": [70.0], "lat": [1.0], "radius_m": [12e3]}).to_csv(tmp_path / "region.csv", index=False)
    with pytest.raises(InputError, match="lies on the mosaic region.tif"):
        cut_chips(Cut(**given), tmp_path, 24, 0, Keeping(tmp_path / "cut", "test"))


def many(count: int) -> Places:
    rng = np.random.default_rng(3)
    radius = 10 ** rng.uniform(3, 5, count)
    return Places(rng.uniform(-180, 180, count), np.degrees(np.arcsin(rng.uniform(-1, 1, count))), radius, np.full(count, POSITIVE))


@pytest.mark.parametrize("share", [0, 0.3])
def test_free_places_are_those_that_no_crater_touches(share):
    craters = many(400)
    free = free_places(np.geomspace(2e3, 2e5, 9), craters, 200, share, Ground(GLOBE, 1.5), np.random.default_rng(0))
    gap = distances_m(free, craters, BODY) - craters.radius_m - 1.5 * np.sqrt(2) * free.radius_m[:, None]
    counts = craters.radius_m >= share * free.radius_m[:, None]
    assert len(free) == 200 and gap[counts].min() > 0 and (share == 0 or gap.min() < 0)


def test_memory_does_not_grow_with_catalogue_times_places():
    craters = many(60_000)
    ground, rng = Ground(GLOBE, 1.5), np.random.default_rng(0)
    tracemalloc.start()
    free_places(craters.radius_m[:100], craters, 10, 0, ground, rng, tries=1)
    assert len(rim_places(craters[np.arange(300)], craters, 300, ground, rng)) > 100
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60e6  # a table of 300 × 60 000 distances alone would be 144 MB
