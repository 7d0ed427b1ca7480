"""Splitting without regard to copies makes scores look better than they are."""

from __future__ import annotations

import numpy as np
from sklearn.neighbors import KNeighborsClassifier

from cratermill.families.chips_common.duplicates import duplicate_groups, orientations, unit
from cratermill.families.chips_common.splits import held_out


def accuracy(images: np.ndarray, labels: np.ndarray, groups: np.ndarray, seed: int) -> float:
    """Of the nearest neighbour in any orientation, on a quarter that is held out by groups."""
    held = held_out(labels, groups, 0.25, seed)
    known = np.concatenate([unit(turned) for turned in orientations(images[~held].astype(np.float32))])
    nearest = KNeighborsClassifier(1, algorithm="brute").fit(known, np.tile(labels[~held], 8))
    return float((nearest.predict(unit(images[held].astype(np.float32))) == labels[held]).mean())


def test_splitting_mars_chips_without_groups_of_copies_inflates_accuracy(real_data):
    from cratermill.families.chips_common.readers import read_labelled

    read, _ = read_labelled(real_data("mars_hrsc_chips.zip"), ["non-crater", "crater"])
    images, labels = read.stack(16), read.labels
    groups = duplicate_groups(read.stack(32))
    honest, inflated = (
        np.mean([accuracy(images, labels, grouping, seed) for seed in (0, 1)]) for grouping in (groups, np.arange(len(labels)))
    )
    assert inflated > honest + 0.03
    print(f"nearest neighbour: {honest:.3f} with copies on one side, {inflated:.3f} without")
