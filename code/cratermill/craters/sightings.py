"""One crater seen at several resolutions: what each level of a pyramid saw joined to one list, on a picture or all over a body."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..geo.bodies import Body
from .matching import distances, same_pairs
from .merge import mean_places

SAME_PLACE, SAME_SIZE = 0.5, 0.4
"""Sightings of one crater: centres and radii closer than these shares of the smaller radius."""
COLUMNS = ("x", "y", "radius", "score", "best", "seen", "could", "spread_place", "spread_size")


@dataclass(frozen=True)
class Levels:
    """Resolutions at which the ground is looked at, the finest first.

    ``pixel``: side of each level's pixels, in the unit of radii. A network sees radii from ``smallest_px`` (``finest_px`` on the finest
    level, where there is nothing better) to ``largest_px`` of a level's own pixels. Each level is looked at by ``members`` networks.
    """

    pixel: tuple[float, ...]
    smallest_px: float = 3.5
    finest_px: float = 2.2
    largest_px: float = 30.0
    members: int = 1

    def limits(self, level: int) -> tuple[float, float]:
        """Smallest and largest radius that a level can see, in the unit of radii."""
        low = self.finest_px if level == 0 else self.smallest_px
        return low * self.pixel[level], self.largest_px * self.pixel[level]

    def could_see(self, radius: np.ndarray) -> np.ndarray:
        """How many looks (levels × members) can see craters of these radii (N,)."""
        limits = np.array([self.limits(level) for level in range(len(self.pixel))])
        radius = np.asarray(radius, float)[:, None]
        return self.members * ((radius >= limits[:, 0]) & (radius <= limits[:, 1])).sum(1)


def joined(sightings: np.ndarray, levels: Levels, body: Body | None = None) -> np.ndarray:
    """Craters (M, 9; see ``COLUMNS``) of sightings (N, 5): place, radius, strength 0…1, look; the best scored first.

    A look is a level seen by one network: member × number of levels + level. The strongest sighting takes those of the same crater, one
    per look. Place and radius are means weighted with the strength squared;
    ``score`` is the sum of the strengths ÷ the number of looks that could have seen the crater, so that what several agree on
    counts more than what one of them is sure of. Spreads are deviations among the looks ÷ the radius. Positions are longitude and
    latitude on a ``body`` (radii in metres), else pixels. The order of the rows does not matter.
    """
    sightings = np.asarray(sightings, float).reshape(-1, 5)
    sightings = sightings[np.lexsort((*sightings.T[[4, 2, 1, 0]], -sightings[:, 3]))]
    taken_by = _strongest(same_pairs(sightings, body, SAME_PLACE, SAME_SIZE), len(sightings))
    # The first of each look in a group, which is its strongest.
    _, first = np.unique(np.column_stack([taken_by, sightings[:, 4]]), axis=0, return_index=True)
    _, group = np.unique(taken_by[first], return_inverse=True)
    found = _craters(sightings[first], group, body)
    could = np.maximum(levels.could_see(found[:, 2]), found[:, 5])
    found[:, 3], found[:, 6] = found[:, 3] / np.maximum(could, 1), could
    return found[np.lexsort((*found[:, :3].T[::-1], -found[:, 3]))]


def _strongest(pairs: np.ndarray, count: int) -> np.ndarray:
    """Of each of ``count`` sightings, the strongest first, the row of the one that takes it (N,): itself, where none does. ``pairs``:
    rows of the same crater (K, 2), sorted, each both ways."""
    taken_by = np.full(count, -1)
    rows = np.unique(pairs[:, 0])
    starts, ends = (np.searchsorted(pairs[:, 0], rows, side) for side in ("left", "right"))
    for row, start, end in zip(rows.tolist(), starts.tolist(), ends.tolist(), strict=True):
        if taken_by[row] < 0:
            near = pairs[start:end, 1]
            taken_by[near[taken_by[near] < 0]] = taken_by[row] = row
    return np.where(taken_by < 0, np.arange(count), taken_by)


def _craters(sightings: np.ndarray, group: np.ndarray, body: Body | None) -> np.ndarray:
    """Place, radius, sum and maximum of the strengths, their number, 0, spread of place and of size (G, 9) of the sightings of the groups
    0 … G − 1."""
    weight = np.maximum(sightings[:, 3], 1e-6) ** 2
    weight /= np.bincount(group, weight)[group]
    log_radius, strength = np.log(sightings[:, 2]), sightings[:, 3]
    mean_log = np.bincount(group, weight * log_radius)
    radius, places = np.exp(mean_log), mean_places(sightings, weight, group, body)
    off = distances(sightings, np.column_stack([places, radius])[group], body) / radius[group]
    spread_place, spread_size = (np.sqrt(np.bincount(group, weight * value**2)) for value in (off, log_radius - mean_log[group]))
    count, strongest = np.bincount(group), np.zeros(len(radius))
    np.maximum.at(strongest, group, strength)
    seen_and_could = count, np.zeros(len(radius))
    return np.column_stack([places, radius, np.bincount(group, strength), strongest, *seen_and_could, spread_place, spread_size])
