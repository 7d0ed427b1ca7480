"""Ejecta of one crater: a continuous blanket with a ragged edge and long, broken, tapering rays.

Whether a point is ejecta follows from one analytic function of its position around the crater, ``strength`` > 0; neither the mosaic's size
nor the cutting into blocks takes part. The function is a table over azimuth and log distance (rays are drawn into it once) plus fine noise
that frays its edges.
Distances are angular distances from the centre in crater radii; the blanket begins at the rim (1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .noise import Octave, line_noise
from .population import FreshCrater

AZIMUTHS = 2048
DISTANCES = (320, 64)  # rows of the table: with rays, and for a blanket alone
_FRAY = 0.85  # what the fine noise can add to or take from the table
_FINE = ((0.4, 0.4), (0.16, 0.33), (0.06, 0.27))  # wavelengths in radii and shares of the fraying noise
_NOTHING = -2.0


@dataclass(frozen=True)
class Ray:
    """One ray. ``azimuth`` at the rim [rad]; ``length`` and ``half_width`` (at two radii from the centre) in crater radii.

    ``bend``: turn per e-fold of distance [rad]; ``broken``: 0 (whole) … 1 (patches).
    """

    azimuth: float
    length: float
    half_width: float
    bend: float
    broken: float


class Ejecta:
    """The ejecta of a crater as a function of position; ``rays=False`` leaves a blanket alone."""

    def __init__(self, crater: FreshCrater, *, rays: bool = True):
        self.crater = crater
        random = np.random.default_rng(crater.seed)
        self.edge = _blanket_edge(random)
        self.rays = _draw_rays(random, crater.reach) if rays else []
        farthest = max([ray.length for ray in self.rays], default=0.0)
        self._distances = DISTANCES[0] if rays else DISTANCES[1]
        self.reach = float(max(farthest, self.edge.max() + 0.6))  # radii
        self._log_reach = np.log(self.reach)
        self._table = self._draw_table(random)
        self._fine = [Octave(crater.seed + i, length, share * _FRAY) for i, (length, share) in enumerate(_FINE)]
        self.colour = random.normal(0, 1, 3)

    @property
    def reach_angle(self) -> float:
        """Angular radius [rad] beyond which nothing is ejecta."""
        return min(self.reach * self.crater.radius, np.pi)

    def polar(self, east: np.ndarray, north: np.ndarray, up: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Azimuth [rad, clockwise from north, 0 … 2π] and distance [radii] of points in the crater's frame (``pixels.around``), float32."""
        distance = np.arctan2(np.sqrt(east * east + north * north), up) * np.float32(1 / self.crater.radius)
        azimuth = np.arctan2(east, north)
        return azimuth + np.float32(2 * np.pi) * (azimuth < 0), distance

    def strength(self, east: np.ndarray, north: np.ndarray, up: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(strength, distance [radii]) of points, float32: strength > 0 is ejecta, about 1 where it is thick, ≤ 0 elsewhere."""
        azimuth, distance = self.polar(east, north, up)
        strength = self._look_up(azimuth, distance)
        unsure = np.flatnonzero(np.abs(strength) < _FRAY)
        # Farther out everything is coarser, and longer along the ray than across it: so are the frayed edges. East and north are enough to
        # tell points apart, as no ray reaches a quarter of the way round.
        scale = np.maximum(distance.ravel()[unsure], np.float32(1)) ** np.float32(-0.6) * np.float32(1 / self.crater.radius)
        across, along = east.ravel()[unsure] * scale, north.ravel()[unsure] * scale
        fraying = sum(octave(across, along, np.zeros_like(across)) for octave in self._fine)
        # Full effect at the edge, none where the table is sure: the strength stays continuous.
        flat = strength.ravel()
        flat[unsure] += (1 - np.abs(flat[unsure]) / np.float32(_FRAY)) * fraying
        return flat.reshape(strength.shape), distance

    def _look_up(self, azimuth: np.ndarray, distance: np.ndarray) -> np.ndarray:
        """Bilinear in the table; nothing inside the rim or beyond the reach."""
        column = azimuth * np.float32(AZIMUTHS / (2 * np.pi))
        row = np.log(np.maximum(distance, np.float32(1))) * np.float32((self._distances - 1) / self._log_reach)
        row = np.minimum(row, np.float32(self._distances - 1.001))
        left, top = column.astype(np.int32), row.astype(np.int32)
        across, down = column - left, row - top
        left = left & (AZIMUTHS - 1)
        right = (left + 1) & (AZIMUTHS - 1)
        top = top * AZIMUTHS
        upper = self._mix(top + left, top + right, across)
        top += AZIMUTHS
        value = upper + (self._mix(top + left, top + right, across) - upper) * down
        outside = (distance < 1) | (distance > np.float32(self.reach))
        return value * ~outside + np.float32(_NOTHING) * outside

    def _mix(self, first: np.ndarray, second: np.ndarray, share: np.ndarray) -> np.ndarray:
        start = self._table.take(first).astype(np.float32)
        return start + (self._table.take(second).astype(np.float32) - start) * share

    def _draw_table(self, random: np.random.Generator) -> np.ndarray:
        """Strength without the fine noise, (distances × AZIMUTHS) float16."""
        distance = np.exp(np.linspace(0, self._log_reach, self._distances)).astype(np.float32)
        # The blanket thins outwards: 1 at the rim, 0 at its edge.
        table = 1.1 * (self.edge - distance[:, None]) / (self.edge - 1)
        np.maximum(table, _NOTHING, out=table)
        # On the sphere, circles around the crater are shorter than on a plane.
        circle = (np.sin(distance * self.crater.radius) / self.crater.radius).astype(np.float32)
        for ray in self.rays:
            columns, strength = _ray_strength(ray, distance, circle, random)
            rows = strength.shape[0]
            table[:rows, columns] = np.maximum(table[:rows, columns], strength)
        return table.astype(np.float16).ravel()


def _blanket_edge(random: np.random.Generator) -> np.ndarray:
    """Outer edge of the blanket in radii for every azimuth: 1.5 to 3.5, lobed and feathered."""
    azimuth = np.arange(AZIMUTHS) * (2 * np.pi / AZIMUTHS)
    swell = sum(random.normal(0, 1 / wave) * np.cos(wave * azimuth + random.uniform(0, 7)) for wave in range(1, 9))
    lobes = _ring_noise(random, 37) + 0.7 * _ring_noise(random, 101)
    width = random.uniform(0.9, 1.6) * np.exp(0.22 * swell + 0.33 * lobes)
    return (1 + np.clip(width, 0.5, 2.5)).astype(np.float32)


def _ring_noise(random: np.random.Generator, waves: int) -> np.ndarray:
    values = random.uniform(-1, 1, waves)
    position = np.arange(AZIMUTHS) * (waves / AZIMUTHS)
    cell = position.astype(int)
    share = position - cell
    share = share * share * (3 - 2 * share)
    return values[cell] + (values[(cell + 1) % waves] - values[cell]) * share


def _draw_rays(random: np.random.Generator, reach: float) -> list[Ray]:
    """Short rays that feather the blanket, and bundles of long ones; some craters have a sector without any."""
    gap = random.uniform(0.5, 2.2) if random.random() < 0.4 else 0.0
    start = random.uniform(0, 2 * np.pi)

    def azimuth() -> float:
        return (start + gap + random.random() * (2 * np.pi - gap)) % (2 * np.pi)

    rays = []
    for _ in range(int(random.integers(8, 22))):
        length = float(2 + random.exponential(1.6))
        rays.append(Ray(azimuth(), min(length, reach), random.uniform(0.06, 0.26), random.normal(0, 0.04), random.uniform(0.3, 0.9)))
    bundles = int(random.integers(4, 9))
    for rank in range(bundles):
        # The first bundle reaches all the way, the others fall short of it by more and more.
        farthest = max(reach * (1 - 0.8 * (rank / bundles) ** 0.7), 3.5)
        middle = azimuth()
        for strand in range(int(random.integers(1, 4))):
            length = farthest * (1.0 if strand == 0 else random.uniform(0.35, 0.9))
            width = random.uniform(0.14, 0.4) * (1 - 0.4 * rank / bundles)
            direction = middle + random.normal(0, 0.10) * (strand > 0)
            rays.append(Ray(direction, length, width, random.normal(0, 0.05), random.uniform(0.6, 1.0)))
    return rays


def _ray_strength(ray: Ray, distance, circle, random) -> tuple[np.ndarray, np.ndarray]:
    """Columns of the table that a ray touches, and its strength there (rows up to the ray's end, columns)."""
    rows = max(2, int(np.searchsorted(distance, ray.length)))
    distance, circle = distance[:rows, None], circle[:rows, None]
    centre = ray.azimuth + ray.bend * np.log(distance)
    taper = np.sqrt(np.maximum(1 - (distance / ray.length) ** 2, 1e-4))
    half = ray.half_width * (distance / 2) ** 0.55 * taper
    spread = float((1.5 * half / circle).max()) + abs(ray.bend) * float(np.log(ray.length))
    step = 2 * np.pi / AZIMUTHS
    columns = np.arange(int((ray.azimuth - spread) / step) - 1, int((ray.azimuth + spread) / step) + 2)
    across = (columns * step - centre) * circle / half
    log = np.log(distance)
    # Patches: slanted across the ray, longer farther out; near the crater the ray is whole.
    patches = line_noise(random, log * 7 + (0.4 + 0.3 * across) * across) + 0.7 * line_noise(random, log * 19 - 0.5 * across)
    breaks = ray.broken * np.clip((distance - 2.5) / 6, 0, 1) * (0.3 - 1.25 * patches)
    # Streaks along the ray, drifting slowly across it.
    streaks = line_noise(random, across * 5 + line_noise(random, log * 5)) * 0.35
    return columns % AZIMUTHS, (1 - across**2 + streaks - np.maximum(breaks, -0.3) - 0.5 * (1 - taper)).astype(np.float32)
