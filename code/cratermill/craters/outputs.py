"""A list of craters in the formats that people count with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ..geo.bodies import Body
from .catalogue import write_catalogue

SUFFIXES = (".gpkg", ".parquet", ".csv", ".scc", ".diam")


def crater_table(craters: pd.DataFrame) -> pd.DataFrame:
    """Craters (lon, lat, radius_m, …) numbered from the largest, with diameters."""
    craters = craters.sort_values(["radius_m", "lon", "lat"], ascending=[False, True, True]).reset_index(drop=True)
    craters = craters.drop(columns=["FID", "diameter_km"], errors="ignore")
    craters.insert(0, "FID", np.arange(len(craters)))
    craters["diameter_km"] = craters["radius_m"] * 2 / 1000
    return craters


def spreads_in_km(craters: pd.DataFrame) -> pd.DataFrame:
    """``spread_place`` and ``spread_size`` in metres as columns in kilometres, at the end."""
    for name in ("spread_place", "spread_size"):
        craters[f"{name}_km"] = craters.pop(name) / 1000
    return craters


def write_craters(folder: Path, craters: pd.DataFrame, body: Body, boundary: list[tuple[float, float]] | None) -> list[Path]:
    """``craters`` in all of SUFFIXES; CraterStats' files with the area counted, inside ``boundary`` or the whole body."""
    return [write_catalogue(folder / f"craters{suffix}", craters, body, boundary=boundary) for suffix in SUFFIXES]


def counted_boundary(west: float, south: float, east: float, north: float, step: float = 1.0) -> list[tuple[float, float]] | None:
    """Corners (lon, lat) around the counted area; None for a whole body. Parallels get many, since a polygon's sides are geodesics."""
    if east - west >= 360 and south <= -90 and north >= 90:
        return None
    count = max(2, int(np.ceil((east - west) / step)) + 1)
    lons = np.linspace(west, east, count)
    return [*((float(lon), south) for lon in lons), *((float(lon), north) for lon in lons[::-1])]
