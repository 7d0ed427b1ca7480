"""Lists of craters on a body joined: the same crater seen twice becomes one, and several versions vote."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ..geo.bodies import Body
from .matching import STRICT, Rule, distances, match, same_pairs

SAME_PLACE, SAME_SIZE = 0.35, 0.25
"""Found twice, in overlapping cells: centres and radii closer than these shares of the smaller radius."""

UNION = ("lon", "lat", "radius_m", "confidence", "votes", "spread_place", "spread_size")
"""Columns of what several lists say together."""


def without_doubles(craters: np.ndarray, body: Body | None, place: float = SAME_PLACE, size: float = SAME_SIZE) -> np.ndarray:
    """Row numbers, rising, of craters (N, ≥4: lon, lat, radius, confidence) of which none is another seen again; the surest stay.

    Distances are great-circle distances relative to the smaller radius. The order of the rows does not matter.
    """
    pairs = same_pairs(craters, body, place, size)
    kept = np.ones(len(craters), bool)
    rows = np.unique(pairs[:, 0])
    rows = rows[np.lexsort((*craters[rows, :3].T[::-1], -craters[rows, 3]))]
    starts, ends = (np.searchsorted(pairs[:, 0], rows, side) for side in ("left", "right"))
    for row, start, end in zip(rows, starts, ends, strict=True):
        if kept[row]:
            kept[pairs[start:end, 1]] = False
    return np.flatnonzero(kept)


def union(lists: list[np.ndarray], votes: int, body: Body | None = None, rule: Rule = STRICT) -> np.ndarray:
    """Craters (N, 7; see ``UNION``) of several lists (N, ≥4: place, radius, confidence), the surest first.

    Each list has one vote per crater. A crater stays with at least ``votes`` of them; its confidence is the sum of those given,
    ÷ the number of lists; its spreads are deviations among what was given, weighted with the confidence, in metres (pixels without a
    ``body``). The order of the lists does not matter.
    """
    lists = [np.asarray(one, float)[:, :4] for one in lists]
    if not sum(map(len, lists)):
        return np.zeros((0, len(UNION)))
    group = _groups(lists, body, rule)
    owner = np.repeat(np.arange(len(lists), dtype=np.int16), [len(one) for one in lists])
    joined = _joined(np.concatenate(lists), owner, group, len(lists), body)
    joined = joined[joined[:, 4] >= votes]
    return joined[np.lexsort((*joined[:, :3].T[::-1], -joined[:, 3]))]


def agreement(craters: np.ndarray, lists: list[np.ndarray], body: Body | None = None, rule: Rule = STRICT) -> np.ndarray:
    """Of craters (N, ≥3: place, radius): in how many of these lists each is, and how far from it on average (root of the mean square) its
    partners lie and their radii are, in metres (pixels without a ``body``), NaN where there is none: (N, 3)."""
    found = np.zeros((len(craters), 3))
    for one in lists:
        mine, others = match(craters, one, rule, body).pairs.T
        found[mine, 0] += 1
        found[mine, 1] += distances(craters[mine], one[others], body) ** 2
        found[mine, 2] += (craters[mine, 2] - one[others, 2]) ** 2
    with np.errstate(invalid="ignore"):
        found[:, 1:] = np.sqrt(found[:, 1:] / found[:, :1])
    return found


def _groups(lists: list[np.ndarray], body: Body | None, rule: Rule) -> np.ndarray:
    """Of each row of all lists, one after another, the number of the crater that it is (N,): matched ones share theirs."""
    starts, edges = np.cumsum([0, *map(len, lists)]), [np.zeros((0, 2), int)]
    for first in range(len(lists)):
        for second in range(first + 1, len(lists)):
            edges.append(match(lists[first], lists[second], rule, body).pairs + starts[[first, second]])
    pairs = np.concatenate(edges)
    graph = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(starts[-1], starts[-1]))
    return connected_components(graph, directed=False)[1]


def _joined(craters: np.ndarray, owner: np.ndarray, group: np.ndarray, count: int, body: Body | None) -> np.ndarray:
    """``UNION`` (G, 7) of groups 0 … G − 1 of rows, each of which is one crater."""
    weight = np.maximum(craters[:, 3], 1e-6)
    weight /= np.bincount(group, weight)[group]
    places, radius = mean_places(craters, weight, group, body), np.bincount(group, weight * craters[:, 2])
    away = distances(craters, places[group], body), craters[:, 2] - radius[group]
    spreads = [np.sqrt(np.bincount(group, weight * off**2)) for off in away]
    return np.column_stack([places, radius, *_votes(craters[:, 3], owner, group, count), *spreads])


def _votes(confidence: np.ndarray, owner: np.ndarray, group: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Of each group the sum of its lists' surest rows, ÷ ``count``, and how many lists are in it."""
    order = np.lexsort((owner, group))
    first = np.flatnonzero(np.r_[True, (np.diff(group[order]) != 0) | (np.diff(owner[order]) != 0)])  # of each list's rows in a group
    voter, surest = group[order[first]], np.maximum.reduceat(confidence[order], first)
    return np.bincount(voter, surest) / count, np.bincount(voter)


def mean_places(craters: np.ndarray, weight: np.ndarray, group: np.ndarray, body: Body | None) -> np.ndarray:
    """Weighted means (G, 2) of positions that lie near each other; ``weight`` (N,) sums to 1 in each group. On a body also across the seam
    and the poles."""
    if body is None:
        return np.column_stack([np.bincount(group, weight * side) for side in craters[:, :2].T])
    lon, lat = np.radians(craters[:, 0]), np.radians(craters[:, 1])
    x = np.bincount(group, weight * (np.cos(lat) * np.cos(lon)))
    y = np.bincount(group, weight * (np.cos(lat) * np.sin(lon)))
    z = np.bincount(group, weight * np.sin(lat))
    return np.degrees(np.column_stack([np.arctan2(y, x), np.arctan2(z, np.hypot(x, y))]))
