"""From predicted tiles to the mosaic's grid: overlaps averaged, memory following the tiles and not the planet.

Arrays are (K, h, w) float32: K predicted layers; a canvas has one more, the coverage (1 where a tile lies, else 0).
Interpolation is linear, so layers (0 where no tile lies) and coverage are brought to the mosaic apart and divided there:
how the tiles were cut into canvases leaves no trace.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd

from ...core.frames import rows_of
from ...geo.backprojection import footprint, landings
from ...geo.grid import Grid, Window, hull

Pieces = list[tuple[Window, np.ndarray]]

CANVAS_PX = 1024
"""Canvases are cut to this side, so that a long ray of tiles does not ask for its whole bounding box."""


@dataclass
class _Canvas:
    window: Window
    sums: np.ndarray
    count: np.ndarray


class Stitcher:
    """Collects tiles of one crater, in their table's order and any portions, and averages them where they overlap."""

    def __init__(self, tiles: pd.DataFrame, layers: int):
        self._layers, self._added = layers, 0
        self._windows = [Window(int(tile.y), int(tile.x), int(tile.height), int(tile.width)) for tile in rows_of(tiles)]
        self._origin = (min((w.row for w in self._windows), default=0), min((w.col for w in self._windows), default=0))
        self._extents = self._cut()
        self._canvases: dict[tuple[int, int], _Canvas] = {}

    def add(self, values: np.ndarray) -> int:
        """Take the predictions (n, K, S, S) of the table's next n rows; returns how many there are now."""
        first, self._added = self._added, self._added + len(values)
        for window, tile in zip(self._windows[first : self._added], values, strict=True):
            tile = resize(tile, (window.height, window.width))
            for block in self._blocks(window):
                self._paste(self._canvas(block), window, tile)
        return self._added

    def canvases(self) -> Pieces:
        """Windows of the azimuthal grid and their (K + 1, h, w) arrays, in a fixed order. Asked once: sums are given up for them."""
        return [(canvas.window, _averaged(canvas)) for canvas in (self._canvases.pop(block) for block in sorted(self._canvases))]

    def _blocks(self, window: Window) -> Iterator[tuple[int, int]]:
        row, col = window.row - self._origin[0], window.col - self._origin[1]
        for down in range(row // CANVAS_PX, (row + window.height - 1) // CANVAS_PX + 1):
            for across in range(col // CANVAS_PX, (col + window.width - 1) // CANVAS_PX + 1):
                yield down, across

    def _cut(self) -> dict[tuple[int, int], Window]:
        """Per block the window around what tiles it holds."""
        extents: dict[tuple[int, int], Window] = {}
        for window in self._windows:
            for down, across in self._blocks(window):
                corner = self._origin[0] + down * CANVAS_PX, self._origin[1] + across * CANVAS_PX
                held = window.common(Window(*corner, CANVAS_PX, CANVAS_PX))
                assert held is not None, "blocks are those that a tile meets"
                known = extents.get((down, across))
                extents[down, across] = hull([known, held]) if known else held
        return extents

    def _canvas(self, block: tuple[int, int]) -> _Canvas:
        if block not in self._canvases:
            window = self._extents[block]
            shape = (window.height, window.width)
            # Sums in double: with up to a few hundred thousand of them per pixel never, rounding can't depend on the order of tiles.
            self._canvases[block] = _Canvas(window, np.zeros((self._layers, *shape)), np.zeros(shape, np.float32))
        return self._canvases[block]

    @staticmethod
    def _paste(canvas: _Canvas, window: Window, tile: np.ndarray) -> None:
        here = canvas.window.common(window)
        assert here is not None, "tiles are pasted where they lie"
        into = here.within(canvas.window).slices
        canvas.sums[:, *into] += tile[:, *here.within(window).slices]
        canvas.count[into] += 1


def resize(tile: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A predicted tile (K, S, S) at the size (h, w) of its window: averaged when shrinking, bilinear when growing."""
    tile = np.asarray(tile, np.float32)
    if tile.shape[1:] == tuple(shape):
        return tile
    method = cv2.INTER_AREA if shape[0] < tile.shape[1] else cv2.INTER_LINEAR
    return np.stack([cv2.resize(layer, shape[::-1], interpolation=method) for layer in tile])


def _averaged(canvas: _Canvas) -> np.ndarray:
    averaged = np.empty((len(canvas.sums) + 1, *canvas.count.shape), np.float32)
    np.divide(canvas.sums, np.maximum(canvas.count, 1), out=averaged[:-1], casting="same_kind")
    averaged[-1] = canvas.count > 0
    return averaged


def stitch(values: np.ndarray, tiles: pd.DataFrame) -> Pieces:
    """Average predicted tiles (N, S, S) or (N, K, S, S) on canvases of the azimuthal grid that ``tiles`` (x, y, height, width) refer to."""
    values = values[:, None] if values.ndim == 3 else values
    stitcher = Stitcher(tiles, values.shape[1])
    stitcher.add(values)
    return stitcher.canvases()


def land(canvases: Pieces, azimuthal_grid: Grid, mosaic_grid: Grid) -> Pieces:
    """Canvases on the mosaic's grid: windows inside the mosaic that don't overlap, with (K, h, w) float32, NaN where no tile lies.

    Interpolated bilinearly between pixels that tiles cover. A mosaic pixel belongs to the tiles if at least half of its weight does.
    """
    tiles = [_with_border(canvas, azimuthal_grid) for canvas, _ in canvases]
    totals = [
        (window, np.zeros((len(canvases[0][1]), window.height, window.width), np.float32))
        for window in _disjoint([window for tile in tiles for window in footprint(tile, mosaic_grid)])
    ]
    for tile, (_, layers) in zip(tiles, canvases, strict=True):
        # A border of zeros, so that weights taper at the canvas's edge as they do at the edges of tiles inside it.
        padded = np.pad(layers, ((0, 0), (1, 1), (1, 1)))
        for part, values in landings(padded, tile, mosaic_grid, fill=0, method="bilinear"):
            window, total = next(piece for piece in totals if piece[0].common(part))
            total[:, *part.within(window).slices] += values
    return [(window, _mean_in_place(total)) for window, total in totals]


def _mean_in_place(total: np.ndarray) -> np.ndarray:
    """Layers (K, h, w) of weighted sums (K + 1, h, w) over their weight, the last; NaN where that is less than half."""
    layers, weight = total[:-1], total[-1]
    # A little less than half, so that rounding does not decide about pixels half-way.
    enough = weight >= 0.5 - 1e-5
    np.divide(layers, weight, out=layers, where=enough)
    np.copyto(layers, np.nan, where=~enough)
    return layers


def _with_border(canvas: Window, azimuthal_grid: Grid) -> Grid:
    return azimuthal_grid.window(Window(canvas.row - 1, canvas.col - 1, canvas.height + 2, canvas.width + 2))


def _disjoint(windows: list[Window]) -> list[Window]:
    """The smallest windows around those that overlap, joined until none do; in a fixed order."""
    joined: list[Window] = []
    for window in windows:
        while touching := [other for other in joined if other.common(window)]:
            joined = [other for other in joined if other not in touching]
            window = hull([window, *touching])
        joined.append(window)
    return sorted(joined, key=lambda window: (window.row, window.col))
