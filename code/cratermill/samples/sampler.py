"""The order in which training samples are dealt: a pure function of (seed, epoch), on any number of processes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from ..core.seeds import seed_of

if TYPE_CHECKING:
    from .augment import Augmenter
    from .recipe import Recipe


class EpochOrder:
    """Deals keys (epoch, position, index) to the loader; can go on in the middle of an epoch.

    Position p of an epoch is the same sample with the same augmentation on one process or many: process r of w takes
    the positions p with p mod w = r. With ``weights``, samples are drawn with replacement in proportion to them.
    """

    def __init__(self, size: int, seed: int, weights: np.ndarray | None = None):
        self.size, self.seed = size, seed
        self.weights = None if weights is None else np.asarray(weights, float) / np.sum(weights)
        self.epoch, self.skip = 0, 0
        self.rank, self.world = 0, 1

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def indices(self) -> np.ndarray:
        """The whole epoch's sample numbers, for all processes together."""
        rng = np.random.default_rng([self.seed, self.epoch])
        if self.weights is None:
            order = rng.permutation(self.size)
        else:
            order = rng.choice(self.size, self.size, p=self.weights)
        return np.resize(order, -(-self.size // self.world) * self.world)

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        order, skip, self.skip = self.indices(), self.skip, 0
        for position in range(self.rank, len(order), self.world):
            if position >= skip * self.world:
                yield self.epoch, position, int(order[position])

    def __len__(self) -> int:
        return -(-self.size // self.world)


def sample_seed(seed: int, epoch: int, position: int) -> int:
    """The seed of one sample's augmentation: another draw for every epoch and position, whichever worker loads it."""
    return seed_of(seed, "augment", epoch, position) % 2**32


def train_val(classes: np.ndarray, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers of a stratified Train-Val split that follows from the seed alone."""
    from .splits import stratified_mask

    held_out = stratified_mask(classes, fraction, seed)
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def build_augmenter(turns: bool, wanted: bool | Recipe) -> Augmenter | None:
    """The augmenter as a row's img_augment wants it; imgaug is imported only where a row augments."""
    if wanted is False:
        return None
    from .augment import Augmenter

    return Augmenter(turns, None if wanted is True else wanted)
