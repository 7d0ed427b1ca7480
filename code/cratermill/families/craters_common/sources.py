"""Tiles with their craters from wherever they come: ready-made images with boxes or circles, or dots."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ...core.delimited import read_frame
from ...core.errors import InputError
from ...core.folder_or_zip import FolderOrZip
from ...core.pictures import opened
from ...core.text import decode
from .boxes import box_circles, paired, require_labels

if TYPE_CHECKING:
    from .options import CraterData

IMAGES = (".jpg", ".jpeg", ".png", ".tif", ".tiff")
MANY_BITS = ("I", "I;16", "I;16B", "F")
"""Modes of images that are kept as floats."""
MOST_PX = 2**28
"""Pixels of the largest image that is opened: 16 384 × 16 384."""
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


@dataclass(frozen=True)
class Images:
    """Tiles of ready-made images, read when they are wanted. ``rows``: one per tile, for ``read``; ``shapes``: of the tiles; ``is_bytes``:
    whether all images are of 8 bits."""

    rows: pd.DataFrame
    shapes: set[tuple[int, int]]
    is_bytes: bool
    read: Callable[[pd.DataFrame], list[Tile]]


def box_tiles(path: Path, options: CraterData) -> Images:
    """Images with boxes in a folder or zip, in text files of the same names. No text file: no crater."""
    files = FolderOrZip(path)
    images = files.ending(IMAGES)
    if not images:
        raise InputError(f"{path} holds no images", valid=f"images ({', '.join(IMAGES)}) and text files of the same names")
    labels = paired(images, files.ending([".txt"]), path)
    require_labels(files, labels)
    stems = Counter(PurePosixPath(name).stem for name in images)

    def tile(name: str) -> Tile:
        image, label = grey(files.read(name), f"{path}: {name}"), labels[name]
        text = decode(files.read(label), f"{path}: {label}") if label else ""
        circles = box_circles(text, image.shape, f"{path}: {label}")
        stem, full = PurePosixPath(name).stem, PurePosixPath(name).with_suffix("").as_posix()
        return Tile(stem if stems[stem] == 1 else full, image, circles, resolution_m=options.pixel_m or float("nan"))

    heads = [head(files.read(name), f"{path}: {name}") for name in images]
    return Images(
        pd.DataFrame({"image": images}),
        {shape for shape, _ in heads},
        all(is_bytes for _, is_bytes in heads),
        lambda rows: [tile(name) for name in rows["image"].tolist()],
    )


def circle_tiles(images: list[Path], tables: list[Path], options: CraterData) -> Images:
    """Pieces of large images, with the circles that touch each of them; incomplete pieces at the right and the bottom are left out."""
    side, one_at_a_time = options.tile_px, threading.Lock()
    circles = [read_circles(path) for path in tables]
    heads = [head(_content(path), str(path)) for path in images]
    for path, found, (shape, _) in zip(tables, circles, heads, strict=True):
        _require_on_image(path, found, shape)
    for path, (shape, _) in zip(images, heads, strict=True):
        if side > min(shape):
            raise InputError(f"{path} has {shape[0]} × {shape[1]} pixels", valid=f"at least the tiles' {side}")

    @lru_cache(maxsize=1)  # tiles of one image follow each other
    def pixels(number: int) -> np.ndarray:
        return grey(_content(images[number]), str(images[number]))

    def tile(number: int, row: int, col: int) -> Tile:
        with one_at_a_time:
            piece = pixels(number)[row : row + side, col : col + side]
        near = touching(circles[number] - (col, row, 0), (side, side))
        return Tile(f"{images[number].stem}-{row}-{col}", piece, near, number * 1e6 + col, options.pixel_m or float("nan"))

    places = [
        (number, row, col)
        for number, (shape, _) in enumerate(heads)
        for row in range(0, shape[0] - side + 1, side)
        for col in range(0, shape[1] - side + 1, side)
    ]
    return Images(
        pd.DataFrame(places, columns=["number", "row", "col"]),
        {(side, side)},
        all(is_bytes for _, is_bytes in heads),
        lambda rows: [tile(*place) for place in rows.itertuples(index=False, name=None)],
    )


def _content(path: Path) -> bytes:
    return FolderOrZip(path.parent).read(path.name)


def read_circles(path: Path) -> np.ndarray:
    """Circles (N, 3) x, y, radius in pixels from a CSV whose columns are called x, y, radius or as in the Robbins & Hynek tiles."""
    table = read_frame(path)
    names = {str(column).strip().lower(): column for column in table}
    chosen = {what: next((names[name] for name in known if name in names), None) for what, known in CIRCLE_COLUMNS.items()}
    if None in chosen.values():
        missing = ", ".join(what for what, column in chosen.items() if column is None)
        valid = "; ".join(f"{what}: {', '.join(known)}" for what, known in CIRCLE_COLUMNS.items())
        raise InputError(f"{path} has no column for {missing}; its columns: {', '.join(map(str, table))}", valid=valid)
    circles = table[list(chosen.values())].apply(pd.to_numeric, errors="coerce").to_numpy(float)
    if not np.isfinite(circles).all() or (circles[:, 2] < 0).any():
        row = int(np.argmin(np.isfinite(circles).all(axis=1) & (circles[:, 2] >= 0)))
        given = ", ".join(f"{column} = {table[column].iloc[row]}" for column in chosen.values())
        raise InputError(
            f"{path}, row {row + 1}: {given}",
            valid="numbers of pixels, radii from 0",
        )
    return circles[circles[:, 2] > 0]


def _require_on_image(path: Path, circles: np.ndarray, shape: tuple[int, int]) -> None:
    """A large image's list may reach over its edges; what mostly lies off it, or within its first pixel, is in other units."""
    off = len(circles) - len(touching(circles, shape))
    if 2 * off > len(circles) or (len(circles) > 1 and circles.max() <= 1):
        where = f"{off} of {len(circles)} circles lie off" if off else "all circles lie within the first pixel of"
        raise InputError(
            f"{path}: {where} the image of {shape[1]} × {shape[0]} pixels",
            valid="x (columns), y (rows) and radius in pixels of the image that is named with the table",
            next_step="check that 'images' and 'tables' are in the same order, and that the numbers are pixels",
        )


def touching(circles: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Those circles (N, ≥3) whose rim or inside meets an image of this shape."""
    x = np.clip(circles[:, 0], -0.5, shape[1] - 0.5)
    y = np.clip(circles[:, 1], -0.5, shape[0] - 0.5)
    return circles[np.hypot(circles[:, 0] - x, circles[:, 1] - y) < circles[:, 2] + 1]


def grey(content: bytes, what: str) -> np.ndarray:
    """One band (h, w), uint8 or float32, of an image file's bytes."""
    with opened(content, what, MOST_PX) as image:
        return np.asarray(image, np.float32) if image.mode in MANY_BITS else np.asarray(image.convert("L"))


def head(content: bytes, what: str) -> tuple[tuple[int, int], bool]:
    """Height and width of an image file's bytes, and whether it is one of 8 bits, without unpacking it."""
    with opened(content, what, MOST_PX) as image:
        return (image.height, image.width), image.mode not in MANY_BITS
