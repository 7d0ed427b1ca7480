"""The distance channel and the mid-level vector of the ejecta family."""

from __future__ import annotations

import numpy as np
import torch

FIXED_NORMS = {
    # (mode, log): offset, divisor. EJMAP leaves the distance as it is, (0, 1); these bring each mode's range to about [-1, 1].
    ("absolute", True): (5.5, 1.0),
    ("absolute", False): (1e6, 1e6),
    ("ratio", True): (1.0, 1.0),
    ("ratio", False): (20.0, 20.0),
    ("rank", False): (0.5, 0.2886751345948129),
}


def tile_distances_m(
    x, y, height, width, grid_size: int, resolution_m: float, size_px: int, device: torch.device | None = None
) -> torch.Tensor:
    """Ground distance of each pixel of azimuthal tiles from the crater, (N, S, S) float32 metres, made on a device."""
    ratio = (np.arange(size_px) + 0.5) / size_px
    across, down = (
        torch.from_numpy(np.asarray(start, float)[:, None] + np.asarray(length, float)[:, None] * ratio - grid_size / 2).to(device)
        for start, length in ((x, width), (y, height))
    )
    # Not hypot, which takes twice as long: no square of a distance on a body is out of range.
    return (torch.sqrt(across[:, None, :] ** 2 + down[:, :, None] ** 2) * resolution_m).float()


def distance_channel(distance_m: torch.Tensor, radius_m: np.ndarray, mode: str, log: bool) -> torch.Tensor:
    """The channel (N, S, S) as a row asks for it: ``absolute`` [m], ``ratio`` [crater radii] or ``rank`` [share of the tile's pixels].

    ``log`` takes log10 of the first two, of one metre or a thousandth of a radius at least.
    """
    if mode == "rank":
        flat = distance_m.flatten(1)
        order = flat.argsort(dim=1, stable=True).argsort(dim=1, stable=True)
        return ((order + 1).double() / flat.shape[1]).float().reshape(distance_m.shape)
    values = distance_m
    if mode == "ratio":
        values = distance_m / torch.from_numpy(np.asarray(radius_m, np.float32)).to(distance_m.device)[:, None, None]
    return values.clamp(min=1e-3 if mode == "ratio" else 1.0).log10() if log else values


def midinput_vector(annulus_mean: np.ndarray, radius_m: np.ndarray, mode: str, log: bool, band_offsets: np.ndarray) -> np.ndarray:
    """Mean band values of each crater's annulus and, for ``absolute``, its radius like the distance: (N, B) or (N, B + 1), raw.

    A crater whose annulus holds no data gets the bands' offsets, which normalise to zero.
    """
    means = np.where(np.isfinite(annulus_mean), annulus_mean, band_offsets)
    if mode != "absolute":
        return means.astype(np.float32)
    return np.column_stack([means, np.log10(radius_m) if log else radius_m]).astype(np.float32)
