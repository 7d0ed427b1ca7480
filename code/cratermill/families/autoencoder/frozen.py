"""A published network as a frozen encoder, behind the same interface as the autoencoders."""

from __future__ import annotations

import torch

from ...networks.backbones import build_features
from ...networks.names import resolve
from .model import LatentModel

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's, which most published weights expect."""


class FrozenBackbone(LatentModel):
    """Grey crops as three equal bands; the latent is the mean of the deepest feature map. Nothing is ever trained."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, name: str, size_px: int, pretrained: bool):
        super().__init__()
        self.features = build_features(resolve(name, "timm"), 3, pretrained, (size_px, size_px)).requires_grad_(False)
        self.latent_dim = self.features.channels[-1]
        for what, values in (("mean", MEAN), ("std", STD)):
            self.register_buffer(what, torch.tensor(values)[:, None, None], persistent=False)

    def train(self, mode: bool = True) -> FrozenBackbone:
        """Stays in evaluation mode, so that batch statistics never change."""
        return super().train(False)

    @torch.no_grad()
    def latents(self, crops_B1HW: torch.Tensor) -> torch.Tensor:
        return self.features((crops_B1HW.expand(-1, 3, -1, -1) - self.mean) / self.std)[-1].mean((2, 3))

    def loss(self, crops_B1HW: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
        """Zero: there is nothing to learn."""
        return crops_B1HW.new_zeros(())

    def reconstruct(self, crops_B1HW: torch.Tensor) -> torch.Tensor | None:
        return None
