"""Ejecta as they may be given, masks or polygons, on a crater's azimuthal plane."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import geopandas
import numpy as np
import rasterio.features
import shapely
from shapely.geometry.base import BaseGeometry

from ..core.errors import InputError
from ..geo.bodies import Body, body_of_crs, require_same_body
from ..geo.grid import Grid, Window
from .masks import Mask, MaskSet, turns
from .plane import Crater, Place, blocks_between, occupied, to_plane

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


def ejecta_of(path: Path, grid: Grid, craters: dict[int, Crater]) -> dict[int, Ejecta]:
    """Ejecta by FID: of a folder of masks, or of a file of polygons with a column ``crat_FID``."""
    if path.suffix.lower() in VECTORS:
        return dict(_outlines(path, grid.body, craters))
    if path.is_file():
        raise InputError(
            f"{path} is no truth", valid=f"a folder of masks, or polygons ({', '.join(VECTORS)})", next_step="name one of these"
        )
    return {mask.fid: Drawn(mask) for mask in MaskSet.of(path, grid).all()}


def _outlines(path: Path, body: Body, craters: dict[int, Crater]) -> dict[int, Outlined]:
    if not path.exists():
        raise InputError(f"there is no file {path}", next_step="check the path")
    frame = geopandas.read_file(path)
    column = next((name for name in frame if str(name).lower() == FID_COLUMN.lower()), None)
    if column is None or frame.crs is None:
        lacking = f"no column {FID_COLUMN}" if column is None else "no CRS"
        raise InputError(f"{path} has {lacking}; its columns: {', '.join(map(str, frame))}", valid="polygons with crat_FID and a CRS")
    require_same_body(body, body_of_crs(frame.crs), f"the truth {path}")
    frame = frame[~frame.geometry.is_empty & frame.geometry.notna()]
    if frame.empty:
        raise InputError(f"{path} holds no polygons", valid="the ejecta of at least one crater")
    degrees = frame.geometry.to_crs(body.geographic_crs())
    found: dict[int, list[BaseGeometry]] = {}
    for fid, outline in zip(frame[column].astype(int), degrees, strict=True):
        if fid in craters:
            found.setdefault(fid, []).append(shapely.segmentize(shapely.make_valid(outline), SEGMENT_DEGREES))
    return {fid: Outlined(shapely.union_all(parts), body) for fid, parts in found.items()}
