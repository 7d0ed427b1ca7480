"""Augmentation of whole batches where they are computed: changes of :mod:`.augment` with the same meaning, by kornia and torch.

Which changes a sample gets, by which numbers, and how it is moved, follows from its own seed and nothing else, as in loader workers;
moves are the same ones. Changes differ from imgaug's by the rounding to bytes, and noise is drawn on the device.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .augment import ADDEND, BLUR_SIGMA_PX, CUTOFF, FACTOR, GAIN, Augmenter, Moves
from .recipe import ON_DEVICE, require_on_device
from .sampler import sample_seed

if TYPE_CHECKING:
    from .recipe import Recipe

Key = tuple[int, int, int]
Change = Callable[[torch.Tensor, Sequence[int]], torch.Tensor]
Drawn = tuple[str, tuple[float, ...]]
USUAL: dict[str, dict[str, Any]] = {
    "SigmoidContrast": {"gain": GAIN, "cutoff": CUTOFF},
    "brightness": {"mul": FACTOR, "add": ADDEND},
    "GaussianBlur": {"sigma": BLUR_SIGMA_PX},
}
"""What img_augment True stands for, see ``augment._usual``."""
LEAST_SIGMA = 1e-3
SPACES = (("ycbcr", 0, 1), ("hsv", 2, 1), ("hls", 1, 1), ("lab", 0, 100), ("luv", 0, 100), ("yuv", 0, 1))
"""Colour spaces of kornia, number and range of the band of brightness."""


class BatchAugmenter:
    """Changes and moves batches of training samples, dicts of tensors that begin with the samples.

    ``change`` gets the first ``bands`` bands of the batch's images and a seed for each sample; ``moves`` says of a seed how images, and
    all else of the batch with rows and columns, are moved. ``images``: their names, and by how many bits each one's seed is shifted.
    """

    def __init__(
        self, seed: int, change: Change | None, moves: Callable[[int], Moves] | None, bands: int, images: Mapping[str, int] | None = None
    ):
        self.seed, self.change, self.moves, self.bands, self.images = seed, change, moves, bands, images or {"image": 0}

    def __call__(self, batch: Mapping[str, torch.Tensor], keys: Sequence[Key]) -> dict[str, torch.Tensor]:
        """The batch of the samples that were dealt by ``keys``, augmented."""
        seeds, found = [sample_seed(self.seed, epoch, position) for epoch, position, _ in keys], dict(batch)
        for name, value in batch.items():
            own = [seed >> self.images.get(name, 0) for seed in seeds]
            if name in self.images and self.change is not None:
                found[name] = torch.cat([self.change(value[:, : self.bands], own), value[:, self.bands :]], dim=1)
            if value.ndim == 4 and self.moves is not None:
                found[name] = moved_batch(found[name], [self.moves(seed) for seed in own])
        return found


def parted(augmenter: Augmenter | None, on: str, seed: int, images_NBHW: np.ndarray) -> tuple[Augmenter | None, BatchAugmenter | None]:
    """What augments single samples and what augments batches, by where it is to be done (``trainer.augment_on``): one of them, or none.

    Raises ``InputError`` for what can't be done to batches.
    """
    if augmenter is None or on == "workers":
        return augmenter, None
    augmenter.require_bytes(images_NBHW.dtype)
    change = Changes(True if augmenter.recipe is None else augmenter.recipe, (0, 255), whole=True)
    return None, BatchAugmenter(seed, change, augmenter.drawn_moves if augmenter.moves else None, images_NBHW.shape[1])


def moved_batch(images: torch.Tensor, moves: Sequence[Moves]) -> torch.Tensor:
    """Images (B, C, H, W), each flipped and turned for itself, as :func:`.augment.moved` does it."""
    up, left, turns = (torch.tensor(one, device=images.device).view(-1, 1, 1, 1) for one in zip(*moves, strict=True))
    if any(one[0] for one in moves):
        images = torch.where(up, images.flip(-2), images)
    if any(one[1] for one in moves):
        images = torch.where(left, images.flip(-1), images)
    if any(one[2] & 1 for one in moves):
        images = torch.where((turns & 1).bool(), images.rot90(1, (-2, -1)), images)
    if any(one[2] & 2 for one in moves):
        images = torch.where((turns & 2).bool(), images.flip((-2, -1)), images)
    return images


class Changes:
    """Colour of a recipe, or of img_augment True. ``value_range``: of the images' values; ``whole``: they are whole numbers and stay so."""

    def __init__(self, wanted: bool | Recipe, value_range: tuple[float, float], whole: bool):
        require_on_device(wanted)
        self.value_range, self.whole = value_range, whole
        if isinstance(wanted, bool):
            self.changes, self.some_of = USUAL, (0, 2)
        else:
            self.changes, self.some_of = {name: ON_DEVICE[name] | given for name, given in wanted.changes.items()}, wanted.some_of

    def drawn(self, seed: int) -> list[Drawn]:
        """The changes of a sample, in their order, with their numbers."""
        rng = np.random.default_rng([seed, 0xC01])
        names, count = list(self.changes), int(rng.integers(self.some_of[0], self.some_of[1], endpoint=True))
        chosen = [names[number] for number in rng.permutation(len(names))[:count]]
        return [(name, self._numbers(name, rng)) for name in chosen]

    def _numbers(self, name: str, rng: np.random.Generator) -> tuple[float, ...]:
        given = [float(rng.uniform(*value)) if isinstance(value, tuple) else float(value) for value in self.changes[name].values()]
        if name == "brightness":
            return (*given, float(rng.integers(2)), float(rng.integers(len(SPACES))))
        if name == "Invert":
            return (float(rng.random() < given[0]),)
        return (*given, float(rng.integers(2**31))) if name == "AdditiveGaussianNoise" else tuple(given)

    def __call__(self, images: torch.Tensor, seeds: Sequence[int]) -> torch.Tensor:
        """Images (B, C, H, W), each changed as its seed says; those that no change is drawn for are left alone."""
        drawn = [self.drawn(seed) for seed in seeds]
        touched = [row for row, one in enumerate(drawn) if one]
        if not touched:
            return images
        low, high = self.value_range
        rows = torch.tensor(touched, device=images.device)
        before = images[rows]
        finite = torch.isfinite(before)
        share = ((torch.where(finite, before, low) - low) / (high - low)).clamp(0, 1)
        self._change(share, [drawn[row] for row in touched])
        return images.index_copy(0, rows, torch.where(finite, share * (high - low) + low, before))

    def _change(self, share: torch.Tensor, drawn: list[list[Drawn]]) -> None:
        """Change images of values 0 to 1 in place: the first change of each, the second …, those of one kind together."""
        for place in range(max(map(len, drawn))):
            kinds: dict[str, list[tuple[int, tuple[float, ...]]]] = {}
            for row, one in enumerate(drawn):
                if place < len(one):
                    kinds.setdefault(one[place][0], []).append((row, one[place][1]))
            for name, members in kinds.items():
                rows = torch.tensor([row for row, _ in members], device=share.device)
                numbers = np.array([numbers for _, numbers in members])
                changed = OPERATIONS[name](share[rows], numbers).clamp(0, 1)
                share[rows] = (changed * 255).round() / 255 if self.whole else changed


# --- the changes: images (B, C, H, W) of values 0 to 1, and of each its numbers (B, n) ------------------------------------------


def _column(numbers: np.ndarray, which: int, like: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(numbers[:, which].astype(np.float32)).to(like.device, non_blocking=True).view(-1, 1, 1, 1)


def _sigmoid(images: torch.Tensor, numbers: np.ndarray) -> torch.Tensor:
    gain, cutoff = (_column(numbers, which, images) for which in (0, 1))
    return torch.sigmoid(gain * (images - cutoff))


def _gamma(images: torch.Tensor, numbers: np.ndarray) -> torch.Tensor:
    return images ** _column(numbers, 0, images)


def _log(images: torch.Tensor, numbers: np.ndarray) -> torch.Tensor:
    return (1 + images).log2() * _column(numbers, 0, images)


def _linear(images: torch.Tensor, numbers: np.ndarray) -> torch.Tensor:
    return 127 / 255 + _column(numbers, 0, images) * (images - 127 / 255)


def _add(images: torch.Tensor, numbers: np.ndarray) -> torch.Tensor:
    return images + _column(numbers, 0, images) / 255


def _multiply(images: torch.Tensor, numbers: np.ndarray) -> torch.Tensor:
    return images * _column(numbers, 0, images)


def _invert(images: torch.Tensor, numbers: np.ndarray) -> torch.Tensor:
    return torch.where(_column(numbers, 0, images) > 0, 1 - images, images)


def _noise(images: torch.Tensor, numbers: np.ndarray) -> torch.Tensor:
    """The same noise in all bands, from a generator for each sample."""
    loc, scale = (_column(numbers, which, images) / 255 for which in (0, 1))
    generators = (torch.Generator(images.device).manual_seed(int(seed)) for seed in numbers[:, 2])
    shape = (1, *images.shape[2:])
    return images + loc + scale * torch.stack([torch.randn(shape, generator=one, device=images.device) for one in generators])


def _blur(images: torch.Tensor, numbers: np.ndarray) -> torch.Tensor:
    """imgaug's kernels, as wide as its sigma asks for, edges mirrored."""
    from kornia.filters import filter2d_separable

    kernels = [_kernel(float(sigma)) for sigma in numbers[:, 0]]
    widest = max(map(len, kernels))
    padded = np.stack([np.pad(kernel, (widest - len(kernel)) // 2) for kernel in kernels]).astype(np.float32)
    along = torch.from_numpy(padded).to(images.device, non_blocking=True)
    return filter2d_separable(images, along, along, border_type="reflect")


def _kernel(sigma: float) -> np.ndarray:
    if sigma <= LEAST_SIGMA:
        return np.ones(1)
    import cv2

    side = int(max((3.3 if sigma < 3 else 2.9 if sigma < 5 else 2.6) * sigma, 5))
    return cv2.getGaussianKernel(side + 1 - side % 2, sigma)[:, 0]


def _brightness(images: torch.Tensor, numbers: np.ndarray) -> torch.Tensor:
    """Factor and addend, in either order; of three bands on the brightness in a colour space, of others on all."""
    if images.shape[1] != 3:
        return _times_plus(images, numbers)
    import kornia.color

    found = torch.empty_like(images)
    for number, (name, band, scale) in enumerate(SPACES):
        members = np.flatnonzero(numbers[:, 3] == number)
        if len(members):
            rows = torch.from_numpy(members).to(images.device)
            converted = getattr(kornia.color, f"rgb_to_{name}")(images[rows])
            converted[:, band] = _times_plus(converted[:, band : band + 1] / scale, numbers[members])[:, 0] * scale
            found[rows] = getattr(kornia.color, f"{name}_to_rgb")(converted)
    return found


def _times_plus(images: torch.Tensor, numbers: np.ndarray) -> torch.Tensor:
    factor, addend, first = (_column(numbers, which, images) for which in (0, 1, 2))
    addend = addend / 255
    return torch.where(first > 0, (images + addend).clamp(0, 1) * factor, (images * factor).clamp(0, 1) + addend).clamp(0, 1)


OPERATIONS: dict[str, Callable[[torch.Tensor, np.ndarray], torch.Tensor]] = {
    "Add": _add,
    "AdditiveGaussianNoise": _noise,
    "GammaContrast": _gamma,
    "GaussianBlur": _blur,
    "Invert": _invert,
    "LinearContrast": _linear,
    "LogContrast": _log,
    "Multiply": _multiply,
    "SigmoidContrast": _sigmoid,
    "brightness": _brightness,
}
