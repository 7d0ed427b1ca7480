"""Copies and near-copies among chips: the same ground in another brightness, contrast, compression, or turned or mirrored.

A perceptual hash (low cosine coefficients) proposes pairs and a correlation decides. The hash never loses a pair: the scalar product of
two hashes, each with the length of what it leaves out as one more entry, is an upper bound of the correlation (Cauchy–Schwarz).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

SIDE_PX = 32
"""Chips are compared at this size."""
DETAIL_SIGMA_PX = 2.25
"""Shading wider than this is removed before detail is compared."""
HASH_SIDE = 12
FAINT = 1.0
"""Grey levels of deviation below which a chip has nothing to compare."""
BLOCK = 1024
Progress = Callable[[str, int, int], None]


def duplicate_groups(
    chips_NHW: np.ndarray, same_correlation: float = 0.95, same_detail: float = 0.8, progress: Progress | None = None
) -> np.ndarray:
    """A group number (N,) per chip: equal for chips that are copies of each other, directly or through others.

    Two chips (N, h, w), square, are copies if their correlation reaches ``same_correlation`` or that of their fine detail ``same_detail``,
    in any of the 8 orientations. Correlation is blind to brightness and contrast. Chips without any contrast are one group.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    pairs = [np.zeros((2, 0), np.int64)]
    small = _compared(chips_NHW)
    for signal, least in ((small, same_correlation), (detail(small), same_detail)):
        pairs += list(_alike(signal, least, progress))
    flat = np.flatnonzero(small.std(axis=(1, 2)) < FAINT)
    pairs.append(np.stack([flat[:-1], flat[1:]]))
    first, second = np.concatenate(pairs, axis=1)
    graph = coo_matrix((np.ones(len(first), bool), (first, second)), shape=(len(small), len(small)))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def detail(chips_NHW: np.ndarray) -> np.ndarray:
    """Chips without their shading: what is left after a Gaussian blur is subtracted."""
    from scipy.ndimage import gaussian_filter

    return chips_NHW - gaussian_filter(chips_NHW, (0, DETAIL_SIGMA_PX, DETAIL_SIGMA_PX))


def orientations(chips_NHW: np.ndarray) -> Iterator[np.ndarray]:
    """The chips turned by 0, 90, 180 and 270°, and the same mirrored."""
    for mirrored in (chips_NHW, chips_NHW[:, :, ::-1]):
        for turns in range(4):
            yield np.rot90(mirrored, turns, axes=(1, 2))


def _compared(chips_NHW: np.ndarray) -> np.ndarray:
    from .chipset import resized

    return np.stack([resized(chip, SIDE_PX) for chip in chips_NHW]).astype(np.float32)


def unit(chips_NHW: np.ndarray) -> np.ndarray:
    """Flat vectors (N, D) of mean 0 and length 1; 0 where a chip is faint."""
    flat = chips_NHW.reshape(len(chips_NHW), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.where(length < FAINT * np.sqrt(flat.shape[1]), 0, flat / np.maximum(length, 1e-12)).astype(np.float32)


def hashes(vectors_ND: np.ndarray) -> np.ndarray:
    """The lowest cosine coefficients of unit vectors and the length of all others, (N, HASH_SIDE² + 1)."""
    from scipy.fft import dctn

    coefficients = dctn(vectors_ND.reshape(-1, SIDE_PX, SIDE_PX), axes=(1, 2), norm="ortho")[:, :HASH_SIDE, :HASH_SIDE]
    low = coefficients.reshape(len(vectors_ND), -1)
    left_out = np.sqrt(np.maximum((vectors_ND**2).sum(axis=1) - (low**2).sum(axis=1), 0))
    return np.column_stack([low, left_out]).astype(np.float32)


def _alike(signal_NHW: np.ndarray, least: float, progress: Progress | None) -> Iterator[np.ndarray]:
    """Pairs (2, M), first < second, whose correlation reaches ``least`` in some orientation."""
    ours = unit(signal_NHW)
    our_hashes = hashes(ours)
    for number, turned in enumerate(orientations(signal_NHW)):
        theirs = unit(turned)
        their_hashes = hashes(theirs)
        for start in range(0, len(ours), BLOCK):
            if progress:
                progress("looking for copies", number * len(ours) + start, 8 * len(ours))
            bound = our_hashes[start : start + BLOCK] @ their_hashes[start:].T
            first, second = np.nonzero(bound >= least - 1e-4)
            first, second = (first + start)[second > first], (second + start)[second > first]
            same = np.einsum("nd,nd->n", ours[first], theirs[second]) >= least
            yield np.stack([first[same], second[same]])
