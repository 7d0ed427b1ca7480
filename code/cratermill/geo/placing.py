"""Where tiles lie on pixels that are read in one piece: all that a device needs to know to sample them itself (samples/device_tiles.py)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .grid import Grid, Window, moved_alike
from .mosaic import Mosaic
from .pixel_maps import BLOCK_PX, NODES, Link, blocks, node_weights, weights_at
from .sampling import groups

ENDS = weights_at(np.array([-1.0, 1.0]))


@dataclass(frozen=True)
class Piece:
    """Pixels (C, H, W), which of them are missing (1 or C, H, W; None: none), and the tiles that lie on them wholly.

    ``nodes``: rows and columns of the pixels at the nodes of each tile's blocks, (n, blocks, 2, NODES, NODES) float64.
    """

    tiles: list[int]
    pixels: np.ndarray
    missing: np.ndarray | None
    nodes: np.ndarray


def blocks_of(shape: tuple[int, int], factor: int) -> list[Window]:
    """The blocks of a tile of which :class:`Piece` holds nodes, where each pixel has ``factor``² points."""
    return list(blocks(shape, max(1, BLOCK_PX // factor)))


def placed(mosaic: Mosaic, grids: Sequence[Grid], factor: int = 1) -> tuple[list[Piece], list[int]]:
    """Pieces for tiles of one shape, and the numbers of those that have none: where the sampler has to look at single points.

    Those lie around a pole, at the mosaic's edge, beyond the antipode or on too many pixels for one piece; all of them where a mosaic's
    ends meet with a gap.
    """
    pieces, left = list[Piece](), list[int]()
    if _has_gap(mosaic.grid):
        return pieces, list(range(len(grids)))
    nodes, smooth = _nodes(mosaic.grid, grids, factor)
    for members, window in groups(mosaic, list(grids)):
        known = np.array([member for member in members if window is not None and smooth[member]], int)
        if window is not None and len(known):
            places = _counted_from(nodes[known], window, mosaic.grid)
            within = _lie_within(places, blocks_of(grids[0].shape, factor), factor, window)
            known, places = known[within], places[within]
        left += sorted(set(members) - set(known.tolist()))
        if window is not None and len(known):
            raw = mosaic.read_raw(window)
            pieces.append(Piece(known.tolist(), raw.pixels, mosaic.missing(*raw), places))
    return pieces, left


def _has_gap(grid: Grid) -> bool:
    return grid.period_px is not None and abs((grid.columns_per_turn or grid.period_px) - grid.period_px) > 1e-3


def _nodes(mosaic_grid: Grid, grids: Sequence[Grid], factor: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the mosaic at the nodes of all tiles' blocks (N, blocks, 2, NODES, NODES), and which tiles they describe (N,)."""
    parts = blocks_of(grids[0].shape, factor)
    nodes, smooth = np.empty((len(grids), len(parts), 2, NODES, NODES)), np.ones(len(grids), bool)
    for numbers, moves in moved_alike(grids):
        link = Link(grids[numbers[0]], mosaic_grid)
        for number, block in enumerate(parts):
            nodes[numbers, number], good = link.nodes(block, factor, moves)
            smooth[numbers] &= good
        nodes[numbers, :, 1] += link.anchor
    return nodes, smooth


def _counted_from(nodes: np.ndarray, window: Window, mosaic_grid: Grid) -> np.ndarray:
    """The same from a window's corner, each block on the turn on which that lies."""
    places = nodes - np.array([window.row, window.col])[:, None, None]
    turn = mosaic_grid.period_px or mosaic_grid.columns_per_turn
    if turn:
        places[:, :, 1] -= np.floor(places[:, :, 1].mean((-2, -1), keepdims=True) / turn) * turn
    return places


def _lie_within(places: np.ndarray, parts: list[Window], factor: int, window: Window) -> np.ndarray:
    """Which tiles (n,) have pixels on all sides of all their points. What is smooth is farthest out on a block's edge."""
    inside, last = np.ones(len(places), bool), np.array([window.height, window.width])[:, None] - 1
    for number, block in enumerate(parts):
        down, across = node_weights(block.height * factor), node_weights(block.width * factor)
        for edges in (ENDS @ places[:, number] @ across.T, down @ places[:, number] @ ENDS.T):
            inside &= ((edges.min((-2, -1)) >= 0) & (edges.max((-2, -1)) < last.T)).all(1)
    return inside
