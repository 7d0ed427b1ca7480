"""How sure a found crater is, and from where on one is listed: learnt from validation tiles, applied to tiles and maps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ...craters.confidence import Calibration, area_under_curve, best_expected, best_threshold, expected_error, fit
from ...craters.matching import STRICT, match
from ...craters.scores import rates, tallies
from .judging import surest_first, within
from .tiles import Sizes, radii_px

if TYPE_CHECKING:
    from .prepare import TileSet

LOWEST = 0.05
"""Craters that are less sure are in no list."""

Quantities = Callable[[np.ndarray], dict[str, np.ndarray]]
"""What the confidence goes by, of found craters (N, …)."""


@dataclass(frozen=True)
class Certainty:
    """What validation tiles said: how sure a crater is, and from where on it is listed. Without a calibration (too few craters were right
    or wrong) a crater is as sure as its own score."""

    threshold: float
    calibration: Calibration | None = None

    def plain(self) -> dict[str, Any]:
        return {"threshold": self.threshold, "calibration": self.calibration and self.calibration.plain()}

    @classmethod
    def of_plain(cls, values: dict[str, Any]) -> Certainty:
        given = values.get("calibration")
        return cls(float(values["threshold"]), Calibration.of_plain(given) if given else None)


def with_confidence(craters: np.ndarray, calibration: Calibration | None, quantities: dict[str, np.ndarray]) -> np.ndarray:
    """Craters (N, C), C ≥ 4: place, radius, score, with their confidence as a fourth column before the others (N, C + 1), surest first."""
    confidence = craters[:, 3] if calibration is None else calibration.confidence(quantities)
    return surest_first(np.column_stack([craters[:, :3], confidence, craters[:, 3:]]))


def truth_of(tiles: TileSet, rows: np.ndarray) -> list[np.ndarray]:
    return [within(tiles.circles[row], tiles.image.shape[-2:]) for row in rows]


def learnt(
    found: list[np.ndarray],
    truth: list[np.ndarray],
    radii: tuple[float, float],
    quantities: Quantities,
    threshold: float | None,
    usual: float,
) -> tuple[Certainty, float]:
    """Calibration and threshold by what was found on validation tiles, and its strict F1 there; a ``threshold`` that is given stays.

    The threshold is the one that is expected to be the best of confidences that are calibrated, of bare scores the best one there.
    """
    right = np.concatenate([is_right(craters, known) for craters, known in zip(found, truth, strict=True)])
    together = np.concatenate(found)
    # What is far too small to count would decide on the curve by its number alone.
    near = together[:, 2] >= 0.8 * radii[0]
    certainty = Certainty(threshold or usual, fit(quantities(together[near]), right[near]))
    listed = [with_confidence(craters, certainty.calibration, quantities(craters)) for craters in found]

    def f1(least: float) -> float:
        return float(rates(np.array(tallies([one[one[:, 3] >= least] for one in listed], truth, STRICT, radii).counts()))[2])

    if threshold is None and any(map(len, truth)):
        sure = np.concatenate([one[one[:, 3] > LOWEST] for one in listed])
        if certainty.calibration is None:
            best = best_threshold(f1, sure[:, 3])
        else:
            best = best_expected(sure[_within(sure[:, 2], radii), 3], int(_within(np.concatenate(truth)[:, 2], radii).sum()))
        certainty = replace(certainty, threshold=best)
    return certainty, f1(certainty.threshold)


def _within(radius: np.ndarray, radii: tuple[float, float]) -> np.ndarray:
    return np.asarray((radius >= radii[0]) & (radius <= radii[1]))


def is_right(found: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Which found craters (N, ≥3) have a partner by the strict rule."""
    right = np.zeros(len(found), bool)
    right[match(found[:, :3], known, STRICT).pairs[:, 0]] = True
    return right


def sureness(tiles: TileSet, rows: np.ndarray, listed: list[np.ndarray], hparams: Sizes) -> dict[str, float]:
    """How well confidence tells right craters from wrong ones, of those within the row's sizes that are surer than ``LOWEST``."""
    radii = radii_px(hparams, float(tiles.tiles["resolution_m"].iloc[0]))
    right, confidence = [], []
    for craters, known in zip(listed, truth_of(tiles, rows), strict=True):
        counts = _within(craters[:, 2], radii) & (craters[:, 3] > LOWEST)
        right.append(is_right(craters, known)[counts])
        confidence.append(craters[counts, 3])
    sure, good = np.concatenate(confidence), np.concatenate(right)
    return {"AUC": area_under_curve(sure, good), "calibration_error": expected_error(sure, good)}


def logit(share: np.ndarray) -> np.ndarray:
    share = np.clip(share, 1e-4, 1 - 1e-4)
    return np.log(share / (1 - share))


def of_size(radius_px: np.ndarray) -> dict[str, np.ndarray]:
    """What confidence may go by of a crater's size: small ones are sooner wrong, and lists lack many of them."""
    size = np.log(np.maximum(radius_px, 1e-3))
    return {
        "size": size,
        "size_squared": size**2,
        "below_5_px": np.maximum(0, np.log(5.0) - size),
        "below_4_px": np.maximum(0, np.log(4.0) - size),
    }
