"""The interface of the models of this family."""

from __future__ import annotations

import torch
from torch import nn


class LatentModel(nn.Module):
    """What all models of this family can do, with crops (B, 1, S, S) as their pixels made them."""

    latent_dim: int

    def latents(self, crops_B1HW: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

    def loss(self, crops_B1HW: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
        """What training lowers; ``generator`` is for models that draw."""
        raise NotImplementedError

    def reconstruct(self, crops_B1HW: torch.Tensor) -> torch.Tensor | None:
        """None where there is no decoder."""
        raise NotImplementedError
