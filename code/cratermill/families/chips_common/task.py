"""Training a classifier of chips: raw grey chips in, cross-entropy against hard or soft labels, scores from streamed counts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from ...training.normalised import Normalised
from ...training.optim import build_optimizer, build_scheduler
from ...training.task import Batch, Shown, Task
from .class_scores import class_probabilities, class_scores, decided


def classification_loss(logits: torch.Tensor, target_BK: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy of logits (B, K), or (B, 1) for two classes, against probabilities (B, K)."""
    logits = logits.float()
    if logits.shape[1] == 1:
        return functional.binary_cross_entropy_with_logits(logits[:, 0], target_BK[:, 1])
    return functional.cross_entropy(logits, target_BK)


class ChipScoring(Task):
    """Validation and test scores of ``network`` on batches of ``image`` (B, 1, s, s), grey 0–255, and ``target`` (B, K)."""

    classes: int
    threshold = 0.5

    def start_scoring(self) -> None:
        # Counts, then the sum of the losses and the number of chips, so that one reduction adds up all processes.
        device = next(self.network.parameters()).device
        self.counted = torch.zeros(self.classes**2 + 2, dtype=torch.float64, device=device)

    def score(self, batch: Batch) -> None:
        logits = self.network(batch["image"]).float()
        predicted, true = decided(class_probabilities(logits), self.threshold), batch["target"].argmax(dim=1)
        self.counted[: self.classes**2] += torch.bincount(true * self.classes + predicted, minlength=self.classes**2)
        self.counted[-2] += classification_loss(logits, batch["target"]) * len(true)
        self.counted[-1] += len(true)

    def shown(self, batch: Batch) -> Shown:
        """The error is what is missing of the true class's probability."""
        share = class_probabilities(self.network(batch["image"]).float()).cpu().numpy()
        image, true = batch["image"].cpu().numpy(), batch["target"].argmax(dim=1).cpu().numpy()
        found = share.argmax(axis=1)
        said = [f"class {one}\n{row[one]:.0%}" for one, row in zip(found, share, strict=True)]
        return Shown(image, [f"class {one}" for one in true], said, 1 - share[np.arange(len(true)), true])

    def scores(self, sum_over_processes: Callable[[torch.Tensor], torch.Tensor]) -> dict[str, float]:
        counted = np.asarray(sum_over_processes(self.counted).cpu(), float)
        counts = counted[: self.classes**2].reshape(self.classes, self.classes)
        return {"loss": float(counted[-2] / max(1.0, counted[-1])), **class_scores(counts)}


class ClassifierTask(ChipScoring):
    """One network, one loss."""

    def __init__(self, hparams: Any, network: nn.Module, norm: np.ndarray, classes: int, threshold: float = 0.5):
        super().__init__()
        self.network, self.classes, self.threshold = Normalised(network, norm), classes, threshold
        self._make_optimizer, self._make_scheduler = partial(build_optimizer, hparams), partial(build_scheduler, hparams)

    def optimizers(self) -> list[tuple[torch.optim.Optimizer, Any]]:
        optimizer = self._make_optimizer(self.network)
        return [(optimizer, self._make_scheduler(optimizer))]

    def forward(self, batch: Batch, part: int = 0) -> torch.Tensor:
        return classification_loss(self.network(batch["image"]), batch["target"])
