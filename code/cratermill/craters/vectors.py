"""Vector files of craters: which layer, on which body, and where on it the middle of each shape lies."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import pyarrow
import pyarrow.parquet
import pyogrio
import pyproj
import shapely

from ..core.errors import InputError, nearest
from ..core.notices import notice
from ..geo.bodies import Body, body_of_crs, names_no_planet, planetodetic, west_doubt, wrap_lon
from . import columns

SUFFIXES = (".gpkg", ".shp", ".geojson", ".json")
PARQUET = ".parquet"
"""GeoParquet, or a plain table with columns of longitudes and latitudes."""
STREAMED = {".gpkg": "GPKG", ".geojson": "GeoJSON"}
"""Formats whose points GDAL takes as one stream, and their drivers."""
ERRORS = (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, pyogrio.errors.FeatureError, pyogrio.errors.FieldError)
WIDEST_DEG = 90.0
"""Farthest that a shape may reach from its middle: beyond, it covers half a body, and its plane has been mistaken."""
AT_POLE_DEG = 1e-6
NO_LENGTH = 1e-9
"""Of an outline whose vertices are one point, in radii of the body."""
SAME = 1e-7
"""Ends of two edges are the same point if their unit vectors agree to this, some decimetres on the Moon."""
PIECE = 2**16
"""Shapes that are read at a time."""
_NEAR_POLE = 0.9
_POLYGON, _COLLECTION = 3, 7  # shapely's numbers


def read(path: Path, layer: str | None) -> tuple[pd.DataFrame, Body | None, list[str]]:
    """The table of a layer, the body that the file names, and what to say about the choice."""
    chosen, notes = (None, []) if path.suffix.lower() == PARQUET else _layer(path, layer)
    frame = _frame(path, chosen)
    if not isinstance(frame, geopandas.GeoDataFrame):
        return pd.DataFrame(frame), None, notes
    if names_no_planet(path, frame.crs):
        frame = frame.set_crs(None, allow_override=True)
    elif frame.crs is None:
        notes = [*notes, f"{path} names no CRS: its shapes are taken for degrees east and north on the mosaic's body"]
    elif doubt := west_doubt(path, frame.crs):
        notes = [*notes, f"{doubt}. If craters lie mirrored, write the file in a CRS that counts east"]
    return frame, body_of_crs(frame.crs) if frame.crs is not None else None, notes


def eastwards(frame: geopandas.GeoDataFrame) -> geopandas.GeoDataFrame:
    """The same places in a CRS that counts east, where the frame's counts west: GDAL would write its degrees as degrees east."""
    if frame.crs is None or not frame.crs.is_geographic or all(axis.direction != "west" for axis in frame.crs.axis_info):
        return frame
    turned = shapely.transform(frame.geometry.to_numpy(), lambda places: places * [-1, 1])
    return frame.set_geometry(geopandas.GeoSeries(turned, index=frame.index, crs=body_of_crs(frame.crs).geographic_crs()))


def write_parquet(path: Path, craters: pd.DataFrame, parts: Iterator[Any]) -> None:
    """Write the parts (GeoDataFrames) of ``craters``, a table with shapes or with lon and lat alone, as one GeoParquet file."""
    first = next(parts)
    name, plain = first.geometry.name, pd.DataFrame(craters).drop(columns=first.geometry.name, errors="ignore")
    shaped = craters if isinstance(craters, geopandas.GeoDataFrame) else first
    types = {kind + " Z" * deep for kind, deep in zip(shaped.geom_type, shaped.has_z, strict=True) if isinstance(kind, str)}
    about = {"encoding": "WKB", "geometry_types": sorted(types), "crs": first.crs.to_json_dict() if first.crs else None}
    if types:
        places = [plain[["lon", "lat"]].min(), plain[["lon", "lat"]].max()] if shaped is first else [shaped.total_bounds]
        about["bbox"] = np.concatenate(places).tolist()
    schema = pyarrow.Schema.from_pandas(plain, preserve_index=False).append(pyarrow.field(name, pyarrow.binary()))
    geo = json.dumps({"version": "1.0.0", "primary_column": name, "columns": {name: about}})
    with pyarrow.parquet.ParquetWriter(path, schema.with_metadata({**(schema.metadata or {}), "geo": geo})) as file:
        for part in chain([first], parts):
            file.write_table(pyarrow.Table.from_pandas(part.to_wkb(), schema=schema, preserve_index=False))


def write_points(path: Path, layer: str, craters: pd.DataFrame, parts: Iterator[Any]) -> pyproj.CRS | None:
    """Write parts (GeoDataFrames of points) of a plain table as one layer of a ``STREAMED`` format; a GeoPackage's index GDAL makes at the
    end. Returns its CRS."""
    first, driver = next(parts), STREAMED[path.suffix]
    schema = pyarrow.Schema.from_pandas(craters, preserve_index=False).append(pyarrow.field(first.geometry.name, pyarrow.binary()))
    tables = (pyarrow.Table.from_pandas(part.to_wkb(), schema=schema, preserve_index=False) for part in chain([first], parts))
    stream = pyarrow.RecordBatchReader.from_batches(schema, (batch for table in tables for batch in table.to_batches()))
    crs = first.crs.to_wkt("WKT1_GDAL") if first.crs else None  # as geopandas hands it on
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that there is no CRS
        pyogrio.write_arrow(stream, path, layer=layer, driver=driver, geometry_name=first.geometry.name, geometry_type="Point", crs=crs)
    return first.crs


def _parquet(path: Path) -> pd.DataFrame:
    """A table, with shapes where the file is GeoParquet: those are made of its bytes piece by piece."""
    file = pyarrow.parquet.ParquetFile(path, pre_buffer=False)
    about = json.loads((file.metadata.metadata or {}).get(b"geo", b"null"))
    if about is None:
        return pd.read_parquet(path)
    shapes, name = about.get("columns", {}), about.get("primary_column")
    if list(shapes) != [name] or shapes[name].get("encoding") != "WKB" or "crs" not in shapes[name]:
        return geopandas.read_parquet(path)  # several columns of shapes, coordinates as numbers, degrees on Earth
    others = file.read([column for column in file.schema_arrow.names if column != name])
    table = others.to_pandas(split_blocks=True, self_destruct=True)
    made, start = np.empty(len(table), object), 0
    for piece in file.iter_batches(PIECE, columns=[name], use_threads=False):
        made[start : (start := start + len(piece))] = shapely.from_wkb(piece.column(0).to_numpy(zero_copy_only=False))
    pyarrow.default_memory_pool().release_unused()
    table[name] = geopandas.array.GeometryArray(made, crs=shapes[name]["crs"])
    return geopandas.GeoDataFrame(table, geometry=name, copy=False)


def _frame(path: Path, layer: str | None, rows: int | None = None) -> pd.DataFrame:
    if path.suffix.lower() == PARQUET:
        return _parquet(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            return pyogrio.read_dataframe(path, layer=layer, max_features=rows)
        except UnicodeDecodeError:
            # The .cpg beside a shapefile is wrong, or missing.
            notice(f"{path}: the text is not what its .cpg says and was read as Windows-1252: save it as UTF-8 if letters look wrong")
            return pyogrio.read_dataframe(path, layer=layer, max_features=rows, encoding="cp1252")


def _layer(path: Path, wanted: str | None) -> tuple[str | None, list[str]]:
    """The layer to read: the one that is named, the only one, or the only one that has sizes."""
    names = [str(name) for name, _ in pyogrio.list_layers(path)]
    if wanted is not None:
        if wanted not in names:
            valid = nearest(wanted, names) or "none: it is empty"
            raise InputError(f"{path} has no layer {wanted!r}", valid=valid, next_step="correct 'layer' in the configuration")
        return wanted, []
    if len(names) < 2:
        return None, []
    craters = [name for name in names if columns.sizes(_frame(path, name, 1))]
    if len(craters) == 1:
        return craters[0], [f"{path} has {len(names)} layers: {craters[0]!r} is read, the only one with sizes"]
    raise InputError(
        f"{path} has {len(names)} layers{', none of them with sizes' if not craters else ''}: {', '.join(names)}",
        valid="one layer of craters, or the name of one",
        next_step="name it in the configuration (layer: …), beside the crater list, or export it to a file of its own",
    )


def _refuse(path: Path, wrong: np.ndarray, what: str, valid: str) -> None:
    columns.refuse_rows(path, wrong, what, valid, "correct these rows, or add columns center_lon and center_lat")


def centres(frame: geopandas.GeoDataFrame, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Longitude and latitude of the middle of every row's shape, found on the body and not in the file's plane, which may cut it.

    The middle is the mean of the outline's unit vectors, each edge counting by its length: of a circle on the body its centre, exactly,
    wherever a seam or a pole lies. ``InputError`` names rows without a shape, off the body, or wider than half of it.
    """
    shapes = frame.geometry.values
    empty = shapely.is_missing(shapes) | shapely.is_empty(shapes)
    _refuse(path, empty, "no geometry, and the file has no columns of longitudes and latitudes", "a point or a rim for each crater")
    xyz, row, ring = _outlines(frame, path)
    following = _following(ring)
    middle, seams = _edge_means(xyz, following, row, ring, len(frame))
    _refuse(path, seams, "the outline is nothing but a seam of the file's plane", "rims of single craters")
    length = np.linalg.norm(middle, axis=1)
    far = np.zeros(len(frame), bool)
    far[row[np.einsum("ij,ij->i", xyz, xyz[following]) < np.cos(np.radians(WIDEST_DEG))]] = True  # which way round can't be told
    with np.errstate(invalid="ignore", divide="ignore"):
        middle = middle / length[:, None]
        far[row[~(np.einsum("ij,ij->i", xyz, middle[row]) >= np.cos(np.radians(WIDEST_DEG)))]] = True
    _refuse(path, far, "the shape is wider than half the body", "rims of single craters, in the file's own CRS")
    return wrap_lon(np.degrees(np.arctan2(middle[:, 1], middle[:, 0]))), np.degrees(np.arcsin(np.clip(middle[:, 2], -1, 1)))


def _outlines(frame: geopandas.GeoDataFrame, path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices as unit vectors (N, 3), the row and the ring of each; holes left out, as are vertices at the poles of longer outlines."""
    parts, row_of_part = shapely.get_parts(frame.geometry.values, return_index=True)
    while (shapely.get_type_id(parts) == _COLLECTION).any():
        parts, at = shapely.get_parts(parts, return_index=True)
        row_of_part = row_of_part[at]
    polygons = shapely.get_type_id(parts) == _POLYGON
    parts = np.where(polygons, shapely.get_exterior_ring(parts), parts)
    places, ring = shapely.get_coordinates(parts, return_index=True)
    row = row_of_part[ring]
    lon, lat = _degrees(frame, places)
    wrong = ~(np.isfinite(lon) & np.isfinite(lat) & (np.abs(lat) <= 90 + 1e-9) & (lon >= -360) & (lon <= 720))
    columns.refuse_rows(
        path,
        np.bincount(row, weights=wrong, minlength=len(frame)) > 0,
        "its geometry reaches x = {:g}, y = {:g}".format(*(places[np.argmax(wrong)] if len(places) else (0, 0))),
        "longitudes −360…720°, latitudes −90…90°, or metres within the file's projection",
        "correct the shape, or the CRS of the file",
    )
    # A vertex at a pole belongs to the plane's edge, along which outlines around the pole are closed: the ring closes without it.
    pole = np.abs(lat) > 90 - AT_POLE_DEG
    alone = np.bincount(ring[~pole], minlength=len(parts))[ring] < 3
    kept = ~pole | alone
    lon, lat = np.radians(lon[kept]), np.radians(lat[kept])
    xyz = np.column_stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    return xyz, row[kept], ring[kept]


def _degrees(frame: geopandas.GeoDataFrame, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Degrees east and north (planetodetic) of places in the file's plane; infinite where they lie off it."""
    x, y = places[:, 0], places[:, 1]
    if frame.crs is None:
        return x, y
    body = body_of_crs(frame.crs)
    if not frame.crs.is_geographic:
        return pyproj.Transformer.from_crs(frame.crs, body.geographic_crs(), always_xy=True).transform(x, y)
    if any(axis.direction == "west" for axis in frame.crs.axis_info):
        x = -x
    if any("planetocentric" in axis.name.lower() for axis in frame.crs.axis_info):
        y = planetodetic(y, body)
    return x, y


def _following(ring: np.ndarray) -> np.ndarray:
    """The next vertex of each (N,); rings close, also where a vertex at the pole was their end."""
    start = np.r_[True, ring[1:] != ring[:-1]]
    first = np.maximum.accumulate(np.where(start, np.arange(len(ring)), 0))
    end = np.r_[start[1:], True]
    return np.where(end, first, np.arange(1, len(ring) + 1))


def _edge_means(xyz: np.ndarray, following: np.ndarray, row: np.ndarray, ring: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Sum over each row's edges of their midpoints times their lengths (count, 3); of points alone, the sum of the points.
    And the rows (count,) bool of which nothing is left but such edges as don't count.

    Edges that coincide are the two sides of a cut through the shape, at a seam of its plane, and count as none.
    """
    a, b = xyz, xyz[following]
    length = np.linalg.norm(a - b, axis=1)
    outlined = np.bincount(row, weights=length * (np.bincount(ring)[ring] > 3), minlength=count) > NO_LENGTH
    doubtful = np.flatnonzero(_may_be_cut(xyz, row, ring, count)[row])
    length[doubtful[_cuts(a[doubtful], b[doubtful], row[doubtful])]] = 0.0
    sums = np.zeros((count, 3))
    np.add.at(sums, row, (a + b) / 2 * length[:, None])
    pointlike = np.bincount(row, weights=length, minlength=count) <= NO_LENGTH
    chosen = pointlike[row]
    np.add.at(sums, row[chosen], xyz[chosen])
    return sums, outlined & pointlike


def _may_be_cut(xyz: np.ndarray, row: np.ndarray, ring: np.ndarray, count: int) -> np.ndarray:
    """Rows (count,) of several outlines, or with one that leaves a plane and comes back, at some meridian or around a pole."""
    several = np.bincount(row[np.r_[True, ring[1:] != ring[:-1]]], minlength=count) > 1
    meets = np.zeros(count, bool)
    turn = np.arctan2(xyz[:, 1], xyz[:, 0])
    meets[row[1:][(row[1:] == row[:-1]) & (np.abs(np.diff(turn)) > np.pi)]] = True
    poles = np.zeros(count, bool)
    poles[row[np.abs(xyz[:, 2]) > _NEAR_POLE]] = True
    return several | meets | poles


def _cuts(a: np.ndarray, b: np.ndarray, row: np.ndarray) -> np.ndarray:
    """Which edges (N,) lie twice in their row, in whatever direction."""
    ends = np.stack([np.rint(a / SAME), np.rint(b / SAME)]).astype(np.int64)
    swapped = (ends[0] > ends[1])[np.arange(len(row)), np.argmax(ends[0] != ends[1], axis=1)]
    low, high = np.where(swapped[:, None], ends[1], ends[0]), np.where(swapped[:, None], ends[0], ends[1])
    _, which, counts = np.unique(np.column_stack([row, low, high]), axis=0, return_inverse=True, return_counts=True)
    return counts[which.ravel()] > 1
