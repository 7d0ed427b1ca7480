"""A piece of a body between meridians and parallels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .bodies import wrap_lon


@dataclass(frozen=True)
class Box:
    """A piece of the body between two meridians and two parallels, degrees; ``east`` may exceed 180."""

    west: float
    south: float
    east: float
    north: float

    @property
    def centre(self) -> tuple[float, float]:
        return wrap_lon((self.west + self.east) / 2), (self.south + self.north) / 2

    def holds(self, lon: ArrayLike, lat: ArrayLike) -> np.ndarray:
        """Whether positions lie inside; western and southern borders belong to it, and the north pole."""
        east_of = np.mod(np.asarray(lon) - self.west, 360.0)
        inside = (east_of < self.east - self.west) | (self.east - self.west >= 360.0)
        return inside & (np.asarray(lat) >= self.south) & ((np.asarray(lat) < self.north) | (self.north >= 90.0))

    def edge(self, count: int = 33) -> tuple[np.ndarray, np.ndarray]:
        """Positions along the border and across the middle."""
        lon, lat = np.linspace(self.west, self.east, count), np.linspace(self.south, self.north, count)
        lons = np.concatenate([lon, lon, np.full(count, self.west), np.full(count, self.east)])
        lats = np.concatenate([np.full(count, self.south), np.full(count, self.north), lat, lat])
        return lons, lats
