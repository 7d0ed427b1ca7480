"""One circle per crater: of circles that describe the same rim only the best supported stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

if TYPE_CHECKING:
    from .shapes import Shape

SAME_PLACE, SAME_SIZE = 0.25, 0.2
"""Circles whose centres and radii differ by less than these shares of the smaller radius are one crater."""
OWN_EDGE = (0.06, 1.5)
"""An edge this near to another circle's (share of the smaller radius, pixels at least) is that one's."""


def explained(circles: np.ndarray, edges: np.ndarray, shape: Shape, arc: float, taken: np.ndarray) -> np.ndarray:
    """Circles (N, 6: x, y, radius, confidence, arc, error), best first, that show edges of their own on a share ``arc`` of their rim.

    ``edges`` (N, sides, rays) says where each circle met edges. Going from the best supported to the least, an edge belongs to the first
    circle that has it: what is pieced together from other craters' rims, or describes one of them a second time, keeps too little.
    ``taken`` (M, 3): x, y and radius of edges that belong to none of them.
    """
    order = _best_first(circles)
    circles, edges = circles[order], edges[order].copy()
    angles = np.arange(edges.shape[2]) * (2 * np.pi / max(edges.shape[2], 1))
    directions = np.stack([np.cos(angles), np.sin(angles)], -1)
    reach = circles[:, 2] + shape.outer_px
    kept: list[int] = []

    def take(index: int, side: int, edge: np.ndarray, radius: float) -> None:
        """Edges of a circle that lie on one of another, of a crater of this radius, are not its own."""
        factor, shift = shape.sides[side]
        points = circles[index, :2] + (factor * circles[index, 2] + shift) * directions
        off = np.abs(np.hypot(*(points - edge[:2]).T) - edge[2])
        edges[index, side] &= off > max(OWN_EDGE[0] * min(radius, circles[index, 2]), OWN_EDGE[1])

    for index, circle in enumerate(circles):
        apart = np.hypot(*(circles[kept, :2] - circle[:2]).T)
        for rival in circles[kept][apart < reach[index] + reach[kept]]:
            for side, (factor, shift) in enumerate(shape.sides):
                take(index, side, np.array([*rival[:2], factor * rival[2] + shift]), rival[2])
        for rival in taken[np.hypot(*(taken[:, :2] - circle[:2]).T) < reach[index] + taken[:, 2]]:
            for side in range(len(shape.sides)):
                take(index, side, rival, rival[2])
        if edges[index].any(0).mean() >= arc:
            kept.append(index)
    return circles[kept]


def _best_first(circles: np.ndarray) -> np.ndarray:
    """Best supported first; those that as many rays support (to 3 %) by how well they fit, so that of several attempts at one rim
    the one that settled is taken. The order depends on the circles alone, not on how they are listed."""
    support = np.round(circles[:, 3] * circles[:, 4] * 32)
    return np.lexsort((*circles[:, :3].T, circles[:, 5], -support))


def distinct(circles: np.ndarray, place: float = SAME_PLACE, size: float = SAME_SIZE) -> np.ndarray:
    """Of circles (N, 6) x, y, radius, confidence, arc, error: the best of each crater, best first."""
    if not len(circles):
        return circles
    circles = circles[_best_first(circles)]
    tree = cKDTree(circles[:, :2])
    kept = np.ones(len(circles), bool)
    for index, (x, y, radius, *_) in enumerate(circles):
        if not kept[index]:
            continue
        near = np.asarray(tree.query_ball_point((x, y), place * radius))
        near = near[(near > index) & kept[near]]
        smaller = np.minimum(circles[near, 2], radius)
        apart = np.hypot(circles[near, 0] - x, circles[near, 1] - y)
        same = (apart < place * smaller) & (np.abs(circles[near, 2] - radius) < size * smaller)
        kept[near[same]] = False
    return circles[kept]
