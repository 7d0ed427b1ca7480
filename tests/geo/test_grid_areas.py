"""Areas of pixels against pyproj's geodesic polygons and the closed form of the whole surface."""

import numpy as np
import pytest
from affine import Affine

from cratermill.core.errors import InputError
from cratermill.geo.bodies import Body
from cratermill.geo.grid import Grid, pixel_areas_m2

BODIES = [Body("sphere", 2439400.0, 2439400.0), Body("oblate", 3396190.0, 3376200.0)]


def geographic(body, rows=90, top=90.0):
    step = 180 / rows
    return Grid(body.geographic_crs(), Affine(step, 0, -180, 0, -step, top), (rows, 2 * rows))


def polygon_m2(body, west, east, south, north, points=4001):
    """Area between two meridians and two parallels, these followed with many points: geodesics would cut the corner."""
    lon = np.linspace(west, east, points)
    ring = np.concatenate([lon, lon[::-1]]), np.concatenate([np.full(points, south), np.full(points, north)])
    return abs(body.geod.polygon_area_perimeter(*ring)[0])


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body.name)
@pytest.mark.parametrize("row", [0, 7, 44, 89])
def test_pixel_area_equals_the_geodesic_polygon(body, row):
    grid = geographic(body)
    north = 90 - 2 * row
    expected = polygon_m2(body, 10, 12, north - 2, north)
    assert pixel_areas_m2(grid)[row] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body.name)
def test_all_pixels_make_the_whole_body(body):
    grid = geographic(body)
    whole = abs(body.geod.polygon_area_perimeter(np.arange(0, 360, 1.0), np.zeros(360))[0]) * 2
    assert pixel_areas_m2(grid).sum() * grid.width == pytest.approx(whole, rel=1e-9)


def test_metric_and_geographic_grids_agree_and_rows_beyond_the_pole_are_empty():
    body = BODIES[0]
    step = 2 * body.half_circumference_m / 360
    metric = Grid(body.cylindrical_crs(), Affine(step, 0, -180 * step, 0, -step, 91 * step), (182, 360))
    areas = pixel_areas_m2(metric)
    assert areas[0] == 0 and areas[-1] == 0
    np.testing.assert_allclose(areas[1:-1], pixel_areas_m2(geographic(body, 180)), rtol=1e-9)


def test_a_grid_that_is_not_cylindrical_is_refused():
    body = BODIES[0]
    with pytest.raises(InputError, match="cylindrical"):
        pixel_areas_m2(Grid(body.azimuthal_crs(0, 0), Affine(1000, 0, 0, 0, -1000, 0), (4, 4)))


@pytest.mark.parametrize("body", [*BODIES, Body("flat", 285000.0, 229000.0)], ids=lambda body: body.name)
def test_all_pixels_make_the_closed_form_of_the_surface(body):
    areas = pixel_areas_m2(geographic(body))
    a, b = body.semi_major_m, body.semi_minor_m
    eccentricity = np.sqrt(1 - (b / a) ** 2)
    surface = 4 * np.pi * a**2
    if eccentricity:
        surface = 2 * np.pi * a**2 * (1 + (b / a) ** 2 * np.arctanh(eccentricity) / eccentricity)
    assert areas.sum() * 180 == pytest.approx(surface, rel=1e-9)
    assert np.allclose(areas, areas[::-1])
