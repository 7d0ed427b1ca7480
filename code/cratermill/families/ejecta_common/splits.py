"""TV-Test splits of pairs of crater and drawn tile: random ones, craters or regions held out, subsets of the drawn tiles."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import shapely

from ...core.delimited import read_frame
from ...core.errors import InputError, nearest
from ...core.frames import rows_of
from ...samples import hold_outs
from ...samples.hold_outs import TV, UNUSED, Ways, held_out
from ...samples.splits import grouped_mask, stratified_mask
from .tile_positions import window_of

if TYPE_CHECKING:
    from pathlib import Path

    from ...config import Splits
    from ...geo.grid import Grid

Meets = Callable[[str], tuple[np.ndarray, np.ndarray]]
"""Of a file of regions: which pairs lie in them (middle of their tile), and which touch them, (n,) bool each."""


def add_splits(table: pd.DataFrame, splits: Splits, seed: int, meets: Meets) -> None:
    """Add ``test_0``, ``test_1``, … to the table of all pairs: first the random splits, then those held out, then the subsets."""
    columns = [random_split(table, splits, seed + number) for number in range(splits.count)]
    columns += [held_out(one, ways(table, meets), table["pos_index"].to_numpy()) for one in splits.hold_out]
    if splits.drawn_tiles and splits.drawn_of >= len(columns):
        raise InputError(f"splits.drawn_of is {splits.drawn_of}", valid=f"a split that isn't a subset itself: 0 to {len(columns) - 1}")
    columns += [subset(table, columns[splits.drawn_of], count, seed) for count in splits.drawn_tiles]
    for number, column in enumerate(columns):
        table[f"test_{number}"] = column


def random_split(table: pd.DataFrame, splits: Splits, seed: int) -> np.ndarray:
    """By row, as EJMAP does, or by ground tile, so that no ground is on both sides."""
    classes = table["split_class"].to_numpy()
    try:
        if splits.by == "tile":
            return grouped_mask(table["pos_index"].to_numpy(), classes, splits.test_fraction, seed).astype(int)
        return stratified_mask(classes, splits.test_fraction, seed).astype(int)
    except ValueError as error:
        raise InputError(
            f"too few drawn tiles for a TV-Test split: {error}", next_step="draw more tiles or lower splits.test_fraction"
        ) from error


def ways(table: pd.DataFrame, meets: Meets) -> Ways:
    """Pairs are found by their crater, and by where their tile lies."""

    def craters(fids: list[int]) -> tuple[np.ndarray, np.ndarray]:
        known = sorted(set(table["crat_FID"].tolist()))
        unknown = [fid for fid in fids if fid not in known]
        if unknown:
            raise InputError(f"splits.hold_out names the craters {unknown}, of which nothing was drawn", valid=", ".join(map(str, known)))
        return table["crat_FID"].isin(fids).to_numpy(), np.zeros(len(table), bool)

    return Ways("drawn tile", craters, meets)


def subset(table: pd.DataFrame, split: np.ndarray, count: int, seed: int) -> np.ndarray:
    """A split whose networks see ``count`` of another's TV tiles (with all their craters); smaller subsets lie within larger ones."""
    ground = table["pos_index"].to_numpy()
    tiles = np.random.default_rng(seed).permutation(np.unique(ground[split == TV]))
    if count > len(tiles):
        raise InputError(f"splits.drawn_tiles asks for {count} tiles", valid=f"at most {len(tiles)}, with which the split trains")
    return np.where((split == TV) & ~np.isin(ground, tiles[:count]), UNUSED, split)


def meeting(path: Path, grid: Grid, tiles: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Which drawn tiles (``x, y, height, width`` on the mosaic's grid) lie in polygons by their middle, and which touch one, (n,) bool."""
    from ...geo.polygons import to_plane

    def outlines() -> Iterator[tuple[float, float, shapely.Polygon]]:
        for tile in rows_of(tiles):
            window = window_of(tile)
            rows, cols = [window.row - 0.5, window.stop_row - 0.5], [window.col - 0.5, window.stop_col - 0.5]
            corners = grid.lonlat(np.array([rows[0], rows[0], rows[1], rows[1]]), np.array([cols[0], cols[1], cols[1], cols[0]]))
            lon, lat = (float(value) for value in grid.lonlat(sum(rows) / 2, sum(cols) / 2))
            yield lon, lat, to_plane(shapely.Polygon(np.column_stack(corners)), grid.body, lon, lat)

    return hold_outs.meeting(path, grid.body, outlines())


def require_splits(path: Path, splits: Iterable[int]) -> None:
    """Raise ``InputError`` where the table of pairs lacks one of these splits, or one of its sides is empty."""
    table = read_frame(path, next_step="run 'cratermill prepare CONFIG'")
    for split in splits:
        split_rows(table, split, path)


def split_rows(table: pd.DataFrame, split: int, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers (TV, Test) of one TV-Test split; rows marked -1 are in neither."""
    column = f"test_{split}"
    if column not in table:
        known = [name.removeprefix("test_") for name in table.columns if name.startswith("test_")]
        raise InputError(
            f"unknown TV-Test split {split}: {path} has no column {column}",
            valid=nearest(str(split), known) if known else "none: no split has been made",
            next_step="correct the row's test-set, or set splits.count in the config and run 'cratermill prepare CONFIG'",
        )
    flags = table[column].to_numpy()
    tv, test = np.flatnonzero(flags == 0), np.flatnonzero(flags == 1)
    if not len(tv) or not len(test):
        raise InputError(f"split {split} has {len(tv)} TV and {len(test)} Test tiles", next_step="draw more tiles, or another split")
    return tv, test
