"""Pictures as grey bytes."""

from __future__ import annotations

import numpy as np

from ..core.errors import InputError

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
