"""Sizes of masked autoencoders."""

from __future__ import annotations

import math
from dataclasses import dataclass


def nearest_divisor(crop_px: int) -> int:
    """The divisor of a crop's side that is nearest to its tenth: side of the patches of ``mae_small``."""
    divisors = [side for side in range(1, crop_px + 1) if crop_px % side == 0]
    return min(divisors, key=lambda side: abs(math.log(10 * side / crop_px)))


@dataclass(frozen=True)
class Layout:
    """Sizes of a masked autoencoder; ``patch`` None: about a tenth of the crop's side."""

    dim: int
    depth: int
    heads: int
    patch: int | None
    decoder_dim: int = 512
    decoder_depth: int = 8
    decoder_heads: int = 16

    def patch_px(self, size_px: int) -> int:
        return self.patch or nearest_divisor(size_px)


LAYOUTS = {
    "mae_small": Layout(128, 6, 4, None, decoder_dim=64, decoder_depth=2, decoder_heads=4),
    "mae_base": Layout(768, 12, 12, 16),
    "mae_large": Layout(1024, 24, 16, 16),
    "mae_huge": Layout(1280, 32, 16, 14),
}
