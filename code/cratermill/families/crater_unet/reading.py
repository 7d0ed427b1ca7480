"""By which thresholds craters are read from a prediction, of which sizes at which level, and which windows show it to the networks.

Nothing here needs a library of networks: launches ask it what a map consists of.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.calibration import apply
from ...craters.confidence import Calibration
from ...craters.options import Options
from ..craters_common.tiles import radii_px, starts

if TYPE_CHECKING:
    from .hparams import Hparams

SEEN_PX, SLACK = 32.0, 1.1
"""Largest radius that a level sees before the next one, twice as coarse, does; and the factor by which both look beyond that limit."""
LOOSE_SUPPORT, LOOSE_ARC = 0.3, 0.12
"""Where confidence is calibrated, the least that a circle must have of both to be looked at."""
USUAL = {"level": 0.5, "confidence": 0.7, "arc": 0.25}
"""Thresholds, where nothing is chosen."""


@dataclass(frozen=True)
class Reading:
    """How craters are read from a prediction: see the columns level, confidence and arc. Without a calibration the confidence is the
    support: the share of the rim, where it can be seen, that shows an edge. ``pixels`` corrects the probability of single pixels
    (:func:`~cratermill.core.calibration.fit`), where it is shown; circles are read from what the network says."""

    level: float
    confidence: float
    arc: float
    calibration: Calibration | None = None
    pixels: dict[str, Any] | None = None

    @classmethod
    def of(cls, given: Mapping[str, float], calibration: Calibration | None = None, pixels: dict[str, Any] | None = None) -> Reading:
        """With these thresholds, and the usual ones for what isn't given."""
        one = USUAL | dict(given)
        return cls(one["level"], one["confidence"], one["arc"], calibration, pixels)

    def shown(self, probability: np.ndarray) -> np.ndarray:
        """Probabilities float32 as rasters show them, NaN where they are."""
        return probability if self.pixels is None else apply(self.pixels, probability).astype(np.float32)

    def options(self, hparams: Hparams, resolution_m: float, level: int = 0) -> Options | None:
        """What counts on an image of pixels of ``resolution_m`` reduced by 2 ** ``level``, in its own pixels; None: nothing there."""
        low, high = (radius / 2**level for radius in radii_px(hparams, resolution_m))
        low = max(low, SEEN_PX / 2 / SLACK) if level else low
        high = min(high, SEEN_PX * SLACK) if level < hparams.levels - 1 else high
        if level and low > high:
            return None
        support = LOOSE_SUPPORT if self.calibration else self.confidence
        return Options(max(low, 1.0), max(high, 1.0), self.level, support, self.arc)

    def margin_px(self, hparams: Hparams, resolution_m: float, level: int = 0) -> int:
        """Pixels of a level around a block that show its craters whole; 0 where none is of its sizes."""
        options = self.options(hparams, resolution_m, level)
        return options.margin_px if options else 0

    def plain(self) -> dict[str, Any]:
        fitted = {"calibration": self.calibration and self.calibration.plain(), "pixels": self.pixels}
        return {name: getattr(self, name) for name in USUAL} | fitted

    @classmethod
    def of_plain(cls, values: dict[str, Any]) -> Reading:
        given = values.get("calibration")
        calibration = Calibration.of_plain(given) if given else None
        return cls.of({name: float(values[name]) for name in USUAL}, calibration, values.get("pixels"))


def given_thresholds(hparams: Hparams) -> dict[str, float]:
    """Those that the row gives, for which nothing is chosen."""
    return {name: value for name in USUAL if (value := getattr(hparams, name)) is not None}


def windows(length: int, window_px: int, overlap: float, divisor: int) -> tuple[int, int, list[int]]:
    """Side of the windows that cover a length, the step that leaves so much overlap, and where they begin."""
    side = fitted_side(length, window_px, overlap, divisor)
    step = max(1, round(side * (1 - overlap)))
    return side, step, starts(length, side, step)


def forward_px(shape: tuple[int, int], window_px: int, overlap: float, divisor: int) -> int:
    """Pixels that go through a network for an image of a shape."""
    along = [side * len(places) for side, _, places in (windows(length, window_px, overlap, divisor) for length in shape)]
    return along[0] * along[1]


def fitted_side(length: int, window_px: int, overlap: float, divisor: int) -> int:
    """Side of windows of at most about ``window_px`` that cover a length with so much overlap and the least beyond it."""
    shared = window_px * overlap
    count = max(1, int(np.ceil((length - shared) / max(window_px - shared, 1))))
    return int(np.ceil((length + (count - 1) * shared) / count / divisor)) * divisor
