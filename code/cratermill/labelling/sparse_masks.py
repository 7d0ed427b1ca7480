"""Masks as plain GeoTIFFs: tiled, compressed, and sparse, so that a mask of a whole planet costs only what was drawn on it.

Cloud-optimised files can't be edited in place, so these are none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import rasterio
from rasterio.windows import Window as RasterioWindow

from ..analysis.masks import Mask
from ..core.errors import InputError
from ..core.files import atomic_path
from ..geo.grid import Grid, Window
from ..geo.mosaic import Mosaic
from ..geo.overviews import filled_blocks

BLOCK_PX = 256
Blocks = Iterable[tuple[Window, np.ndarray]]


def write_mask(path: Path, grid: Grid, blocks: Blocks = ()) -> Path:
    """A mask of 0 on a grid with blocks (window, (h, w)) painted on it, later ones over earlier ones; written whole or not at all."""
    profile = {"driver": "GTiff", "count": 1, "dtype": "uint8", "height": grid.height, "width": grid.width, "compress": "deflate"}
    profile |= {"tiled": True, "blockxsize": BLOCK_PX, "blockysize": BLOCK_PX, "SPARSE_OK": True, "BIGTIFF": "IF_SAFER"}
    profile |= {"crs": grid.crs.to_wkt("WKT2_2019"), "transform": grid.affine}
    with atomic_path(path) as temporary, rasterio.open(temporary, "w", **profile) as file:
        _paint(file, grid, blocks)
    return path


def repaint(path: Path, grid: Grid, blocks: Blocks) -> None:
    """Paint on a mask where it lies, as an editor does."""
    with rasterio.open(path, "r+") as file:
        _paint(file, grid, blocks)


def _paint(file, grid: Grid, blocks: Blocks) -> None:
    for window, pixels in blocks:
        for part, values in split(window, (pixels > 0).astype(np.uint8), grid.period_px):
            file.write(values, 1, window=RasterioWindow(part.col, part.row, part.width, part.height))


def split(window: Window, values: np.ndarray, period: int | None) -> Iterator[tuple[Window, np.ndarray]]:
    """A window of any turn, and its values, in parts that lie on the grid."""
    col = window.col % period if period else window.col
    first = min(window.width, period - col) if period else window.width
    yield Window(window.row, col, window.height, first), values[:, :first]
    if first < window.width:
        yield Window(window.row, 0, window.height, window.width - first), values[:, first:]


def mask_blocks(path: Path, grid: Grid) -> Iterator[tuple[Window, np.ndarray]]:
    """What an existing mask holds, in blocks of the mosaic's grid; nothing if there is no such file."""
    if path.exists():
        mask = Mask.open(0, path, grid)
        try:
            yield from mask.blocks(2 * BLOCK_PX)
        finally:
            mask.close()


class Edited:
    """A mask that came back from an editor, on the mosaic's grid or a window of it."""

    def __init__(self, path: Path, grid: Grid):
        if not path.exists():
            raise InputError(
                f"the mask {path} is missing", valid="the masks that label start made, edited in place", next_step="put it back"
            )
        self.path, self._raster = path, Mosaic.open(path, [1], labels=True)
        self.place = grid.window_of(self._raster.grid, f"the mask {path}")

    def __enter__(self) -> Edited:
        return self

    def __exit__(self, *_: object) -> None:
        self._raster.close()

    def read(self, window: Window) -> tuple[np.ndarray, bool]:
        """Pixels (h, w) of a window of the mosaic, and whether any of them is nodata; ``InputError`` off the mask or for other values."""
        row, col = window.row - self.place.row, window.col - self.place.col
        if row < 0 or col < 0 or row + window.height > self.place.height or col + window.width > self.place.width:
            raise InputError(
                f"the mask {self.path} doesn't cover its tile at x {window.col}, y {window.row}",
                valid="a mask of the whole mosaic, or of a window with all tiles",
                next_step="save it without cutting it",
            )
        pixels, missing = self._raster.read_masked(Window(row, col, window.height, window.width))
        hidden = missing is not None and bool(missing.any())
        values = np.where(missing[0], 0, pixels[0]) if missing is not None else pixels[0]
        self._require_values(values, window)
        return values.astype(np.uint8), hidden

    def _require_values(self, values: np.ndarray, window: Window) -> None:
        wrong = (values != 0) & (values != 1)
        if wrong.any():
            row, col = (int(axis[0]) for axis in np.nonzero(wrong))
            raise InputError(
                f"the mask {self.path} holds {values[row, col]:g} at x {window.col + col}, y {window.row + row} "
                f"({np.count_nonzero(wrong)} pixels of the tile at x {window.col}, y {window.row})",
                valid="1 where this crater's ejecta are, 0 elsewhere",
                next_step="paint these pixels 1 or 0",
            )

    def pixels_drawn(self) -> int:
        """Pixels above 0 in all; blocks that nobody ever wrote aren't read."""
        with rasterio.open(self.path) as file:
            if not file.profile.get("tiled"):
                return sum(int(np.count_nonzero(file.read(1, window=block))) for _, block in file.block_windows(1))
            return sum(int(np.count_nonzero(file.read(1, window=block))) for block in filled_blocks(file))
