"""Split classes, TV-Test and Train-Val splits, stratified as EJMAP does and drawn from recorded seeds."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..core.errors import InputError

DISTANCE_BINS = 5


def split_classes(num_1: np.ndarray, distance_m: np.ndarray, max_distance_m: float) -> np.ndarray:
    """connected (0/1) x 5 + equal distance bin between 0 and the farthest distance allowed."""
    edges = np.linspace(0, max_distance_m, DISTANCE_BINS + 1)
    bins = np.clip(np.digitize(distance_m, edges[1:-1]), 0, DISTANCE_BINS - 1)
    return (np.asarray(num_1) > 0) * DISTANCE_BINS + bins


def stratified_mask(classes: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """True for the held-out members. Classes with one member stay in; at least one is held out per remaining class.

    Raises ``ValueError`` where there are too few members to hold any out and keep any.
    """
    from sklearn.model_selection import train_test_split

    classes = np.asarray(classes)
    values, counts = np.unique(classes, return_counts=True)
    members = np.flatnonzero(np.isin(classes, values[counts > 1]))
    held_out = np.zeros(len(classes), bool)
    if members.size == 0:
        raise ValueError(f"{len(classes)} tiles, none of them sharing its split class with another")
    kinds = int((counts > 1).sum())
    size = min(max(round(fraction * len(classes)), kinds), members.size - kinds)
    _, test = train_test_split(members, test_size=max(size, kinds), stratify=classes[members], random_state=seed % 2**32)
    held_out[test] = True
    return held_out


def grouped_mask(groups: np.ndarray, classes: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """As :func:`stratified_mask`, but all members of a group (one ground tile seen from several craters) stay together.

    A group counts as its highest class: the farthest connected pair in it if any is connected.
    """
    table = pd.DataFrame({"group": groups, "class": classes})
    of_group = table.groupby("group")["class"].max()
    held_out = of_group.index[stratified_mask(of_group.to_numpy(), fraction, seed)]
    return table["group"].isin(held_out).to_numpy()


def held_out_tiles(table: pd.DataFrame, fraction: float, seed: int, by_place: bool, turn: float) -> np.ndarray:
    """Mask of the tiles to hold out: a random share, or a sector of the places beginning at the share ``turn`` of them.

    Where the table has a column ``ground``, tiles of one number are held out together or not at all.
    """
    count = len(table)
    number = min(max(1, round(fraction * count)), count - 1)
    mask = np.zeros(count, bool)
    if not by_place and "ground" in table:
        return _whole_groups(table["ground"].to_numpy(), number, seed)
    if not by_place:
        mask[np.random.default_rng(seed).permutation(count)[:number]] = True
        return mask
    place = table["place"].to_numpy(float)
    if np.ptp(place) == 0:
        raise InputError(
            "split_by: longitude, but the tiles have no places", valid="kind mosaic or circles", next_step="set split_by: random"
        )
    order = np.argsort(place, kind="stable")
    start = round(turn * count)
    chosen = place[np.take(order, range(start, start + number), mode="wrap")]
    # All tiles of one meridian stay together, or its tiles would be on both sides.
    mask[np.isin(place, chosen)] = True
    return mask if not mask.all() else np.isin(place, chosen[:1])


def _whole_groups(groups: np.ndarray, number: int, seed: int) -> np.ndarray:
    """Mask of the members of randomly drawn groups, about ``number`` of them; one group stays out of it at least."""
    names, sizes = np.unique(groups, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    before = np.r_[0, np.cumsum(sizes[order])[:-1]]
    chosen = names[order[before + sizes[order] / 2 <= number]]
    if not len(chosen) or len(chosen) == len(names):
        chosen = names[order[:1]] if len(names) > 1 else names[:0]
    return np.isin(groups, chosen)
