"""Crater tables in and out: CSV, GeoPackage, shapefile, GeoJSON, CraterStats' .scc and .diam.

However a file names and scales them, the columns FID (integer), lon (degrees in −180…180), lat and radius_m come out; its own columns stay.
"""

from __future__ import annotations

import re
import tempfile
import warnings
from collections.abc import Iterable
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import pyogrio
import shapely

from ..core.errors import InputError, WorkError, nearest
from ..core.files import atomic_path, write_table
from ..geo.bodies import Body, body_of_crs, require_same_body, wrap_lon
from . import craterstats

VECTOR_SUFFIXES = (".gpkg", ".shp", ".geojson", ".json")
TEXT_SUFFIXES = (".csv", ".txt", ".tsv")
_VECTOR_ERRORS = (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, pyogrio.errors.FeatureError, pyogrio.errors.FieldError)

# Names in order of preference, compared without case and punctuation: ours, EJMAP's, the Robbins databases' (Mars 2012, Moon 2018),
# CraterTools', then what tables on the web use.
FID_NAMES = ("fid", "cratfid", "craterfid", "craterid", "id")
LON_NAMES = ("lon", "centerlon", "centrelon", "loncircimg", "longitudecircleimage", "longitude", "long", "loncirc", "lon360", "xcoord")
# Older lists of Mercury's craters, among others, count longitudes westwards; only a name can tell.
WEST_NAMES = ("lonwest", "longitudewest", "westlon", "westlongitude", "lonw", "longitudew", "wlon")
LAT_NAMES = ("lat", "centerlat", "centrelat", "latcircimg", "latitudecircleimage", "latitude", "latcirc", "ycoord")
# (name, metres per unit, or None if the name doesn't say; diameter → 0.5)
SIZE_NAMES = (
    ("radiusm", 1.0, 1.0),
    ("radiuskm", 1000.0, 1.0),
    ("diamkm", 1000.0, 0.5),
    ("diameterkm", 1000.0, 0.5),
    ("diamcircimg", 1000.0, 0.5),
    ("diamcircleimage", 1000.0, 0.5),
    ("diamm", 1.0, 0.5),
    ("diameterm", 1.0, 0.5),
    ("radius", None, 1.0),
    ("rad", None, 1.0),
    ("diameter", None, 0.5),
    ("diam", None, 0.5),
)
UNITS = {"m": 1.0, "km": 1000.0}
# A list whose largest crater has a radius below this many "metres" is taken for one in kilometres that doesn't say so.
SMALLEST_BELIEVED_M = 500.0
LARGEST_SHARE = 0.5  # of half the circumference: no crater reaches farther


def read_catalogue(path: str | Path, body: Body | None = None, *, units: str | None = None) -> geopandas.GeoDataFrame:
    """Read a crater list: FID, lon, lat, radius_m, the file's own columns, and its geometry (else points at the centres).

    ``body``: the mosaic's; a file on another ellipsoid is refused. ``units`` (m, km) of the size column where its name doesn't tell: then
    metres are assumed, and refused if they can't be meant. InputError names the file, row, column and value of what is wrong.
    """
    path = Path(path)
    if units not in (None, *UNITS):
        raise InputError(f"units={units!r}", valid=", ".join(UNITS))
    frame, found_body, source_units = _load(path)
    if body and found_body:
        require_same_body(body, found_body, str(path))
    body = body or found_body
    if not len(frame):
        raise InputError(f"{path} lists no craters", valid="at least one row")
    lon, lat = _centres(frame, path)
    radius = _radii(frame, path, units or source_units, body)
    columns = {"FID": _ids(frame, path), "lon": wrap_lon(lon), "lat": lat, "radius_m": radius}
    geometry = frame.geometry if isinstance(frame, geopandas.GeoDataFrame) else shapely.points(columns["lon"], columns["lat"])
    crs = getattr(frame, "crs", None) or (body.geographic_crs() if body else None)
    # GeoPackages and shapefiles compare names without case; a nameless column is some table's row number.
    taken = {"geometry", *map(str.lower, columns)}
    kept = pd.DataFrame(frame)[[name for name in frame if str(name).lower() not in taken and not str(name).startswith("Unnamed:")]]
    return geopandas.GeoDataFrame(pd.DataFrame(columns).join(kept.reset_index(drop=True)), geometry=np.asarray(geometry), crs=crs)


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
        if path.suffix in VECTOR_SUFFIXES:
            return _write_vector(path, craters, body)
    except (OSError, *_VECTOR_ERRORS) as error:
        raise WorkError(f"{path} can't be written: {error}", next_step="make room or choose another folder, then rerun") from error
    raise _unknown_format(path)


def _unknown_format(path: Path) -> InputError:
    return InputError(f"{path}: unknown format {path.suffix!r}", valid=", ".join((*TEXT_SUFFIXES, *VECTOR_SUFFIXES, *craterstats.SUFFIXES)))


def _load(path: Path) -> tuple[pd.DataFrame, Body | None, str | None]:
    """The table as it is in the file, the body that the file names, and the units that its format prescribes."""
    if not path.is_file():
        raise InputError(f"{path} doesn't exist or is no file", valid="a crater list", next_step="check the path")
    suffix = path.suffix.lower()
    try:
        if suffix in craterstats.SUFFIXES:
            table, body = craterstats.read_craters(path)
            return pd.DataFrame(table), body, "km"
        if suffix in TEXT_SUFFIXES:
            return _read_text(path), None, None
        if suffix in VECTOR_SUFFIXES:
            return *_read_vector(path), None
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, *_VECTOR_ERRORS) as error:
        raise InputError(
            f"{path} can't be read: {error}", valid="a complete crater list", next_step="open it in a text editor or QGIS"
        ) from error
    raise _unknown_format(path)


def _read_text(path: Path) -> pd.DataFrame:
    with path.open(encoding="utf-8-sig") as file:
        header = file.readline()
    separator = max(",;\t", key=header.count)
    try:
        table = pd.read_csv(path, sep=separator, encoding="utf-8-sig", skipinitialspace=True)
    except pd.errors.EmptyDataError:
        raise InputError(f"{path} is empty", valid="a header and at least one row") from None
    return table.dropna(how="all")  # spreadsheets leave lines of separators below their tables


def _read_vector(path: Path) -> tuple[geopandas.GeoDataFrame, Body | None]:
    frame = geopandas.read_file(path)
    if path.suffix.lower() in (".geojson", ".json") and frame.crs is not None and frame.crs.to_epsg() == 4326:
        # RFC 7946 knows only the Earth's ellipsoid; planetary files use it for want of another.
        frame = frame.set_crs(None, allow_override=True)
    return frame, body_of_crs(frame.crs) if frame.crs is not None else None


def _centres(frame: pd.DataFrame, path: Path) -> tuple[np.ndarray, np.ndarray]:
    lon_name, west_name, lat_name = (_find(frame, names) for names in (LON_NAMES, WEST_NAMES, LAT_NAMES))
    west = lon_name is None and west_name is not None
    lon_name = lon_name or west_name
    if (lon_name is None or lat_name is None) and isinstance(frame, geopandas.GeoDataFrame):
        centres = _centroids(frame)
        return np.asarray(centres.x), np.asarray(centres.y)
    _require(frame, path, {"longitude": (lon_name, "center_lon"), "latitude": (lat_name, "center_lat")})
    lon = _numbers(frame, lon_name, path, -360, 720, f"degrees, {'west' if west else 'east'} positive, −180…180 or 0…360")
    return -lon if west else lon, _numbers(frame, lat_name, path, -90, 90, "degrees in −90…90")


def _centroids(frame: geopandas.GeoDataFrame) -> geopandas.GeoSeries:
    # In the file's own plane: good enough for rims, which are small and round, and only used when the file has no centres.
    points = geopandas.GeoSeries(shapely.centroid(frame.geometry.values), crs=frame.crs)
    return points.to_crs(body_of_crs(frame.crs).geographic_crs()) if frame.crs is not None else points


def _radii(frame: pd.DataFrame, path: Path, units: str | None, body: Body | None) -> np.ndarray:
    plain = {plain_name(name): name for name in reversed(list(frame.columns))}
    found = next(((plain[name], scale, half) for name, scale, half in SIZE_NAMES if name in plain), None)
    _require(frame, path, {"size": (found and found[0], "radius")})
    column, scale, half = found
    values = _numbers(frame, column, path, 0, np.inf, "a positive size")
    if not (values > 0).all():
        row = int(np.argmin(values > 0))
        raise InputError(f"{path}, row {row + 1}: {column} is {values[row]:g}", valid="a positive size")
    if scale is None:
        scale = UNITS[units or "m"]
        if units is None and values.max() * half < SMALLEST_BELIEVED_M:
            raise InputError(
                f"{path}: {column} runs from {values.min():g} to {values.max():g} without a unit: metres are expected, these look like km",
                valid="metres, or a unit in the column's name (radius_km, Diameter (km))",
                next_step="rename the column, or give the units (km, or m if the craters are that small)",
            )
    radius = values * half * scale
    limit = LARGEST_SHARE * body.half_circumference_m if body else np.inf
    if radius.max() > limit:
        row = int(np.argmax(radius))
        raise InputError(
            f"{path}, row {row + 1}: {column} is {values[row]:g}, a radius of {radius[row] / 1000:g} km, too large for {body.name}",
            valid=f"radii up to {limit / 1000:.0f} km",
            next_step="check the unit: the values may be metres under a name that says kilometres",
        )
    return radius


def _ids(frame: pd.DataFrame, path: Path) -> np.ndarray:
    column = _find(frame, FID_NAMES)
    if column is None or (plain_name(column) != "cratfid" and pd.to_numeric(frame[column], errors="coerce").isna().all()):
        # Databases name craters by text ("01-1-000001"); that column stays, and rows are numbered.
        return np.arange(len(frame))
    ids = _whole_numbers(frame, column, path)
    values, counts = np.unique(ids, return_counts=True)
    if (counts > 1).any():
        doubled = ", ".join(str(value) for value in values[counts > 1][:5])
        raise InputError(f"{path}: {column} {doubled} occurs more than once", valid="a different number for each crater")
    return ids


def _whole_numbers(frame: pd.DataFrame, column: str, path: Path) -> np.ndarray:
    """A column of numbers with a single bad cell is refused: numbering its rows instead would silently rename every crater."""
    numbers = pd.to_numeric(frame[column], errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    whole = np.isfinite(numbers) & (numbers == np.floor(numbers)) & (np.abs(numbers) < 2**63)
    if not whole.all():
        row = int(np.argmin(whole))
        raise InputError(
            f"{path}, row {row + 1}: {column} is {_shown(frame[column].iloc[row])} ({(~whole).sum()} such row(s))",
            valid="a whole number of its own for each crater",
            next_step="correct these cells; a list without any such column has its rows numbered",
        )
    return pd.to_numeric(frame[column]).astype(np.int64).to_numpy()


def _shown(value: object) -> str:
    """A cell as its reader sees it, without numpy's wrappings."""
    if pd.isna(value):
        return "blank"
    return repr(value.item() if isinstance(value, np.generic) else value)


def _find(frame: pd.DataFrame, names: Iterable[str]) -> str | None:
    plain = {plain_name(column): column for column in reversed(list(frame.columns))}
    return next((plain[name] for name in names if name in plain), None)


def plain_name(column: object) -> str:
    """A column's name as it is looked for: small letters and digits alone."""
    return re.sub(r"[^a-z0-9]", "", str(column).lower())


def _require(frame: pd.DataFrame, path: Path, wanted: dict[str, tuple[str | None, str]]) -> None:
    missing = {what: usual for what, (column, usual) in wanted.items() if column is None}
    if missing:
        columns = [str(column) for column in frame.columns]
        given = f"{path} has no column for the {' and the '.join(missing)}; its columns: {', '.join(columns)}"
        usual = " and ".join(missing.values())
        raise InputError(given, valid=f"EJMAP's names ({usual}) or those of the docs", next_step=f"nearest: {nearest(usual, columns)}")


def _numbers(frame: pd.DataFrame, column: str, path: Path, low: float, high: float, valid: str) -> np.ndarray:
    numbers = pd.to_numeric(frame[column], errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    wrong = ~(np.isfinite(numbers) & (numbers >= low) & (numbers <= high))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(f"{path}, row {row + 1}: {column} is {_shown(frame[column].iloc[row])} ({wrong.sum()} such row(s))", valid=valid)
    return numbers


def _write_vector(path: Path, craters: pd.DataFrame, body: Body | None) -> Path:
    if not isinstance(craters, geopandas.GeoDataFrame):
        points = shapely.points(craters["lon"], craters["lat"])
        craters = geopandas.GeoDataFrame(craters, geometry=points, crs=body.geographic_crs() if body else None)
    # "fid" is the GeoPackage's own row number, compared without case: a column FID would have to be unique and 64-bit, and then vanish.
    craters = craters.drop(columns="crat_FID", errors="ignore").rename(columns={"FID": "crat_FID"})
    if path.suffix != ".shp":
        with atomic_path(path) as temporary:
            craters.to_file(temporary, layer=re.sub(r"\W+", "_", path.stem))
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".writing-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # names over 10 letters are cut, as the format has it
        craters.to_file(Path(folder) / path.name)
        for part in sorted(Path(folder).iterdir()):
            part.replace(path.parent / part.name)
    return path
