"""The convolutional autoencoder: four strided convolutions, a linear bottleneck, and the way back."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

from .model import LatentModel

CHANNELS = (16, 32, 64, 128)


class ConvAutoencoder(LatentModel):
    """Crops (B, 1, S, S) in 0…1 to latents (B, latent_dim) and back.

    Encoder: 3 × 3 convolutions of stride 2 with 16, 32, 64, 128 channels, ReLU, then a linear layer; the decoder mirrors it and ends in a
    sigmoid. Sides are halved rounding up (100 → 50 → 25 → 13 → 7) and doubled back to the very same sizes.
    """

    def __init__(self, size_px: int = 100, latent_dim: int = 20):
        super().__init__()
        self.size_px, self.latent_dim = size_px, latent_dim
        sides = sides_of(size_px)
        features = CHANNELS[-1] * sides[-1] ** 2
        self.encoder = nn.Sequential(*_down(), nn.Flatten(), nn.Linear(features, latent_dim))
        start = nn.Unflatten(1, (CHANNELS[-1], sides[-1], sides[-1]))
        self.decoder = nn.Sequential(nn.Linear(latent_dim, features), nn.ReLU(), start, *_up(sides), nn.Sigmoid())

    def latents(self, crops_B1HW: torch.Tensor) -> torch.Tensor:
        return self.encoder(crops_B1HW)

    def reconstruct(self, crops_B1HW: torch.Tensor) -> torch.Tensor:
        return self.decoder(self.encoder(crops_B1HW))

    def loss(self, crops_B1HW: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
        """Mean squared error over all pixels; ``generator`` is for models that draw."""
        return nn.functional.mse_loss(self.reconstruct(crops_B1HW).float(), crops_B1HW)


def sides_of(size_px: int) -> list[int]:
    """Sides before and after every halving: 100, 50, 25, 13, 7."""
    sides = [size_px]
    for _ in CHANNELS:
        sides.append((sides[-1] + 1) // 2)
    return sides


def _down() -> list[nn.Module]:
    layers: list[nn.Module] = []
    for inner, outer in pairwise((1, *CHANNELS)):
        layers += [nn.Conv2d(inner, outer, 3, stride=2, padding=1), nn.ReLU()]
    return layers


def _up(sides: list[int]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for inner, outer, (small, large) in zip(CHANNELS[::-1], (*CHANNELS[-2::-1], 1), pairwise(sides[::-1]), strict=True):
        # A transposed convolution of stride 2 gives 2n − 1 pixels; one more where the side was even.
        layers += [nn.ConvTranspose2d(inner, outer, 3, stride=2, padding=1, output_padding=large - (2 * small - 1)), nn.ReLU()]
    return layers[:-1]
