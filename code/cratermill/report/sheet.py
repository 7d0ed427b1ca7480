"""Panels side by side on one picture, each with its words above it; by Pillow: matplotlib takes many times as long for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from matplotlib import get_data_path
from PIL import Image, ImageDraw, ImageFont

from ..core.files import atomic_path

TITLE_PX, GAP_PX, LARGE, SMALL = 26, 12, 12, 10
"""Room above each panel and above all of them, between them, and sizes of letters: beside titles, and above small panels."""
NARROW_PX = 300
FONT = Path(get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
"""Pillow's own knows no ²."""
SUBPIXEL_BITS = 4
"""Circles are drawn to a sixteenth of a pixel."""


@dataclass(frozen=True)
class Panel:
    """A picture (h, w, 3) of bytes, and what stands above it, to the left and to the right."""

    picture: np.ndarray
    left: str
    right: str = ""


def write_sheet(path: Path, panels: Sequence[Panel], columns: int, title: str = "") -> Path:
    """A PNG of panels of one size, ``columns`` of them side by side, below a title if there is one; it is as wide with fewer, then."""
    height, width = panels[0].picture.shape[:2]
    columns, above = (columns, TITLE_PX) if title else (min(columns, len(panels)), 0)
    rows = -(-len(panels) // columns)
    sheet = Image.new("RGB", (columns * (width + GAP_PX) - GAP_PX, above + rows * (height + TITLE_PX)), "white")
    pen = ImageDraw.Draw(sheet)
    large, words = (ImageFont.truetype(FONT, size) for size in (LARGE, LARGE if width >= NARROW_PX else SMALL))
    pen.text((2, above - 7), title, "black", large, anchor="ls")
    for number, panel in enumerate(panels):
        left, top = number % columns * (width + GAP_PX), above + number // columns * (height + TITLE_PX) + TITLE_PX
        sheet.paste(Image.fromarray(panel.picture), (left, top))
        pen.text((left + 2, top - 7), panel.left, "black", words, anchor="ls")
        pen.text((left + width - 2, top - 7), panel.right, "black", words, anchor="rs")
    with atomic_path(path) as temporary:
        sheet.save(temporary, format="PNG", compress_level=3)
    return path


def draw_circle(picture: np.ndarray, x: float, y: float, radius: float, colour: tuple[int, int, int]) -> None:
    """A thin circle on a picture (h, w, 3) of bytes, in its pixels, whose centres lie at whole numbers."""
    centre = round(x * 2**SUBPIXEL_BITS), round(y * 2**SUBPIXEL_BITS)
    cv2.circle(picture, centre, round(radius * 2**SUBPIXEL_BITS), colour, 1, cv2.LINE_AA, SUBPIXEL_BITS)
