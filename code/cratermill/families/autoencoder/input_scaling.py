"""From raw grey crops to what an encoder sees; part of the network, so that whoever loads its weights cannot scale pixels differently."""

from __future__ import annotations

import torch
from torch import nn

PERCENTILES = (0.01, 0.99)
DEVIATIONS = 4.0
"""``mean_std`` maps mean ± so many standard deviations of a crop to 0…1."""


class Pixels(nn.Module):
    """Raw grey values (B, 1, S, S), 0…255, to (B, 1, S, S) in 0…1.

    ``none`` divides by 255. ``percentile`` stretches each crop between its 1st and 99th percentile. ``mean_std`` puts each crop's mean at
    .5 and four standard deviations at 0 and 1. ``high_pass`` (0: off) first subtracts a Gaussian blur whose sigma is that share of the
    side, which removes slopes of brightness larger than the crater.
    """

    kernel: torch.Tensor

    def __init__(self, normalise: str = "none", high_pass: float = 0.0, size_px: int = 100):
        super().__init__()
        self.normalise, self.high_pass = normalise, high_pass
        if high_pass:
            self.register_buffer("kernel", _gaussian(high_pass * size_px), persistent=False)

    def forward(self, crops_B1HW: torch.Tensor) -> torch.Tensor:
        # Half precision has too few digits for differences of grey values.
        with torch.autocast(crops_B1HW.device.type, enabled=False):
            return self._scaled(crops_B1HW.float() / 255)

    def _scaled(self, values: torch.Tensor) -> torch.Tensor:
        if self.high_pass:
            values = (values - self._blurred(values) + 0.5).clamp(0, 1)
        if self.normalise == "none":
            return values
        flat = values.flatten(1)
        if self.normalise == "percentile":
            low, high = torch.quantile(flat, torch.tensor(PERCENTILES, device=flat.device), dim=1)
        else:
            middle, spread = flat.mean(1), DEVIATIONS * flat.std(1)
            low, high = middle - spread, middle + spread
        low, high = (edge[:, None, None, None] for edge in (low, high))
        return ((values - low) / (high - low).clamp_min(1e-3)).clamp(0, 1)

    def _blurred(self, values: torch.Tensor) -> torch.Tensor:
        half = len(self.kernel) // 2
        for shape, padding in (((1, 1, -1, 1), (0, 0, half, half)), ((1, 1, 1, -1), (half, half, 0, 0))):
            values = nn.functional.conv2d(nn.functional.pad(values, padding, mode="replicate"), self.kernel.view(shape))
        return values


def _gaussian(sigma_px: float) -> torch.Tensor:
    half = max(1, round(3 * sigma_px))
    weights = torch.exp(-(torch.arange(-half, half + 1, dtype=torch.float32) ** 2) / (2 * sigma_px**2))
    return weights / weights.sum()
