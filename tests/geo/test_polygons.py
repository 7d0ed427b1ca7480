"""Polygons on azimuthal planes: where a point lies in one is what its distance says, wherever the plane is centred."""

import geopandas
import numpy as np
import pandas as pd
import pyogrio
import pytest
import shapely

from cratermill.core.errors import InputError
from cratermill.geo.bodies import Body, body_of_crs
from cratermill.geo.polygons import read_polygons, to_degrees, to_plane

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


def drawn(crs=None) -> geopandas.GeoDataFrame:
    return geopandas.GeoDataFrame({"crat_FID": [3]}, geometry=[shapely.box(10, 5, 12, 6)], crs=crs or BODY.geographic_crs())


@pytest.mark.parametrize("heights", [False, True])
def test_geojson_lies_on_the_mosaics_body(tmp_path, heights):
    frame = drawn("EPSG:4979" if heights else "EPSG:4326")
    frame = frame.set_geometry(shapely.force_3d(frame.geometry.values) if heights else frame.geometry.values, crs=frame.crs)
    (tmp_path / "x.geojson").write_text(frame.to_json())
    read = read_polygons(tmp_path / "x.geojson", BODY)
    assert read.crs == BODY.geographic_crs() and read.geometry[0].bounds == (10, 5, 12, 6)


def test_one_layer_of_shapes_is_read_whatever_else_the_file_holds(tmp_path):
    path = tmp_path / "x.gpkg"
    drawn().to_file(path, layer="ejecta")
    pyogrio.write_dataframe(pd.DataFrame({"styleName": ["red"]}), path, layer="layer_styles", append=True)
    assert read_polygons(path, BODY)["crat_FID"].tolist() == [3]
    drawn().to_file(path, layer="draft", mode="a")
    with pytest.raises(InputError, match="has 2 layers: ejecta, draft"):
        read_polygons(path, BODY)


@pytest.mark.parametrize(("crs", "said"), [("IAU_2015:49901", True), ("IAU_2015:49900", False)])
def test_a_lost_sense_of_longitudes_is_said(tmp_path, capsys, crs, said):
    frame = drawn(crs)
    frame.to_file(tmp_path / "x.gpkg")
    read_polygons(tmp_path / "x.gpkg", body_of_crs(frame.crs))
    assert ("counts longitudes westwards" in capsys.readouterr().err) == said


def test_text_that_is_not_what_the_shapefile_says_is_read_and_said(tmp_path, capsys):
    frame = drawn().assign(name="La P\u00e9rouse")
    frame.to_file(tmp_path / "x.shp", encoding="cp1252")
    (tmp_path / "x.cpg").write_text("UTF-8")
    assert read_polygons(tmp_path / "x.shp", BODY)["name"].tolist() == ["La P\u00e9rouse"]
    assert "was read as Windows-1252" in capsys.readouterr().err


def test_what_was_drawn_beyond_a_pole_is_cut_off_and_what_is_nowhere_refused():
    beyond = geopandas.GeoDataFrame(geometry=[shapely.box(0, 60, 90, 100), shapely.box(0, 10, 5, 20)], crs=BODY.geographic_crs())
    cut = to_degrees(beyond, BODY).geometry
    assert cut[0].bounds == (0, 60, 90, 90) and cut[1].equals(beyond.geometry[1])
    assert to_plane(cut[0], BODY, 45.0, 80.0).contains(shapely.Point(0, 0))
    nowhere = geopandas.GeoDataFrame(geometry=[shapely.box(0, 10, 5, 20), shapely.box(0, 95, 5, 99)], crs=BODY.geographic_crs())
    with pytest.raises(InputError, match="polygon 2 reaches beyond the body"):
        to_degrees(nowhere, BODY)
