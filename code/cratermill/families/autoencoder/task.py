"""What training asks of this family: one loss, one optimiser, and the mean squared error as score."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from ...training.optim import build_optimizer, build_scheduler
from ...training.task import Batch, Shown, Task
from .hparams import PLATEAU
from .network import LatentNetwork

if TYPE_CHECKING:
    from .hparams import Hparams

MASK_SEED = 20220611
"""Patches that validation hides: the same in every epoch, so that epochs can be compared."""


class Plateau(torch.optim.lr_scheduler.ReduceLROnPlateau):
    """Steps without an argument, by the loss that :attr:`latest` holds."""

    latest = float("inf")

    def step(self, metrics: Any = None, epoch: Any = None) -> None:  # type: ignore[override]  # the base's own subclass differs from it
        super().step(self.latest if metrics is None else metrics)


class LatentTask(Task):
    """Reconstruction of crops. ``scores``: ``loss``, the mean over crops."""

    network: LatentNetwork

    def __init__(self, network: LatentNetwork, row: Hparams):
        super().__init__()
        self.network, self.row = network, row
        self.plateau: Plateau | None = None

    def optimizers(self) -> list[tuple[torch.optim.Optimizer, Any]]:
        if not any(weight.requires_grad for weight in self.network.parameters()):
            # A frozen network takes no steps, but loops ask for an optimiser.
            return [(torch.optim.SGD([torch.nn.Parameter(torch.zeros(()))], lr=self.row.lr), None)]
        optimizer = build_optimizer(self.row, self.network)
        if self.row.scheduler != PLATEAU:
            return [(optimizer, build_scheduler(self.row, optimizer))]
        self.plateau = Plateau(
            optimizer, patience=self.row.plateau_patience, factor=self.row.plateau_factor, min_lr=self.row.plateau_min_lr
        )
        return [(optimizer, self.plateau)]

    def forward(self, batch: Batch, part: int = 0) -> torch.Tensor:
        return self.network.loss(batch["image"])

    def shown(self, batch: Batch) -> Shown | None:
        """Crops as the encoder sees them and their reconstructions; the error is the root of the mean square. None without a decoder."""
        made = self.network.reconstruct(batch["image"])
        if made is None:
            return None
        seen, again = (one[:, 0].float().cpu().numpy() for one in made)
        return Shown(batch["image"].cpu().numpy(), seen, again, ((again - seen) ** 2).mean(axis=(1, 2)) ** 0.5)

    def start_scoring(self) -> None:
        device = next(self.network.parameters()).device
        self.total = torch.zeros(2, dtype=torch.float64, device=device)
        self.generator = torch.Generator().manual_seed(MASK_SEED)

    def score(self, batch: Batch) -> None:
        count = len(batch["image"])
        loss = self.network.loss(batch["image"], self.generator)
        self.total += torch.stack([loss.double() * count, torch.full_like(loss, count, dtype=torch.float64)])

    def scores(self, sum_over_processes: Callable[[torch.Tensor], torch.Tensor]) -> dict[str, float]:
        total, count = sum_over_processes(self.total).tolist()
        loss = total / max(count, 1)
        if self.plateau is not None:
            self.plateau.latest = loss
        return {"loss": loss}
