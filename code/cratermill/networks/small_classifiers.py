"""Small networks for chips: the original pseudo-label CNN, the plain CNN, and the two halves of the semi-supervised GAN.

Inputs are (B, 1, s, s), normalised; outputs are logits (B, K), or (B, 1) for two classes where a network has one output.
"""

from __future__ import annotations

import torch
from torch import nn

from ..core.errors import InputError

NOISE_SIZE = 100
SLOPE = 0.2


class ChipCNN(nn.Sequential):
    """The pseudo-label project's CNN; 14 033 parameters at 48 × 48 with one output."""

    def __init__(self, size_px: int = 48, outputs: int = 1):
        side = ((size_px - 2) // 3 - 2) // 2
        if side < 1:
            raise InputError(f"chips of {size_px} px are too small for this CNN", valid="11 px at least", next_step="raise chip_size_px")
        super().__init__(
            *(nn.Conv2d(1, 16, 3), nn.ReLU(), nn.MaxPool2d(3)),
            *(nn.Conv2d(16, 32, 3), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(32 * side * side, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, outputs)),
        )
        _keras_initialised(self)


class PlainCNN(nn.Sequential):
    """The plain CNN that the semi-supervised GAN is compared with; 121 409 parameters at 32 × 32 with one output."""

    def __init__(self, size_px: int = 32, outputs: int = 1):
        side = ((size_px - 2) // 2 - 2) // 2 - 2
        if side < 1:
            raise InputError(f"chips of {size_px} px are too small for this CNN", valid="18 px at least", next_step="raise chip_size_px")
        super().__init__(
            *(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(64, 64, 3), nn.ReLU(), nn.Flatten()),
            *(nn.Linear(64 * side * side, 64), nn.ReLU(), nn.Linear(64, outputs)),
        )
        _keras_initialised(self)


class Discriminator(nn.Module):
    """Logits of the K real classes (B, K); whether a chip is real follows from the same logits (:func:`real_logit`)."""

    def __init__(self, classes: int = 2, size_px: int = 32, width: int = 128, dropout: float = 0.4):
        super().__init__()
        require_multiple_of_8(size_px)
        layers: list[nn.Module] = []
        for channels in (1, width, width):
            layers += [nn.Conv2d(channels, width, 3, stride=2, padding=1), nn.LeakyReLU(SLOPE)]
        self.body, self.dropout = nn.Sequential(*layers, nn.Flatten()), nn.Dropout(dropout)
        self.head = nn.Linear(width * (size_px // 8) ** 2, classes)

    def features(self, chips: torch.Tensor) -> torch.Tensor:
        """The last layer before the logits (B, F), which feature matching compares."""
        return self.body(chips)

    def forward(self, chips: torch.Tensor) -> torch.Tensor:
        return self.head(self.dropout(self.features(chips)))


class Generator(nn.Module):
    """Chips (B, 1, s, s) from −1 to 1 out of noise (B, NOISE_SIZE)."""

    def __init__(self, size_px: int = 32, width: int = 128):
        super().__init__()
        require_multiple_of_8(size_px)
        self.width, self.side = width, size_px // 4
        self.dense = nn.Linear(NOISE_SIZE, width * self.side**2)
        self.body = nn.Sequential(
            nn.LeakyReLU(SLOPE),
            *(nn.ConvTranspose2d(width, width, 4, stride=2, padding=1), nn.LeakyReLU(SLOPE)),
            *(nn.ConvTranspose2d(width, width, 4, stride=2, padding=1), nn.LeakyReLU(SLOPE)),
            *(nn.ZeroPad2d((3, 4, 3, 4)), nn.Conv2d(width, 1, 8), nn.Tanh()),
        )

    def forward(self, noise: torch.Tensor) -> torch.Tensor:
        return self.body(self.dense(noise).view(-1, self.width, self.side, self.side))


def real_logit(logits_BK: torch.Tensor) -> torch.Tensor:
    """log Z (B,) with Z = Σ exp(l_k): the chance of being real, D = Z / (1 + Z), is its sigmoid (Salimans et al. 2016, section 5).

    Finite for any finite logits, where Z itself would overflow.
    """
    return torch.logsumexp(logits_BK, dim=1)


def require_multiple_of_8(size_px: int) -> None:
    if size_px % 8 or size_px < 8:
        raise InputError(f"chips of {size_px} px", valid="a multiple of 8, like 32", next_step="change chip_size_px")


def _keras_initialised(network: nn.Module) -> None:
    """Glorot-uniform weights and zero biases, as the originals had them."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
