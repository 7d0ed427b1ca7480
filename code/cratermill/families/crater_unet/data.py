"""Training data: tiles as they lie on disk, targets drawn from their circles when they are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.utils.data import Dataset

from ...samples.augment import Augmenter, moved
from ...samples.sampler import EpochOrder, sample_seed
from ...training.cell import CellParams, Datasets
from ..craters_common.prepare import TileSet, folder_of
from ..craters_common.tiles import fitting, require_craters, require_parts, split_tiles, wanted

if TYPE_CHECKING:
    from ...config import Config
    from .hparams import Hparams

CONTRAST, BRIGHTNESS = (0.8, 1.25), 0.1


class Tiles(Dataset):
    """Raw tiles: ``image`` (1, h, w) float32, ``target`` (1, h, w) 0 or 1: the circles within the row's range, as it draws them."""

    def __init__(self, tiles: TileSet, rows: np.ndarray, hparams: Hparams, seed: int = 0, training: bool = False):
        self.tiles, self.rows, self.hparams, self.seed, self.training = tiles, rows, hparams, seed, training
        self.shape = hparams.shape()
        recipe = hparams.img_augment
        self.changes = {} if isinstance(recipe, bool) else {turns: Augmenter(turns, recipe) for turns in (False, True)}
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
            image, target = self._augmented(image, target, sample_seed(self.seed + 1, epoch, position))
        return {"image": torch.from_numpy(image[None]), "target": torch.from_numpy(target[None])}

    def _drawn(self, image: np.ndarray, circles: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """A random piece, where the row asks for pieces."""
        side = self.hparams.crop_px
        if side is None or side >= min(image.shape):
            return image, circles
        top, left = rng.integers(0, image.shape[0] - side + 1), rng.integers(0, image.shape[1] - side + 1)
        return image[top : top + side, left : left + side], circles - (left, top, 0)

    def _augmented(self, image: np.ndarray, target: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        if self.changes:
            changes = self.changes[image.shape[0] == image.shape[1]]  # only squares can be turned by right angles
            image = changes.colour(image[..., None], seed, self.tiles.meta["range"])[..., 0]
            image, target = changes.geometry([image, target], seed)
            return image, target
        rng = np.random.default_rng(seed)
        up, left, turns = bool(rng.integers(2)), bool(rng.integers(2)), int(rng.integers(4)) if image.shape[0] == image.shape[1] else 0
        image, target = moved(image, up, left, turns), moved(target, up, left, turns)
        low, high = self.tiles.meta["range"]
        mean = image.mean()
        shifted = (image - mean) * rng.uniform(*CONTRAST) + mean + rng.uniform(-BRIGHTNESS, BRIGHTNESS) * (high - low)
        return np.clip(shifted, low, high).astype(np.float32), target


def datasets(config: Config, params: CellParams, hparams: Hparams) -> Datasets:
    tiles = TileSet(folder_of(config, params.family, hparams.data))
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
