"""What a synthetic planet is made of, as plain numbers that are written beside it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ..core.errors import InputError, nearest


@dataclass(frozen=True)
class Parameters:
    """The knobs of a planet. Lengths are in planetary radii unless the name says otherwise.

    The same seed gives the same planet at every size: a finer mosaic shows the same craters and ejecta, and more small craters.
    """

    seed: int = 0
    shape: tuple[int, int] = (512, 1024)
    bands: int = 3
    n_fresh: int = 32
    train_fraction: float = 0.6
    # Background craters: N(> D) = density · D^-slope per planet, D in radii; about the lunar highlands' count above 20 km.
    slope: float = 2.0
    density: float = 0.85
    largest_diameter: float = 0.25
    smallest_diameter_px: float = 2.0
    # Fresh craters
    fresh_slope: float = 1.6
    fresh_radius_min: float = 0.012
    fresh_radius_max: float = 0.042
    # What the camera adds
    noise_dn: float = 2.5
    # Training tiles
    tile_shape_px: tuple[int, int] | None = None
    tiles_per_crater: tuple[int, int] = (6, 12)
    craters_per_tile: int = 8
    max_distance_fraction: float = 0.25

    def __post_init__(self):
        rows, columns = self.shape
        _require(rows >= 64 and columns == 2 * rows, f"shape {rows} × {columns}", "rows ≥ 64 and twice as many columns, e.g. 512 × 1024")
        _require(1 <= self.bands <= 16, f"{self.bands} bands", "1 to 16")
        _require(1 <= self.n_fresh <= 5000, f"{self.n_fresh} fresh craters", "1 to 5000")
        _require(0 <= self.train_fraction <= 1, f"train_fraction {self.train_fraction}", "0 to 1")
        slopes, radii = (self.slope, self.fresh_slope), (self.fresh_radius_min, self.fresh_radius_max)
        _require(min(slopes) > 0, f"slopes {slopes}", "positive exponents of N(> D) ∝ D^-slope")
        _require(0 < radii[0] < radii[1] <= 0.1, f"fresh craters of radii {radii}", "0 < minimum < maximum ≤ 0.1 planetary radii")
        if self.tile_shape_px is not None:
            height, width = self.tile_shape_px
            valid = f"at least 4 × 4 and at most {rows // 4} × {columns // 4} for this mosaic"
            _require(4 <= height <= rows // 4 and 4 <= width <= columns // 4, f"tiles of {height} × {width} px", valid)

    @property
    def pixel(self) -> float:
        """Size of a pixel on the equator, in radii."""
        return math.pi / self.shape[0]

    @property
    def smallest_diameter(self) -> float:
        # Craters as large as the smallest fresh ones always exist: old blankets are drawn around them.
        return min(self.smallest_diameter_px * self.pixel, 2 * self.fresh_radius_min)

    @property
    def tile_shape(self) -> tuple[int, int]:
        """EJMAP's 112 × 224 px at 11520 rows, the same ground at other sizes, but never less than 16 × 32 px."""
        if self.tile_shape_px is not None:
            return self.tile_shape_px
        height = min(max(16, round(112 * self.shape[0] / 11520)), self.shape[0] // 4)
        return height, 2 * height


def parameters_from(options: dict[str, Any]) -> Parameters:
    """Parameters from keywords; an unknown one is an InputError that names the nearest."""
    known = Parameters.__dataclass_fields__
    for name in options:
        if name not in known:
            raise InputError(f"A synthetic planet has no parameter '{name}'", valid=nearest(name, known))
    given: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
    return Parameters(**given)


def _require(sound: bool, given: str, valid: str) -> None:
    if not sound:
        raise InputError(f"A synthetic planet can't have {given}", valid=valid)
