"""Chips cut from a mosaic: crater-centred ones, ground without craters, and rims that are no crater of the chip's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...bodies import Body
from ...catalogue import read_catalogue
from ...errors import InputError
from ...grid import Grid, square_grid
from ...mosaic import Mosaic
from ...sampling import sample_many
from .chipset import UNLABELLED, ChipSet
from .options import Cut

NEGATIVE, POSITIVE = 0, 1
RIM_SHIFT = (1.0, 1.6)
"""Distance, in radii of a crater, of a hard negative's centre from the crater's."""
MOST_MISSING = 0.05
"""Share of a chip that may lie outside the mosaic's data."""
BATCH = 512
TRIES = 60
"""Batches of random places before too few free ones count as all there are."""
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Places:
    """Centres in degrees, the radius in metres that sets a chip's size, and the label, (N,) each."""

    lon: np.ndarray
    lat: np.ndarray
    radius_m: np.ndarray
    label: np.ndarray

    def __len__(self) -> int:
        return len(self.lon)

    def __getitem__(self, chosen) -> Places:
        return Places(self.lon[chosen], self.lat[chosen], self.radius_m[chosen], self.label[chosen])

    def centres(self) -> Iterator[tuple[float, float, float]]:
        return zip(self.lon, self.lat, self.radius_m, strict=True)

    @staticmethod
    def joined(parts: list[Places]) -> Places:
        return Places(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("lon", "lat", "radius_m", "label")))


def cut_chips(options: Cut, root: Path, size_px: int, seed: int, progress: Progress | None = None) -> tuple[ChipSet, np.ndarray]:
    """The chips of a cut at ``size_px``, and pairs (2, M) of chips that show each other's centre, hence the same ground.

    Raises ``InputError`` where the catalogue or the mosaic leaves no chips of a kind.
    """
    with Mosaic.open(root / options.mosaic, [options.band]) as mosaic:
        body = mosaic.grid.body
        craters = read_catalogue(root / options.catalogue, body, units=options.units)
        known = Places(*(craters[name].to_numpy(float) for name in ("lon", "lat", "radius_m")), np.full(len(craters), POSITIVE))
        places = choose_places(options, known, body, np.random.default_rng(seed))
        grids = [square_grid(body, lon, lat, options.half_side_radii * radius, size_px) for lon, lat, radius in places.centres()]
        images, missing = _sampled(mosaic, grids, progress)
    good = missing <= MOST_MISSING
    places, images = places[good], images[good]
    for label, what in ((POSITIVE, "with a crater"), (NEGATIVE, "without one")):
        if not np.any(places.label == label):
            raise InputError(
                f"the cut from {options.mosaic} has no chips {what}",
                valid="craters of the chosen diameters on the mosaic, and ground free of them",
                next_step="check data.cut: diameters, max_abs_lat, negatives_per_crater",
            )
    names = [f"{lon:.5f} {lat:.5f} {radius:.0f} m" for lon, lat, radius in places.centres()]
    ties = overlapping(places, body, options.half_side_radii)
    return ChipSet(list(images), places.label.astype(np.int64), names), ties


def choose_places(options: Cut, known: Places, body: Body, rng: np.random.Generator) -> Places:
    """Craters of the wanted sizes, as many negatives as asked for (some of them hard), and unlabelled places."""
    inside = (2 * known.radius_m >= options.min_diameter_m) & (2 * known.radius_m <= options.max_diameter_m)
    wanted = np.flatnonzero(inside & (np.abs(known.lat) <= options.max_abs_lat))
    if options.max_craters is not None and len(wanted) > options.max_craters:
        wanted = np.sort(rng.choice(wanted, options.max_craters, replace=False))
    if not len(wanted):
        raise InputError(
            f"{options.catalogue} has no crater of {options.min_diameter_m:g} to {options.max_diameter_m:g} m "
            f"within {options.max_abs_lat:g}° of the equator",
            valid="craters of the chosen diameters",
            next_step="change data.cut",
        )
    craters = known[wanted]
    count = round(options.negatives_per_crater * len(craters))
    hard = rim_places(craters, known, round(options.hard_share * count), body, rng)
    easy = free_places(craters.radius_m, known, count - len(hard), options, body, rng)
    return Places.joined([craters, hard, easy, random_places(craters.radius_m, options.unlabelled, options.max_abs_lat, rng)])


def random_places(radii_m: np.ndarray, count: int, max_abs_lat: float, rng: np.random.Generator) -> Places:
    """Places evenly spread over the ground, with sizes drawn from ``radii_m``; unlabelled."""
    limit = np.sin(np.radians(max_abs_lat))
    lat = np.degrees(np.arcsin(rng.uniform(-limit, limit, count)))
    return Places(rng.uniform(-180, 180, count), lat, rng.choice(radii_m, count), np.full(count, UNLABELLED))


def free_places(
    radii_m: np.ndarray, known: Places, count: int, options: Cut, body: Body, rng: np.random.Generator, tries: int = TRIES
) -> Places:
    """At most ``count`` places whose whole chip lies outside every known crater that counts at its scale."""
    found: list[Places] = []
    for _ in range(tries):
        missing = count - sum(map(len, found))
        if missing <= 0:
            break
        drawn = random_places(radii_m, BATCH, options.max_abs_lat, rng)
        reach_m = options.half_side_radii * np.sqrt(2) * drawn.radius_m
        small = known.radius_m < options.ignore_below * drawn.radius_m[:, None]
        free = np.all(small | (distances_m(drawn, known, body) > known.radius_m + reach_m[:, None]), axis=1)
        found.append(drawn[np.flatnonzero(free)[:missing]])
    places = Places.joined([random_places(radii_m, 0, options.max_abs_lat, rng), *found])
    return Places(places.lon, places.lat, places.radius_m, np.full(len(places), NEGATIVE))


def rim_places(craters: Places, known: Places, count: int, body: Body, rng: np.random.Generator) -> Places:
    """At most ``count`` places on or just outside rims that are no centre of another crater of the chip's scale."""
    of = rng.integers(0, len(craters), count)
    lon, lat = _shifted(craters.lon[of], craters.lat[of], craters.radius_m[of] * rng.uniform(*RIM_SHIFT, count), rng, body)
    places = Places(lon, lat, craters.radius_m[of], np.full(count, NEGATIVE))
    ratio = known.radius_m / places.radius_m[:, None]
    centred = (distances_m(places, known, body) < 0.5 * known.radius_m) & (ratio > 0.5) & (ratio < 2)
    return places[~centred.any(axis=1)]


def _shifted(
    lon: np.ndarray, lat: np.ndarray, distance_m: np.ndarray, rng: np.random.Generator, body: Body
) -> tuple[np.ndarray, np.ndarray]:
    """Places so far away in a random direction."""
    there = body.geod.fwd(lon, lat, rng.uniform(-180, 180, len(lon)), distance_m)
    return np.asarray(there[0], float), np.asarray(there[1], float)


def distances_m(places: Places, others: Places, body: Body) -> np.ndarray:
    """Great-circle distances (N, M) on the mean sphere; chips are far smaller than a body's flattening matters for."""
    cosine = np.clip(_unit(places) @ _unit(others).T, -1, 1)
    return np.arccos(cosine) * body.mean_radius_m


def overlapping(places: Places, body: Body, half_side_radii: float) -> np.ndarray:
    """Pairs (2, M) of chips of which one holds the centre of the other."""
    from scipy.spatial import KDTree

    reach = 2 * np.sin(np.clip(half_side_radii * places.radius_m / body.mean_radius_m, 0, np.pi) / 2)
    unit = _unit(places)
    near = KDTree(unit).query_ball_point(unit, reach)
    pairs = [(number, other) for number, others in enumerate(near) for other in others if other != number]
    return np.array(pairs, np.int64).reshape(-1, 2).T


def _unit(places: Places) -> np.ndarray:
    lon, lat = np.radians(places.lon), np.radians(places.lat)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)


def _sampled(mosaic: Mosaic, grids: list[Grid], progress: Progress | None) -> tuple[np.ndarray, np.ndarray]:
    """Chips (N, s, s) uint8 and the share of each that is missing; mosaics of other types are stretched to bytes."""
    images, missing = [], []
    for start in range(0, len(grids), BATCH):
        if progress:
            progress("cutting chips", start, len(grids))
        tiles = sample_many(mosaic, grids[start : start + BATCH])
        for tile in tiles:
            gone = mosaic.missing(tile)
            missing.append(0.0 if gone is None else float(gone.mean()))
        images.append(tiles[:, 0])
    stack = np.concatenate(images)
    if stack.dtype == np.uint8:
        return stack, np.array(missing)
    statistics = mosaic.statistics()
    mean, deviation = statistics.mean[0], max(statistics.std[0], 1e-12)
    stretched = (np.nan_to_num(stack.astype(np.float64), nan=mean) - mean) / deviation * (255 / 6) + 127.5
    return np.rint(np.clip(stretched, 0, 255)).astype(np.uint8), np.array(missing)
