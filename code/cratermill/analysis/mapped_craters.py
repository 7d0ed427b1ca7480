"""The craters whose masks are looked at: places and rims from a map's table or a crater list."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import geopandas
import numpy as np
from shapely.geometry.base import BaseGeometry

from ..core.errors import InputError
from ..craters.catalogue import read_catalogue
from ..geo.bodies import Body, require_same_body
from ..geo.polygons import to_plane
from .plane import Crater

RIM_AREAS = (0.25, 4.0)
"""A rim whose area is less or more than this share of the circle's isn't one piece around its crater (cut at the seam, or at a pole)."""


def read_craters(
    path: Path, body: Body, fids: Iterable[int] | None = None, *, units: str | None = None, layer: str | None = None
) -> dict[int, Crater]:
    """Craters by FID, with their rims where the list has polygons. ``fids``: only these; one that the list lacks is an InputError."""
    table = read_catalogue(path, body, units=units, layer=layer)
    if table.crs is not None:
        require_same_body(body, table.crs, f"the crater list {path}")
    wanted = None if fids is None else set(fids)
    missing = sorted((wanted or set()) - set(table["FID"].tolist()))
    if missing:
        raise InputError(
            f"{path} lacks the crater(s) {', '.join(map(str, missing[:10]))}{' …' if len(missing) > 10 else ''}, of which there are masks",
            valid="a crater list with every crater that has a mask",
            next_step="name the list that the masks were made with (--craters)",
        )
    chosen = table if wanted is None else table[table["FID"].isin(wanted)]
    return {crater.fid: crater for crater in _craters(chosen, body)}


def _craters(table: geopandas.GeoDataFrame, body: Body) -> list[Crater]:
    rims = _to_degrees(table, body)
    places = zip(table["FID"], table["lon"], table["lat"], table["radius_m"], rims, strict=True)
    return [
        Crater(int(fid), float(lon), float(lat), float(radius), rim_on_plane(rim, body, float(lon), float(lat), float(radius)))
        for fid, lon, lat, radius, rim in places
    ]


def _to_degrees(table: geopandas.GeoDataFrame, body: Body) -> Iterable[BaseGeometry | None]:
    """Rims in degrees; None where the list has points alone."""
    polygons = table.geometry.geom_type.isin(["Polygon", "MultiPolygon"])
    if table.crs is None or not polygons.any():
        return [None] * len(table)
    geometry = table.geometry.to_crs(body.geographic_crs())
    return [rim if is_polygon else None for rim, is_polygon in zip(geometry, polygons, strict=True)]


def rim_on_plane(rim: BaseGeometry | None, body: Body, lon: float, lat: float, radius_m: float) -> BaseGeometry | None:
    """A rim in degrees as a polygon in metres east and north of its centre; None, for a circle, where its shape can't be trusted."""
    if rim is None or rim.is_empty:
        return None
    plane = to_plane(rim, body, lon, lat)
    share = plane.area / (np.pi * radius_m**2)
    return plane if RIM_AREAS[0] <= share <= RIM_AREAS[1] else None
