"""Sanity runs before a long training: a network that can't learn one batch by heart will learn nothing, and a masked autoencoder's error
must follow from how much it is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ...core.errors import InputError
from .network import LatentNetwork, build_network
from .prepare import NAME, stack_of

if TYPE_CHECKING:
    from ...config import Config
    from .hparams import Hparams

STEPS, BATCH, LR = 200, 8, 2e-3
MASKS = (0.01, 0.99)
LEARNT = 0.3
"""Share of the first error that must be gone from one batch after all steps."""


def check_rows(config: Config, rows: list[Hparams], steps: int) -> list[dict[str, Any]]:
    """The sanity runs of every row that is trained, on its own crops."""
    if not rows:
        raise InputError(
            f"{config.source or 'the config'} trains no {NAME}",
            valid=f"train: {{{NAME}: {{table: …, data: …}}}}",
            next_step="name another config",
        )
    return [{"version": row.version, **sanity(row, stack_of(config, row).array("image"), steps)} for row in rows if row.max_epochs]


def sanity(row: Hparams, crops_NHW: np.ndarray, steps: int = STEPS, seed: int = 0) -> dict[str, Any]:
    """Overfit one batch of crops (N, S, S) uint8; of a mae also with almost nothing and almost everything hidden. Plain values: errors
    before and after, and ``sound``."""
    batch = torch.from_numpy(np.array(crops_NHW[:BATCH]))[:, None].float()
    first, last = overfit(row, batch, steps, seed)
    found: dict[str, Any] = {"model_name": row.model_name, "steps": steps, "before": first, "after": last, "mask_ratio": {}}
    found["sound"] = last < LEARNT * first
    if row.is_mae:
        for mask in MASKS:
            before, after = overfit(row.model_copy(update={"mask_ratio": mask}), batch, steps, seed)
            found["mask_ratio"][f"{mask:g}"] = {"before": before, "after": after}
        shown_most, shown_least = (found["mask_ratio"][f"{mask:g}"]["after"] for mask in MASKS)
        # Predicting from nothing can't be easier than from almost everything.
        found["sound"] &= shown_most <= shown_least * 1.5
    return found


def overfit(row: Hparams, batch: torch.Tensor, steps: int, seed: int) -> tuple[float, float]:
    """Error on one batch before and after so many steps on it, with the same patches hidden in both."""
    torch.manual_seed(seed)
    network = build_network(row)
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    if not weights:
        return float("nan"), float("nan")
    optimizer = torch.optim.Adam(weights, lr=LR)
    before = error(network, batch)
    network.train()
    for _ in range(steps):
        optimizer.zero_grad(set_to_none=True)
        network.loss(batch).backward()
        optimizer.step()
    return before, error(network, batch)


@torch.no_grad()
def error(network: LatentNetwork, batch: torch.Tensor) -> float:
    network.eval()
    generator = torch.Generator().manual_seed(0)
    return float(torch.stack([network.loss(batch, generator) for _ in range(4)]).mean())
