"""Files of polygons that people drew, in whatever CRS of the body; whole across the seam and over the poles."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import pyogrio
import shapely
from shapely.geometry.base import BaseGeometry

from ..core.errors import InputError, first_line
from ..core.notices import notice
from .bodies import Body, body_of_crs, names_no_planet, require_same_body, west_doubt

VECTORS = (".gpkg", ".shp", ".geojson", ".json")
FID_COLUMN = "crat_FID"
SEGMENT_DEGREES = 0.5
"""Sides of polygons are divided into pieces of so much, so that they keep their course on another projection."""


def read_polygons(path: Path, body: Body, what: str = "the polygons") -> geopandas.GeoDataFrame:
    """Polygons that people drew, as they stand in the file, without empty ones; ``InputError`` names what can't be used."""
    if path.suffix.lower() not in VECTORS or not path.exists():
        raise InputError(f"{path} is no file of polygons", valid=f"polygons as {', '.join(VECTORS)}", next_step="check the path")
    try:
        frame = pyogrio.read_dataframe(path, layer=_only_layer(path))
    except UnicodeDecodeError:  # the .cpg beside a shapefile is wrong, or missing
        notice(f"{path}: the text is not what its .cpg says and was read as Windows-1252: save it as UTF-8 if letters look wrong")
        frame = pyogrio.read_dataframe(path, encoding="cp1252")
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
        raise InputError(f"{path} can't be read: {first_line(error)}", valid="polygons that QGIS opens") from error
    if not isinstance(frame, geopandas.GeoDataFrame) or frame.crs is None:
        raise InputError(f"{path} has no CRS", valid="polygons in a CRS of the mosaic's body", next_step="assign it in QGIS")
    if names_no_planet(path, frame.crs):
        frame = frame.set_crs(body.geographic_crs(), allow_override=True)
    require_same_body(body, body_of_crs(frame.crs), f"{what} {path}")
    if doubt := west_doubt(path, frame.crs):
        notice(doubt)
    frame = frame[frame.geometry.notna() & ~frame.geometry.is_empty]
    wrong = np.flatnonzero(~frame.geom_type.isin(["Polygon", "MultiPolygon"]))
    if frame.empty or len(wrong):
        given = (
            f"{path}, row {frame.index[wrong[0]] + 1}: a {frame.geom_type.iloc[wrong[0]]}" if len(wrong) else f"{path} holds no polygons"
        )
        raise InputError(given, valid="polygons alone, one at least", next_step="draw it as a polygon")
    return frame


def _only_layer(path: Path) -> str | None:
    """The one layer that has shapes: QGIS keeps styles in another. ``InputError`` names several."""
    names = [str(name) for name, kind in pyogrio.list_layers(path) if kind is not None]
    if len(names) > 1:
        raise InputError(
            f"{path} has {len(names)} layers: {', '.join(names)}",
            valid="one layer of polygons",
            next_step="export the one that is meant to a file of its own",
        )
    return names[0] if names else None


def to_degrees(frame: geopandas.GeoDataFrame, body: Body) -> geopandas.GeoDataFrame:
    """Polygons with vertices in degrees, dense enough to keep their course. Their rings may jump at the seam, and only vertices count.

    What was drawn beyond a pole is cut off; ``InputError`` where a vertex of another projection is no place on the body.
    """
    unit = 1.0 if frame.crs.is_geographic else np.radians(1) * body.semi_major_m / frame.crs.axis_info[0].unit_conversion_factor
    # Before the change of CRS: a straight side of the file's projection is none in degrees.
    dense = shapely.segmentize(shapely.make_valid(frame.geometry.values), SEGMENT_DEGREES * unit)
    if frame.crs.is_geographic:
        dense = np.array([_between_poles(shape) for shape in dense])
    found = frame.set_geometry(geopandas.GeoSeries(dense, frame.index, crs=frame.crs)).to_crs(body.geographic_crs())
    nowhere = [shape.is_empty or not np.isfinite(shapely.get_coordinates(shape)).all() for shape in found.geometry]
    if any(nowhere):
        row = frame.index[nowhere.index(True)] + 1
        raise InputError(f"polygon {row} reaches beyond the body", valid="latitudes of −90…90, or places that its projection shows")
    return found


def _between_poles(shape: BaseGeometry) -> BaseGeometry:
    """A shape in degrees without what was drawn beyond a pole."""
    west, south, east, north = shape.bounds
    return shape if south >= -90 and north <= 90 else shape.intersection(shapely.box(west, -90, east, 90))


def fids_of(frame: geopandas.GeoDataFrame, path: Path) -> np.ndarray:
    """The column ``crat_FID`` (n,); ``InputError`` where there is none, or it is no whole number somewhere."""
    column = next((name for name in frame if str(name).lower() == FID_COLUMN.lower()), None)
    if column is None:
        raise InputError(
            f"{path} has no column {FID_COLUMN}; its columns: {', '.join(map(str, frame))}", valid=f"polygons with {FID_COLUMN}"
        )
    numbers = pd.to_numeric(frame[column], errors="coerce").to_numpy(float)
    wrong = np.flatnonzero(numbers != np.rint(numbers))
    if len(wrong):
        given = f"{path}, row {frame.index[wrong[0]] + 1}: {FID_COLUMN} is {frame[column].iloc[wrong[0]]}"
        raise InputError(given, valid="a crater's number", next_step="say whose ejecta they are")
    return numbers.astype(int)


def to_plane(shape: BaseGeometry, body: Body, lon: float, lat: float) -> BaseGeometry:
    """A shape in degrees in metres east and north of a centre: whole across the seam and over the poles.

    Parts that hold the point opposite to the centre have no shape there, and are left out.
    """

    def moved(points: np.ndarray) -> np.ndarray:
        azimuth, _, distance = body.geod.inv(np.full(len(points), lon), np.full(len(points), lat), points[:, 0], points[:, 1])
        return np.column_stack([distance * np.sin(np.radians(azimuth)), distance * np.cos(np.radians(azimuth))])

    polygons = [part for part in shapely.get_parts(shapely.get_parts(shape)) if part.geom_type == "Polygon"]
    whole = [shapely.transform(part, moved) for part in polygons if not _turned_inside_out(part, moved, body)]
    return shapely.make_valid(whole[0] if len(whole) == 1 else shapely.MultiPolygon(whole))


def _turned_inside_out(part: BaseGeometry, moved: Callable[[np.ndarray], np.ndarray], body: Body) -> bool:
    """Whether a polygon's inside would be its outside on the plane: its outline runs the other way round there."""
    points = shapely.get_coordinates(part.exterior)
    area_m2 = body.geod.polygon_area_perimeter(*points.T)[0]
    return bool(area_m2) and (area_m2 > 0) != shapely.is_ccw(shapely.LinearRing(moved(points)))
