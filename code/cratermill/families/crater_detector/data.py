"""Training data: pieces drawn from the tiles when they are asked for, with what each head learns from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.utils.data import Dataset

from ...core.seeds import seed_of
from ...craters.frequencies import list_end
from ...samples.sampler import EpochOrder, sample_seed
from ...training.cell import CellParams, Datasets
from ..craters_common.prepare import TileSet, folder_of
from ..craters_common.tiles import require_craters, require_parts, split_tiles
from .pieces import Drawing, other_light, piece
from .targets import RADII_PX, drawn

if TYPE_CHECKING:
    from ...config import Config
    from .hparams import Hparams

MOST = 512
"""Circles of a piece that are kept, the largest first: batches want arrays of one size."""


class Pieces(Dataset):
    """``image`` (C, side, side) float32, ``circles`` (MOST, 3) with NaN after the last, and for heat maps their targets.

    Pieces for validation and test are drawn once and for all, by their numbers, and keep their light.
    """

    def __init__(self, tiles: TileSet, rows: np.ndarray, hparams: Hparams, seed: int, training: bool = False):
        self.tiles, self.rows, self.hparams, self.seed, self.training = tiles, rows, hparams, seed, training
        scales = hparams.piece_scale_min, hparams.piece_scale_max
        around = hparams.around_share if training else 0.0
        self.list_end = list_end(np.concatenate([tiles.circles[row] for row in rows])[:, 2])
        self.drawing = Drawing(hparams.piece_px, scales, hparams.mosaic_share, hparams.rotation_deg, around)

    def __len__(self) -> int:
        return len(self.rows) * self.hparams.pieces_per_tile

    def __getitem__(self, key: int | tuple[int, int, int]) -> dict[str, torch.Tensor]:
        epoch, position, index = key if isinstance(key, tuple) else (0, key, key)
        rng = np.random.default_rng(sample_seed(self.seed, epoch, position))

        def others(count: int) -> list[tuple[np.ndarray, np.ndarray]]:
            return [self._tile(row) for row in self.rows[rng.integers(0, len(self.rows), count)]]

        image, circles, scale = piece(self._tile(self.rows[index % len(self.rows)]), others, self.drawing, rng)
        if self.training:
            image = other_light(image, self.tiles.spans, self.tiles.lit, rng)
        kept = circles[np.argsort(-circles[:, 2], kind="stable")][:MOST]
        padded = np.full((MOST, 3), np.nan, np.float32)
        padded[: len(kept)] = kept
        item = {"image": torch.from_numpy(np.ascontiguousarray(image, np.float32)), "circles": torch.from_numpy(padded)}
        if self.hparams.head != "heatmap":
            return item
        return item | drawn(kept, self.hparams.piece_px, RADII_PX) | {"list_end": torch.tensor(self.list_end * scale, dtype=torch.float32)}

    def _tile(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        return self.tiles.channels(row), self.tiles.circles[row]


class WholeTiles(Dataset):
    """``image`` (C, h, w) of tiles as they are, which is how the level of a map sees them that is as fine as the mosaic."""

    def __init__(self, tiles: TileSet, rows: np.ndarray):
        self.tiles, self.rows = tiles, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        return {"image": self.tiles.channels(self.rows[index])}


def datasets(config: Config, params: CellParams, hparams: Hparams) -> Datasets:
    tiles = TileSet(folder_of(config, params.family, hparams.data))
    require_craters(tiles, hparams)
    train, val, test = split_tiles(tiles, params, hparams)
    require_parts(train, val, test)
    fixed = seed_of(params.seed, "pieces") % 2**31
    learning = Pieces(tiles, train, hparams, params.seed, training=True)
    return Datasets(
        train=learning,
        val=Pieces(tiles, val, hparams, fixed),
        test=Pieces(tiles, test, hparams, fixed),
        sampler=EpochOrder(len(learning), params.seed),
        norm=tiles.norm,
        shown=WholeTiles(tiles, val),
    )
