"""What a crater looks like in a mask: disc, outline, ring or one by size, drawn without antialiasing, and where its edges lie."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np

_SHIFT = 4  # OpenCV's coordinates in sixteenths of a pixel
_MAX_PX = 2**15 - 1

ShapeKind = Literal["fill", "outline", "ring", "hybrid"]


@dataclass(frozen=True)
class Shape:
    """How circles are drawn: ``fill`` (disc, 2r + 1 pixels wide), ``outline`` (white disc, black disc of ``inner_fraction`` r within),
    ``ring`` (a line of ``width_px`` along the rim, as DeLatte et al.'s code drew it), ``hybrid`` (discs below a radius of
    ``disc_below_px``, outlines from there on: what their paper names as future work)."""

    kind: ShapeKind = "ring"
    inner_fraction: float = 0.7
    width_px: int = 4
    disc_below_px: float = 16.0

    def parts(self) -> list[tuple[Shape, float, float]]:
        """Shapes of one kind each, and from and to which radius craters are drawn so; the largest first."""
        if self.kind != "hybrid":
            return [(self, 0.0, np.inf)]
        return [(replace(self, kind="outline"), self.disc_below_px, np.inf), (replace(self, kind="fill"), 0.0, self.disc_below_px)]

    @property
    def sides(self) -> list[tuple[float, float]]:
        """(f, b) of the edges of a shape of one kind: they lie at f·r + b pixels."""
        return [(1.0, self.outer_px), self.inner][: 1 + self.has_inner]

    @property
    def outer_px(self) -> float:
        """The outer edge lies at r + this."""
        return (self.width_px + 1) / 2 if self.kind == "ring" else 0.5

    @property
    def has_inner(self) -> bool:
        return self.kind != "fill"

    @property
    def inner(self) -> tuple[float, float]:
        """(f, b): the inner edge, if there is one, lies at f·r + b pixels."""
        return (1.0, -self.outer_px) if self.kind == "ring" else (self.inner_fraction, 0.5)

    def draw(self, circles: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        """Mask (h, w) bool of circles (N, ≥3): x, y, radius in pixels, pixel centres at whole numbers.

        Discs and rings are united. Outlines and hybrids are drawn from the largest to the smallest, so that craters in craters show.
        """
        mask = np.zeros(shape, np.uint8)
        circles = np.asarray(circles, float)
        holed = self.kind in ("outline", "hybrid")
        order = np.argsort(-circles[:, 2], kind="stable") if holed else range(len(circles))
        for index in order:
            x, y, radius = circles[index, :3]
            if self.kind == "ring":
                _circle(mask, x, y, radius, 1, self.width_px)
                continue
            _disc(mask, x, y, radius, 1)
            if holed and (self.kind == "outline" or radius >= self.disc_below_px):
                _disc(mask, x, y, self.inner_fraction * radius, 0)
        return mask.astype(bool)


def _disc(mask: np.ndarray, x: float, y: float, radius: float, value: int) -> None:
    """Pixels whose centres are within radius + ½ of the centre: 2r + 1 of them across."""
    reach = radius + 0.5
    top, bottom = max(int(np.ceil(y - reach)), 0), min(int(np.floor(y + reach)) + 1, mask.shape[0])
    left, right = max(int(np.ceil(x - reach)), 0), min(int(np.floor(x + reach)) + 1, mask.shape[1])
    if top >= bottom or left >= right:
        return
    rows, cols = np.ogrid[top:bottom, left:right]
    mask[top:bottom, left:right][(rows - y) ** 2 + (cols - x) ** 2 <= reach**2] = value


def _circle(mask: np.ndarray, x: float, y: float, radius: float, value: int, width: int) -> None:
    if max(abs(x), abs(y)) > _MAX_PX:
        return  # far outside of any tile
    scale = 1 << _SHIFT
    cv2.circle(mask, (round(x * scale), round(y * scale)), round(radius * scale), value, width, cv2.LINE_8, _SHIFT)
