"""Which tiles and which of their craters a row is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np

from ...core.errors import InputError
from ...core.notices import notice
from ...core.seeds import seed_of

if TYPE_CHECKING:
    from ...training.cell import CellParams
    from .prepare import TileSet
    from .sizes import SizedHparams

Row = TypeVar("Row", bound="SizedHparams")


class Sizes(Protocol):
    """The part of a row that says which craters it is about."""

    @property
    def version(self) -> int: ...
    @property
    def size_unit(self) -> str: ...
    @property
    def val_frac(self) -> float: ...
    def radii_px(self, resolution_m: float) -> tuple[float, float]: ...


def wanted(circles: np.ndarray, hparams: Sizes, resolution_m: float) -> np.ndarray:
    """The circles (N, 3) within the row's range of sizes."""
    low, high = radii_px(hparams, resolution_m)
    return circles[(circles[:, 2] >= low) & (circles[:, 2] <= high)]


def radii_px(hparams: Sizes, resolution_m: float) -> tuple[float, float]:
    low, high = hparams.radii_px(resolution_m)
    if not np.isfinite(low):
        raise InputError(
            f"size_unit is {hparams.size_unit}, but nobody says how large the tiles' pixels are",
            valid="train.<family>.data.pixel_m, in metres",
            next_step="add it to the config, or give sizes as radius_px",
        )
    return low, high


def judged_row(tiles: TileSet, row: Row) -> Row:
    """The row with its smallest size raised to where the list of these tiles ends: what is found below is right as often as the ground
    says, and would count as wrong."""
    from ...craters.frequencies import list_end

    low, high = radii_px(row, float(tiles.tiles["resolution_m"].iloc[0]))
    end = list_end(np.concatenate(tiles.circles)[:, 2])
    if end <= low or end >= high:
        return row
    notice(f"version {row.version}: the list has next to no craters below a radius of {end:.3g} px; scores and thresholds begin there")
    return row.model_copy(update={"size_min": end, "size_max": high, "size_unit": "radius_px"})


def fitting(image: np.ndarray, divisor: int) -> tuple[np.ndarray, int, int]:
    """The image mirrored beyond its right and lower edges up to sides that the network takes, and its own height and width."""
    height, width = image.shape
    right, below = -width % divisor, -height % divisor
    if right or below:
        image = np.pad(image, ((0, below), (0, right)), mode="reflect" if max(right, below) < min(image.shape) else "symmetric")
    return np.ascontiguousarray(image), height, width


def split_tiles(tiles: TileSet, params: CellParams, hparams: Sizes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Numbers of the training, validation and test tiles of a cell."""
    from ...samples.splits import held_out_tiles

    tv, named, test = tiles.split(params.split)
    if len(named):
        return tv, named, test
    seed = seed_of(params.seed, "validation")
    turn = (seed % 997) / 997
    validation = held_out_tiles(tiles.tiles.iloc[tv].reset_index(drop=True), hparams.val_frac, seed, tiles.meta["by_place"], turn)
    return tv[~validation], tv[validation], test


def require_parts(*parts: np.ndarray) -> None:
    if not all(map(len, parts)):
        given = ", ".join(f"{len(part)} {name}" for part, name in zip(parts, ("to train", "to validate", "to test"), strict=True))
        raise InputError(
            f"{sum(map(len, parts))} tiles are too few to share out: {given}",
            valid="at least one of each",
            next_step="lower tile_px in train.<family>.data, or give more images",
        )


def require_craters(tiles: TileSet, hparams: Sizes) -> None:
    """Raise ``InputError`` where no tile has a crater of the row's sizes, or all craters are larger than a tile."""
    resolution = tiles.tiles["resolution_m"].to_numpy(float)
    low, high = radii_px(hparams, float(resolution[0]))
    side = min(tiles.image.shape[-2:])
    if low > side:
        raise InputError(
            f"version {hparams.version} looks for radii of {low:.4g} to {high:.4g} px in tiles of {side} px",
            valid="craters that are smaller than the tile",
            next_step="correct size_min and size_unit, or cut larger tiles",
        )
    if not any(len(wanted(circles, hparams, resolution[row])) for row, circles in enumerate(tiles.circles)):
        radius = np.concatenate(tiles.circles)[:, 2]
        raise InputError(
            f"no tile has a crater of radius {low:.4g} to {high:.4g} px; theirs run from {radius.min():.4g} to {radius.max():.4g} px",
            valid="sizes that occur",
            next_step="correct size_min, size_max and size_unit of the row, or the units of the catalogue",
        )


def starts(length: int, side: int, step: int) -> list[int]:
    """Where windows of a side begin that cover a length, at most ``step`` apart; the last one ends where the length does."""
    if length <= side:
        return [0]
    count = -(-(length - side) // step)
    return [round(number * (length - side) / count) for number in range(count + 1)]
