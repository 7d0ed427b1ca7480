"""Predictions on the mosaic's own pixels: the mean of a block, and all blocks as one raster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ...core.files import atomic_path, stat_fingerprint
from ...geo.backprojection import to_mosaic
from ...geo.blocks import BLOCK_PX, in_order
from ...geo.box import Box
from ...geo.cog import write_cog
from ...geo.grid import Grid, Window
from .maps import PREDICTION

NO_DATA, FULL = 255, 254
"""Predictions are kept as bytes: 254 is certain, 255 is no data."""


class Mean:
    """The versions' mean prediction on those pixels of the mosaic whose centres lie in a box; memory follows the box."""

    def __init__(self, grid: Grid, box: Box):
        self.grid, self.windows, self.versions = grid, box_windows(grid, box), 0
        self.sums = [np.zeros((window.height, window.width), np.uint16) for window in self.windows]
        self.gone = [np.zeros((window.height, window.width), bool) for window in self.windows]

    def add(self, probability: np.ndarray, tile: Grid) -> None:
        """A prediction (h, w) on an azimuthal tile, NaN where there are no data; where one version has none, the mean has none."""
        values = np.where(np.isnan(probability), NO_DATA, np.rint(probability * FULL)).astype(np.uint8)
        for window, sums, gone in zip(self.windows, self.sums, self.gone, strict=True):
            here = np.full(sums.shape, NO_DATA, np.uint8)
            for part, piece in to_mosaic(values, tile, self.grid.window(window), NO_DATA):
                here[part.slices] = piece
            sums += here
            gone |= here == NO_DATA
        self.versions += 1

    def pieces(self) -> Iterator[tuple[Window, np.ndarray]]:
        """Windows of the mosaic and their values."""
        for window, sums, gone in zip(self.windows, self.sums, self.gone, strict=True):
            values = ((sums + self.versions // 2) // self.versions).astype(np.uint8)
            values[gone] = NO_DATA
            yield window, values


def save(means: Sequence[Mean], path: Path) -> None:
    """The predictions of a cell's blocks in one file."""
    arrays: dict[str, Any] = {}
    for number, (window, values) in enumerate(piece for mean in means for piece in mean.pieces()):
        arrays[f"values_{number}"], arrays[f"shape_{number}"] = values, np.array(values.shape)
        arrays[f"place_{number}"] = np.array([window.row, window.col])
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)


def box_windows(grid: Grid, box: Box) -> list[Window]:
    """The windows of a cylindrical mosaic whose pixel centres lie in a box: two across the seam, none where it misses the mosaic."""
    rows = np.flatnonzero(box.holds(box.centre[0], grid.lonlat(np.arange(grid.height), 0.0)[1]))
    cols = np.flatnonzero(box.holds(grid.lonlat(0.0, np.arange(grid.width))[0], box.centre[1]))
    if not len(rows) or not len(cols):
        return []
    pieces = np.split(cols, np.flatnonzero(np.diff(cols) > 1) + 1)
    return [Window(int(rows[0]), int(piece[0]), len(rows), len(piece)) for piece in pieces]


def write_prediction(path: Path, products: list[Path], grid: Grid, workspace: Any) -> Path:
    """The blocks' predictions as one COG of bytes: 254 is certain, 255 is no data; memory follows a block, not the mosaic."""
    tags = {"scale": f"probability = value / {FULL}"}
    blocks = predicted_blocks(products, grid, workspace)
    return write_cog(path, blocks, grid, nodata=NO_DATA, dtype="uint8", bands=1, names=["probability"], tags=tags)


def predicted_blocks(products: list[Path], grid: Grid, workspace: Any) -> Iterator[tuple[Window, np.ndarray]]:
    files = [
        (product / PREDICTION, tuple(stat_fingerprint(product / PREDICTION))) for product in products if (product / PREDICTION).exists()
    ]
    pieces = [(window, path, name, mark) for path, mark in files for window, name in piece_windows(path)]
    met = Window(0, 0, *grid.shape).squares_met(BLOCK_PX, [window for window, *_ in pieces])
    blocks = [(place, [pieces[number] for number in numbers]) for place, numbers in met]
    try:
        for place, values in in_order(_block, blocks, BLOCK_PX**2):
            workspace.keep_going()
            if (values != NO_DATA).any():
                yield place, values
    finally:
        _values.cache_clear()


def _block(block: tuple[Window, list[tuple[Window, Path, str, tuple]]]) -> tuple[Window, np.ndarray]:
    place, pieces = block
    values = np.full((place.height, place.width), NO_DATA, np.uint8)
    for window, *source in pieces:
        if both := window.common(place):
            part = _values(*source)[both.within(window).slices]
            np.copyto(values[both.within(place).slices], part, where=part != NO_DATA)
    return place, values


def piece_windows(path: Path) -> list[tuple[Window, str]]:
    """Windows of the mosaic that a block's file holds values of, and the names of these; shapes are read without the values."""
    if not path.exists():
        return []
    with np.load(path, allow_pickle=False) as file:
        names = [name.removeprefix("place_") for name in file.files if name.startswith("place_")]
        return [(Window(*file[f"place_{name}"], *file[f"shape_{name}"]), name) for name in names]


@lru_cache(maxsize=24)
def _values(path: Path, name: str, mark: tuple) -> np.ndarray:
    """``mark``: of the file, which another may have replaced."""
    with np.load(path, allow_pickle=False) as file:
        return file[f"values_{name}"]
