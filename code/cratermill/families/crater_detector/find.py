"""Craters of all sizes on an image: looked for at several scales, each size where it is a few to thirty pixels large."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch

from ...core.errors import InputError
from ...craters.sightings import COLUMNS, Levels, joined
from ...samples.sending import sent
from ..craters_common.certainty import logit, of_size
from ..craters_common.tiles import starts
from ..ensemble import Ensemble
from .pieces import blurred, sigma_of
from .task import circles_of

if TYPE_CHECKING:
    from ...training.device import Computing
    from .hparams import Hparams

WINDOW_PX = 1024
MARGIN_PX = 96
"""Windows of wide images overlap by twice this; what a window sees nearer to its edges is its neighbour's."""
SLACK = 1.1
"""A level's sightings may lie beyond its limits by this factor, or a crater at a limit would be missed by both of its levels."""


class Finder:
    """The networks of one version's checkpoints."""

    def __init__(self, paths: list[Path], version: int, computing: Computing | None = None):
        self.ensemble = Ensemble.load(paths, "crater_detector", version, computing)
        self.hparams: Hparams = self.ensemble.hparams
        self.divisor: int = self.ensemble.networks[0].network.divisor

    def require(self, channels: int, what: str) -> None:
        """Raise ``InputError`` where the networks learnt from other bands than there are."""
        if channels != (known := self.ensemble.checkpoint.norm.shape[1]):
            raise InputError(
                f"{what} has {channels} channel(s), but version {self.hparams.version} was trained with {known}",
                valid="the bands that it was trained with, in their order",
                next_step="give the config the training's 'bands' and 'derived'",
            )

    def levels(self, scales: tuple[float, ...], unit: float = 1.0) -> Levels:
        """The levels at these scales; radii in pixels of scale 1, or in units of which such a pixel has ``unit``."""
        return Levels(tuple(unit / scale for scale in scales), members=len(self.ensemble))

    def sightings(self, image: np.ndarray, scales: tuple[float, ...]) -> np.ndarray:
        """What all levels and networks see on an image (C, h, w) without missing pixels: (N, 5), see :func:`craters.sightings.joined`."""
        levels = self.levels(scales)
        return np.concatenate([self.look(resized(image, scale), levels, number, scale) for number, scale in enumerate(scales)])

    def look(self, image: np.ndarray, levels: Levels, level: int, scale: float = 1.0) -> np.ndarray:
        """Sightings (N, 5) of one level on its own image, in pixels of an image of scale 1."""
        low, high = levels.limits(level)
        found = []
        for member, circles in enumerate(self._circles(image)):
            circles[:, :2] = (circles[:, :2] + 0.5) / scale - 0.5
            circles[:, 2] *= levels.pixel[level]
            circles = circles[(circles[:, 2] > low / SLACK) & (circles[:, 2] < high * SLACK)]
            found.append(np.column_stack([circles, np.full(len(circles), member * len(levels.pixel) + level)]))
        return np.concatenate(found)

    def _circles(self, image: np.ndarray) -> list[np.ndarray]:
        """Circles (N, 4) x, y, radius, strength by each member, of an image of any size."""
        side = WINDOW_PX + 2 * MARGIN_PX
        found: list[list[np.ndarray]] = [[] for _ in range(len(self.ensemble))]
        for row, *own_rows in spans(image.shape[1], side):
            for col, *own_cols in spans(image.shape[2], side):
                window = image[:, row : row + side, col : col + side]
                for member, circles in zip(found, self._in_window(window), strict=True):
                    circles = circles + (col, row, 0, 0)
                    x, y = circles[:, :2].T
                    member.append(circles[(x >= own_cols[0]) & (x < own_cols[1]) & (y >= own_rows[0]) & (y < own_rows[1])])
        return [np.concatenate(member) for member in found]

    @torch.inference_mode()
    def _in_window(self, image: np.ndarray) -> list[np.ndarray]:
        self.ensemble.ground.add(image[None])
        below, right = (-length % self.divisor for length in image.shape[1:])
        # Beyond the edge there is nothing, as in pieces of training; mirrored ground would show rims.
        edges = ((0, below), (0, right))
        padded = np.stack([np.pad(band, edges, constant_values=float(band.mean())) for band in image.astype(np.float32)])
        tensor = sent(padded[None], self.ensemble.device).to(memory_format=torch.channels_last)
        with self.ensemble.computing.autocast():
            answers = [network(tensor) for network in self.ensemble.networks]
        return [circles_of(answer)[0].cpu().numpy().astype(float) for answer in answers]


def spans(length: int, side: int) -> list[tuple[int, float, float]]:
    """Windows of a side over a length: where each begins, and from where to where it speaks: to the middle of what it shares with the
    next one, and beyond the ends."""
    begins = starts(length, side, side - 2 * MARGIN_PX)
    borders = [(before + side + after) / 2 for before, after in zip(begins[:-1], begins[1:], strict=True)]
    return list(zip(begins, [-np.inf, *borders], [*borders, np.inf], strict=True))


def resized(image: np.ndarray, scale: float) -> np.ndarray:
    """The image (C, h, w) at another scale, as sharp in its pixels as before."""
    if scale == 1:
        return image
    height, width = (max(1, round(length * scale)) for length in image.shape[1:])
    bands = [blurred(band, sigma_of(scale)) if scale < 1 else band for band in np.asarray(image, np.float32)]
    return np.stack([cv2.resize(band, (width, height), interpolation=cv2.INTER_LINEAR) for band in bands])


def quantities(craters: np.ndarray, pixel: float = 1.0) -> dict[str, np.ndarray]:
    """What the confidence goes by, of craters (N, 9) as :func:`joined` lists them; ``pixel``: that of scale 1, in the unit of radii."""
    one = dict(zip(COLUMNS, craters.T, strict=True))
    return {
        "score": logit(one["score"]),
        "best": logit(one["best"]),
        **of_size(one["radius"] / pixel),
        "share_of_levels": one["seen"] / np.maximum(one["could"], 1),
        "levels": one["seen"],
        "spread_place": one["spread_place"],
        "spread_size": one["spread_size"],
    }


def found_on(finder: Finder, image: np.ndarray) -> np.ndarray:
    """Craters (N, 9) of one tile at the scales of the row."""
    scales = finder.hparams.scales
    return joined(finder.sightings(image, scales), finder.levels(scales))
