"""Vote shares and probabilities of craters: windows, areas with intervals from the ensemble, and where its members disagree."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..geo.blocks import BLOCK_PX, in_order, lazy_raster
from ..geo.cog import write_cog
from ..geo.grid import Grid, Window, pixel_areas_m2
from ..geo.mosaic import Mosaic, close_kept, kept_open

if TYPE_CHECKING:
    import dask.array

NAME = re.compile(r"vote_share_crater_(\d+)\.tif")
VOTE_SHARE, PROBABILITY = 1, 2
LEVELS = {"area_low_km2": 0.975, "area_high_km2": 0.025}
STRIP_ROWS = 256
DISAGREEMENT = "disagreement_all.tif"


@dataclass(frozen=True)
class Shares:
    """One crater's raster of vote shares (band 1) or probabilities (band 2), NaN where no tile lies."""

    fid: int
    path: Path
    place: Window
    grid: Grid
    band: int = VOTE_SHARE

    @classmethod
    def open(cls, fid: int, path: Path, grid: Grid, band: int = VOTE_SHARE) -> Shares:
        return cls(fid, path, grid.window_of(kept_open(path, (band,)).grid, f"the vote shares {path}"), grid, band)

    @cached_property
    def _raster(self) -> Mosaic:
        return Mosaic.open(self.path, [self.band])

    def read(self, window: Window) -> np.ndarray:
        """A window of the mosaic's grid, of any turn: (h, w) float32, NaN outside."""
        out = np.full((window.height, window.width), np.nan, np.float32)
        for here, part in window.shared(self.place, self.grid.period_px):
            out[here.slices] = self._raster.read(part)[0]
        return out

    def pieces(self, window: Window) -> Iterator[tuple[Window, np.ndarray]]:
        """What such a window has of the crater, as parts of it with their (h, w) float32. The file is kept open for the next blocks."""
        for here, part in window.shared(self.place, self.grid.period_px):
            yield here, kept_open(self.path, (self.band,)).read(part)[0]

    def blocks(self, side: int) -> Iterator[tuple[Window, np.ndarray]]:
        """Where tiles lie, in squares of at most ``side`` pixels."""
        for window in self.place.squares(side):
            known = np.isfinite(self._raster.read(window.within(self.place))[0])
            if known.any():
                yield window, known

    def close(self) -> None:
        raster = self.__dict__.pop("_raster", None)
        if raster is not None:
            raster.close()


def share_files(folder: Path) -> dict[int, Path]:
    """FID → raster of vote shares of a map's folder; none for other masks."""
    return {int(match[1]): path for path in sorted(folder.iterdir()) if (match := NAME.fullmatch(path.name))}


def ensemble_areas(files: dict[int, Path], grid: Grid, threshold: float) -> pd.DataFrame:
    """Area of each crater's ejecta on the ellipsoid with a 95 % interval from the ensemble, and the mean of its members' areas, km².

    The area by at least a share of the members is a quantile of the members' areas if their masks lie within each other, and farther from
    the median than that quantile otherwise: the interval is never too narrow for how members differ. What all get wrong is not in it.
    """
    areas_m2, rows = pixel_areas_m2(grid), []
    for fid, path in sorted(files.items()):
        shares = Shares.open(fid, path, grid)
        totals = np.zeros(4)
        for row in range(0, shares.place.height, STRIP_ROWS):
            part = Window(row, 0, min(STRIP_ROWS, shares.place.height - row), shares.place.width)
            values = np.nan_to_num(shares._raster.read(part)[0])
            weight = areas_m2[shares.place.row + row : shares.place.row + row + part.height]
            counts = [(values >= level).sum(1) for level in (threshold, *LEVELS.values())]
            totals += [float(weight @ count) for count in (*counts, values.sum(1, dtype=np.float64))]
        shares.close()
        names = ("area_km2", *LEVELS, "members_mean_km2")
        rows.append({"crat_FID": fid, **dict(zip(names, (totals / 1e6).tolist(), strict=True))})
    return pd.DataFrame(rows)


def write_disagreement(path: Path, files: dict[int, Path], grid: Grid) -> Path:
    """Where the members disagree: 4 s (1 − s) of the vote share s, the most of any crater; 0 agreed, 1 half and half, NaN without tiles."""
    crater_shares = _opened(files, grid)
    met = Window(0, 0, *grid.shape).squares_met(BLOCK_PX, [shares.place for shares in crater_shares], grid.period_px)
    jobs = [(block, [crater_shares[number] for number in numbers]) for block, numbers in met]
    made = zip((block for block, _ in jobs), in_order(_disagreement, jobs, 4 * BLOCK_PX**2), strict=True)
    try:
        return write_cog(path, made, grid, dtype="float32", bands=1, nodata=np.nan, names=["disagreement"], resampling="average")
    finally:
        close_kept()


def most_of(files: dict[int, Path], grid: Grid) -> dask.array.Array:
    """The largest of the craters' vote shares, (1, H, W) float32 lazy; NaN without tiles."""
    return lazy_raster(partial(_most, _opened(files, grid), np.asarray), (1, *grid.shape), np.float32)


def _opened(files: dict[int, Path], grid: Grid) -> list[Shares]:
    return [Shares.open(fid, file, grid) for fid, file in sorted(files.items())]


def _most(crater_shares: list[Shares], what: Callable[[np.ndarray], np.ndarray], block: Window) -> np.ndarray:
    """The most that any crater has of something that follows from its vote shares, (1, h, w) float32; NaN without tiles."""
    out = np.full((1, block.height, block.width), np.nan, np.float32)
    for shares in crater_shares:
        for here, values in shares.pieces(block):
            most = out[0][here.slices]
            np.fmax(most, what(values), out=most)
    return out


def _disagreement(job: tuple[Window, list[Shares]]) -> np.ndarray:
    block, crater_shares = job
    return _most(crater_shares, disagreement, block)


def disagreement(share: np.ndarray) -> np.ndarray:
    return 4 * share * (1 - share)
