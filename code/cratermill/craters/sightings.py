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
    pairs = same_pairs(sightings, body, SAME_PLACE, SAME_SIZE)
    starts = np.searchsorted(pairs[:, 0], np.arange(len(sightings) + 1))
    free, groups = np.ones(len(sightings), bool), []
    for row in range(len(sightings)):
        if free[row]:
            near = pairs[starts[row] : starts[row + 1], 1]
            near = near[free[near]]
            free[near] = free[row] = False
            groups.append(_one_per_level(np.union1d(near, [row]), sightings[:, 4]))
    found = np.array([_crater(sightings[group], body) for group in groups]).reshape(-1, len(COLUMNS))
    could = np.maximum(levels.could_see(found[:, 2]), found[:, 5])
    found[:, 3], found[:, 6] = found[:, 3] / np.maximum(could, 1), could
    return found[np.lexsort((*found[:, :3].T[::-1], -found[:, 3]))]


def _one_per_level(rows: np.ndarray, level: np.ndarray) -> np.ndarray:
    """The first, which is the strongest, of each level."""
    return rows[np.unique(level[rows], return_index=True)[1]]


def _crater(members: np.ndarray, body: Body | None) -> np.ndarray:
    """Place, radius, sum and maximum of the strengths, their number, 0, spread of place and of size (9,) of one crater's sightings."""
    weight = np.maximum(members[:, 3], 1e-6) ** 2
    weight = weight / weight.sum()
    log_radius = np.log(members[:, 2])
    radius = float(np.exp(weight @ log_radius))
    (place,) = mean_places(members, weight, np.zeros(len(members), int), body)
    off = distances(members, np.broadcast_to(np.array([*place, radius]), (len(members), 3)), body) / radius
    spread_size = np.sqrt(weight @ (log_radius - np.log(radius)) ** 2)
    strength = members[:, 3]
    return np.array([*place, radius, strength.sum(), strength.max(), len(members), 0, np.sqrt(weight @ off**2), spread_size])
