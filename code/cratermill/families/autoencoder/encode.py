"""Latents of crops from a trained cell."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from ...samples.sending import sent
from ...training.checkpoint import load
from ...training.device import choose_accelerator
from .hparams import Hparams
from .network import LatentNetwork, build_network, load_own

BATCH = 64


def device(accelerator: str) -> torch.device:
    return torch.device("cuda" if choose_accelerator(accelerator) != "cpu" else "cpu")


def trained_network(path: Path, version: int | None, row: Hparams | None = None, accelerator: str = "cpu") -> tuple[LatentNetwork, Hparams]:
    """The network of a checkpoint, ready to encode, and its row; ``row`` overrules what doesn't belong to training."""
    checkpoint = load(path, "autoencoder", version)
    row = row or Hparams.from_plan(checkpoint.hparams)
    network = build_network(row, pretrained=False)
    load_own(network, checkpoint.state_dict, path, row)
    return network.to(device(accelerator)).eval(), row


@torch.no_grad()
def encode(network: LatentNetwork, crops_NHW: np.ndarray) -> np.ndarray:
    """Latents (N, D) float32 of crops (N, S, S) uint8, in full precision.

    Batches are always of one size, the last one filled up: libraries add in another order for other sizes, and the same crop is to have the
    same latent in a stack, in a chunk of a map and alone.
    """
    where, made = next(iter(network.state_dict().values())).device, []
    for start in range(0, len(crops_NHW), BATCH):
        part = crops_NHW[start : start + BATCH]
        batch = np.zeros((BATCH, *part.shape[1:]), np.uint8)
        batch[: len(part)] = part
        made.append(network(sent(batch[:, None], where).float()).cpu().numpy()[: len(part)])
    return np.concatenate(made) if made else np.zeros((0, network.latent_dim), np.float32)


def encode_all(network: LatentNetwork, chunks: Iterable[np.ndarray], count: int, path: Path, between=lambda done: None) -> np.ndarray:
    """Latents of all chunks, written to ``path`` as they come; the array, mapped."""
    out = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(count, network.latent_dim))
    done = 0
    for crops in chunks:
        out[done : done + len(crops)] = encode(network, crops)
        done += len(crops)
        between(done)
    out.flush()
    return np.load(path, mmap_mode="r")
