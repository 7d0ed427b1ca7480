"""Data loaders of one cell; training keys come from the cell's own order, so that workers and restarts change nothing."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch.utils.data import DataLoader, Subset

from ..errors import InputError
from ..families.base import Datasets


class Loaders:
    """``batch_size`` is that of all ``world`` processes together."""

    def __init__(self, data: Datasets, batch_size: int, workers: int, rank: int = 0, world: int = 1, pin_memory: bool = False):
        if batch_size % world:
            raise InputError(
                f"batch_size {batch_size} is not a multiple of the {world} processes", next_step="change the row or the devices"
            )
        self.data, self.rank, self.world = data, rank, world
        self.batch_size = batch_size // world
        # With a generator of its own a loader draws nothing from the global one, whose state a resumed cell restores.
        self.options = {"batch_size": self.batch_size, "num_workers": workers, "pin_memory": pin_memory, "generator": torch.Generator()}
        data.sampler.rank, data.sampler.world = rank, world

    @property
    def _drop_last(self) -> bool:
        # Batch normalisation can't take a last batch of one sample.
        return len(self.data.sampler) % self.batch_size == 1 and len(self.data.sampler) > 1

    @property
    def train_batches(self) -> int:
        count = len(self.data.sampler)
        return count // self.batch_size if self._drop_last else -(-count // self.batch_size)

    def train(self, epoch: int, skip: int = 0) -> Iterable:
        """The batches of one epoch, from batch ``skip`` on."""
        self.data.sampler.set_epoch(epoch)
        self.data.sampler.skip = skip * self.batch_size
        return DataLoader(self.data.train, sampler=self.data.sampler, drop_last=self._drop_last, **self.options)

    def val(self) -> Iterable:
        return self._share(self.data.val)

    def test(self) -> Iterable:
        return self._share(self.data.test)

    def _share(self, dataset) -> Iterable:
        """This process's share of the samples, each scored exactly once."""
        own = Subset(dataset, range(self.rank, len(dataset), self.world))
        return DataLoader(own, **self.options)
