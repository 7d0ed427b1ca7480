"""Ejecta as polygons and craters as points, for GIS programs."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import rasterio.features
from shapely.geometry import MultiPolygon, shape

from ...core.files import atomic_path
from ...geo.geopackage import keep_authority
from ...geo.grid import Grid

PORTION = 50
"""Craters whose polygons are in memory at a time."""


def outline(mask: np.ndarray, grid: Grid) -> MultiPolygon:
    """A mask (h, w) on its own grid as polygons along the pixels' edges, holes cut out; areas are those of the pixels."""
    mask = np.ascontiguousarray(mask, np.uint8)
    found = rasterio.features.shapes(mask, mask=mask > 0, transform=grid.affine, connectivity=4)
    return MultiPolygon([shape(polygon) for polygon, _ in found])


def write_polygons(path: Path, table: pd.DataFrame, outlines: Iterable[MultiPolygon], grid: Grid) -> Path:
    """One row per crater, in the mosaic's CRS; ejecta that cross the mosaic's edge are cut there."""
    outlines = iter(outlines)
    with atomic_path(path) as temporary:
        for start in range(0, len(table), PORTION):
            rows = table.iloc[start : start + PORTION]
            frame = gpd.GeoDataFrame(rows, geometry=list(islice(outlines, len(rows))), crs=grid.crs)
            frame.to_file(temporary, driver="GPKG", layer=path.stem, mode="a" if start else "w", geometry_type="MultiPolygon")
        if len(table):
            keep_authority(temporary, grid.crs)
    return path


def write_points(path: Path, table: pd.DataFrame, grid: Grid) -> Path:
    """The crater table with each crater's centre, in degrees on the mosaic's body."""
    frame = gpd.GeoDataFrame(table, geometry=gpd.points_from_xy(table["lon"], table["lat"]), crs=grid.body.geographic_crs())
    with atomic_path(path) as temporary:
        frame.to_file(temporary, driver="GPKG", layer=path.stem)
        keep_authority(temporary, frame.crs)
    return path
