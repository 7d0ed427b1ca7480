"""Loaders: one pool of workers through all epochs and parts, and each epoch's samples whoever loads them."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

from cratermill.core.errors import InputError
from cratermill.samples.sampler import EpochOrder
from cratermill.training.cell import Datasets
from cratermill.training.loaders import Loaders


class Told(Dataset):
    """Samples that say their key and who loaded them."""

    def __init__(self, size: int, first: int = 0):
        self.size, self.first = size, first

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, key):
        return {"key": torch.tensor(key if isinstance(key, tuple) else (self.first, 0, key)), "process": torch.tensor(os.getpid())}


def loaders(workers: int, rank: int = 0, world: int = 1) -> Loaders:
    order = EpochOrder(10, seed=1)
    return Loaders(Datasets(Told(10), Told(5, -1), Told(3, -2), order, np.zeros((2, 1))), 4, workers, rank, world)


class Fixed(Dataset):
    """Samples that follow from their numbers alone."""

    def __init__(self, size: int, seed: int):
        self.values, self.loaded = torch.randn(size, 2, 3, generator=torch.Generator().manual_seed(seed)), 0

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, key):
        self.loaded += 1
        number = key[-1] if isinstance(key, tuple) else key
        return {"image": self.values[number], "number": torch.tensor([number], dtype=torch.uint8)}


def keep(workers: int, kept, rank: int = 0, world: int = 1, fixed: bool = True) -> Loaders:
    def augment(batch, keys):
        return batch | {"keys": torch.tensor(keys)}

    data = Datasets(Fixed(11, 1), Fixed(5, 2), Fixed(3, 3), EpochOrder(11, seed=1), np.zeros((2, 1)), augment=augment, fixed=fixed)
    return Loaders(data, 4, workers, rank, world, keep=kept)


def keys(batches) -> list[list[list[int]]]:
    return [batch["key"].tolist() for batch in batches]


def run(made: Loaders) -> list:
    return [keys(part) for epoch in (0, 1) for part in (made.train(epoch), made.val())] + [keys(made.test())]


def test_workers_live_through_epochs_and_parts_and_deal_the_same():
    made = loaders(2)
    served = {int(process) for batch in [*made.train(0), *made.val(), *made.train(1), *made.test()] for process in batch["process"]}
    assert len(served) == 2 and os.getpid() not in served
    alone = run(loaders(0))
    assert run(made) == alone
    assert [len(part) for part in alone] == [2, 2, 2, 2, 1] and alone[0] != alone[2]
    assert sorted(index for _, _, index in sum(alone[1], [])) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_goes_on_in_its_middle_and_after_it_was_left(workers):
    made = loaders(workers)
    whole = keys(made.train(3))
    assert keys(made.train(3, skip=1)) == whole[1:]
    for batch in made.train(3):
        assert batch["key"].tolist() == whole[0]
        break  # a stopped epoch; what was loaded ahead is thrown away
    assert keys(made.val()) == keys(loaders(0).val()) and keys(made.train(3)) == whole


def test_processes_share_a_batch():
    together = keys(loaders(0).train(0))
    halves = [keys(loaders(0, rank, 2).train(0)) for rank in (0, 1)]
    for number, batch in enumerate(together):
        assert sorted(halves[0][number] + halves[1][number]) == sorted(batch)


def everything(made: Loaders) -> list[dict[str, torch.Tensor]]:
    parts = (part for epoch in (0, 2) for part in (made.train(epoch, skip=epoch // 2), made.val()))
    return [batch for part in parts for batch in part] + list(made.test())


@pytest.mark.parametrize("world", [1, 2])
@pytest.mark.parametrize("workers", [0, 2])
def test_kept_samples_are_those_that_are_loaded_bit_for_bit(workers, world):
    for rank in range(world):
        loaded, kept = everything(keep(0, False, rank, world)), everything(keep(workers, True, rank, world))
        assert len(loaded) == len(kept) >= (8 if world == 1 else 5)
        for one, other in zip(loaded, kept, strict=True):
            assert one.keys() == other.keys()
            assert all(torch.equal(one[name], other[name]) and one[name].dtype == other[name].dtype for name in one)
            assert all(one[name].stride() == other[name].stride() for name in one)
    batch = next(iter(keep(workers, True).train(1)))
    assert batch["keys"][:, 2].tolist() == batch["number"][:, 0].tolist() and set(batch["keys"][:, 0].tolist()) == {1}


def test_kept_samples_are_loaded_once():
    made = keep(0, True)
    for epoch in range(3):
        assert len(list(made.train(epoch))) == 2 and len(list(made.val())) == 2
    assert made.data.train.loaded == 11 + 1 and made.data.val.loaded == 5 + 1  # one of each to see how large they are


BOTH = {"val", "train"}


@pytest.mark.parametrize(
    ("kept", "fixed", "parts"), [(True, True, BOTH), (True, False, {"val"}), ("auto", True, set()), (False, True, set())]
)
def test_what_is_kept_where_there_is_no_gpu(kept, fixed, parts):
    assert set(keep(0, kept, fixed=fixed)._kept) == parts


def test_what_does_not_fit_is_refused_or_loaded(monkeypatch):
    monkeypatch.setattr("cratermill.training.loaders.free_bytes", lambda device: 1600)
    assert set(keep(0, True)._kept) == {"val", "train"}  # 16 samples of 25 bytes
    monkeypatch.setattr("cratermill.training.loaders.free_bytes", lambda device: 1599)
    with pytest.raises(InputError, match="the samples take .* GB"):
        keep(0, True)


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_augmented_by_their_own_keys_after_an_epoch_was_left(workers):
    made = keep(workers, False)
    for _ in made.train(0):
        break
    for batch in made.train(1):
        assert batch["keys"][:, 2].tolist() == batch["number"][:, 0].tolist() and set(batch["keys"][:, 0].tolist()) == {1}
