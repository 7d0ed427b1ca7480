"""QGIS projects that open a mosaic and what was drawn or mapped on it with one click: XML in a zip, with paths relative to itself."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

import numpy as np
from pyproj import CRS, Transformer

from ..core.files import atomic_path
from ..geo.grid import Grid
from ..geo.projections import Linear
from .palette import CIVIDIS

VERSION = "3.22.0"
"""Of QGIS: newer ones open it without a word."""
NOTHING = "#000000"
"""The colour of pixels of a raster of numbers that aren't painted."""
LINE = {"style": "no", "outline_style": "solid", "outline_width": "0.5", "outline_width_unit": "MM"}


@dataclass(frozen=True)
class MapLayer:
    """A file as QGIS shows it; ``colours`` by value of a raster's pixels, or of the column ``by`` of a table.

    Rasters are shown as they are (``picture``), each number in its colour (``numbers``) or as a ramp from 0 to 1 (``ramp``); shapes by
    their outlines (``outlines``), filled (``areas``), and places as dots (``dots``) or circles of the column ``radius_m`` (``circles``).
    """

    path: Path
    name: str
    kind: Literal["picture", "numbers", "ramp", "outlines", "areas", "circles", "dots"]
    crs: CRS
    colour: str = "#00ffff"
    colours: dict[int, str] = field(default_factory=dict)
    by: str = ""
    table: str = ""
    group: str = ""
    shown: bool = True
    opacity: float = 1.0

    @property
    def is_raster(self) -> bool:
        return self.kind in ("picture", "numbers", "ramp")

    @property
    def is_points(self) -> bool:
        return self.kind in ("circles", "dots")


def write_project(path: Path, title: str, grid: Grid, layers: Iterable[MapLayer], home: Path | None = None) -> Path:
    """``layers`` from the top, each in its file's CRS; the project is in that of ``grid``, cut at its edges (see :func:`plane_of`).

    ``home``: the folder that the project's own will be moved to.
    """
    plane = plane_of(grid)
    root = Element("qgis", version=VERSION, projectname=title)
    SubElement(root, "title").text = title
    _crs(SubElement(root, "projectCrs"), plane)
    tree, made = SubElement(root, "layer-tree-group"), SubElement(root, "projectlayers")
    groups: dict[str, Element] = {"": tree}
    for layer in layers:
        layer = replace(layer, crs=plane if layer.crs is grid.crs else layer.crs)
        if layer.group not in groups:
            groups[layer.group] = SubElement(tree, "layer-tree-group", name=layer.group, expanded="1", checked="Qt::Checked")
        element = _layer(groups[layer.group], made, layer, _source(layer, path.parent, home))
        _raster(element, layer) if layer.is_raster else _vector(element, layer, grid)
    properties = SubElement(root, "properties")
    SubElement(SubElement(properties, "Paths"), "Absolute", type="bool").text = "false"
    # Without this QGIS doesn't look at the project's CRS.
    SubElement(SubElement(properties, "SpatialRefSys"), "ProjectionsEnabled", type="int").text = "1"
    text = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n" + ElementTree.tostring(root, "unicode")
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as package:
        package.writestr(f"{path.stem}.qgs", text)
    return path


def plane_of(grid: Grid) -> CRS:
    """The CRS in which programs find every place on a mosaic: its own, or, where it goes on beyond the 180° that this reaches to both
    sides (as from 0 to 360°), one of the same coordinates whose middle is the mosaic's.
    """
    projection, columns = grid.projection, np.linspace(0, grid.width - 1, 5)
    rows = np.full(len(columns), grid.height / 2)
    lonlat = Transformer.from_crs(grid.body.geographic_crs(), grid.crs, always_xy=True)
    if not isinstance(projection, Linear):
        return grid.crs
    there, here = lonlat.transform(*grid.lonlat(rows, columns))[0], grid.xy(rows, columns)[0]
    if np.abs(there - here).max() < abs(grid.affine.a) / 2:
        return grid.crs
    made = (grid.body.cylindrical_crs() if grid.crs.is_geographic else grid.crs).to_json_dict()
    middle_x = float(grid.xy(0, (grid.width - 1) / 2)[0])
    middle = {"Longitude of natural origin": (middle_x - projection.x_at_0) / projection.x_per_degree, "False easting": middle_x}
    for parameter in made["conversion"]["parameters"]:
        parameter["value"] = middle.get(parameter["name"], parameter["value"])
    if grid.crs.is_geographic:
        made["conversion"]["method"] = {"name": "Equidistant Cylindrical (Spherical)", "id": {"authority": "EPSG", "code": 1029}}
        unit = {"type": "LinearUnit", "name": "degree of the equator", "conversion_factor": np.radians(1) * grid.body.semi_major_m}
        for place in (*made["conversion"]["parameters"][-2:], *made["coordinate_system"]["axis"]):
            place["unit"] = unit
    return CRS.from_json_dict({name: value for name, value in made.items() if name != "id"})


def _source(layer: MapLayer, folder: Path, home: Path | None) -> str:
    path, folder = layer.path.resolve(), folder.resolve()
    start = folder if home is None or path.is_relative_to(folder) else home.resolve()
    # With ".." where needed, which pathlib's relative_to leaves to newer Pythons.
    text = os.path.relpath(path, start).replace(os.sep, "/")
    return (text if text.startswith("..") else f"./{text}") + (f"|layername={layer.table}" if layer.table else "")


def _crs(parent: Element, crs: CRS) -> None:
    system = SubElement(parent, "spatialrefsys", nativeFormat="Wkt")
    SubElement(system, "wkt").text = crs.to_wkt("WKT2_2019")


def _layer(tree: Element, layers: Element, layer: MapLayer, source: str) -> Element:
    identity = f"cratermill_layer_{len(layers)}"  # QGIS takes no identities of 10 letters or fewer
    provider, checked = "gdal" if layer.is_raster else "ogr", "Qt::Checked" if layer.shown else "Qt::Unchecked"
    named = {"id": identity, "name": layer.name, "source": source, "providerKey": provider, "checked": checked, "expanded": "0"}
    SubElement(tree, "layer-tree-layer", named)
    geometry = {} if layer.is_raster else {"geometry": "Point" if layer.is_points else "Polygon"}
    element = SubElement(layers, "maplayer", {"type": "raster" if layer.is_raster else "vector", **geometry})
    for tag, text in (("id", identity), ("datasource", source), ("layername", layer.name), ("provider", provider)):
        SubElement(element, tag).text = text
    _crs(SubElement(element, "srs"), layer.crs)  # QGIS doesn't take a project's layers' from their files
    return element


def _raster(element: Element, layer: MapLayer) -> None:
    if layer.kind == "picture" and layer.opacity == 1:
        return  # as QGIS shows it by itself
    pipe = SubElement(element, "pipe")
    kind = {"picture": "multibandcolor", "numbers": "paletted", "ramp": "singlebandpseudocolor"}[layer.kind]
    renderer = SubElement(pipe, "rasterrenderer", type=kind, opacity=f"{layer.opacity:g}", alphaBand="-1", nodataColor="")
    if layer.kind == "picture":
        renderer.attrib |= {"redBand": "1", "greenBand": "2", "blueBand": "3", "alphaBand": "4"}
        return
    renderer.attrib |= {"band": "1"}
    if layer.kind == "numbers":
        palette = SubElement(renderer, "colorPalette")
        for value, colour in layer.colours.items():
            alpha = "0" if colour == NOTHING else "255"
            SubElement(palette, "paletteEntry", value=str(value), color=colour, alpha=alpha, label=str(value))
        return
    renderer.attrib |= {"classificationMin": "0", "classificationMax": "1"}
    shader = SubElement(
        SubElement(renderer, "rastershader"), "colorrampshader", colorRampType="INTERPOLATED", classificationMode="1", clip="0"
    )
    for share, rgb in zip(("0", "0.5", "1"), CIVIDIS, strict=True):
        SubElement(shader, "item", value=share, color="#{:02x}{:02x}{:02x}".format(*rgb), alpha="255", label=share)


def _vector(element: Element, layer: MapLayer, grid: Grid) -> None:
    renderer = SubElement(element, "renderer-v2", type="categorizedSymbol" if layer.by else "singleSymbol", attr=layer.by)
    categories = SubElement(renderer, "categories") if layer.by else None
    symbols = SubElement(renderer, "symbols")
    for number, (value, colour) in enumerate(layer.colours.items() if layer.by else [(0, layer.colour)]):
        if categories is not None:
            SubElement(categories, "category", value=str(value), symbol=str(number), label=str(value), render="true", type="long")
        _symbol(symbols, str(number), colour, layer, grid)


def _symbol(symbols: Element, name: str, colour: str, layer: MapLayer, grid: Grid) -> None:
    rgb = ",".join(str(channel) for channel in bytes.fromhex(colour.removeprefix("#")))
    kind = "marker" if layer.is_points else "fill"
    symbol = SubElement(symbols, "symbol", type=kind, name=name, alpha=f"{layer.opacity:g}")
    look = LINE | {"outline_color": f"{rgb},255"}
    if layer.kind == "areas":
        look |= {"style": "solid", "color": f"{rgb},255"}
    elif layer.kind == "circles":
        look |= {"symbol_name": "circle", "color": "0,0,0,0", "symbol_width_unit": "MapUnit", "symbol_height_unit": "MapUnit"}
    elif layer.kind == "dots":
        look = {"name": "circle", "color": f"{rgb},255", "size": "1.6", "size_unit": "MM", "outline_style": "no"}
    drawn = {"circles": "EllipseMarker", "dots": "SimpleMarker"}.get(layer.kind, "SimpleFill")
    part = SubElement(symbol, "layer", attrib={"class": drawn, "enabled": "1", "pass": "0"})
    options = SubElement(part, "Option", type="Map")
    for key, value in look.items():
        SubElement(options, "Option", name=key, type="QString", value=value)
        SubElement(part, "prop", k=key, v=value)
    if layer.kind == "circles":
        unit = float(np.degrees(1 / grid.body.semi_major_m)) if grid.crs.is_geographic else 1.0
        height = f'{2 * unit!r} * "radius_m"'
        _computed(
            part, {"width": f'{height} / cos(radians(max(-89, min(89, "lat"))))' if grid.columns_per_turn else height, "height": height}
        )


def _computed(part: Element, expressions: dict[str, str]) -> None:
    """Properties of a symbol that follow from the columns of each row."""
    whole = SubElement(SubElement(part, "data_defined_properties"), "Option", type="Map")
    SubElement(whole, "Option", name="name", type="QString", value="")
    properties = SubElement(whole, "Option", name="properties", type="Map")
    for name, expression in expressions.items():
        one = SubElement(properties, "Option", name=name, type="Map")
        SubElement(one, "Option", name="active", type="bool", value="true")
        SubElement(one, "Option", name="expression", type="QString", value=expression)
        SubElement(one, "Option", name="type", type="int", value="3")
    SubElement(whole, "Option", name="type", type="QString", value="collection")
