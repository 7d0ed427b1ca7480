"""The pattern of one crater's ejecta: blanket, rays, distances, directions, colours. The rules are EJMAP's, so numbers compare.

Lengths are pixels of the crater's azimuthal plane (the mosaic's resolution), areas are its pixels; ``metres`` adds metres and km².
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import floor

import numpy as np

from ..geo.grid import azimuthal_pixels_m2
from ..geo.mosaic import Mosaic
from .masks import OTHERS
from .pixel_clusters import denoise
from .plane import Plane

STEP_PX = 4
START_RADII = 4
COVERED = 0.5
FEAT_MIN_SIZE = 100
INVALID_BELOW = 0.8
QUANTILES = {"distance_99": 0.99, "distance_95": 0.95, "distance_90": 0.9, "distance_75": 0.75, "distance_50": 0.5, "distance_25": 0.25}
SECTORS = 8


@dataclass(frozen=True)
class Patterns:
    """A crater's masks on its plane (h, w) bool, denoised: as mapped, and without what others claim too; and its rows of the tables."""

    plane: Plane | None
    overlaps: np.ndarray | None
    clean: np.ndarray | None
    overlaps_row: dict[str, float]
    clean_row: dict[str, float]
    coverage: np.ndarray
    """Share of ejecta on the rings from the centre outwards (n,), as mapped; ring i lies about ``STEP_PX`` · i pixels."""


def analyse(plane: Plane | None, radius_px: float, mosaic: Mosaic | None, bands: list[str], min_size: int = FEAT_MIN_SIZE) -> Patterns:
    """The two rows of a crater. ``bands``: names of the mosaic's bands, for the columns of their means (none without a mosaic)."""
    empty = zero_row(radius_px, bands)
    if plane is None:
        return Patterns(None, None, None, empty, dict(empty), np.zeros(0))
    mapped = denoise(plane.code > 0, min_size)
    if not mapped.any():
        return Patterns(plane, mapped, mapped, empty, dict(empty), np.zeros(0))
    clean = denoise((plane.code > 0) & ~(plane.code & OTHERS > 0), min_size)
    distances = all_distances(plane, mapped)
    blanket_px = blanket_radius(distances, radius_px, half_size(plane, mapped))
    tallies = tally(plane, [mapped, clean], blanket_px, mosaic)
    found = zip(tallies, (mapped, clean), strict=True)
    rows = [one.row(radius_px, blanket_px, bands) if mask.any() else dict(empty) for one, mask in found]
    kept = rows[1]["blanket_area"] / rows[0]["blanket_area"] if rows[0]["blanket_area"] else 0.0
    for row in rows:
        row["invalid"] = kept < INVALID_BELOW
    return Patterns(plane, mapped, clean, rows[0], rows[1], ring_shares(distances))


def zero_row(radius_px: float, bands: list[str]) -> dict[str, float]:
    """The row of a crater without ejecta."""
    row = Tally(len(bands)).row(radius_px, 0, bands)
    return {**row, "invalid": True}


# --- the blanket --------------------------------------------------------------------------------------------------------------


def all_distances(plane: Plane, mask: np.ndarray) -> np.ndarray:
    """Distances of the pixels of a mask from the crater's centre, sorted (n,) float32."""
    found = [plane.place.polar(window)[2][part] for window, (part,) in plane.blocks(mask)]
    return np.sort(np.concatenate(found)) if found else np.zeros(0, np.float32)


def half_size(plane: Plane, mask: np.ndarray) -> int:
    """Half the side of the square around the centre that holds a mask; no ring is looked for beyond."""
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    edges = [rows[0] + plane.window.row, rows[-1] + 1 + plane.window.row, cols[0] + plane.window.col, cols[-1] + 1 + plane.window.col]
    return int(np.ceil(max(abs(edge - plane.place.grid.height / 2) for edge in edges)))


def blanket_radius(distances: np.ndarray, radius_px: float, limit: int) -> int:
    """The radius of the blanket in pixels, from the sorted distances of all ejecta.

    Rings are ``STEP_PX`` wide. From ``START_RADII`` crater radii on outwards it is the first that isn't more than half ejecta (or reaches
    ``limit``); if the very first isn't, it is the first inwards that is. 0 if that comes down to one step.
    """
    start = floor(START_RADII * radius_px)
    at = start
    while ring_share(distances, at) > COVERED and at < limit:
        at += STEP_PX
    if at > start:
        return at
    while at > STEP_PX:
        at -= STEP_PX
        if ring_share(distances, at) > COVERED:
            break
    return at if at > STEP_PX else 0


def ring_share(distances: np.ndarray, radius_px: float) -> float:
    """The share of the ring of ``STEP_PX`` around a radius that is ejecta."""
    low, high = radius_px - STEP_PX / 2, radius_px + STEP_PX / 2
    inside = np.searchsorted(distances, np.array([low, high], distances.dtype))
    return float(inside[1] - inside[0]) / max(pixels_within(high) - pixels_within(low), 1)


def ring_shares(distances: np.ndarray) -> np.ndarray:
    """Shares of all rings that ejecta reach, each ``STEP_PX`` wide: ring i is centred on ``STEP_PX`` · (i + ½)."""
    rings = int(distances[-1] // STEP_PX) + 1
    return np.array([ring_share(distances, STEP_PX * (ring + 0.5)) for ring in range(rings)])


def pixels_within(radius_px: float) -> int:
    """How many pixels of a raster have their middle nearer than a radius to a corner of pixels."""
    if radius_px <= 0:
        return 0
    rows = np.arange(floor(radius_px) + 1) + 0.5
    half = np.sqrt(np.maximum(radius_px**2 - rows**2, 0))
    return 4 * int(np.ceil(half - 0.5).clip(0).sum())


# --- everything else ----------------------------------------------------------------------------------------------------------


@dataclass
class Tally:
    """Sums over the pixels of one pattern outside the rim, gathered block by block."""

    bands: int
    distances: list[np.ndarray] = field(default_factory=list)
    area: np.ndarray = field(default_factory=lambda: np.zeros(2, np.int64))  # blanket, rays
    ground_m2: np.ndarray = field(default_factory=lambda: np.zeros(2))
    sums: np.ndarray = field(default_factory=lambda: np.zeros((2, 2)))  # blanket, rays × east, north
    sectors: np.ndarray = field(default_factory=lambda: np.zeros((2, SECTORS), np.int64))
    farthest: np.ndarray = field(default_factory=lambda: np.zeros(SECTORS))
    band_sums: np.ndarray = field(init=False)
    band_counts: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.band_sums, self.band_counts = np.zeros((2, self.bands)), np.zeros((2, self.bands), np.int64)

    def add(self, east: np.ndarray, north: np.ndarray, distance: np.ndarray, blanket_px: float, ground_m2: np.ndarray) -> np.ndarray:
        """Pixels (n,) with their ground areas; returns 0 for those of the blanket, 1 for those of rays."""
        ray = (distance > blanket_px).astype(np.int64)
        sector = sector_of(east, north)
        self.distances.append(distance)
        self.area += np.bincount(ray, minlength=2)
        self.ground_m2 += np.bincount(ray, ground_m2, 2)
        self.sums += np.stack([np.bincount(ray, values, 2) for values in (east, north)], 1)
        self.sectors += np.bincount(ray * SECTORS + sector, minlength=2 * SECTORS).reshape(2, SECTORS)
        np.maximum.at(self.farthest, sector, distance)
        return ray

    def add_bands(self, values: np.ndarray, ray: np.ndarray) -> None:
        """Band values (C, n) of the same pixels, NaN where the mosaic holds nothing."""
        for band, one in enumerate(values):
            known = np.isfinite(one)
            self.band_sums[:, band] += np.bincount(ray[known], one[known], 2)
            self.band_counts[:, band] += np.bincount(ray[known], minlength=2)

    def row(self, radius_px: float, blanket_px: float, bands: list[str]) -> dict[str, float]:
        """EJMAP's columns in their order, then the ground areas in m² (``_ground_m2``: blanket, rays)."""
        distances = np.concatenate(self.distances) if self.distances else np.zeros(0)
        area, whole = self.area, int(self.area.sum())
        bar, ray_bar = self.sums.sum(0) / max(whole, 1), self.sums[1] / max(area[1], 1)
        means = self.band_sums / np.maximum(self.band_counts, 1)
        row: dict[str, float] = {"radius": radius_px, "invalid": False, "blanket_radius": blanket_px}
        row |= {"area": whole, "blanket_area": int(area[0]), "rays_area": int(area[1])}
        row["max_distance"] = float(distances.max(initial=0))
        quantiles = np.quantile(distances, list(QUANTILES.values())) if len(distances) else np.zeros(len(QUANTILES))
        row |= dict(zip(QUANTILES, map(float, quantiles), strict=True))
        row |= dict(zip(("bar_x", "bar_y", "ray_bar_x", "ray_bar_y"), map(float, (*bar, *ray_bar)), strict=True))
        for name, values in (("area_sect", self.sectors.sum(0)), ("distmax_sect", self.farthest), ("ray_sect", self.sectors[1])):
            row |= {f"{name}{number}": value for number, value in enumerate(values.tolist())}
        for part, values in zip(("blanket", "ray"), means, strict=True):
            row |= {f"{part}_{band}": float(value) for band, value in zip(bands, values, strict=True)}
        return row | {"_blanket_m2": float(self.ground_m2[0]), "_rays_m2": float(self.ground_m2[1])}


def tally(plane: Plane, masks: list[np.ndarray], blanket_px: float, mosaic: Mosaic | None) -> list[Tally]:
    """The sums of several masks on one plane; the mosaic is sampled once for all of them."""
    place, crater = plane.place, plane.place.crater
    resolution_m = place.grid.resolution_m
    tallies = [Tally(mosaic.count if mosaic else 0) for _ in masks]
    for window, parts in plane.blocks(*masks):
        east, north, distance = place.polar(window)
        east, north = np.broadcast_arrays(east, north)
        outside = ~crater.inside_rim(east * resolution_m, north * resolution_m, distance * resolution_m)
        ground = azimuthal_pixels_m2(place.grid.body, crater.lat, resolution_m, distance * resolution_m)
        values = plane.bands(window, mosaic) if mosaic else None
        for one, part in zip(tallies, parts, strict=True):
            here = part & outside
            ray = one.add(east[here], north[here], distance[here], blanket_px, ground[here])
            if values is not None:
                one.add_bands(values[:, here], ray)
    return tallies


def sector_of(east: np.ndarray, north: np.ndarray) -> np.ndarray:
    """Sectors of 45° (0 … 7) from −180° on, by the angle atan2(−east, north): 0 is north, west is positive."""
    angle = np.degrees(np.arctan2(-east, north))
    return np.clip(((angle + 180) // 45).astype(np.int64), 0, SECTORS - 1)


def metres(row: dict[str, float], resolution_m: float) -> dict[str, float]:
    """The same in metres and km², under names of our own; areas are those of the ground."""
    lengths = ("radius", "blanket_radius", "max_distance", *QUANTILES, "bar_x", "bar_y", "ray_bar_x", "ray_bar_y")
    found = {f"{name}_m": row[name] * resolution_m for name in lengths}
    blanket, rays = row["_blanket_m2"] / 1e6, row["_rays_m2"] / 1e6
    return found | {"area_km2": blanket + rays, "blanket_area_km2": blanket, "rays_area_km2": rays}
