"""The paper's synthetic data: dots of various greys, of random places and sizes, on black; the targets are the dots."""

from __future__ import annotations

import numpy as np

DOTS = (4, 24)
"""Fewest and most dots per tile of 256 × 256 pixels; other tiles have them in proportion to their area."""
RADII_PX = (2.0, 24.0)
GREYS = (40, 255)


def dots_tile(size_px: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(image (h, w) uint8, circles (N, 3): x, y, radius in pixels) of one tile; the seed decides all. Later dots lie over earlier ones."""
    rng = np.random.default_rng(seed)
    share = (size_px / 256) ** 2
    number = int(rng.integers(max(1, round(DOTS[0] * share)), max(1, round(DOTS[1] * share)) + 1))
    radii = np.exp(rng.uniform(np.log(RADII_PX[0]), np.log(RADII_PX[1]), number))
    circles = np.column_stack([rng.uniform(0, size_px - 1, (number, 2)), radii])
    image = np.zeros((size_px, size_px), np.uint8)
    rows, cols = np.ogrid[:size_px, :size_px]
    for (x, y, radius), grey in zip(circles, rng.integers(GREYS[0], GREYS[1] + 1, number), strict=True):
        image[(cols - x) ** 2 + (rows - y) ** 2 <= radius**2] = grey
    return image, circles
