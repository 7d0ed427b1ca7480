"""Sheets of samples, one shape for every family: image, target and prediction beside each other, and how wrong each is."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

    from .task import Batch, Shown, Task

PANEL_PX, GAP_PX, LINE_PX = 112, 6, 16
MOST_SAMPLES = 256
"""Samples among which the best, middle and worst are looked for: a part of a large set, evenly spread over it."""
EACH, FEW = 3, 4
"""Samples of each kind on a sheet of a trained cell, and on one that is made as training goes."""
BATCH = 16


@dataclass(frozen=True)
class Sample:
    """One row of a sheet: what stands before it, its image (h, w, 3) of bytes, target and prediction as such images or as words."""

    label: str
    image: np.ndarray
    target: np.ndarray | str
    prediction: np.ndarray | str
    error: float


def judged(task: Task, dataset: Any, device: torch.device) -> bytes | None:
    """The samples with the least, the median and the largest error, as JPEG; None where the task shows nothing."""
    found = list(samples(task, dataset, device, MOST_SAMPLES))
    if not found:
        return None
    found.sort(key=lambda one: one.error)
    count, each = len(found), max(1, min(EACH, len(found) // 3))
    middle = max(0, (count - each) // 2)
    kinds = {"best": found[:each], "median": found[middle : middle + each], "worst": found[::-1][:each]}
    chosen = [(f"{kind} of {count}", one) for kind, some in list(kinds.items())[: 3 if count > 1 else 1] for one in some]
    return as_jpeg(chosen)


def progress(task: Task, dataset: Any, device: torch.device) -> bytes | None:
    """The same few samples whenever it is asked for, to see how predictions change."""
    found = [(one.label, one) for one in samples(task, dataset, device, FEW)]
    return as_jpeg(found) if found else None


def samples(task: Task, dataset: Any, device: torch.device, most: int) -> Iterator[Sample]:
    """``most`` samples, evenly spread over a data set, as a task shows them. Without gradients; draws no random numbers of its own."""
    import torch
    from torch.utils.data import default_collate

    from ..samples.sending import sent

    numbers = np.unique(np.linspace(0, len(dataset) - 1, min(most, len(dataset))).round().astype(int))
    for start in range(0, len(numbers), BATCH):
        part = numbers[start : start + BATCH]
        batch: Batch = {name: sent(value, device) for name, value in default_collate([dataset[int(one)] for one in part]).items()}
        with torch.no_grad():
            shown = task.shown(batch)
        if shown is None:
            return
        for place, number in enumerate(part):
            yield _sample(f"sample {number}", shown, place)


def _sample(label: str, shown: Shown, place: int) -> Sample:
    target, prediction = (one[place] for one in (shown.target, shown.prediction))
    return Sample(label, picture(shown.image[place]), _panel(target), _panel(prediction), float(shown.error[place]))


def _panel(value: Any) -> np.ndarray | str:
    """Words, a picture (h, w, 3) of bytes as it is, or shares (h, w) as grey."""
    if isinstance(value, str):
        return value
    array = np.asarray(value)
    if array.ndim == 3:
        return array
    return np.repeat((np.clip(np.nan_to_num(array), 0, 1) * 255).astype(np.uint8)[..., None], 3, axis=2)


def picture(image_CHW: np.ndarray) -> np.ndarray:
    """An image for the screen, (h, w, 3) bytes between its 1st and 99th percentile.

    Of four channels or more the first three are colours, since what guides a network comes behind the bands; else the first is grey.
    """
    pixels = np.asarray(image_CHW, np.float32)
    pixels = pixels[:3] if len(pixels) > 3 else np.repeat(pixels[:1], 3, axis=0)
    low, high = np.nanpercentile(pixels, [1, 99]) if np.isfinite(pixels).any() else (0.0, 1.0)
    share = (pixels - low) / max(float(high - low), 1e-6)
    return (np.clip(np.nan_to_num(share), 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)


def as_jpeg(rows: list[tuple[str, Sample]]) -> bytes:
    """A line of words and three panels per sample."""
    from PIL import Image, ImageDraw, ImageFont

    panels = [(_scaled(one.image), *(_scaled(value, one.image) for value in (one.target, one.prediction))) for _, one in rows]
    width = max(panel.width for line in panels for panel in line)
    size = 3 * width + 4 * GAP_PX, len(rows) * (PANEL_PX + LINE_PX + GAP_PX) + LINE_PX + GAP_PX
    sheet = Image.new("RGB", size, "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for column, name in enumerate(("image", "target", "prediction")):
        pen.text((GAP_PX + column * (width + GAP_PX), 2), name, "black", font)
    for number, ((label, one), line) in enumerate(zip(rows, panels, strict=True)):
        top = LINE_PX + GAP_PX + number * (PANEL_PX + LINE_PX + GAP_PX)
        pen.text((GAP_PX, top), f"{label}: error {one.error:.3f}", "black", font)
        for column, panel in enumerate(line):
            sheet.paste(panel, (GAP_PX + column * (width + GAP_PX), top + LINE_PX))
    content = io.BytesIO()
    sheet.save(content, "JPEG", quality=85)
    return content.getvalue()


def _scaled(value: np.ndarray | str, beside: np.ndarray | None = None) -> Image:
    """A panel of the same height as all others; words in the middle of an empty one."""
    from PIL import Image, ImageDraw, ImageFont

    if isinstance(value, str):
        assert beside is not None
        panel = Image.new("RGB", (max(1, round(beside.shape[1] * PANEL_PX / beside.shape[0])), PANEL_PX), "#eeeeea")
        ImageDraw.Draw(panel).text((panel.width / 2, PANEL_PX / 2), value, "black", ImageFont.load_default(15), anchor="mm")
        return panel
    whole = Image.fromarray(value)
    wide = max(1, round(value.shape[1] * PANEL_PX / value.shape[0]))
    return whole.resize((wide, PANEL_PX), Image.Resampling.NEAREST if value.shape[0] < PANEL_PX else Image.Resampling.BOX)
