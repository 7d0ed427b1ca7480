"""What columns of crater lists mean: units, sizes said twice, numbers that are none, names for FIDs, flags, coordinate systems."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cratermill.core.errors import InputError
from cratermill.craters.catalogue import read_catalogue
from cratermill.craters.columns import flags
from cratermill.geo.bodies import Body, get_body

MOON = get_body("moon")
MARIA = "diameter,lat,lon\n96.07,9.62,-20.08\n230.77,-58.4,-14.4\n29.49,-43,11\n1145.53,32.8,-15.6\n2592.24,18.4,-57.4\n"


def read(tmp_path, text, **options):
    path = tmp_path / "it's a list.csv"
    path.write_text(text, encoding="utf-8")
    return read_catalogue(path, MOON, **options)


def test_basins_among_craters_hide_no_kilometres(tmp_path):
    with pytest.raises(InputError, match="names no unit. Metres are expected, these look like km") as error:
        read(tmp_path, MARIA)
    assert "units: km" in error.value.next_step
    np.testing.assert_allclose(read(tmp_path, MARIA, units="km").radius_m[0], 48035.0)


@pytest.mark.parametrize(
    ("radii", "pixel_m", "part"),
    [
        ("600 700 800", 5000.0, "half of the diameters are below 1400, and a pixel of the mosaic has 5000 m"),
        ("1 60000 70000", 5000.0, "the smallest diameter is 2, and a pixel"),
        ("600 700 800", 100.0, None),
        ("600 700 800", None, None),
    ],
)
def test_sizes_without_a_unit_are_judged_by_the_mosaics_pixel(tmp_path, radii, pixel_m, part, capsys):
    text = "lon,lat,radius\n" + "".join(f"1,{row},{radius}\n" for row, radius in enumerate(radii.split()))
    if part:
        with pytest.raises(InputError, match=part):
            read(tmp_path, text, pixel_m=pixel_m)
    else:
        assert list(read(tmp_path, text, pixel_m=pixel_m).radius_m) == [600, 700, 800]
        assert "radius names no unit: taken as metres, 600 to 800" in capsys.readouterr().err


def test_units_against_the_columns_name_are_refused(tmp_path):
    with pytest.raises(InputError, match="sizes are in m, the name of the column Diam_km says otherwise"):
        read(tmp_path, "lon,lat,Diam_km\n1,2,3\n", units="m")


@pytest.mark.parametrize(
    ("header", "row", "radius_m"),
    [
        ("radius_m,radius_km", "5000,5", 5000),
        ("radius_m,diam_km", "5000,10.3", 5000),  # rounded
        ("diameter,radius_km", "10,5", 5000),  # whichever unit 'diameter' has
        ("radius_m,radius_km", "5000,", 5000),
        ("radius_m,radius_km", "5000,6", None),
        ("radius_m,diam_km", "5000,5", None),
        ("radius_km,diameter", "5,5", None),
    ],
)
def test_two_sizes_of_a_crater_agree_or_are_refused(tmp_path, header, row, radius_m):
    text = f"lon,lat,{header}\n1,2,{'7000,7' if header.endswith('m,radius_km') else row}\n1,3,{row}\n"
    if radius_m:
        assert read(tmp_path, text).radius_m[1] == radius_m
    else:
        with pytest.raises(InputError, match="they contradict each other") as error:
            read(tmp_path, text)
        assert "row 2" in str(error.value) or "row 1" in str(error.value)


@pytest.mark.parametrize("value", [True, False, np.True_, pd.Timestamp("2026-01-01")])
def test_flags_and_dates_are_no_longitudes(tmp_path, value):
    import geopandas

    frame = geopandas.GeoDataFrame({"lon": [value, value], "lat": [1.0, 2.0], "radius_m": [5e3, 5e3]}, geometry=[None, None])
    frame.to_file(tmp_path / "x.gpkg", engine="pyogrio")
    with pytest.raises(InputError, match="row 1: lon is"):
        read_catalogue(tmp_path / "x.gpkg", MOON)


def test_flags_as_text_are_no_longitudes(tmp_path):
    with pytest.raises(InputError, match="row 2: lon is 'True'"):
        read(tmp_path, "lon,lat,radius_m\n1,2,5000\nTrue,2,5000\n")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["1", "0", None], [True, False, False]),
        (["True", "false", " TRUE "], [True, False, True]),
        ([1.0, 0.0, np.nan], [True, False, False]),
        ([True, False, True], [True, False, True]),
        (["1", "0.0", ""], [True, False, False]),
    ],
)
def test_train_may_be_numbers_flags_or_text(tmp_path, given, expected):
    assert flags(pd.Series(given, name="train"), tmp_path).tolist() == expected


@pytest.mark.parametrize("odd", ["yes", "2", "-1", "0.5", "nan?"])
def test_other_values_of_train_are_named_with_their_row(tmp_path, odd):
    with pytest.raises(InputError, match="row 2: train is"):
        flags(pd.Series(["1", odd], name="train"), tmp_path)


def test_fids_as_text_are_numbers(tmp_path):
    import geopandas

    frame = geopandas.GeoDataFrame({"FID": ["17", "3"], "lon": [1.0, 2.0], "lat": [1.0, 2.0], "radius_m": [5e3, 5e3]}, geometry=[None] * 2)
    frame.rename(columns={"FID": "crat_FID"}).to_file(tmp_path / "x.gpkg", engine="pyogrio")
    assert list(read_catalogue(tmp_path / "x.gpkg", MOON).FID) == [17, 3]


def test_names_as_fids_are_said(tmp_path, capsys):
    found = read(tmp_path, "FID,lon,lat,radius_m\nA,1,2,5000\nB,1,3,5000\n")
    assert list(found.FID) == [0, 1] and "FID holds names, like 'A'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lon,lat,diam_km\n1,2,3000\n2,3,1200\n", "half of the radii are above 1050 km, the body's is 1737 km: check diam_km"),
        ("lon,lat,diam_km,center_lon\n350,2,30,-10\n20,3,30,25\n", "row 2: lon is 20, center_lon is 25 (1 such row(s)): lon is used"),
        ("lon,lat,diam_km,X_coord\n350,2,30,123456\n", ""),
    ],
)
def test_what_cannot_be_told_is_said(tmp_path, capsys, text, said):
    read(tmp_path, text)
    err = capsys.readouterr().err
    assert said in err if said else not err


def test_columns_of_one_name_but_for_its_letters_must_agree(tmp_path):
    with pytest.raises(InputError, match="the columns Lon and lon, which differ"):
        read(tmp_path, "Lon,lon,lat,diam_km\n1,9,2,30\n")
    assert list(read(tmp_path, "Lon,lon,lat,diam_km\n9,9,2,30\n").lon) == [9]


def test_gazetteers_say_in_a_column_that_they_count_west(tmp_path, capsys):
    text = (
        "Feature_Name,Diameter (km),Center_Latitude,Center_Longitude,Coordinate_System\n"
        '"A",30,5,160,"Planetographic, +West, 0 - 360"\n"B",30,5,200,"Planetographic, +East, 0 - 360"\n"C",30,5,200,\n'
    )
    assert list(read(tmp_path, text).lon) == [-160, -160, -160]
    assert "longitudes of 1 row(s) count westwards" in capsys.readouterr().err


@pytest.mark.parametrize(("flattening", "lat"), [(0.0, 45.0), (0.5, 75.96)])
def test_planetocentric_latitudes_of_gazetteers_are_converted(tmp_path, flattening, lat):
    """On an ellipsoid half as high as wide tan(detic) is 4 tan(centric)."""
    body = Body("egg", 1e6, 1e6 * (1 - flattening), "made up")
    path = tmp_path / "x.csv"
    path.write_text('radius_m,lat,lon,Coordinate_System\n5000,45,10,"Planetocentric, +East, 0 - 360"\n')
    assert read_catalogue(path, body).lat[0] == pytest.approx(lat, abs=0.01)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("EW\n10,5,9000,W\n20,-3,9000,E\n", "EW is 'W' and the longitude 10"),
        ("Lat dir.\n10,5,9000,South\n20,3,9000,north\n", "Lat dir. is 'South' and the latitude 5"),
        ("hemisphere\n10,-5,9000,S\n20,3,9000,N\n", None),  # both say the same
        ("EW\n350,-5,9000,W\n20,3,9000,E\n", None),
        ("class\n10,5,9000,S\n20,3,9000,N\n", None),
        ("direction\n10,5,9000,SW\n20,3,9000,N\n", None),
        ("lon_east\n10,5,9000,10\n20,3,9000,20\n", None),
    ],
)
def test_signs_in_a_column_of_their_own_are_refused(tmp_path, text, part):
    if part is None:
        assert len(read(tmp_path, f"lon,lat,radius_m,{text}")) == 2
        return
    with pytest.raises(InputError) as caught:
        read(tmp_path, f"lon,lat,radius_m,{text}")
    assert part in str(caught.value)


@pytest.mark.parametrize(
    ("header", "lon"),
    [
        ("Longitude [deg],Latitude [deg],Diameter [km]", 10),
        ("Lon. (deg E),Lat. (deg N),Diam. (km)", 10),
        ("lon (°),lat (°),radius [km]", 10),
        ("Longitude (deg W),Latitude (degrees),Diameter (km)", -10),
        ("Longitude (°W),Latitude (°N),Diameter (km)", -10),
    ],
)
def test_headers_with_units(tmp_path, header, lon):
    found = read(tmp_path, f"{header}\n10,5,20\n")
    assert (found.lon[0], found.lat[0], found.radius_m[0]) == (lon, 5, 20000 if "radius" in header else 10000)


@pytest.mark.parametrize("header", ["lon,lat (deg S),radius_m", "lon (rad),lat,radius_m", "lon,lat,radius (deg)", "lon,lat,D (mi)"])
def test_headers_with_units_that_are_not_known_are_refused(tmp_path, header):
    with pytest.raises(InputError, match="has no column for the"):
        read(tmp_path, f"{header}\n1,5,9000\n")


def test_directions_of_longitudes_in_a_column(tmp_path):
    assert list(read(tmp_path, "lon,lat,radius_m,Longitude Direction\n350,5,9000,+West\n10,5,9000,+East\n").lon) == [10, 10]
