"""Chips as they were read: grey images with their labels and names, checked once, whatever file they came from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...core.errors import InputError

UNLABELLED = -1


@dataclass(frozen=True)
class Keeping:
    """Where chips are kept while they are read or cut, and what says what they are made of; either goes on where it was stopped."""

    folder: Path
    made_of: str
    workers: int = 1
    tell: Callable[[int, int], None] = lambda *_: None


@dataclass(frozen=True)
class ChipSet:
    """``images``: N arrays (h, w) uint8, sizes may differ; ``labels`` (N,) int64, the class's number or −1; ``names`` (N,)."""

    images: list[np.ndarray]
    labels: np.ndarray
    names: list[str]
    squares: np.ndarray | None = None
    """Centres (degrees) and half sides (m) on the body, (N, 3), of chips that were cut from a mosaic; NaN for others."""

    def __len__(self) -> int:
        return len(self.images)

    def chosen(self, rows: np.ndarray) -> ChipSet:
        return ChipSet(
            [self.images[row] for row in rows],
            self.labels[rows],
            [self.names[row] for row in rows],
            None if self.squares is None else self.squares[rows],
        )

    def trimmed(self, pixels: int) -> ChipSet:
        """The chips without so many pixels on every side; refuses to leave none."""
        smallest = min((min(image.shape) for image in self.images), default=0)
        if pixels and smallest <= 2 * pixels:
            raise InputError(f"trim_px {pixels} leaves nothing of a chip of {smallest} px", valid=f"at most {(smallest - 1) // 2}")
        images = [image[pixels : image.shape[0] - pixels, pixels : image.shape[1] - pixels] for image in self.images]
        return ChipSet(images, self.labels, self.names, self.squares)

    def stack(self, size_px: int) -> np.ndarray:
        """All chips at one size, (N, size_px, size_px) uint8: averaged where they shrink, bilinear where they grow."""
        return np.stack([resized(image, size_px) for image in self.images]) if self.images else np.zeros((0, size_px, size_px), np.uint8)


def joined(sets: Sequence[ChipSet]) -> ChipSet:
    labels = np.concatenate([one.labels for one in sets]) if sets else np.zeros(0, np.int64)
    squares = [np.full((len(one), 3), np.nan) if one.squares is None else one.squares for one in sets]
    known = np.concatenate(squares) if any(one.squares is not None for one in sets) else None
    return ChipSet([image for one in sets for image in one.images], labels, [name for one in sets for name in one.names], known)


def resized(image_HW: np.ndarray, size_px: int) -> np.ndarray:
    import cv2

    if image_HW.shape == (size_px, size_px):
        return image_HW
    return cv2.resize(image_HW, (size_px, size_px), interpolation=cv2.INTER_AREA if min(image_HW.shape) > size_px else cv2.INTER_LINEAR)


def class_numbers(labels: np.ndarray, count: int, what: str, size: int) -> np.ndarray:
    """Labels (N,) or (N, 1) as whole class numbers 0 … count−1; ``size``: how many chips there are to label."""
    labels = np.asarray(labels)
    flat = labels.reshape(-1)
    if len(flat) != size:
        raise InputError(
            f"{what} holds {len(flat)} labels for {size} chips", valid="one label per chip, in the same order", next_step="check both files"
        )
    wrong = ~(np.isfinite(flat) & (flat == np.rint(flat))) if flat.dtype.kind in "iufb" else np.ones(size, bool)
    if wrong.any():
        raise InputError(f"{what} holds labels like {flat[wrong][0].item()!r}", valid=f"whole numbers from 0 to {count - 1}")
    numbers = flat.astype(np.int64)
    if numbers.size and (numbers.min() < 0 or numbers.max() >= count):
        raise InputError(
            f"{what} holds labels from {numbers.min()} to {numbers.max()}",
            valid=f"whole numbers from 0 to {count - 1}",
            next_step="name all classes below data.classes, in the order of their numbers",
        )
    return numbers


def require_classes(labels: np.ndarray, classes: Sequence[str], what: str) -> None:
    """Every class needs members, and there must be two at least."""
    present = [name for number, name in enumerate(classes) if np.any(labels == number)]
    if len(present) < 2 or len(present) < len(classes):
        gone = [name for name in classes if name not in present]
        raise InputError(
            f"{what} holds labelled chips of {len(present)} class(es) only ({', '.join(present) or 'none'}); none of: {', '.join(gone)}",
            valid="labelled chips of every class, of two classes at least",
            next_step="add chips of the missing classes, or correct data.classes",
        )
