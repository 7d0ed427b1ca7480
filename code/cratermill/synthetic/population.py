"""Where the craters are, how large and how old: drawn once, before any pixel is touched."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core.seeds import seed_of
from .parameters import Parameters

LONGEST_RAY = 1.5  # rad: rays end before they could meet behind the planet


@dataclass(frozen=True)
class Craters:
    """Craters as columns of equal length; angles in radians, ``radius`` in planetary radii."""

    lon: np.ndarray
    lat: np.ndarray
    radius: np.ndarray
    depth: np.ndarray  # 1 = as fresh as can be, 0 = worn away

    def __len__(self) -> int:
        return len(self.lon)

    def select(self, which: np.ndarray) -> Craters:
        return Craters(self.lon[which], self.lat[which], self.radius[which], self.depth[which])


@dataclass(frozen=True)
class FreshCrater:
    """A crater with mapped ejecta. ``reach``: its longest ray in crater radii; ``age`` runs from 0 (youngest) to 1, no two are equal."""

    fid: int
    lon: float
    lat: float
    radius: float
    reach: float
    age: float
    train: bool
    seed: int


def background(parameters: Parameters) -> Craters:
    """Old craters, largest first, uniform on the sphere.

    The n-th largest crater is found by putting the n-th event of a Poisson process of unit rate through the inverse of N(> D), so that a
    smaller ``smallest_diameter`` adds craters after the others and changes none of them.
    """
    p = parameters
    sizes, places = _random(p, "sizes"), _random(p, "places")
    first = p.density * p.largest_diameter**-p.slope
    last = p.density * p.smallest_diameter**-p.slope
    events = first + _poisson_events(sizes, last - first)
    diameter = (events / p.density) ** (-1 / p.slope)
    draws = places.random((len(diameter), 3))
    # Most craters are old and shallow; a few are crisp.
    depth = 0.12 + 0.88 * draws[:, 2] ** 1.7
    return Craters(2 * np.pi * draws[:, 0] - np.pi, np.arcsin(2 * draws[:, 1] - 1), diameter / 2, depth)


def fresh_craters(parameters: Parameters) -> list[FreshCrater]:
    """The craters with mapped ejecta, by FID; none lies inside another's rim or blanket."""
    p = parameters
    random = _random(p, "fresh")
    # Inverse of the cumulative power law between the two radii.
    low, high = p.fresh_radius_min**-p.fresh_slope, p.fresh_radius_max**-p.fresh_slope
    radii = np.sort((low + random.random(p.n_fresh) * (high - low)) ** (-1 / p.fresh_slope))[::-1]
    points: list[np.ndarray] = []
    for index, radius in enumerate(radii):
        points.append(_place(random, radius, points, radii[:index]))
    lon = [float(np.arctan2(point[1], point[0])) for point in points]
    lat = [float(np.arcsin(np.clip(point[2], -1, 1))) for point in points]
    ages = (random.permutation(p.n_fresh) + 0.5) / p.n_fresh
    trained = np.zeros(p.n_fresh, bool)
    trained[random.permutation(p.n_fresh)[: max(1, round(p.train_fraction * p.n_fresh))]] = p.train_fraction > 0
    reach = _ray_reach(random, radii, trained)
    # FIDs have nothing to do with size, as in a table that grew over the years.
    order = random.permutation(p.n_fresh)
    return [
        FreshCrater(fid, lon[i], lat[i], float(radii[i]), float(reach[i]), float(ages[i]), bool(trained[i]), seed_of(p.seed, "ejecta", fid))
        for fid, i in enumerate(order, start=1)
    ]


def old_blankets(parameters: Parameters, craters: Craters) -> list[FreshCrater]:
    """Worn craters that keep a faint blanket: they look like ejecta and count as none."""
    p = parameters
    sized = np.flatnonzero((craters.radius > p.fresh_radius_min) & (craters.radius < p.fresh_radius_max))
    chosen = _random(p, "old blankets").permutation(sized[: 8 * p.n_fresh])[: p.n_fresh]
    places = zip(craters.lon[chosen].tolist(), craters.lat[chosen].tolist(), craters.radius[chosen].tolist(), strict=True)
    return [
        FreshCrater(0, lon, lat, radius, reach=0.0, age=1.0, train=False, seed=seed_of(p.seed, "old", rank))
        for rank, (lon, lat, radius) in enumerate(places)
    ]


def _ray_reach(random, radii: np.ndarray, trained: np.ndarray) -> np.ndarray:
    """Longest ray of each crater in its radii: lognormal around 13, and for one large crater in six beyond the range of training tiles."""
    reach = np.exp(random.normal(np.log(13), 0.5, len(radii)))
    for group in (np.flatnonzero(trained), np.flatnonzero(~trained)):
        # Radii come sorted: the first half of a group holds its large craters.
        chosen = random.permutation(group[: (len(group) + 1) // 2])[: round(len(group) / 6 + 0.4)]
        reach[chosen] = random.uniform(0.85, 1.35, len(chosen)) / radii[chosen]
    return np.clip(np.minimum(reach, LONGEST_RAY / radii), 5, 60)


def _random(parameters: Parameters, purpose: str) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed_of(parameters.seed, "planet", purpose)))


def _poisson_events(random: np.random.Generator, length: float) -> np.ndarray:
    """Events of a Poisson process of unit rate on 0 … length, in order."""
    chunks, reached = [], 0.0
    while reached < length:
        # Chunks must not depend on the length, else a longer process would begin differently.
        chunk = reached + np.cumsum(random.standard_exponential(1024))
        chunks.append(chunk)
        reached = chunk[-1]
    joined = np.concatenate(chunks) if chunks else np.empty(0)
    return joined[joined < length]


def _place(random, radius: float, points: list[np.ndarray], radii: np.ndarray) -> np.ndarray:
    """A random point of the sphere clear of the craters placed before; on a crowded planet, the best of many."""
    best, best_room = np.zeros(3), -np.inf
    for _ in range(200):
        z, angle = random.uniform(-1, 1), random.uniform(-np.pi, np.pi)
        point = np.array([np.sqrt(1 - z * z) * np.cos(angle), np.sqrt(1 - z * z) * np.sin(angle), z])
        if not points:
            return point
        distance = np.arccos(np.clip(np.array(points) @ point, -1, 1))
        room = float((distance - 3 * (radius + radii)).min())
        if room > 0:
            return point
        if room > best_room:
            best, best_room = point, room
    return best
