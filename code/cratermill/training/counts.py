"""Binary scores from four streamed counts: no array is ever kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from .scores import binary_scores


@dataclass
class Counts:
    """True/false positives and negatives (int64, exact to 2^63) and the mean loss, on the device of the network."""

    values: torch.Tensor
    loss: torch.Tensor

    @classmethod
    def zeros(cls, device: torch.device) -> Counts:
        return cls(
            torch.zeros(4, dtype=torch.int64, device=device),
            torch.zeros(2, dtype=torch.float64 if device.type != "mps" else torch.float32, device=device),
        )

    def add(self, predicted: torch.Tensor, target: torch.Tensor, loss: torch.Tensor) -> None:
        tp = (predicted & target).sum()
        positive, true = predicted.sum(), target.sum()
        self.values += torch.stack([tp, positive - tp, true - tp, target.numel() - positive - true + tp])
        self.loss += torch.stack([loss.detach().to(self.loss) * len(target), torch.full_like(self.loss[0], len(target))])

    def summed(self, sum_over_processes: Callable[[torch.Tensor], torch.Tensor]) -> Counts:
        """The counts of all processes together."""
        return Counts(sum_over_processes(self.values), sum_over_processes(self.loss))

    def scores(self) -> dict[str, float]:
        tp, fp, fn, tn = self.values.tolist()
        return {"loss": float(self.loss[0] / self.loss[1].clamp(min=1)), **binary_scores(tp, fp, fn, tn)}
