"""The networks of one version at work on a crater's tiles."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from ...core.calibration import apply
from ..ejecta_common import tile_images as views
from ..ensemble import Ensemble, sampled_ahead
from .channels import distance_channel, midinput_vector, tile_distances_m

if TYPE_CHECKING:
    from ...geo.mosaic import Mosaic
    from ..ejecta_common.craters import Crater

STEPS = 4096
"""Probabilities are corrected by a table of so many steps."""


class EjectaEnsemble(Ensemble):
    """Segments a crater's ejecta on the tiles that hold them. ``corrected``: probabilities by the forecasts 0 … 1 (n,), or None."""

    corrected: torch.Tensor | None = None
    not_ground = 1

    def correct(self, how: dict[str, Any]) -> None:
        """Correct the members' probabilities from now on, but not their votes."""
        self.corrected = torch.from_numpy(apply(how, np.linspace(0, 1, STEPS + 1)).astype(np.float32)).to(self.device)

    def images(self, mosaic: Mosaic, crater: Crater, table: pd.DataFrame) -> torch.Tensor:
        """Raw channels (N, B + 1, S, S) of a crater's tiles, where they are sampled."""
        row, grid, bare_C = self.hparams, crater.grid(mosaic.grid), self.checkpoint.norm[0, : mosaic.count]
        image = torch.as_tensor(views.square_images(mosaic, grid, table, row.tile_size_px, bare_C, self.computing.sample_on)).float()
        place = table["x"], table["y"], table["height"], table["width"]
        metres = tile_distances_m(*place, grid.shape[0], grid.resolution_m, row.tile_size_px, image.device)
        distance = distance_channel(metres, np.full(len(table), crater.radius_m), row.distance_mode, row.log_dist)
        return torch.cat([image, distance[:, None]], dim=1)

    def vector(self, mosaic: Mosaic, crater: Crater) -> np.ndarray | None:
        """The mid-level vector (1, M) of all tiles of a crater."""
        row, bare_C = self.hparams, self.checkpoint.norm[0, : mosaic.count]
        if not row.accept_midinput:
            return None
        mean, radius = views.annulus_mean(mosaic, crater, tuple(row.buffer_bounds)), np.array([crater.radius_m])
        return midinput_vector(mean[None], radius, row.distance_mode, row.log_dist, bare_C)

    def answers(self, mosaic: Mosaic, crater: Crater, table: pd.DataFrame) -> Generator[torch.Tensor, None, None]:
        """Share of members whose mask holds a pixel, and mean probability, (n, 2, S, S) float32 where the networks compute; of some tiles
        after others."""
        vector = self.vector(mosaic, crater)
        for image in sampled_ahead(table, lambda part: self.images(mosaic, crater, part)):
            extra = None if vector is None else np.repeat(vector, len(image), axis=0)
            probability = self.probabilities(image, extra)[:, :, 0]
            share = (probability > 0.5).float().mean(0)
            if self.corrected is not None:
                probability = self.corrected[(probability * STEPS).round().long()]
            yield torch.stack([share, probability.mean(0)], dim=1)

    def predict(self, mosaic: Mosaic, crater: Crater, table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Both of all tiles: two (N, S, S) float32."""
        size, done = self.hparams.tile_size_px, 0
        found = np.empty((len(table), 2, size, size), np.float32)
        for answer in self.answers(mosaic, crater, table):
            found[done : done + len(answer)] = answer.cpu()
            done += len(answer)
        return found[:, 0], found[:, 1]
