"""Data loaders of one cell; training keys come from the cell's own order, so that workers and restarts change nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset

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
        self._chosen = _Chosen()
        # With a generator of its own a loader draws nothing from the global one, whose state a resumed cell restores. One loader for all
        # parts: its workers are started once, and live as long as it does.
        self._loader: DataLoader[Any] = DataLoader(
            _Parts({"train": data.train, "val": data.val, "test": data.test}),
            batch_sampler=self._chosen,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=pin_memory,
            generator=torch.Generator(),
        )
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
        return self._take("train", BatchSampler(self.data.sampler, own, self._drop_last))

    def val(self) -> Iterable[Any]:
        return self._share("val", self.data.val)

    def test(self) -> Iterable[Any]:
        return self._share("test", self.data.test)

    def _share(self, part: str, dataset: Any) -> Iterable[Any]:
        """This process's share of the batches: whole ones, as a single process has them, so that the scores are the same."""
        batches = BatchSampler(range(len(dataset)), self.batch_size, drop_last=False)
        return self._take(part, [batch for number, batch in enumerate(batches) if number % self.world == self.rank])

    def _take(self, part: str, batches: Iterable[list[Any]]) -> Iterator[Any]:
        self._chosen.part, self._chosen.batches = part, batches
        yield from self._loader


class _Chosen:
    """Batches of keys of the part that is taken from."""

    part = ""
    batches: Iterable[list[Any]] = ()

    def __iter__(self) -> Iterator[list[tuple[str, Any]]]:
        part = self.part
        return ([(part, key) for key in batch] for batch in self.batches)


class _Parts(Dataset[Any]):
    """Data sets that one loader serves; keys name the part."""

    def __init__(self, parts: dict[str, Any]):
        self.parts = parts

    def __getitem__(self, key: tuple[str, Any]) -> Any:
        part, own = key
        return self.parts[part][own]
