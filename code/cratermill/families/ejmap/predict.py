"""Ensembles of trained iterations: each tile is read once and goes through all members."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from ...errors import InputError
from ...stages.device import is_bf16_fast, torch_device
from .. import get_family
from ..base import CellParams
from ..checkpoint import Checkpoint, load
from ..ejecta.channels import distance_channel, midinput_vector, tile_distances_m
from . import views

if TYPE_CHECKING:
    from ...mosaic import Mosaic
    from .craters import Crater

CHUNK = 32
"""Tiles sampled and predicted at a time: bounds the memory, changes no result."""


class Ensemble:
    """The networks of one version's checkpoints, in evaluation mode."""

    def __init__(self, checkpoints: Iterable[Checkpoint], paths: list[Path], device: torch.device | None = None):
        self.device, self.networks = device or torch_device(), []
        for checkpoint, path in zip(checkpoints, paths, strict=True):
            if not self.networks:
                self.checkpoint = replace(checkpoint, state_dict={})
            # One at a time: the weights of a whole ensemble are held once, in its networks.
            self.networks.append(_network(checkpoint, path, self.device))
        self.hparams = get_family(self.checkpoint.family).hparams_model().from_plan(self.checkpoint.hparams)

    @classmethod
    def load(cls, paths: list[Path], family: str, version: int, device: torch.device | None = None):
        """Read checkpoints of one version; raises ``InputError`` if there are none, or one is damaged or of another version."""
        if not paths:
            raise InputError(f"no checkpoint of {family} version {version} was found", next_step="train that version first")
        return cls((load(path, family, version) for path in paths), list(paths), device)

    def __len__(self) -> int:
        return len(self.networks)

    def renormalise(self, norm: np.ndarray) -> None:
        """Other offsets and divisors (2, C) for raw input than those of the training."""
        self.checkpoint = replace(self.checkpoint, norm=norm)
        for network in self.networks:
            network.set_norm(norm)

    @torch.inference_mode()
    def probabilities(self, image_BCHW: np.ndarray, extra_BM: np.ndarray | None = None) -> torch.Tensor:
        """Sigmoid of each member's logits for raw inputs: (members, B, ...) float32."""
        image = torch.from_numpy(image_BCHW).to(self.device)
        if is_bf16_fast() or self.device.type == "cuda":
            image = image.to(memory_format=torch.channels_last)
        extra = () if extra_BM is None else (torch.from_numpy(extra_BM).to(self.device),)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda" or is_bf16_fast()):
            return torch.stack([network(image, *extra).float().sigmoid() for network in self.networks])


def _network(checkpoint: Checkpoint, path: Path, device: torch.device) -> torch.nn.Module:
    params = CellParams(
        checkpoint.family,
        checkpoint.version,
        checkpoint.split,
        checkpoint.iteration,
        checkpoint.seed,
        checkpoint.hparams | {"pretrained": False},
    )
    network = get_family(checkpoint.family).task(params, checkpoint.norm).network
    checkpoint.load_into(network, path)
    if is_bf16_fast() or device.type == "cuda":
        network = network.to(memory_format=torch.channels_last)
    return network.to(device).eval()


def _chunks(table: pd.DataFrame) -> Iterator[pd.DataFrame]:
    for start in range(0, len(table), CHUNK):
        yield table.iloc[start : start + CHUNK]


class ConnectionEnsemble(Ensemble):
    """Says which tiles hold a crater's ejecta."""

    def connection(self, mosaic: Mosaic, crater: Crater, table: pd.DataFrame) -> np.ndarray:
        """Each member's probability that a tile holds ejecta of the crater: (members, N) float32."""
        row, parts = self.hparams, []
        for part in _chunks(table):
            image, attention = views.pair_images(mosaic, crater, part, row.pair_layout, row.tile_size_px, row.pair_crater_radii)
            channels = np.concatenate([image.astype(np.float32), attention[:, None].astype(np.float32)], axis=1)
            parts.append(self.probabilities(channels)[..., 0].cpu().numpy())
        return np.concatenate(parts, axis=1) if parts else np.zeros((len(self), 0), np.float32)

    def votes(self, mosaic: Mosaic, crater: Crater, table: pd.DataFrame) -> np.ndarray:
        """Each member's yes or no: (members, N) bool."""
        return self.connection(mosaic, crater, table) > 0.5


class EjectaEnsemble(Ensemble):
    """Segments a crater's ejecta on the tiles that hold them."""

    def inputs(self, mosaic: Mosaic, crater: Crater, table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray | None]:
        """Raw channels (N, B + 1, S, S) and mid-level vectors (N, M) of a crater's tiles."""
        row, grid = self.hparams, crater.grid(mosaic.grid)
        image = views.square_images(mosaic, grid, table, row.tile_size_px)
        metres = tile_distances_m(
            table["x"], table["y"], table["height"], table["width"], grid.shape[0], grid.resolution_m, row.tile_size_px
        )
        radius = np.full(len(table), crater.radius_m)
        distance = distance_channel(metres, radius, row.distance_mode, row.log_dist)
        channels = np.concatenate([image.astype(np.float32), distance[:, None]], axis=1)
        if not row.accept_midinput:
            return channels, None
        mean = views.annulus_mean(mosaic, crater, tuple(row.buffer_bounds))
        vector = midinput_vector(mean[None], radius[:1], row.distance_mode, row.log_dist, self.checkpoint.norm[0, : mosaic.count])
        return channels, np.repeat(vector, len(table), axis=0)

    def predict(self, mosaic: Mosaic, crater: Crater, table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Share of members whose mask holds a pixel, and mean probability: two (N, S, S) float32."""
        size = self.hparams.tile_size_px
        share, mean = (np.empty((len(table), size, size), np.float32) for _ in range(2))
        done = 0
        for part in _chunks(table):
            probability = self.probabilities(*self.inputs(mosaic, crater, part))[:, :, 0]
            share[done : done + len(part)] = (probability > 0.5).float().mean(0).cpu().numpy()
            mean[done : done + len(part)] = probability.mean(0).cpu().numpy()
            done += len(part)
        return share, mean
