"""The regular tiling of a mosaic, and how its tiles lie to the craters: what choosing tiles goes by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from ..core.delimited import read_frame
from ..core.errors import InputError
from ..core.frames import rows_of
from ..core.paths import DataFolder
from ..families.ejecta_common.craters import Crater
from ..families.ejecta_common.tile_positions import read_positions
from ..geo.grid import Grid
from .drawing_folder import Tile

TILE_PX = (112, 224)
"""EJMAP's tiles, rows and columns."""
HIGHEST_LAT = 70.0
"""Degrees; beyond, a cylindrical tile is a sliver on the ground."""
RADII = (2.0, 4.0, 8.0, 16.0)
"""Ends of the distances, in crater radii, that tiles are spread over."""
OVERLAP_RADII = 8.0
"""Ground within so many radii of another crater may hold that one's ejecta, too."""


@dataclass(frozen=True)
class Ground:
    """Craters on a mosaic's grid, cut into tiles of ``tile_px`` (rows, columns). ``reach_m``: farthest that tiles of a crater may lie."""

    grid: Grid
    craters: dict[int, Crater]
    tile_px: tuple[int, int]
    reach_m: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        height, width = self.tile_px
        if not (4 <= height <= self.grid.height and 4 <= width <= self.grid.width):
            raise InputError(f"tiles of {height} × {width} pixels", valid=f"4 × 4 to the mosaic's {self.grid.height} × {self.grid.width}")

    @cached_property
    def corners(self) -> np.ndarray:
        """(n, 2): y, x of the tiles whose middle lies low enough."""
        height, width = self.tile_px
        rows, cols = np.arange(self.grid.height // height) * height, np.arange(self.grid.width // width) * width
        found = np.stack(np.meshgrid(rows, cols, indexing="ij"), axis=-1).reshape(-1, 2)
        _, lat = self.grid.lonlat(found[:, 0] + (height - 1) / 2, found[:, 1] + (width - 1) / 2)
        return found[np.abs(lat) <= HIGHEST_LAT]

    def tile(self, fid: int, corner: np.ndarray) -> Tile:
        return Tile(fid, int(corner[0]), int(corner[1]), *self.tile_px)

    def distances_m(self, fid: int, corners: np.ndarray | None = None) -> np.ndarray:
        """Of the tiles' middles from a crater, (n,)."""
        corners = self.corners if corners is None else corners
        crater, (height, width) = self.craters[fid], self.tile_px
        lon, lat = self.grid.lonlat(corners[:, 0] + (height - 1) / 2, corners[:, 1] + (width - 1) / 2)
        return self.grid.body.distance_m(crater.lon, crater.lat, lon, lat)

    @cached_property
    def claims(self) -> np.ndarray:
        """(n,) number of craters within ``OVERLAP_RADII`` of each tile."""
        near = np.zeros(len(self.corners), int)
        for fid, crater in self.craters.items():
            near += self.distances_m(fid) <= OVERLAP_RADII * crater.radius_m
        return near

    def strata(self, fid: int) -> np.ndarray:
        """(n,) stratum of each tile for one crater: distance in radii × whether others' ejecta may be there; -1 beyond its reach."""
        crater, distance = self.craters[fid], self.distances_m(fid)
        shared = self.claims - (distance <= OVERLAP_RADII * crater.radius_m) > 0
        found = 2 * np.searchsorted(RADII, distance / crater.radius_m) + shared
        return np.where(distance <= self.reach_m.get(fid, np.inf), found, -1)


def usual_tile(data: DataFolder, grid: Grid) -> tuple[int, int]:
    """The size of most tiles drawn before; EJMAP's if there are none, or on a small mosaic the same ground, but 16 × 32 at least."""
    if data.human_positions.exists():
        sizes = Counter((int(row.height), int(row.width)) for row in rows_of(read_positions(data.human_positions)))
        if sizes:
            return sizes.most_common(1)[0][0]
    turn = grid.columns_per_turn or 2 * TILE_PX[1]
    height = min(TILE_PX[0], max(16, round(TILE_PX[0] * turn / 23040)))
    return min(height, grid.height), min(2 * height, grid.width)


def drawn_tiles(data: DataFolder, fid: int) -> list[Tile]:
    """Tiles that the data list for a crater already."""
    path = data.positions(fid)
    if not path.exists():
        return []
    return [Tile(fid, int(row.y), int(row.x), int(row.height), int(row.width)) for row in rows_of(read_frame(path))]


def spread_over_sizes(craters: Iterable[Crater], most: int, seed: int) -> list[int]:
    """So many craters, of all sizes: one from each of ``most`` equal parts of the list by radius."""
    ordered = sorted(craters, key=lambda crater: (crater.radius_m, crater.fid))
    if len(ordered) <= most:
        return sorted(crater.fid for crater in ordered)
    random = np.random.default_rng(seed)
    return sorted(int(random.choice([ordered[at].fid for at in part])) for part in np.array_split(np.arange(len(ordered)), most))


def stratified(ground: Ground, fid: int, count: int, before: Iterable[Tile], seed: int) -> list[Tile]:
    """Tiles to draw for one crater, so that with those drawn before there are ``count``: in turn from each stratum, poorest first."""
    strata = ground.strata(fid)
    old = list(before)
    taken = {(tile.y, tile.x) for tile in old}
    corners = [(int(row), int(col)) for row, col in ground.corners]
    have = Counter(int(stratum) for corner, stratum in zip(corners, strata, strict=True) if corner in taken)
    random = np.random.default_rng([seed, fid])
    order = random.permutation(len(strata))
    free: dict[int, list[int]] = {}
    for at in order:
        if strata[at] >= 0 and corners[at] not in taken:
            free.setdefault(int(strata[at]), []).append(int(at))
    chosen: list[Tile] = []
    while len(chosen) + len(old) < count and any(free.values()):
        stratum = min((one for one, tiles in free.items() if tiles), key=lambda one: (have[one], one))
        chosen.append(ground.tile(fid, ground.corners[free[stratum].pop()]))
        have[stratum] += 1
    return chosen
