"""The networks of one version at work on a crater's tiles."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from ...samples.sending import sent
from ..ejecta_common import tile_images as views
from ..ensemble import Ensemble, fetched, sampled_ahead

if TYPE_CHECKING:
    from ...geo.mosaic import Mosaic
    from ..ejecta_common.craters import Crater


class ConnectionEnsemble(Ensemble):
    """Says which tiles hold a crater's ejecta."""

    not_ground = 1

    def answers(self, mosaic: Mosaic, crater: Crater, table: pd.DataFrame) -> Generator[torch.Tensor, None, None]:
        """Each member's probability that a tile holds ejecta of the crater, (members, n) float32 where the networks compute; of some tiles
        after others."""
        row, bare_C, device = self.hparams, self.checkpoint.norm[0, : mosaic.count], self.computing.sample_on

        def channels(part: pd.DataFrame) -> torch.Tensor:
            layout = row.pair_layout, row.tile_size_px, row.pair_crater_radii
            found, attention = views.pair_images(mosaic, crater, part, *layout, bare_C, device)
            image = torch.as_tensor(found).float()
            return torch.cat([image, sent(attention[:, None], image.device).float()], dim=1)

        for image in sampled_ahead(table, channels):
            yield self.probabilities(image)[..., 0]

    def connection(self, mosaic: Mosaic, crater: Crater, table: pd.DataFrame) -> np.ndarray:
        """The same of all tiles, (members, N)."""
        parts = [fetched(answer) for answer in self.answers(mosaic, crater, table)]
        return np.concatenate([np.zeros((len(self), 0), np.float32), *parts], axis=1)
