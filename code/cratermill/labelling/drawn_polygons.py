"""Ejecta drawn as polygons, in whatever CRS of the body: what each tile holds of them, exact across the seam and over the poles."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from ..core.errors import InputError
from ..families.ejecta_common.craters import Crater
from ..geo.bodies import Body
from ..geo.grid import Grid
from ..geo.polygons import fids_of, read_polygons, to_degrees, to_plane
from .drawing_folder import Tile
from .ground import Ground


@dataclass(frozen=True)
class Outlines:
    """The shapes of one crater in metres east and north of its centre: its ejecta, and the ground that was looked at (None: unknown)."""

    crater: Crater
    ejecta: BaseGeometry
    looked: BaseGeometry | None = None

    def pixels(self, tile: Tile, grid: Grid, shape: BaseGeometry | None = None) -> np.ndarray:
        """(h, w) uint8: 1 where the middle of a pixel lies in the ejecta, or in another shape."""
        plane = self.crater.grid(grid)
        rows, cols = np.mgrid[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width]
        east, north = plane.xy(*plane.rowcol_of_lonlat(*grid.lonlat(rows, cols)))
        return shapely.contains_xy(self.ejecta if shape is None else shape, east, north).astype(np.uint8)

    def tiles(self, ground: Ground) -> list[tuple[Tile, np.ndarray]]:
        """Tiles of the ground that hold ejecta, or that were looked at as a whole, nearest first, with their pixels."""
        shapes = [shape for shape in (self.ejecta, self.looked) if shape is not None and not shape.is_empty]
        reach_m = max((float(np.hypot(*shapely.get_coordinates(shape).T).max()) for shape in shapes), default=0.0)
        distance = ground.distances_m(self.crater.fid)
        half_m = np.hypot(*ground.tile_px) * ground.grid.resolution_m / 2
        near = np.flatnonzero((distance <= reach_m + half_m) & (ground.strata(self.crater.fid) >= 0))
        found = []
        for at in near[np.argsort(distance[near], kind="stable")]:
            tile = ground.tile(self.crater.fid, ground.corners[at])
            pixels = self.pixels(tile, ground.grid)
            if pixels.any() or (self.looked is not None and self.pixels(tile, ground.grid, self.looked).all()):
                found.append((tile, pixels))
        return found


def read_outlines(path: Path, body: Body, craters: dict[int, Crater], looked: Path | None = None) -> list[Outlines]:
    """Polygons by their column ``crat_FID``; ``looked``: polygons of ground that was searched for ejecta of all these craters."""
    frame = to_degrees(read_polygons(path, body), body)
    numbers = fids_of(frame, path)
    unknown = sorted(set(numbers.tolist()) - set(craters))
    if unknown:
        raise InputError(f"{path} names the craters {unknown[:10]}, which the crater list lacks", valid="FIDs of the crater list")
    ground = None if looked is None else list(to_degrees(read_polygons(looked, body), body).geometry)
    found = []
    for fid, shapes in frame.geometry.groupby(numbers):
        crater = craters[int(fid)]
        ejecta = on_plane(list(shapes), body, crater)
        found.append(Outlines(crater, ejecta, None if ground is None else on_plane(ground, body, crater)))
    return found


def on_plane(degrees: list[BaseGeometry], body: Body, crater: Crater) -> BaseGeometry:
    """Several shapes as one, in metres around a crater; ready to be asked about many points."""
    whole = shapely.union_all([to_plane(shape, body, crater.lon, crater.lat) for shape in degrees])
    shapely.prepare(whole)
    return whole
