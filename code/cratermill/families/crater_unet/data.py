"""Training data: tiles as they lie on disk, targets drawn from their circles when they are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.utils.data import Dataset

from ...core.errors import InputError
from ...core.seeds import seed_of
from ...samples.augment import moved
from ...samples.sampler import EpochOrder, sample_seed
from ...samples.splits import held_out_tiles
from ...training.cell import CellParams, Datasets
from .prepare import TileSet, folder_of

if TYPE_CHECKING:
    from ...config import Config
    from .hparams import Hparams

CONTRAST, BRIGHTNESS = (0.8, 1.25), 0.1


class Tiles(Dataset):
    """Raw tiles: ``image`` (1, h, w) float32, ``target`` (1, h, w) 0 or 1: the circles within the row's range, as it draws them."""

    def __init__(self, tiles: TileSet, rows: np.ndarray, hparams: Hparams, seed: int = 0, training: bool = False):
        self.tiles, self.rows, self.hparams, self.seed, self.training = tiles, rows, hparams, seed, training
        self.shape = hparams.shape()
        self.resolution_m = tiles.tiles["resolution_m"].to_numpy(float)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: int | tuple[int, int, int]) -> dict[str, torch.Tensor]:
        epoch, position, index = key if isinstance(key, tuple) else (0, 0, key)
        row = self.rows[index]
        image = np.asarray(self.tiles.image[row], np.float32)
        circles = wanted(self.tiles.circles[row], self.hparams, self.resolution_m[row])
        if self.training:
            image, circles = self._drawn(image, circles, np.random.default_rng(sample_seed(self.seed, epoch, position)))
        image, height, width = fitting(image, self.hparams.divisor)
        # Mirrored like the image: what is seen there must not be called wrong.
        target, *_ = fitting(self.shape.draw(circles, (height, width)).astype(np.float32), self.hparams.divisor)
        if self.training and self.hparams.img_augment:
            image, target = self._augmented(image, target, np.random.default_rng(sample_seed(self.seed + 1, epoch, position)))
        return {"image": torch.from_numpy(image[None]), "target": torch.from_numpy(target[None])}

    def _drawn(self, image: np.ndarray, circles: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """A random piece, where the row asks for pieces."""
        side = self.hparams.crop_px
        if side is None or side >= min(image.shape):
            return image, circles
        top, left = rng.integers(0, image.shape[0] - side + 1), rng.integers(0, image.shape[1] - side + 1)
        return image[top : top + side, left : left + side], circles - (left, top, 0)

    def _augmented(self, image: np.ndarray, target: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        up, left, turns = bool(rng.integers(2)), bool(rng.integers(2)), int(rng.integers(4)) if image.shape[0] == image.shape[1] else 0
        image, target = moved(image, up, left, turns), moved(target, up, left, turns)
        low, high = self.tiles.meta["range"]
        mean = image.mean()
        shifted = (image - mean) * rng.uniform(*CONTRAST) + mean + rng.uniform(-BRIGHTNESS, BRIGHTNESS) * (high - low)
        return np.clip(shifted, low, high).astype(np.float32), target


def wanted(circles: np.ndarray, hparams: Hparams, resolution_m: float) -> np.ndarray:
    """The circles (N, 3) within the row's range of sizes."""
    low, high = radii_px(hparams, resolution_m)
    return circles[(circles[:, 2] >= low) & (circles[:, 2] <= high)]


def radii_px(hparams: Hparams, resolution_m: float) -> tuple[float, float]:
    low, high = hparams.radii_px(resolution_m)
    if not np.isfinite(low):
        raise InputError(
            f"size_unit is {hparams.size_unit}, but nobody says how large the tiles' pixels are",
            valid="train.crater_unet.data.pixel_m, in metres",
            next_step="add it to the config, or give sizes as radius_px",
        )
    return low, high


def fitting(image: np.ndarray, divisor: int) -> tuple[np.ndarray, int, int]:
    """The image mirrored beyond its right and lower edges up to sides that the network takes, and its own height and width."""
    height, width = image.shape
    right, below = -width % divisor, -height % divisor
    if right or below:
        image = np.pad(image, ((0, below), (0, right)), mode="reflect" if max(right, below) < min(image.shape) else "symmetric")
    return np.ascontiguousarray(image), height, width


def split_tiles(tiles: TileSet, params: CellParams, hparams: Hparams) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Numbers of the training, validation and test tiles of a cell."""
    tv, test = tiles.split(params.split)
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
            next_step="lower tile_px in train.crater_unet.data, or give more images",
        )


def datasets(config: Config, params: CellParams, hparams: Hparams) -> Datasets:
    tiles = TileSet(folder_of(config, hparams.data))
    require_craters(tiles, hparams)
    train, val, test = split_tiles(tiles, params, hparams)
    require_parts(train, val, test)
    return Datasets(
        train=Tiles(tiles, train, hparams, params.seed, training=True),
        val=Tiles(tiles, val, hparams),
        test=Tiles(tiles, test, hparams),
        sampler=EpochOrder(len(train), params.seed),
        norm=tiles.norm,
    )


def require_craters(tiles: TileSet, hparams: Hparams) -> None:
    """Raise ``InputError`` where no tile has a crater of the row's sizes, or all craters are larger than a tile."""
    resolution = tiles.tiles["resolution_m"].to_numpy(float)
    low, high = radii_px(hparams, float(resolution[0]))
    side = min(tiles.image.shape[1:])
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
