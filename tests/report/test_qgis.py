"""QGIS projects of maps: every layer leads to a file that is there, in its CRS, with the colours that the map has."""

import os
import shutil
import subprocess
import zipfile
from xml.etree import ElementTree

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from PIL import Image
from pyproj import CRS, Transformer

from cratermill.families.map_page import PROJECT, layers
from cratermill.geo.cog import write_cog
from cratermill.geo.mosaic import Mosaic
from cratermill.report.palette import CLUSTERS, MISSED, channels
from cratermill.report.qgis import plane_of, write_project
from tests.mosaics import KINDS, MARS, MERCURY, global_grid, noise, write_mosaic


@pytest.fixture
def folder(tmp_path):
    return make_map(tmp_path, "metres")


def make_map(root, kind):
    """A map's files below a folder with a blank, the mosaic beside it."""
    grid = global_grid(kind=kind)
    write_mosaic(root / "the mosaic.tif", noise(grid), grid)
    folder = root / "a map"
    folder.mkdir()
    write_cog(folder / "ml_FID_map_all.tif", np.full((1, *grid.shape), 7, np.int32), grid, nodata=-1)
    write_cog(folder / "max_probability_all.tif", np.full((1, *grid.shape), 0.5, np.float32), grid, nodata=np.nan)
    table = {"crat_FID": [7], "lon": [10.0], "lat": [20.0], "radius_m": [2e5]}
    geopandas.GeoDataFrame(table, geometry=[shapely.Point(10, 20)], crs=MERCURY.geographic_crs()).to_file(folder / "craters.gpkg")
    square = shapely.box(*(grid.affine @ (200, 90)), *(grid.affine @ (230, 60)))
    geopandas.GeoDataFrame(table, geometry=[square], crs=grid.crs).to_file(folder / "ejecta_polygons.gpkg")
    places = [shapely.Point(-90, 0), shapely.Point(90, 0)]
    for name, column in (("crater_clusters_kmeans", "cluster"), ("tiles", "connected")):
        dots = geopandas.GeoDataFrame({column: [0, 1]}, geometry=places, crs=MERCURY.geographic_crs())
        dots.to_file(folder / f"{name}.gpkg")
    rims = geopandas.GeoDataFrame(table, geometry=[shapely.Point(-100, -40).buffer(5)], crs=MERCURY.geographic_crs())
    rims.to_file(folder / "missed_craters.gpkg")
    (folder / "colours.csv").write_text("crat_FID,colour\n7,#12ab34\n")
    with Mosaic.open(root / "the mosaic.tif") as mosaic:
        write_project(folder / PROJECT, "A map", mosaic.grid, layers(folder, mosaic))
    return folder


@pytest.mark.parametrize("body", [MERCURY, MARS], ids=lambda one: one.name)
@pytest.mark.parametrize("kind", KINDS)
def test_places_lie_on_mosaics_that_count_from_0_to_360_too(body, kind):
    """By pyproj, from degrees to a project's plane: the coordinates of the file."""
    grid = global_grid(body, kind=kind)
    plane = plane_of(grid)
    rows, cols = np.linspace(5, 174, 30), np.linspace(0, 359, 30)
    found = Transformer.from_crs(body.geographic_crs(), plane, always_xy=True).transform(*grid.lonlat(rows, cols))
    assert np.abs(np.array(found) - grid.xy(rows, cols)).max() < 1e-6
    assert (plane is grid.crs) == (not kind.endswith("0-360"))


def test_layers_lead_to_their_files_in_their_crs_and_colours(folder):
    with zipfile.ZipFile(folder / PROJECT) as package:
        root = ElementTree.fromstring(package.read("map.qgs"))
    found = {layer.findtext("layername"): layer for layer in root.iter("maplayer")}
    assert list(found) == [
        "missed: in the list alone",
        "craters",
        "clusters",
        "connected tiles (centres)",
        "ejecta",
        "max_probability_all",
        "ml_FID_map_all",
        "mosaic",
    ]
    for layer in found.values():
        path = folder / layer.findtext("datasource").split("|")[0]
        crs = rasterio.open(path).crs.to_wkt() if path.suffix == ".tif" else geopandas.read_file(path).crs
        assert CRS.from_wkt(layer.findtext("srs/spatialrefsys/wkt")).is_exact_same(CRS.from_user_input(crs)) or CRS.from_wkt(
            layer.findtext("srs/spatialrefsys/wkt")
        ).equals(CRS.from_user_input(crs), ignore_axis_order=True)
    hues = {one.get("value"): one.get("symbol") for one in found["clusters"].iter("category")}
    assert list(hues) == ["0", "1"] and CLUSTERS[0] != CLUSTERS[1]
    entry = found["ml_FID_map_all"].find(".//paletteEntry")
    assert (entry.get("value"), entry.get("color")) == ("7", "#12ab34")
    assert found["craters"].find(".//category").get("value") == "7" and "18,171,52,255" in ElementTree.tostring(found["ejecta"], "unicode")
    assert found["max_probability_all"].find(".//colorrampshader") is not None


def test_qgis_opens_it(tmp_path):
    """With QGIS's own Python, where it is installed; CRATERMILL_QGIS_PYTHON names another interpreter."""
    python, look = os.environ.get("CRATERMILL_QGIS_PYTHON", "/usr/bin/python3"), os.environ | {"QT_QPA_PLATFORM": "offscreen"}
    if not shutil.which(python) or subprocess.run([python, "-c", "import qgis.core"], capture_output=True, env=look).returncode:
        pytest.skip("QGIS isn't installed here")
    script = """
import sys
from qgis.core import QgsApplication, QgsMapRendererParallelJob, QgsMapSettings, QgsProject
from qgis.PyQt.QtCore import QSize
app = QgsApplication([], False); app.initQgis()
for path in sys.argv[1:]:
    project = QgsProject.instance(); assert project.read(path)
    layers = project.layerTreeRoot().layerOrder()
    for layer in layers: print(layer.name(), layer.isValid(), layer.renderer().type(), sep="; ")
    drawn = QgsMapSettings(); drawn.setLayers(layers); drawn.setDestinationCrs(project.crs()); drawn.setOutputSize(QSize(720, 360))
    drawn.setExtent(project.mapLayersByName("mosaic")[0].extent())
    job = QgsMapRendererParallelJob(drawn); job.start(); job.waitForFinished(); job.renderedImage().save(path + ".png")
"""
    kinds = ("metres", "metres 0-360", "degrees 0-360")
    for kind in kinds:
        (tmp_path / kind).mkdir()
    paths = [str(make_map(tmp_path / kind, kind) / PROJECT) for kind in kinds]
    ran = subprocess.run([python, "-c", script, *paths], capture_output=True, text=True, env=look)
    assert ran.stdout.splitlines() == 3 * [
        "missed: in the list alone; True; singleSymbol",
        "craters; True; categorizedSymbol",
        "clusters; True; categorizedSymbol",
        "connected tiles (centres); True; categorizedSymbol",
        "ejecta; True; categorizedSymbol",
        "max_probability_all; True; singlebandpseudocolor",
        "ml_FID_map_all; True; paletted",
        "mosaic; True; singlebandgray",
    ], ran.stderr
    for kind, path in zip(kinds, paths, strict=True):
        seen = np.asarray(Image.open(f"{path}.png").convert("RGB")).astype(int)

        left = 0 if kind.endswith("0-360") else -180

        def near(lon, lat, colour, seen=seen, left=left):
            """Whether a pixel about there has the colour."""
            row, col = round((90 - lat) * 2), round((lon - left) % 360 * 2)
            return np.abs(seen[row - 2 : row + 3, col - 2 : col + 3] - channels(colour)).sum(-1).min() < 12

        assert near(-90, 0, CLUSTERS[0]) and near(90, 0, CLUSTERS[1]) and not near(90, 0, CLUSTERS[0]), kind
        radius = np.degrees(2e5 / MERCURY.semi_major_m)
        assert near(10, 20 + radius, "#12ab34") and near(10 - radius / np.cos(np.radians(20)), 20, "#12ab34"), kind
        assert near(-95, -40, MISSED) and near(-100, -35, MISSED) and not near(-100, -40, MISSED), kind
