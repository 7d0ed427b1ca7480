"""Immutable pixel grids: CRS, affine and shape as one value; windows of them; the azimuthal grid of a crater.

Row and column numbers are those of pixel centres: pixel (0, 0) reaches from −0.5 to 0.5. Arrays broadcast.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
import pyproj
from affine import Affine

from ..core.errors import InputError
from .bodies import Body, as_crs, body_of_crs, check_centre, require_same_body, wrap_lon
from .projections import AzimuthalSphere, Linear, Projection, projection_of

# Rasters whose pixels lie this close together count as being on one grid: more than the rounding of a written transform, less than a shift.
ALIGNMENT_PX = 0.05


@dataclass(frozen=True)
class Window:
    """A rectangle of pixels; on a global grid it may cross the seam (col + width > period, or col < 0)."""

    row: int
    col: int
    height: int
    width: int

    def __post_init__(self):
        for name in ("row", "col", "height", "width"):
            value = getattr(self, name)
            if not float(value).is_integer():
                raise InputError(f"window: {name} is {value!r}", valid="a whole number of pixels")
            object.__setattr__(self, name, int(value))
        if self.height < 1 or self.width < 1:
            raise InputError(f"window of {self.height} × {self.width} pixels", valid="at least one row and one column")

    @property
    def stop_row(self) -> int:
        return self.row + self.height

    @property
    def stop_col(self) -> int:
        return self.col + self.width

    @property
    def slices(self) -> tuple[slice, slice]:
        """For indexing an array of the whole grid; only for windows that lie inside it."""
        return slice(self.row, self.stop_row), slice(self.col, self.stop_col)

    def common(self, other: Window) -> Window | None:
        """The pixels that two windows share."""
        row, col = max(self.row, other.row), max(self.col, other.col)
        height, width = min(self.stop_row, other.stop_row) - row, min(self.stop_col, other.stop_col) - col
        return Window(row, col, height, width) if height > 0 and width > 0 else None

    def within(self, whole: Window) -> Window:
        """The same pixels, counted from the corner of another window: its ``slices`` cut them out of that one's array."""
        return self.moved(-whole.row, -whole.col)

    def moved(self, rows: int, cols: int) -> Window:
        return Window(self.row + rows, self.col + cols, self.height, self.width)

    def squares(self, side: int) -> Iterator[Window]:
        """The window in parts of at most ``side`` pixels, row by row."""
        for row in range(self.row, self.stop_row, side):
            for col in range(self.col, self.stop_col, side):
                yield Window(row, col, min(side, self.stop_row - row), min(side, self.stop_col - col))

    def squares_met(self, side: int, places: Sequence[Window], period: int | None = None) -> Iterator[tuple[Window, list[int]]]:
        """Those of :meth:`squares` that any of these places meets, each with the numbers of the places that do. ``period``: columns of a
        mosaic, at any turn of which a place may lie."""
        met: dict[tuple[int, int], dict[int, None]] = defaultdict(dict)
        for number, place in enumerate(places):
            for here, _ in self.shared(place, period):
                rows = range(here.row // side, (here.stop_row - 1) // side + 1)
                for corner in product(rows, range(here.col // side, (here.stop_col - 1) // side + 1)):
                    met[corner][number] = None
        for (row, col), numbers in sorted(met.items()):
            part = Window(self.row + row * side, self.col + col * side, side, side).common(self)
            assert part is not None, "what is shared lies within"
            yield part, list(numbers)

    def turns(self, place: Window, period: int | None) -> list[int]:
        """Whole turns of a mosaic of so many columns by which ``place`` must be moved to meet this window."""
        if self.row >= place.stop_row or place.row >= self.stop_row:
            return []
        if period is None:
            return [0] if self.col < place.stop_col and place.col < self.stop_col else []
        first = (self.col - place.stop_col) // period + 1
        last = (self.stop_col - place.col - 1) // period
        return [turn * period for turn in range(first, last + 1)]

    def shared(self, place: Window, period: int | None) -> Iterator[tuple[Window, Window]]:
        """What this window and a place of the mosaic share at any turn, counted from the corner of this and of that."""
        for turn in self.turns(place, period):
            there = place.moved(0, turn)
            both = self.common(there)
            assert both is not None, "turns are those that meet"
            yield both.within(self), both.within(there)


def hull(windows: Iterable[Window]) -> Window:
    """The smallest window around all of them."""
    rows, cols, stop_rows, stop_cols = zip(*((one.row, one.col, one.stop_row, one.stop_col) for one in windows), strict=True)
    return Window(min(rows), min(cols), max(stop_rows) - min(rows), max(stop_cols) - min(cols))


def moved_alike(grids: Sequence[Grid]) -> Iterator[tuple[list[int], np.ndarray]]:
    """Grids of one shape on one azimuthal plane that differ by moves alone: their numbers, and (n, 2) by how many rows and columns each is
    moved against the first of them. Every other grid is on its own."""
    found: dict[Any, list[int]] = defaultdict(list)
    for number, grid in enumerate(grids):
        a, b, _, d, e, _ = grid.affine[:6]
        found[(id(grid.plane), grid.shape, a, b, d, e) if isinstance(grid.plane, Azimuthal) else number].append(number)
    for numbers in found.values():
        first = grids[numbers[0]]
        corners = np.array([first.rowcol(grids[number].affine.c, grids[number].affine.f) for number in numbers]) + 0.5
        yield numbers, corners


@dataclass(frozen=True)
class Azimuthal:
    """The azimuthal equidistant plane around a point of a body. Its CRS is made only where a file or a library asks for one, since that
    takes longer than sampling a small tile."""

    body: Body
    lon: float
    lat: float

    def __post_init__(self):
        check_centre(self.lon, self.lat)

    @cached_property
    def crs(self) -> pyproj.CRS:
        return self.body.azimuthal_crs(self.lon, self.lat)

    @cached_property
    def projection(self) -> Projection:
        if self.body.is_sphere:
            return AzimuthalSphere(self.body.semi_major_m, wrap_lon(self.lon), float(self.lat))
        return projection_of(self.crs)


@dataclass(frozen=True)
class Grid:
    """A raster grid. ``affine`` maps (col + 0.5, row + 0.5) of a pixel centre to the CRS's x, y; ``shape`` is (rows, cols).

    Mosaics are north-up; a tile's grid may be turned, to follow a ray. ``plane``: a CRS, or what is known of one without making it.
    """

    plane: pyproj.CRS | Azimuthal
    affine: Affine
    shape: tuple[int, int]

    def __post_init__(self):
        if not isinstance(self.plane, Azimuthal):
            object.__setattr__(self, "plane", as_crs(self.plane))
        object.__setattr__(self, "shape", (int(self.shape[0]), int(self.shape[1])))
        if not (np.all(np.isfinite(self.affine[:6])) and self.affine.determinant):
            raise InputError(f"the raster's transform is {tuple(self.affine[:6])}", valid="finite steps that aren't zero")

    @property
    def is_north_up(self) -> bool:
        return self.affine.b == 0 and self.affine.d == 0

    @property
    def height(self) -> int:
        return self.shape[0]

    @property
    def width(self) -> int:
        return self.shape[1]

    @property
    def crs(self) -> pyproj.CRS:
        return self.plane.crs if isinstance(self.plane, Azimuthal) else self.plane

    @cached_property
    def body(self) -> Body:
        return self.plane.body if isinstance(self.plane, Azimuthal) else body_of_crs(self.plane)

    @cached_property
    def projection(self) -> Projection:
        return self.plane.projection if isinstance(self.plane, Azimuthal) else projection_of(self.plane)

    @cached_property
    def resolution_m(self) -> float:
        """Ground size of a pixel in metres: along a meridian for geographic and cylindrical grids, else of its longer side."""
        if isinstance(self.projection, Linear):
            return abs(self.affine.e / self.projection.y_per_degree) * np.pi / 180 * self.body.semi_major_m
        longer = max(np.hypot(self.affine.a, self.affine.d), np.hypot(self.affine.b, self.affine.e))
        return float(longer) * (1.0 if isinstance(self.plane, Azimuthal) else self.plane.axis_info[1].unit_conversion_factor)

    @cached_property
    def columns_per_turn(self) -> float | None:
        """Columns in 360°, not rounded; None where columns aren't linear in longitude."""
        if not isinstance(self.projection, Linear):
            return None
        return abs(360.0 * self.projection.x_per_degree / self.affine.a)

    @cached_property
    def period_px(self) -> int | None:
        """Whole columns in 360° if the grid goes all the way round, else None."""
        turn = self.columns_per_turn
        # Published mosaics round their width: the Moon's 100 m grid has 109 164 columns where 109 164.07 would close the circle.
        return min(round(turn), self.width) if turn is not None and self.width >= turn - 0.5 else None

    @cached_property
    def is_global(self) -> bool:
        """Whether it covers the whole body, poles included."""
        return bool(self.period_px) and self.height >= self.width / 2 - 1

    def holds(self, rows, cols):
        """Which fractional rows and columns, as :meth:`rowcol_of_lonlat` gives them, lie on pixels; False for NaN."""
        on = (rows >= -0.5) & (rows <= self.height - 0.5)
        return on if self.period_px else on & (cols >= -0.5) & (cols <= self.width - 0.5)

    def window(self, window: Window) -> Grid:
        return Grid(self.plane, self.affine @ Affine.translation(window.col, window.row), (window.height, window.width))

    def resized(self, shape: tuple[int, int]) -> Grid:
        """The same extent cut into another number of pixels."""
        scale = Affine.scale(self.width / shape[1], self.height / shape[0])
        return Grid(self.plane, self.affine @ scale, shape)

    def xy(self, rows, cols):
        """Coordinates of pixel centres; fractional numbers lie between them."""
        rows, cols, (a, b, c, d, e, f) = np.asarray(rows) + 0.5, np.asarray(cols) + 0.5, self.affine[:6]
        if self.is_north_up:
            return c + cols * a, f + rows * e
        return c + cols * a + rows * b, f + cols * d + rows * e

    def rowcol(self, x, y):
        """Fractional rows and columns of coordinates, inverse of ``xy``; not wrapped, not clipped."""
        a, b, c, d, e, f = self.affine[:6]
        dx, dy = np.asarray(x) - c, np.asarray(y) - f
        if self.is_north_up:
            return dy / e - 0.5, dx / a - 0.5
        determinant = a * e - b * d
        return (a * dy - d * dx) / determinant - 0.5, (e * dx - b * dy) / determinant - 0.5

    def lonlat(self, rows, cols):
        """Longitude in [−180, 180) and planetodetic latitude of pixel centres in degrees; NaN off the body."""
        lon, lat = self.projection.to_lonlat(*np.broadcast_arrays(*self.xy(rows, cols)))
        return wrap_lon(lon), lat

    def rowcol_of_lonlat(self, lon, lat):
        """Fractional rows and columns of positions in degrees; on a global grid columns lie in [−0.5, period − 0.5)."""
        lon, lat = np.broadcast_arrays(np.asarray(lon, dtype=float), np.asarray(lat, dtype=float))
        rows, cols = self.rowcol(*self.projection.to_xy(lon, lat))
        turn = self.columns_per_turn
        if turn is not None:
            # A regional grid takes the turn that is nearest to its middle, so that 0…360 and −180…180 both land.
            start = -0.5 if self.period_px else self.width / 2 - turn / 2
            cols = np.mod(cols - start, turn) + start
        return rows, cols

    def window_of(self, other: Grid, what: str) -> Window:
        """The window of this grid that another raster covers pixel by pixel.

        InputError, naming ``what``, if it lies off the grid or between its pixels.
        """
        require_same_body(self.body, other.body, what)
        rows, cols = self.rowcol_of_lonlat(*other.lonlat(np.array([0, other.height - 1]), np.array([0, other.width - 1])))
        size = np.array([rows[1] - rows[0], (cols[1] - cols[0]) % (self.columns_per_turn or np.inf)]) + 1
        first = np.round([rows[0], cols[0]])
        if np.abs(size - other.shape).max() > ALIGNMENT_PX or np.abs(first - [rows[0], cols[0]]).max() > ALIGNMENT_PX:
            raise InputError(
                f"{what} has pixels of {other.resolution_m:.10g} m, starting at row {rows[0]:.2f}, column {cols[0]:.2f} of the mosaic",
                valid=f"the mosaic's own pixels, {self.resolution_m:.10g} m, in whole rows and columns of it",
                next_step="gdalwarp -r near -tap -tr … onto the mosaic's grid",
            )
        window = Window(int(first[0]), int(first[1]), *other.shape)
        if window.row < 0 or window.stop_row > self.height or (not self.period_px and not 0 <= window.col <= self.width - window.width):
            raise InputError(
                f"{what} lies off the mosaic: {window}", valid=f"windows inside its {self.height} rows and {self.width} columns"
            )
        return window

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """(left, bottom, right, top) in the CRS's units."""
        x0, y0 = self.affine @ (0, 0)
        x1, y1 = self.affine @ (self.width, self.height)
        return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)


def azimuthal_grid(body: Body, lon: float, lat: float, resolution_m: float) -> Grid:
    """The conceptual raster of a whole body, azimuthal equidistant around a crater's centre: square, N = round(2πR / resolution) pixels.

    Never materialised: tiles are its windows. With (row, col) of a pixel, metres east and north of the crater are
    X = (col + 0.5 − N/2)·res, Y = (N/2 − row − 0.5)·res, and the ground distance to the crater is hypot(X, Y) exactly.
    """
    if not (np.isfinite(resolution_m) and resolution_m > 0):
        raise InputError(f"resolution of {resolution_m} m", valid="a positive number of metres per pixel")
    size = round(2 * body.half_circumference_m / resolution_m)
    affine = Affine(resolution_m, 0.0, -size / 2 * resolution_m, 0.0, -resolution_m, size / 2 * resolution_m)
    return Grid(Azimuthal(body, lon, lat), affine, (size, size))


def square_grid(body: Body, lon: float, lat: float, half_m: float, size_px: int) -> Grid:
    """An azimuthal square exactly centred on a point, ``half_m`` to each side: not distorted whatever the latitude."""
    step = 2 * half_m / size_px
    return Grid(Azimuthal(body, lon, lat), Affine(step, 0, -half_m, 0, -step, half_m), (size_px, size_px))


def tile_distance_m(grid: Grid) -> np.ndarray:
    """Ground distance of every pixel of an azimuthal grid from its crater: (h, w) float64 metres."""
    x, y = grid.xy(np.arange(grid.height)[:, None], np.arange(grid.width)[None, :])
    return np.hypot(x, y)


def pixel_areas_m2(grid: Grid) -> np.ndarray:
    """Area of one pixel in each row of a cylindrical or geographic grid, (rows,) float64 m²; exact on the ellipsoid."""
    turn = grid.columns_per_turn
    if turn is None:
        given = "the mosaic is neither geographic nor equidistant cylindrical"
        raise InputError(given, valid="a cylindrical mosaic", next_step="reproject it with gdalwarp")
    _, lat = grid.lonlat(np.arange(grid.height + 1) - 0.5, np.zeros(grid.height + 1))
    # A mosaic may reach half a pixel beyond a pole; there is no ground.
    up_to = _zone_m2_per_radian(grid.body, np.radians(np.clip(lat, -90, 90)))
    return np.abs(np.diff(up_to)) * 2 * np.pi / turn


def _zone_m2_per_radian(body: Body, lat: np.ndarray) -> np.ndarray:
    """Area from the equator to a planetodetic latitude, per radian of longitude (Snyder 1987, eq. 3-12 times a²/2)."""
    sin = np.sin(lat)
    if body.is_sphere:
        return body.semi_major_m**2 * sin
    e2 = 1 - (body.semi_minor_m / body.semi_major_m) ** 2
    half_q = sin / (1 - e2 * sin**2) + np.arctanh(np.sqrt(e2) * sin) / np.sqrt(e2)
    return body.semi_minor_m**2 / 2 * half_q


def azimuthal_pixels_m2(body: Body, lat: float, resolution_m: float, distance_m: np.ndarray) -> np.ndarray:
    """Ground area of pixels of an azimuthal equidistant raster, by their distance from its centre at latitude ``lat``: m², float32.

    Exact on a sphere. On an ellipsoid the surface is taken to be as curved everywhere as at the centre, which errs by less than the
    flattening times the square of the distance in radii.
    """
    e2 = 1 - (body.semi_minor_m / body.semi_major_m) ** 2
    # The product of both radii of curvature is the inverse of the Gaussian curvature (Snyder 1987, eqs. 4-20 and 4-21).
    radius_m = body.semi_minor_m / (1 - e2 * np.sin(np.radians(lat)) ** 2)
    return (resolution_m**2 * np.sinc(np.asarray(distance_m) / (np.pi * radius_m))).astype(np.float32)
