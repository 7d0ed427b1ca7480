"""What ``splits.hold_out`` asks for, for samples of any family: those tested on, and those that nothing is done with."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import shapely

from ..core.errors import InputError, nearest
from .inputs import mark

if TYPE_CHECKING:
    from ..config import HoldOut, Splits
    from ..geo.bodies import Body

TV, TEST, UNUSED, VALIDATES = 0, 1, -1, 2
Both = tuple[np.ndarray, np.ndarray]
"""Which samples are tested on, and which ones show some of the same all the same, (n,) bool each."""


@dataclass(frozen=True)
class Ways:
    """How samples, called ``what``, are found by each key of a hold-out; None where they don't know such a thing. ``validates``: some may
    be named to validate with."""

    what: str
    craters: Callable[[list[int]], Both] | None = None
    regions: Callable[[str], Both] | None = None
    names: Callable[[list[str]], Both] | None = None
    validates: bool = False


def held_out(one: HoldOut, ways: Ways, groups: np.ndarray) -> np.ndarray:
    """``TEST``, ``TV``, ``VALIDATES`` or ``UNUSED`` of samples. ``groups``: equal for those of the same ground, which aren't used if one is
    tested on, nor trained with if one validates."""
    test, near = np.zeros(len(groups), bool), np.zeros(len(groups), bool)
    asked = one.model_dump(exclude_defaults=True, exclude={"validation"})
    for key, value in asked.items():
        way = getattr(ways, key)
        if way is None:
            known = [name for name in ("craters", "regions", "names") if getattr(ways, name)]
            given = f"splits.hold_out names {key}, but nobody knows them of {ways.what}s"
            raise InputError(given, valid=", ".join(known), next_step="hold out by one of these, or leave splits.hold_out away")
        inside, touched = way(value)
        test, near = test | inside, near | touched
    near = near | np.isin(groups, groups[test])
    if not test.any() or (test | near).all():
        left = f"no {ways.what}" if not test.any() else f"nothing but {ways.what}s that are tested on"
        raise InputError(
            f"splits.hold_out {asked} leaves {left}", valid=f"some {ways.what}s on either side", next_step="hold out other ground"
        )
    sides = np.where(test, TEST, np.where(near, UNUSED, TV))
    return _with_validation(sides, one.validation, ways, groups) if one.validation else sides


def _with_validation(sides: np.ndarray, names: list[str], ways: Ways, groups: np.ndarray) -> np.ndarray:
    """The sides (n,) of samples where those of these names validate."""
    key = f"splits.hold_out.validation {names}"
    if not ways.validates or ways.names is None:
        raise InputError(f"{key} for {ways.what}s", valid="tiles of crater_unet and crater_detector", next_step="leave it out")
    named, _ = ways.names(names)
    sides = np.where(named & (sides == TV), VALIDATES, np.where((sides == TV) & np.isin(groups, groups[named]), UNUSED, sides))
    if not (sides == VALIDATES).any() or not (sides == TV).any():
        left = "none to train" if (sides == VALIDATES).any() else "none that isn't tested on"
        raise InputError(f"{key} leaves {left}", valid=f"some {ways.what}s to train and some to validate", next_step="name others")
    return sides


def region_marks(splits: Splits, path: Callable[[str], Path]) -> dict[str, Any]:
    """What changes where a file of regions does."""
    return {one.regions: mark(path(one.regions)) for one in splits.hold_out if one.regions}


def by_name(names: Iterable[str], what: str) -> Callable[[list[str]], Both]:
    """Samples by their names, in which ``*`` stands for anything."""
    known = [str(name) for name in names]

    def find(wanted: list[str]) -> Both:
        found: np.ndarray = np.array([[fnmatchcase(name, pattern) for name in known] for pattern in wanted], bool).reshape(len(wanted), -1)
        if not found.any(axis=1).all():
            lacking = wanted[int(np.argmin(found.any(axis=1)))]
            given = f"splits.hold_out names {lacking}, and no {what} is called so"
            raise InputError(given, valid=nearest(lacking, known), next_step="* stands for anything")
        return np.any(found, axis=0), np.zeros(len(known), bool)

    return find


@dataclass(frozen=True)
class Squares:
    """Square samples on a body: centres in degrees and half their sides in metres, (n,) each, NaN where nobody knows the place."""

    body: Body
    lon: np.ndarray
    lat: np.ndarray
    half_m: np.ndarray

    def with_craters(self, table: pd.DataFrame, fids: list[int]) -> Both:
        """Those that hold a crater's centre, and those that its rim or inside meets."""
        listed = table.set_index("FID")[["lon", "lat", "radius_m"]]
        unknown = [fid for fid in fids if fid not in listed.index]
        if unknown:
            raise InputError(
                f"splits.hold_out names the craters {unknown}, which the list lacks", valid=nearest(str(unknown[0]), listed.index)
            )
        hold, touch = np.zeros((2, len(self.lon)), bool)
        rows = np.flatnonzero(np.isfinite(self.half_m))
        for lon, lat, radius_m in listed.loc[fids].itertuples(index=False, name=None):
            there = np.full(len(rows), lon), np.full(len(rows), lat)
            azimuth, _, distance = self.body.geod.inv(self.lon[rows], self.lat[rows], *there)
            away = np.abs(distance * np.stack([np.sin(np.radians(azimuth)), np.cos(np.radians(azimuth))]))
            beyond = np.hypot(*np.maximum(away - self.half_m[rows], 0))
            hold[rows] |= beyond == 0
            touch[rows] |= beyond <= radius_m
        return hold, touch

    def in_regions(self, path: Path) -> Both:
        """Those whose middle lies in a file's polygons, and those that touch one."""
        rows = np.flatnonzero(np.isfinite(self.half_m))
        sides = self.half_m[rows]
        outlines = zip(self.lon[rows], self.lat[rows], shapely.box(-sides, -sides, sides, sides), strict=True)
        found = np.zeros((2, len(self.lon)), bool)
        found[:, rows] = meeting(path, self.body, outlines)
        return found[0], found[1]


def meeting(path: Path, body: Body, outlines: Iterable[tuple[float, float, shapely.Polygon]]) -> Both:
    """Whose middles (degrees) lie in a file's polygons, and whose outlines (metres east and north of the middle) touch one."""
    from ..geo.polygons import read_polygons, to_degrees, to_plane

    shapes, found = list(to_degrees(read_polygons(path, body, "the regions"), body).geometry), []
    for lon, lat, outline in outlines:
        regions = [to_plane(shape, body, float(lon), float(lat)) for shape in shapes]
        found.append((any(one.contains(shapely.Point(0, 0)) for one in regions), any(one.intersects(outline) for one in regions)))
    both = np.array(found, bool).reshape(-1, 2)
    return both[:, 0], both[:, 1]
