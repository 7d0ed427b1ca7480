"""Where two maps of the same craters differ, as a raster on the first one's grid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from ..geo.blocks import in_order
from ..geo.cog import write_cog
from ..geo.grid import Grid, Window, hull, pixel_areas_m2
from ..geo.mosaic import close_kept, kept_open
from ..geo.sampling import sample
from ..report.palette import BOTH, DIFFERENT, ONLY_MAP, ONLY_TRUTH, channels
from .given_ejecta import Drawn, Ejecta
from .masks import Mask, Reader

NAME = "difference_all.tif"
BLOCK_PX = 2048
"""Masks are quickly read and compared: smaller blocks would take more time around that than for it."""
MEANINGS = ("neither", "both", "map_alone", "truth_alone", "different_craters")
"""By value. The last: ground that both call ejecta, but not of the same craters."""
COLOURS = {0: (0, 0, 0, 0)} | {value: (*channels(shade), 255) for value, shade in enumerate((BOTH, ONLY_MAP, ONLY_TRUTH, DIFFERENT), 1)}
Pair = tuple[Mask | None, Mask | None]
"""A crater's mask of the map, and of the truth."""
SEEN = np.array([0, 0, 2, 2, 3, 3, 4, 4, 1, 1, 2, 2, 3, 3, 4, 4], np.uint8)
"""``MEANINGS`` of a pixel by what its craters have there, as bits: 1 none, 2 the map alone, 4 the truth alone, 8 both."""


def write_difference(
    path: Path, mapped: dict[int, Ejecta], truth: dict[int, Ejecta], fids: list[int], grid: Grid
) -> dict[str, float] | None:
    """A raster of ``MEANINGS`` of these craters; returns the ground (km²) of each but the first. None, and no file, if any are polygons."""
    pairs = [(mapped.get(fid), truth.get(fid)) for fid in fids]
    if any(one is not None and _mask(one) is None for pair in pairs for one in pair):
        path.unlink(missing_ok=True)  # that of an earlier comparison
        return None
    masks = [(_mask(one), _mask(other)) for one, other in pairs]
    jobs = list(_meeting(masks, grid))
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


def _meeting(masks: list[Pair], grid: Grid) -> Iterator[tuple[Window, list[Pair]]]:
    """Blocks of the grid, and pairs of which either may have ejecta there: those of other grids may anywhere."""
    whole = Window(0, 0, *grid.shape)
    found = [(number, mask) for number, pair in enumerate(masks) for mask in pair if mask is not None]
    places = [(number, mask.place if mask.grid == grid else whole) for number, mask in found]
    for block, met in whole.squares_met(BLOCK_PX, [place for _, place in places], grid.period_px):
        yield block, [masks[pair] for pair in dict.fromkeys(places[number][0] for number in met)]


def _difference(grid: Grid, job: tuple[Window, list[Pair]]) -> tuple[np.ndarray, np.ndarray]:
    """``MEANINGS`` (h, w) uint8 of a block of the grid, and how many pixels of each but the first its rows have, (4, h)."""
    block, pairs = job
    seen = np.zeros((block.height, block.width), np.uint8)
    for pair in pairs:
        around = _around(pair, block, grid)
        mine, theirs = (_on_grid(mask, around, grid) for mask in pair)
        seen[around.within(block).slices] |= np.left_shift(np.uint8(1), mine + np.uint8(2) * theirs)
    values = SEEN[seen]
    return values, np.stack([np.count_nonzero(values == value, axis=1) for value in range(1, len(MEANINGS))])


def _around(pair: Pair, block: Window, grid: Grid) -> Window:
    """What of a block of the grid the masks of a pair may cover."""
    if any(mask is not None and mask.grid != grid for mask in pair):
        return block
    met = [here for mask in pair if mask is not None for here, _ in block.shared(mask.place, grid.period_px)]
    return hull(met).moved(block.row, block.col)


def _on_grid(mask: Mask | None, block: Window, grid: Grid) -> np.ndarray:
    """A mask on a block of a grid that needn't be its own, (h, w) bool."""
    if mask is None:
        return np.zeros((block.height, block.width), bool)
    if mask.grid != grid:
        return sample(kept_open(mask.path, (1,)), grid.window(block), "nearest", nodata="ignore")[0] > 0
    return mask.read_block(block)
