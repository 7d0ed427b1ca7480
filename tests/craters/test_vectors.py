"""Middles of shapes on the body, whatever plane holds them; layers; cut names; columns against shapes."""

from __future__ import annotations

import geopandas
import numpy as np
import pyproj
import pytest
import shapely
from shapely.affinity import translate

from cratermill.core.errors import InputError
from cratermill.craters.catalogue import read_catalogue, write_catalogue
from cratermill.geo.bodies import get_body

MOON = get_body("moon")
PLACES = [(179.5, 10.0), (-179.9, -60.0), (0.3, 0.0), (100.0, 89.0), (20.0, 10.0), (-77.0, -88.5)]


def rim(lon, lat, radius_m=30e3, n=72):
    x, y, _ = MOON.geod.fwd([lon] * n, [lat] * n, np.arange(n) * 360 / n, [radius_m] * n)
    return np.array(x), np.array(y)


def in_plane(lon, lat, west=-180.0, split=True):
    """The rim as a plane between two meridians holds it: split or wrapped at its seam, closed along a pole's edge."""
    x, y = rim(lon, lat, 60.6e3 if abs(lat) > 85 else 30e3)
    x = (x - west) % 360 + west
    if abs(lat) > 85:
        order, edge = np.argsort(x), np.sign(lat) * 90
        return shapely.Polygon([*zip(x[order], y[order], strict=True), (west + 360, edge), (west, edge)])
    if np.ptp(x) < 180 or not split:
        return shapely.Polygon(zip(x, y, strict=True))
    whole = shapely.Polygon(zip(np.where(x - west < 180, x + 360, x), y, strict=True))
    left, right = (
        whole.intersection(shapely.box(west, -90, west + 360, 90)),
        whole.intersection(shapely.box(west + 360, -90, west + 720, 90)),
    )
    return shapely.MultiPolygon([left, translate(right, -360)])


@pytest.mark.parametrize("west", [-180.0, 0.0])
@pytest.mark.parametrize("split", [True, False])
@pytest.mark.parametrize("metres", [False, True])
def test_middles_lie_where_the_rims_were_drawn(tmp_path, west, split, metres):
    shapes = geopandas.GeoSeries([in_plane(*place, west, split) for place in PLACES])
    crs = MOON.geographic_crs()
    if metres:
        crs = MOON.cylindrical_crs(west + 180)
        scale = MOON.half_circumference_m / 180
        shapes = shapes.translate(-west - 180).scale(scale, scale, origin=(0, 0))
    geopandas.GeoDataFrame({"diam_km": [60.0] * len(PLACES)}, geometry=shapes.values, crs=crs).to_file(tmp_path / "rims.gpkg")
    found = read_catalogue(tmp_path / "rims.gpkg", MOON)
    off = MOON.distance_m(found.lon, found.lat, *np.transpose(PLACES))
    assert off.max() < 50, off


def test_other_planes_points_lines_and_collections(tmp_path):
    lon, lat = rim(30, -80)
    stereo = pyproj.CRS.from_proj4("+proj=stere +lat_0=-90 +R=1737400 +units=m")
    ring = shapely.LinearRing(zip(lon, lat, strict=True))
    shapes = [ring, shapely.Point(30, -80), shapely.GeometryCollection([shapely.MultiPoint([(29, -80), (31, -80)])])]
    frame = geopandas.GeoDataFrame({"diam_km": [60.0] * 3}, geometry=shapes, crs=MOON.geographic_crs()).to_crs(stereo)
    frame.to_file(tmp_path / "x.gpkg")
    found = read_catalogue(tmp_path / "x.gpkg", MOON)
    assert MOON.distance_m(found.lon, found.lat, 30.0, -80.0).max() < 1000 and abs(found.lon - 30).max() < 1e-6


@pytest.mark.parametrize(
    ("shape", "part"),
    [
        (None, "row 2: no geometry"),
        (shapely.Polygon(), "row 2: no geometry"),
        (shapely.Point(10, 95), "row 2: its geometry reaches x = 10, y = 95"),
        (shapely.Point(1e6, 0), "row 2: its geometry reaches x = 1e.06"),
        (shapely.segmentize(shapely.box(-120, -60, 120, 60), 5), "row 2: the shape is wider than half the body"),
        (shapely.box(-170, -80, 170, 80), "row 2: the shape is wider than half the body"),
        (shapely.box(-180, -5, 180, 5), "row 2: the outline is nothing but a seam"),
    ],
)
def test_rows_without_a_place_are_named(tmp_path, shape, part):
    frame = geopandas.GeoDataFrame({"diam_km": [60.0, 60.0]}, geometry=[shapely.Point(1, 1), shape], crs=MOON.geographic_crs())
    frame.to_file(tmp_path / "x.gpkg")
    with pytest.raises(InputError, match=part):
        read_catalogue(tmp_path / "x.gpkg", MOON)


def test_layers_are_chosen_by_name_or_by_their_sizes(tmp_path):
    path = tmp_path / "map.gpkg"

    def layer(name, lon, **columns):
        geopandas.GeoDataFrame(columns, geometry=[shapely.Point(lon, 1)], crs=MOON.geographic_crs()).to_file(path, layer=name)

    layer("AREA", 1, area=[5.0])
    layer("CRATER", 2, diam_km=[60.0])
    assert read_catalogue(path, MOON).lon[0] == 2
    layer("draft", 3, diam_km=[60.0])
    with pytest.raises(InputError, match="has 3 layers: AREA, CRATER, draft"):
        read_catalogue(path, MOON)
    assert read_catalogue(path, MOON, layer="draft").lon[0] == 3
    with pytest.raises(InputError, match="no layer 'crater'") as raised:
        read_catalogue(path, MOON, layer="crater")
    assert "CRATER" in raised.value.valid
    (tmp_path / "x.csv").write_text("lon,lat,radius_m\n1,2,3000\n")
    with pytest.raises(InputError, match="has no layers"):
        read_catalogue(tmp_path / "x.csv", layer="draft")


@pytest.mark.parametrize(
    "columns",
    [
        {"LAT_CIRC_IMG": 5.0, "LON_CIRC_IMG": 200.0, "DIAM_CIRC_IMG": 12.0, "DIAM_CIRC_SD_IMG": 0.4},
        {"LATITUDE_CIRCLE_IMAGE": 5.0, "LONGITUDE_CIRCLE_IMAGE": 200.0, "DIAM_CIRCLE_IMAGE": 12.0, "LONGITUDE_ELLIPSE_IMAGE": 1.0},
        {"center_latitude": 5.0, "center_longitude": 200.0, "diameter_km": 12.0},
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_names_as_shapefiles_cut_them(tmp_path, columns):
    frame = geopandas.GeoDataFrame(
        {name: [value] for name, value in columns.items()}, geometry=[shapely.Point(-160, 5)], crs=MOON.geographic_crs()
    )
    frame.to_file(tmp_path / "x.shp")
    found = read_catalogue(tmp_path / "x.shp", MOON)
    assert (found.lon[0], found.lat[0], found.radius_m[0]) == (-160, 5, 6000)


@pytest.mark.filterwarnings("ignore")
def test_a_deviation_is_no_diameter_where_a_shapefile_cuts_both_names(tmp_path):
    sizes = {"DIAM_CIRC_SD_IMG": [0.4, 1.0], "DIAM_CIRC_IMG": [12.0, 30.0]}
    frame = geopandas.GeoDataFrame(sizes, geometry=[shapely.Point(-160, 5)] * 2, crs=MOON.geographic_crs())
    frame.to_file(tmp_path / "x.shp")
    with pytest.raises(InputError, match="the smaller one, DIAM_CIRC_, would be the diameter"):
        read_catalogue(tmp_path / "x.shp", MOON)


def test_columns_that_count_west_without_saying_so_are_told_by_their_shapes(tmp_path, capsys):
    def write(lon):
        shapes = [shapely.Point(40, 5), shapely.Point(-70, 5)]
        geopandas.GeoDataFrame(
            {"longitude_": lon, "lat": [5.0, 5.0], "diam_km": [9.0, 9.0]}, geometry=shapes, crs=MOON.geographic_crs()
        ).to_file(tmp_path / "x.gpkg")
        return read_catalogue(tmp_path / "x.gpkg", MOON)

    with pytest.raises(InputError, match="counts longitudes westwards"):
        write([320.0, 70.0])
    assert list(write([40.0, 290.0]).lon) == [40, -70] and not capsys.readouterr().err
    assert list(write([90.0, 90.0]).lon) == [90, 90] and "the columns are used" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("crs", "said"),
    [
        (None, "names no CRS: its shapes are taken for degrees east"),
        ("IAU_2015:49901", "Mars (2015) / Ographic, which counts longitudes westwards"),
        ("IAU_2015:49900", ""),
    ],
)
@pytest.mark.parametrize("suffix", [".gpkg", ".shp"])
@pytest.mark.filterwarnings("ignore:'crs' was not provided")
def test_degrees_of_which_the_file_leaves_the_sense_open_are_said(tmp_path, capsys, crs, said, suffix):
    path = tmp_path / f"list{suffix}"
    geopandas.GeoDataFrame({"diam_km": [60.0]}, geometry=[shapely.Point(10, 5)], crs=crs).to_file(path)
    assert read_catalogue(path)["lon"].tolist() == pytest.approx([10])
    stderr = capsys.readouterr().err
    assert said in stderr and bool(stderr) == bool(said)


@pytest.mark.parametrize("suffix", [".gpkg", ".shp", ".geojson", ".parquet"])
def test_shapes_of_a_crs_that_counts_west_come_back_where_they_were(tmp_path, capsys, suffix):
    rim = shapely.Point(10, 5).buffer(1)
    geopandas.GeoDataFrame({"diam_km": [60.0]}, geometry=[rim], crs="IAU_2015:49901").to_parquet(tmp_path / "west.parquet")
    craters = read_catalogue(tmp_path / "west.parquet")
    assert craters["lon"].tolist() == pytest.approx([-10])
    path = write_catalogue(tmp_path / f"east{suffix}", craters)
    again = read_catalogue(path)
    assert again["lon"].tolist() == pytest.approx([-10])
    assert again.geometry[0].centroid.x == pytest.approx(10 if suffix == ".parquet" else -10)  # GeoParquet keeps the axes
    assert capsys.readouterr().err == ""


def test_geojson_with_heights_is_on_the_mosaics_body(tmp_path):
    rim = shapely.Point(10, 5, 99)
    (tmp_path / "x.geojson").write_text(geopandas.GeoDataFrame({"diam_km": [20.0]}, geometry=[rim]).to_json())
    found = read_catalogue(tmp_path / "x.geojson", MOON)
    assert (found.lon[0], found.lat[0]) == pytest.approx((10, 5))
