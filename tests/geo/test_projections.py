from __future__ import annotations

import numpy as np
import pyproj
import pytest

from cratermill.core.errors import InputError
from cratermill.geo.bodies import get_body
from cratermill.geo.projections import AzimuthalSphere, General, Linear, projection_of

CENTRES = [(0, 0), (179.99, 45), (-180, -60), (33, 90), (33, -90), (12.5, 89.999)]


@pytest.mark.parametrize("centre", CENTRES)
@pytest.mark.parametrize("name", ["mercury", "mars"])
def test_azimuthal_agrees_with_pyproj_both_ways(name, centre):
    body = get_body(name)
    crs = body.azimuthal_crs(*centre)
    projection = projection_of(crs)
    assert isinstance(projection, AzimuthalSphere if body.is_sphere else General)
    reach = body.semi_minor_m * np.pi * 0.97
    distance, direction = np.random.default_rng(2).uniform([[1.0], [0.0]], [[reach], [2 * np.pi]], (2, 2000))
    x, y = distance * np.sin(direction), distance * np.cos(direction)
    lon, lat = projection.to_lonlat(x, y)
    there = pyproj.Transformer.from_crs(crs, body.geographic_crs(), always_xy=True).transform(x, y)
    assert body.distance_m(lon, lat, *there).max() < 1e-3
    again = projection.to_xy(lon, lat)
    assert np.hypot(again[0] - x, again[1] - y).max() < 1e-2


def test_distance_from_the_centre_is_true():
    for body in (get_body("moon"), get_body("mars")):
        projection = projection_of(body.azimuthal_crs(-75, 62))
        lon, lat = projection.to_lonlat(np.array([300e3, -1e6, 10.0]), np.array([400e3, 2e6, 0.0]))
        np.testing.assert_allclose(body.distance_m(-75, 62, lon, lat), [500e3, np.hypot(1e6, 2e6), 10], rtol=1e-9)


def test_nothing_lies_beyond_the_antipode():
    moon = get_body("moon")
    projection = projection_of(moon.azimuthal_crs(0, 20))
    lon, lat = projection.to_lonlat(np.array([0.0, moon.half_circumference_m * 1.001]), np.array([0.0, 0.0]))
    assert np.isfinite(lon[0]) and np.isnan(lon[1]) and np.isnan(lat[1])
    mars = projection_of(get_body("mars").azimuthal_crs(0, 90))
    assert np.isnan(mars.to_lonlat(np.array([0.0]), np.array([-np.pi * 3396190]))[1][0])


def test_centre_and_its_meridian_are_exact_at_the_poles():
    projection = projection_of(get_body("moon").azimuthal_crs(25, 90))
    lon, lat = projection.to_lonlat(np.array([0.0, 0.0]), np.array([-1000.0, -1e6]), 25.0)
    assert list(lon) == [0.0, 0.0] and lat[0] < 90


@pytest.mark.parametrize(
    ("crs", "x", "y"),
    [
        ("IAU_2015:30100", 12.5, -40.0),
        ("IAU_2015:49901", -12.5, -40.0),  # planetographic: longitude runs west
        ("+proj=longlat +R=1737400 +pm=20", -7.5, -40.0),
        ("+proj=eqc +R=1737400 +units=km", np.radians(12.5) * 1737.4, np.radians(-40) * 1737.4),
        ("+proj=eqc +R=1000000 +lat_ts=60 +lon_0=10 +x_0=5 +y_0=7", np.radians(2.5) * 5e5 + 5, np.radians(-40) * 1e6 + 7),
        ("+proj=eqc +R=1000000 +lon_0=-179.5", np.radians(-168) * 1e6, np.radians(-40) * 1e6),
    ],
)
def test_plate_carree_of_every_dialect_is_linear(crs, x, y):
    projection = projection_of(crs)
    assert isinstance(projection, Linear)
    found = projection.to_xy(12.5, -40.0)
    turn = 360 * projection.x_per_degree
    off = found[0] - x
    assert off - np.round(off / turn) * turn == pytest.approx(0, abs=1e-6) and found[1] == pytest.approx(y)
    assert projection.to_lonlat(*found) == pytest.approx((12.5, -40.0))


@pytest.mark.parametrize("crs", ["IAU_2015:30130", "+proj=sinu +R=1737400", "+proj=merc +R=1737400", "+proj=stere +lat_0=90 +R=1737400"])
def test_other_projections_go_through_pyproj(crs):
    projection = projection_of(crs)
    assert isinstance(projection, General)
    x, y = projection.to_xy(np.array([20.0, 30.0]), np.array([70.0, 80.0]), 5.0)
    lon, lat = projection.to_lonlat(x, y, 5.0)
    np.testing.assert_allclose(lon, [20, 30], atol=1e-7)
    np.testing.assert_allclose(lat, [70, 80], atol=1e-7)


def test_planetocentric_latitudes_on_an_ellipsoid_are_refused():
    with pytest.raises(InputError, match="planetocentric latitudes on an ellipsoid"):
        projection_of("IAU_2015:49902")


def test_shifted_azimuthal_is_not_mistaken_for_a_plain_one():
    assert isinstance(projection_of("+proj=aeqd +R=1737400 +lat_0=10 +lon_0=20 +x_0=1000"), General)
