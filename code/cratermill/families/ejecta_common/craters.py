"""The craters of a configuration, each with its own azimuthal grid."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from ...core.errors import InputError, nearest
from ...craters.catalogue import read_catalogue
from ...craters.columns import flags
from ...geo.bodies import require_same_body
from ...geo.grid import Grid, azimuthal_grid

if TYPE_CHECKING:
    from pathlib import Path

    from ...config import CraterList
    from ...geo.mosaic import Mosaic


@dataclass(frozen=True)
class Crater:
    """One crater: degrees east and north, radius in metres, and whether its ejecta were drawn by hand."""

    fid: int
    lon: float
    lat: float
    radius_m: float
    train: bool = False

    @cached_property
    def _grids(self) -> dict:
        return {}

    def grid(self, mosaic_grid: Grid) -> Grid:
        """The conceptual azimuthal raster centred on the crater, at the mosaic's resolution; only its windows are ever sampled."""
        key = (mosaic_grid.crs, mosaic_grid.resolution_m)
        if key not in self._grids:
            self._grids[key] = azimuthal_grid(mosaic_grid.body, self.lon, self.lat, mosaic_grid.resolution_m)
        return self._grids[key]


def read_craters(path: Path, mosaic: Mosaic, listed: CraterList | None = None) -> list[Crater]:
    """All craters of a list, by FID; the list must be on the mosaic's ellipsoid. ``listed``: how it is read, where a config tells."""
    told = listed.told if listed else {}
    table = read_catalogue(path, mosaic.grid.body, pixel_m=mosaic.grid.resolution_m, **told)
    if table.crs is not None:
        require_same_body(mosaic.grid.crs, table.crs, f"the crater list {path}")
    train = flags(table["train"], path) if "train" in table else [False] * len(table)
    craters = [
        Crater(int(fid), float(lon), float(lat), float(radius), bool(flag))
        for fid, lon, lat, radius, flag in zip(table["FID"], table["lon"], table["lat"], table["radius_m"], train, strict=True)
    ]
    return sorted(craters, key=lambda crater: crater.fid)


def choose(craters: list[Crater], wanted: Literal["all"] | list[int]) -> list[Crater]:
    """``"all"`` or the craters with these FIDs; an unknown FID is refused."""
    if wanted == "all":
        return craters
    known = {crater.fid: crater for crater in craters}
    unknown = [fid for fid in wanted if fid not in known]
    if unknown:
        raise InputError(
            f"craters {unknown} are not in the crater list", valid=nearest(str(unknown[0]), sorted(known)), next_step="correct the config"
        )
    return [known[fid] for fid in wanted]
