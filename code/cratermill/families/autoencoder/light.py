"""What the light does to crops: which side the shadow is on, where the bright wall lies, how bright the ground is."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

SMALL_PX = 25


def flip_shadows(crops: np.ndarray) -> np.ndarray:
    """Mirror, in place, crops (N, S, S) whose right half is the brighter; returns which, (N,) bool.

    Compared are the quarters left and right of the middle, the outer quarters left out, over all rows.
    """
    count, size = crops.shape[:2]
    quarter, half = size // 4, size // 2

    def mean(columns: slice) -> np.ndarray:
        rows = crops.reshape(count * size, size)[:, columns]
        return cv2.reduce(rows, 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S).reshape(count, size).sum(1) / rows.shape[1]

    flipped = mean(slice(quarter, half)) < mean(slice(half, size - quarter))
    crops[flipped] = crops[flipped, :, ::-1]
    return flipped


def light(crops: np.ndarray, half_side_radii: float) -> dict[str, np.ndarray]:
    """Of crops (N, S, S): ``light_deg``, where the bright wall lies, clockwise from the top in −180…180; ``light_contrast``, how much
    brighter than the other; ``brightness``, the mean grey value. Wall means the ground within 1 radius of the centre."""
    # Block means show the light as well as all pixels do, at a tenth of the time.
    count, size = crops.shape[:2]
    small = size // max(1, size // SMALL_PX)
    reduced = cv2.resize(crops.reshape(count * size, size), (small, count * small), interpolation=cv2.INTER_AREA)
    right, up, brightness = (reduced.reshape(count, -1).astype(np.float32) @ _weights(small, half_side_radii)).T
    return {"light_deg": np.degrees(np.arctan2(right, up)), "light_contrast": np.hypot(right, up), "brightness": brightness}


@lru_cache(maxsize=8)
def _weights(size: int, half_side_radii: float) -> np.ndarray:
    """(S², 3): weights whose sums over pixels are the brightness gradients to the right and to the top, in grey values per radius, and the
    mean grey value."""
    at = ((2 * np.arange(size) + 1) / size - 1) * half_side_radii
    x, y = np.meshgrid(at, -at)
    inside = np.hypot(x, y) <= min(1.0, half_side_radii)
    slope = inside / (inside * x**2).sum()
    return np.stack([x * slope, y * slope, np.full_like(x, 1 / size**2)], axis=-1).reshape(-1, 3).astype(np.float32)
