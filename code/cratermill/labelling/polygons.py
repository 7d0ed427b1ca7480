"""Ejecta drawn as polygons, in whatever CRS of the body: what each tile holds of them, exact across the seam and over the poles."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import geopandas
import numpy as np
import pyogrio
import shapely
from shapely.geometry.base import BaseGeometry

from ..analysis.plane import to_plane
from ..analysis.shapes import FID_COLUMN, SEGMENT_DEGREES, VECTORS
from ..core.errors import InputError, first_line
from ..families.ejecta_common.craters import Crater
from ..geo.bodies import Body, body_of_crs, require_same_body
from ..geo.grid import Grid
from .folder import Tile
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
    frame = _frame(path, body)
    column = next((name for name in frame if str(name).lower() == FID_COLUMN.lower()), None)
    if column is None:
        raise InputError(f"{path} has no column {FID_COLUMN}; it has {', '.join(map(str, frame))}", valid=f"polygons with {FID_COLUMN}")
    if frame[column].isna().any():
        raise InputError(f"{path}: {int(frame[column].isna().sum())} polygons have no {FID_COLUMN}", next_step="say whose ejecta they are")
    unknown = sorted(set(frame[column].astype(int)) - set(craters))
    if unknown:
        raise InputError(f"{path} names the craters {unknown[:10]}, which the crater list lacks", valid="FIDs of the crater list")
    ground = None if looked is None else list(_frame(looked, body).geometry)
    found = []
    for fid, shapes in frame.geometry.groupby(frame[column].astype(int)):
        crater = craters[int(fid)]
        ejecta = on_plane(list(shapes), body, crater)
        found.append(Outlines(crater, ejecta, None if ground is None else on_plane(ground, body, crater)))
    return found


def on_plane(degrees: list[BaseGeometry], body: Body, crater: Crater) -> BaseGeometry:
    """Several shapes as one, in metres around a crater; ready to be asked about many points."""
    whole = shapely.union_all([to_plane(shape, body, crater.lon, crater.lat) for shape in degrees])
    shapely.prepare(whole)
    return whole


def _frame(path: Path, body: Body) -> geopandas.GeoDataFrame:
    """Polygons with vertices in degrees, dense enough to keep their course. Their rings may jump at the seam, and only vertices count."""
    if path.suffix.lower() not in VECTORS or not path.exists():
        raise InputError(f"{path} is no file of polygons", valid=f"polygons as {', '.join(VECTORS)}", next_step="check the path")
    try:
        frame = geopandas.read_file(path)
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
        raise InputError(f"{path} can't be read: {first_line(error)}", valid="polygons that QGIS opens") from error
    if frame.crs is None:
        raise InputError(f"{path} has no CRS", valid="polygons in a CRS of the mosaic's body", next_step="assign it in QGIS")
    require_same_body(body, body_of_crs(frame.crs), f"the polygons {path}")
    frame = frame[frame.geometry.notna() & ~frame.geometry.is_empty]
    if frame.empty or not frame.geom_type.isin(["Polygon", "MultiPolygon"]).all():
        kinds = sorted(set(frame.geom_type)) or "nothing"
        raise InputError(f"{path} holds {kinds}", valid="polygons alone, one at least")
    unit = 1.0 if frame.crs.is_geographic else np.radians(1) * body.semi_major_m / frame.crs.axis_info[0].unit_conversion_factor
    dense = shapely.segmentize(shapely.make_valid(frame.geometry.values), SEGMENT_DEGREES * unit)
    return frame.set_geometry(geopandas.GeoSeries(dense, frame.index, crs=frame.crs)).to_crs(body.geographic_crs())
