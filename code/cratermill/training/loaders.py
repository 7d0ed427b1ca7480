"""Data loaders of one cell: batches on the device where they are computed; small sets stay there. Training keys come from the cell's own
order, so that workers and restarts change nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset

from ..core.errors import InputError
from ..samples.sending import sent
from .cell import Datasets
from .device import free_bytes

CPU = torch.device("cpu")
KEPT_SHARE = 0.25
"""The share of the free memory that samples may take: several trainings may share a device, and their networks need some, too."""

Batch = dict[str, torch.Tensor]


class Loaders:
    """``batch_size`` is that of all ``world`` processes together. ``keep``: see ``trainer.keep_on_device``."""

    def __init__(
        self,
        data: Datasets,
        batch_size: int,
        workers: int,
        rank: int = 0,
        world: int = 1,
        device: torch.device = CPU,
        keep: bool | str = False,
    ):
        if batch_size % world:
            raise InputError(
                f"batch_size {batch_size} is not a multiple of the {world} processes", next_step="change the row or the devices"
            )
        self.data, self.rank, self.world, self.batch_size, self.device = data, rank, world, batch_size, device
        self._chosen = _Chosen()
        # With a generator of its own a loader draws nothing from the global one, whose state a resumed cell restores. One loader for all
        # parts: its workers are started once, and live as long as it does.
        self._loader: DataLoader[Any] = DataLoader(
            _Parts({"train": data.train, "val": data.val, "test": data.test}),
            batch_sampler=self._chosen,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=device.type == "cuda",
            generator=torch.Generator(),
        )
        self._kept: dict[str, Batch | None] = dict.fromkeys(self._parts_to_keep(keep))
        data.sampler.rank, data.sampler.world = rank, world

    @property
    def _drop_last(self) -> bool:
        # A short last batch can't be shared evenly, and batch normalisation can't take one of a single sample. Samples are dealt anew
        # in every epoch, so none is left out for good; a set smaller than one batch is taken as it is.
        return self.data.sampler.size >= self.batch_size

    @property
    def train_batches(self) -> int:
        return max(1, self.data.sampler.size // self.batch_size)

    def train(self, epoch: int, skip: int = 0) -> Iterable[Batch]:
        """The batches of one epoch, from batch ``skip`` on, augmented."""
        own = self.batch_size // self.world
        self.data.sampler.set_epoch(epoch)
        self.data.sampler.skip = skip * own
        for keys, batch in self._take("train", BatchSampler(self.data.sampler, own, self._drop_last)):
            yield batch if self.data.augment is None else self.data.augment(batch, keys)

    def val(self) -> Iterable[Batch]:
        return self._share("val", self.data.val)

    def test(self) -> Iterable[Batch]:
        return self._share("test", self.data.test)

    def _share(self, part: str, dataset: Any) -> Iterator[Batch]:
        """This process's share of the batches: whole ones, as a single process has them, so that the scores are the same."""
        batches = BatchSampler(range(len(dataset)), self.batch_size, drop_last=False)
        return (batch for _, batch in self._take(part, [batch for number, batch in enumerate(batches) if number % self.world == self.rank]))

    def _take(self, part: str, batches: Iterable[list[Any]]) -> Iterator[tuple[list[Any], Batch]]:
        """Keys and batches on the device."""
        if part not in self._kept:
            yield from self._load(part, batches)
            return
        kept = self._kept[part]
        if kept is None:
            kept = self._kept[part] = self._stacked(part)
        for keys in batches:
            numbers = torch.tensor([key[-1] if isinstance(key, tuple) else key for key in keys], device=self.device)
            yield keys, {name: values.index_select(0, numbers) for name, values in kept.items()}

    def _load(self, part: str, batches: Iterable[list[Any]]) -> Iterator[tuple[list[Any], Batch]]:
        self._chosen.part, self._chosen.batches = part, batches
        for batch in self._loader:
            yield self._chosen.dealt.popleft(), {name: sent(value, self.device) for name, value in batch.items()}

    # --- what stays on the device -----------------------------------------------------------------------------------------------

    def _parts_to_keep(self, keep: bool | str) -> list[str]:
        """Parts whose samples are the same in every epoch, where all of them fit."""
        if keep is False or (keep == "auto" and self.device.type != "cuda"):
            return []
        parts = {"val": self.data.val} | ({"train": self.data.train} if self.data.fixed else {})
        needed = sum(len(dataset) * sum(value.nbytes for value in dataset[0].values()) for dataset in parts.values())
        room = KEPT_SHARE * free_bytes(self.device)
        if needed <= room:
            return list(parts)
        if keep == "auto":
            return []
        raise InputError(
            f"trainer.keep_on_device is true, but the samples take {needed / 1e9:.1f} GB",
            valid=f"at most a quarter of what is free, {room / 1e9:.1f} GB",
            next_step="give auto or false",
        )

    def _stacked(self, part: str) -> Batch:
        """All samples of a part, in their order."""
        count, done = len(getattr(self.data, part)), 0
        found: Batch = {}
        for numbers, batch in self._load(part, BatchSampler(range(count), self.batch_size, drop_last=False)):
            for name, values in batch.items():
                if name not in found:
                    found[name] = torch.empty((count, *values.shape[1:]), dtype=values.dtype, device=self.device)
                found[name][done : done + len(numbers)] = values
            done += len(numbers)
        return found


class _Chosen:
    """Batches of keys of the part that is taken from; those that were dealt and have not been given out yet lie in ``dealt``."""

    part = ""
    batches: Iterable[list[Any]] = ()

    def __init__(self) -> None:
        self.dealt: deque[list[Any]] = deque()

    def __iter__(self) -> Iterator[list[tuple[str, Any]]]:
        part = self.part
        self.dealt.clear()
        for batch in self.batches:
            self.dealt.append(batch)
            yield [(part, key) for key in batch]


class _Parts(Dataset[Any]):
    """Data sets that one loader serves; keys name the part."""

    def __init__(self, parts: dict[str, Any]):
        self.parts = parts

    def __getitem__(self, key: tuple[str, Any]) -> Any:
        part, own = key
        return self.parts[part][own]
