"""Probability of craters on tiles and on wide images, by one network or the mean of several; and circles read from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ...craters.extract import extract_each
from ...craters.merge import without_doubles
from ...samples.brightness import Ground
from ...training.device import Computing
from ..craters_common.certainty import logit, of_size, with_confidence
from ..craters_common.judging import surest_first
from ..craters_common.tiles import fitting
from ..ensemble import Ensemble
from .reading import Reading, windows

if TYPE_CHECKING:
    from .hparams import Hparams

TOGETHER, TOGETHER_PX = 8, 2**21
"""Tiles, and pixels of windows, that go through the networks at once."""
COLUMNS = ("x", "y", "radius_px", "confidence", "support", "arc")


def quantities(circles: np.ndarray) -> dict[str, np.ndarray]:
    """What the confidence goes by, of circles (N, 5): x, y, radius, support, arc."""
    return {"support": logit(circles[:, 3]), "arc": circles[:, 4], "arc_logit": logit(circles[:, 4]), **of_size(circles[:, 2])}


class Predictor:
    """The networks of one version's checkpoints."""

    def __init__(self, paths: list[Path], version: int, computing: Computing | None = None):
        self.ensemble = Ensemble.load(paths, "crater_unet", version, computing)
        self.hparams: Hparams = self.ensemble.hparams

    def alone(self) -> list[Predictor]:
        """Each of several networks by itself."""
        found = []
        for network in self.ensemble.networks if len(self.ensemble) > 1 else []:
            one = copy(self)
            one.ensemble = copy(self.ensemble)
            one.ensemble.networks, one.ensemble.ground = [network], Ground()
            found.append(one)
        return found

    def tiles(self, images: np.ndarray) -> np.ndarray:
        """Probabilities (N, h, w) float32 of raw tiles without missing pixels (N, h, w): the members' mean."""
        found = []
        for start in range(0, len(images), TOGETHER):
            batch = [fitting(np.asarray(image, np.float32), self.hparams.divisor)[0] for image in images[start : start + TOGETHER]]
            mean = self.ensemble.probabilities(np.stack(batch)[:, None]).mean(0)[:, 0]
            found.append(mean[:, : images.shape[1], : images.shape[2]].cpu().numpy())
        return np.concatenate(found)

    def wide(self, image: np.ndarray, window_px: int, overlap: float) -> np.ndarray:
        """Probability (H, W) of one large image: windows fitted to its sides that overlap by a share of theirs, blended at their edges."""
        fitted = [windows(length, window_px, overlap, self.hparams.divisor) for length in image.shape]
        sides, (rows, cols) = [side for side, _, _ in fitted], [places for _, _, places in fitted]
        beyond = [(0, max(0, side - length)) for length, side in zip(image.shape, sides, strict=True)]
        padded = np.pad(image, beyond, mode="symmetric") if np.any(beyond) else image
        weight = np.multiply.outer(*(_ramp(side, side - step) for side, step, _ in fitted))
        total, weights = np.zeros(padded.shape, np.float32), np.zeros(padded.shape, np.float32)
        places = [np.s_[row : row + sides[0], col : col + sides[1]] for row in rows for col in cols]
        together = max(1, TOGETHER_PX // weight.size)
        for start in range(0, len(places), together):
            batch = places[start : start + together]
            for place, probability in zip(batch, self.tiles(np.stack([padded[place] for place in batch])), strict=True):
                total[place] += probability * weight
                weights[place] += weight
        return (total / weights)[: image.shape[0], : image.shape[1]]

    def levels(self, image: np.ndarray, hparams: Hparams, look: Callable[[np.ndarray], np.ndarray]) -> list[np.ndarray]:
        """Probabilities of an image (h, w), and of it reduced to half, a quarter …, as many as the row has levels, by ``look``."""
        found = [look(image)]
        while len(found) < hparams.levels and min(image.shape) > hparams.divisor:
            image = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
            found.append(look(image))
        return found

    def tile(self, image: np.ndarray, hparams: Hparams) -> list[np.ndarray]:
        """The same of one raw tile without missing pixels."""
        return self.levels(np.asarray(image, np.float32), hparams, lambda one: self.tiles(one[None])[0])

    def circles(self, probabilities: list[np.ndarray], hparams: Hparams, reading: Reading, resolution_m: float) -> np.ndarray:
        """Circles (N, 6), see ``COLUMNS``, the surest first; less sure ones than the reading lists, too. A crater that two levels see is
        taken from where it is surer."""
        device = str(self.ensemble.device)
        found = [circles_of(one, hparams, reading, resolution_m, level, device) for level, one in enumerate(probabilities)]
        together = surest_first(np.concatenate(found))
        return together[without_doubles(together[:, :4], None)] if len(found) > 1 else together


def circles_of(
    probability: np.ndarray, hparams: Hparams, reading: Reading, resolution_m: float, level: int = 0, device: str = "cpu"
) -> np.ndarray:
    """Circles of a level's probability (h, w), NaN where there are no data, drawn as a row says; in pixels of level 0."""
    return circles_of_each([probability], hparams, reading, resolution_m, level, device)[0]


def circles_of_each(
    probabilities: Sequence[np.ndarray], hparams: Hparams, reading: Reading, resolution_m: float, level: int = 0, device: str = "cpu"
) -> list[np.ndarray]:
    """The same of several, read together."""
    options = reading.options(hparams, resolution_m, level)

    def holds_some(probability: np.ndarray) -> bool:
        # A network may find nothing, or nothing but craters, on a tile without data or of odd ground: that is no error of the user's.
        uniform = not (probability >= 0).any() or np.nanmin(probability) > reading.level
        return options is not None and not uniform and options.min_radius_px <= max(probability.shape)

    looked = [holds_some(one) for one in probabilities]
    maps = [np.clip(one, 0, 1) for one, some in zip(probabilities, looked, strict=True) if some]
    read = iter(extract_each(maps, hparams.shape(), options, device))
    return [_in_level_0(next(read), reading, level) if some else np.zeros((0, len(COLUMNS))) for some in looked]


def _in_level_0(found: np.ndarray, reading: Reading, level: int) -> np.ndarray:
    found[:, :2] = (found[:, :2] + 0.5) * 2**level - 0.5
    found[:, 2] *= 2**level
    return with_confidence(found, reading.calibration, quantities(found))


def _ramp(side: int, overlap: int) -> np.ndarray:
    """Weights (side,) that fall towards the ends, within the overlap."""
    rising = np.minimum(np.arange(side) + 1, np.arange(side)[::-1] + 1) / max(overlap, 1)
    return np.clip(rising, 1e-3, 1).astype(np.float32)
