"""A network together with its input normalisation, so that whoever loads the weights cannot normalise differently."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn


class Normalised(nn.Module):
    """Takes raw channels (B, C, H, W), subtracts offsets, divides by divisors, and calls the network.

    ``norm``: (2, C), row 0 offsets, row 1 divisors. ``extra`` maps a raw vector (B, M), where the network takes one;
    its entries are normalised like the channels named in ``extra_channels``.
    """

    offset: torch.Tensor
    divisor: torch.Tensor

    def __init__(self, network: nn.Module, norm: np.ndarray, extra_channels: list[int] | None = None):
        super().__init__()
        self.network = network
        self.extra_channels = extra_channels
        offset, divisor = torch.as_tensor(np.asarray(norm), dtype=torch.float32)
        self.register_buffer("offset", offset)
        self.register_buffer("divisor", divisor)

    def set_norm(self, norm: np.ndarray) -> None:
        """Other offsets and divisors (2, C), on the device where the network is."""
        offset, divisor = torch.as_tensor(np.asarray(norm), dtype=torch.float32)
        self.offset.copy_(offset)
        self.divisor.copy_(divisor)

    def forward(self, image_BCHW: torch.Tensor, extra_BM: torch.Tensor | None = None) -> torch.Tensor:
        image = (image_BCHW - self.offset[:, None, None]) / self.divisor[:, None, None]
        if self.extra_channels is None or extra_BM is None:
            return self.network(image)
        extra = (extra_BM - self.offset[self.extra_channels]) / self.divisor[self.extra_channels]
        return self.network(image, extra)


def channel_norm(channels: np.ndarray, *, batch: int = 256) -> np.ndarray:
    """Offsets and divisors (2, C) of samples (N, C, H, W): mean and standard deviation, in one pass, NaN left out."""
    count: np.ndarray | float = 0.0
    total: np.ndarray | float = 0.0
    square: np.ndarray | float = 0.0
    for start in range(0, len(channels), batch):
        part = np.asarray(channels[start : start + batch], np.float64)
        finite = np.isfinite(part)
        part = np.where(finite, part, 0)
        count = count + finite.sum((0, 2, 3))
        total = total + part.sum((0, 2, 3))
        square = square + (part**2).sum((0, 2, 3))
    mean = total / count
    deviation = np.sqrt(np.maximum(square / count - mean**2, 0))
    return np.stack([mean, np.where(deviation > 0, deviation, 1.0)])
