"""Clusters of pixels, found from runs of equal pixels along rows: cost and memory follow the outlines, not the area."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


def denoise(mask: np.ndarray, min_size: int) -> np.ndarray:
    """A mask (h, w) bool without clusters of fewer than ``min_size`` pixels, and with holes smaller than that filled.

    Pixels that share a side belong together. What lies outside the mask counts as one with the emptiness at its edge. The order is EJMAP's:
    clusters first, then holes. With ``min_size`` of at most 1 the mask is returned as it is.
    """
    if min_size <= 1 or not mask.any():
        return mask
    kept = mask.copy()
    _set(kept, _small(kept, min_size), False)
    # One empty pixel all around, so that the outside is one cluster, the first.
    rows, starts, stops = _small(np.pad(~kept, 1, constant_values=True), min_size, spare_first=True)
    _set(kept, (rows - 1, starts - 1, stops - 1), True)
    return kept


def _small(mask: np.ndarray, min_size: int, spare_first: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, first and last columns (exclusive) of the runs of clusters below ``min_size``, but the first cluster's if it is spared."""
    stride, (starts, stops) = mask.shape[1] + 1, runs(mask)
    label = components(starts, stops, stride)
    small = np.bincount(label, weights=stops - starts) < min_size
    if spare_first and len(small):
        small[label[0]] = False
    chosen = small[label] if len(label) else np.zeros(0, bool)
    rows = starts[chosen] // stride
    return rows, starts[chosen] - rows * stride, stops[chosen] - rows * stride


def runs(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Starts and ends (exclusive) of the runs of True, counted along rows that have one more, empty column at their end."""
    flat = np.zeros((mask.shape[0], mask.shape[1] + 1), bool)
    flat[:, :-1] = mask
    edges = np.flatnonzero(np.diff(flat.ravel(), prepend=False))
    return edges[::2], edges[1::2]


def components(starts: np.ndarray, stops: np.ndarray, stride: int) -> np.ndarray:
    """The cluster of each run: runs of neighbouring rows belong together where their columns meet."""
    first = np.searchsorted(stops, starts - stride, side="right")
    last = np.searchsorted(starts, stops - stride, side="left")
    counts = np.maximum(last - first, 0)
    lower = np.repeat(np.arange(len(starts)), counts)
    upper = np.arange(len(lower)) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(first, counts)
    graph = coo_array((np.ones(len(lower), bool), (lower, upper)), shape=(len(starts), len(starts)))
    return connected_components(graph, directed=False)[1]


def _set(mask: np.ndarray, found: tuple[np.ndarray, np.ndarray, np.ndarray], value: bool) -> None:
    rows, starts, stops = found
    lengths = stops - starts
    ends = np.cumsum(lengths)
    cols = np.arange(int(lengths.sum())) - np.repeat(ends - lengths, lengths) + np.repeat(starts, lengths)
    mask[np.repeat(rows, lengths), cols] = value
