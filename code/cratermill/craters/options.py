"""What counts as a crater on a map."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core.errors import InputError


@dataclass(frozen=True)
class Options:
    """What counts as a crater: radii in pixels, the map's ``level`` at an edge, least ``confidence``, and least ``arc``, the share of the
    whole rim that shows an edge."""

    min_radius_px: float = 9.0
    max_radius_px: float = 138.0
    level: float = 0.5
    confidence: float = 0.8
    arc: float = 0.22
    votes: float = 0.11

    def __post_init__(self):
        if not 1 <= self.min_radius_px <= self.max_radius_px:
            given = f"radii from {self.min_radius_px:g} to {self.max_radius_px:g} px"
            raise InputError(given, valid="at least 1 px, the smaller first")

    @property
    def margin_px(self) -> int:
        """How far around a piece of the map one must look to see the craters of the piece whole."""
        return int(np.ceil(1.25 * self.max_radius_px)) + 8
