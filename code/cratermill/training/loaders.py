"""Data loaders of one cell; training keys come from the cell's own order, so that workers and restarts change nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch.utils.data import BatchSampler, DataLoader

from ..core.errors import InputError
from .cell import Datasets


class Loaders:
    """``batch_size`` is that of all ``world`` processes together."""

    def __init__(self, data: Datasets, batch_size: int, workers: int, rank: int = 0, world: int = 1, pin_memory: bool = False):
        if batch_size % world:
            raise InputError(
                f"batch_size {batch_size} is not a multiple of the {world} processes", next_step="change the row or the devices"
            )
        self.data, self.rank, self.world, self.batch_size = data, rank, world, batch_size
        # With a generator of its own a loader draws nothing from the global one, whose state a resumed cell restores.
        self.options: dict[str, Any] = {"num_workers": workers, "pin_memory": pin_memory, "generator": torch.Generator()}
        data.sampler.rank, data.sampler.world = rank, world

    @property
    def _drop_last(self) -> bool:
        # A short last batch can't be shared evenly, and batch normalisation can't take one of a single sample. Samples are dealt anew
        # in every epoch, so none is left out for good; a set smaller than one batch is taken as it is.
        return self.data.sampler.size >= self.batch_size

    @property
    def train_batches(self) -> int:
        return max(1, self.data.sampler.size // self.batch_size)

    def train(self, epoch: int, skip: int = 0) -> Iterable[Any]:
        """The batches of one epoch, from batch ``skip`` on."""
        own = self.batch_size // self.world
        self.data.sampler.set_epoch(epoch)
        self.data.sampler.skip = skip * own
        return DataLoader(self.data.train, sampler=self.data.sampler, batch_size=own, drop_last=self._drop_last, **self.options)

    def val(self) -> Iterable[Any]:
        return self._share(self.data.val)

    def test(self) -> Iterable[Any]:
        return self._share(self.data.test)

    def _share(self, dataset) -> Iterable[Any]:
        """This process's share of the batches: whole ones, as a single process has them, so that the scores are the same."""
        batches = BatchSampler(range(len(dataset)), self.batch_size, drop_last=False)
        own = [batch for number, batch in enumerate(batches) if number % self.world == self.rank]
        return DataLoader(dataset, batch_sampler=own, **self.options)
