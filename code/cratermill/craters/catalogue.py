"""Crater tables in and out: CSV, GeoPackage, GeoParquet, shapefile, GeoJSON, CraterStats' .scc and .diam.

However a file names and scales them, the columns FID (integer), lon (degrees in −180…180), lat and radius_m come out; its own columns stay.
"""

from __future__ import annotations

import re
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import shapely
from pyproj import CRS

from ..core.delimited import read_frame
from ..core.errors import InputError, WorkError, first_line
from ..core.files import atomic_path, write_table
from ..core.notices import notice
from ..geo.bodies import Body, body_of_crs, planetodetic, require_same_body, wrap_lon
from ..geo.geopackage import keep_authority
from . import craterstats, vectors
from .chosen import chosen
from .columns import (
    LAT_NAMES,
    LON_NAMES,
    SYSTEM_NAMES,
    UNITS,
    WEST_NAMES,
    fids,
    find,
    find_all,
    numbers,
    radii_m,
    require,
    require_one_each,
    require_signs,
    said_of_coordinates,
)

TEXT_SUFFIXES = (".csv", ".txt", ".tsv")
FORMATS = (*TEXT_SUFFIXES, *vectors.SUFFIXES, vectors.PARQUET, *craterstats.SUFFIXES)
BLOCK = 2**18
"""Rows that are handed to GDAL at a time: it copies them all."""
ELSEWHERE_DEG = 1.0
"""Columns and shapes that say so different places of a crater can't both be right."""
MANY, RADIANS = 20, 0.5
"""Craters of a list, and its highest latitude, from which on it is worth a word that its degrees could be radians."""
COMPARED = 1000
"""Rows whose columns are compared with their shapes."""
NOTHING = {"FID": np.empty(0, np.int64), "lon": np.empty(0), "lat": np.empty(0), "radius_m": np.empty(0)}
"""Columns of an empty list."""


def read_catalogue(
    path: str | Path,
    body: Body | None = None,
    *,
    units: str | None = None,
    layer: str | None = None,
    pixel_m: float | None = None,
    where: str | None = None,
    columns: Mapping[str, str] | None = None,
    called: str | None = None,
    empty: bool = False,
) -> geopandas.GeoDataFrame:
    """Read a crater list: FID, lon, lat, radius_m, the file's own columns, and its geometry (else points at the centres).

    ``body``: the mosaic's; a file on another ellipsoid is refused. ``units`` (m, km) of the size column where its name doesn't tell: then
    metres are assumed, and refused if they can't be meant, judged by ``pixel_m``, the mosaic's pixel, too. ``layer`` of a file of several.
    ``columns`` are added, {name: formula}, and the craters for which ``where`` holds are left; see chosen.py. ``called``: how messages name
    the file where it is a copy. ``empty``: a list without a row is one, too, as where a network found nothing; else it is refused.
    InputError names the file, row, column and value of what is wrong; what was assumed is said (:mod:`cratermill.core.notices`).
    """
    path = Path(path)
    if units not in (None, *UNITS):
        raise InputError(f"units={units!r}", valid=", ".join(UNITS))
    frame, found_body, source_units = _load(path, layer)
    path = Path(called or path)
    if body and found_body:
        require_same_body(body, found_body, str(path))
    body = body or found_body
    if not len(frame) and not empty:
        raise InputError(f"{path} lists no craters", valid="at least one row")
    standard = _places_and_sizes(frame, path, body, units, source_units, pixel_m) if len(frame) else NOTHING
    geometry = frame.geometry if isinstance(frame, geopandas.GeoDataFrame) else shapely.points(standard["lon"], standard["lat"])
    crs = getattr(frame, "crs", None) or (body.geographic_crs() if body else None)
    # GeoPackages and shapefiles compare names without case; a nameless column is some table's row number.
    taken = {"geometry", getattr(getattr(frame, "geometry", None), "name", None), *map(str.lower, standard)}
    gone = [name for name in frame if str(name).lower() in taken or str(name).startswith("Unnamed:")]
    kept = pd.DataFrame(frame).drop(columns=gone).reset_index(drop=True)
    del frame  # of long lists what follows would be a copy more
    whole = pd.concat([pd.DataFrame(standard, copy=False), kept], axis=1)
    table = geopandas.GeoDataFrame(whole, geometry=np.asarray(geometry), crs=crs, copy=False)
    return chosen(table, where, columns or {}, str(path))


def _places_and_sizes(
    frame: pd.DataFrame, path: Path, body: Body | None, units: str | None, source_units: str | None, pixel_m: float | None
) -> dict[str, np.ndarray]:
    """FID, lon, lat and radius_m of all rows; what was assumed is said."""
    require_one_each(frame, path)
    lon, lat = _centres(frame, path, body)
    radius, about_size = radii_m(frame, path, units, source_units, body, pixel_m)
    numbered, about_ids = fids(frame, path)
    for remark in (*about_size, *about_ids):
        notice(remark)
    return {"FID": numbered, "lon": wrap_lon(lon), "lat": lat, "radius_m": radius}


def write_catalogue(
    path: str | Path, craters: pd.DataFrame, body: Body | None = None, *, boundary: Iterable[tuple[float, float]] | None = None
) -> Path:
    """Write a crater list in the format of its suffix, whole or not at all; CraterStats' formats need ``body`` (and the counted area)."""
    path = Path(path)
    try:
        if path.suffix in craterstats.SUFFIXES:
            body = body or body_of_crs(getattr(craters, "crs", None))
            return craterstats.write_craters(path, craters, body, list(boundary) if boundary else None)
        if path.suffix in TEXT_SUFFIXES:
            return write_table(path, pd.DataFrame(craters).drop(columns="geometry", errors="ignore"))
        if path.suffix in (*vectors.SUFFIXES, vectors.PARQUET):
            return _write_vector(path, craters, body)
    except (OSError, *vectors.ERRORS) as error:
        raise WorkError(f"{path} can't be written: {error}", next_step="make room or choose another folder, then rerun") from error
    raise _unknown_format(path)


def _unknown_format(path: Path) -> InputError:
    return InputError(f"{path}: unknown format {path.suffix!r}", valid=", ".join(FORMATS))


def _load(path: Path, layer: str | None) -> tuple[pd.DataFrame, Body | None, str | None]:
    """The table as it is in the file, the body that the file names, and the units that its format prescribes."""
    if not path.is_file():
        raise InputError(f"{path} doesn't exist or is no file", valid="a crater list", next_step="check the path")
    suffix = path.suffix.lower()
    if layer is not None and suffix not in vectors.SUFFIXES:
        raise InputError(
            f"{path} has no layers, but the configuration names one: {layer!r}", valid=f"layers of {', '.join(vectors.SUFFIXES)}"
        )
    try:
        if suffix in craterstats.SUFFIXES:
            table, body = craterstats.read_craters(path)
            return pd.DataFrame(table), body, "km"
        if suffix in TEXT_SUFFIXES:
            return read_frame(path), None, None
        if suffix in (*vectors.SUFFIXES, vectors.PARQUET):
            frame, body, notes = vectors.read(path, layer)
            for remark in notes:
                notice(remark)
            return frame, body, None
    except (OSError, ValueError, RuntimeError, *vectors.ERRORS) as error:
        raise InputError(
            f"{path} can't be read: {first_line(error)}", valid="a complete crater list", next_step="open it in a text editor or QGIS"
        ) from error
    raise _unknown_format(path)


def _said(frame: pd.DataFrame, path: Path, word: str, remark: str) -> np.ndarray:
    """Rows (N,) bool of which a gazetteer's column says this; said to the user, too."""
    rows = said_of_coordinates(frame, word)
    if rows.any():
        notice(f"{path}: {remark.format(rows.sum(), find(frame, SYSTEM_NAMES))}")
    return rows


def _planetodetic(frame: pd.DataFrame, lat: np.ndarray, path: Path, body: Body | None) -> np.ndarray:
    """Latitudes as the mosaic counts them, where a gazetteer's column says that they are planetocentric; on a sphere both are one."""
    if body is None or body.is_sphere or not said_of_coordinates(frame, "Planetocentric").any():
        return lat
    rows = _said(frame, path, "Planetocentric", "latitudes of {} row(s) are planetocentric, as {} says, and were converted")
    return np.where(rows, planetodetic(lat, body), lat)


def _centres(frame: pd.DataFrame, path: Path, body: Body | None = None) -> tuple[np.ndarray, np.ndarray]:
    lon_name, west_name, lat_name = (find(frame, names) for names in (LON_NAMES, WEST_NAMES, LAT_NAMES))
    west = lon_name is None and west_name is not None
    lon_name = lon_name or west_name
    shaped = isinstance(frame, geopandas.GeoDataFrame)
    if (lon_name is None or lat_name is None) and shaped:
        return vectors.centres(frame, path)
    require(frame, path, {"longitude": (lon_name, LON_NAMES), "latitude": (lat_name, LAT_NAMES)})
    assert lon_name is not None and lat_name is not None
    lon = numbers(frame, lon_name, path, -360, 720, f"degrees, {'west' if west else 'east'} positive, −180…180 or 0…360")
    lat = numbers(frame, lat_name, path, -90, 90, "degrees in −90…90")
    lon = np.where(west | _said(frame, path, "+West", "longitudes of {} row(s) count westwards, as {} says"), -lon, lon)
    _say_others(frame, lon_name, [] if west else LON_NAMES, lon, path)
    _say_others(frame, lat_name, LAT_NAMES, lat, path)
    require_signs(frame, path, lon, "longitude", "west", "east")
    require_signs(frame, path, lat, "latitude", "south", "north")
    _say_radians(lon, lat, lon_name, path)
    lat = _planetodetic(frame, lat, path, body)
    if shaped:
        _compare(frame, lon, lat, lon_name, path)
    return lon, lat


def _say_radians(lon: np.ndarray, lat: np.ndarray, name: str, path: Path) -> None:
    """Say it where a list's degrees could be radians: it would lie within a few degrees of (0, 0)."""
    widest, highest = np.abs(lon).max(), np.abs(lat).max()
    if len(lon) >= MANY and widest <= 2 * np.pi and highest <= np.pi / 2 and widest > highest > RADIANS:
        notice(
            f"{path}: all craters lie within {widest:.3g}° and {highest:.3g}° of longitude 0, latitude 0, as angles in radians would; "
            f"{name} is taken as degrees"
        )


def _say_others(frame: pd.DataFrame, used: str, names: Iterable[str], degrees: np.ndarray, path: Path) -> None:
    """Say it where another column of longitudes or latitudes puts craters elsewhere."""
    for name in (one for one in find_all(frame, names) if one != used):
        values = pd.to_numeric(frame[name], errors="coerce").to_numpy(float, na_value=np.nan)
        off = np.abs(wrap_lon(values - degrees)) > ELSEWHERE_DEG
        if off.any() and np.nanmax(np.abs(values)) <= 720:  # larger ones are metres
            row = int(np.argmax(off))
            differ = f"{used} is {frame[used].iloc[row]}, {name} is {values[row]:g} ({off.sum()} such row(s))"
            notice(f"{path}, row {row + 1}: {differ}: {used} is used")


def _compare(frame: geopandas.GeoDataFrame, lon: np.ndarray, lat: np.ndarray, lon_name: str, path: Path) -> None:
    """Say it where columns and shapes put craters on different ground; refuse columns that count westwards without saying so."""
    some = np.unique(np.linspace(0, len(frame) - 1, min(len(frame), COMPARED)).astype(int))
    try:
        there, above = vectors.centres(frame.iloc[some], path)
    except InputError:
        return  # the columns say where the craters are; shapes may be missing
    off = np.abs(wrap_lon(lon[some] - there))
    mirrored = np.abs(wrap_lon(-lon[some] - there))
    told = np.cos(np.radians(lat[some])) > 0.1  # not at the poles, where all longitudes are near
    elsewhere = told & (np.maximum(off, np.abs(lat[some] - above)) > ELSEWHERE_DEG)
    if 2 * elsewhere.sum() > max(told.sum(), 1):
        first = int(some[np.argmax(elsewhere)])
        given = f"{path}, row {first + 1}: {lon_name} is {lon[first]:g}, its shape lies at {there[np.argmax(elsewhere)]:g}"
        if (mirrored[elsewhere] < 0.1).all():
            raise InputError(
                f"{given}: the column counts longitudes westwards",
                valid=f"east positive, or a name that says west: {', '.join(WEST_NAMES)}",
                next_step="rename the column; shapefiles cut names to ten letters, so that 'lon_west' is one that lasts",
            )
        notice(f"{given} ({elsewhere.sum()} of {told.sum()} rows looked at): the columns are used")


def _write_vector(path: Path, craters: pd.DataFrame, body: Body | None) -> Path:
    # "fid" is the GeoPackage's own row number, compared without case: a column FID would have to be unique and 64-bit, and then vanish.
    if "FID" in craters:
        craters = craters.drop(columns="crat_FID", errors="ignore").rename(columns={"FID": "crat_FID"})
    # Added piece by piece, a GeoPackage's index would be made row by row; and to add to GeoJSON GDAL reads all of it.
    streamed = path.suffix in vectors.STREAMED and len(craters) > BLOCK and not isinstance(craters, geopandas.GeoDataFrame)
    parts = _parts(craters, body, BLOCK if streamed or path.suffix in (".gpkg", vectors.PARQUET) else len(craters))
    if path.suffix == vectors.PARQUET:
        with atomic_path(path) as temporary:
            vectors.write_parquet(temporary, craters, parts)
        return path
    if path.suffix != ".shp":
        with atomic_path(path) as temporary:
            layer = re.sub(r"\W+", "_", path.stem)
            crs = vectors.write_points(temporary, layer, craters, parts) if streamed else _to_file(temporary, parts, layer=layer)
            if path.suffix == ".gpkg":
                keep_authority(temporary, crs)
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".writing-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # names over 10 letters are cut, as the format has it
        _to_file(Path(folder) / path.name, parts)
        for part in sorted(Path(folder).iterdir()):
            part.replace(path.parent / part.name)
    return path


def _parts(craters: pd.DataFrame, body: Body | None, most: int) -> Iterator[Any]:  # geopandas has no types
    """GeoDataFrames of ``most`` rows at most, one at least; of a plain table with points, which take 200 bytes each."""
    for start in range(0, max(len(craters), 1), max(most, 1)):
        part = craters.iloc[start : start + most]
        if not isinstance(part, geopandas.GeoDataFrame):
            points = shapely.points(part["lon"], part["lat"])
            part = geopandas.GeoDataFrame(part, geometry=points, crs=body.geographic_crs() if body else None)
        yield part


def _to_file(path: Path, parts: Iterable[Any], **options: Any) -> CRS | None:
    """Write parts one after another with GDAL; the CRS that they are in."""
    crs = None
    for number, part in enumerate(map(vectors.eastwards, parts)):
        part.to_file(path, mode="a" if number else "w", **options)
        crs = part.crs
    return crs
