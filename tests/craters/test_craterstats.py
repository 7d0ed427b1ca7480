from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cratermill.core.errors import InputError
from cratermill.craters.catalogue import read_catalogue, write_catalogue
from cratermill.craters.craterstats import surface_area_m2
from cratermill.geo.bodies import Body, get_body

SCC = """# Spatial crater count
#
# Date of measurement = 08.02.2010
# Ellipsoid axes:
a_axis_radius = 3396.19 <km>
b_axis_radius = 3396.19 <km>
c_axis_radius = 3376.2 <km>
coordinate_system_name = Mars_2000
#
unit_boundary = {vertex,sub_area,tag,lon,lat
1\t1\text\t-126.97\t17.35
2\t1\text\t-124.45\t18.94
}
#
Total_area = 224669.2530342 <km^2>
#
crater = {diam,lon,lat
33.5885919331\t-126.043061966\t16.8124694414
40.4050731929\t234.5\t16.95
}
"""


def test_scc_of_cratertools(tmp_path):
    path = tmp_path / "it's a count.scc"
    path.write_text(SCC)
    craters = read_catalogue(path, get_body("mars"))
    np.testing.assert_allclose(craters.radius_m, [33588.5919331 / 2, 40405.0731929 / 2])
    np.testing.assert_allclose(craters.lon, [-126.043061966, -125.5])
    with pytest.raises(InputError, match="another ellipsoid"):
        read_catalogue(path, get_body("moon"))


def test_opencratertool_spelling_and_brace_behind_the_last_row(tmp_path):
    path = tmp_path / "x.scc"
    path.write_text("a-axis radius = 1737.4 <km>\ncrater = {diam, fraction, lon, lat, topo_scale_factor\n5.0 1 10 20 1\n6.0 0.5 11 21 1}\n")
    craters = read_catalogue(path, get_body("moon"))
    assert list(craters.radius_m) == [2500, 3000] and list(craters.fraction.astype(float)) == [1, 0.5]


def test_diam_without_positions_is_no_crater_list_for_maps(tmp_path):
    path = tmp_path / "x.diam"
    path.write_text("# area, km^2\narea = 100.\n#\ncrater = {diameter\n1.1\n2.3\n}\n")
    with pytest.raises(InputError, match="no column for the longitude and the latitude"):
        read_catalogue(path)


@pytest.mark.parametrize("suffix", [".scc", ".diam"])
def test_written_counts_come_back(tmp_path, suffix):
    craters = pd.DataFrame({"FID": [4, 9], "lon": [-179.5, 20.25], "lat": [-89.0, 3.5], "radius_m": [1500.5, 90e3]})
    path = write_catalogue(tmp_path / f"a b{suffix}", craters, get_body("mars"))
    again = read_catalogue(path, get_body("mars"))
    for column in ("lon", "lat", "radius_m"):
        np.testing.assert_allclose(again[column], craters[column], atol=1e-3)
    assert f"{surface_area_m2(get_body('mars')) / 1e6:.6f}" in path.read_text()


def test_area_of_bodies_and_boundaries():
    assert surface_area_m2(get_body("moon")) == pytest.approx(4 * np.pi * 1737400**2)
    for body in (get_body("mars"), get_body("vesta"), Body("egg", 2.0e5, 2.5e5)):
        # Both hemispheres by the geodesic library, with the equator as boundary.
        half = abs(body.geod.polygon_area_perimeter(np.arange(0, 360, 1.0), np.zeros(360))[0])
        assert surface_area_m2(body) == pytest.approx(2 * half, rel=1e-9)
    corners = [(0, 0), (10, 0), (10, 10), (0, 10)]
    assert surface_area_m2(get_body("moon"), corners) == pytest.approx((1737400 * np.radians(10)) ** 2, rel=0.02)


def test_a_boundary_is_written_and_its_area_counted(tmp_path):
    craters = pd.DataFrame({"lon": [5.0], "lat": [5.0], "radius_m": [1e4]})
    corners = [(0, 0), (10, 0), (10, 10), (0, 10)]
    text = write_catalogue(tmp_path / "x.scc", craters, get_body("moon"), boundary=corners).read_text()
    assert "5\t1\text\t0\t0" in text and f"Total_area = {surface_area_m2(get_body('moon'), corners) / 1e6:.6f} <km^2>" in text


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("a = 5\n", "no crater table"),
        ("crater = {diam, lon, lat\n5 6\n}\n", "crater row '5 6'"),
        ("crater = {diam, lon, lat\nfive 6 7\n}\n", "row 1: diam is 'five'"),
        ("a_axis_radius = big\ncrater = {diam, lon, lat\n5 6 7\n}\n", "a_axis_radius is 'big'"),
        ("crater = {diam, lon, lat\n}\n", "lists no craters"),
        ("crater = {diam, lon, lat\n5,5 6 7\n}\n", "line 2: the crater row '5,5 6 7' has commas inside its values"),
        ("crater = {diam, lon, lat\n5 6 7\n", "ends in the table crater that begins in line 1"),
        ("crater = {diam, lon, lat\n5 6 7\n}\ncrater = {diam, lon, lat\n5 6 7\n}\n", "line 4: a second table crater"),
        ("# x\ncrater = {diam, lon, lon\n5 6 7\n}\n", "line 2: the column lon stands twice"),
        ("crater = {diam, lon, lat\n5 6 7\n5 6 7 8\n}\n", "line 3: the crater row '5 6 7 8' has 4 values"),
    ],
)
def test_broken_counts(tmp_path, text, part):
    path = tmp_path / "x.scc"
    path.write_text(text)
    with pytest.raises(InputError, match=part):
        read_catalogue(path)
