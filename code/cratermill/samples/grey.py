"""Pictures and mosaics as grey bytes: one rule for every family.

A mosaic's grey is the mean of its bands. Bytes stay what they are; any other type is stretched so that four deviations below the mosaic's
mean become 0 and four above it 255. Where a band has no data the grey is missing; as a byte it is 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..geo.mosaic import Mosaic

SIDES = 4.0
"""Deviations from the mean to either end of what bytes hold."""

GREY_TOLERANCE = 12
"""Largest difference between the channels of a picture that still counts as grey; JPEG moves them by a few."""


def grey_bytes(values: np.ndarray, what: str) -> np.ndarray:
    """Numbers 0–255 of any type as uint8, rounded. Raises ``InputError`` for anything else, and for shares 0–1 by name."""
    values = np.asarray(values)
    if values.dtype == np.uint8 or values.size == 0:
        return values.astype(np.uint8)
    if values.dtype.kind not in "iufb":
        raise InputError(f"{what} holds {values.dtype}, no numbers", valid="grey values from 0 to 255")
    low, high = float(np.min(values)), float(np.max(values))
    if not (low >= 0 and high <= 255):  # NaN is refused too
        raise InputError(
            f"{what} holds values from {low:g} to {high:g}", valid="grey values from 0 to 255", next_step="scale the chips to 0–255"
        )
    if high <= 1:
        raise InputError(
            f"{what} holds values from {low:g} to {high:g} only",
            valid="grey values from 0 to 255",
            next_step="multiply shares by 255 before saving",
        )
    return np.rint(values).astype(np.uint8)


def grey_image(pixels: np.ndarray, what: str) -> np.ndarray:
    """A picture (h, w) or (h, w, C) as grey (h, w); one whose channels differ is refused, since none of them is the chip."""
    if pixels.ndim == 2:
        return pixels
    colours = pixels[..., :3].astype(np.int16) if pixels.shape[2] >= 3 else pixels[..., :1].astype(np.int16)
    if np.ptp(colours, axis=2).max(initial=0) > GREY_TOLERANCE:
        raise InputError(
            f"{what} is a colour picture, its channels differ by up to {int(np.ptp(colours, axis=2).max())}",
            valid="grey chips: one channel, or equal ones",
            next_step="choose one band, or convert the chips to grey, before preparing",
        )
    return colours[..., 0].astype(np.uint8)


@dataclass(frozen=True)
class GreyRange:
    """The values of a mosaic that become 0 and 255."""

    low: float = 0.0
    high: float = 255.0

    @property
    def is_bytes(self) -> bool:
        return (self.low, self.high) == (0.0, 255.0)

    def to_bytes(self, pixels: np.ndarray, missing: np.ndarray | None = None) -> np.ndarray:
        """Pixels (…, C, h, w) as grey uint8 (…, h, w); 0 where a band is ``missing`` or not finite."""
        if pixels.dtype == np.uint8 and pixels.shape[-3] == 1:
            grey = pixels[..., 0, :, :]
            return grey if missing is None else np.where(missing.any(-3), np.uint8(0), grey)
        grey = mean_of_bands(pixels, missing, np.float32 if self.is_bytes else np.float64)
        if not self.is_bytes:
            grey = (grey - self.low) * (255 / (self.high - self.low))
        return np.rint(np.clip(np.nan_to_num(grey), 0, 255)).astype(np.uint8)


def mean_of_bands(pixels: np.ndarray, missing: np.ndarray | None = None, dtype: type = np.float32) -> np.ndarray:
    """The grey (…, h, w) of pixels (…, C, h, w) as floats; NaN where a band is ``missing``."""
    grey = pixels.mean(-3, dtype=dtype)
    if missing is not None:
        grey[missing.any(-3)] = np.nan
    return grey


def grey_range(mosaic: Mosaic, remembered: Path | None = None) -> GreyRange:
    """The rule for one mosaic; ``remembered``: where its statistics are kept. ``InputError`` where all pixels are alike."""
    if mosaic.count > 1 and mosaic.is_layered:
        raise InputError(
            f"the mean of bands of several rasters, {', '.join(map(str, mosaic.bands))}, is no brightness",
            valid="one band, or bands of the mosaic itself, where a family looks at grey pictures",
            next_step="name one in 'bands'; connection, ejecta and crater_detector take each as a channel",
        )
    if mosaic.dtype == np.uint8:
        return GreyRange()
    mean, deviation = (float(np.mean(values)) for values in mosaic.statistics(remembered)[:2])
    if not deviation:
        raise InputError(f"{mosaic.path}: all pixels are alike, {mean:g}", valid="a mosaic with some contrast")
    return GreyRange(mean - SIDES * deviation, mean + SIDES * deviation)


def grey_mark(path: Path, bands: Sequence[int | str] | None = None) -> list[Any]:
    """What of this rule decides about samples of a mosaic, for marks of prepared data: nothing where it holds bytes."""
    from ..geo.band_statistics import RULE
    from ..geo.layers import open_mosaic

    with open_mosaic(path, bands) as mosaic:
        return [] if mosaic.dtype == np.uint8 else ["grey", SIDES, RULE]
