"""Chips cut from a mosaic: crater-centred ones, ground without craters, and rims that are no crater of the chip's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...core.errors import InputError
from ...craters.catalogue import read_catalogue
from ...geo.bodies import Body, wrap_lon
from ...geo.extent import extent, holds
from ...geo.grid import Grid
from ...geo.mosaic import Mosaic
from ...samples.crops import MOST_MISSING, Cutter, Geometry
from ...samples.store import Piece, Spec, Store, write_store
from .chipset import UNLABELLED, ChipSet, Keeping
from .options import Cut

NEGATIVE, POSITIVE = 0, 1
RIM_SHIFT = (1.0, 1.6)
"""Distance, in radii of a crater, of a hard negative's centre from the crater's."""
BATCH = 512
TRIES = 60
"""Batches of random places before too few free ones count as all there are."""
MOST_CHIPS = 10_000_000
"""Chips of one cut: their places are chosen in memory."""
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

    def __getitem__(self, chosen: Any) -> Places:  # what arrays take
        return Places(self.lon[chosen], self.lat[chosen], self.radius_m[chosen], self.label[chosen])

    def centres(self) -> Iterator[tuple[float, float, float]]:
        return zip(self.lon, self.lat, self.radius_m, strict=True)

    @staticmethod
    def joined(parts: list[Places]) -> Places:
        return Places(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in ("lon", "lat", "radius_m", "label")})


def cut_chips(
    options: Cut,
    root: Path,
    size_px: int,
    seed: int,
    keeping: Keeping,
    progress: Progress = lambda *_: None,
    remembered: Path | None = None,
) -> tuple[ChipSet, np.ndarray]:
    """The chips of a cut at ``size_px``, and pairs (2, M) of chips that show each other's centre, hence the same ground.

    Raises ``InputError`` where the catalogue or the mosaic leaves no chips of a kind.
    """
    with Mosaic.open(root / options.mosaic, [options.band]) as mosaic:
        body = mosaic.grid.body
        craters = read_catalogue(root / options.catalogue, body, pixel_m=mosaic.grid.resolution_m, **options.told)
        lon, lat, radius_m = (craters[name].to_numpy(float) for name in ("lon", "lat", "radius_m"))
        known = Places(lon, lat, radius_m, np.full(len(craters), POSITIVE))
        places = choose_places(options, known, mosaic.grid, np.random.default_rng(seed))
        cutter = Cutter(mosaic, Geometry(size_px, options.half_side_radii), remembered)
        images, missing = cut_all(cutter, places, keeping, progress)
    good = missing <= MOST_MISSING
    places, images = places[good], [images[number] for number in np.flatnonzero(good)]
    for label, what in ((POSITIVE, "with a crater"), (NEGATIVE, "without one")):
        if not np.any(places.label == label):
            raise InputError(
                f"the cut from {options.mosaic} has no chips {what}",
                valid="craters of the chosen diameters on the mosaic, and ground free of them",
                next_step="check data.cut: diameters, max_abs_lat, negatives_per_crater",
            )
    names = [f"{lon:.5f} {lat:.5f} {radius:.0f} m" for lon, lat, radius in places.centres()]
    ties = overlapping(places, body, options.half_side_radii)
    squares = np.stack([places.lon, places.lat, places.radius_m * options.half_side_radii], axis=1)
    return ChipSet(images, places.label.astype(np.int64), names, squares), ties


def choose_places(options: Cut, known: Places, grid: Grid, rng: np.random.Generator) -> Places:
    """Craters of the wanted sizes on the mosaic, as many negatives as asked for (some of them hard), and unlabelled places."""
    craters = wanted_craters(options, known, grid, rng)
    ground = Ground(grid, options.half_side_radii, options.max_abs_lat)
    count = round(options.negatives_per_crater * len(craters))
    if len(craters) + count + options.unlabelled > MOST_CHIPS:
        raise InputError(
            f"{len(craters):,} craters, {count:,} negatives and {options.unlabelled:,} unlabelled chips would be cut",
            valid=f"at most {MOST_CHIPS:,} chips",
            next_step="lower negatives_per_crater, max_craters or unlabelled in data.cut",
        )
    hard = rim_places(craters, known, round(options.hard_share * count), ground, rng)
    easy = free_places(craters.radius_m, known, count - len(hard), options.ignore_below, ground, rng)
    return Places.joined([craters, hard, easy, random_places(craters.radius_m, options.unlabelled, ground, rng)])


def wanted_craters(options: Cut, known: Places, grid: Grid, rng: np.random.Generator) -> Places:
    """Craters of the wanted sizes whose chips lie on the mosaic; those off it don't use up ``max_craters``."""
    inside = (2 * known.radius_m >= options.min_diameter_m) & (2 * known.radius_m <= options.max_diameter_m)
    wanted = known[np.flatnonzero(inside & (np.abs(known.lat) <= options.max_abs_lat))]
    if not len(wanted):
        raise InputError(
            f"{options.catalogue} has no crater of {options.min_diameter_m:g} to {options.max_diameter_m:g} m "
            f"within {options.max_abs_lat:g}° of the equator",
            valid="craters of the chosen diameters",
            next_step="change data.cut",
        )
    craters = wanted[Ground(grid, options.half_side_radii).holds(wanted)]
    if not len(craters):
        raise InputError(
            f"no chip around the {len(wanted)} chosen craters of {options.catalogue} lies on the mosaic {options.mosaic}",
            valid="craters inside the mosaic",
            next_step="check both files, or lower half_side_radii",
        )
    if options.max_craters is not None and len(craters) > options.max_craters:
        craters = craters[np.sort(rng.choice(len(craters), options.max_craters, replace=False))]
    return craters


@dataclass(frozen=True)
class Ground:
    """Where chips may lie: wholly on a mosaic, their centres not too near to the poles."""

    grid: Grid
    half_side_radii: float
    max_abs_lat: float = 90.0

    @property
    def body(self) -> Body:
        return self.grid.body

    @cached_property
    def extent(self) -> tuple[float, float, float, float]:
        return extent(self.grid)

    def holds(self, places: Places) -> np.ndarray:
        return holds(self.grid, places.lon, places.lat, self.half_side_radii * places.radius_m)

    def draw(self, radii_m: np.ndarray, count: int, rng: np.random.Generator) -> Places:
        """At most ``count`` places, evenly spread over the ground, with sizes drawn from ``radii_m``; those off the mosaic left out."""
        west, south, east, north = self.extent
        low, high = np.sin(np.radians(np.clip([south, north], -self.max_abs_lat, self.max_abs_lat)))
        lat = np.degrees(np.arcsin(rng.uniform(low, high, count)))
        drawn = Places(wrap_lon(rng.uniform(west, east, count)), lat, rng.choice(radii_m, count), np.full(count, UNLABELLED))
        return drawn[self.holds(drawn)]


def random_places(radii_m: np.ndarray, count: int, ground: Ground, rng: np.random.Generator, tries: int = TRIES) -> Places:
    """At most ``count`` unlabelled places."""
    found = ground.draw(radii_m, count, rng)
    for _ in range(tries):
        if len(found) == count:
            break
        found = Places.joined([found, ground.draw(radii_m, count - len(found), rng)])
    return found


def free_places(
    radii_m: np.ndarray, known: Places, count: int, ignore_below: float, ground: Ground, rng: np.random.Generator, tries: int = TRIES
) -> Places:
    """At most ``count`` places whose whole chip lies outside every known crater that counts at its scale."""
    found, neighbours = [ground.draw(radii_m, 0, rng)], Neighbours(known, ground.body)
    for _ in range(tries):
        missing = count - sum(map(len, found))
        if missing <= 0:
            break
        drawn = ground.draw(radii_m, BATCH, rng)
        reach_m = ground.half_side_radii * np.sqrt(2) * drawn.radius_m
        free = ~neighbours.touch(drawn, reach_m, ignore_below * drawn.radius_m)
        found.append(drawn[np.flatnonzero(free)[:missing]])
    places = Places.joined(found)
    return Places(places.lon, places.lat, places.radius_m, np.full(len(places), NEGATIVE))


class Neighbours:
    """Craters looked up by place, one tree per octave of sizes, so that a large one doesn't make the search for small ones wide."""

    def __init__(self, craters: Places, body: Body):
        from scipy.spatial import KDTree

        self.body, self.octaves = body, []
        octave = np.floor(np.log2(craters.radius_m))
        for one in np.unique(octave)[::-1]:  # large ones first: they decide most
            members = craters[octave == one]
            self.octaves.append((members, KDTree(_unit(members))))

    def touch(self, places: Places, reach_m: np.ndarray, ignored_m: np.ndarray) -> np.ndarray:
        """Which places have a crater, not smaller than ``ignored_m`` (N,), whose rim comes as near as ``reach_m`` (N,)."""
        found, unit = np.zeros(len(places), bool), _unit(places)
        for members, tree in self.octaves:
            smallest, largest = members.radius_m.min(), members.radius_m.max()
            open_ = np.flatnonzero(~found & (ignored_m <= largest))
            nearest_m = 2 * np.arcsin(np.clip(tree.query(unit[open_])[0] / 2, 0, 1)) * self.body.mean_radius_m
            sure = (nearest_m <= smallest + reach_m[open_]) & (ignored_m[open_] <= smallest)
            found[open_[sure]] = True
            for index in open_[~sure & (nearest_m <= largest + reach_m[open_])]:
                near = members[tree.query_ball_point(unit[index], _chord(largest + reach_m[index], self.body))]
                close = distances_m(places[[index]], near, self.body)[0] <= near.radius_m + reach_m[index]
                found[index] = np.any(close & (near.radius_m >= ignored_m[index]))
        return found


def rim_places(craters: Places, known: Places, count: int, ground: Ground, rng: np.random.Generator) -> Places:
    """At most ``count`` places on or just outside rims that are no centre of another crater of the chip's scale."""
    from scipy.spatial import KDTree

    of, body = rng.integers(0, len(craters), count), ground.body
    lon, lat = _shifted(craters.lon[of], craters.lat[of], craters.radius_m[of] * rng.uniform(*RIM_SHIFT, count), rng, body)
    places = Places(lon, lat, craters.radius_m[of], np.full(count, NEGATIVE))
    places = places[ground.holds(places)]
    tree, unit, free = KDTree(_unit(known)), _unit(places), np.ones(len(places), bool)
    for index, radius in enumerate(places.radius_m):
        # Craters of its scale are at most twice as large, and count within half their radius.
        near = known[tree.query_ball_point(unit[index], _chord(radius, body))]
        alike = (near.radius_m > 0.5 * radius) & (near.radius_m < 2 * radius)
        free[index] = not np.any(alike & (distances_m(places[[index]], near, body)[0] < 0.5 * near.radius_m))
    return places[free]


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

    unit = _unit(places)
    near = KDTree(unit).query_ball_point(unit, _chord(half_side_radii * places.radius_m, body))
    pairs = [(number, other) for number, others in enumerate(near) for other in others if other != number]
    return np.array(pairs, np.int64).reshape(-1, 2).T


def _chord(distance_m, body: Body):
    """Straight distance on the unit sphere of points so far apart on the ground."""
    return 2 * np.sin(np.clip(distance_m / body.mean_radius_m, 0, np.pi) / 2)


def _unit(places: Places) -> np.ndarray:
    lon, lat = np.radians(places.lon), np.radians(places.lat)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)


def cut_all(cutter: Cutter, places: Places, keeping: Keeping, progress: Progress = lambda *_: None) -> tuple[list[np.ndarray], np.ndarray]:
    """Chips (s, s) uint8, mapped and not read, and the share of each that is missing, in the order of ``places``."""
    table = pd.DataFrame({"lon": places.lon, "lat": places.lat, "radius_m": places.radius_m})
    order, size, store = cutter.order(table), cutter.geometry.size_px, Store(keeping.folder)

    def make(rows: pd.DataFrame) -> Piece:
        chips, missing = cutter.cut_and_missing(rows)
        return Piece(rows.assign(missing=missing), {"image": chips})

    if not store.is_of(keeping.made_of):
        arrays, tell = {"image": Spec((size, size), np.dtype(np.uint8))}, partial(progress, "cutting chips")
        write_store(store.folder, keeping.made_of, table.iloc[order], arrays, make, tell=tell, workers=keeping.workers)
    images, at = np.asarray(store.array("image")), np.argsort(order)
    return [images[number] for number in at], store.rows()["missing"].to_numpy()[at]
