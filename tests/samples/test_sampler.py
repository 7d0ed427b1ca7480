"""The order of training samples: the same on one process or many, and after a restart."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cratermill.samples.sampler import EpochOrder, sample_seed

SIZES = st.integers(2, 60)


def dealt(order: EpochOrder, epoch: int, rank: int = 0, world: int = 1, skip: int = 0) -> list[tuple[int, int, int]]:
    order.rank, order.world, order.skip = rank, world, skip
    order.set_epoch(epoch)
    return list(order)


@given(SIZES, st.integers(0, 5), st.integers(0, 2**62), st.integers(0, 59))
def test_going_on_in_an_epoch_deals_what_was_left(size, epoch, seed, skip):
    whole = dealt(EpochOrder(size, seed), epoch)
    assert sorted(index for _, _, index in whole) == list(range(size))
    assert dealt(EpochOrder(size, seed), epoch, skip=min(skip, size)) == whole[min(skip, size) :]


@given(SIZES, st.integers(2, 4), st.integers(0, 2**62))
def test_processes_share_every_position_of_the_single_process(size, world, seed):
    single = {position: index for _, position, index in dealt(EpochOrder(size, seed), 3)}
    shares = [dealt(EpochOrder(size, seed), 3, rank, world) for rank in range(world)]
    assert len({len(share) for share in shares}) == 1
    together = {position: index for share in shares for _, position, index in share}
    assert {position: together[position] for position in single} == single


@given(SIZES, st.integers(2, 3), st.integers(0, 9))
def test_each_process_goes_on_where_it_stopped(size, world, skip):
    for rank in range(world):
        whole = dealt(EpochOrder(size, 1), 0, rank, world)
        assert dealt(EpochOrder(size, 1), 0, rank, world, skip=min(skip, len(whole))) == whole[min(skip, len(whole)) :]


def test_epochs_and_seeds_differ():
    orders = [[index for _, _, index in dealt(EpochOrder(50, seed), epoch)] for seed in (1, 2) for epoch in (0, 1)]
    assert len({tuple(order) for order in orders}) == 4


def test_weights_draw_with_replacement_in_proportion():
    order = EpochOrder(3, 5, np.array([8.0, 1.0, 1.0]))
    drawn = np.array([index for epoch in range(2000) for _, _, index in dealt(order, epoch)])
    np.testing.assert_allclose(np.bincount(drawn) / drawn.size, [0.8, 0.1, 0.1], atol=0.02)


def test_augmentation_seeds_differ_by_epoch_and_position_and_nothing_else():
    seeds = {sample_seed(9, epoch, position) for epoch in range(50) for position in range(50)}
    assert len(seeds) == 2500
    assert sample_seed(9, 3, 4) == sample_seed(9, 3, 4) != sample_seed(10, 3, 4)
