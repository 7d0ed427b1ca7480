"""Schedules of the learning rate that torch lacks."""

from __future__ import annotations

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler


class Trapezoid(LRScheduler):
    """Rises linearly from ``low`` times the rate over ``rise`` epochs, stays, and falls to that again over the last share ``fall`` of
    ``T_max`` epochs. Parts of an epoch count, so that short trainings waste no epoch on their warm-up."""

    def __init__(self, optimizer: Optimizer, T_max: int, rise: float = 1.5, fall: float = 0.35, low: float = 0.01, last_epoch: int = -1):
        self.T_max, self.rise, self.fall, self.low = T_max, rise, fall, low
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float | Tensor]:
        return [rate * self.share(self.last_epoch) for rate in self.base_lrs]

    def share(self, epoch: float) -> float:
        """Share of the learning rate after so many epochs."""
        rising = epoch / self.rise if self.rise else 1.0
        falling = (self.T_max - epoch) / (self.fall * self.T_max) if self.fall else 1.0
        return self.low + (1 - self.low) * max(0.0, min(1.0, rising, falling))

    def reach(self, epoch: float) -> None:
        """Go to a place within an epoch."""
        self.last_epoch = epoch  # type: ignore[assignment]  # torch counts whole ones
        for group, rate in zip(self.optimizer.param_groups, self.get_lr(), strict=True):
            group["lr"] = rate
