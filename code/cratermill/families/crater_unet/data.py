"""Training data: tiles as they lie on disk, targets drawn from their circles when they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.utils.data import Dataset

from ...core.notices import notice
from ...samples.augment import Augmenter, Moves, moved
from ...samples.batch_augment import BatchAugmenter, Changes
from ...samples.sampler import EpochOrder, sample_seed
from ...training.cell import CellParams, Datasets
from ..craters_common.prepare import TileSet, folder_of
from ..craters_common.tiles import fitting, require_craters, require_parts, split_tiles, wanted

if TYPE_CHECKING:
    from ...config import Config
    from ...samples.recipe import Recipe
    from .hparams import Hparams

CONTRAST, BRIGHTNESS = (0.8, 1.25), 0.1


Light = tuple[float, float]
"""Factor of the contrast and addend, the latter as a share of the range of values."""


class Tiles(Dataset):
    """Raw tiles: ``image`` (1, h, w) float32, ``target`` (1, h, w) 0 or 1: the circles within the row's range, as it draws them."""

    def __init__(self, tiles: TileSet, rows: np.ndarray, hparams: Hparams, seed: int = 0, training: bool = False):
        self.tiles, self.rows, self.hparams, self.seed, self.training = tiles, rows, hparams, seed, training
        self.shape = hparams.shape()
        recipe = hparams.img_augment
        self.changes = {} if isinstance(recipe, bool) else {turns: Augmenter(turns, recipe) for turns in (False, True)}
        self.resolution_m = tiles.tiles["resolution_m"].to_numpy(float)

    def __len__(self) -> int:
        return len(self.rows) * (self.hparams.pieces_per_tile if self.training and self.crops else 1)

    def __getitem__(self, key: int | tuple[int, int, int]) -> dict[str, torch.Tensor]:
        epoch, position, index = key if isinstance(key, tuple) else (0, 0, key)
        row = self.rows[index % len(self.rows)]
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

    @property
    def crops(self) -> bool:
        """Whether random pieces are taken for training."""
        side = self.hparams.crop_px
        return side is not None and side < min(self.tiles.image.shape[1:])

    @property
    def square(self) -> bool:
        height, width = (length + -length % self.hparams.divisor for length in self.tiles.image.shape[1:])
        return self.crops or height == width

    def _drawn(self, image: np.ndarray, circles: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """A random piece, where the row asks for pieces."""
        side = self.hparams.crop_px
        if side is None or not self.crops:
            return image, circles
        top, left = rng.integers(0, image.shape[0] - side + 1), rng.integers(0, image.shape[1] - side + 1)
        return image[top : top + side, left : left + side], circles - (left, top, 0)

    def _augmented(self, image: np.ndarray, target: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        if self.changes:
            changes = self.changes[image.shape[0] == image.shape[1]]  # only squares can be turned by right angles
            image = changes.colour(image[..., None], seed, self.tiles.meta["range"])[..., 0]
            image, target = changes.geometry([image, target], seed)
            return image, target
        moves, (factor, addend) = drawn_look(seed, image.shape[0] == image.shape[1])
        image, target = moved(image, *moves), moved(target, *moves)
        low, high = self.tiles.meta["range"]
        mean = image.mean()
        shifted = (image - mean) * factor + mean + addend * (high - low)
        return np.clip(shifted, low, high).astype(np.float32), target


def drawn_look(seed: int, square: bool) -> tuple[Moves, Light]:
    """What img_augment True does to a tile."""
    rng = np.random.default_rng(seed)
    moves = bool(rng.integers(2)), bool(rng.integers(2)), int(rng.integers(4)) if square else 0
    return moves, (rng.uniform(*CONTRAST), rng.uniform(-BRIGHTNESS, BRIGHTNESS))


def for_batches(wanted: bool | Recipe, seed: int, value_range: tuple[float, float], square: bool) -> BatchAugmenter | None:
    """What does to batches of tiles what :class:`Tiles` does to single ones."""
    low, high = value_range

    def light(images: torch.Tensor, seeds: Sequence[int]) -> torch.Tensor:
        drawn = np.array([drawn_look(one, square)[1] for one in seeds], np.float32)
        factor, addend = torch.from_numpy(drawn).to(images.device, non_blocking=True).T.reshape(2, -1, 1, 1, 1)
        mean = images.mean(dim=(1, 2, 3), keepdim=True)
        return ((images - mean) * factor + mean + addend * (high - low)).clamp(low, high)

    if wanted is False:
        return None
    if wanted is True:
        return BatchAugmenter(seed + 1, light, lambda one: drawn_look(one, square)[0], 1)
    moves = Augmenter(square, wanted).drawn_moves if wanted.moves else None
    return BatchAugmenter(seed + 1, Changes(wanted, value_range, whole=False), moves, 1)


def warn_of_pieces(tiles: TileSet, hparams: Hparams) -> None:
    """Say how many craters are wider than the pieces that are learnt from: parts of them look like ground."""
    side = hparams.crop_px
    if side is None or side >= min(tiles.image.shape[1:]):
        return
    resolution = tiles.tiles["resolution_m"].to_numpy(float)
    radius = np.concatenate([wanted(circles, hparams, resolution[row])[:, 2] for row, circles in enumerate(tiles.circles)])
    if wide := int((2 * radius > side).sum()):
        notice(
            f"crater_unet version {hparams.version}: {wide} of {len(radius)} craters are wider than the pieces of {side} px that are "
            "learnt from, which show parts of them that look like ground; lower size_max or raise crop_px"
        )


def datasets(config: Config, params: CellParams, hparams: Hparams) -> Datasets:
    tiles = TileSet(folder_of(config, params.family, hparams.data))
    require_craters(tiles, hparams)
    train, val, test = split_tiles(tiles, params, hparams)
    require_parts(train, val, test)
    warn_of_pieces(tiles, hparams)
    on_device = config.run.trainer.augment_on == "device"
    drawn_as = hparams.model_copy(update={"img_augment": False}) if on_device else hparams
    learning = Tiles(tiles, train, drawn_as, params.seed, training=True)
    return Datasets(
        train=learning,
        val=Tiles(tiles, val, hparams),
        test=Tiles(tiles, test, hparams),
        sampler=EpochOrder(len(learning), params.seed),
        norm=tiles.norm,
        augment=for_batches(hparams.img_augment, params.seed, tiles.meta["range"], learning.square) if on_device else None,
        fixed=not learning.crops and not drawn_as.img_augment,
    )
