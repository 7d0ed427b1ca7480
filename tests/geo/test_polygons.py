"""Polygons on azimuthal planes: where a point lies in one is what its distance says, wherever the plane is centred."""

import numpy as np
import shapely

from cratermill.geo.bodies import Body
from cratermill.geo.polygons import to_plane

BODY = Body("test body", 1_000_000.0, 1_000_000.0)


def disc(lon: float, lat: float, radius_m: float) -> shapely.Polygon:
    """In degrees, with a jump where it crosses the seam."""
    around = np.linspace(0, 360, 90, endpoint=False)
    lons, lats, _ = BODY.geod.fwd(np.full(90, lon), np.full(90, lat), around, np.full(90, radius_m))
    return shapely.Polygon(np.column_stack([lons, lats]))


def test_a_disc_holds_the_centre_if_it_reaches_it():
    """Also over the poles, across the seam, and around the point opposite to the centre, where a plane turns shapes inside out."""
    random = np.random.default_rng(0)
    held = 0
    for _ in range(200):
        lon, lat = random.uniform(-180, 180), np.degrees(np.arcsin(random.uniform(-1, 1)))
        centre = (lon + 180 + random.normal(0, 30), -lat) if random.random() < 0.5 else (lon + random.normal(0, 30), lat)
        radius_m = random.uniform(0.05, 0.4) * BODY.half_circumference_m
        inside = BODY.distance_m(lon, lat, *centre) < radius_m
        assert to_plane(disc(lon, lat, radius_m), BODY, *centre).contains(shapely.Point(0, 0)) == inside, (lon, lat, centre, radius_m)
        held += inside
    assert 40 < held < 160
