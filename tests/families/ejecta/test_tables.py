"""Areas against pyproj's geodesic polygons, extents and overlaps on hand-made masks."""

import numpy as np
import pytest
from affine import Affine

from cratermill.bodies import Body
from cratermill.errors import InputError
from cratermill.families.ejecta import tables
from cratermill.families.ejecta.blend import Layer
from cratermill.grid import Grid, Window

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
    assert tables.pixel_areas_m2(grid)[row] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body.name)
def test_all_pixels_make_the_whole_body(body):
    grid = geographic(body)
    whole = abs(body.geod.polygon_area_perimeter(np.arange(0, 360, 1.0), np.zeros(360))[0]) * 2
    assert tables.pixel_areas_m2(grid).sum() * grid.width == pytest.approx(whole, rel=1e-9)


def test_metric_and_geographic_grids_agree_and_rows_beyond_the_pole_are_empty():
    body = BODIES[0]
    step = 2 * body.half_circumference_m / 360
    metric = Grid(body.cylindrical_crs(), Affine(step, 0, -180 * step, 0, -step, 91 * step), (182, 360))
    areas = tables.pixel_areas_m2(metric)
    assert areas[0] == 0 and areas[-1] == 0
    np.testing.assert_allclose(areas[1:-1], tables.pixel_areas_m2(geographic(body, 180)), rtol=1e-9)


def test_a_grid_that_is_not_cylindrical_is_refused():
    body = BODIES[0]
    with pytest.raises(InputError, match="cylindrical"):
        tables.pixel_areas_m2(Grid(body.azimuthal_crs(0, 0), Affine(1000, 0, 0, 0, -1000, 0), (4, 4)))


def test_overlaps_owned_and_clean_areas_add_up():
    areas = np.array([1e6, 2e6, 3e6])
    masks = np.zeros((3, 3, 4), bool)
    masks[0, :, :2], masks[1, 1:, 1:3], masks[2, 2, 3] = True, True, True
    owner = np.where(masks[0], 3, np.where(masks[1], 5, np.where(masks[2], 9, -1)))
    overlaps = tables.Overlaps()
    windows = [Window(0, 0, 3, 2), Window(1, 1, 2, 2), Window(2, 3, 1, 1)]
    layers = [Layer(fid, w, mask[w.slices], mask[w.slices]) for fid, w, mask in zip([3, 5, 9], windows, masks, strict=True)]
    overlaps.add(layers, owner, areas)
    facts = [
        {"crat_FID": fid, "lon": 0.0, "lat": 0.0, "radius_m": 100.0, "tiles": 4, "connected": 1}
        | {"mean_extent_m": 50.0, "max_extent_m": 200.0}
        | {"area_km2": float(mask.sum(1) @ areas) / 1e6}
        for fid, mask in zip([3, 5, 9], masks, strict=True)
    ]
    pairs = tables.overlap_table(facts, overlaps)
    assert pairs.to_dict("records") == [{"FID_a": 3, "FID_b": 5, "overlap_km2": 5.0, "share_of_a": 5 / 12, "share_of_b": 0.5}]
    craters = tables.crater_table(facts[::-1], overlaps)
    assert craters["crat_FID"].tolist() == [3, 5, 9]
    assert craters["area_km2"].tolist() == [12.0, 10.0, 3.0] and craters["owned_km2"].tolist() == [12.0, 5.0, 3.0]
    assert craters["shared_fraction"].tolist() == [5 / 12, 0.5, 0.0] and craters["max_extent_radii"].tolist() == [2.0] * 3
    clean = tables.clean_table(craters)
    assert clean["given_km2"].tolist() == [0.0, 5.0, 0.0] and clean["area_km2"].sum() == pytest.approx(20.0)
