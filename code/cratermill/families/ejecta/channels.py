"""The distance channel and the mid-level vector of the ejecta family."""

from __future__ import annotations

import numpy as np

FIXED_NORMS = {
    # (mode, log): offset, divisor. EJMAP leaves the distance as it is, (0, 1); these bring each mode's range to about [-1, 1].
    ("absolute", True): (5.5, 1.0),
    ("absolute", False): (1e6, 1e6),
    ("ratio", True): (1.0, 1.0),
    ("ratio", False): (20.0, 20.0),
    ("rank", False): (0.5, 0.2886751345948129),
}


def tile_distances_m(x, y, height, width, grid_size: int, resolution_m: float, size_px: int) -> np.ndarray:
    """Ground distance of each pixel of azimuthal tiles from the crater, (N, S, S) float32 metres."""
    ratio = (np.arange(size_px) + 0.5) / size_px
    across = np.asarray(x, float)[:, None] + np.asarray(width, float)[:, None] * ratio - grid_size / 2
    down = np.asarray(y, float)[:, None] + np.asarray(height, float)[:, None] * ratio - grid_size / 2
    return (np.hypot(across[:, None, :], down[:, :, None]) * resolution_m).astype(np.float32)


def distance_channel(distance_m: np.ndarray, radius_m: np.ndarray, mode: str, log: bool) -> np.ndarray:
    """The channel (N, S, S) as a row asks for it: ``absolute`` [m], ``ratio`` [crater radii] or ``rank`` [share of the tile's pixels].

    ``log`` takes log10 of the first two, of one metre or a thousandth of a radius at least.
    """
    if mode == "rank":
        flat = distance_m.reshape(len(distance_m), -1)
        order = flat.argsort(1, kind="stable").argsort(1, kind="stable")
        return ((order + 1) / flat.shape[1]).reshape(distance_m.shape).astype(np.float32)
    values = distance_m / np.asarray(radius_m, np.float32)[:, None, None] if mode == "ratio" else distance_m
    return np.log10(np.maximum(values, 1e-3 if mode == "ratio" else 1.0)) if log else values


def midinput_vector(annulus_mean: np.ndarray, radius_m: np.ndarray, mode: str, log: bool, band_offsets: np.ndarray) -> np.ndarray:
    """Mean band values of each crater's annulus and, for ``absolute``, its radius like the distance: (N, B) or (N, B + 1), raw.

    A crater whose annulus holds no data gets the bands' offsets, which normalise to zero.
    """
    means = np.where(np.isfinite(annulus_mean), annulus_mean, band_offsets)
    if mode != "absolute":
        return means.astype(np.float32)
    return np.column_stack([means, np.log10(radius_m) if log else radius_m]).astype(np.float32)
