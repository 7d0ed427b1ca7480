"""Augmentation of training samples. The only module that knows imgaug, which is unmaintained, so that it can be replaced here alone.

Colour (SomeOf 0–2 of contrast, brightness, blur) comes first and acts on bytes; geometry (flips, right-angle turns) moves image,
channels and mask together. Every draw follows from the seed that is given with the sample, and from nothing else: not from the
process, not from what was drawn before.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import InputError

if TYPE_CHECKING:
    from .recipe import Recipe

Moves = tuple[bool, bool, int]
"""Whether to flip up-down, whether to flip left-right, and then how many right angles to turn, counter-clockwise."""
GAIN, CUTOFF = (2, 7), (0.3, 0.6)
FACTOR, ADDEND = (0.8, 1.2), (-20, 20)
BLUR_SIGMA_PX = (0, 2)


class Augmenter:
    """Built once, cheap to reseed, safe to fork or pickle into loader workers.

    ``turns``: tiles have no upper side, so that squares are turned, too; else they are flipped alone.
    """

    def __init__(self, turns: bool, recipe: Recipe | None = None):
        self.turns, self.recipe = turns, recipe
        self._colours: dict[bool, tuple[Any, Any]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"turns": self.turns, "recipe": self.recipe, "_colours": {}}

    @property
    def moves(self) -> bool:
        """Whether pixels change their places."""
        return self.recipe is None or self.recipe.moves

    def colour(self, image_HWC: np.ndarray, seed: int, value_range: tuple[float, float] | None = None) -> np.ndarray:
        """The image (H, W, C) with none, one or two of the changes, in its own dtype.

        Bytes are taken as they are. Other dtypes need ``value_range``, which is mapped to 0…255 and back; what lies outside it
        is cut off, and pixels without a value (NaN) stay without one. Raises ``InputError`` for other dtypes without a range.
        """
        if image_HWC.dtype == np.uint8:
            return self._colour_bytes(image_HWC, seed)
        if value_range is None:
            self.require_bytes(image_HWC.dtype)
        assert value_range is not None
        low, high = value_range
        finite = np.isfinite(image_HWC)
        share = np.clip((np.where(finite, image_HWC, low) - low) / (high - low), 0, 1)
        changed = self._colour_bytes(np.rint(share * 255).astype(np.uint8), seed) * ((high - low) / 255) + low
        if np.issubdtype(image_HWC.dtype, np.integer):
            changed = np.rint(changed)
        return np.where(finite, changed, image_HWC).astype(image_HWC.dtype)

    @staticmethod
    def require_bytes(dtype: np.dtype) -> None:
        if dtype != np.uint8:
            raise InputError(
                f"colour augmentation needs bytes (uint8), not {dtype}",
                valid="a uint8 mosaic, or a value range for other types",
                next_step="set img_augment to False, or convert the mosaic to uint8",
            )

    def each(self, bands: int) -> dict[str, Augmenter]:
        """Each change by its name, as the only one and always done: to look at."""
        rgb, found = bands == 3, {}
        for change in built(self.recipe) if self.recipe else _usual(rgb):
            one = Augmenter(self.turns, self.recipe)
            one._colours[rgb] = seeded(change)
            found[type(change).__name__] = one
        return found

    def geometry(self, arrays: Sequence[np.ndarray], seed: int) -> list[np.ndarray]:
        """All arrays (H, W) or (H, W, C) under one flip up-down (p = 0.5), then one turn by 0, 90, 180 or 270°, or, of
        tiles that aren't turned, one flip left-right (p = 0.5). The results are contiguous.
        """
        if not self.moves:
            return [array.copy() for array in arrays]
        return [moved(array, *self.drawn_moves(seed)) for array in arrays]

    def drawn_moves(self, seed: int) -> Moves:
        flip_up, second = draw_geometry(self.turns, seed)
        return (flip_up, False, second) if self.turns else (flip_up, bool(second), 0)

    def _colour_bytes(self, image_HWC: np.ndarray, seed: int) -> np.ndarray:
        rgb = image_HWC.shape[2] == 3
        if rgb not in self._colours:
            self._colours[rgb] = seeded(built(self.recipe) if self.recipe else _usual(rgb))
        augmenter, generator = self._colours[rgb]
        # All parts of the augmenter draw from one generator, so resetting its state reseeds them all at once.
        generator.bit_generator.state = np.random.SFC64(seed).state
        # augment_batch_ changes its images in place; augment_image would copy too, and look at types for longer than some changes take.
        batch = imgaug().augmentables.batches.Batch(images=[np.array(image_HWC, order="C")])
        return augmenter.augment_batch_(batch).images_aug[0]


def bands_last(image_CHW: np.ndarray) -> np.ndarray:
    """(C, H, W) as contiguous (H, W, C); by OpenCV, which interleaves 30 times as fast as NumPy, where it can."""
    if not _opencv_takes(image_CHW, image_CHW.shape[0]):
        return np.ascontiguousarray(image_CHW.transpose(1, 2, 0))
    import cv2

    return cv2.merge([np.ascontiguousarray(band) for band in image_CHW]).reshape(*image_CHW.shape[1:], -1)


def bands_first(image_HWC: np.ndarray) -> np.ndarray:
    """(H, W, C) as contiguous (C, H, W)."""
    if not _opencv_takes(image_HWC, image_HWC.shape[2]):
        return np.ascontiguousarray(image_HWC.transpose(2, 0, 1))
    import cv2

    return np.stack(cv2.split(np.ascontiguousarray(image_HWC)))


def _opencv_takes(array: np.ndarray, channels: int) -> bool:
    return array.dtype.name in ("uint8", "uint16", "int16", "float32") and channels <= 4


def moved(array: np.ndarray, flip_up: bool, flip_left: bool, turns: int) -> np.ndarray:
    """An array (H, W) or (H, W, C) flipped, then turned counter-clockwise by so many right angles, contiguous.

    OpenCV moves pixels of several bytes 10 to 30 times as fast as NumPy; what it doesn't take goes through NumPy.
    """
    assert turns % 2 == 0 or array.shape[0] == array.shape[1], "only square tiles can be turned by 90°"
    pixels = array.view(np.uint8) if array.dtype == bool else array
    if not _opencv_takes(pixels, pixels.shape[2] if pixels.ndim == 3 else 1):
        return np.rot90(array[:: -1 if flip_up else 1, :: -1 if flip_left else 1], turns).copy()
    import cv2

    result = np.ascontiguousarray(pixels)
    if flip_up or flip_left:
        result = cv2.flip(result, -1 if flip_up and flip_left else int(flip_left))
    if turns:
        result = cv2.rotate(result, (cv2.ROTATE_90_COUNTERCLOCKWISE, cv2.ROTATE_180, cv2.ROTATE_90_CLOCKWISE)[turns - 1])
    result = result.reshape(array.shape).view(array.dtype)  # OpenCV drops an axis of one channel
    return result.copy() if np.shares_memory(result, array) else result


def draw_geometry(turns: bool, seed: int) -> tuple[bool, int]:
    """(flip up-down, quarter turns or flip left-right) of a seed; a stream of its own, independent of the colour's."""
    bits = int(np.random.SeedSequence([seed, 0x6E0]).generate_state(1)[0])
    return bool(bits & 1), (bits >> 1) & (3 if turns else 1)


def built(recipe: Recipe) -> Any:
    """imgaug's augmenter of a recipe, whose names and arguments were checked when it was read."""
    iaa = imgaug().augmenters
    return iaa.SomeOf(recipe.some_of, [getattr(iaa, name)(**arguments) for name, arguments in recipe.changes.items()], random_order=True)


def arguments_of(change: str) -> list[str]:
    """Names of the arguments of one of imgaug's augmenters."""
    return list(inspect.signature(getattr(imgaug().augmenters, change)).parameters)


def _usual(rgb: bool) -> Any:
    """What img_augment True stands for.

    For three bands brightness is changed in a randomly chosen colour space, as imgaug does it; for other counts in all bands alike.
    """
    iaa = imgaug().augmenters
    brightness = (
        iaa.MultiplyAndAddToBrightness(mul=FACTOR, add=ADDEND)
        if rgb
        else iaa.Sequential([iaa.Multiply(FACTOR), iaa.Add(ADDEND)], random_order=True)
    )
    changes = [iaa.SigmoidContrast(gain=GAIN, cutoff=CUTOFF), brightness, iaa.GaussianBlur(sigma=BLUR_SIGMA_PX)]
    return iaa.SomeOf((0, 2), changes, random_order=True)


def seeded(augmenter: Any) -> tuple[Any, np.random.Generator]:
    """The augmenter, and the generator that all its parts share from now on."""
    shared = imgaug().random.RNG(0)
    for part in _parts(augmenter):
        part.random_state = shared
    return augmenter, shared.generator


def _parts(augmenter: Any) -> list[Any]:
    """An augmenter and everything below it.

    ``get_all_children`` leaves out a Sequential between two augmenters, whose order would then be drawn from a global generator.
    """
    found = [augmenter]
    for children in augmenter.get_children_lists():
        own = isinstance(children, imgaug().augmenters.Augmenter)
        found += _parts(children) if own and children is not augmenter else [part for child in children for part in _parts(child)]
    return found


@functools.cache
def imgaug() -> ModuleType:
    """imgaug 0.4, which asks for ``np.sctypes``; NumPy 2 dropped it."""
    if not hasattr(np, "sctypes"):
        np.sctypes = {  # type: ignore[attr-defined]  # NumPy 2 has none, and imgaug reads it
            "int": [np.int8, np.int16, np.int32, np.int64],
            "uint": [np.uint8, np.uint16, np.uint32, np.uint64],
            "float": [np.float16, np.float32, np.float64],
            "complex": [np.complex64, np.complex128],
            "others": [bool, object, bytes, str, np.void],
        }
    import imgaug
    import imgaug.augmentables.batches
    import imgaug.augmenters
    import imgaug.random

    return imgaug
