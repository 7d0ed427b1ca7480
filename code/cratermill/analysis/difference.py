"""Where two maps of the same craters differ, as a raster on the first one's grid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from ..geo.blocks import BLOCK_PX, in_order
from ..geo.cog import write_cog
from ..geo.grid import Grid, Window, pixel_areas_m2
from ..geo.mosaic import close_kept, kept_open
from ..geo.sampling import sample
from ..report.palette import BOTH, DIFFERENT, ONLY_MAP, ONLY_TRUTH, channels
from .given_ejecta import Drawn, Ejecta
from .masks import Mask, Reader

NAME = "difference_all.tif"
MEANINGS = ("neither", "both", "map_alone", "truth_alone", "different_craters")
"""By value. The last: ground that both call ejecta, but not of the same craters."""
COLOURS = {0: (0, 0, 0, 0)} | {value: (*channels(shade), 255) for value, shade in enumerate((BOTH, ONLY_MAP, ONLY_TRUTH, DIFFERENT), 1)}
Pair = tuple[Mask | None, Mask | None]
"""A crater's mask of the map, and of the truth."""


def write_difference(
    path: Path, mapped: dict[int, Ejecta], truth: dict[int, Ejecta], fids: list[int], grid: Grid
) -> dict[str, float] | None:
    """A raster of ``MEANINGS`` of these craters; returns the ground (km²) of each but the first. None, and no file, if any are polygons."""
    pairs = [(mapped.get(fid), truth.get(fid)) for fid in fids]
    if any(one is not None and _mask(one) is None for pair in pairs for one in pair):
        path.unlink(missing_ok=True)  # that of an earlier comparison
        return None
    masks = [(_mask(one), _mask(other)) for one, other in pairs]
    jobs = [(block, met) for block in Window(0, 0, *grid.shape).squares(BLOCK_PX) if (met := _meeting(masks, block, grid))]
    areas_m2, totals = pixel_areas_m2(grid), np.zeros(len(MEANINGS) - 1)

    def blocks() -> Iterator[tuple[Window, np.ndarray]]:
        for (block, _), (values, counts) in zip(jobs, in_order(partial(_difference, grid), jobs, BLOCK_PX**2), strict=True):
            totals[:] += counts @ areas_m2[block.row : block.stop_row]
            if counts.any():
                yield block, values

    try:
        write_cog(path, blocks(), grid, dtype="uint8", bands=1, nodata=0, colormap=COLOURS, names=["difference"], resampling="nearest")
    finally:
        close_kept()
    return dict(zip(MEANINGS[1:], (totals / 1e6).tolist(), strict=True))


def _mask(ejecta: Ejecta | None) -> Mask | None:
    """The mask without what its reader holds, since it goes to dask's workers."""
    return replace(ejecta.mask, reader=Reader()) if isinstance(ejecta, Drawn) and isinstance(ejecta.mask, Mask) else None


def _meeting(masks: list[Pair], block: Window, grid: Grid) -> list[Pair]:
    """Pairs of which either may have ejecta in a block of the grid."""

    def may(mask: Mask | None) -> bool:
        return mask is not None and (mask.grid != grid or bool(block.turns(mask.place, grid.period_px)))

    return [pair for pair in masks if any(map(may, pair))]


def _difference(grid: Grid, job: tuple[Window, list[Pair]]) -> tuple[np.ndarray, np.ndarray]:
    """``MEANINGS`` (h, w) uint8 of a block of the grid, and how many pixels of each but the first its rows have, (4, h)."""
    block, pairs = job
    same, alone, missed = np.zeros((3, block.height, block.width), bool)
    for one, other in pairs:
        mine, theirs = (_on_grid(mask, block, grid) for mask in (one, other))
        same |= mine & theirs
        alone |= mine & ~theirs
        missed |= theirs & ~mine
    values = np.select([alone & missed, alone, missed, same], [4, 2, 3, 1], 0).astype(np.uint8)
    return values, np.stack([np.count_nonzero(values == value, axis=1) for value in range(1, len(MEANINGS))])


def _on_grid(mask: Mask | None, block: Window, grid: Grid) -> np.ndarray:
    """A mask on a block of a grid that needn't be its own, (h, w) bool."""
    if mask is None:
        return np.zeros((block.height, block.width), bool)
    if mask.grid != grid:
        return sample(kept_open(mask.path, (1,)), grid.window(block), "nearest", nodata="ignore")[0] > 0
    return mask.read_block(block)
