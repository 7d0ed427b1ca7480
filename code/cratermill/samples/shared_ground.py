"""Which ready-made tiles show the same ground: tiles cut with overlap would be trained on and tested on at once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.fft
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

SIDE = 52
"""Tiles are compared at this size."""
SMOOTH = 8.0
"""Shades wider than this many of its pixels, which any two tiles may have in common, are taken out before."""
LEAST_SHARE, ALIKE = 0.2, 0.7
"""Tiles share ground if some shift leaves them at least this share of a tile in common, and correlates there by more than this. Of 777
THEMIS tiles, 65 pairs have more than .95 and none between .8 and .95."""
TOGETHER = 32


def ground_groups(images: np.ndarray) -> np.ndarray:
    """Group number of each of (N, H, W) images; those of one group share ground, directly or through others.

    Pearson's correlation at every shift that leaves enough in common, each overlap with its own means and deviations. Turned or enlarged
    copies are not recognised. Time follows the square of the number: half a minute for 800 images.
    """
    pairs = np.array(list(sharing_pairs(images))).reshape(-1, 2)
    count = len(images)
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    return connected_components(graph, directed=False)[1]


def sharing_pairs(images: np.ndarray) -> Iterator[tuple[int, int]]:
    """Pairs of row numbers of images that share ground, the smaller first."""
    small = _small(images)
    size = scipy.fft.next_fast_len(2 * SIDE - 1)
    spectra = scipy.fft.rfft2(small, (size, size)).astype(np.complex64)
    shift = np.arange(1 - SIDE, SIDE)
    common = np.outer(SIDE - abs(shift), SIDE - abs(shift))
    rows, cols = np.nonzero(common > LEAST_SHARE * SIDE**2)
    pixels, places = common[rows, cols].astype(np.float32), (shift[rows] % size) * size + shift[cols] % size
    sums = np.stack([_overlap_sums(one)[rows, cols] for one in small]).astype(np.float32)
    squares = np.stack([_overlap_sums(one.astype(float) ** 2)[rows, cols] for one in small])
    deviations = np.sqrt(np.maximum(squares - sums.astype(float) ** 2 / pixels, 1e-3)).astype(np.float32)
    # The same shift seen from the other tile is its negative, which the flipped order holds.
    others_sums, others_deviations = sums[:, ::-1], deviations[:, ::-1]
    for first in range(len(small) - 1):
        for start in range(first + 1, len(small), TOGETHER):
            part = slice(start, start + TOGETHER)
            product = scipy.fft.irfft2(spectra[first] * np.conj(spectra[part]), (size, size)).reshape(-1, size * size)[:, places]
            covariance = product - sums[first] * others_sums[part] / pixels
            alike = (covariance > ALIKE * deviations[first] * others_deviations[part]).any(1)
            yield from ((first, int(second)) for second in start + np.flatnonzero(alike))


def thumbnails(images: np.ndarray) -> np.ndarray:
    """Images (N, SIDE, SIDE) float32 by which tiles are compared."""
    import cv2

    small = [cv2.resize(np.asarray(image, np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA) for image in images]
    return np.stack(small) if small else np.zeros((0, SIDE, SIDE), np.float32)


def _small(images: np.ndarray) -> np.ndarray:
    import cv2

    return np.stack([image - cv2.GaussianBlur(image, (0, 0), SMOOTH) for image in thumbnails(images)])


def _overlap_sums(image: np.ndarray) -> np.ndarray:
    """Sums (2 s − 1, 2 s − 1) over the part of an image that another one covers, shifted by 1 − s … s − 1 rows and columns."""
    total = np.zeros((SIDE + 1, SIDE + 1))
    total[1:, 1:] = image.cumsum(0).cumsum(1)
    shift = np.arange(1 - SIDE, SIDE)
    low, high = np.maximum(0, shift), np.minimum(SIDE, SIDE + shift)
    return total[np.ix_(high, high)] - total[np.ix_(low, high)] - total[np.ix_(high, low)] + total[np.ix_(low, low)]
