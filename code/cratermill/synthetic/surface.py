"""What the ground looks like before any fresh crater: brightness and colour at many scales, plains, bright spots, hummocks, noise."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from ..core.seeds import seed_of
from .noise import SphereNoise, octaves
from .parameters import Parameters
from .pixels import Block


class Surface:
    """The fields of one planet, each (height, width) float32 for any block."""

    def __init__(self, parameters: Parameters):
        p, pixel = parameters, parameters.pixel
        fine = max(8 * pixel, 0.0008)

        def field(name: str, longest: float, shortest: float, gain: float) -> SphereNoise:
            return SphereNoise(octaves(p.seed, name, longest, shortest, gain=gain), p.shape)

        self._bands = p.bands
        self._albedo = field("albedo", 1.3, fine, 0.82)
        self._colour = field("colour", 1.7, 0.05, 0.65)
        self._plains = field("plains", 0.9, 0.02, 0.6)
        self._spots = field("spots", 0.075, 0.004, 0.7)
        self._hummocks = field("hummocks", 0.06, fine, 0.95)
        self._exposure = field("exposure", 1.2, 0.6, 0.7)
        self._noise_seed = np.uint32(seed_of(p.seed, "camera") & 0xFFFFFFFF)
        # Gaussian noise from one byte per pixel: the deviate of each of 256 equally likely classes.
        self._deviates = (ndtri((np.arange(256) + 0.5) / 256) * p.noise_dn).astype(np.float32)

    def hummocks(self, block: Block) -> np.ndarray:
        """Roughness of the ground, about −1 … 1."""
        return np.clip(self._hummocks(*_corner(block)) * np.float32(0.5), -1, 1)

    def plains(self, block: Block) -> np.ndarray:
        """0 in the highlands, 1 on smooth dark plains, with a shore between."""
        return np.clip((self._plains(*_corner(block)) - 0.55) * np.float32(3), 0, 1)

    def reflectance(self, block: Block, plains: np.ndarray) -> np.ndarray:
        """Brightness of flat ground in DN, (bands, height, width)."""
        albedo = 1 + np.float32(0.125) * self._albedo(*_corner(block)) - np.float32(0.22) * plains
        spots = np.clip((self._spots(*_corner(block)) - np.float32(1.7)) * np.float32(0.45), 0, np.float32(0.5))
        colour = np.float32(0.028) * self._colour(*_corner(block)) - np.float32(0.03) * plains
        np.maximum(albedo, np.float32(0.35), out=albedo)
        level, tint = spectrum(self._bands)
        whiter = 1 - np.float32(0.25) * tint
        return np.stack([level[b] * (albedo * (1 + tint[b] * colour) + spots * whiter[b]) for b in range(self._bands)])

    def exposure(self, block: Block) -> np.ndarray:
        """What the photometric correction left over: a drift of a few percent."""
        return 1 + np.float32(0.05) * self._exposure(*_corner(block))

    def camera(self, block: Block) -> np.ndarray:
        """Noise in DN, (bands, height, width): a hash of the pixel's number, so that it doesn't depend on the block."""
        rows = np.arange(block.row, block.row + block.height, dtype=np.uint32)[:, None]
        columns = (np.arange(block.column, block.column + block.width) % block.shape[1]).astype(np.uint32)
        number = rows * np.uint32(block.shape[1]) + columns
        noise = np.empty((self._bands, block.height, block.width), np.float32)
        for first in range(0, self._bands, 4):
            bits = _scramble(number, self._noise_seed + np.uint32(first))
            for band in range(first, min(first + 4, self._bands)):
                noise[band] = self._deviates.take((bits >> np.uint32(8 * (band - first))) & np.uint32(255))
        return noise


def spectrum(bands: int) -> tuple[np.ndarray, np.ndarray]:
    """Brightness [DN] of average ground per band, and how its colour turns (+1 first band, −1 last): red to blue."""
    tint = np.linspace(1, -1, bands) if bands > 1 else np.zeros(1)
    return (84 + 12 * tint).astype(np.float32), tint.astype(np.float32)


def _corner(block: Block) -> tuple[int, int, int, int]:
    return block.row, block.column, block.height, block.width


def _scramble(number: np.ndarray, seed: np.uint32) -> np.ndarray:
    """MurmurHash3's finaliser (Appleby): every input bit changes every output bit with probability near one half."""
    bits = number ^ seed
    bits *= np.uint32(0x9E3779B1)
    bits ^= bits >> np.uint32(16)
    bits *= np.uint32(0x85EBCA6B)
    bits ^= bits >> np.uint32(13)
    bits *= np.uint32(0xC2B2AE35)
    bits ^= bits >> np.uint32(16)
    return bits
