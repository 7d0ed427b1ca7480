"""Shaded relief of the background craters: bowls with raised rims, lit from a direction that changes over the globe.

A pixel's shade is the terrain's slope towards the light, summed over craters. Large craters are drawn one by one, larger first, each
wiping out part of what lay below; small ones (most of a planet) are drawn many at a time. Both read the slope from a table of the squared
distance, which avoids a root per pixel.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from .noise import Octave
from .pixels import Block, around, windows_of
from .population import Craters

OUTER = 1.9  # radii to which a crater's rim changes the ground
_ENTRIES = 2048
_STAMP_PX = (48, 384)  # craters whose window is smaller than this (rows, columns) are drawn many at a time
_STAMPS_AT_ONCE = 1 << 19  # pixels


class Relief:
    """The background craters of one planet, ready to be drawn in any block."""

    def __init__(self, craters: Craters, light: Light, shape: tuple[int, int]):
        self._craters = craters
        self._windows = windows_of(craters.lon, craters.lat, craters.radius * OUTER, shape).astype(np.int32)
        east, north = light.at(craters.lon, craters.lat)
        # 1 is the wall of a fresh simple crater seen along the light; large craters are flatter for their size.
        steepness = craters.depth * np.minimum((craters.radius / 0.004) ** -0.2, 1)
        self._light = np.stack([east, north], axis=1) * steepness[:, None].astype(np.float32)
        self._small = np.asarray((self._windows[:, 2:] < _STAMP_PX).all(axis=1))
        self._kind = profile_kind(craters.radius)
        self._in_rows = lru_cache(maxsize=4)(self._find_in_rows)

    def _find_in_rows(self, row: int, height: int) -> np.ndarray:
        """Indices of the craters that touch these rows, larger first; a row of blocks shares one search of the whole planet."""
        top, bottom = self._windows[:, 0], self._windows[:, 0] + self._windows[:, 2]
        return np.flatnonzero((top < row + height) & (bottom > row))

    def shade(self, block: Block, roughness: np.ndarray) -> np.ndarray:
        """Shade of a block, (height, width) float32; ``roughness`` (same shape, −1 … 1) makes rims irregular."""
        candidates = self._in_rows(block.row, block.height)
        inside = candidates[_touches(self._windows[candidates], block)]
        small = self._small[inside]
        shade = np.zeros((block.height, block.width), np.float32)
        for index in inside[~small]:
            for part in block.overlap(tuple(self._windows[index])):
                self._draw(shade, index, part, block, roughness)
        self._stamp(shade, inside[small], block)
        return shade

    def _draw(self, shade, index, part: Block, block: Block, roughness) -> None:
        radius = np.float32(1 / self._craters.radius[index])
        east, north, _ = around(part, self._craters.lon[index], self._craters.lat[index])
        place = part.within(block)
        squared = (east * east + north * north) * (radius * radius) * (1 + np.float32(0.12) * roughness[place])
        entry = np.minimum(squared * np.float32(_ENTRIES / OUTER**2), _ENTRIES).astype(np.int32)
        slope, wiped = _tables()[self._kind[index]]
        light = self._light[index]
        towards = (east * light[0] + north * light[1]) * radius
        shade[place] = shade[place] * wiped.take(entry) + towards * slope.take(entry)

    def _stamp(self, shade, indices, block: Block) -> None:
        """Draw small craters: equal-sized windows (8, 16 … pixels a side) in one array each."""
        sides = 1 << np.ceil(np.log2(np.maximum(self._windows[indices, 2:], 4))).astype(np.int64)
        for height, width in np.unique(sides, axis=0):
            group = indices[(sides == (height, width)).all(axis=1)]
            at_once = max(1, _STAMPS_AT_ONCE // int(height * width))
            for start in range(0, len(group), at_once):
                self._stamp_group(shade, group[start : start + at_once], int(height), int(width), block)

    def _stamp_group(self, shade, group, height: int, width: int, block: Block) -> None:
        rows = self._windows[group, 0, None] + np.arange(height)
        columns = self._windows[group, 1, None] + np.arange(width)
        east, north = self._stamp_frame(group, rows, columns, block.shape)
        squared = east * east + north * north
        entry = np.minimum(squared * np.float32(_ENTRIES / OUTER**2), _ENTRIES).astype(np.int32)
        light = self._light[group]
        slope = _tables()[0][0].take(entry)
        slope *= east * light[:, 0, None, None] + north * light[:, 1, None, None]
        # Windows reach beyond the block: such pixels are added to a bin past its end. Sums run in the craters' order, whatever the block.
        column = (columns - block.column) % block.shape[1]
        row = rows - block.row
        outside = block.height * block.width
        flat = row[:, :, None] * block.width + column[:, None, :]
        flat[((row < 0) | (row >= block.height))[:, :, None] | (column >= block.width)[:, None, :]] = outside
        shade += np.bincount(flat.ravel(), slope.ravel(), outside + 1)[:-1].astype(np.float32).reshape(shade.shape)

    def _stamp_frame(self, group, rows, columns, shape) -> tuple[np.ndarray, np.ndarray]:
        """East and north in crater radii, (n, height, width): ``pixels.frame`` for many craters."""
        pixel = np.pi / shape[0]
        lon_0, lat_0 = self._craters.lon[group, None], self._craters.lat[group, None]
        lat = np.pi / 2 - (rows + 0.5) * pixel
        turn = (columns + 0.5) * pixel - np.pi - lon_0
        per_radius = 1 / self._craters.radius[group, None]
        cos_lat = (np.cos(lat) * per_radius).astype(np.float32)
        east = cos_lat[:, :, None] * np.sin(turn).astype(np.float32)[:, None, :]
        short = (2 * np.sin(turn / 2) ** 2).astype(np.float32)
        north = np.sin(lat_0).astype(np.float32)[:, :, None] * cos_lat[:, :, None] * short[:, None, :]
        north += (np.sin(lat - lat_0) * per_radius).astype(np.float32)[:, :, None]
        return east, north


class Light:
    """Where the light comes from: an azimuth and a strength that drift over the globe, as in a mosaic of many orbits."""

    def __init__(self, seed: int):
        self._turn, self._strength = Octave(seed + 1, 1.1), Octave(seed + 2, 0.6)

    def at(self, lon: np.ndarray | np.float64, lat: np.ndarray | np.float64) -> tuple[np.ndarray, np.ndarray]:
        """East and north part of the light at points [rad]: length about 0.35 (high sun) to 1.2 (low sun)."""
        cos_lat = np.cos(lat)
        point = [(cos_lat * np.cos(lon)).astype(np.float32), (cos_lat * np.sin(lon)).astype(np.float32), np.sin(lat).astype(np.float32)]
        azimuth = np.pi / 2 + 1.6 * self._turn(*point)
        strength = 0.75 + 0.6 * self._strength(*point)
        return (strength * np.sin(azimuth)).astype(np.float32), (strength * np.cos(azimuth)).astype(np.float32)


def profile_kind(radius: np.ndarray | np.float64) -> np.ndarray:
    """0 bowl, 1 flat floor, 2 flat floor with a central peak; by radius in planetary radii (Mercury: 6 km and 25 km)."""
    return np.asarray(radius > 0.0025).astype(np.int8) + np.asarray(radius > 0.0100)


def fresh_slope(radius: float, distance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slope table value and share of older ground kept, for the pixels around one crater; ``distance`` in its radii."""
    entry = np.minimum(distance * distance * np.float32(_ENTRIES / OUTER**2), _ENTRIES).astype(np.int32)
    slope, kept = _tables()[int(profile_kind(np.float64(radius)))]
    return slope.take(entry), kept.take(entry)


@lru_cache(maxsize=1)
def _tables() -> list[tuple[np.ndarray, np.ndarray]]:
    """Per kind of crater: slope ÷ distance and share of older ground that stays, over squared distance 0 … OUTER²; last entry: outside."""
    distance = np.sqrt((np.arange(_ENTRIES) + 0.5) / _ENTRIES) * OUTER
    tables = []
    for kind in range(3):
        slope = _slope(distance, kind) / distance
        kept = np.clip((distance - 0.95) / 0.5, 0, 1) ** 0.7
        tables.append((np.append(slope, 0).astype(np.float32), np.append(kept, 1).astype(np.float32)))
    return tables


def _slope(distance: np.ndarray, kind: int) -> np.ndarray:
    """−dh/dr of a crater of radius 1, steepest wall about 1; times the way towards the light it is positive where the ground faces it."""
    bowl = distance**1.5
    floor = np.clip((distance - 0.55) / 0.3, 0, 1)
    inner = bowl if kind == 0 else floor * (1.1 - 0.25 * floor)
    outer = -0.75 * distance**-3.5 * np.clip((OUTER - distance) / (OUTER - 1), 0, 1)
    edge = np.clip((distance - 0.97) / 0.1, 0, 1)  # the rim's crest is as sharp as this
    slope = inner * (1 - edge) + outer * edge
    if kind == 2:
        slope = slope - 0.6 * np.exp(-(((distance - 0.12) / 0.07) ** 2))
    return -slope


def _touches(windows: np.ndarray, block: Block) -> np.ndarray:
    ahead = (windows[:, 1] - block.column) % block.shape[1]
    return np.asarray(
        (windows[:, 0] < block.row + block.height)
        & (windows[:, 0] + windows[:, 2] > block.row)
        & ((ahead < block.width) | (ahead + windows[:, 3] > block.shape[1]))
    )
