"""Training data of the autoencoder family: crops as they are, and which of them train, validate and test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.utils.data import Dataset

from ...core.errors import InputError
from ...core.seeds import seed_of
from ...samples.sampler import EpochOrder
from ...training.cell import CellParams, Datasets
from .prepare import stack_of

if TYPE_CHECKING:
    from ...config import Config
    from .hparams import Hparams

NORM = np.array([[0.0], [255.0]])
"""Offsets and divisors (2, 1) of raw crops; what else is done to pixels is part of the network."""


class Crops(Dataset):
    """Raw crops: ``image`` (1, S, S) uint8."""

    def __init__(self, images: np.ndarray, rows: np.ndarray):
        self.images, self.rows = images, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: int | tuple[int, int, int]) -> dict[str, torch.Tensor]:
        index = key[2] if isinstance(key, tuple) else key
        return {"image": torch.from_numpy(self.images[self.rows[index]][None].copy())}


def datasets(config: Config, params: CellParams, row: Hparams) -> Datasets:
    """Training, validation and test crops of one cell and the order in which they are dealt."""
    splits = config.run.splits
    if splits.hold_out and params.split >= splits.count:
        raise InputError(f"split {params.split} of the autoencoder", valid=f"random ones, 0 to {splits.count - 1}: it holds nothing out")
    images = stack_of(config, row).array("image")
    train, val, test = parts(len(images), config.run.splits.test_fraction, row.val_frac, config.run.seed, params.split, params.seed)
    order = EpochOrder(len(train), params.seed)
    return Datasets(Crops(images, train), Crops(images, val), Crops(images, test), order, NORM, fixed=True)


def parts(
    count: int, test_fraction: float, val_fraction: float, run_seed: int, split: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row numbers that train, validate and test: at random, the same Test crops in every iteration of a split."""
    if count < 3:
        raise InputError(f"only {count} crops", valid="at least 3", next_step="widen the limits in train.autoencoder.data")
    order = np.random.default_rng(seed_of(run_seed, "test", split)).permutation(count)
    test = max(1, min(round(count * test_fraction), count - 2))
    rest = np.random.default_rng(seed_of(seed, "validation")).permutation(np.sort(order[test:]))
    val = max(1, min(round(len(rest) * val_fraction), len(rest) - 1))
    return np.sort(rest[val:]), np.sort(rest[:val]), np.sort(order[:test])
