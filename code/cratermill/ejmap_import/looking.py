"""The look at EJMAP's folder before anything is written: what is there, what is broken, what has to be shifted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from ..core.errors import InputError
from ..families.ejecta_common.craters import Crater, read_craters
from ..families.ejecta_common.tile_positions import read_positions
from ..geo.grid import Window
from ..geo.mosaic import Mosaic
from . import npy_tiles
from .npy_files import Problem
from .positions import grid_shift_px, read_az_positions, used

if TYPE_CHECKING:
    from pathlib import Path

    from ..families.ejecta_common.prepare import Preparation
    from ..geo.grid import Grid
    from .source import EjmapData

SHOWN = 12
"""Broken files named in a message; the others are counted."""


@dataclass(frozen=True)
class Look:
    """EJMAP's data as read: ``table`` is ``az_positions_all.csv`` as it stands, ``shift_px`` what our grid adds to its x and y."""

    craters: list[Crater]
    table: pd.DataFrame
    shift_px: int
    bands: int
    byte_pixels: bool
    found: list[npy_tiles.Found]

    @property
    def drawn(self) -> list[Crater]:
        """The craters that training and evaluation use."""
        present = set(self.table.loc[used(self.table), "crat_FID"])
        return [crater for crater in self.craters if crater.train and crater.fid in present]


def look(data: EjmapData, work: Preparation, with_tiles: bool) -> Look:
    """Read what is small and the heads of what is large; raises ``InputError`` that names every file that is missing or broken."""
    for path, what in ((data.mosaic, "the mosaic"), (data.craters, "the crater list"), (data.az_positions, "the list of training tiles")):
        require(path, what)
    with Mosaic.open(data.mosaic) as mosaic:
        craters = read_craters(data.craters, mosaic)
        table = read_az_positions(data.az_positions, craters)
        found = [npy_tiles.look(kind, data, table, mosaic, work) for kind in (npy_tiles.PAIRS, npy_tiles.SQUARES)] if with_tiles else []
        seen = Look(craters, table, grid_shift_px(table, mosaic.grid, data), mosaic.count, mosaic.dtype == "uint8", found)
        problems = _broken_rasters(data, seen, mosaic, work) + _missing_positions(data, seen)
    require_no(problems + [problem for one in found for problem in one.problems])
    return seen


def require(path: Path, what: str) -> None:
    if not path.exists():
        raise InputError(f"{what} is missing: {path}", valid="EJMAP's data folder as it was unpacked", next_step="put the file there")


def require_no(problems: list[Problem]) -> None:
    """Raises ``InputError`` that lists the files that can't be used."""
    if not problems:
        return
    lines = [f"  {problem}" for problem in problems[:SHOWN]]
    lines += [f"  … and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
    count = "1 file" if len(problems) == 1 else f"{len(problems)} files"
    raise InputError(
        f"{count} can't be imported:\n" + "\n".join(lines),
        next_step="unpack them again; or, for tiles (npy), give --resample, and prepare takes all tiles from the mosaic instead",
    )


def _broken_rasters(data: EjmapData, seen: Look, mosaic: Mosaic, work: Preparation) -> list[Problem]:
    paths = [data.mask(crater.fid) for crater in seen.drawn]
    jobs = [data.mosaic, *paths, *([data.human_mask] if data.human_mask.exists() else [])]
    return [problem for problem in work.each("looking at rasters", jobs, lambda path: _raster_problem(path, mosaic.grid)) if problem]


def _raster_problem(path: Path, grid: Grid) -> Problem | None:
    """What is wrong with a raster on the mosaic's grid; its last row is read, since files are usually cut short at their end."""
    if not path.exists():
        return Problem(path, npy_tiles.MISSING)
    try:
        with Mosaic.open(path, labels=True) as raster:
            grid.window_of(raster.grid, "it")
            raster.read(Window(raster.grid.height - 1, 0, 1, raster.grid.width))
    except InputError as error:
        return Problem(path, error.given.removeprefix(f"{path} "))
    return None


def _missing_positions(data: EjmapData, seen: Look) -> list[Problem]:
    """Drawn craters whose tiles on the mosaic aren't listed anywhere."""
    problems = []
    for crater in seen.drawn:
        path = data.positions(crater.fid)
        path = path if path.exists() else data.human_positions
        if not path.exists():
            problems.append(Problem(data.positions(crater.fid), npy_tiles.MISSING))
            continue
        wanted = set(seen.table.loc[seen.table["crat_FID"] == crater.fid, "pos_index"])
        lacking = wanted - set(read_positions(path)["pos_index"])
        if lacking:
            problems.append(Problem(path, f"lacks {len(lacking)} tiles of crater {crater.fid}, first {min(lacking)}"))
    return problems
