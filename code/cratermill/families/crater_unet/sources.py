"""Tiles with their craters from wherever they come: ready-made images with boxes or circles, or dots."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ...core.errors import InputError
from ...core.folder_or_zip import FolderOrZip

if TYPE_CHECKING:
    from .options import CraterData

IMAGES = (".jpg", ".jpeg", ".png", ".tif", ".tiff")
CUT_PX = 0.6
"""A box that ends this near to the image's edge is cut by it."""
CIRCLE_COLUMNS = {
    "x": ("x", "x_px", "long_x_px", "col"),
    "y": ("y", "y_px", "lat_y_px", "row"),
    "radius": ("radius", "radius_px", "rad_px", "r"),
}


@dataclass
class Tile:
    """An image (h, w) and its craters (N, 3): x, y, radius in pixels. ``place``: longitude, or whatever else orders tiles in space."""

    name: str
    image: np.ndarray
    circles: np.ndarray
    place: float = 0.0
    resolution_m: float = float("nan")
    extra: dict = field(default_factory=dict)


def box_tiles(path: Path, options: CraterData) -> Iterator[Tile]:
    """Images with YOLO boxes in a folder or zip: a box of w × h pixels is a circle of radius √(w·h) / 2. No text file: no crater."""
    files = FolderOrZip(path)
    labels = {PurePosixPath(name).stem: name for name in files.ending([".txt"])}
    images = files.ending(IMAGES)
    if not images:
        raise InputError(f"{path} holds no images", valid=f"images ({', '.join(IMAGES)}) and text files of the same names")
    for name in images:
        stem = PurePosixPath(name).stem
        image = grey(files.read(name), f"{path}: {name}")
        text = files.read(labels[stem]).decode("utf-8", "replace") if stem in labels else ""
        circles = box_circles(text, image.shape, f"{path}: {labels.get(stem)}")
        yield Tile(stem, image, circles, resolution_m=options.pixel_m or float("nan"))


def box_circles(text: str, shape: tuple[int, int], what: str) -> np.ndarray:
    """Circles (N, 3) of YOLO lines ``class cx cy w h``, fractions of the image; pixel centres at whole numbers.

    Centres of craters that the image's edge cuts may lie outside."""
    try:
        rows = np.array([[float(cell) for cell in line.split()] for line in text.splitlines() if line.strip()], float).reshape(-1, 5)
    except ValueError as error:
        raise InputError(f"{what} is no list of boxes: {error}", valid="lines of five numbers: class cx cy w h") from error
    if len(rows) and not (np.isfinite(rows).all() and (rows[:, 1:] >= 0).all() and (rows[:, 1:] <= 1).all()):
        raise InputError(f"{what} has boxes outside of 0…1", valid="centre and size as fractions of the image")
    size = np.array([shape[1], shape[0]], float)
    low, high = (rows[:, 1:3] - rows[:, 3:] / 2) * size, (rows[:, 1:3] + rows[:, 3:] / 2) * size
    cut_low, cut_high = low <= CUT_PX, high >= size - CUT_PX
    longest = np.broadcast_to((high - low).max(1, keepdims=True), low.shape)
    # A box that the image's edge cuts is that of a whole crater: as wide as it is high.
    low = np.where(cut_low & ~cut_high, high - longest, low)
    high = np.where(cut_high & ~cut_low, low + longest, high)
    radius = np.sqrt(np.prod(high - low, axis=1)) / 2
    return np.column_stack([(low + high) / 2 - 0.5, radius])


def circle_tiles(images: list[Path], tables: list[Path], options: CraterData) -> Iterator[Tile]:
    """Pieces of large images, with the circles that touch each of them; incomplete pieces at the right and the bottom are left out."""
    for number, (image_path, table_path) in enumerate(zip(images, tables, strict=True)):
        image = grey(FolderOrZip(image_path.parent).read(image_path.name), str(image_path))
        circles = read_circles(table_path)
        side = options.tile_px
        if side > min(image.shape):
            raise InputError(f"{image_path} has {image.shape[0]} × {image.shape[1]} pixels", valid=f"at least the tiles' {side}")
        for row in range(0, image.shape[0] - side + 1, side):
            for col in range(0, image.shape[1] - side + 1, side):
                near = touching(circles - (col, row, 0), (side, side))
                piece = image[row : row + side, col : col + side]
                name = f"{image_path.stem}-{row}-{col}"
                yield Tile(name, piece, near, number * 1e6 + col, options.pixel_m or float("nan"))


def read_circles(path: Path) -> np.ndarray:
    """Circles (N, 3) x, y, radius in pixels from a CSV whose columns are called x, y, radius or as in the Robbins & Hynek tiles."""
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} can't be read: {error}", valid="a CSV with columns for x, y and radius in pixels") from error
    names = {str(column).strip().lower(): column for column in table}
    chosen = {what: next((names[name] for name in known if name in names), None) for what, known in CIRCLE_COLUMNS.items()}
    if None in chosen.values():
        missing = ", ".join(what for what, column in chosen.items() if column is None)
        valid = "; ".join(f"{what}: {', '.join(known)}" for what, known in CIRCLE_COLUMNS.items())
        raise InputError(f"{path} has no column for {missing}; its columns: {', '.join(map(str, table))}", valid=valid)
    circles = table[list(chosen.values())].apply(pd.to_numeric, errors="coerce").to_numpy(float)
    if not np.isfinite(circles).all() or (circles[:, 2] < 0).any():
        raise InputError(f"{path} has cells that are no numbers, or radii below 0", valid="pixels")
    return circles[circles[:, 2] > 0]


def touching(circles: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Those circles (N, ≥3) whose rim or inside meets an image of this shape."""
    x = np.clip(circles[:, 0], -0.5, shape[1] - 0.5)
    y = np.clip(circles[:, 1], -0.5, shape[0] - 0.5)
    return circles[np.hypot(circles[:, 0] - x, circles[:, 1] - y) < circles[:, 2] + 1]


def grey(content: bytes, what: str) -> np.ndarray:
    """One band (h, w), uint8 or float32, of an image file's bytes."""
    from PIL import Image

    try:
        Image.MAX_IMAGE_PIXELS = None
        with Image.open(io.BytesIO(content)) as image:
            if image.mode in ("I", "I;16", "I;16B", "F"):
                return np.asarray(image, np.float32)
            return np.asarray(image.convert("L"))
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError(f"{what} can't be read as an image: {error}", valid=", ".join(IMAGES)) from error
