"""The planet's tables: crater rims, the catalogue of all craters, tile positions."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..core.files import atomic_path, write_table
from ..craters import catalogue
from ..geo.bodies import Body
from .population import Craters, FreshCrater

_RIM_POINTS = 180
CRISP = 4
"""``degradation_state`` of the freshest craters."""


def write_rims(path: Path, craters: list[FreshCrater], body: Body) -> None:
    """fresh_craters.gpkg on the body's geographic CRS: crat_FID, center_lon, center_lat [°], radius [m], train, rim polygon."""
    import geopandas

    ordered = sorted(craters, key=lambda crater: crater.fid)
    frame = geopandas.GeoDataFrame(
        {
            "FID": [crater.fid for crater in ordered],
            "center_lon": [float(np.degrees(crater.lon)) for crater in ordered],
            "center_lat": [float(np.degrees(crater.lat)) for crater in ordered],
            "radius": [crater.radius * body.mean_radius_m for crater in ordered],
            "train": [int(crater.train) for crater in ordered],
        },
        geometry=[rim_polygon(crater.lon, crater.lat, crater.radius) for crater in ordered],
        crs=body.geographic_crs(),
    )
    catalogue.write_catalogue(path, frame)


def write_catalogue(path: Path, craters: Craters, fresh: list[FreshCrater], body: Body) -> None:
    """catalogue.csv, all craters, largest first: lon, lat [°, −180 … 180], diameter_km, fresh (0/1: with ejecta) and
    degradation_state (1 worn … 4 crisp, as Robbins and Hynek count: quarters of the depth of a fresh crater)."""
    import pyarrow
    import pyarrow.csv

    lon = np.degrees(np.append([crater.lon for crater in fresh], craters.lon))
    lat = np.degrees(np.append([crater.lat for crater in fresh], craters.lat))
    diameter = np.append([crater.radius for crater in fresh], craters.radius) * (2 * body.mean_radius_m / 1000)
    order = np.argsort(-diameter, kind="stable")
    columns = {"lon": lon.round(5), "lat": lat.round(5), "diameter_km": diameter.round(4)}
    columns["fresh"] = (np.arange(len(lon)) < len(fresh)).astype(np.int8)
    columns["degradation_state"] = np.append(np.full(len(fresh), CRISP, np.int8), degradation_state(craters.depth))
    # A large planet has millions of rows: pandas would take longer than drawing them.
    table = pyarrow.table({name: values[order] for name, values in columns.items()})
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        stream.write((",".join(columns) + "\n").encode())
        pyarrow.csv.write_csv(table, stream, pyarrow.csv.WriteOptions(include_header=False))


def degradation_state(depth: np.ndarray) -> np.ndarray:
    """Quarter 1 … 4 (N,) int8 in which each depth lies, 0 worn away … 1 as fresh as can be."""
    return np.minimum(1 + np.floor(CRISP * depth), CRISP).astype(np.int8)


def write_positions(path: Path, tiles: np.ndarray, indices: np.ndarray | None = None) -> None:
    """Tile positions as CSV: pos_index, x, y, height, width in mosaic pixels, top-left corner."""
    import pandas

    indices = np.arange(len(tiles)) if indices is None else indices
    frame = pandas.DataFrame(tiles[indices], columns=["x", "y", "height", "width"])
    frame.insert(0, "pos_index", indices)
    write_table(path, frame)


def rim_polygon(lon: float, lat: float, radius: float):
    """A crater's rim in degrees as a shapely (Multi)Polygon: split at ±180°, closed along the edge of the map where a pole is inside."""
    from shapely import MultiPolygon, Polygon, box
    from shapely.affinity import translate

    lons, lats = _rim_points(lon, lat, radius)
    turned = np.unwrap(lons)
    if abs(lat) + radius > np.pi / 2:
        return Polygon(np.degrees(_around_pole(turned, lats, np.sign(lat))))
    ring = Polygon(np.degrees(np.stack([turned, lats], axis=1)))
    parts = [translate(ring, 360 * turn).intersection(box(-180, -90, 180, 90)) for turn in (-1, 0, 1)]
    parts = [part for part in parts if not part.is_empty and part.area > 0]
    return parts[0] if len(parts) == 1 else MultiPolygon(parts)


def _rim_points(lon: float, lat: float, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Points at the angular distance ``radius``, counter-clockwise (seen from above)."""
    azimuth = -np.arange(_RIM_POINTS) * (2 * np.pi / _RIM_POINTS)
    sin_lat = np.sin(lat) * np.cos(radius) + np.cos(lat) * np.sin(radius) * np.cos(azimuth)
    east = np.sin(azimuth) * np.sin(radius) * np.cos(lat)
    lons = lon + np.arctan2(east, np.cos(radius) - np.sin(lat) * sin_lat)
    return lons, np.arcsin(np.clip(sin_lat, -1, 1))


def _around_pole(turned: np.ndarray, lats: np.ndarray, pole: float) -> np.ndarray:
    """The map's outline of a cap with a pole inside: from −180° to 180° along the rim, back along the pole."""
    wrapped = (turned + np.pi) % (2 * np.pi) - np.pi
    order = np.argsort(wrapped)
    lons, lats = wrapped[order], lats[order]
    # The rim meets both edges of the map at one latitude.
    before, after = lons[-1] - 2 * np.pi, lons[0]
    edge = lats[-1] + (lats[0] - lats[-1]) * (-np.pi - before) / (after - before)
    lons = np.concatenate([[-np.pi], lons, [np.pi, np.pi, -np.pi]])
    lats = np.concatenate([[edge], lats, [edge, pole * np.pi / 2, pole * np.pi / 2]])
    return np.stack([lons, lats], axis=1)
