"""Ejecta as they may be given, masks or polygons, on a crater's azimuthal plane."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import geopandas
import numpy as np
import pandas as pd
import pyogrio
import rasterio.features
import shapely
from shapely.geometry.base import BaseGeometry

from ..core.errors import InputError, first_line
from ..geo.bodies import Body, body_of_crs, require_same_body
from ..geo.grid import Grid, Window
from .masks import Mask, MaskSet, turns
from .plane import Place, blocks_between, occupied, to_plane

VECTORS = (".gpkg", ".shp", ".geojson", ".json")
FID_COLUMN = "crat_FID"
SEGMENT_DEGREES = 0.5
"""Sides of polygons are divided into pieces of so much, so that they keep their course on another projection."""


class Ejecta(Protocol):
    """The ejecta of one crater."""

    def squares(self, place: Place) -> list[Window]:
        """Squares of the plane that may hold some."""

    def on_plane(self, place: Place, window: Window) -> np.ndarray:
        """(h, w) bool of a window of the plane."""


@dataclass(frozen=True)
class Tiles:
    """Windows of the mosaic in which somebody drew, as a mask: 1 inside."""

    path: Path
    windows: list[Window]
    grid: Grid

    def read(self, window: Window) -> np.ndarray:
        out = np.zeros((window.height, window.width), bool)
        for tile in self.windows:
            for turn in turns(window, tile, self.grid.period_px):
                rows = slice(max(tile.row - window.row, 0), min(tile.stop_row - window.row, window.height))
                cols = slice(max(tile.col + turn - window.col, 0), min(tile.stop_col + turn - window.col, window.width))
                out[rows, cols] = True
        return out

    def blocks(self, side: int) -> Iterator[tuple[Window, np.ndarray]]:
        for tile in self.windows:
            for part in cut(tile, side):
                yield part, np.ones((part.height, part.width), bool)


def cut(window: Window, side: int) -> Iterator[Window]:
    """A window in parts of at most ``side`` pixels."""
    for row in range(window.row, window.stop_row, side):
        for col in range(window.col, window.stop_col, side):
            yield Window(row, col, min(side, window.stop_row - row), min(side, window.stop_col - col))


@dataclass(frozen=True)
class Drawn:
    """A raster mask."""

    mask: Mask | Tiles

    def squares(self, place: Place) -> list[Window]:
        return occupied(place, self.mask)

    def on_plane(self, place: Place, window: Window) -> np.ndarray:
        return place.read(window, self.mask)


@dataclass(frozen=True)
class Outlined:
    """Polygons in degrees on a body; a pixel belongs to them if its middle does."""

    degrees: BaseGeometry
    body: Body

    def squares(self, place: Place) -> list[Window]:
        outline = self._outline(place.crater.lon, place.crater.lat)
        if outline.is_empty:
            return []
        left, bottom, right, top = (edge / place.grid.resolution_m for edge in outline.bounds)
        return blocks_between(place, (place.middle - top, place.middle - bottom), (place.middle + left, place.middle + right))

    def on_plane(self, place: Place, window: Window) -> np.ndarray:
        grid, shape = place.grid.window(window), (window.height, window.width)
        outline = self._outline(place.crater.lon, place.crater.lat)
        if not outline.intersects(shapely.box(*grid.bounds)):
            return np.zeros(shape, bool)
        return rasterio.features.rasterize([outline], out_shape=shape, transform=grid.affine, dtype=np.uint8) > 0

    @lru_cache(maxsize=64)  # noqa: B019 - a handful of truths, each as long as its comparison
    def _outline(self, lon: float, lat: float) -> BaseGeometry:
        """In metres east and north of a crater."""
        return to_plane(self.degrees, self.body, lon, lat)


@dataclass(frozen=True)
class Together:
    """Several masks as one."""

    masks: list[Mask | Tiles]

    def read(self, window: Window) -> np.ndarray:
        out = np.zeros((window.height, window.width), bool)
        for mask in self.masks:
            out |= mask.read(window)
        return out


def any_on_plane(place: Place, window: Window, ejecta: list[Ejecta]) -> np.ndarray:
    """Where any of several craters' ejecta lie, (h, w) bool; masks far away cost next to nothing."""
    found = place.read(window, Together([one.mask for one in ejecta if isinstance(one, Drawn)]))
    for one in ejecta:
        if not isinstance(one, Drawn):
            found = found | one.on_plane(place, window)
    return found


class Empty:
    """No ejecta at all."""

    def squares(self, place: Place) -> list[Window]:
        return []

    def on_plane(self, place: Place, window: Window) -> np.ndarray:
        return np.zeros((window.height, window.width), bool)


def ejecta_of(path: Path, grid: Grid) -> dict[int, Ejecta]:
    """Ejecta by FID: of a folder of masks, or of a file of polygons with a column ``crat_FID``."""
    if path.suffix.lower() in VECTORS:
        return dict(_outlines(path, grid.body))
    if path.is_file():
        raise InputError(
            f"{path} is no truth", valid=f"a folder of masks, or polygons ({', '.join(VECTORS)})", next_step="name one of these"
        )
    return {mask.fid: Drawn(mask) for mask in MaskSet.of(path, grid).all()}


def _outlines(path: Path, body: Body) -> Iterator[tuple[int, Outlined]]:
    frame = to_degrees(read_polygons(path, body, "the truth"), body)
    numbers = fids_of(frame, path)
    for fid in sorted(set(numbers)):
        yield fid, Outlined(shapely.union_all(frame.geometry.to_numpy()[numbers == fid]), body)


# --- files of polygons --------------------------------------------------------------------------------------------------------


def read_polygons(path: Path, body: Body, what: str = "the polygons") -> geopandas.GeoDataFrame:
    """Polygons that people drew, as they stand in the file, without empty ones; ``InputError`` names what can't be used."""
    if path.suffix.lower() not in VECTORS or not path.exists():
        raise InputError(f"{path} is no file of polygons", valid=f"polygons as {', '.join(VECTORS)}", next_step="check the path")
    try:
        frame = geopandas.read_file(path)
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
        raise InputError(f"{path} can't be read: {first_line(error)}", valid="polygons that QGIS opens") from error
    if not isinstance(frame, geopandas.GeoDataFrame) or frame.crs is None:
        raise InputError(f"{path} has no CRS", valid="polygons in a CRS of the mosaic's body", next_step="assign it in QGIS")
    require_same_body(body, body_of_crs(frame.crs), f"{what} {path}")
    frame = frame[frame.geometry.notna() & ~frame.geometry.is_empty]
    wrong = np.flatnonzero(~frame.geom_type.isin(["Polygon", "MultiPolygon"]))
    if frame.empty or len(wrong):
        given = (
            f"{path}, row {frame.index[wrong[0]] + 1}: a {frame.geom_type.iloc[wrong[0]]}" if len(wrong) else f"{path} holds no polygons"
        )
        raise InputError(given, valid="polygons alone, one at least", next_step="draw it as a polygon")
    return frame


def to_degrees(frame: geopandas.GeoDataFrame, body: Body) -> geopandas.GeoDataFrame:
    """Polygons with vertices in degrees, dense enough to keep their course. Their rings may jump at the seam, and only vertices count."""
    unit = 1.0 if frame.crs.is_geographic else np.radians(1) * body.semi_major_m / frame.crs.axis_info[0].unit_conversion_factor
    # Before the change of CRS: a straight side of the file's projection is none in degrees.
    dense = shapely.segmentize(shapely.make_valid(frame.geometry.values), SEGMENT_DEGREES * unit)
    return frame.set_geometry(geopandas.GeoSeries(dense, frame.index, crs=frame.crs)).to_crs(body.geographic_crs())


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
