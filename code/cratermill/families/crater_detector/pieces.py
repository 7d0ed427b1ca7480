"""Training pieces: parts of one tile, or several tiles reduced side by side, so that craters of every size come to the network's own.

Images are only reduced, never enlarged much: a catalogue ends at some size in pixels, and enlarged tiles would show its missing craters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from .targets import RADII_PX

cv2.setNumThreads(1)

MOSAICS = ((2, 0.31), (3, 0.2))
"""Tiles along each side of a mosaic, and their largest scale."""
MOSTLY_TWO = 0.6
BLUR = (0.8, 1.5)
"""Factors on the blur before reducing, for instruments of other sharpness."""
LARGEST_GAP_PX = 6
CONTRAST, BRIGHTNESS = (0.7, 1.4), 0.1
"""Brightness as a share of the range of values."""


@dataclass(frozen=True)
class Drawing:
    """How pieces are drawn: the columns piece_px, piece_scale_min, piece_scale_max, mosaic_share, rotation_deg and
    around_share."""

    side: int
    scales: tuple[float, float]
    mosaic_share: float
    rotation_deg: float
    around_share: float = 0.0


def sigma_of(scale: float) -> float:
    """Deviation in pixels of the blur that an image needs before it is reduced by ``scale``, so that it looks as sharp as before."""
    return 0.45 / scale - 0.2


def blurred(image: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(image, (0, 0), sigma) if sigma > 0.3 else image


def piece(
    tile: tuple[np.ndarray, np.ndarray],
    others: Callable[[int], list[tuple[np.ndarray, np.ndarray]]],
    drawing: Drawing,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, float]:
    """A piece (C, side, side) float32 of a tile, its image and circles (N, 3); the circles in it whose centres it shows; and its scale.

    ``others`` gives as many further tiles as a mosaic needs.
    """
    if rng.random() >= drawing.mosaic_share:
        scale = float(np.exp(rng.uniform(*np.log(drawing.scales))))
        around = drawing.around_share > 0 and rng.random() < drawing.around_share
        return *_part(*tile, scale, (drawing.side, drawing.side), drawing.rotation_deg, rng, around), scale
    count, largest = MOSAICS[0] if rng.random() < MOSTLY_TWO else MOSAICS[1]
    cell = drawing.side // count
    whole = cell / max(tile[0].shape[1:])
    scale = rng.uniform(whole, max(whole, largest))
    level = means(tile[0])
    image, found = np.tile(level, (1, drawing.side, drawing.side)), []
    for number, (one, circles) in enumerate([tile, *others(count**2 - 1)]):
        inner = cell - int(rng.integers(0, LARGEST_GAP_PX + 1))
        part, seen = _part(one, circles, scale, (inner, inner), drawing.rotation_deg, rng)
        row, col = (cell * place for place in divmod(number, count))
        image[:, row : row + inner, col : col + inner] = part - means(one) + level
        found.append(seen + (col, row, 0))
    return image, np.concatenate(found), scale


def _part(
    image: np.ndarray,
    circles: np.ndarray,
    scale: float,
    shape: tuple[int, int],
    rotation_deg: float,
    rng: np.random.Generator,
    around: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """A random part of one tile, reduced, turned a little and perhaps turned upside down, which leaves the light on its side.

    ``around``: it shows one of the tile's craters that can be learnt at this scale, if there is one.
    """
    height, width = image.shape[1:]
    slack = np.maximum(0.0, np.array([width, height]) * scale - shape[::-1]) / scale
    middle = np.array([width - 1, height - 1]) / 2
    centre = middle + rng.uniform(-0.5, 0.5, 2) * slack
    learnable = circles[(circles[:, 2] * scale >= RADII_PX[0]) & (circles[:, 2] * scale <= RADII_PX[1])] if around else circles[:0]
    if len(learnable):
        away = rng.uniform(-0.4, 0.4, 2) * shape[::-1] / scale
        centre = np.clip(rng.choice(learnable)[:2] + away, middle - slack / 2, middle + slack / 2)
    turn = np.radians(rng.uniform(-rotation_deg, rotation_deg))
    matrix = _affine(scale, turn, rng.random() < 0.5, centre, (np.array(shape[::-1]) - 1) / 2)
    sigma = sigma_of(scale) * rng.uniform(*BLUR)
    part = np.stack([_warped(blurred(band, sigma), matrix, shape, float(band.mean())) for band in np.asarray(image, np.float32)])
    moved = np.column_stack([circles[:, :2] @ matrix[:, :2].T + matrix[:, 2], circles[:, 2] * scale])
    # A centre beyond the tile belongs to its neighbour, though a turned tile may leave room for it in the piece.
    return part, moved[_inside(circles, image.shape[1:]) & _inside(moved, shape)]


def _warped(band: np.ndarray, matrix: np.ndarray, shape: tuple[int, int], beyond: float) -> np.ndarray:
    return cv2.warpAffine(band, matrix, shape[::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=beyond)


def means(image: np.ndarray) -> np.ndarray:
    """Of each channel, (C, 1, 1) float32."""
    return np.array([band.mean() for band in image], np.float32)[:, None, None]


def _inside(circles: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    places = circles[:, :2]
    within: np.ndarray = (places >= -0.5) & (places < np.array(shape[::-1]) - 0.5)
    return np.asarray(within.all(axis=1))


def _affine(scale: float, turn: float, upside_down: bool, centre: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(2, 3) from pixels (x, y) of a tile to those of a piece, ``centre`` to ``target``."""
    cosine, sine = np.cos(turn), np.sin(turn)
    linear = scale * np.array([[cosine, -sine], [sine, cosine]]) @ np.diag([1.0, -1.0 if upside_down else 1.0])
    return np.column_stack([linear, target - linear @ centre])


def other_light(image: np.ndarray, spans: list[tuple[float, float]], lit: list[bool], rng: np.random.Generator) -> np.ndarray:
    """The piece (C, side, side) with other contrast and brightness, within the range of values, of those channels that hang on light."""
    contrast, brightness = rng.uniform(*CONTRAST), rng.uniform(-1, 1) * BRIGHTNESS
    for band, span, changes in zip(image, spans, lit, strict=True):
        if changes:
            mean = band.mean()
            band[...] = np.clip((band - mean) * contrast + mean + brightness * (span[1] - span[0]), *span)
    return image
