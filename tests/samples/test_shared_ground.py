"""Tiles of the same ground are recognised at any shift and in another light, strangers are not."""

from __future__ import annotations

import numpy as np

from cratermill.samples.shared_ground import ground_groups


def test_shifted_and_relit_copies_are_one_group_and_strangers_are_not():
    rng = np.random.default_rng(5)
    ground = [np.kron(rng.normal(size=(40, 40)), np.ones((8, 8))) for _ in range(3)]
    one, other, third = ((127 + 30 * g).clip(0, 255).astype(np.float32) for g in ground)
    tiles = np.stack([one[:208, :208], other[:208, :208], one[96:304, 60:268] * 0.5 + 90, third[:208, :208], other[:208, :208]])
    groups = ground_groups(tiles)
    assert groups[0] == groups[2] and groups[1] == groups[4]
    assert len(np.unique(groups)) == 3
