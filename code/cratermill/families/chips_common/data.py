"""The chips of one cell: which train with a label, which without, which validate and which test."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch.utils.data import Dataset

from ...core.errors import InputError
from ...core.seeds import seed_of
from ...samples.augment import Augmenter, Moves, moved
from ...samples.batch_augment import BatchAugmenter, Changes
from ...samples.sampler import build_augmenter, sample_seed
from .. import family_data
from .chipset import UNLABELLED
from .prepare import LABELLED, PREDICT, TEST, ChipFolder
from .splits import draw_labels, held_out

if TYPE_CHECKING:
    from ...config import Config
    from ...samples.recipe import Recipe
    from ...training.cell import CellParams
    from .hparams import ChipHparams

Key = int | tuple[int, int, int]
OTHER_BITS = 8
"""By so many bits a sample's seed is shifted for its unlabelled chip."""


@dataclass(frozen=True)
class CellChips:
    """Row numbers of the chips' table. ``unlabelled`` are those whose label training doesn't know, whether it exists or not."""

    labelled: np.ndarray
    unlabelled: np.ndarray
    val: np.ndarray
    test: np.ndarray


def cell_chips(
    table: pd.DataFrame, classes: Sequence[str], split: int, iteration: int, run_seed: int, val_frac: float, labels: int | None
) -> CellChips:
    """The parts of one cell. They follow from the run's seed, split and iteration alone, so that rows and families draw alike.

    Raises ``InputError`` for a split that prepare didn't make, and for more labels than there are.
    """
    column = f"test_{split}"
    if column not in table:
        raise InputError(
            f"split {split} is not among the prepared ones",
            valid=", ".join(name.removeprefix("test_") for name in table.columns if name.startswith("test_")),
            next_step="raise splits.count in the config and prepare again, or correct the row's test-set",
        )
    role, label, group, side = (table[name].to_numpy() for name in ("role", "label", "group", column))
    known = np.where(np.isin(role, (LABELLED, TEST)), label, UNLABELLED)
    trains = np.flatnonzero(side == 0)
    validates = held_out(known[trains], group[trains], val_frac, seed_of(run_seed, "chips", "validation", split, iteration))
    pool, val = trains[~validates], trains[validates & (role[trains] == LABELLED)]
    pool_labels = np.where(role[pool] == LABELLED, label[pool], UNLABELLED)
    draw = draw_labels(pool_labels, group[pool], labels, classes, seed_of(run_seed, "chips", "labels", split, iteration))
    return CellChips(pool[draw], np.setdiff1d(pool, pool[draw]), val, np.flatnonzero(side == 1))


def parts_of(config: Config, params: CellParams, hparams: ChipHparams) -> tuple[ChipFolder, np.ndarray, CellChips]:
    """The chips' folder, their images (N, s, s) and the parts of this cell."""
    folder, classes = ChipFolder(config.data.family(params.family)), family_data(config, params.family).classes
    require_class_count(hparams, classes)
    chips = cell_chips(folder.rows, classes, params.split, params.iteration, config.run.seed, hparams.val_frac, hparams.labels)
    return folder, np.asarray(folder.images(hparams.chip_size_px)), chips


def to_predict(table: pd.DataFrame) -> np.ndarray:
    return np.flatnonzero(table["role"].to_numpy() == PREDICT)


def require_unlabelled(chips: CellChips, row: ChipHparams) -> None:
    if row.needs_unlabelled and not len(chips.unlabelled):
        raise InputError(
            f"version {row.version} learns from unlabelled chips, but there are none: all {len(chips.labelled)} are labelled",
            valid="unlabelled chips, or a row that hides labels",
            next_step="name some below data.unlabelled, or set the row's labels to fewer than there are",
        )


def require_class_count(row: ChipHparams, classes: Sequence[str]) -> None:
    if row.class_count != len(classes):
        raise InputError(
            f"version {row.version} has {row.class_count} classes, data.classes names {len(classes)}",
            valid="the same number; chip_classifier has two, rows of sgan as many as their column classes says",
            next_step="correct data.classes or the row",
        )


def require_drawable(config: Config, family: str, rows: Iterable[ChipHparams]) -> None:
    """Raise ``InputError`` before anything is queued where a row's splits or labels can't be drawn from the prepared chips."""
    table, run, classes = ChipFolder(config.data.family(family)).rows, config.run.train[family], family_data(config, family).classes
    for row in rows:
        require_class_count(row, classes)
        for split in run.splits_of(row):
            chips = cell_chips(table, classes, split, 0, config.run.seed, row.val_frac, row.labels)
            require_unlabelled(chips, row)


def one_hot(labels: np.ndarray, classes: int) -> np.ndarray:
    return np.eye(classes, dtype=np.float32)[labels]


class Chips(Dataset):
    """``image`` (1, s, s) float32, grey 0–255; ``target`` (K,) float32 probabilities.

    ``augment``: a row's img_augment, drawn by ``seed``.
    """

    def __init__(self, images_NHW: np.ndarray, targets_NK: np.ndarray, seed: int = 0, augment: bool | Recipe = False):
        self.images, self.targets, self.seed, self.changes = images_NHW, targets_NK, seed, build_augmenter(True, augment)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, key: Key) -> dict[str, torch.Tensor]:
        epoch, position, index = key if isinstance(key, tuple) else (0, 0, key)
        image = as_tensor(self.images[index], sample_seed(self.seed, epoch, position), self.changes)
        return {"image": image, "target": torch.from_numpy(self.targets[index])}


class Mixed(Dataset):
    """Every unlabelled chip (``unlabelled``) together with a labelled one (``image``, ``target``) drawn at random, classes alike."""

    def __init__(self, unlabelled_NHW: np.ndarray, labelled: Chips, seed: int):
        self.unlabelled, self.labelled, self.seed = unlabelled_NHW, labelled, seed
        numbers = labelled.targets.argmax(axis=1)
        self.members = [np.flatnonzero(numbers == number) for number in range(labelled.targets.shape[1])]

    def __len__(self) -> int:
        return len(self.unlabelled)

    def __getitem__(self, key: Key) -> dict[str, torch.Tensor]:
        epoch, position, index = key if isinstance(key, tuple) else (0, 0, key)
        drawn = sample_seed(self.seed, epoch, position)
        members = self.members[position % len(self.members)]
        one = self.labelled[epoch, position, int(members[drawn % len(members)])]
        return {**one, "unlabelled": as_tensor(self.unlabelled[index], drawn >> OTHER_BITS, self.labelled.changes)}


def as_tensor(chip_HW: np.ndarray, seed: int, changes: Augmenter | None = None) -> torch.Tensor:
    """A chip (1, s, s) float32; with ``changes`` in an orientation, and by a recipe in a light, that follow from the seed."""
    if changes is not None and changes.recipe is not None:
        chip_HW = changes.colour(chip_HW[..., None], seed)[..., 0]
    if changes is not None and changes.moves:
        chip_HW = moved(chip_HW, *drawn_moves(seed))
    return torch.from_numpy(chip_HW[None].astype(np.float32))


def drawn_moves(seed: int) -> Moves:
    return bool(seed >> 2 & 1), False, seed & 3


def for_batches(wanted: bool | Recipe, seed: int, images: dict[str, int]) -> BatchAugmenter | None:
    """What does to batches of chips what ``as_tensor`` does to single ones; ``images``: see :class:`BatchAugmenter`."""
    if wanted is False:
        return None
    if wanted is True:
        return BatchAugmenter(seed, None, drawn_moves, 1, images)
    return BatchAugmenter(seed, Changes(wanted, (0, 255), whole=True), drawn_moves if wanted.moves else None, 1, images)
