"""Which tiles to draw next: those where a map's members disagree, that are unlike what was drawn, and unlike each other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ..analysis.masks import SHARE_NAME
from ..core.errors import InputError
from ..geo.mosaic import Mosaic
from .drawing_folder import Tile
from .ground import Ground

CELLS = 4
"""Each tile's brightness is looked at in so many times so many cells."""
FLOOR = 0.2
"""Weight of a tile on whose pixels all members agree, where the most disputed one has 1 + this."""
COLUMNS = ["crat_FID", "x", "y", "width", "height", "score", "disagreement", "unlike_drawn"]


@dataclass(frozen=True)
class Candidates:
    """Pairs of crater and tile, with what is known of each. ``features`` (n, k) are standardised over the candidates."""

    tiles: list[Tile]
    features: np.ndarray
    disagreement: np.ndarray


def brightness(mosaic: Mosaic, ground: Ground) -> np.ndarray:
    """Mean and deviation of each band in every tile of the ground, (n, 2 · bands), from a reduced picture of the mosaic."""
    (height, width), grid = ground.tile_px, ground.grid
    rows, cols = grid.height // height, grid.width // width
    shape = (round(grid.height / height * CELLS), round(grid.width / width * CELLS))
    small = np.nan_to_num(mosaic.reduced(shape).astype(np.float32))
    small = small[:, : rows * CELLS, : cols * CELLS] if shape[0] >= rows * CELLS and shape[1] >= cols * CELLS else small
    cells = small.reshape(len(small), rows, CELLS, cols, CELLS)
    found = np.concatenate([cells.mean((2, 4)), cells.std((2, 4))])
    return found[:, ground.corners[:, 0] // height, ground.corners[:, 1] // width].T


def candidates(ground: Ground, looks: np.ndarray, fids: Iterable[int], votes: Path | None) -> Candidates:
    """Every tile within reach of the named craters. ``votes``: a map's folder with the shares of its members' votes.

    InputError where the map holds votes of none of them; craters that it lacks count as agreed upon.
    """
    tiles, rows, disputes, fids = [], [], [], list(fids)
    if votes is not None and fids and not any((votes / SHARE_NAME.format(fid=fid)).exists() for fid in fids):
        raise InputError(
            f"{votes} holds no vote shares of these {len(fids)} craters ({SHARE_NAME.format(fid='{FID}')})",
            valid="a map made by an ensemble of networks",
            next_step="leave out --map: tiles are then chosen by how unlike they are to those drawn",
        )
    for fid in fids:
        crater, near = ground.craters[fid], np.flatnonzero(ground.strata(fid) >= 0)
        own = [ground.tile(fid, ground.corners[at]) for at in near]
        distance = np.log1p(ground.distances_m(fid)[near] / crater.radius_m)
        rows.append(np.column_stack([distance, np.full(len(near), np.log(crater.radius_m)), looks[near]]))
        disputes.append(_disagreement(own, ground, votes / SHARE_NAME.format(fid=fid) if votes else None))
        tiles += own
    features = np.concatenate(rows) if rows else np.zeros((0, 2))
    spread = features.std(0)
    standard = (features - features.mean(0)) / np.where(spread > 0, spread, 1) if len(features) else features
    # The bands say one thing together: as much as distance and size.
    standard[:, 2:] /= np.sqrt(max(standard.shape[1] - 2, 1) / 2)
    return Candidates(tiles, standard, np.concatenate(disputes) if disputes else np.zeros(0))


def _disagreement(tiles: list[Tile], ground: Ground, path: Path | None) -> np.ndarray:
    """Mean over each tile's pixels of 4·p·(1 − p), of vote shares and of mean probabilities: 1 where half of the members say so."""
    found = np.zeros(len(tiles))
    if path is None or not path.exists():
        return found
    with Mosaic.open(path) as raster:
        place = ground.grid.window_of(raster.grid, f"the vote shares {path}")
        for number, tile in enumerate(tiles):
            for _, part in tile.window.shared(place, ground.grid.period_px):
                share = np.nan_to_num(raster.read(part)).reshape(raster.count, -1)  # (bands, n)
                found[number] += float((4 * share * (1 - share)).sum() / len(share) / (tile.height * tile.width))
    return found


def suggest(found: Candidates, drawn: Iterable[Tile], count: int) -> pd.DataFrame:
    """The ``count`` most useful tiles, best first (``COLUMNS``).

    One after another the tile with the largest product of disagreement and distance, in features, from all that are drawn or chosen.
    """
    old = set(drawn)
    known = np.array([tile in old for tile in found.tiles], bool)
    nearest = np.full(len(found.tiles), np.inf)
    for one in np.flatnonzero(known):
        np.minimum(nearest, _from(found, int(one)), out=nearest)
    if not known.any():
        nearest = np.linalg.norm(found.features, axis=1) + 1
    unlike = nearest.copy()
    weight = FLOOR + found.disagreement / max(found.disagreement.max(initial=0), 1e-9)
    free = ~known
    rows: list[tuple[float, ...]] = []
    while free.any() and len(rows) < count:
        score = np.where(free, weight * nearest, -1)
        at = int(score.argmax())
        tile = found.tiles[at]
        rows.append((tile.fid, *tile.place, float(score[at]), float(found.disagreement[at]), float(unlike[at])))
        free[at] = False
        np.minimum(nearest, _from(found, at), out=nearest)
    return pd.DataFrame(rows, columns=COLUMNS)


def _from(found: Candidates, at: int) -> np.ndarray:
    return np.linalg.norm(found.features - found.features[at], axis=1)
