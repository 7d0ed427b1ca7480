"""Where two maps of the same craters differ, as a raster on the first one's grid."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..geo.blocks import BLOCK_PX
from ..geo.cog import write_cog
from ..geo.grid import Grid, Window, pixel_areas_m2
from ..geo.mosaic import Mosaic
from ..geo.sampling import sample
from .given_ejecta import Drawn, Ejecta
from .masks import Mask

NAME = "difference_all.tif"
MEANINGS = ("neither", "both", "map_alone", "truth_alone", "different_craters")
"""By value. The last: ground that both call ejecta, but not of the same craters."""
COLOURS = {0: (0, 0, 0, 0), 1: (89, 161, 79, 255), 2: (225, 87, 89, 255), 3: (78, 121, 167, 255), 4: (237, 201, 72, 255)}


def write_difference(
    path: Path, mapped: dict[int, Ejecta], truth: dict[int, Ejecta], fids: list[int], grid: Grid
) -> dict[str, float] | None:
    """A raster of ``MEANINGS`` of these craters; returns the ground (km²) of each but the first. None, and no file, if any are polygons."""
    pairs = [(mapped.get(fid), truth.get(fid)) for fid in fids]
    if any(one is not None and _mask(one) is None for pair in pairs for one in pair):
        path.unlink(missing_ok=True)  # that of an earlier comparison
        return None
    masks = [(_mask(one), _mask(other)) for one, other in pairs]
    areas_m2, totals = pixel_areas_m2(grid), np.zeros(len(MEANINGS))

    def blocks() -> Iterator[tuple[Window, np.ndarray]]:
        for block in Window(0, 0, *grid.shape).squares(BLOCK_PX):
            values = _values(masks, block, grid)
            if values.any():
                weight = areas_m2[block.row : block.stop_row, None]
                totals[:] += [float(((values == value) * weight).sum()) for value in range(len(MEANINGS))]
                yield block, values

    write_cog(path, blocks(), grid, dtype="uint8", bands=1, nodata=0, colormap=COLOURS, names=["difference"], resampling="nearest")
    return dict(zip(MEANINGS[1:], (totals[1:] / 1e6).tolist(), strict=True))


def _mask(ejecta: Ejecta | None) -> Mask | None:
    return ejecta.mask if isinstance(ejecta, Drawn) and isinstance(ejecta.mask, Mask) else None


def _values(masks: list[tuple[Mask | None, Mask | None]], block: Window, grid: Grid) -> np.ndarray:
    """``MEANINGS`` (h, w) uint8 of a block of the grid."""
    same, alone, missed = np.zeros((3, block.height, block.width), bool)
    for one, other in masks:
        mine, theirs = (_on_grid(mask, block, grid) for mask in (one, other))
        same |= mine & theirs
        alone |= mine & ~theirs
        missed |= theirs & ~mine
    return np.select([alone & missed, alone, missed, same], [4, 2, 3, 1], 0).astype(np.uint8)


def _on_grid(mask: Mask | None, block: Window, grid: Grid) -> np.ndarray:
    """A mask on a block of a grid that needn't be its own, (h, w) bool."""
    if mask is None:
        return np.zeros((block.height, block.width), bool)
    if mask.grid != grid:
        with Mosaic.open(mask.path, [1]) as file:
            return sample(file, grid.window(block), "nearest", nodata="ignore")[0] > 0
    return mask.read(block)
