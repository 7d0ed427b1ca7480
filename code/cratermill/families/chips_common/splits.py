"""Which chips test, validate and train, and which labels are known: all drawn from seeds, copies always on one side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...core.errors import InputError
from ...samples.splits import grouped_mask
from .chipset import UNLABELLED


def held_out(labels: np.ndarray, groups: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """True for the chips (N,) of a stratified share of the groups; unlabelled copies of held-out chips are held out too.

    Raises ``InputError`` where a class has too few different chips to hold one out and keep one.
    """
    labelled = labels != UNLABELLED
    for label in np.unique(labels[labelled]):
        different = len(np.unique(groups[labels == label]))
        if different < 2:
            raise InputError(
                f"class {label} has {different} chip(s) that are no copies of each other",
                valid="two at least: one trains, one is held out",
            )
    chosen = np.zeros(len(labels), bool)
    chosen[labelled] = grouped_mask(groups[labelled], labels[labelled], fraction, seed)
    return np.isin(groups, np.unique(groups[chosen]))


def draw_labels(labels: np.ndarray, groups: np.ndarray, budget: int | None, classes: Sequence[str], seed: int) -> np.ndarray:
    """Row numbers of ``budget`` labelled chips, equally many per class and no two of them copies; all labelled ones for None.

    A larger budget of the same seed holds the smaller one, so that curves over budgets are of one draw. Raises ``InputError`` for a
    budget that the classes can't share equally, and for more labels than there are.
    """
    if budget is None:
        return np.flatnonzero(labels != UNLABELLED)
    if budget % len(classes) or budget < len(classes):
        raise InputError(f"{budget} labels for {len(classes)} classes", valid=f"a multiple of {len(classes)}, so that classes are alike")
    drawn = [_of_class(labels, groups, number, budget // len(classes), name, seed) for number, name in enumerate(classes)]
    return np.sort(np.concatenate(drawn))


def _of_class(labels: np.ndarray, groups: np.ndarray, number: int, wanted: int, name: str, seed: int) -> np.ndarray:
    members = np.random.default_rng([seed, number]).permutation(np.flatnonzero(labels == number))
    _, first = np.unique(groups[members], return_index=True)
    different = members[np.sort(first)]
    if len(different) < wanted:
        raise InputError(
            f"{wanted} labels of class {name} are asked for, but only {len(different)} different chips of it train",
            valid=f"at most {len(different)} per class",
            next_step="lower the row's labels, or give more chips",
        )
    return different[:wanted]
