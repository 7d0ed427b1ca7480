"""Lists and plots that people count with."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from affine import Affine

from cratermill.craters.craterstats import surface_area_m2
from cratermill.craters.outputs import counted_boundary, crater_table
from cratermill.geo.bodies import Body, get_body
from cratermill.geo.grid import Grid, pixel_areas_m2

MARS = get_body("mars")


def test_the_counted_area_is_that_between_its_parallels():
    boundary = counted_boundary(0, 30, 60, 60)
    sphere = 2 * np.pi * MARS.mean_radius_m**2 * (np.sin(np.radians(60)) - np.sin(np.radians(30))) / 6
    assert abs(surface_area_m2(MARS, boundary) / sphere - 1) < 0.01
    assert counted_boundary(-180, -90, 180, 90) is None


@pytest.mark.parametrize(
    ("west", "south", "east", "north"),
    [
        (-180, -30, 180, 30),
        (-180, -60, 180, 60),
        (0, -80, 360, 80),
        (-180, -90, 180, 60),
        (0, -90, 270, 90),
        (0, -60, 270, 60),
        (170, 10, 190, 20),
    ],
)
def test_areas_of_regions_larger_and_smaller_than_half_a_body(west, south, east, north):
    """Against the sum over the pixels of a grid, which is exact on the ellipsoid."""
    boundary = counted_boundary(west, south, east, north)
    for body in (MARS, Body("ball", MARS.semi_major_m, MARS.semi_major_m)):
        grid = Grid(body.geographic_crs(), Affine(1, 0, west, 0, -1, north), (north - south, east - west))
        truth = pixel_areas_m2(grid).sum() * grid.width
        assert surface_area_m2(body, boundary) == pytest.approx(truth, rel=1e-3)


def test_craters_are_numbered_from_the_largest():
    table = crater_table(pd.DataFrame({"lon": [1, 2], "lat": [0, 0], "radius_m": [5e3, 9e3], "confidence": [1, 0.5]}))
    assert table["FID"].tolist() == [0, 1]
    assert table["diameter_km"].tolist() == [18, 10]
