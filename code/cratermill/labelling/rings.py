"""A crater list as rings that people add, move, reshape and delete in QGIS, and back."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import shapely

from ..core.errors import InputError
from ..core.files import atomic_path
from ..craters.catalogue import read_catalogue, write_catalogue
from ..craters.vectors import centres
from ..geo.bodies import Body
from ..geo.geopackage import keep_authority
from ..geo.polygons import read_polygons

POINTS = 72
LAYER = "rings"
MOVED = 0.002
"""A ring counts as moved or reshaped if its centre or radius changed by more than this share of its radius."""
OWN = ("FID", "lon", "lat", "radius_m", "geometry")


@dataclass(frozen=True)
class Changes:
    """FIDs of rings that were added, moved, reshaped or deleted."""

    added: list[int]
    moved: list[int]
    resized: list[int]
    deleted: list[int]

    @property
    def any(self) -> bool:
        return bool(self.added or self.moved or self.resized or self.deleted)


def write_rings(craters: Path, into: Path, body: Body) -> tuple[int, list[int]]:
    """Rings of a crater list, in degrees; one across ±180° goes on beyond, so that it stays in one piece.

    Returns their number, and the FIDs of craters that hold a pole: they have no ring, and :func:`take_rings` keeps them.
    InputError where the file is there already: somebody may have edited it.
    """
    if into.suffix != ".gpkg":
        raise InputError(f"rings can't be written to {into}", valid="a GeoPackage: FILE.gpkg")
    if into.exists():
        raise InputError(f"{into} is there already", valid="a new file", next_step="take it in (label rings-import) or remove it")
    table = read_catalogue(craters, body)
    polar = table["FID"][holds_pole(table, body)].astype(int).tolist()
    table = table[~table["FID"].isin(polar)]
    rings = [ring(row.lon, row.lat, row.radius_m, body) for row in table.itertuples()]
    own = pd.DataFrame(table.drop(columns=[name for name in OWN if name in table]))
    own = own.drop(columns=[name for name in own if str(name).lower() in ("crat_fid", "fid")])
    frame = geopandas.GeoDataFrame(own.assign(crat_FID=table["FID"].astype("Int64")), geometry=rings, crs=body.geographic_crs())
    with atomic_path(into) as temporary:
        frame.to_file(temporary, layer=LAYER)
        keep_authority(temporary, frame.crs)
    return len(frame), polar


def holds_pole(table: pd.DataFrame, body: Body) -> np.ndarray:
    """Craters (n,) bool around a pole, whose rings can't be drawn in degrees."""
    lon, lat = table["lon"].to_numpy(float), table["lat"].to_numpy(float)
    return table["radius_m"].to_numpy(float) >= body.distance_m(lon, lat, lon, np.where(lat > 0, 90.0, -90.0))


def ring(lon: float, lat: float, radius_m: float, body: Body) -> shapely.Polygon:
    """A circle on the body in degrees, whole across the seam; it mustn't hold a pole."""
    azimuth = np.linspace(0, 360, POINTS, endpoint=False)
    lons, lats, _ = body.geod.fwd(np.full(POINTS, lon), np.full(POINTS, lat), azimuth, np.full(POINTS, radius_m))
    return shapely.Polygon(np.column_stack([lon + (np.asarray(lons) - lon + 180) % 360 - 180, lats]))


def read_rings(path: Path, body: Body, last: int = -1) -> geopandas.GeoDataFrame:
    """Edited rings: columns FID, lon, lat, radius_m, and their own; ``InputError`` names what can't be a crater.

    New ones are numbered on from ``last``, so that no deleted one's number comes back.
    """
    frame = read_polygons(path, body, "the rings")
    lon, lat = centres(frame, path)
    radius = np.array(
        [_radius_m(shape, body, *place) for shape, *place in zip(frame.to_crs(body.geographic_crs()).geometry, lon, lat, strict=True)]
    )
    small = ~(radius > 0)
    if small.any():
        raise InputError(f"{path}, row {int(np.argmax(small)) + 1}: the ring has no size", next_step="delete it, or draw it again")
    numbers = pd.to_numeric(frame["crat_FID"], errors="coerce") if "crat_FID" in frame else pd.Series(np.nan, frame.index)
    twice = numbers.dropna()[numbers.dropna().duplicated()].astype(int).tolist()
    if twice:
        raise InputError(
            f"{path} has crat_FID {twice[0]} more than once",
            valid="a number of its own for each ring",
            next_step="blank it for copies: they are new",
        )
    first = max(last, int(numbers.max()) if numbers.notna().any() else -1) + 1
    new = numbers.isna().to_numpy()
    fids = np.where(new, first + np.cumsum(new) - 1, numbers.fillna(0)).astype(int)
    own = pd.DataFrame(frame).drop(columns=["geometry", "crat_FID"], errors="ignore").reset_index(drop=True)
    places = pd.DataFrame({"FID": fids, "lon": lon, "lat": lat, "radius_m": radius})
    return geopandas.GeoDataFrame(places.join(own), geometry=frame.geometry.to_numpy(), crs=frame.crs)


def _radius_m(shape: shapely.Geometry, body: Body, lon: float, lat: float) -> float:
    """Mean distance of the outline from its centre, each piece of it counting by its length."""
    outline = shapely.get_exterior_ring(shape) if shape.geom_type == "Polygon" else shape.convex_hull.exterior
    points = shapely.get_coordinates(shapely.segmentize(outline, max(outline.length / 360, 1e-9)))
    return float(body.distance_m(lon, lat, points[:-1, 0], points[:-1, 1]).mean())


def take_rings(edited: Path, before: Path, into: Path, body: Body) -> Changes:
    """Write the edited list to ``into`` (``before`` may be named to replace it); columns of craters that were kept stay as they are.

    Craters that nobody touched keep their place and radius, whatever the ring's corners round them to; those around a pole had no ring.
    """
    old = read_catalogue(before, body).set_index("FID", drop=False)
    new = read_rings(edited, body, int(old.index.max())).set_index("FID", drop=False)
    kept = [fid for fid in new.index if fid in old.index]
    far = body.distance_m(new.loc[kept, "lon"], new.loc[kept, "lat"], old.loc[kept, "lon"], old.loc[kept, "lat"])
    radius = old.loc[kept, "radius_m"].to_numpy(float)
    moved = far > MOVED * radius
    resized = np.abs(new.loc[kept, "radius_m"].to_numpy(float) - radius) > MOVED * radius
    same = [fid for fid, one, two in zip(kept, moved, resized, strict=True) if not (one or two)]
    new.loc[same, ["lon", "lat", "radius_m"]] = old.loc[same, ["lon", "lat", "radius_m"]]
    polar = old[holds_pole(old, body) & ~old.index.isin(new.index)]
    points = polar.set_geometry(shapely.points(polar["lon"], polar["lat"]), crs=new.crs)
    table = pd.concat([new, points[[name for name in new if name in points]]]).reset_index(drop=True)
    table = table.drop(columns=[name for name in table if re.fullmatch(r"center_lon|center_lat|radius", str(name))])
    named = table.assign(center_lon=table["lon"], center_lat=table["lat"], radius=table["radius_m"]).drop(
        columns=["lon", "lat", "radius_m"]
    )
    write_catalogue(into, named if into.suffix not in (".csv", ".txt", ".tsv") else named.rename(columns={"FID": "crat_FID"}), body)
    elsewhere, larger = ([int(fid) for fid, one in zip(kept, which, strict=True) if one] for which in (moved, resized))
    both = (new, old), (old.drop(polar.index), new)
    added, deleted = ([int(fid) for fid in one.index if fid not in other.index] for one, other in both)
    return Changes(added, elsewhere, larger, deleted)
