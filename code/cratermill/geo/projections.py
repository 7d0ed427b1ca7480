"""Closed forms of the projections cratermill lives in, and pyproj for all others.

A projection turns degrees (planetodetic, east positive) into the CRS's coordinates and back. Longitudes go in and come out relative to
a reference meridian, because sums such as 179.99999 + 0.00002 lose digits exactly where a seam must not show.
Formulas: Snyder 1987, Map Projections: A Working Manual, USGS Professional Paper 1395, pp. 90–91 and 191–202.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyproj

from .bodies import Body, as_crs, body_of_crs, wrap_lon

_SAMPLE_LON = np.array([0.0, 1.0, 2.0, 3.0, 90.0, -90.0])
_SAMPLE_LAT = np.array([0.0, 10.0, -45.0, 60.0, 89.0, -80.0])


@dataclass(frozen=True)
class Linear:
    """Coordinates linear in longitude and latitude: geographic CRSs and the equidistant cylindrical, whatever their unit or direction."""

    x_per_degree: float
    x_at_0: float
    y_per_degree: float
    y_at_0: float

    def to_lonlat(self, x, y, lon_ref=0.0):
        return (x - self.x_at_0) / self.x_per_degree - lon_ref, (y - self.y_at_0) / self.y_per_degree

    def to_xy(self, dlon, lat, lon_ref=0.0):
        return self.x_at_0 + (dlon + lon_ref) * self.x_per_degree, self.y_at_0 + lat * self.y_per_degree


@dataclass(frozen=True)
class AzimuthalSphere:
    """Azimuthal equidistant on a sphere, centred on (lon_0, lat_0)."""

    radius_m: float
    lon_0: float
    lat_0: float

    def to_lonlat(self, x, y, lon_ref=0.0):
        """NaN beyond the antipode's circle (ρ > πR)."""
        dlon, lat, angle = azimuthal_to_lonlat(self.radius_m, *_sin_cos(self.lat_0), x, y)
        outside = angle > np.pi * (1 + 1e-12)
        if np.any(outside):
            dlon, lat = np.where(outside, np.nan, dlon), np.where(outside, np.nan, lat)
        return _shift(dlon, self.lon_0, lon_ref), lat

    def to_xy(self, dlon, lat, lon_ref=0.0):
        sin_0, cos_0 = _sin_cos(self.lat_0)
        dlon = np.radians(_shift(dlon, lon_ref, self.lon_0))
        lat = np.radians(lat)
        cos_lat, sin_lat, cos_dlon = np.cos(lat), np.sin(lat), np.cos(dlon)
        east = cos_lat * np.sin(dlon)
        north = cos_0 * sin_lat - sin_0 * cos_lat * cos_dlon
        angle = np.arctan2(np.hypot(east, north), sin_0 * sin_lat + cos_0 * cos_lat * cos_dlon)
        # c/sin(c) → ∞ at the antipode, where no direction is defined; there the result is on the circle ρ = πR, or NaN on the very point.
        with np.errstate(divide="ignore", invalid="ignore"):
            scale = self.radius_m / np.sinc(angle / np.pi)
        return east * scale, north * scale


def azimuthal_to_lonlat(radius_m: float, sin_0, cos_0, x, y) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Longitudes from the centre's meridian and latitudes in degrees, and angles from the centre in radians, of points (x, y) in metres
    on azimuthal equidistant planes of a sphere; ``sin_0`` and ``cos_0`` are of the centres' latitudes. All broadcast."""
    angle = np.hypot(x, y) / radius_m
    # sin(c)/ρ → 1/R in the centre; np.sinc has the removable singularity built in.
    scale = np.sinc(angle / np.pi) / radius_m
    east, north, up = x * scale, y * scale, np.cos(angle)
    towards_axis = up * cos_0 - north * sin_0
    lat = np.degrees(np.arctan2(up * sin_0 + north * cos_0, np.hypot(east, towards_axis)))
    return np.degrees(np.arctan2(east, towards_axis)), lat, angle


@dataclass(frozen=True)
class General:
    """Any other CRS, and azimuthal ones on an ellipsoid, through pyproj (which uses Karney's geodesics for those)."""

    wkt: str
    lon_0: float

    def to_lonlat(self, x, y, lon_ref=0.0):
        transformer, swapped = _transformer(self.wkt)
        first, second = np.broadcast_arrays(*((y, x) if swapped else (x, y)))
        lon, lat = transformer.transform(first, second, direction="INVERSE")
        # PROJ runs on past the opposite pole, to latitudes below −90°.
        bad = ~(np.isfinite(lon) & (np.abs(lat) <= 90 + 1e-9))
        lon, lat = np.where(bad, np.nan, lon), np.where(bad, np.nan, lat)
        return wrap_lon(lon - lon_ref), lat

    def to_xy(self, dlon, lat, lon_ref=0.0):
        x, y = _forward(self.wkt, *np.broadcast_arrays(wrap_lon(dlon + lon_ref), lat))
        bad = ~(np.isfinite(x) & np.isfinite(y))
        return np.where(bad, np.nan, x), np.where(bad, np.nan, y)


Projection = Linear | AzimuthalSphere | General


def projection_of(crs) -> Projection:
    """The fastest exact form of a CRS."""
    return _projection_of_wkt(as_crs(crs).to_wkt())


@lru_cache(maxsize=512)
def _projection_of_wkt(wkt: str) -> Projection:
    crs, body = pyproj.CRS.from_wkt(wkt), body_of_crs(wkt)
    centre = _azimuthal_centre(crs)
    if centre and body.is_sphere:
        return AzimuthalSphere(body.semi_major_m, *centre)
    if centre:
        return General(wkt, centre[0])
    return _linear_form(crs, body) or General(wkt, 0.0)


def _azimuthal_centre(crs: pyproj.CRS) -> tuple[float, float] | None:
    """(lon, lat) of a plain azimuthal equidistant CRS in metres, else None."""
    conversion = crs.coordinate_operation if crs.is_projected else None
    if conversion is None or "azimuthal equidistant" not in conversion.method_name.lower().replace("_", " "):
        return None
    values = {parameter.name.lower(): float(parameter.value) * parameter.unit_conversion_factor for parameter in conversion.params}
    easting, northing = values.get("false easting", 0.0), values.get("false northing", 0.0)
    plain_axes = [axis.direction for axis in crs.axis_info] == ["east", "north"]
    in_metres = all(axis.unit_conversion_factor == 1 for axis in crs.axis_info)
    if easting or northing or not plain_axes or not in_metres:
        return None
    lon, lat = values.get("longitude of natural origin"), values.get("latitude of natural origin")
    return None if lon is None or lat is None else (float(np.degrees(lon)), float(np.degrees(lat)))


def _linear_form(crs: pyproj.CRS, body: Body) -> Linear | None:
    # Measured rather than parsed: the formula behind a name depends on PROJ's version (equidistant cylindrical on an ellipsoid),
    # and axes may run west or be in kilometres; whatever is linear in both angles is recognised.
    lon, lat = np.meshgrid(_SAMPLE_LON, _SAMPLE_LAT)
    x, y = _forward(crs.to_wkt(), lon, lat)
    if not (np.all(np.isfinite(x)) and np.all(np.isfinite(y))):
        return None
    x_per_degree, y_per_degree = float(np.median(np.diff(x[0, :4]))), float((y[4, 0] - y[5, 0]) / 169.0)
    period, tolerance = abs(360 * x_per_degree), 1e-9 * abs(360 * x_per_degree)
    off_x, off_y = x - x[0, 0] - lon * x_per_degree, y - y[0, 0] - lat * y_per_degree
    off_x -= np.round(off_x / period) * period if period else 0
    if not period or not y_per_degree or max(np.abs(off_x).max(), np.abs(off_y).max()) > tolerance:
        return None
    return Linear(x_per_degree, float(x[0, 0]), y_per_degree, float(y[0, 0]))


def _forward(wkt: str, lon, lat):
    transformer, swapped = _transformer(wkt)
    first, second = (np.asarray(values) for values in transformer.transform(lon, lat))
    return (second, first) if swapped else (first, second)


@lru_cache(maxsize=64)
def _transformer(wkt: str) -> tuple[pyproj.Transformer, bool]:
    """The transformer from degrees on the CRS's own ellipsoid (so no datum shift is involved), and whether it answers (y, x)."""
    crs = pyproj.CRS.from_wkt(wkt)
    transformer = pyproj.Transformer.from_crs(body_of_crs(wkt).geographic_crs(), crs, always_xy=True)
    # always_xy knows latitude-first axes only when longitude runs east; IAU's planetographic and spherical CRSs stay latitude-first.
    latitude_first = crs.axis_info[0].direction in ("north", "south") and not crs.is_projected
    return transformer, latitude_first and abs(transformer.transform(1.0, 0.0)[0]) < 1e-6


def _sin_cos(degrees: float) -> tuple[float, float]:
    # Exact at the poles, where cos(π/2) would leave 6e-17 and with it a spurious direction.
    if abs(degrees) == 90:
        return float(np.sign(degrees)), 0.0
    return float(np.sin(np.radians(degrees))), float(np.cos(np.radians(degrees)))


def _shift(dlon, from_lon: float, to_lon: float):
    """Longitudes relative to one meridian, made relative to another; untouched (bit for bit) when both are the same."""
    return dlon if from_lon == to_lon else wrap_lon(dlon + (from_lon - to_lon))
