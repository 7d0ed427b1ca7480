"""Which windows of a mosaic are read in one piece: neighbours, as long as that costs less than reading each for itself.

Windows are edges (N, 4): first row and column, row and column after the last. The work grows with the number of windows, not its square.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

BAND_PX = 2048
"""Neighbours are looked for in bands of so many rows."""

Edges = list[int]


def reading_order(rows: np.ndarray, cols: np.ndarray, in_strips: bool) -> np.ndarray:
    """Numbers of places (N,) in the order in which neighbours follow each other; ``in_strips``: a file's blocks are whole rows."""
    return np.lexsort((cols, rows if in_strips else np.floor(rows / BAND_PX)))


def grouped(
    windows: np.ndarray,
    costs: list[int],
    cost_of: Callable[[Edges], int],
    most_pixels: float,
    slack: float = 1.0,
    look_back: int = 1,
) -> list[tuple[list[int], Edges]]:
    """(numbers, hull) of windows in reading order that are read in one piece.

    ``costs``: of each window; ``cost_of``: of a hull, which may be ``slack`` times what its windows cost, and have ``most_pixels``. Each
    window joins the first of the last ``look_back`` groups that it fits into.
    """
    members: list[list[int]] = []
    hulls: list[Edges] = []
    spent: list[int] = []
    for number, (edges, cost) in enumerate(zip(windows.tolist(), costs, strict=True)):
        for at in range(max(0, len(hulls) - look_back), len(hulls)):
            hull, needed = _merged(hulls[at], edges), spent[at] + cost
            if (hull[2] - hull[0]) * (hull[3] - hull[1]) <= most_pixels and cost_of(hull) <= slack * needed:
                members[at].append(number)
                hulls[at], spent[at] = hull, needed
                break
        else:
            members.append([number])
            hulls.append(edges)
            spent.append(cost)
    return list(zip(members, hulls, strict=True))


def _merged(first: Edges, second: Edges) -> Edges:
    return [min(first[0], second[0]), min(first[1], second[1]), max(first[2], second[2]), max(first[3], second[3])]
