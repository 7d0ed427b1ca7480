"""Which columns of a crater list mean what: the names that are understood, sizes and their units, numbers and FIDs.

Names are compared without case and punctuation, or by the ten letters that shapefiles leave of them. ``docs/input.md`` lists these tables.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..core.errors import InputError, nearest
from ..geo.bodies import Body

# In order of preference: ours, EJMAP's, the Robbins databases' (Mars 2012, Moon 2018), CraterTools', the IAU gazetteer's, then what tables
# on the web use.
FID_NAMES = ("FID", "crat_FID", "crater_FID", "CRATER_ID", "id")
LON_NAMES = (
    "lon",
    "center_lon",
    "centre_lon",
    "LON_CIRC_IMG",
    "LONGITUDE_CIRCLE_IMAGE",
    "center_longitude",
    "centre_longitude",
    "longitude",
    "long",
    "LON_CIRC",
    "lon_360",
    "X_coord",
)
# Older lists of Mercury's craters, among others, count longitudes westwards; only a name can tell.
WEST_NAMES = ("lon_west", "longitude_west", "west_lon", "west_longitude", "lon_W", "Longitude (W)", "w_lon")
SYSTEM_NAMES = ("Coordinate_System", "Coord_System", "coordinates", "coord_sys", "Longitude_Direction", "lon_direction")
"""Where gazetteers write "Planetographic, +West, 0 - 360"."""
LAT_NAMES = (
    "lat",
    "center_lat",
    "centre_lat",
    "LAT_CIRC_IMG",
    "LATITUDE_CIRCLE_IMAGE",
    "center_latitude",
    "centre_latitude",
    "latitude",
    "LAT_CIRC",
    "Y_coord",
)
SIZE_NAMES = (
    ("radius_m", 1.0, 1.0),
    ("radius_km", 1000.0, 1.0),
    ("diam_km", 1000.0, 0.5),
    ("diameter_km", 1000.0, 0.5),
    ("DIAM_CIRC_IMG", 1000.0, 0.5),
    ("DIAM_CIRCLE_IMAGE", 1000.0, 0.5),
    ("diam_m", 1.0, 0.5),
    ("diameter_m", 1.0, 0.5),
    ("radius", None, 1.0),
    ("rad", None, 1.0),
    ("diameter", None, 0.5),
    ("diam", None, 0.5),
)
"""(name, metres per unit or None where the name doesn't say, share of it that is the radius)."""
CLASS_NAMES = (
    "DEGRADATION_STATE",
    "degradation_class",
    "degradation",
    "deg_state",
    "preservation_state",
    "preservation_class",
    "preservation",
    "crater_class",
    "morphological_class",
    "class",
)
"""How worn a crater is: Robbins and Hynek's (Mars 2012, 1 worn to 4 fresh), then what other lists call it."""
UNITS = {"m": 1.0, "km": 1000.0}

SMALLEST_BELIEVED_M = 500.0
"""A list whose median radius is below this many "metres" is taken for one in kilometres that doesn't say so."""
SMALLEST_SHOWN_PX, SMALLEST_OF_ALL_PX = 1.0, 0.02
"""The same, if the median diameter, or that of the smallest crater, is below so many pixels of the mosaic."""
LARGE_SHARE = 0.25
"""Of the body's radius: half of a list's craters with larger radii are worth a word."""
LARGEST_SHARE = 0.5
"""Of half the circumference: no crater reaches farther."""
CONTRADICTION = 1.1
"""Two columns of a crater's size that differ by more than this factor can't both be right; rounding explains less."""
SHAPEFILE_LETTERS = 10
_OF_SIGNS = re.compile(r"^(ew|we|ns|sn)$|dir|hemi|lon|lat|sign|east|west|north|south")


def plain_name(column: object) -> str:
    """A column's name as it is looked for: small letters and digits alone."""
    text = str(column).lower()
    return re.sub(r"[^a-z0-9]", "", _DEGREES.sub(r" \1 ", text) if "lon" in text or "lat" in text else text)


# "Longitude [deg]", "lat (°N)": what all are in; west is a part of the name.
_DEGREES = re.compile(r"[\[(]\s*(?:°|deg(?:rees?)?\.?)\s*(?:e|n|east|north|(w)(?:est)?)?\s*[\])]")


def find(frame: pd.DataFrame, names: Iterable[str]) -> str | None:
    """The column that has the first of these names, whole or as a shapefile cuts it."""
    return next(iter(find_all(frame, names)), None)


def find_all(frame: pd.DataFrame, names: Iterable[str]) -> list[str]:
    """Every column that has one of these names, in the names' order; whole names before cut ones."""
    names = list(names)
    plain = {plain_name(column): column for column in reversed(list(frame.columns))}
    cut = {str(column).lower(): column for column in reversed(list(frame.columns))}
    found = [plain[plain_name(name)] for name in names if plain_name(name) in plain]
    found += [cut[short] for name in names if len(name) > SHAPEFILE_LETTERS and (short := name[:SHAPEFILE_LETTERS].lower()) in cut]
    return list(dict.fromkeys(found))


@dataclass(frozen=True)
class Size:
    """A column of sizes: metres per unit (None: unknown) and the share of the value that is the radius."""

    column: str
    unit_m: float | None
    half: float


def require_one_each(frame: pd.DataFrame, path: Path) -> None:
    """``InputError`` for columns whose names mean the same, letter for letter, and whose values differ: neither is to be preferred."""
    known = {
        plain_name(name) for names in (FID_NAMES, LON_NAMES, WEST_NAMES, LAT_NAMES, [name for name, *_ in SIZE_NAMES]) for name in names
    }
    seen: dict[str, str] = {}
    for column in map(str, frame.columns):
        name = plain_name(column)
        first = seen.setdefault(name, column)
        if name in known and first != column and not frame[first].equals(frame[column]):
            raise InputError(
                f"{path} has the columns {first} and {column}, which differ and mean the same",
                valid="a different name for each column",
                next_step="rename or remove one of them: it can't be told which is meant",
            )


def sizes(frame: pd.DataFrame) -> list[Size]:
    """The columns of sizes, the deciding one first."""
    found: dict[str, Size] = {}
    for name, unit_m, half in SIZE_NAMES:
        for column in find_all(frame, [name]):
            found.setdefault(column, Size(column, unit_m, half))
    return sorted(found.values(), key=lambda size: size.unit_m is None)


def radii_m(
    frame: pd.DataFrame, path: Path, units: str | None, source_units: str | None, body: Body | None, pixel_m: float | None
) -> tuple[np.ndarray, list[str]]:
    """Radii of all rows, and what to say about how they were read. ``InputError`` for impossible and contradicting sizes."""
    given = sizes(frame)
    require(frame, path, {"size": (given[0].column if given else None, [name for name, *_ in SIZE_NAMES])})
    size, notes = given[0], []
    values = positive(frame, size.column, path)
    unit_m = size.unit_m
    if unit_m is not None and units and UNITS[units] != unit_m:
        raise InputError(
            f"{path}: the configuration says that sizes are in {units}, the name of the column {size.column} says otherwise",
            valid="units that agree with the column's name; none where the name tells",
            next_step="leave 'units' out, or rename the column",
        )
    if unit_m is None:
        unit_m = UNITS[units or source_units or "m"]
        if not (units or source_units):
            _require_metres(values * size.half, size.column, path, pixel_m)
            if find(frame, ["crat_FID"]) is None:  # EJMAP's lists are in metres
                notes.append(f"{path}: {size.column} names no unit: taken as metres, {values.min():g} to {values.max():g}")
    radius = values * size.half * unit_m
    _require_possible(radius, values, size.column, path, body)
    _require_agreement(frame, path, given, radius)
    middle = np.median(radius)
    if pixel_m and size.unit_m is not None and 2 * middle < SMALLEST_SHOWN_PX * pixel_m:
        notes.append(f"{path}: half of the craters are smaller than {2 * middle:.3g} m, a pixel has {pixel_m:.3g} m: check {size.column}")
    if body and middle > LARGE_SHARE * body.mean_radius_m:
        about = f"half of the radii are above {middle / 1000:.4g} km, the body's is {body.mean_radius_m / 1000:.4g} km"
        notes.append(f"{path}: {about}: check {size.column}")
    return radius, notes + _cut_name(frame, path, size.column)


def _cut_name(frame: pd.DataFrame, path: Path, column: str) -> list[str]:
    """What to say of a name that a shapefile cut; ``InputError`` where the next one that begins alike must have been the wanted one."""
    if plain_name(column) in {plain_name(name) for name, *_ in SIZE_NAMES}:
        return []
    other = f"{column[: SHAPEFILE_LETTERS - 2]}_1"  # in Robbins' lists the deviation
    if other in frame and (pd.to_numeric(frame[other], errors="coerce") > pd.to_numeric(frame[column], errors="coerce")).mean() > 0.5:
        raise InputError(
            f"{path}: {column} and {other} are cut names, and the smaller one, {column}, would be the diameter, not its deviation",
            valid="names that a shapefile doesn't cut: diam_km, radius_m",
            next_step="rename the diameter's column, or export the list as CSV or GeoPackage",
        )
    return [f"{path}: {column}, a name cut to {SHAPEFILE_LETTERS} letters, is taken for the size"]


def _require_metres(radius: np.ndarray, column: str, path: Path, pixel_m: float | None) -> None:
    """Sizes without a unit, taken as metres: their median, unlike their largest, isn't fooled by a few basins among them."""
    middle, least = float(np.median(radius)), float(radius.min())
    reason = None
    if middle < SMALLEST_BELIEVED_M:
        reason = f"half of the radii are below {middle:g}"
    elif pixel_m and 2 * middle < SMALLEST_SHOWN_PX * pixel_m:
        reason = f"half of the diameters are below {2 * middle:g}, and a pixel of the mosaic has {pixel_m:.4g} m"
    elif pixel_m and 2 * least < SMALLEST_OF_ALL_PX * pixel_m:
        reason = f"the smallest diameter is {2 * least:g}, and a pixel of the mosaic has {pixel_m:.4g} m"
    if reason:
        raise InputError(
            f"{path}: {column} names no unit. Metres are expected, these look like km: {reason}",
            valid="metres, or a unit in the column's name (radius_km, Diameter (km))",
            next_step="rename the column, or give the units in the configuration (units: km, or m if the craters are that small)",
        )


def _require_possible(radius: np.ndarray, values: np.ndarray, column: str, path: Path, body: Body | None) -> None:
    limit = LARGEST_SHARE * body.half_circumference_m if body else np.inf
    if not radius.max() <= limit or not np.isfinite(radius.max()):
        row = int(np.argmax(radius))
        raise InputError(
            f"{path}, row {row + 1}: {column} is {values[row]:g}, a radius of {radius[row] / 1000:g} km, too large for "
            f"{body.name if body else 'any body'}",
            valid=f"radii up to {limit / 1000:.0f} km",
            next_step="check the unit: the values may be metres under a name that says kilometres",
        )


def _require_agreement(frame: pd.DataFrame, path: Path, given: list[Size], radius: np.ndarray) -> None:
    """A list that says the size twice must say the same."""
    for other in given[1:]:
        values = pd.to_numeric(frame[other.column], errors="coerce").to_numpy(float, na_value=np.nan)
        with np.errstate(all="ignore"):
            factors = [radius / (values * other.half * unit) for unit in ([other.unit_m] if other.unit_m else UNITS.values())]
            wrong = np.all([~((one < CONTRADICTION) & (one > 1 / CONTRADICTION)) for one in factors], axis=0) & np.isfinite(values)
        row = int(np.argmax(wrong))
        both = f"{given[0].column} is {frame[given[0].column].iloc[row]}, {other.column} is {values[row]:g}"
        said = f"{both}: they contradict each other"
        refuse_rows(path, wrong, said, "sizes that agree within 10 %", "correct or remove one of the columns")


def refuse_rows(path: Path, wrong: np.ndarray, what: str | Callable[[int], str], valid: str, next_step: str | None = None) -> None:
    """``InputError`` that names the first of the wrong rows (N,) bool and ``what`` is wrong with it, if there are any."""
    if wrong.any():
        row = int(np.argmax(wrong))
        said = what if isinstance(what, str) else what(row)
        raise InputError(f"{path}, row {row + 1}: {said} ({wrong.sum()} such row(s))", valid=valid, next_step=next_step)


def positive(frame: pd.DataFrame, column: str, path: Path) -> np.ndarray:
    values = numbers(frame, column, path, 0, np.inf, "a positive size")
    refuse_rows(path, ~(values > 0), lambda row: f"{column} is {values[row]:g}", "a positive size")
    return values


def numbers(frame: pd.DataFrame, column: str, path: Path, low: float, high: float, valid: str) -> np.ndarray:
    """A column's numbers; ``InputError`` names the first row that holds none or one out of range."""
    given = frame[column]
    found = _as_numbers(given)
    wrong = ~(np.isfinite(found) & (found >= low) & (found <= high))
    comma = wrong.any() and re.fullmatch(r"\s*[+-]?[\d.]*,\d+\s*", str(given.iloc[int(np.argmax(wrong))]))
    refuse_rows(path, wrong, _cell(given), valid, "write numbers with a decimal point" if comma else None)
    return found


def _cell(given: pd.Series) -> Callable[[int], str]:
    return lambda row: f"{given.name} is {shown(given.iloc[row])}"


def _as_numbers(given: pd.Series) -> np.ndarray:
    """NaN for whatever is no number: also for flags and dates, which pandas would count."""
    if given.dtype.kind in "bmM":
        return np.full(len(given), np.nan)
    if given.dtype.kind == "O":
        given = given.where(~given.map(lambda value: isinstance(value, bool | np.bool_)))
    return pd.to_numeric(given, errors="coerce").to_numpy(dtype=float, na_value=np.nan)


def fids(frame: pd.DataFrame, path: Path) -> tuple[np.ndarray, list[str]]:
    """A number of its own for every crater, and what to say about it."""
    column = find(frame, FID_NAMES)
    if column is None:
        return np.arange(len(frame)), []
    if plain_name(column) != "cratfid" and np.isnan(_as_numbers(frame[column])).all():
        # Databases name craters by text ("01-1-000001"); that column stays, and rows are numbered.
        note = f"{path}: {column} holds names, like {shown(frame[column].iloc[0])}: craters are numbered by their rows, from 0"
        return np.arange(len(frame)), [note] if plain_name(column) == "fid" else []
    ids = _whole_numbers(frame, column, path)
    values, counts = np.unique(ids, return_counts=True)
    if (counts > 1).any():
        doubled = ", ".join(str(value) for value in values[counts > 1][:5])
        raise InputError(f"{path}: {column} {doubled} occurs more than once", valid="a different number for each crater")
    return ids, []


def _whole_numbers(frame: pd.DataFrame, column: str, path: Path) -> np.ndarray:
    """A column of numbers with a single bad cell is refused: numbering its rows instead would silently rename every crater."""
    found = _as_numbers(frame[column])
    whole = np.isfinite(found) & (found == np.floor(found)) & (np.abs(found) < 2**53)
    refuse_rows(
        path,
        ~whole,
        _cell(frame[column]),
        "a whole number of its own for each crater, below 2^53",
        "correct these cells; a list without any such column has its rows numbered",
    )
    return found.astype(np.int64)


def said_of_coordinates(frame: pd.DataFrame, word: str) -> np.ndarray:
    """Rows (N,) bool whose coordinate system, in a column of its own, is said to be so ("+West", "Planetocentric")."""
    column = find(frame, SYSTEM_NAMES)
    if column is None:
        return np.zeros(len(frame), bool)
    said = frame[column].map(lambda value: "" if pd.isna(value) else plain_name(value))
    return said.str.contains(plain_name(word), regex=False).to_numpy(bool)


def require_signs(frame: pd.DataFrame, path: Path, degrees: np.ndarray, what: str, minus: str, plus: str) -> None:
    """Refuse degrees whose signs stand in a column of nothing but ``minus`` and ``plus`` ("West", "East") or their first letters."""
    for column in (name for name in frame if _OF_SIGNS.search(plain_name(name)) and frame[name].dtype.kind == "O"):
        said = frame[column].map(lambda value: value.strip().lower() if isinstance(value, str) else value)
        negative = said.isin([minus, minus[0]]).to_numpy(bool)
        wrong = negative & (degrees > 0) & (degrees < 180)
        if wrong.any() and said[~negative].dropna().isin([plus, plus[0]]).all():
            row = int(np.argmax(wrong))
            given = f"{column} is {shown(frame[column].iloc[row])} and the {what} {degrees[row]:g}"
            step = f"write the {what}s with their signs, and leave {column} out"
            refuse_rows(path, wrong, given, f"signs with the numbers: {minus} is negative", step)


def flags(given: pd.Series, path: Path) -> np.ndarray:
    """A column of 0 and 1 (or True and False, in any case) as (N,) bool; blank counts as 0."""
    said = given.map(lambda value: "0" if pd.isna(value) else str(value).strip().lower() or "0")
    known = said.map({"0": False, "0.0": False, "false": False, "1": True, "1.0": True, "true": True})
    refuse_rows(path, known.isna().to_numpy(), _cell(given), "0 or 1, False or True, blank for 0", "correct these cells")
    return known.to_numpy(bool)


def shown(value: Any) -> str:
    """A cell as its reader sees it, without numpy's wrappings."""
    if pd.isna(value):
        return "blank"
    return repr(value.item() if isinstance(value, np.generic) else value)


def require(frame: pd.DataFrame, path: Path, wanted: dict[str, tuple[str | None, Iterable[str]]]) -> None:
    """``InputError`` for columns that weren't found; ``wanted``: what it means, the column found, the names that are understood."""
    missing = {what: names for what, (column, names) in wanted.items() if column is None}
    if missing:
        columns = [str(column) for column in frame.columns]
        usual = " ".join(list(names)[0] for names in missing.values())
        raise InputError(
            f"{path} has no column for the {' and the '.join(missing)}; its columns: {', '.join(columns)}",
            valid="; ".join(f"{what}: {', '.join(names)}" for what, names in missing.items()),
            next_step=f"rename a column; nearest: {nearest(usual, columns)}",
        )
