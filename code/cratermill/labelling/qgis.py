"""A QGIS project that opens mosaic, masks, rims and tiles with one click: XML in a zip, with paths relative to itself."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from pyproj import CRS

from ..core.files import atomic_path
from ..geo.grid import Grid

VERSION = "3.22.0"
"""Of QGIS: newer ones open it without a word."""
EJECTA_COLOUR, TILE_COLOUR, RIM_COLOUR = "#ff8c00", "255,255,0,255", "0,255,255,255"


def write_project(path: Path, grid: Grid, mosaic: Path, rims: Path, tiles: Path, masks: list[Path]) -> Path:
    """Layers from the top: rims, tiles, masks, mosaic."""
    root = Element("qgis", version=VERSION, projectname="Drawing ejecta")
    SubElement(root, "title").text = "Drawing ejecta"
    crs = SubElement(root, "projectCrs")
    _crs(crs, grid.crs)
    tree, layers = SubElement(root, "layer-tree-group"), SubElement(root, "projectlayers")
    _vector(tree, layers, _relative(rims, path), "rims", RIM_COLOUR, grid.body.geographic_crs())
    _vector(tree, layers, f"{_relative(tiles, path)}|layername=tiles", "tiles", TILE_COLOUR, grid.crs)
    group = SubElement(tree, "layer-tree-group", name="masks", expanded="1", checked="Qt::Checked")
    for mask in masks:
        _raster(group, layers, _relative(mask, path), mask.stem, grid, mask=True)
    _raster(tree, layers, _relative(mosaic, path), "mosaic", grid, mask=False)
    properties = SubElement(root, "properties")
    SubElement(SubElement(properties, "Paths"), "Absolute", type="bool").text = "false"
    # Without this QGIS doesn't look at the project's CRS.
    SubElement(SubElement(properties, "SpatialRefSys"), "ProjectionsEnabled", type="int").text = "1"
    text = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n" + ElementTree.tostring(root, "unicode")
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as package:
        package.writestr(f"{path.stem}.qgs", text)
    return path


def _relative(target: Path, project: Path) -> str:
    # With ".." where needed, which pathlib's relative_to leaves to newer Pythons.
    text = os.path.relpath(target.resolve(), project.resolve().parent).replace(os.sep, "/")
    return text if text.startswith("..") else f"./{text}"


def _crs(parent: Element, crs: CRS) -> None:
    system = SubElement(parent, "spatialrefsys", nativeFormat="Wkt")
    SubElement(system, "wkt").text = crs.to_wkt("WKT2_2019")


def _layer(tree: Element, layers: Element, source: str, name: str, provider: str, **attributes: str) -> Element:
    identity = f"cratermill_layer_{len(layers)}"  # QGIS takes no identities of 10 letters or fewer
    named = {"id": identity, "name": name, "source": source, "providerKey": provider, "checked": "Qt::Checked", "expanded": "0"}
    SubElement(tree, "layer-tree-layer", named)
    layer = SubElement(layers, "maplayer", attributes)
    for tag, text in (("id", identity), ("datasource", source), ("layername", name), ("provider", provider)):
        SubElement(layer, tag).text = text
    return layer


def _raster(tree: Element, layers: Element, source: str, name: str, grid: Grid, *, mask: bool) -> None:
    layer = _layer(tree, layers, source, name, "gdal", type="raster")
    _crs(SubElement(layer, "srs"), grid.crs)
    if not mask:
        return
    pipe = SubElement(layer, "pipe")
    renderer = SubElement(pipe, "rasterrenderer", type="paletted", band="1", opacity="0.5", alphaBand="-1", nodataColor="")
    palette = SubElement(renderer, "colorPalette")
    SubElement(palette, "paletteEntry", value="0", color="#000000", alpha="0", label="none")
    SubElement(palette, "paletteEntry", value="1", color=EJECTA_COLOUR, alpha="255", label="ejecta")


def _vector(tree: Element, layers: Element, source: str, name: str, colour: str, crs: CRS) -> None:
    layer = _layer(tree, layers, source, name, "ogr", type="vector", geometry="Polygon")
    _crs(SubElement(layer, "srs"), crs)  # QGIS doesn't take a project's layers' from their files
    renderer = SubElement(layer, "renderer-v2", type="singleSymbol")
    symbol = SubElement(SubElement(renderer, "symbols"), "symbol", type="fill", name="0", alpha="1")
    fill = SubElement(symbol, "layer", attrib={"class": "SimpleFill", "enabled": "1", "pass": "0"})
    look = {"style": "no", "outline_style": "solid", "outline_color": colour, "outline_width": "0.5", "outline_width_unit": "MM"}
    options = SubElement(fill, "Option", type="Map")
    for key, value in look.items():
        SubElement(options, "Option", name=key, type="QString", value=value)
        SubElement(fill, "prop", k=key, v=value)
