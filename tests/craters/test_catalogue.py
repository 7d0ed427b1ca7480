from __future__ import annotations

import json

import geopandas
import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
import shapely
from geopandas.testing import assert_geodataframe_equal

from cratermill.core.errors import InputError, WorkError
from cratermill.craters.catalogue import read_catalogue, write_catalogue
from cratermill.geo.bodies import get_body
from tests.mosaics import MERCURY

CORE = ["FID", "lon", "lat", "radius_m"]


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_ejmap_craters_with_rims(tmp_path):
    craters = geopandas.GeoDataFrame(
        {"crat_FID": [7, 3], "center_lon": [190.0, -20.0], "center_lat": [10.0, -80.0], "radius": [25e3, 4e3], "train": [1, 0]},
        geometry=[shapely.Point(-170, 10).buffer(1), shapely.Point(-20, -80).buffer(1)],
        crs=MERCURY.geographic_crs(),
    )
    for suffix in (".gpkg", ".shp"):
        path = tmp_path / f"fresh 'craters'{suffix}"
        craters.to_file(path)
        found = read_catalogue(path, MERCURY)
        assert list(found.columns[:4]) == CORE and list(found.FID) == [7, 3] and list(found.train) == [1, 0]
        np.testing.assert_allclose(found.lon, [-170, -20])
        np.testing.assert_allclose(found.radius_m, [25e3, 4e3])
        assert (found.geometry.geom_type == "Polygon").all() and "center_lon" in found
        with pytest.raises(InputError, match="2440530"):
            read_catalogue(path, get_body("mercury"))


@pytest.mark.parametrize(
    ("header", "row", "radius_m"),
    [
        ("Diameter (km),Latitude,Longitude", "12,5,200", 6e3),
        ("Lon,Lat,Diam_km", "200,5,12", 6e3),
        (",Unnamed: 0,Diameter (km),Long,Lat,tag", "0,0,12,200,5,standard", 6e3),
        ("CRATER_ID,LAT_CIRC_IMG,LON_CIRC_IMG,DIAM_CIRC_IMG", "00-1-000000,5,200,12", 6e3),
        ("CRATER_ID,LATITUDE_CIRCLE_IMAGE,LONGITUDE_CIRCLE_IMAGE,DIAM_CIRCLE_IMAGE", "01-000000,5,200,12", 6e3),
        ("crat_FID,center_lon,center_lat,radius,train", "0,200,5,6000,1", 6e3),
        ("FID;lon;lat;radius_m", "0;200;5;6000", 6e3),
        ("id\tlongitude\tlatitude\tradius_km", "0\t200\t5\t6", 6e3),
        ("X_coord,Y_coord,Diam_km,tag", "-160,5,12,standard", 6e3),
        ("Lon, Lat, diameter [m]", "200, 5, 12000", 6e3),
        ("Diameter (km),Latitude,Longitude (W)", "12,5,160", 6e3),
        ("lon_west,lat,radius_m", "-200,5,6000", 6e3),
    ],
)
def test_columns_of_many_tables(tmp_path, header, row, radius_m):
    found = read_catalogue(write(tmp_path / "a 'b' c.csv", f"{header}\n{row}\n"))
    assert found.FID.tolist() == [0] and found.lon[0] == pytest.approx(-160) and found.lat[0] == 5
    assert found.radius_m[0] == pytest.approx(radius_m) and found.crs is None
    with_body = read_catalogue(tmp_path / "a 'b' c.csv", get_body("moon"))
    assert with_body.geometry[0].equals(shapely.Point(found.lon[0], 5)) and with_body.crs is not None


def test_text_names_of_craters_stay_beside_row_numbers(tmp_path):
    path = write(tmp_path / "x.csv", "CRATER_ID,LAT_CIRC_IMG,LON_CIRC_IMG,DIAM_CIRC_IMG\n00-1,1,2,3\n00-2,1,2,3\n")
    found = read_catalogue(path)
    assert list(found.FID) == [0, 1] and list(found.CRATER_ID) == ["00-1", "00-2"]


def test_empty_lines_of_spreadsheets_are_no_craters(tmp_path):
    found = read_catalogue(write(tmp_path / "x.csv", "FID,lon,lat,radius_m,\n7,1,2,3000,\n3,1,2,3000,\n,,,,\n,,,,\n"))
    assert list(found.FID) == [7, 3]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".gpkg", ".shp", ".geojson"])
def test_written_lists_come_back(tmp_path, suffix):
    craters = pd.DataFrame({"FID": [4, 900], "lon": [-179.5, 20.25], "lat": [-89.0, 3.5], "radius_m": [1500.5, 90e3], "train": [1, 0]})
    path = write_catalogue(tmp_path / f"new 'list'{suffix}", craters, MERCURY)
    again = read_catalogue(path, MERCURY)
    pd.testing.assert_frame_equal(pd.DataFrame(again)[[*CORE, "train"]], craters, check_dtype=False)
    twice = read_catalogue(write_catalogue(path, again, MERCURY), MERCURY)
    assert list(twice.FID) == [4, 900]
    if suffix in (".gpkg", ".shp"):
        assert geopandas.read_file(path).crs is not None


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("crat_FID,center_lon,center_lat,radius\n", "lists no craters"),
        ("", "is empty"),
        ("crat_FID,center_lon,radius\n1,2,3000\n", "no column for the latitude; its columns: crat_FID, center_lon, radius"),
        ("crat_FID,center_lon,center_lat\n1,2,3\n", "no column for the size"),
        ("FID,lon,lat,radius_m\n1,2,3,4000\n1,5,6,7000\n2,5,6,7000\n", "FID 1 occurs more than once"),
        ("FID,lon,lat,radius_m\n1,2,3,4000\n2,5,95,7000\n", r"row 2: lat is .*95"),
        ("FID,lon,lat,radius_m\n1,2,3,4000\n2,east,5,7000\n", "row 2: lon is 'east'"),
        ("FID,lon,lat,radius_m\n1,,3,4000\n", "row 1: lon is blank"),
        ("FID,lon,lat,radius_m\n3,1,2,4000\n,2,3,4000\n", "row 2: FID is blank"),
        ("FID,lon,lat,radius_m\n3,1,2,4000\n7.5,2,3,4000\n", r"row 2: FID is 7\.5 \(1 such"),
        ("FID,lon,lat,radius_m\n3,1,2,4000\nA7,2,3,4000\n", "row 2: FID is 'A7'"),
        ("crat_FID,lon,lat,radius_m\nA,1,2,4000\nB,2,3,4000\n", "row 1: crat_FID is 'A'"),
        ("FID,lon,lat,radius_m\n1,2,inf,4000\n", r"row 1: lat is .*inf"),
        ("FID,lon,lat,radius_m\n1,900,3,4000\n", r"row 1: lon is .*900"),
        ("FID,lon,lat,radius_m\n1,2,3,0\n", "row 1: radius_m is 0"),
        ("FID,lon,lat,radius_m\n1,2,3,-5\n", r"row 1: radius_m is .*-5"),
        ("FID,lon,lat,radius\n1,2,3,4\n2,2,3,90\n", "these look like km"),
        ("FID,lon,lat,radius_km\n1,2,3,4\n2,2,3,9000000\n", "row 2: radius_km is 9e.06"),
        ('FID,lon,lat,radius_m\n1,2,3,4000\n"2,5,6', "can't be read"),
    ],
)
def test_bad_lists_are_refused_with_the_place(tmp_path, text, part):
    path = write(tmp_path / "a 'b'.csv", text)
    with pytest.raises(InputError, match=part) as raised:
        read_catalogue(path, get_body("mercury"))
    assert str(path) in str(raised.value) and raised.value.exit_code == 2


def test_units_can_be_told(tmp_path):
    path = write(tmp_path / "x.csv", "FID,lon,lat,radius\n1,2,3,4\n")
    assert read_catalogue(path, units="km").radius_m[0] == 4000
    assert read_catalogue(path, units="m").radius_m[0] == 4
    with pytest.raises(InputError, match="units='miles'"):
        read_catalogue(path, units="miles")


def test_missing_and_unknown_files(tmp_path):
    with pytest.raises(InputError, match="doesn't exist"):
        read_catalogue(tmp_path / "none.csv")
    for call in (lambda path: read_catalogue(path), lambda path: write_catalogue(path, pd.DataFrame())):
        with pytest.raises(InputError, match=r"unknown format '\.xls'"):
            call(write(tmp_path / "x.xls", ""))
    for name in ("broken.gpkg", "broken.shp"):
        with pytest.raises(InputError, match="can't be read"):
            read_catalogue(write(tmp_path / name, "no database"))
    (tmp_path / "odd.csv").write_bytes(b"FID,lon,lat,radius_m,n\x81me\n")
    with pytest.raises(InputError, match=r"not UTF-8 \(byte 0x81 in line 1\)"):
        read_catalogue(tmp_path / "odd.csv")


def test_rims_alone_give_centres(tmp_path):
    rims = geopandas.GeoDataFrame({"radius": [20e3]}, geometry=[shapely.Point(33, 44).buffer(0.3)], crs=MERCURY.geographic_crs())
    rims.to_crs(MERCURY.cylindrical_crs()).to_file(tmp_path / "rims.gpkg")
    found = read_catalogue(tmp_path / "rims.gpkg", MERCURY)
    np.testing.assert_allclose([found.lon[0], found.lat[0]], [33, 44], atol=1e-3)  # a circle of the plane is none on the body


def test_geojson_cannot_name_a_planet_and_is_believed(tmp_path):
    craters = pd.DataFrame({"FID": [1], "lon": [10.0], "lat": [20.0], "radius_m": [3000.0]})
    found = read_catalogue(write_catalogue(tmp_path / "x.geojson", craters, MERCURY), MERCURY)
    assert found.lat[0] == 20


def test_unwritable_folder_leaves_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    craters = pd.DataFrame({"FID": [1], "lon": [10.0], "lat": [20.0], "radius_m": [3000.0]})
    for name in ("x.csv", "x.gpkg", "x.shp", "x.scc"):
        with pytest.raises(WorkError, match="can't be written"):
            write_catalogue(tmp_path / "file" / name, craters, MERCURY)


@pytest.mark.parametrize(
    ("name", "body", "count"),
    [
        ("mercury_named_craters_km", "mercury", 337),
        ("moon_named_craters_km", "moon", 786),
        ("moon_head2010_gt20km", "moon", 5185),
        ("moon_lroc_5to20km", "moon", 19335),
    ],
)
def test_real_lists(real_data, name, body, count):
    found = read_catalogue(real_data(f"catalogues/{name}.csv"), get_body(body))
    assert len(found) == count and found.lon.between(-180, 180, inclusive="left").all() and found.FID.is_unique
    assert found.radius_m.between(2.4e3, 1.1e6).all()


def test_parquet_with_and_without_shapes(tmp_path, monkeypatch):
    """GeoParquet keeps the body, as a GeoPackage does that is written in pieces; a plain table is read by its columns."""
    monkeypatch.setattr("cratermill.craters.catalogue.BLOCK", 2)
    frame = pd.DataFrame({"FID": [5, 6, 7], "lon": [1.0, 2, 3], "lat": [4.0, 5, 6], "radius_m": [1e3, 2e3, 3e3], "note": ["a", None, "c"]})
    for suffix in (".parquet", ".gpkg"):
        path = write_catalogue(tmp_path / f"it's{suffix}", frame, MERCURY)
        found = read_catalogue(path, MERCURY)
        assert found[CORE].equals(frame[CORE]) and found["note"].isna().tolist() == [False, True, False]
        assert found.geometry.x.tolist() == [1, 2, 3]
        with pytest.raises(InputError, match="2440530"):
            read_catalogue(path, get_body("mercury"))
    whole = geopandas.read_parquet(tmp_path / "it's.parquet")
    assert whole.crs == MERCURY.geographic_crs() and whole.geometry.y.tolist() == [4, 5, 6]
    assert _geo(tmp_path / "it's.parquet") == ("geometry", ["Point"], [1, 4, 3, 6])
    frame.to_parquet(tmp_path / "plain.parquet")
    assert read_catalogue(tmp_path / "plain.parquet", MERCURY)[CORE].equals(frame[CORE])
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(InputError, match="broken.parquet can't be read"):
        read_catalogue(tmp_path / "broken.parquet")


def test_points_of_a_long_geojson_are_streamed_into_the_same_file(tmp_path, monkeypatch):
    values = {"radius_m": [1e3, 2e3, 3e3], "note": ["a", None, "c"], "flag": [True, False, True], "z": np.float32([0.1, np.nan, 2])}
    frame = pd.DataFrame({"FID": [5, 6, 7], "lon": [1.1, 2, 3], "lat": [4.0, 5, 6], **values})
    whole = write_catalogue(tmp_path / "one" / "list.geojson", frame, MERCURY).read_bytes()
    monkeypatch.setattr("cratermill.craters.catalogue.BLOCK", 2)
    monkeypatch.delattr("cratermill.craters.catalogue._to_file")
    assert write_catalogue(tmp_path / "two" / "list.geojson", frame, MERCURY).read_bytes() == whole


def _geo(path):
    about = json.loads(pyarrow.parquet.read_schema(path).metadata[b"geo"])
    column = about["columns"][about["primary_column"]]
    return about["primary_column"], column["geometry_types"], column["bbox"]


def test_rims_go_through_parquet_in_pieces_as_geopandas_would_read_and_write_them(tmp_path, monkeypatch):
    monkeypatch.setattr("cratermill.craters.catalogue.BLOCK", 2)
    monkeypatch.setattr("cratermill.craters.vectors.PIECE", 2)
    rims = [shapely.Point(1, 2).buffer(0.1), None, shapely.Point(3, 4).buffer(0.1), shapely.Point(5, 6, 7), shapely.Point(8, 9)]
    columns = {"lon": [1.0, 2, 3, 5, 8], "lat": [2.0, 3, 4, 6, 9], "radius_m": [6e3] * 5, "name": [None, None, "c", "d", "e"]}
    table = geopandas.GeoDataFrame({**columns, "rim": rims}, geometry="rim", crs=MERCURY.geographic_crs())
    path = write_catalogue(tmp_path / "rims.parquet", table)
    assert_geodataframe_equal(geopandas.read_parquet(path), table)
    assert _geo(path) == ("rim", ["Point", "Point Z", "Polygon"], pytest.approx([0.9, 1.9, 8, 9]))
    table.to_parquet(tmp_path / "whole.parquet")
    for again in (path, tmp_path / "whole.parquet"):
        found = read_catalogue(again, MERCURY)
        assert found.crs == table.crs and found.geometry.geom_equals(table.geometry).tolist() == [True, False, True, True, True]
        assert found.geometry[1] is None and found["name"].isna().tolist() == [True, True, False, False, False]
    bare = table.iloc[4:].set_crs(None, allow_override=True)
    assert read_catalogue(write_catalogue(tmp_path / "bare.parquet", bare), MERCURY).geometry.x.tolist() == [8]
    table.iloc[4:].to_parquet(tmp_path / "numbers.parquet", geometry_encoding="geoarrow")
    assert read_catalogue(tmp_path / "numbers.parquet", MERCURY).geometry.x.tolist() == [8]


@pytest.mark.parametrize(("factor", "said"), [(np.pi / 180, True), (1.0, False)])
def test_angles_that_could_be_radians_are_said(tmp_path, capsys, factor, said):
    lon, lat = np.linspace(-179, 179, 40) * factor, np.linspace(-80, 80, 40) * factor
    rows = "".join(f"{x},{y},5000\n" for x, y in zip(lon, lat, strict=True))
    read_catalogue(write(tmp_path / "list.csv", f"lon,lat,radius_m\n{rows}"))
    assert ("as angles in radians would" in capsys.readouterr().err) == said
