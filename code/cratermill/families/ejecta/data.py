"""Training data of the ejecta family: tiles that hold a crater's ejecta, its mask, and how far the crater is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch.utils.data import Dataset

from ...core.errors import InputError
from ...core.files import read_json
from ...geo.layers import open_mosaic
from ...geo.mosaic import Mosaic
from ...samples.augment import bands_first, bands_last
from ...samples.batch_augment import parted
from ...samples.sampler import EpochOrder, build_augmenter, sample_seed, train_val
from ...samples.store import Store
from ...training.cell import CellParams, Datasets
from ...training.normalised import channel_norm
from ..ejecta_common.prepare import square_view
from ..ejecta_common.splits import split_rows
from .channels import FIXED_NORMS, distance_channel, midinput_vector, tile_distances_m

if TYPE_CHECKING:
    from ...config import Config
    from ...samples.augment import Augmenter
    from .hparams import Hparams


class Tiles(Dataset):
    """Raw tiles: ``image`` (B + 1, S, S) float32 (bands, then distance), ``target`` (1, S, S) 0/1, and ``extra`` (M,) where wanted."""

    def __init__(
        self,
        stack: Store,
        rows: np.ndarray,
        distance: np.ndarray,
        extra: np.ndarray | None,
        augmenter: Augmenter | None = None,
        seed: int = 0,
        known: dict[str, list[float]] | None = None,
    ):
        self.known = known or {}
        self.image, self.mask = stack.array("image"), stack.array("mask")
        self.rows, self.distance, self.extra, self.augmenter, self.seed = rows, distance, extra, augmenter, seed

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: int | tuple[int, int, int]) -> dict[str, torch.Tensor]:
        epoch, position, index = key if isinstance(key, tuple) else (0, 0, key)
        row = self.rows[index]
        image, mask, distance = np.asarray(self.image[row]), np.asarray(self.mask[row]), self.distance[row]
        if self.augmenter is not None:
            image, mask, distance = self._augment(self.augmenter, image, mask, distance, sample_seed(self.seed, epoch, position))
        item = {
            "image": torch.from_numpy(np.concatenate([image.astype(np.float32), distance[None]])),
            "target": torch.from_numpy(mask[None].astype(np.float32)),
        }
        return item if self.extra is None else item | {"extra": torch.from_numpy(self.extra[row])}

    @staticmethod
    def _augment(
        augmenter: Augmenter, image_CHW: np.ndarray, mask_HW: np.ndarray, distance_HW: np.ndarray, seed: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        coloured = augmenter.colour(bands_last(image_CHW), seed)
        image, mask, distance = augmenter.geometry([coloured, mask_HW, distance_HW], seed)
        return bands_first(image), mask, distance


def datasets(config: Config, params: CellParams, hparams: Hparams) -> Datasets:
    """Train, validation and test tiles of one cell, its sample order and its normalisation (2, B + 1)."""
    stack = Store(config.data.stack("ejc_data", square_view(hparams.tile_size_px)))
    table = stack.rows()
    tv, test = split_rows(table, params.split, config.data.az_positions)
    train, val = train_val(table["split_class"].to_numpy()[tv], hparams.val_frac, params.seed)
    distance = stack_distances(table, config, hparams)
    norm = bands_and_distance_norm(stack, distance, tv, config, hparams)
    extra = crater_vectors(table, config, hparams, norm) if hparams.accept_midinput else None
    augmenter = build_augmenter(True, hparams.img_augment)
    each, together = parted(augmenter, config.run.trainer.augment_on, params.seed, stack.array("image"))
    weights = overlap_weights(table.iloc[tv[train]], hparams.num_1_factor, hparams.num_1_point95)
    return Datasets(
        train=Tiles(stack, tv[train], distance, extra, each, params.seed),
        val=Tiles(stack, tv[val], distance, extra, known={"reach": [reach(table.iloc[tv])]}),
        test=Tiles(stack, test, distance, extra),
        sampler=EpochOrder(len(train), params.seed, weights),
        norm=norm,
        augment=together,
        fixed=each is None,
    )


def reach(table: pd.DataFrame) -> float:
    """How far drawn ejecta lie from their craters in the mean, in crater radii: median over craters. By the middles of their tiles."""
    radii = table["num_1"] * table["distance"] / table["radius"]
    return float((radii.groupby(table["crat_FID"]).sum() / table["num_1"].groupby(table["crat_FID"]).sum()).median())


def stack_distances(table: pd.DataFrame, config: Config, hparams: Hparams) -> np.ndarray:
    """The distance channel (N, S, S) of every training tile."""
    with open_mosaic(config.mosaic, config.bands) as mosaic:
        resolution_m = mosaic.grid.resolution_m
        grid_size = azimuthal_size(mosaic)
    metres = tile_distances_m(table["x"], table["y"], table["height"], table["width"], grid_size, resolution_m, hparams.tile_size_px)
    return distance_channel(metres, table["radius"].to_numpy(), hparams.distance_mode, hparams.log_dist).numpy()


def azimuthal_size(mosaic: Mosaic) -> int:
    """Pixels along a side of the conceptual azimuthal raster: the same for every crater."""
    from ...geo.grid import azimuthal_grid

    return azimuthal_grid(mosaic.grid.body, 0.0, 0.0, mosaic.grid.resolution_m).shape[0]


def bands_and_distance_norm(stack: Store, distance: np.ndarray, tv: np.ndarray, config: Config, hparams: Hparams) -> np.ndarray:
    """Offsets and divisors (2, B + 1), measured on the TV tiles or fixed."""
    if hparams.norm_from_train:
        return np.column_stack([channel_norm(np.asarray(stack.array("image")[tv])), channel_norm(distance[tv][:, None])])
    fixed = read_json(config.data.img_norm)
    return np.column_stack([[fixed["mean"], fixed["std"]], FIXED_NORMS[hparams.distance_mode, hparams.log_dist]])


def crater_vectors(table: pd.DataFrame, config: Config, hparams: Hparams, norm: np.ndarray) -> np.ndarray:
    """The mid-level vector of every training tile, (N, M) raw."""
    assert hparams.buffer_bounds is not None, "rows with accept_midinput have them"
    inner, outer = hparams.buffer_bounds
    annuli = pd.read_csv(config.data.annuli) if config.data.annuli.exists() else pd.DataFrame({"inner": [], "outer": [], "crat_FID": []})
    annuli = annuli[(annuli["inner"] == inner) & (annuli["outer"] == outer)].set_index("crat_FID")
    missing = sorted(set(table["crat_FID"]) - set(annuli.index))
    if missing:
        raise InputError(
            f"no annulus of ({inner:g}, {outer:g}) radii was measured for craters {missing[:5]}",
            next_step="run 'cratermill prepare CONFIG'",
        )
    bands = [name for name in annuli.columns if name.startswith("mean_")]
    means = annuli[bands].loc[table["crat_FID"].to_numpy()].to_numpy()
    return midinput_vector(means, table["radius"].to_numpy(), hparams.distance_mode, hparams.log_dist, norm[0, : means.shape[1]])


def overlap_weights(table: pd.DataFrame, factor: float | None, point95: float | None) -> np.ndarray | None:
    """Weights 1 + factor·s(h_num_1 / num_1): tiles crowded by others' ejecta are drawn more often; None without a factor.

    s is a hyperbolic tangent, 0 where the tile holds the crater's ejecta alone and .95 at ``point95``. The 1 keeps such tiles
    in the draw and lets ``factor`` matter: a factor on the whole weight would cancel out.
    """
    if factor is None:
        return None
    crowding = table["h_num_1"].to_numpy(float) / table["num_1"].to_numpy(float)
    return 1 + factor * np.tanh(np.arctanh(0.95) * (crowding - 1) / ((point95 or 10.0) - 1))
