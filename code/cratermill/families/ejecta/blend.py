"""Several craters on one block of the map: who owns a pixel, in which colour it shows, how probable ejecta are at all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...geo.grid import Window
from ...report.palette import CRATERS, Colours

NO_OWNER = -1
"""In the map of owners, where no crater's ejecta lie; a FID may be 0."""


@dataclass(frozen=True)
class Layer:
    """One crater's part of a block: ``window`` in it, mask (h, w) bool, ensemble probability (h, w) float32, NaN where nobody looked."""

    fid: int
    window: Window
    mask: np.ndarray
    probability: np.ndarray


@dataclass(frozen=True)
class Blended:
    """``owner`` (h, w) int32, ``rgba`` (4, h, w) uint8, ``probability`` (h, w) float32: the highest of all, NaN where nobody looked."""

    owner: np.ndarray
    rgba: np.ndarray
    probability: np.ndarray


def blend(layers: list[Layer], shape: tuple[int, int], alpha: float, colours: Colours = CRATERS) -> Blended:
    """Join layers, given in any order: they are taken by FID.

    The highest probability owns a pixel, ties go to the lower FID. In colour, the first crater is opaque and each later one
    lies over it with opacity ``alpha``.
    """
    owner = np.full(shape, NO_OWNER, np.int32)
    best, probability = np.full(shape, -np.inf, np.float32), np.full(shape, np.nan, np.float32)
    rgb, painted = np.zeros((3, *shape), np.float32), np.zeros(shape, bool)
    for layer in sorted(layers, key=lambda layer: layer.fid):
        here, mask = layer.window.slices, layer.mask
        np.fmax(probability[here], layer.probability, out=probability[here])
        wins = mask & (layer.probability > best[here])
        np.copyto(owner[here], layer.fid, where=wins)
        np.copyto(best[here], layer.probability, where=wins)
        over = mask & painted[here]
        fresh, overlap = mask ^ over, bool(over.any())
        for band, value in zip(rgb, colours.rgb(layer.fid), strict=True):
            np.copyto(band[here], value, where=fresh)
            if overlap:
                band[here][over] += np.float32(alpha) * (np.float32(value) - band[here][over])
        painted[here] |= mask
    rgba = np.empty((4, *shape), np.uint8)
    np.rint(rgb, out=rgba[:3], casting="unsafe")
    np.multiply(painted, 255, out=rgba[3], casting="unsafe")
    return Blended(owner, rgba, probability)
