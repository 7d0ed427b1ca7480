"""EJMAP's npy files, read without unpickling anything: images (B, h, w) or (h, w, B), planes (h, w), (1, h, w) or (h, w, 1)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np


@dataclass(frozen=True)
class Problem:
    """A file that can't be imported, and why."""

    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class Unreadable(Exception):
    """Why a file can't be used; its text ends a sentence that begins with the file's name."""


def mapped(path: Path) -> np.ndarray:
    """The array, mapped and not read; raises :class:`Unreadable` if the file is missing, cut short or holds Python objects."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise Unreadable("is missing") from error
    except (OSError, ValueError, EOFError) as error:
        raise Unreadable(_reason(path, str(error))) from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "buif":
        raise Unreadable("holds no array of numbers")
    return array


def _reason(path: Path, text: str) -> str:
    if "mmap length" in text or "No data left" in text or path.stat().st_size < 10:
        return f"is cut short, at {path.stat().st_size} bytes"
    if "pickle" in text or "object" in text.lower():
        return "holds Python objects, which are not read: loading them could run code"
    return f"can't be read: {text.splitlines()[0]}"


def as_image(array: np.ndarray, bands: int) -> np.ndarray:
    """The array as (B, h, w), bands first or last; a view."""
    if array.ndim == 2 and bands == 1:
        return array[None]
    if array.ndim == 3 and array.shape[0] == bands:
        return array
    if array.ndim == 3 and array.shape[2] == bands:
        return array.transpose(2, 0, 1)
    raise Unreadable(f"has the shape {array.shape}, but the mosaic has {bands} bands")


def as_plane(array: np.ndarray) -> np.ndarray:
    """The array as (h, w); a view."""
    if array.ndim == 3 and 1 in (array.shape[0], array.shape[2]):
        array = array[0] if array.shape[0] == 1 else array[..., 0]
    if array.ndim != 2:
        raise Unreadable(f"has the shape {array.shape}, but one channel is expected")
    return array


def require_ratio(array: np.ndarray, ratio: int) -> None:
    """Raises :class:`Unreadable` unless the last two axes are ``ratio`` times as wide as high."""
    height, width = array.shape[-2:]
    if width != ratio * height or not height:
        wanted = "a square" if ratio == 1 else f"{ratio} times as wide as high"
        raise Unreadable(f"is {height} × {width} pixels, but {wanted} is expected")


def resized_image(image: np.ndarray, shape: tuple[int, int], dtype: np.dtype) -> np.ndarray:
    """An image (B, h, w) at another size and type: averaged when shrinking, bilinear when growing, as samples from a mosaic are."""
    if image.shape[1:] != tuple(shape):
        method = cv2.INTER_AREA if shape[0] < image.shape[1] else cv2.INTER_LINEAR
        # Not all of OpenCV's methods take all types; floats they all do.
        image = np.stack([cv2.resize(band.astype(np.float32), shape[::-1], interpolation=method) for band in np.ascontiguousarray(image)])
    if not np.isfinite(image).all():
        raise Unreadable("holds NaN or infinity")
    if np.dtype(dtype).kind in "iu":
        limits = np.iinfo(dtype)
        if image.min() < limits.min or image.max() > limits.max:
            raise Unreadable(f"holds values from {image.min():g} to {image.max():g}, which {np.dtype(dtype)} can't")
        image = np.rint(image)
    return image.astype(dtype)


def resized_plane(plane: np.ndarray, shape: tuple[int, int], codes: tuple[int, ...]) -> np.ndarray:
    """A plane of codes (h, w) at another size, nearest pixel, as uint8."""
    if not np.isin(plane, codes).all():
        raise Unreadable(f"holds other values than {', '.join(map(str, codes))}")
    plane = np.ascontiguousarray(plane.astype(np.uint8))
    return plane if plane.shape == tuple(shape) else cv2.resize(plane, shape[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
