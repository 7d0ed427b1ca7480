"""What evaluation needs of the data: each hand-drawn crater with its drawn tiles, its mask and the tiles to map."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ...geo.layers import open_mosaic
from ...geo.mosaic import Mosaic
from . import stitch
from .craters import Crater, read_craters
from .prepare import read_table
from .scoring import Pieces
from .splits import split_rows
from .tile_positions import count_ejecta, read_positions

if TYPE_CHECKING:
    from ...config import Config


@dataclass(frozen=True)
class DrawnCrater:
    """``tiles``: its drawn cylindrical tiles (x, y, height, width, is_test); ``eval_tiles``: the azimuthal tiles that meet them."""

    crater: Crater
    tiles: pd.DataFrame
    eval_tiles: pd.DataFrame
    mask: Mosaic


@contextmanager
def opened(config: Config) -> Iterator[Mosaic]:
    config.data.require(config.mosaic, "the mosaic")
    with open_mosaic(config.mosaic, config.bands) as mosaic:
        yield mosaic


def drawn_craters(config: Config, mosaic: Mosaic, split: int) -> Iterator[DrawnCrater]:
    """Every crater with ``train = 1`` that has tiles in this TV-Test split."""
    data = config.data
    table = read_table(data.az_positions)
    tv, test = split_rows(table, split, data.az_positions)
    table = table.assign(is_test=np.isin(np.arange(len(table)), test)).iloc[np.sort(np.concatenate([tv, test]))]
    by_crater = dict(list(table.groupby("crat_FID")))
    for crater in read_craters(data.require(data.craters, "the crater list"), mosaic, config.run.crater_list):
        if not crater.train or crater.fid not in by_crater:
            continue
        positions = data.positions(crater.fid)
        drawn = read_positions(positions if positions.exists() else data.human_positions)
        tiles = drawn.merge(by_crater[crater.fid][["pos_index", "is_test"]], on="pos_index")
        eval_tiles = read_table(data.require(data.eval_positions(crater.fid), f"the tiles to map of crater {crater.fid}"))
        with Mosaic.open(data.require(data.mask(crater.fid), f"the ejecta mask of crater {crater.fid}"), labels=True) as mask:
            yield DrawnCrater(crater, tiles, eval_tiles[eval_tiles["train_intersect"] == 1].reset_index(drop=True), mask)


def land(values: np.ndarray, table: pd.DataFrame, crater: Crater, mosaic: Mosaic, threshold: float) -> Pieces:
    """Predicted tiles (N, S, S) brought to the mosaic's grid and thresholded: windows and boolean masks."""
    if table.empty:
        return []
    pieces = stitch.land(stitch.stitch(values, table), crater.grid(mosaic.grid), mosaic.grid)
    return [(window, mean[0] >= threshold) for window, mean in pieces]  # NaN, where no tile lies, is not


def truly_connected(drawn: DrawnCrater, mosaic: Mosaic) -> np.ndarray:
    """Which tiles to map hold hand-drawn ejecta: what a perfect connection network would say."""
    return np.array(count_ejecta(drawn.mask, drawn.crater.grid(mosaic.grid), drawn.eval_tiles), int) > 0
