"""Planetary bodies: radii, the coordinate reference systems built on them, and geodesic distances.

The body is always explicit, and the ellipsoid of a file is trusted: two files on different ellipsoids are refused, never mixed.
Angles are degrees, east positive, planetodetic; lengths are metres; arrays of any shape broadcast.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyproj

from ..core.errors import InputError, nearest
from ..core.paths import shipped_configs

CONFIG_FOLDER = shipped_configs() / "bodies"
"""Jobs run a copy of the code and are told where the configs are."""
# Radii equal to one part in 10 million are the same body: the rounding of an inverse flattening in a file, not a different figure.
RELATIVE_TOLERANCE = 1e-7

_DEGREE = 'ANGLEUNIT["degree",0.0174532925199433]'
_METRE = 'LENGTHUNIT["metre",1]'


@dataclass(frozen=True)
class Body:
    """An ellipsoid of revolution with a name; ``source`` says where its radii come from and takes no part in comparisons, and neither does
    ``authority``, the code of its geographic CRS where a file gave one, such as ``IAU_2015:30100``."""

    name: str
    semi_major_m: float
    semi_minor_m: float
    source: str = field(default="", compare=False)
    authority: str = field(default="", compare=False)

    def __post_init__(self):
        for what in ("semi_major_m", "semi_minor_m"):
            value = getattr(self, what)
            if not (isinstance(value, (int, float)) and math.isfinite(value) and value >= 1):
                raise InputError(f"body {self.name!r}: {what} is {value!r}", valid="a finite number of metres, at least 1")

    @property
    def is_sphere(self) -> bool:
        return abs(self.semi_major_m - self.semi_minor_m) <= RELATIVE_TOLERANCE * self.semi_major_m

    @property
    def mean_radius_m(self) -> float:
        """(2a + b) / 3, the IUGG mean radius R1."""
        return (2 * self.semi_major_m + self.semi_minor_m) / 3

    @property
    def half_circumference_m(self) -> float:
        """π·a: half the equator, the farthest that two points of the surface can be from each other."""
        return math.pi * self.semi_major_m

    def geographic_crs(self) -> pyproj.CRS:
        """Longitude (east positive) and planetodetic latitude in degrees: the published CRS if the body came with one."""
        if self.authority:
            return pyproj.CRS.from_user_input(self.authority)
        axes = f'CS[ellipsoidal,2],AXIS["longitude",east,ORDER[1],{_DEGREE}],AXIS["latitude",north,ORDER[2],{_DEGREE}]'
        return pyproj.CRS.from_wkt(f'GEOGCRS["{self._label}",{self._datum_wkt},{axes}]')

    def cylindrical_crs(self, lon_0: float = 0.0) -> pyproj.CRS:
        """Equidistant cylindrical (plate carrée) in metres, centred on the meridian ``lon_0``."""
        parameters = {"Latitude of 1st standard parallel": (8823, 0.0), "Longitude of natural origin": (8802, lon_0)}
        return self._projected_crs("equidistant cylindrical", "Equidistant Cylindrical", 1028, parameters)

    def azimuthal_crs(self, lon: float, lat: float) -> pyproj.CRS:
        """Azimuthal equidistant in metres: distances and directions from the centre (lon, lat) are true."""
        check_centre(lon, lat)
        parameters = {"Latitude of natural origin": (8801, lat), "Longitude of natural origin": (8802, wrap_lon(lon))}
        return self._projected_crs("azimuthal equidistant", "Azimuthal Equidistant", 1125, parameters)

    def distance_m(self, lon1, lat1, lon2, lat2) -> np.ndarray:
        """Geodesic distance on the ellipsoid (great circle on a sphere); arrays broadcast."""
        lon1, lat1, lon2, lat2 = np.broadcast_arrays(*(np.asarray(value, dtype=float) for value in (lon1, lat1, lon2, lat2)))
        if self.is_sphere:
            return self.semi_major_m * _central_angle(np.radians(lat1), np.radians(lat2), np.radians(lon2 - lon1))
        return np.asarray(self.geod.inv(lon1, lat1, lon2, lat2)[2], dtype=float).reshape(lon1.shape)

    @property
    def geod(self) -> pyproj.Geod:
        return _geod(self.semi_major_m, self.semi_minor_m)

    def same_figure(self, other: Body) -> bool:
        """Whether both radii agree within ``RELATIVE_TOLERANCE``; names don't matter."""
        pairs = ((self.semi_major_m, other.semi_major_m), (self.semi_minor_m, other.semi_minor_m))
        return all(abs(mine - theirs) <= RELATIVE_TOLERANCE * mine for mine, theirs in pairs)

    def describe_radii(self) -> str:
        if self.is_sphere:
            return f"R = {self.semi_major_m:.10g} m"
        return f"a = {self.semi_major_m:.10g} m, b = {self.semi_minor_m:.10g} m"

    @property
    def _label(self) -> str:
        return f"{self.name} ({self.describe_radii()})".replace('"', "'")

    @property
    def _datum_wkt(self) -> str:
        # WKT wants 1/f here (not e²), and 0 for a sphere.
        inverse_flattening = 0.0 if self.is_sphere else self.semi_major_m / (self.semi_major_m - self.semi_minor_m)
        ellipsoid = f'ELLIPSOID["{self._label}",{self.semi_major_m!r},{inverse_flattening!r},{_METRE}]'
        return f'DATUM["{self._label}",{ellipsoid}],PRIMEM["Reference meridian",0,{_DEGREE}]'

    def _projected_crs(self, words: str, method: str, epsg: int, angles: dict[str, tuple[int, float]]) -> pyproj.CRS:
        parameters = [f'PARAMETER["{name}",{float(value)!r},{_DEGREE},ID["EPSG",{code}]]' for name, (code, value) in angles.items()]
        shifts = {"False easting": 8806, "False northing": 8807}
        parameters += [f'PARAMETER["{name}",0,{_METRE},ID["EPSG",{code}]]' for name, code in shifts.items()]
        conversion = f'CONVERSION["{words}",METHOD["{method}",ID["EPSG",{epsg}]],{",".join(parameters)}]'
        axes = f'CS[Cartesian,2],AXIS["easting (E)",east,ORDER[1],{_METRE}],AXIS["northing (N)",north,ORDER[2],{_METRE}]'
        base = f'BASEGEOGCRS["{self._label}",{self._datum_wkt}]'
        return pyproj.CRS.from_wkt(f'PROJCRS["{self._label} {words}",{base},{conversion},{axes}]')


def get_body(name_or_yaml: str | Path) -> Body:
    """The body of a name (``mercury``, any case) or of a yaml file with ``name, semi_major_m, semi_minor_m, source``."""
    path = Path(name_or_yaml)
    if path.suffix in (".yaml", ".yml"):
        return _read_body(path)
    known = known_bodies()
    try:
        return known[str(name_or_yaml).lower()]
    except KeyError:
        step = f"add a file {name_or_yaml}.yaml to configs/bodies, or give the path of one"
        raise InputError(f"unknown body {str(name_or_yaml)!r}", valid=nearest(str(name_or_yaml).lower(), known), next_step=step) from None


@lru_cache(maxsize=1)
def known_bodies() -> dict[str, Body]:
    """The bodies of configs/bodies by lower-case file name."""
    return {path.stem.lower(): _read_body(path) for path in sorted(CONFIG_FOLDER.glob("*.yaml"))}


@lru_cache(maxsize=256)
def _body_of_wkt(wkt: str) -> Body:
    crs = pyproj.CRS.from_wkt(wkt)
    ellipsoid = crs.ellipsoid
    if ellipsoid is None:
        raise InputError(f"the CRS has no ellipsoid: {wkt[:120]}", valid="a geographic or projected CRS of a planetary body")
    semi_major_m, semi_minor_m = ellipsoid.semi_major_metre, ellipsoid.semi_minor_metre
    near = [body for body in known_bodies().values() if abs(body.semi_major_m / semi_major_m - 1) < 0.002]
    if near:
        name = min(near, key=lambda body: abs(body.semi_major_m - semi_major_m)).name
    else:
        name = "unnamed body" if ellipsoid.name in ("", "unknown") else ellipsoid.name
    body = Body(name, semi_major_m, semi_minor_m, "ellipsoid of the file's CRS", _authority(crs.geodetic_crs))
    if not body.is_sphere and crs.geodetic_crs is not None and _is_planetocentric(crs.geodetic_crs):
        raise InputError(
            f"the CRS {crs.name} counts planetocentric latitudes on an ellipsoid",
            valid="planetodetic latitudes (in IAU_2015, names with Ographic), or a sphere (codes ending in 00, 10, 15, …)",
            next_step=f'gdalwarp -s_srs {_code_of(crs) or "CODE"} -t_srs "+proj=longlat +a={semi_major_m!r} +b={semi_minor_m!r}" SRC DST',
        )
    return body


def _is_planetocentric(base: pyproj.CRS) -> bool:
    """By the axes' names; formats that lose these keep the CRS's own name."""
    return "ocentric" in base.name.lower() or any("planetocentric" in axis.name.lower() for axis in base.axis_info)


def _authority(base: pyproj.CRS | None) -> str:
    """The code of a geographic CRS whose longitudes go east, one of IAU_2015; "" if it has none."""
    directions = [axis.direction for axis in base.axis_info] if base is not None and base.is_geographic else []
    code = _code_of(base) if base is not None and sorted(directions[:2]) == ["east", "north"] else ""
    return code if code.startswith("IAU_2015:") else ""


def _code_of(crs: pyproj.CRS) -> str:
    stated = crs.to_json_dict().get("id", {})
    if {"authority", "code"} <= set(stated):
        version = f"_{stated['version']}" if "version" in stated else ""
        return f"{stated['authority']}{version}:{stated['code']}"
    # Searching the authorities' tables takes milliseconds, and every crater has a CRS: only where the name is one of them.
    found = crs.to_authority(min_confidence=90) if "(2015)" in crs.name else None
    return ":".join(found) if found and found[0] == "IAU_2015" else ""


@lru_cache(maxsize=64)
def _published(wkt: str) -> pyproj.CRS:
    crs = pyproj.CRS.from_wkt(wkt)
    code = _code_of(crs)
    published = pyproj.CRS.from_user_input(code) if code else crs
    return published if published.name == crs.name and published.ellipsoid == crs.ellipsoid else crs


def published_crs(crs) -> pyproj.CRS:
    """The CRS of a file with its authority's code, which GeoTIFFs keep the name of only; unchanged if no authority has it."""
    return _published(as_crs(crs).to_wkt())


def body_of_crs(crs) -> Body:
    """The ellipsoid of a CRS (pyproj, rasterio, WKT or authority code), named after the known body with nearly the same radius."""
    return _body_of_wkt(as_crs(crs).to_wkt())


def names_no_planet(path: Path, crs: pyproj.CRS | None) -> bool:
    """Whether a file's CRS says nothing: GeoJSON knows only the Earth's ellipsoid (RFC 7946), and planetary files use it for want of
    another."""
    return path.suffix.lower() in (".geojson", ".json") and crs is not None and crs.to_epsg() in (4326, 4979)  # the latter with heights


def west_doubt(path: Path, crs: pyproj.CRS) -> str | None:
    """What is to be said of a file whose longitudes may have lost their sense; None of others."""
    if name := _lost_west(crs):
        return f"{path} is in {name}, which counts longitudes westwards, but says that its own run east: they are taken as east"
    return None


def _lost_west(crs: pyproj.CRS) -> str | None:
    """The name of a published CRS that counts west, where a file has it with axes that run east: GDAL drops the sense."""
    if crs.geodetic_crs is None or any(axis.direction == "west" for axis in crs.axis_info):
        return None
    base = re.sub(r"^GCS_(\w+)_2015_Ographic$", r"\1 (2015) / Ographic", crs.geodetic_crs.name)  # as shapefiles have it
    if not base.endswith("(2015) / Ographic"):
        return None
    try:
        published = pyproj.CRS.from_user_input(base)
    except pyproj.exceptions.CRSError:
        return None
    west = any(axis.direction == "west" for axis in published.axis_info)
    return (base if crs.is_geographic else crs.name) if west else None


def as_crs(crs) -> pyproj.CRS:
    """Any kind of CRS as pyproj's; InputError if there is none or it can't be understood."""
    if isinstance(crs, pyproj.CRS):
        return crs
    if not crs:  # None, "" or rasterio's empty CRS, whose str() would search the authority's codes for milliseconds
        raise InputError("no CRS", valid="a geographic or projected CRS of a planetary body")
    try:
        return _from_wkt(crs.to_wkt()) if hasattr(crs, "to_wkt") else pyproj.CRS.from_user_input(crs)
    except pyproj.exceptions.CRSError as error:
        raise InputError(f"CRS not understood: {error}", valid="WKT, a PROJ string or a code such as IAU_2015:30100") from error


@lru_cache(maxsize=64)
def _from_wkt(wkt: str) -> pyproj.CRS:
    return pyproj.CRS.from_wkt(wkt)


def require_same_body(crs, other, what: str) -> None:
    """Raise InputError, naming both radii, unless two CRSs (or bodies) share their ellipsoid; ``what`` names the second one's owner."""
    first, second = (value if isinstance(value, Body) else body_of_crs(value) for value in (crs, other))
    if not first.same_figure(second):
        theirs, ours = (f"{body.name}, {body.describe_radii()}" for body in (second, first))
        raise InputError(
            f"{what} is on another ellipsoid: {theirs}; the mosaic has {ours}",
            valid="the mosaic's own ellipsoid for every file used with it",
            next_step=f"if {what} really belongs to this mosaic, correct its CRS (gdal_edit.py -a_srs, or QGIS); otherwise reproject it",
        )


def planetodetic(lat: np.ndarray, body: Body) -> np.ndarray:
    """Planetocentric latitudes in degrees (angles at the body's centre) as planetodetic ones (of the normal to its surface)."""
    return np.where(np.abs(lat) < 90, np.degrees(np.arctan(np.tan(np.radians(lat)) * (body.semi_major_m / body.semi_minor_m) ** 2)), lat)


def wrap_lon(lon):
    """Longitude(s) in [−180, 180); scalars stay floats."""
    if np.ndim(lon) == 0:
        return (float(lon) + 180.0) % 360.0 - 180.0
    return np.mod(np.asarray(lon, dtype=float) + 180.0, 360.0) - 180.0


@lru_cache(maxsize=32)
def _geod(semi_major_m: float, semi_minor_m: float) -> pyproj.Geod:
    return pyproj.Geod(a=semi_major_m, b=semi_minor_m)


def _central_angle(lat1, lat2, dlon):
    # Vincenty's form: accurate for tiny and for antipodal distances, where arccos and haversine lose digits.
    across = np.hypot(np.cos(lat2) * np.sin(dlon), np.cos(lat1) * np.sin(lat2) - np.sin(lat1) * np.cos(lat2) * np.cos(dlon))
    along = np.sin(lat1) * np.sin(lat2) + np.cos(lat1) * np.cos(lat2) * np.cos(dlon)
    return np.arctan2(across, along)


def check_centre(lon: float, lat: float) -> None:
    """Raise ``InputError`` unless a projection can be centred there."""
    if not (math.isfinite(lon) and math.isfinite(lat) and abs(lat) <= 90 and abs(lon) <= 720):
        raise InputError(f"centre of the projection: longitude {lon}, latitude {lat}", valid="degrees, latitude within −90…90")


def _read_body(path: Path) -> Body:
    from ..core.models import read_keys

    fields = ("name", "semi_major_m", "semi_minor_m", "source")
    step = f"write a YAML file with {', '.join(fields)}"
    content = read_keys(Path(path), "the body file ", step)
    if set(content) != set(fields):
        raise InputError(f"the body file {path} holds: {', '.join(map(str, content))}", valid=f"exactly the keys {', '.join(fields)}")
    return Body(**content)
