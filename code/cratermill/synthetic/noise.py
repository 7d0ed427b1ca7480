"""Value noise on the sphere, in three dimensions, so that neither the seam nor the poles can be seen in it.

Wavelengths are in planetary radii. A pixel's value follows from the pixel alone, never from the block it is computed in.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..core.seeds import seed_of

_SIDE = 64  # lattice cells until the random volume repeats; each octave looks at it from another direction, so nobody sees it
_STEPS = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True)
class Octave:
    """One wavelength of noise with its own random lattice, orientation and offset."""

    seed: int
    wavelength: float
    amplitude: float = 1.0

    @cached_property
    def _lattice(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        random = np.random.default_rng(self.seed)
        volume = random.uniform(-1, 1, _SIDE**3).astype(np.float32)
        rotation, _ = np.linalg.qr(random.normal(size=(3, 3)))
        offset = random.uniform(0, _SIDE, 3)
        return volume, (rotation / self.wavelength).astype(np.float32), offset.astype(np.float32)

    def __call__(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Noise in −amplitude … amplitude at points (any equal shapes, float32)."""
        volume, rotation, offset = self._lattice
        cells, weights = [], []
        for axis in range(3):
            position = rotation[axis, 0] * x + rotation[axis, 1] * y + rotation[axis, 2] * z + offset[axis]
            floor = np.floor(position)
            weights.append(_smooth(position - floor))
            cells.append(floor.astype(np.int32))
        return _trilinear(volume, cells, weights) * np.float32(self.amplitude)


def octaves(seed: int, name: str, longest: float, shortest: float, *, gain: float = 0.7) -> list[Octave]:
    """A stack of octaves, each half the wavelength of the one before, amplitudes falling by ``gain`` and scaled to unit deviation."""
    count = max(1, int(np.floor(np.log2(longest / shortest) + 1e-9)) + 1)
    amplitudes = gain ** np.arange(count)
    # One octave of trilinear value noise has a deviation of about 0.29; independent octaves add in quadrature.
    amplitudes = amplitudes / (0.29 * np.sqrt((amplitudes**2).sum()))
    return [Octave(seed_of(seed, "noise", name, index), longest / 2**index, float(a)) for index, a in enumerate(amplitudes)]


class SphereNoise:
    """A stack of octaves over a whole globe of pixels.

    Long waves are computed on coarse grids that are fixed to the globe and interpolated, so that a pixel costs a few ns.
    """

    def __init__(self, stack: list[Octave], shape: tuple[int, int]):
        self.shape = shape
        pixel = np.pi / shape[0]
        self._levels: dict[int, list[Octave]] = {}
        for octave in stack:
            if octave.wavelength < 4 * pixel:
                continue  # shorter than the pixels can show
            # No finer than every second pixel: that only concerns the last octave, and would double the cost.
            step = max([s for s in _STEPS if s * pixel * 8 <= octave.wavelength], default=1)
            self._levels.setdefault(max(step, 2), []).append(octave)

    def __call__(self, row: int, column: int, height: int, width: int) -> np.ndarray:
        """The noise in a block of pixels, (height, width) float32; columns may run past the seam."""
        total = np.zeros((height, width), np.float32)
        for step, stack in sorted(self._levels.items()):
            total += self._level(step, stack, row, column, height, width)
        return total

    def _level(self, step, stack, row, column, height, width) -> np.ndarray:
        rows, columns = self.shape
        # The coarse grid divides the circumference evenly, else the seam would show.
        n_rows, n_columns = -(-rows // step), -(-columns // step)
        below, row_weight = _nodes(row, height, rows, n_rows)
        left, column_weight = _nodes(column, width, columns, n_columns)
        latitude = np.pi / 2 - (np.arange(below[0], below[-1] + 2) + 0.0) * (np.pi / n_rows)
        longitude = (np.arange(left[0], left[-1] + 2) % n_columns) * (2 * np.pi / n_columns) - np.pi
        x, y, z = unit_vectors(latitude, longitude)
        coarse = sum(octave(x, y, z) for octave in stack)
        return _interpolate(coarse, below - below[0], row_weight, left - left[0], column_weight)


def unit_vectors(latitude: np.ndarray, longitude: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, y, z (rows, columns) float32 of a grid given by its latitudes and longitudes [rad]."""
    cos_lat = np.cos(latitude).astype(np.float32)[:, None]
    x = cos_lat * np.cos(longitude).astype(np.float32)
    y = cos_lat * np.sin(longitude).astype(np.float32)
    z = np.repeat(np.sin(latitude).astype(np.float32)[:, None], len(longitude), axis=1)
    return x, y, z


def line_noise(random: np.random.Generator, position: np.ndarray) -> np.ndarray:
    """Smooth noise in −1 … 1 along one dimension, a new value at every whole ``position``."""
    floor = np.floor(position)
    cell = floor.astype(np.int32)
    first = int(cell.min())
    values = random.uniform(-1, 1, int(cell.max()) - first + 2).astype(np.float32)
    start = values[cell - first]
    return start + (values[cell - first + 1] - start) * _smooth((position - floor).astype(np.float32))


def _smooth(t: np.ndarray) -> np.ndarray:
    return t * t * (3 - 2 * t)


def _trilinear(volume: np.ndarray, cells: list[np.ndarray], weights: list[np.ndarray]) -> np.ndarray:
    mask = _SIDE - 1
    x0, x1 = cells[0] & mask, (cells[0] + 1) & mask
    y0, y1 = (cells[1] & mask) * _SIDE, ((cells[1] + 1) & mask) * _SIDE
    z0, z1 = (cells[2] & mask) * _SIDE**2, ((cells[2] + 1) & mask) * _SIDE**2
    wx, wy, wz = weights
    planes = []
    for z in (z0, z1):
        lines = []
        for y in (z + y0, z + y1):
            start = volume.take(y + x0)
            lines.append(start + (volume.take(y + x1) - start) * wx)
        planes.append(lines[0] + (lines[1] - lines[0]) * wy)
    return planes[0] + (planes[1] - planes[0]) * wz


def _nodes(first: int, count: int, pixels: int, nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Coarse node before each pixel centre, and the pixel's share of the way to the next node."""
    position = (np.arange(first, first + count) + 0.5) * (nodes / pixels)
    before = np.floor(position).astype(np.int64)
    return before, (position - before).astype(np.float32)


def _interpolate(coarse, below, row_weight, left, column_weight) -> np.ndarray:
    upper = coarse[below]
    rows = upper + (coarse[below + 1] - upper) * row_weight[:, None]
    start = rows.take(left, axis=1)
    return start + (rows.take(left + 1, axis=1) - start) * column_weight
