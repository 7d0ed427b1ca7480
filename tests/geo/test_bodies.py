from __future__ import annotations

import sqlite3
from contextlib import closing

import geopandas
import numpy as np
import pandas as pd
import pyproj
import pytest
import rasterio
from affine import Affine
from shapely.geometry import MultiPolygon, box

from cratermill.core.errors import InputError
from cratermill.craters.catalogue import write_catalogue
from cratermill.families.ejecta.vector_files import write_points, write_polygons
from cratermill.geo.bodies import Body, body_of_crs, get_body, known_bodies, require_same_body, wrap_lon
from cratermill.geo.cog import write_cog
from cratermill.geo.grid import Grid
from cratermill.geo.mosaic import Mosaic
from tests.mosaics import write_mosaic


@pytest.mark.parametrize("name", ["mercury", "moon", "mars", "ceres", "vesta", "ganymede", "callisto", "europa"])
def test_every_body_has_radii_a_source_and_crs_that_keep_them(name):
    body = get_body(name.title())
    assert body.name == name.title() and len(body.source) > 20
    assert body.semi_major_m >= body.semi_minor_m > 100_000
    for crs in (body.geographic_crs(), body.cylindrical_crs(180.0), body.azimuthal_crs(200.0, -33.0)):
        assert body_of_crs(crs).same_figure(body)
        assert body_of_crs(crs).name == body.name


@pytest.mark.parametrize("name", ["mercury", "mars"])
def test_ellipsoid_survives_a_geotiff(tmp_path, name):
    body = get_body(name)
    for number, crs in enumerate((body.geographic_crs(), body.cylindrical_crs(), body.azimuthal_crs(10.5, 45.25))):
        path = tmp_path / f"it's {number}.tif"
        with rasterio.open(
            path, "w", driver="GTiff", width=2, height=2, count=1, dtype="uint8", crs=crs.to_wkt(), transform=Affine(1, 0, 0, 0, -1, 0)
        ):
            pass
        with rasterio.open(path) as dataset:
            assert body_of_crs(dataset.crs).same_figure(body)


def test_inverse_flattening_not_eccentricity_squared():
    mars = get_body("mars")
    assert mars.azimuthal_crs(0, 0).ellipsoid.inverse_flattening == pytest.approx(3396190 / (3396190 - 3376200))
    assert mars.azimuthal_crs(0, 0).ellipsoid.semi_minor_metre == pytest.approx(3376200)


def test_authority_codes_are_understood():
    assert body_of_crs("IAU_2015:19900").semi_major_m == 2440530
    assert not body_of_crs("IAU_2015:49901").is_sphere


def test_distance_equals_geodesics_on_sphere_and_ellipsoid():
    random = np.random.default_rng(1)
    lon1, lon2 = random.uniform(-180, 180, (2, 500))
    lat1, lat2 = random.uniform(-90, 90, (2, 500))
    for body in (get_body("moon"), get_body("vesta")):
        wanted = pyproj.Geod(a=body.semi_major_m, b=body.semi_minor_m).inv(lon1, lat1, lon2, lat2)[2]
        np.testing.assert_allclose(body.distance_m(lon1, lat1, lon2, lat2), wanted, rtol=1e-10, atol=1e-6)


def test_distance_of_tiny_antipodal_and_broadcast():
    moon = get_body("moon")
    assert moon.distance_m(10, 20, 10, 20 + 1e-7) == pytest.approx(np.radians(1e-7) * 1737400, rel=1e-6)
    assert moon.distance_m(30, 40, -150, -40) == pytest.approx(np.pi * 1737400)
    assert moon.distance_m(0, 0, np.array([[0.0, 90.0]]), np.array([[0.0], [90.0]])).shape == (2, 2)
    assert get_body("mars").distance_m(0, 0, [0, 1], [0, 1]).shape == (2,)


def test_other_radius_is_refused_with_both_radii():
    with pytest.raises(InputError) as raised:
        require_same_body("+proj=longlat +R=2439400", get_body("mercury").geographic_crs(), 'crater list "a b.csv"')
    message = str(raised.value)
    assert "2439400" in message and "2440530" in message and 'crater list "a b.csv"' in message and raised.value.exit_code == 2


def test_rounded_flattening_is_the_same_body():
    require_same_body(get_body("mars"), Body("Mars", 3396190.0, 3376200.0 + 1e-4), "a mask")


def test_unknown_name_suggests_the_nearest():
    with pytest.raises(InputError, match="mercury"):
        get_body("mercuri")


def test_body_from_a_yaml_file(tmp_path):
    path = tmp_path / "my 'own' body.yaml"
    path.write_text("name: Bennu\nsemi_major_m: 245.0\nsemi_minor_m: 245.0\nsource: OSIRIS-REx\n")
    assert get_body(path).half_circumference_m == pytest.approx(np.pi * 245)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("name: X\nsemi_major_m: 1.0\n", "keys"),
        ("- 1\n", "list"),
        ("name: [", "yaml"),
        ("name: X\nsemi_major_m: many\nsemi_minor_m: 5.0\nsource: s\n", "many"),
        ("name: X\nsemi_major_m: .nan\nsemi_minor_m: 5.0\nsource: s\n", "nan"),
        ("name: X\nsemi_major_m: -5.0\nsemi_minor_m: 5.0\nsource: s\n", "-5"),
    ],
)
def test_bad_body_files(tmp_path, text, part):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=part):
        get_body(path)


def test_missing_body_file_and_missing_crs(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.yaml"):
        get_body(tmp_path / "nowhere.yaml")
    for nothing in (None, ""):
        with pytest.raises(InputError, match="no CRS"):
            body_of_crs(nothing)
    with pytest.raises(InputError, match="not understood"):
        body_of_crs("EPSG:notanumber")


def test_impossible_centres_are_refused():
    for lon, lat in ((0, 90.5), (float("nan"), 0), (0, float("inf")), (10_000, 0)):
        with pytest.raises(InputError, match="centre"):
            get_body("moon").azimuthal_crs(lon, lat)


def test_wrap_lon():
    assert wrap_lon(180) == -180 and wrap_lon(359) == -1 and isinstance(wrap_lon(5), float)
    np.testing.assert_allclose(wrap_lon(np.array([0, 190, -190, 540])), [0, -170, 170, -180])


def test_no_body_file_is_left_unread():
    assert len(known_bodies()) >= 8


@pytest.mark.parametrize("code", [30100, 30110, 49900, 49910])
def test_outputs_keep_the_authority_of_a_mosaics_own_crs(tmp_path, code):
    """A GeoTIFF keeps only the name of the CRS; GeoPackages in it, and in its degrees, have the code again."""
    published = pyproj.CRS.from_user_input(f"IAU_2015:{code}")
    step = 1.0 if published.is_geographic else 30_000.0
    grid = Grid(published, Affine(step, 0, -20 * step, 0, -step, 10 * step), (20, 40))
    path = write_mosaic(tmp_path / "x.tif", np.ones((1, *grid.shape), np.uint8), grid)
    own = Mosaic.open(path).grid
    degrees = f"IAU_2015:{code // 100}00"
    assert own.crs == published and own.body.authority == degrees and own.body.geographic_crs() == pyproj.CRS.from_user_input(degrees)
    write_polygons(tmp_path / "a.gpkg", pd.DataFrame({"a": [1]}), [MultiPolygon([box(0, 0, 1, 2)])], own)
    write_points(tmp_path / "b.gpkg", pd.DataFrame({"lon": [3.0], "lat": [4.0]}), own)
    write_catalogue(tmp_path / "c.gpkg", pd.DataFrame({"lon": [3.0], "lat": [4.0], "radius_m": [9e3]}), own.body)
    for name, wanted in (("a", f"IAU_2015:{code}"), ("b", degrees), ("c", degrees)):
        frame = geopandas.read_file(tmp_path / f"{name}.gpkg")
        assert ":".join(frame.crs.to_authority()) == wanted
        assert frame.geometry.iloc[0].bounds[:2] == ((0, 0) if name == "a" else (3, 4))
        with closing(sqlite3.connect(tmp_path / f"{name}.gpkg")) as file:
            assert (wanted.split(":")[0], int(wanted.split(":")[1])) in file.execute(
                "SELECT organization, organization_coordsys_id FROM gpkg_spatial_ref_sys"
            ).fetchall()
    with rasterio.open(write_cog(tmp_path / "y.tif", np.ones(grid.shape, np.uint8), own)) as cog:
        assert cog.crs.to_authority() == ("IAU_2015", str(code))


@pytest.mark.parametrize("code", [49902, 49912])
def test_planetocentric_latitudes_on_an_ellipsoid_are_refused(tmp_path, code):
    crs = pyproj.CRS.from_user_input(f"IAU_2015:{code}")
    with pytest.raises(InputError, match="planetocentric latitudes on an ellipsoid"):
        body_of_crs(crs)
    place = {"crs": crs.to_wkt(), "transform": Affine(1, 0, 0, 0, -1, 0)}
    with rasterio.open(tmp_path / "x.tif", "w", driver="GTiff", width=4, height=4, count=1, dtype="uint8", **place) as file:
        file.write(np.ones((1, 4, 4), np.uint8))
    with pytest.raises(InputError, match="planetocentric latitudes on an ellipsoid"):
        Mosaic.open(tmp_path / "x.tif")
    assert body_of_crs("IAU_2015:49901").semi_minor_m == 3376200  # planetographic
