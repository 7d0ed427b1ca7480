"""Binary scores from four counts, and counts that are streamed: no array is ever kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

SCORES = ("Accuracy", "F1_Score", "IoU", "Precision", "Recall")


def binary_scores(tp: float, fp: float, fn: float, tn: float) -> dict[str, float]:
    """Accuracy, F1, IoU, precision and recall; 0 where a ratio has no denominator, as scikit-learn's ``zero_division=0``."""

    def ratio(part: float, whole: float) -> float:
        return float(part) / float(whole) if whole else 0.0

    return {
        "Accuracy": ratio(tp + tn, tp + fp + fn + tn),
        "F1_Score": ratio(2 * tp, 2 * tp + fp + fn),
        "IoU": ratio(tp, tp + fp + fn),
        "Precision": ratio(tp, tp + fp),
        "Recall": ratio(tp, tp + fn),
    }


@dataclass
class Counts:
    """True/false positives and negatives (int64, exact to 2^63) and the mean loss, on the device of the network."""

    values: torch.Tensor
    loss: torch.Tensor

    @classmethod
    def zeros(cls, device: torch.device) -> Counts:
        import torch

        return cls(
            torch.zeros(4, dtype=torch.int64, device=device),
            torch.zeros(2, dtype=torch.float64 if device.type != "mps" else torch.float32, device=device),
        )

    def add(self, predicted: torch.Tensor, target: torch.Tensor, loss: torch.Tensor) -> None:
        import torch

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
