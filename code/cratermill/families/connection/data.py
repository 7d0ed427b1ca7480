"""Training data of the connection family: pairs of crater and tile, with the question whether they belong together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.utils.data import Dataset

from ...core.files import read_json
from ...samples.augment import bands_first, bands_last
from ...samples.batch_augment import parted
from ...samples.sampler import EpochOrder, build_augmenter, sample_seed, train_val
from ...samples.store import Store
from ...training.cell import CellParams, Datasets
from ...training.normalised import channel_norm
from ..ejecta_common.prepare import pair_view
from ..ejecta_common.splits import split_rows

if TYPE_CHECKING:
    import pandas as pd

    from ...config import Config
    from ...samples.augment import Augmenter
    from .hparams import Hparams

ATTENTION_NORM, ATTENTION_NORM_TRAIN = (0.0, 2.0), (1.5, 0.5)
"""Offset and divisor of the attention channel; the second are the mean and deviation of one half 1, one half 2 (EJMAP)."""


class Pairs(Dataset):
    """Raw pairs: ``image`` (C, h, w) float32 (bands, then attention), ``target`` (1,) 1 if the tile holds the crater's ejecta."""

    def __init__(self, stack: Store, rows: np.ndarray, targets: np.ndarray, augmenter: Augmenter | None = None, seed: int = 0):
        self.image, self.attention = stack.array("image"), stack.array("attention")
        self.rows, self.targets, self.augmenter, self.seed = rows, targets, augmenter, seed

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: int | tuple[int, int, int]) -> dict[str, torch.Tensor]:
        epoch, position, index = key if isinstance(key, tuple) else (0, 0, key)
        row = self.rows[index]
        image, attention = np.asarray(self.image[row]), np.asarray(self.attention[row])
        if self.augmenter is not None:
            image, attention = self._augment(self.augmenter, image, attention, sample_seed(self.seed, epoch, position))
        channels = np.concatenate([image.astype(np.float32), attention[None].astype(np.float32)])
        return {"image": torch.from_numpy(channels), "target": torch.tensor([self.targets[index]], dtype=torch.float32)}

    @staticmethod
    def _augment(augmenter: Augmenter, image_CHW: np.ndarray, attention_HW: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        coloured = augmenter.colour(bands_last(image_CHW), seed)
        image, attention = augmenter.geometry([coloured, attention_HW], seed)
        return bands_first(image), attention


def datasets(config: Config, params: CellParams, hparams: Hparams) -> Datasets:
    """Train, validation and test pairs of one cell, its sample order and its normalisation (2, C)."""
    stack = Store(config.data.stack("conn_data", pair_view(hparams.pair_layout, hparams.tile_size_px, hparams.pair_crater_radii)))
    table = stack.rows()
    tv, test = split_rows(table, params.split, config.data.az_positions)
    train, val = train_val(table["split_class"].to_numpy()[tv], hparams.val_frac, params.seed)
    targets = (table["num_1"].to_numpy() > 0).astype(np.float32)
    weights = sample_weights(table.iloc[tv[train]], hparams.connection_weights, hparams.distance_weights)
    augmenter = build_augmenter(False, hparams.img_augment)
    each, together = parted(augmenter, config.run.trainer.augment_on, params.seed, stack.array("image"))
    return Datasets(
        train=Pairs(stack, tv[train], targets[tv[train]], each, params.seed),
        val=Pairs(stack, tv[val], targets[tv[val]]),
        test=Pairs(stack, test, targets[test]),
        sampler=EpochOrder(len(train), params.seed, weights),
        norm=norm(stack, tv, hparams.norm_from_train, config),
        augment=together,
        fixed=each is None,
    )


def norm(stack: Store, tv: np.ndarray, from_train: bool, config: Config) -> np.ndarray:
    """Offsets and divisors (2, C) of the bands and the attention channel."""
    if from_train:
        bands, attention = channel_norm(np.asarray(stack.array("image")[tv])), ATTENTION_NORM_TRAIN
    else:
        fixed = read_json(config.data.img_norm)
        bands, attention = np.array([fixed["mean"], fixed["std"]]), ATTENTION_NORM
    return np.column_stack([bands, attention])


def sample_weights(table: pd.DataFrame, by_connection: bool, by_distance: bool) -> np.ndarray | None:
    """Weights for drawing with replacement: both classes alike, connected pairs in proportion to distance, others to its inverse."""
    if not (by_connection or by_distance):
        return None
    connected = table["num_1"].to_numpy() > 0
    distance = np.maximum(table["distance"].to_numpy(float), 1.0)
    weights = np.where(connected, distance, 1 / distance) if by_distance else np.ones(len(table))
    for members in (connected, ~connected):
        if members.any():
            # Within a class the weights sum to its size, or to the same total for both where classes are balanced.
            weights[members] *= (1 if by_connection else members.sum()) / weights[members].sum()
    return weights
