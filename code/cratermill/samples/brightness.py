"""How bright the ground is that a network learned from, and whether a mosaic is like it: networks take contrast for granted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .grey import grey_range

if TYPE_CHECKING:
    from ..geo.mosaic import Mosaic

SAMPLES = 64
FAR = 2.0
"""Means this many of the training's deviations apart are far from each other."""
RATIO = 4.0
"""Deviations whose ratio exceeds this are, too."""


def brightness_of(samples: Any) -> dict[str, list[float]]:
    """``mean`` and ``std`` per channel of raw images, from at most ``SAMPLES`` evenly spaced samples (dicts with ``image`` (C, h, w))."""
    chosen = np.unique(np.linspace(0, len(samples) - 1, min(SAMPLES, len(samples))).round().astype(int))
    images = [np.asarray(samples[int(number)]["image"], np.float64) for number in chosen]
    pixels = np.concatenate([image.reshape(len(image), -1) for image in images], axis=1)
    pixels = np.where(np.isfinite(pixels), pixels, np.nan)
    if np.isnan(pixels).all(axis=1).any():
        return {}
    return {"mean": np.nanmean(pixels, axis=1).tolist(), "std": np.nanstd(pixels, axis=1).tolist()}


def far_from(trained: dict[str, list[float]], mosaic: Mosaic, who: str, *, grey: bool, remembered: Path | None = None) -> list[str]:
    """What to warn of where a mosaic isn't as bright as what ``who`` learned from.

    ``trained``: of :func:`brightness_of`; nothing is known where it is empty. ``grey``: the network sees the grey byte of one rule instead
    of the bands.
    """
    if not trained:
        return []
    mean, std, _ = mosaic.statistics(remembered)
    if grey and mosaic.dtype != np.uint8:
        levels = grey_range(mosaic, remembered)
        scale = 255 / (levels.high - levels.low)
        mean, std = (mean - levels.low) * scale, std * scale
    if grey or len(trained["mean"]) < len(mean):
        mean, std = mean.mean(keepdims=True), std.mean(keepdims=True)
    said = []
    for band, (here, spread) in enumerate(zip(mean, std, strict=True)):
        there, usual = trained["mean"][band], trained["std"][band]
        if not _alike(here, spread, there, usual):
            name = "" if len(mean) == 1 else f" in band {mosaic.bands[band]}"
            said.append(
                f"{mosaic.path.name} has a mean of {here:.4g} ± {spread:.3g}{name}, but {who} learned from a mean of "
                f"{there:.4g} ± {usual:.3g}: what it finds there means little"
            )
    return said


def _alike(mean: float, spread: float, trained_mean: float, trained_spread: float) -> bool:
    if not trained_spread:
        return mean == trained_mean and not spread
    return abs(mean - trained_mean) <= FAR * trained_spread and trained_spread / RATIO <= spread <= trained_spread * RATIO
