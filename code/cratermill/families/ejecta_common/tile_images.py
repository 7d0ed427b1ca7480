"""How a network sees tiles: the segmenter one square, the classifier the crater and a tile together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from affine import Affine

from ...geo.grid import Grid
from ...geo.sampling import sample_many_masked, sample_masked
from .tile_positions import window_of

if TYPE_CHECKING:
    import torch

    from ...geo.mosaic import Mosaic
    from .craters import Crater

CRATER, TILE = 1, 2
"""Values of the attention channel."""

Bare = Sequence[float] | np.ndarray | None
"""A value per band for images in which a band is missing altogether; None: 0."""
Images = Any
"""Arrays in the mosaic's dtype, or of a device that was asked for float32 tensors on it."""


def tile_grids(grid: Grid, table: pd.DataFrame, size_px: int) -> list[Grid]:
    """The grids of azimuthal tiles, each resampled to ``size_px`` squared."""
    return [grid.window(window_of(row)).resized((size_px, size_px)) for row in table.itertuples()]


def square_images(
    mosaic: Mosaic, grid: Grid, table: pd.DataFrame, size_px: int, bare_C: Bare = None, device: torch.device | None = None
) -> Images:
    """Images of azimuthal tiles (N, B, S, S); ``bare_C``: see :func:`ground`. ``device``: where they are sampled and stay, None: here."""
    if table.empty:
        return np.zeros((0, mosaic.count, size_px, size_px), mosaic.dtype)
    return _tiles(mosaic, tile_grids(grid, table, size_px), bare_C, device)


def ground(pixels: np.ndarray, missing: np.ndarray | None, bare_C: Bare) -> np.ndarray:
    """Images (..., C, h, w) without the values that stand for missing pixels, which a network would take for depths or brightness.

    Such pixels become the mean of their image's band, or ``bare_C`` (default 0) where the whole band is missing. Bytes stay: what stands
    for missing pixels is a grey like others there, and published networks have learned with it.
    """
    if missing is None or pixels.dtype == np.uint8:
        return pixels
    missing = np.broadcast_to(missing, pixels.shape)
    there = ~missing
    count = there.sum((-2, -1))
    total = np.where(there, pixels, 0).sum((-2, -1), dtype=np.float64)
    bare = np.broadcast_to(0.0 if bare_C is None else np.asarray(bare_C, float), count.shape)
    mean = np.where(count > 0, total / np.maximum(count, 1), bare)
    if pixels.dtype.kind != "f":
        mean = np.rint(mean)
    return np.where(missing, mean[..., None, None], pixels).astype(pixels.dtype)


def _tiles(mosaic: Mosaic, grids: list[Grid], bare_C: Bare, device: torch.device | None) -> Images:
    if device is None:
        return ground(*sample_many_masked(mosaic, grids), bare_C)
    from ...samples.device_tiles import on_device, sent

    tiles, missing = on_device(mosaic, grids, device)
    if missing is None or mosaic.dtype == np.uint8:
        return tiles
    # There is one rule for pixels without data, and few tiles have any.
    pixels = tiles.cpu().numpy().astype(mosaic.dtype)
    return sent(ground(pixels, missing.cpu().numpy(), bare_C).astype(np.float32), device)


def pair_images(
    mosaic: Mosaic,
    crater: Crater,
    table: pd.DataFrame,
    layout: str,
    size_px: int,
    view_radii: float,
    bare_C: Bare = None,
    device: torch.device | None = None,
) -> tuple[Images, np.ndarray]:
    """Images (N, B, S/2, S) and attention (N, S/2, S) of crater and tile together.

    ``pair``: the crater's neighbourhood (``view_radii`` crater radii to each side) at the left, the tile at the right.
    ``corridor``: the ground along the great circle from crater to tile, as wide as the tile, the crater at the left.
    ``bare_C``: see :func:`ground`; ``device``: see :func:`square_images`.
    """
    if table.empty:
        shape = (0, mosaic.count, size_px // 2, size_px)
        return np.zeros(shape, mosaic.dtype), np.zeros((0, *shape[2:]), np.uint8)
    if layout == "corridor":
        return _corridor(mosaic, crater, table, size_px, bare_C, device)
    return _pair(mosaic, crater, table, size_px, view_radii, bare_C, device)


def _pair(
    mosaic: Mosaic,
    crater: Crater,
    table: pd.DataFrame,
    size_px: int,
    view_radii: float,
    bare_C: Bare,
    device: torch.device | None,
) -> tuple[Images, np.ndarray]:
    half = size_px // 2
    grid = crater.grid(mosaic.grid)
    view = neighbourhood(grid, crater.radius_m * view_radii, half)
    tiles = _tiles(mosaic, [view, *tile_grids(grid, table, half)], bare_C, device)
    # (N, 2, B, S/2, S/2), the crater's first, laid side by side.
    both = tiles[np.column_stack([np.zeros(len(table), int), np.arange(len(table)) + 1])]
    images = both.swapaxes(1, 2).swapaxes(2, 3).reshape(len(table), mosaic.count, half, size_px)
    attention = np.full((len(table), half, size_px), CRATER, np.uint8)
    attention[..., half:] = TILE
    return images, attention


def neighbourhood(grid: Grid, half_side_m: float, size_px: int) -> Grid:
    """A square of the azimuthal grid around the crater itself, at least two mosaic pixels to each side."""
    half_side_m = max(half_side_m, 2 * grid.resolution_m)
    return _metric_grid(
        grid, Affine(2 * half_side_m / size_px, 0, -half_side_m, 0, -2 * half_side_m / size_px, half_side_m), (size_px, size_px)
    )


def _corridor(
    mosaic: Mosaic, crater: Crater, table: pd.DataFrame, size_px: int, bare_C: Bare, device: torch.device | None
) -> tuple[Images, np.ndarray]:
    grid, shape = crater.grid(mosaic.grid), (size_px // 2, size_px)
    grids, attention = zip(*(_corridor_grid(grid, row, crater.radius_m, shape) for row in table.itertuples()), strict=True)
    return _tiles(mosaic, list(grids), bare_C, device), np.stack(attention)


def _corridor_grid(grid: Grid, row, radius_m: float, shape: tuple[int, int]) -> tuple[Grid, np.ndarray]:
    """A rotated grid whose rows run from behind the crater to beyond the tile, and where crater and tile lie in it."""
    centre = grid.shape[1] / 2
    tile = np.array([row.x + row.width / 2 - centre, centre - row.y - row.height / 2]) * grid.resolution_m
    distance, width = float(np.hypot(*tile)), row.width * grid.resolution_m
    angle = math.degrees(math.atan2(tile[1], tile[0])) if distance > 0 else 0.0
    begin, end = -max(radius_m, width / 2), max(distance + width / 2, radius_m)
    along, across = (end - begin) / shape[1], width / shape[0]
    transform = Affine.rotation(angle) @ Affine(along, 0, begin, 0, -across, width / 2)
    position = begin + (np.arange(shape[1]) + 0.5) * along
    sideways = (shape[0] / 2 - np.arange(shape[0]) - 0.5)[:, None] * across
    attention = np.where(np.hypot(position[None], sideways) <= radius_m, CRATER, 0).astype(np.uint8)
    attention[:, np.abs(position - distance) <= width / 2] = TILE
    return _metric_grid(grid, transform, shape), attention


def _metric_grid(grid: Grid, transform: Affine, shape: tuple[int, int]) -> Grid:
    """Another raster of the same azimuthal plane, whose origin (0, 0) m is the crater."""
    return Grid(grid.plane, transform, shape)


def annulus_mean(mosaic: Mosaic, crater: Crater, bounds: tuple[float, float]) -> np.ndarray:
    """Mean of each band (B,) between two distances in crater radii; missing pixels left out, NaN if none is left.

    The annulus is read at 64 to 256 pixels across: enough for a mean, whatever the crater's size.
    """
    grid = crater.grid(mosaic.grid)
    reach_m = bounds[1] * crater.radius_m
    size = int(np.clip(math.ceil(2 * reach_m / grid.resolution_m), 64, 256))
    view = neighbourhood(grid, reach_m, size)
    pixels, missing = sample_masked(mosaic, view)
    values = pixels.astype(np.float64)
    step = 2 * max(reach_m, 2 * grid.resolution_m) / size
    axis = (np.arange(size) + 0.5) * step - step * size / 2
    distance = np.hypot(axis[None], axis[:, None])
    inside = (distance >= bounds[0] * crater.radius_m) & (distance <= max(reach_m, step)) & np.isfinite(values).all(0)
    if missing is not None:
        inside &= ~missing.any(0)
    return values[:, inside].mean(1) if inside.any() else np.full(mosaic.count, np.nan)
