"""What the ground is like that a network learned from, and whether a mosaic is like it: contrast is taken for granted."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .grey import grey_range

if TYPE_CHECKING:
    from ..geo.mosaic import Mosaic

SAMPLES, BLOCK_PX = 64, 32
FAR = 2.0
"""Means this many of the training's deviations apart are far from each other."""
RATIO = 4.0
"""Deviations whose ratio exceeds this are, too."""


class Ground:
    """What raw images are like, per channel: how bright, how varied, how rough. Holds sums of at most ``SAMPLES`` images."""

    def __init__(self) -> None:
        self.images = 0
        self.sums: dict[str, np.ndarray] = {}

    def add(self, images_CHW: Iterable[np.ndarray]) -> None:
        for image in islice(images_CHW, SAMPLES - self.images):
            self.images += 1
            pixels = np.asarray(image, np.float64)
            flat = pixels.reshape(len(pixels), -1)
            steps = [np.abs(np.diff(pixels, axis=axis)).reshape(len(pixels), -1) for axis in (-1, -2) if pixels.ndim > 1]
            counts, totals = zip(*map(_known, steps or [flat[:, :0]]), strict=True)
            found = dict(zip(("pixels", "sum"), _known(flat), strict=True)) | {"squares": _known(np.square(flat))[1]}
            found |= {"steps": np.sum(totals, axis=0), "pairs": np.sum(counts, axis=0)}
            found |= dict(zip(("blocks", "contrasts"), _known(local_contrast(pixels)), strict=True))
            self.sums = {name: self.sums.get(name, 0.0) + value for name, value in found.items()}

    def plain(self) -> dict[str, list[float]]:
        return {name: np.asarray(value, float).tolist() for name, value in self.sums.items()}


def _known(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many finite values there are in each row (C, n), and the sum of all that are numbers."""
    total = values.sum(1)
    if np.isfinite(total).all():  # nearly always, at a third of the cost
        return np.full(len(values), values.shape[1]), total
    return np.isfinite(values).sum(1), np.nansum(values, 1)


def local_contrast(pixels: np.ndarray) -> np.ndarray:
    """Deviations within blocks of ``BLOCK_PX``² pixels of channels (C, h, w), the whole image if it is smaller: (C, n), NaN without data.

    What an image's parts differ by, mares and highlands, is not in it: that follows from where one looks more than from the ground's kind.
    """
    image = pixels if pixels.ndim == 3 else pixels.reshape(len(pixels), 1, -1)
    height, width = (min(BLOCK_PX, length) for length in image.shape[1:])
    rows, cols = image.shape[1] // height, image.shape[2] // width
    blocks = image[:, : rows * height, : cols * width].reshape(len(image), rows, height, cols, width)
    found = blocks.std(axis=(2, 4))
    if not np.isfinite(found).all():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a block without data
            found = np.nanstd(blocks, axis=(2, 4))
    return found.reshape(len(image), -1)


def described(sums: list[dict[str, list[float]]]) -> dict[str, list[float]]:
    """``mean``, ``std`` and ``roughness`` (mean difference of neighbouring pixels ÷ mean :func:`local_contrast`) per channel of all these
    sums of :class:`Ground` together; nothing where a channel has no data, no roughness where sums of before lack what it takes."""
    known = [one for one in sums if one]
    if not known:
        return {}
    total = {name: np.sum([one[name] for one in known], axis=0) for name in set[str](known[0]).intersection(*known)}
    if not (total["pixels"] > 0).all():
        return {}
    mean = total["sum"] / total["pixels"]
    std = np.sqrt(np.maximum(total["squares"] / total["pixels"] - mean**2, 0))
    found = {"mean": mean.tolist(), "std": std.tolist()}
    if "contrasts" not in total or not total["blocks"].all():
        return found
    below = total["pairs"] * total["contrasts"] / total["blocks"]
    roughness = np.divide(total["steps"], below, out=np.zeros_like(std), where=below > 0)
    return {**found, "roughness": roughness.tolist()}


def brightness_of(samples: Any) -> dict[str, list[float]]:
    """What :func:`described` says of raw images, of at most ``SAMPLES`` evenly spaced samples (dicts with ``image`` (C, h, w)); ``share``,
    the mean of what is asked for (``target``), where that is yes or no; and what the samples know themselves (``known``)."""
    chosen = np.unique(np.linspace(0, len(samples) - 1, min(SAMPLES, len(samples))).round().astype(int))
    drawn, ground = [samples[int(number)] for number in chosen], Ground()
    ground.add([np.asarray(one["image"], np.float64) for one in drawn])
    found = described([ground.plain()])
    targets = [np.asarray(one["target"], np.float64) for one in drawn if "target" in one]
    if found and targets and all(((one >= 0) & (one <= 1)).all() for one in targets):
        found["share"] = [float(np.mean([one.mean() for one in targets]))]
    return found | getattr(samples, "known", {}) if found else found


RED, AMBER, GREEN, UNKNOWN = "red", "amber", "green", "unknown"
LIMITS = {"mean": (1.0, FAR), "std": (2.0, RATIO), "roughness": (1.5, 2.0), "share": (2.0, 3.0)}
"""From where on something is doubtful, and far: deviations of the training between means, and ratios of the others."""
Doubt = tuple[str, str]
"""A colour and the reason for it."""


def doubts(trained: dict[str, list[float]], here: dict[str, list[float]], who: str, grey: bool = True) -> list[Doubt]:
    """What is unlike the training in what ``who`` has been shown. Without ``grey`` brightness was matched, and isn't compared."""
    found: list[Doubt] = []
    words = {"mean": "brightness", "std": "contrast", "roughness": "roughness (differences of neighbouring pixels ÷ contrast near them)"}
    for name, word in words.items():
        if name not in trained or name not in here or (not grey and name != "roughness"):
            continue
        pairs = list(zip(trained[name], here[name], strict=False))
        spread = trained["std"] if name == "mean" else [0.0] * len(pairs)
        off = [_off(there, seen, one, name) for (there, seen), one in zip(pairs, spread, strict=False)]
        worst = int(np.argmax(off)) if off else 0
        if off and (colour := _colour(off[worst], name)):
            there, seen = pairs[worst]
            found.append((colour, f"{word} of the ground is {seen:.3g}, {there:.3g} in the training of {who}"))
    return found


def unlike_share(trained: float, here: float, what: str) -> list[Doubt]:
    colour = _colour(_off(trained, here, 0.0, "share"), "share")
    return [(colour, f"{what} are {here:.0%}, {trained:.0%} in the training")] if colour else []


def _off(there: float, here: float, spread: float, name: str) -> float:
    if name == "mean":
        return abs(here - there) / spread if spread else float(here != there) * 2 * FAR
    low, high = sorted((abs(there), abs(here)))
    return high / low if low > 0 else (1.0 if high == 0 else np.inf)


def _colour(off: float, name: str) -> str | None:
    doubtful, far = LIMITS[name]
    return RED if off > far else AMBER if off > doubtful else None


def light(found: list[Doubt]) -> dict[str, Any]:
    """The traffic light of a map: its ``light`` and the ``reasons``, the gravest first."""
    order = {RED: 0, AMBER: 1}
    reasons = sorted(dict.fromkeys(found), key=lambda one: order[one[0]])
    return {"light": reasons[0][0] if reasons else GREEN, "reasons": [f"{colour}: {text}" for colour, text in reasons]}


def far_from(trained: dict[str, list[float]], mosaic: Mosaic, who: str, *, grey: bool, remembered: Path | None = None) -> list[str]:
    """What to warn of where a mosaic isn't as bright as what ``who`` learned from.

    ``trained``: of :func:`brightness_of`; nothing is known where it is empty. ``grey``: the network sees the grey byte of one rule instead
    of the bands.
    """
    if not trained:
        return []
    mean, std, _ = mosaic.statistics(remembered)
    if grey and mosaic.dtype != np.uint8:
        levels = grey_range(mosaic, remembered)
        scale = 255 / (levels.high - levels.low)
        mean, std = (mean - levels.low) * scale, std * scale
    if grey or len(trained["mean"]) < len(mean):
        mean, std = mean.mean(keepdims=True), std.mean(keepdims=True)
    said = []
    for band, (here, spread) in enumerate(zip(mean, std, strict=True)):
        there, usual = trained["mean"][band], trained["std"][band]
        if not _alike(here, spread, there, usual):
            name = "" if len(mean) == 1 else f" in band {mosaic.bands[band]}"
            said.append(
                f"{mosaic.path.name} has a mean of {here:.4g} ± {spread:.3g}{name}, but {who} learned from a mean of "
                f"{there:.4g} ± {usual:.3g}: what it finds there means little"
            )
    return said


def _alike(mean: float, spread: float, trained_mean: float, trained_spread: float) -> bool:
    if not trained_spread:
        return mean == trained_mean and not spread
    return abs(mean - trained_mean) <= FAR * trained_spread and trained_spread / RATIO <= spread <= trained_spread * RATIO
