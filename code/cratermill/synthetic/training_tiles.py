"""Training tiles, chosen as a mapping campaign would: near and far from each crater, with and without its ejecta."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core.seeds import seed_of
from .parameters import Parameters
from .population import FreshCrater

DISTANCE_BINS = 5
_HIGHEST_LAT = np.radians(70)  # beyond it a cylindrical tile is a sliver on the ground


@dataclass(frozen=True)
class Campaign:
    """The tiles of a planet; a tile's row number is its pos_index."""

    tiles: np.ndarray  # (n, 4): x, y, height, width in mosaic pixels, top-left corner
    listed: dict[int, np.ndarray]  # FID → pos_index of its tiles
    pairs: np.ndarray  # (2, DISTANCE_BINS): tile-crater pairs without and with that crater's ejecta, by distance


class TileCounts:
    """Ejecta pixels of every crater in every cell of the regular tiling; partial cells at the right and bottom edge don't count."""

    def __init__(self, parameters: Parameters):
        self.height, self.width = parameters.tile_shape
        self.cells = (parameters.shape[0] // self.height, parameters.shape[1] // self.width)
        self.of: dict[int, np.ndarray] = {}

    def add(self, fid: int, row: int, column: int, mask: np.ndarray) -> None:
        """Count a block's ejecta pixels; ``row, column`` of its corner."""
        counts = self.of.setdefault(fid, np.zeros(self.cells, np.int64))
        y, x = np.nonzero(mask)
        cell_y, cell_x = (y + row) // self.height, (x + column) // self.width
        inside = (cell_y < self.cells[0]) & (cell_x < self.cells[1])
        flat = cell_y[inside] * self.cells[1] + cell_x[inside]
        counts += np.bincount(flat, minlength=counts.size).reshape(self.cells)


def choose(parameters: Parameters, craters: list[FreshCrater], counts: TileCounts) -> Campaign:
    """Draw tiles for each ``train`` crater, then list every tile for all of them in range (at most ``craters_per_tile``)."""
    p = parameters
    trained = [crater for crater in craters if crater.train]
    points = _centres(p, counts)
    anything: np.ndarray = np.sum(list(counts.of.values()), axis=0)
    usable = np.abs(np.arcsin(points[..., 2])) < _HIGHEST_LAT
    distance = {crater.fid: _fractions(points, crater) for crater in trained}
    drawn: dict[int, set[int]] = {}
    for crater in trained:
        random = np.random.default_rng(seed_of(p.seed, "tiles", crater.fid))
        bins = np.floor(distance[crater.fid] / p.max_distance_fraction * DISTANCE_BINS).astype(int)
        bins = np.where(usable & (bins < DISTANCE_BINS), bins, -1)
        drawn[crater.fid] = set(_draw(random, p, bins, counts.of[crater.fid], anything))
    cells = np.array(sorted(set().union(*drawn.values())), dtype=np.int64)
    listed = _list(p, cells, trained, drawn, distance, counts)
    height, width = counts.height, counts.width
    rows, columns = np.divmod(cells, counts.cells[1])
    tiles = np.stack([columns * width, rows * height, np.full_like(rows, height), np.full_like(rows, width)], axis=1)
    return Campaign(tiles, listed, _pairs(p, cells, listed, distance, counts))


def _draw(random, p: Parameters, bins: np.ndarray, own: np.ndarray, anything: np.ndarray) -> list[int]:
    """Cells for one crater: about half with its ejecta, far ones first because they are rare; the rest without, near ones first."""
    wanted = int(random.integers(p.tiles_per_crater[0], p.tiles_per_crater[1] + 1))
    # A mapper notices a ray when it covers a percent of the tile, and calls a tile empty only when nothing is there.
    shown = own >= 0.01 * p.tile_shape[0] * p.tile_shape[1]
    connected = [random.permutation(np.flatnonzero(shown & (bins == b))) for b in reversed(range(DISTANCE_BINS))]
    empty = []
    for b in range(DISTANCE_BINS):
        group = random.permutation(np.flatnonzero((own == 0) & (bins == b)))
        # Others' ejecta in the tile make it a better lesson: such tiles come first, one time in two.
        first = (anything.ravel()[group] > 0) & (random.random(len(group)) < 0.5)
        empty.append(np.concatenate([group[first], group[~first]]))
    with_ejecta = _in_turn(connected, wanted - wanted // 2)
    return with_ejecta + _in_turn(empty, wanted - len(with_ejecta))


def _in_turn(groups: list[np.ndarray], count: int) -> list[int]:
    """Up to ``count`` members: the first of each group, then the second of each, …"""
    longest = max(len(group) for group in groups)
    ordered = [int(group[rank]) for rank in range(longest) for group in groups if rank < len(group)]
    return ordered[:count]


def _list(p: Parameters, cells, trained, drawn, distance, counts) -> dict[int, np.ndarray]:
    """FID → positions in ``cells``. A tile goes to those it was drawn for, then to those whose ejecta it holds, then to the nearest."""
    listed: dict[int, list[int]] = {crater.fid: [] for crater in trained}
    for index, cell in enumerate(cells):
        ranked = sorted(
            (cell not in drawn[fid], counts.of[fid].flat[cell] == 0, distance[fid].flat[cell], fid)
            for fid in listed
            if distance[fid].flat[cell] < p.max_distance_fraction
        )
        for *_, fid in ranked[: p.craters_per_tile]:
            listed[fid].append(index)
    return {fid: np.array(indices, dtype=np.int64) for fid, indices in listed.items()}


def _pairs(p: Parameters, cells, listed, distance, counts) -> np.ndarray:
    pairs = np.zeros((2, DISTANCE_BINS), np.int64)
    for fid, indices in listed.items():
        bins = np.floor(distance[fid].ravel()[cells[indices]] / p.max_distance_fraction * DISTANCE_BINS).astype(int)
        connected = (counts.of[fid].ravel()[cells[indices]] > 0).astype(int)
        np.add.at(pairs, (connected, bins), 1)
    return pairs


def _centres(p: Parameters, counts: TileCounts) -> np.ndarray:
    """Unit vectors of the cells' centres, (rows, columns, 3) float64."""
    lat = np.pi / 2 - (np.arange(counts.cells[0]) + 0.5) * counts.height * p.pixel
    lon = (np.arange(counts.cells[1]) + 0.5) * counts.width * p.pixel - np.pi
    x, y = np.cos(lat)[:, None] * np.cos(lon), np.cos(lat)[:, None] * np.sin(lon)
    return np.stack([x, y, np.broadcast_to(np.sin(lat)[:, None], x.shape)], axis=-1)


def _fractions(points: np.ndarray, crater: FreshCrater) -> np.ndarray:
    """Distance of points from a crater as a fraction of half the circumference (π·R)."""
    cos_lat = np.cos(crater.lat)
    centre = np.array([cos_lat * np.cos(crater.lon), cos_lat * np.sin(crater.lon), np.sin(crater.lat)])
    return np.arccos(np.clip(points @ centre, -1, 1)) / np.pi
