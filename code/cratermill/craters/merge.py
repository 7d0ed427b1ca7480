"""Lists of craters on a body joined: the same crater seen twice becomes one, and several versions vote."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ..geo.bodies import Body
from .matching import STRICT, Rule, distances, match, near_pairs

SAME_PLACE, SAME_SIZE = 0.35, 0.25
"""Found twice, in overlapping cells: centres and radii closer than these shares of the smaller radius."""


def without_doubles(craters: np.ndarray, body: Body | None, place: float = SAME_PLACE, size: float = SAME_SIZE) -> np.ndarray:
    """Row numbers, rising, of craters (N, ≥4: lon, lat, radius, confidence) of which none is another seen again; the surest stay.

    Distances are great-circle distances relative to the smaller radius. The order of the rows does not matter.
    """
    pairs = near_pairs(craters, craters, place, body)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    one, other = craters[pairs[:, 0]], craters[pairs[:, 1]]
    smaller = np.minimum(one[:, 2], other[:, 2])
    same = (distances(one, other, body) < place * smaller) & (np.abs(one[:, 2] - other[:, 2]) < size * smaller)
    pairs = pairs[same]
    starts = np.searchsorted(pairs[:, 0], np.arange(len(craters) + 1))
    kept = np.ones(len(craters), bool)
    for row in np.lexsort((*craters[:, :3].T[::-1], -craters[:, 3])):
        if kept[row]:
            kept[pairs[starts[row] : starts[row + 1], 1]] = False
    return np.flatnonzero(kept)


def union(lists: list[np.ndarray], votes: int, body: Body | None = None, rule: Rule = STRICT) -> np.ndarray:
    """Craters (N, 5) of several lists (N, ≥4: place, radius, confidence): mean place and radius, confidence, votes.

    Each list has one vote per crater. A crater stays with at least ``votes`` of them; its confidence is the sum of those given,
    ÷ the number of lists. The order of the lists does not matter.
    """
    lists = [np.asarray(one, float)[:, :4] for one in lists]
    if not sum(map(len, lists)):
        return np.zeros((0, 5))
    everything = np.concatenate(lists)
    owner = np.concatenate([np.full(len(one), number) for number, one in enumerate(lists)])
    starts = np.concatenate([[0], np.cumsum([len(one) for one in lists])]).astype(int)
    edges = [np.zeros((0, 2), int)]
    for first in range(len(lists)):
        for second in range(first + 1, len(lists)):
            edges.append(match(lists[first], lists[second], rule, body).pairs + (starts[first], starts[second]))
    pairs, size = np.concatenate(edges), len(everything)
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(size, size))
    _, group = connected_components(graph, directed=False)
    order = np.argsort(group, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(group[order])) + 1)
    found = [_joined(everything[rows], owner[rows], len(lists), body) for rows in members]
    joined = np.array(found).reshape(-1, 5)
    joined = joined[joined[:, 4] >= votes]
    return joined[np.lexsort((*joined[:, :3].T[::-1], -joined[:, 3]))]


def _joined(craters: np.ndarray, owner: np.ndarray, lists: int, body: Body | None) -> np.ndarray:
    """Place, radius, confidence and votes (5,) of rows that are one crater."""
    weight = np.maximum(craters[:, 3], 1e-6)
    weight = weight / weight.sum()
    radius = weight @ craters[:, 2]
    voters = len(np.unique(owner))
    confidence = sum(craters[owner == one, 3].max() for one in np.unique(owner)) / lists
    return np.array([*mean_place(craters, weight, body), radius, confidence, voters])


def mean_place(craters: np.ndarray, weight: np.ndarray, body: Body | None) -> tuple[float, float]:
    """Weighted mean of positions that lie near each other; ``weight`` (N,) sums to 1. On a body also across the seam and the poles."""
    if body is None:
        x, y = weight @ craters[:, :2]
        return float(x), float(y)
    lon, lat = np.radians(craters[:, 0]), np.radians(craters[:, 1])
    x, y, z = (weight @ side for side in (np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)))
    return float(np.degrees(np.arctan2(y, x))), float(np.degrees(np.arctan2(z, np.hypot(x, y))))
