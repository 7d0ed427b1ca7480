"""Augmented training samples: augmenters built once and reseeded per sample, against augmenters rebuilt for every sample.

python benchmarks/augmented_loading.py [--samples 400]

Both sides read the same arrays in memory and give the same tensors. The baseline is EJMAP's way, written anew: imgaug's colour
augmenters, then its Affine and Flipud on a float image of four channels and on the mask, all built for each sample.
"""

from __future__ import annotations

import argparse
from functools import cache

import numpy as np
import torch
from measure import Row, measure, show

from cratermill.families.connection.data import Pairs
from cratermill.families.ejecta.data import Tiles
from cratermill.samples.augment import ADDEND, BLUR_SIGMA_PX, CUTOFF, FACTOR, GAIN, Augmenter, imgaug

COUNT = 64


class ArrayStack:
    """Samples in memory instead of a prepared folder."""

    def __init__(self, **arrays: np.ndarray):
        self.arrays = arrays

    def array(self, name: str) -> np.ndarray:
        return self.arrays[name]


@cache
def samples(rows: int, columns: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images (N, 3, h, w) that look like ground rather than noise, masks and distances (N, h, w)."""
    import cv2

    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (COUNT, rows // 8, columns // 8, 3), dtype=np.uint8)
    images = np.stack([cv2.resize(image, (columns, rows), interpolation=cv2.INTER_CUBIC) for image in coarse])
    masks = (images[..., 0] > 150).astype(np.uint8)
    distances = np.broadcast_to(np.hypot(*np.mgrid[:rows, :columns]).astype(np.float32), masks.shape).copy()
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)), masks, distances


def tiles_ours(count: int, augment: bool = True) -> float:
    images, masks, distances = samples(224, 224)
    dataset = Tiles(ArrayStack(image=images, mask=masks), np.arange(COUNT), distances, None, Augmenter(True) if augment else None)
    return _load(dataset, count)


def pairs_ours(count: int, augment: bool = True) -> float:
    images, attention, _ = samples(112, 224)
    stack = ArrayStack(image=images, attention=attention)
    dataset = Pairs(stack, np.arange(COUNT), np.ones(COUNT, np.float32), Augmenter(False) if augment else None)
    return _load(dataset, count)


def _load(dataset: Tiles | Pairs, count: int) -> float:
    dataset[(0, 0, 0)]  # imports and builds what is built once
    return sum(float(dataset[(0, number, number % COUNT)]["image"][0, 0, 0]) for number in range(count))


def tiles_rebuilt(count: int) -> float:
    images, masks, distances = samples(224, 224)
    total = 0.0
    for number in range(count):
        row = number % COUNT
        image = _rebuilt_colour(images[row]) / 255.0
        image, mask = _rebuilt_turns(np.concatenate([image, distances[row][None].astype(float)]), masks[row])
        item = {"image": torch.from_numpy(image.astype(np.float32)), "target": torch.from_numpy(mask[None].astype(np.float32))}
        total += float(item["image"][0, 0, 0])
    return total


def pairs_rebuilt(count: int) -> float:
    images, attention, _ = samples(112, 224)
    iaa = imgaug().augmenters
    total = 0.0
    for number in range(count):
        row = number % COUNT
        image = _rebuilt_colour(images[row]) / 255.0
        channels = np.concatenate([image, attention[row][None].astype(float)])
        flips = iaa.Sequential([iaa.Flipud(0.5), iaa.Fliplr(0.5)])
        moved = flips(image=np.ascontiguousarray(channels.transpose(1, 2, 0))).transpose(2, 0, 1)
        total += float(torch.from_numpy(moved.astype(np.float32))[0, 0, 0])
    return total


def _rebuilt_colour(image_CHW: np.ndarray) -> np.ndarray:
    iaa = imgaug().augmenters
    contrast = iaa.SigmoidContrast(gain=GAIN, cutoff=CUTOFF)
    changes = [contrast, iaa.MultiplyAndAddToBrightness(mul=FACTOR, add=ADDEND), iaa.GaussianBlur(sigma=BLUR_SIGMA_PX)]
    augmenter = iaa.SomeOf((0, 2), changes, random_order=True)
    return augmenter(image=np.ascontiguousarray(image_CHW.transpose(1, 2, 0))).transpose(2, 0, 1)


def _rebuilt_turns(image_CHW: np.ndarray, mask_HW: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    from imgaug.augmentables.segmaps import SegmentationMapsOnImage

    iaa = imgaug().augmenters
    turn = iaa.Affine(rotate=[0, 90, 180, 270], mode="reflect")
    turn._mode_segmentation_maps = "reflect"
    image = np.ascontiguousarray(image_CHW.transpose(1, 2, 0))
    moved, mask = iaa.Sequential([iaa.Flipud(0.5), turn])(
        image=image, segmentation_maps=SegmentationMapsOnImage(mask_HW, shape=image.shape)
    )
    return moved.transpose(2, 0, 1), mask.get_arr()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=400)
    parser.add_argument("--json")
    options = parser.parse_args()
    count = options.samples
    tiles = measure(tiles_ours, count, runs=5), measure(tiles_rebuilt, count, runs=5)
    pairs = measure(pairs_ours, count, runs=5), measure(pairs_rebuilt, count, runs=5)
    plain = measure(tiles_ours, count, False, runs=5), measure(pairs_ours, count, False, runs=5)
    rows = [
        Row(f"{count} augmented tiles of 224²", "augmenters rebuilt per sample", *tiles, wanted_ratio=3),
        Row(f"{count} augmented pairs of 112×224", "augmenters rebuilt per sample", *pairs, wanted_ratio=1),
    ]
    speeds = [("tiles", plain[0], *tiles), ("pairs", plain[1], *pairs)]
    notes = {
        f"{name} per second and core, plain / augmented / rebuilt": " / ".join(f"{count / side.cpu_s:.0f}" for side in sides)
        for name, *sides in speeds
    }
    show(rows, notes, options.json)


if __name__ == "__main__":
    main()
