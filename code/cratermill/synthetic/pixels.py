"""Pixels of a global cylindrical mosaic as seen from a crater: which ones it reaches, and where they lie around it.

Everything is on the unit sphere, north up, longitudes −π … π; angles in radians. A block is (row, column, height, width) and its columns
may run past the seam. Values are computed from the pixel alone, so that no result depends on how the mosaic is cut into blocks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Block:
    """A rectangle of pixels of a global mosaic of ``shape`` (rows, columns)."""

    row: int
    column: int
    height: int
    width: int
    shape: tuple[int, int]

    @property
    def lat(self) -> np.ndarray:
        return np.pi / 2 - (np.arange(self.row, self.row + self.height) + 0.5) * (np.pi / self.shape[0])

    @property
    def lon(self) -> np.ndarray:
        columns = np.arange(self.column, self.column + self.width) % self.shape[1]
        return (columns + 0.5) * (2 * np.pi / self.shape[1]) - np.pi

    @property
    def slices(self) -> tuple[slice, slice]:
        return slice(self.row, self.row + self.height), slice(self.column, self.column + self.width)

    def overlap(self, window: tuple[int, int, int, int]) -> list[Block]:
        """The parts of a crater's window (rows, columns; columns modulo 360°) that lie in this block."""
        row, column, height, width = window
        top, bottom = max(row, self.row), min(row + height, self.row + self.height)
        if top >= bottom:
            return []
        period, parts = self.shape[1], []
        turn = (self.column - column) // period
        for start in (column + turn * period, column + (turn + 1) * period, column + (turn - 1) * period):
            left, right = max(start, self.column), min(start + width, self.column + self.width)
            if left < right:
                parts.append(Block(top, left, bottom - top, right - left, self.shape))
        return parts

    def within(self, outer: Block) -> tuple[slice, slice]:
        """Slices of this block in an array that covers ``outer``."""
        row, column = self.row - outer.row, self.column - outer.column
        return slice(row, row + self.height), slice(column, column + self.width)


def cut(shape: tuple[int, int], block_px: tuple[int, int], rows: tuple[int, int] | None = None) -> list[Block]:
    """The mosaic (or its rows from … to) in blocks, row by row; the last ones may be smaller."""
    first, last = rows or (0, shape[0])
    height, width = block_px
    return [
        Block(row, column, min(height, last - row), min(width, shape[1] - column), shape)
        for row in range(first, last, height)
        for column in range(0, shape[1], width)
    ]


def windows_of(lon: np.ndarray, lat: np.ndarray, reach: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Bounding windows (n, 4: row, column, height, width) of caps of angular radius ``reach``; whole rows where a pole is inside.

    The column may be negative or the window may end beyond the last column: it crosses the seam.
    """
    pixel = np.pi / shape[0]
    top = np.floor((np.pi / 2 - lat - reach) / pixel).astype(np.int64) - 1
    bottom = np.ceil((np.pi / 2 - lat + reach) / pixel).astype(np.int64) + 1
    top, bottom = np.maximum(top, 0), np.minimum(bottom, shape[0])
    polar = np.abs(lat) + reach >= np.pi / 2 - 2 * pixel
    ratio = np.where(polar, 1.0, np.sin(np.minimum(reach, np.pi / 2)) / np.maximum(np.cos(lat), 1e-12))
    half = np.arcsin(np.minimum(ratio, 1.0))
    left = np.floor((lon + np.pi - half) / pixel).astype(np.int64) - 1
    right = np.ceil((lon + np.pi + half) / pixel).astype(np.int64) + 1
    whole = polar | (right - left >= shape[1])
    left, right = np.where(whole, 0, left), np.where(whole, shape[1], right)
    return np.stack([top, left, bottom - top, right - left], axis=1)


def around(block: Block, lon: float, lat: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The block's unit vectors in a crater's frame: east, north, up at its centre; three (height, width) float32.

    hypot(east, north) is the sine of the angular distance, ``up`` its cosine. Written with small differences, so that float32 is enough.
    """
    return frame(block.lon, block.lat, lon, lat)


def frame(lon: np.ndarray, lat: np.ndarray, lon_0: float, lat_0: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As ``around``, for the grid of all ``lat`` (rows) and ``lon`` (columns)."""
    turn = lon - lon_0
    short = (2 * np.sin(turn / 2) ** 2).astype(np.float32)  # 1 − cos
    east = np.cos(lat).astype(np.float32)[:, None] * np.sin(turn).astype(np.float32)
    north = np.sin(lat - lat_0).astype(np.float32)[:, None] + (np.sin(lat_0) * np.cos(lat)).astype(np.float32)[:, None] * short
    up = np.cos(lat - lat_0).astype(np.float32)[:, None] - (np.cos(lat_0) * np.cos(lat)).astype(np.float32)[:, None] * short
    return east, north, up
