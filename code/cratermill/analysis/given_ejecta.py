"""Ejecta as they may be given, masks or polygons, on a crater's azimuthal plane."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
import rasterio.features
import shapely
from shapely.geometry.base import BaseGeometry

from ..core.errors import InputError
from ..geo.bodies import Body
from ..geo.grid import Grid, Window
from ..geo.polygons import VECTORS, fids_of, read_polygons, to_degrees, to_plane
from .masks import Mask, MaskSet
from .plane import Place, blocks_between, occupied


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
            for here, _ in window.shared(tile, self.grid.period_px):
                out[here.slices] = True
        return out

    def blocks(self, side: int) -> Iterator[tuple[Window, np.ndarray]]:
        for tile in self.windows:
            for part in tile.squares(side):
                yield part, np.ones((part.height, part.width), bool)


@dataclass(frozen=True)
class Drawn:
    """A raster mask, which may lie on another grid of the body than the map's."""

    mask: Mask | Tiles

    def squares(self, place: Place) -> list[Window]:
        return occupied(self._of_mask(place), self.mask)

    def on_plane(self, place: Place, window: Window) -> np.ndarray:
        return self._of_mask(place).read(window, self.mask)

    def _of_mask(self, place: Place) -> Place:
        """The same plane, as it lies on the mask's own grid."""
        return place if self.lies_on(place.mosaic) else Place(place.crater, self.mask.grid, place.grid.resolution_m)

    def lies_on(self, grid: Grid) -> bool:
        return self.mask.grid is grid or self.mask.grid == grid


@dataclass(frozen=True)
class Outlined:
    """Polygons in degrees on a body, whose rings may jump at the seam; a pixel belongs to them if its middle does."""

    degrees: tuple[BaseGeometry, ...]
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
        return shapely.union_all([to_plane(shape, self.body, lon, lat) for shape in self.degrees])


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
    here = [one for one in ejecta if isinstance(one, Drawn) and one.lies_on(place.mosaic)]
    found = place.read(window, Together([one.mask for one in here]))
    for one in ejecta:
        if one not in here:
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
        yield fid, Outlined(tuple(frame.geometry.to_numpy()[numbers == fid]), body)
