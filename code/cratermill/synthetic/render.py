"""A planet's pixels, block by block: ground, old blankets, fresh ejecta from the oldest to the youngest, relief, camera."""

from __future__ import annotations

import numpy as np

from ..core.seeds import seed_of
from .ejecta import Ejecta
from .parameters import Parameters
from .pixels import Block, around, windows_of
from .population import background, fresh_craters, old_blankets
from .relief import OUTER, Light, Relief, fresh_slope
from .surface import Surface, spectrum


class Planet:
    """Everything about a planet that is drawn once; its methods take a block, are pure functions of it and may run in threads."""

    def __init__(self, parameters: Parameters):
        p = self.parameters = parameters
        self.craters = background(p)
        self.light = Light(seed_of(p.seed, "light") % 2**32)
        self.surface = Surface(p)
        self.relief = Relief(self.craters, self.light, p.shape)
        # Oldest first: the youngest is drawn last and owns what it covers.
        self.fresh = sorted((Ejecta(crater) for crater in fresh_craters(p)), key=lambda ejecta: -ejecta.crater.age)
        self.old = [Ejecta(crater, rays=False) for crater in old_blankets(p, self.craters)]
        self.fresh_windows, self.old_windows = _windows(self.fresh, p.shape), _windows(self.old, p.shape)
        self._bowls = _windows(self.fresh, p.shape, bowl=True)

    def image(self, block: Block) -> np.ndarray:
        """The mosaic's pixels, (bands, height, width) uint8, 1 … 255: 0 stays free for "no data"."""
        hummocks, plains = self.surface.hummocks(block), self.surface.plains(block)
        shade = self.relief.shade(block, hummocks)
        shade *= 1 - np.float32(0.6) * plains
        image = self.surface.reflectance(block, plains)
        for ejecta, part in _touching(self.old, self.old_windows, block):
            strength, _ = ejecta.strength(*_view(ejecta, part))
            _cover_old(ejecta, strength, image[(slice(None), *part.within(block))])
        for ejecta, part in _touching(self.fresh, self.fresh_windows, block):
            view, place = _view(ejecta, part), part.within(block)
            strength, distance = ejecta.strength(*view)
            _cover(ejecta, strength, distance, image[(slice(None), *place)])
            _excavate(ejecta, view, distance, self.light, shade[place])
        light = np.float32(0.75) * shade + np.float32(0.12) * hummocks * (1 - np.float32(0.5) * plains)
        image *= np.maximum(1 + light, np.float32(0.15)) * self.surface.exposure(block)
        image += self.surface.camera(block)
        return np.clip(np.rint(image, out=image), 1, 255, out=image).astype(np.uint8)

    def owner(self, block: Block) -> np.ndarray:
        """FID of the youngest crater whose ejecta cover each pixel, (height, width) uint16; 0 where there are none."""
        owner = np.zeros((block.height, block.width), np.uint16)
        for ejecta, part in _touching(self.fresh, self.fresh_windows, block):
            strength, distance = ejecta.strength(*_view(ejecta, part))
            place = part.within(block)
            owner[place][strength > 0] = ejecta.crater.fid
            owner[place][distance < 1] = 0  # a younger bowl has swallowed whatever lay in it
        return owner

    def ejecta_of(self, index: int, block: Block) -> np.ndarray:
        """All ejecta of ``fresh[index]``, (height, width) bool: under younger ejecta too, but not where a younger crater dug them away."""
        mask = np.zeros((block.height, block.width), bool)
        for ejecta, part in _touching(self.fresh[index : index + 1], self.fresh_windows[index : index + 1], block):
            mask[part.within(block)] = ejecta.strength(*_view(ejecta, part))[0] > 0
        if mask.any():
            for younger, part in _touching(self.fresh[index + 1 :], self._bowls[index + 1 :], block):
                mask[part.within(block)] &= younger.polar(*_view(younger, part))[1] >= 1
        return mask


def _windows(ejecta: list[Ejecta], shape: tuple[int, int], *, bowl: bool = False) -> np.ndarray:
    """Bounding windows (n, 4) of all that each crater changes, or of its bowl alone."""
    reach = [e.crater.radius if bowl else max(e.reach_angle, OUTER * e.crater.radius) for e in ejecta]
    columns = np.array([(e.crater.lon, e.crater.lat, r) for e, r in zip(ejecta, reach, strict=True)]).reshape(-1, 3)
    return windows_of(columns[:, 0], columns[:, 1], columns[:, 2], shape)


def _touching(ejecta: list[Ejecta], windows: np.ndarray, block: Block):
    """Each crater that reaches the block, with the part of the block it may change."""
    for one, window in zip(ejecta, windows, strict=True):
        for part in block.overlap(tuple(window)):
            yield one, part


def _view(ejecta: Ejecta, part: Block) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return around(part, ejecta.crater.lon, ejecta.crater.lat)


def _cover_old(ejecta: Ejecta, strength: np.ndarray, image: np.ndarray) -> None:
    """Blend a faint old blanket over the image, in place."""
    level, tint = spectrum(len(image))
    share = np.clip(strength, 0, 1) * np.float32(0.22 + 0.1 * np.tanh(ejecta.colour[1]))
    for band, pixels in enumerate(image):
        pixels += share * (level[band] * np.float32(1.7 - 0.1 * tint[band] * ejecta.colour[0]) - pixels)


def _cover(ejecta: Ejecta, strength: np.ndarray, distance: np.ndarray, image: np.ndarray) -> None:
    """Blend the ejecta (and the bright bowl) over the image, in place; the contrast fades with distance and with the crater's age."""
    fresh = np.float32(0.95 - 0.45 * ejecta.crater.age)
    there = (strength > 0) * np.clip(np.float32(0.35) + np.float32(0.65) * strength, 0, 1)
    bowl = (distance < 1) * np.float32(0.8)
    share = (there + bowl) * fresh / (1 + distance * np.float32(1 / 18))
    level, tint = spectrum(len(image))
    bright, blue = 2.1 + 0.15 * np.tanh(ejecta.colour[0]), 0.22 + 0.12 * np.tanh(ejecta.colour[1])
    for band, pixels in enumerate(image):
        pixels += share * (level[band] * np.float32(bright - blue * tint[band]) - pixels)


def _excavate(ejecta: Ejecta, view, distance: np.ndarray, light: Light, shade: np.ndarray) -> None:
    """Replace the relief by that of the fresh crater, in place."""
    if distance.min() > OUTER:
        return
    crater = ejecta.crater
    east, north = light.at(np.float64(crater.lon), np.float64(crater.lat))
    slope, kept = fresh_slope(crater.radius, distance)
    towards = (view[0] * east + view[1] * north) * np.float32(1 / crater.radius)
    shade *= kept
    shade += towards * slope
