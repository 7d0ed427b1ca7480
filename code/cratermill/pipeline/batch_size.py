"""The largest batch that a GPU takes, for who asks for it instead of the row's: ``trainer.batch_size: auto``."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import default_collate

from ..core.errors import InputError
from ..core.files import read_json, write_json

BATCH_SIZE = "batch_size.json"
"""Within a round's folder: a stopped cell goes on with the size that was found first."""
FULL = 0.9
"""The share of the memory that a training may take: validation, and other sizes of a library's workspace, need some, too."""
SAMPLES, STEPS = 8, 2


def chosen_size(folder: Path, device: torch.device, world: int, samples: int, fits: Callable[[int], bool]) -> int:
    """The largest power of two that ``fits``, at most ``samples``; ``InputError`` where there is nothing to go by."""
    if known := read_json(folder / BATCH_SIZE):
        return int(known["batch_size"])
    if device.type != "cuda" or world > 1:
        raise InputError(
            "trainer.batch_size auto asks how much one GPU holds",
            valid="row, or auto where a training has one GPU",
            next_step="leave it out, or give trainer.accelerator gpu and trainer.devices 1",
        )
    size = largest(fits, samples)
    write_json(folder / BATCH_SIZE, {"batch_size": size})
    return size


def largest(fits: Callable[[int], bool], most: int) -> int:
    """The largest power of two from 2 to ``most`` up to which all fit; ``InputError`` where 2 doesn't."""
    size = 1
    while 2 * size <= most and fits(2 * size):
        size *= 2
    if size == 1:
        raise InputError("not even two samples fit into the GPU's memory", next_step="choose a smaller network or smaller tiles")
    return size


def fits(make_training: Callable[[], Any], data: Any, size: int) -> bool:
    """Whether a fresh training makes steps with batches of a size, without its memory filling up."""
    try:
        training = make_training()
        device = training.fabric.device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        training.model.train()
        keys = [key for key, _ in zip(data.sampler, range(SAMPLES), strict=False)]
        few = default_collate([data.train[key] for key in keys])
        batch = training.fabric.to_device({name: value[torch.arange(size) % len(value)] for name, value in few.items()})
        for _ in range(STEPS):
            training.step(batch)
        if device.type != "cuda":
            return True
        total = torch.cuda.get_device_properties(device).total_memory
        return torch.cuda.max_memory_allocated(device) <= FULL * total
    except torch.OutOfMemoryError:
        return False
    finally:
        training = batch = None
        gc.collect()
        torch.cuda.empty_cache()
