"""Comparing a crater's predicted mask with the hand-drawn one inside the drawn tiles, by counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ...geo.grid import Grid, Window
from ...training.binary_scores import binary_scores
from .tile_positions import window_of

if TYPE_CHECKING:
    from ...geo.mosaic import Mosaic

CRATER_SCORES = "eval_craters.csv"
"""Pixel scores of each drawn crater, beside the metrics of all."""
Pieces = list[tuple[Window, np.ndarray]]
"""Parts of a mask on the mosaic's grid, each with its window; outside them the mask is 0."""


class TileScores:
    """Pixel and tile counts (tp, fp, fn, tn), over all drawn tiles and over the Test tiles alone; holds eight numbers per group."""

    def __init__(self) -> None:
        self.pixels = {"": np.zeros(4, np.int64), "test_": np.zeros(4, np.int64)}
        self.tiles = {"": np.zeros(4, np.int64), "test_": np.zeros(4, np.int64)}

    def add(self, predicted: np.ndarray, drawn: np.ndarray, is_test: bool) -> None:
        """One tile: two boolean arrays (h, w)."""
        pixels = count(predicted, drawn)
        tile = count(np.array([predicted.any()]), np.array([drawn.any()]))
        for group in ("", "test_") if is_test else ("",):
            self.pixels[group] += pixels
            self.tiles[group] += tile

    def scores(self) -> dict[str, float]:
        """``F1_Score``, ``conn_F1_Score``, ``test_F1_Score``, ``test_conn_F1_Score`` and so on; the last also by EJMAP's name."""
        found: dict[str, float] = {}
        for group in ("", "test_"):
            found |= {f"{group}{name}": value for name, value in binary_scores(*self.pixels[group].tolist()).items()}
            tiles = binary_scores(*self.tiles[group].tolist())
            for prefix in dict.fromkeys((f"{group}conn_", f"conn_{group}")):
                found |= {f"{prefix}{name}": value for name, value in tiles.items()}
        return found


def count(predicted: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """True positives, false positives, false negatives, true negatives of two boolean arrays."""
    both, found, true = (int(np.count_nonzero(part)) for part in (predicted & drawn, predicted, drawn))
    return np.array([both, found - both, true - both, predicted.size - found - true + both], np.int64)


def score_crater(scores: TileScores, pieces: Pieces, tiles: pd.DataFrame, mask: Mosaic, mosaic_grid: Grid) -> dict[str, float]:
    """Add one crater's drawn tiles (``x, y, height, width, is_test``) to the scores; returns its own, of pixels."""
    before = scores.pixels[""].copy()
    place = mosaic_grid.window_of(mask.grid, f"the mask {mask.path}")
    for tile in tiles.itertuples():
        window = window_of(tile)
        drawn = mask.read_mask(window.within(place))
        scores.add(cut(pieces, window, mosaic_grid.period_px), drawn, bool(tile.is_test))
    return binary_scores(*(scores.pixels[""] - before).tolist())


def cut(pieces: Pieces, window: Window, period: int | None) -> np.ndarray:
    """The part of a mask inside a window; pieces may lie a whole turn away."""
    out = np.zeros((window.height, window.width), bool)
    for piece, values in pieces:
        for here, part in window.shared(piece, period):
            out[here.slices] |= values[part.slices].astype(bool)
    return out
