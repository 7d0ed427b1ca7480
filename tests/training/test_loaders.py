"""Loaders: one pool of workers through all epochs and parts, and each epoch's samples whoever loads them."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

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
