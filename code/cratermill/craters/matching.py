"""Which found crater is which crater of a catalogue: one to one, whatever the order of the lists and whichever comes first.

Lists are arrays (N, ≥3): longitude, latitude (degrees) and radius (metres) on a body, or x, y and radius in pixels where ``body`` is None.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from ..core.errors import InputError
from ..geo.bodies import Body

# (offset ÷ smaller radius, difference of the radii ÷ smaller radius) → cost ≥ 0 of a pair; infinite where it is none.
Cost = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Rule:
    """When two circles may be one crater. ``position`` and ``size``: limits of distance and of difference of radii, in smaller radii.

    ``greedy``: as published for DeepMoon instead of optimal: each found crater in turn, the surest first, takes what fits it, and all that
    fits is gone. ``box_iou``: instead of both limits, the least overlap of the boxes around the circles.
    """

    name: str
    position: float
    size: float
    greedy: bool = False
    box_iou: float | None = None

    @property
    def reach(self) -> float:
        """No pair is farther apart than this, in smaller radii."""
        return self.position


STRICT = Rule("strict", 0.5, 0.25)
LAX = Rule("lax", 1.8**0.5, 1.0, greedy=True)
"""DeepMoon's: d² / min(r)² < 1.8 and |Δr| / min(r) < 1 (Silburt et al. 2019; DeLatte et al. 2019)."""
BOX = Rule("box", 1.5, 1.0, box_iou=0.5)
"""Boxes overlap by half: then centres are less than 1.5 smaller radii apart, and no radius is twice the other or more."""
RULES = (STRICT, LAX, BOX)
BLOCK = 2**19
"""Craters of one list that are looked at together: of ten million craters their neighbours wouldn't fit into memory at once."""


@dataclass(frozen=True)
class Matched:
    """Pairs (M, 2) of row numbers: found crater, crater of the catalogue; and of each pair distance and difference of radii (found minus
    catalogue), in smaller radii."""

    pairs: np.ndarray
    offset: np.ndarray
    growth: np.ndarray


def match(found: np.ndarray, truth: np.ndarray, rule: Rule = STRICT, body: Body | None = None) -> Matched:
    """As many pairs as the rule allows, and of those ways the one with the smallest sum of squared deviations.

    ``found`` may have a fourth column, the confidence, which only greedy rules look at. Raises ``InputError`` for lists that aren't finite.
    """
    found, truth = _checked(found, "found craters"), _checked(truth, "the catalogue")
    pairs, offset, growth = _candidates(found, truth, rule, body)
    if rule.greedy:
        chosen = _greedy(found, pairs, offset, growth)
    else:
        chosen = _optimal(found, truth, pairs, (offset / rule.position) ** 2 + (growth / rule.size) ** 2)
    return Matched(pairs[chosen], offset[chosen], growth[chosen])


def _checked(circles: np.ndarray, what: str) -> np.ndarray:
    circles = np.asarray(circles, float)
    circles = circles.reshape(-1, circles.shape[-1] if circles.ndim == 2 else 3)
    if not np.isfinite(circles[:, :3]).all() or (circles[:, 2] <= 0).any():
        raise InputError(
            f"{what}: positions or radii that are no numbers, or radii that aren't positive", valid="finite numbers, radii above 0"
        )
    return circles


def _candidates(found: np.ndarray, truth: np.ndarray, rule: Rule, body: Body | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All pairs (K, 2) that the rule allows, their distances and differences of radii in smaller radii."""

    def allowed(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        if rule.box_iou is not None:
            return _box_iou(one, other, body) >= rule.box_iou
        offset, growth = _deviations(one, other, body)
        return (offset < rule.position) & (np.abs(growth) < rule.size)

    pairs = near_pairs(found, truth, rule.reach, body, 1 + rule.size, allowed)
    return pairs, *_deviations(found[pairs[:, 0]], truth[pairs[:, 1]], body)


def _deviations(one: np.ndarray, other: np.ndarray, body: Body | None) -> tuple[np.ndarray, np.ndarray]:
    """Distance and difference of radii (one minus other) of each pair of rows, in smaller radii."""
    smaller = np.minimum(one[:, 2], other[:, 2])
    return distances(one, other, body) / smaller, (one[:, 2] - other[:, 2]) / smaller


def same_pairs(circles: np.ndarray, body: Body | None, place: float, size: float) -> np.ndarray:
    """Pairs (K, 2) of different rows, sorted, each both ways: centres and radii differ by less than these shares of the smaller radius."""

    def same(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        offset, growth = _deviations(one, other, body)
        return (offset < place) & (np.abs(growth) < size)

    pairs = near_pairs(circles, circles, place, body, 1 + size, same)
    return pairs[pairs[:, 0] != pairs[:, 1]]


def near_pairs(
    one: np.ndarray, other: np.ndarray, reach: float, body: Body | None, ratio: float, keep: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> np.ndarray:
    """Pairs (K, 2), sorted, whose centres lie within ``reach`` smaller radii of each other, whose radii differ by less than the factor
    ``ratio``, and which ``keep`` (the rows of both, (K, ≥3) each) says to keep.

    Time goes with N log N and the number of pairs, not with N × M; ``keep`` is asked in blocks, so that memory follows the pairs kept.
    """
    # Radii run over powers of two, so that small craters do not look as far as large ones do.
    found = [np.zeros((0, 2), int)]
    level_one, level_other = (np.floor(np.log2(circles[:, 2])).astype(int) for circles in (one, other))
    place_one, place_other = _space(one, body), _space(other, body)
    span = int(np.ceil(np.log2(ratio)))
    for level in np.unique(level_one):
        rows = np.flatnonzero(level_one == level)
        tree = cKDTree(place_one[rows])
        for second in range(level - span, level + span + 1):
            columns = np.flatnonzero(level_other == second)
            # A chord is never longer than its arc, so nothing is lost.
            distance = reach * 2.0 ** (min(level, second) + 1) * (1 + 1e-9)
            for block in (columns[start : start + BLOCK] for start in range(0, len(columns), BLOCK)):
                near = tree.sparse_distance_matrix(cKDTree(place_other[block]), distance, output_type="ndarray")
                first, last = rows[near["i"]], block[near["j"]]
                kept = keep(one[first], other[last])
                found.append(np.column_stack([first[kept], last[kept]]))
    pairs = np.concatenate(found)
    return pairs[np.lexsort(pairs.T[::-1])]


def distances(one: np.ndarray, other: np.ndarray, body: Body | None) -> np.ndarray:
    """Distance of each pair of rows: along the surface in metres, or in pixels."""
    if body is None:
        return np.hypot(one[:, 0] - other[:, 0], one[:, 1] - other[:, 1])
    return body.distance_m(one[:, 0], one[:, 1], other[:, 0], other[:, 1])


def _space(circles: np.ndarray, body: Body | None) -> np.ndarray:
    """Positions in a space in which straight distances are never longer than those on the surface."""
    if body is None:
        return circles[:, :2]
    lon, lat = np.radians(circles[:, 0]), np.radians(circles[:, 1])
    a, b = body.semi_major_m, body.semi_minor_m
    normal = a**2 / np.sqrt((a * np.cos(lat)) ** 2 + (b * np.sin(lat)) ** 2)
    x, y = normal * np.cos(lat) * np.cos(lon), normal * np.cos(lat) * np.sin(lon)
    return np.column_stack([x, y, normal * (b / a) ** 2 * np.sin(lat)])


def _box_iou(one: np.ndarray, other: np.ndarray, body: Body | None) -> np.ndarray:
    """Overlap of the boxes around pairs of circles, ÷ their union; on a body in the plane between both centres."""
    dx, dy = np.abs(one[:, 0] - other[:, 0]), np.abs(one[:, 1] - other[:, 1])
    if body is not None:
        dx = np.abs((dx + 180) % 360 - 180) * np.cos(np.radians((one[:, 1] + other[:, 1]) / 2))
        dx, dy = (np.radians(side) * body.mean_radius_m for side in (dx, dy))
    smaller = np.minimum(one[:, 2], other[:, 2])
    sides = [np.clip(one[:, 2] + other[:, 2] - apart, 0, 2 * smaller) for apart in (dx, dy)]
    common = sides[0] * sides[1]
    return common / (4 * (one[:, 2] ** 2 + other[:, 2] ** 2) - common)


def _alone(pairs: np.ndarray) -> np.ndarray:
    """Which pairs (K,) nobody else competes for; of most lists nearly all, and they need no assignment."""
    if not len(pairs):
        return np.zeros(0, bool)
    return (np.bincount(pairs[:, 0])[pairs[:, 0]] == 1) & (np.bincount(pairs[:, 1])[pairs[:, 1]] == 1)


def _optimal(found: np.ndarray, truth: np.ndarray, pairs: np.ndarray, cost: np.ndarray) -> np.ndarray:
    """Numbers of the pairs of an assignment with the most pairs and, among those, the least cost; each connected group alone."""
    alone = _alone(pairs)
    contested = np.flatnonzero(~alone)
    chosen = [np.flatnonzero(alone)]
    if len(contested):
        size = len(found) + len(truth)
        graph = coo_array((np.ones(len(contested)), (pairs[contested, 0], len(found) + pairs[contested, 1])), shape=(size, size))
        group = connected_components(graph, directed=False)[1][pairs[contested, 0]]
        order = np.argsort(group, kind="stable")
        members = np.split(contested[order], np.flatnonzero(np.diff(group[order])) + 1)
        chosen += [_assign(one, found, truth, pairs, cost) for one in members]
    return np.sort(np.concatenate(chosen))


def _assign(members: np.ndarray, found: np.ndarray, truth: np.ndarray, pairs: np.ndarray, cost: np.ndarray) -> np.ndarray:
    from scipy.optimize import linear_sum_assignment  # a fifth of a second to import, for what most lists don't have

    rows, columns = (_canonical(np.unique(pairs[members, side]), circles) for side, circles in ((0, found), (1, truth)))
    # No pair costs more than all allowed ones together, so that their number comes first.
    matrix = np.full((len(rows), len(columns)), 1 + 2.0 * min(len(rows), len(columns)))
    places = {value: at for at, value in enumerate(rows)}, {value: at for at, value in enumerate(columns)}
    number = np.full(matrix.shape, -1)
    for member in members:
        place = places[0][pairs[member, 0]], places[1][pairs[member, 1]]
        matrix[place], number[place] = cost[member], member
    # Ties fall the same way whichever list comes first.
    if (len(rows), *found[rows, :3].ravel()) > (len(columns), *truth[columns, :3].ravel()):
        picked = linear_sum_assignment(matrix.T)[::-1]
    else:
        picked = linear_sum_assignment(matrix)
    numbers = number[picked]
    return numbers[numbers >= 0]


def _canonical(rows: np.ndarray, circles: np.ndarray) -> np.ndarray:
    return rows[np.lexsort(circles[rows, :3].T[::-1])]


def _greedy(found: np.ndarray, pairs: np.ndarray, offset: np.ndarray, growth: np.ndarray) -> np.ndarray:
    """Numbers of the pairs that DeepMoon's loop makes: the surest crater first; every crater that fits it is used up."""
    alone = _alone(pairs)
    contested = np.unique(pairs[~alone, 0])
    confidence = found[contested, 3] if found.shape[1] > 3 else np.zeros(len(contested))
    order = contested[np.lexsort((*found[contested, :3].T[::-1], -confidence))]
    free, chosen = np.ones(int(pairs[:, 1].max()) + 1 if len(pairs) else 0, bool), [np.flatnonzero(alone)]
    starts, ends = (np.searchsorted(pairs[:, 0], order, side) for side in ("left", "right"))
    for start, end in zip(starts, ends, strict=True):
        fitting = np.arange(start, end)
        fitting = fitting[free[pairs[fitting, 1]]]
        if len(fitting):
            chosen.append(fitting[np.lexsort((pairs[fitting, 1], offset[fitting] ** 2 + growth[fitting] ** 2))[:1]])
            free[pairs[fitting, 1]] = False
    return np.sort(np.concatenate(chosen))
