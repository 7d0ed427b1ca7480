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
from pyproj import CRS

from cratermill.families.map_page import PROJECT, layers
from cratermill.geo.cog import write_cog
from cratermill.geo.mosaic import Mosaic
from cratermill.report.qgis import write_project
from tests.mosaics import MERCURY, global_grid, noise, write_mosaic


@pytest.fixture
def folder(tmp_path):
    """A map's files below a folder with a blank, the mosaic beside it."""
    grid = global_grid(kind="metres")
    write_mosaic(tmp_path / "the mosaic.tif", noise(grid), grid)
    folder = tmp_path / "a map"
    folder.mkdir()
    write_cog(folder / "ml_FID_map_all.tif", np.full((1, *grid.shape), 7, np.int32), grid, nodata=-1)
    write_cog(folder / "max_probability_all.tif", np.full((1, *grid.shape), 0.5, np.float32), grid, nodata=np.nan)
    table = {"crat_FID": [7], "lon": [10.0], "lat": [20.0], "radius_m": [2e5]}
    geopandas.GeoDataFrame(table, geometry=[shapely.Point(10, 20)], crs=MERCURY.geographic_crs()).to_file(folder / "craters.gpkg")
    geopandas.GeoDataFrame(table, geometry=[shapely.box(0, 0, 1e6, 1e6)], crs=grid.crs).to_file(folder / "ejecta_polygons.gpkg")
    (folder / "colours.csv").write_text("crat_FID,colour\n7,#12ab34\n")
    with Mosaic.open(tmp_path / "the mosaic.tif") as mosaic:
        write_project(folder / PROJECT, "A map", mosaic.grid, layers(folder, mosaic))
    return folder


def test_layers_lead_to_their_files_in_their_crs_and_colours(folder):
    with zipfile.ZipFile(folder / PROJECT) as package:
        root = ElementTree.fromstring(package.read("map.qgs"))
    found = {layer.findtext("layername"): layer for layer in root.iter("maplayer")}
    assert list(found) == ["craters", "ejecta", "max_probability_all", "ml_FID_map_all", "mosaic"]
    for layer in found.values():
        path = folder / layer.findtext("datasource").split("|")[0]
        crs = rasterio.open(path).crs.to_wkt() if path.suffix == ".tif" else geopandas.read_file(path).crs
        assert CRS.from_wkt(layer.findtext("srs/spatialrefsys/wkt")).is_exact_same(CRS.from_user_input(crs)) or CRS.from_wkt(
            layer.findtext("srs/spatialrefsys/wkt")
        ).equals(CRS.from_user_input(crs), ignore_axis_order=True)
    entry = found["ml_FID_map_all"].find(".//paletteEntry")
    assert (entry.get("value"), entry.get("color")) == ("7", "#12ab34")
    assert found["craters"].find(".//category").get("value") == "7" and "18,171,52,255" in ElementTree.tostring(found["ejecta"], "unicode")
    assert found["max_probability_all"].find(".//colorrampshader") is not None


def test_qgis_opens_it(folder):
    """With QGIS's own Python, where it is installed; CRATERMILL_QGIS_PYTHON names another interpreter."""
    python, look = os.environ.get("CRATERMILL_QGIS_PYTHON", "/usr/bin/python3"), os.environ | {"QT_QPA_PLATFORM": "offscreen"}
    if not shutil.which(python) or subprocess.run([python, "-c", "import qgis.core"], capture_output=True, env=look).returncode:
        pytest.skip("QGIS isn't installed here")
    script = """
import sys
from qgis.core import QgsApplication, QgsProject
app = QgsApplication([], False); app.initQgis()
project = QgsProject.instance(); assert project.read(sys.argv[1])
for layer in project.mapLayers().values(): print(layer.name(), layer.isValid(), layer.renderer().type())
"""
    ran = subprocess.run([python, "-c", script, str(folder / PROJECT)], capture_output=True, text=True, env=look)
    lines = ran.stdout.splitlines()
    assert sorted(lines) == sorted(
        [
            "craters True categorizedSymbol",
            "ejecta True categorizedSymbol",
            "max_probability_all True singlebandpseudocolor",
            "ml_FID_map_all True paletted",
            "mosaic True multibandcolor",
        ]
    ), ran.stderr
