"""The detector in training: its loss, weights averaged over the steps, and scores of what the averaged network finds on pieces."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...craters.matching import STRICT, match
from ...craters.scores import rates, tallies
from ...networks.circle_net import peaks
from ...report.palette import FOUND, MISSED, NEW, OTHER, channels
from ...training.all_processes import loss_of_all
from ...training.normalised import Normalised
from ...training.optim import build_optimizer, build_scheduler
from ...training.sheets import picture
from ...training.task import Batch, Shown, Task
from .hparams import Hparams
from .targets import DRAWN, RADII_PX, loss

LEAST, SHOWN_ABOVE = 0.04, 0.3
"""Weakest answer of a network that is listed, and that a sheet of samples shows."""
THRESHOLDS = np.arange(0.1, 0.75, 0.05)
AVERAGE_FROM = 10
"""Steps over which the average begins to keep more than it takes."""


def circles_of(outputs: Tensor | list[Tensor], least: float = LEAST) -> list[Tensor]:
    """Circles (M, 4) x, y, radius, strength of each image, from a heat map's channels or a box detector's circles."""
    if isinstance(outputs, Tensor):
        return peaks(outputs.float(), least)
    return [circles[circles[:, 3] > least] for circles in outputs]


def _drawn_loss(outputs: Tensor, *values: Tensor) -> Tensor:
    return loss(outputs, dict(zip(DRAWN, values, strict=True)))


class DetectorTask(Task):
    """``network`` is the moving average of ``learning``, raw images in; the average is what is validated, tested and kept."""

    steps: Tensor
    network: Normalised

    def __init__(self, hparams: Hparams, norm: np.ndarray):
        super().__init__()
        self.hparams, self.gradient_clip = hparams, hparams.gradient_clip
        # A seventh faster on a CPU, and what GPUs like best.
        self.learning = Normalised(hparams.build_network(norm.shape[1]), norm).to(memory_format=torch.channels_last)
        self.network = copy.deepcopy(self.learning).requires_grad_(False)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def optimizers(self) -> list[tuple[torch.optim.Optimizer, Any]]:
        optimizer = build_optimizer(self.hparams, self.learning)
        return [(optimizer, build_scheduler(self.hparams, optimizer))]

    def forward(self, batch: Batch, part: int = 0) -> Tensor:
        return self._loss(self.learning, batch)

    def _loss(self, network: Normalised, batch: Batch) -> Tensor:
        if self.hparams.head == "heatmap":
            outputs = network(batch["image"]).float()
            return loss_of_all(_drawn_loss, outputs, *(batch[name] for name in DRAWN))
        offset, divisor = network.offset[:, None, None], network.divisor[:, None, None]
        detector: Any = network.network  # torchvision's, behind a wrapper that has its losses
        return detector.losses((batch["image"] - offset) / divisor, list(known(batch["circles"])))

    @torch.no_grad()
    def after_step(self) -> None:
        self.steps += 1
        steps = int(self.steps.item())
        keep = min(self.hparams.moving_average, (1 + steps) / (AVERAGE_FROM + steps)) if self.hparams.moving_average else 0.0
        for mean, value in zip(self.network.state_dict().values(), self.learning.state_dict().values(), strict=True):
            if mean.dtype.is_floating_point:
                mean.lerp_(value, 1 - keep)
            else:
                mean.copy_(value)

    def start_scoring(self) -> None:
        device = self.network.offset.device
        self.counts = torch.zeros(len(THRESHOLDS), 4, dtype=torch.float64, device=device)
        self.losses = torch.zeros(2, dtype=torch.float64, device=device)

    def score(self, batch: Batch) -> None:
        if self.hparams.head == "heatmap":
            outputs = self.network(batch["image"]).float()
            self.losses += torch.tensor([float(loss(outputs, batch)) * len(outputs), len(outputs)], device=self.losses.device)
        else:
            outputs = self.network(batch["image"])
        found, truth = ([one.cpu().numpy() for one in lists] for lists in (circles_of(outputs), known(batch["circles"])))
        self.counts += torch.from_numpy(_counts(found, truth)).to(self.counts.device)

    def shown(self, batch: Batch) -> Shown:
        """Circles over the images, hits, new and missed ones in the colours of crater maps; the error is 1 − F1 of strict matches."""
        outputs = self.network(batch["image"])
        circles = circles_of(outputs.float() if isinstance(outputs, Tensor) else outputs, SHOWN_ABOVE)
        images, targets, predictions, errors = batch["image"].cpu().numpy(), [], [], []
        for image, one, two in zip(images, circles, known(batch["circles"]), strict=True):
            found, truth = one.cpu().numpy(), two.cpu().numpy()
            hits, below = match(found, truth).pairs, picture(image)
            new, missed = (np.delete(rows, hits[:, side], axis=0) for side, rows in ((0, found), (1, truth)))
            targets.append(drawn_over(below, [(truth, OTHER)]))
            predictions.append(drawn_over(below, [(found[hits[:, 0]], FOUND), (new, NEW), (missed, MISSED)]))
            errors.append(1 - 2 * len(hits) / max(1, len(found) + len(truth)) if len(found) + len(truth) else 0.0)
        return Shown(images, targets, predictions, np.array(errors))

    def scores(self, sum_over_processes: Callable[[Tensor], Tensor]) -> dict[str, float]:
        counts, losses = sum_over_processes(self.counts).cpu().numpy(), sum_over_processes(self.losses)
        precision, recall, f1 = rates(counts).T
        best = int(np.argmax(f1))
        # Detectors of boxes give no loss while they are looking; what they miss is as good.
        value = float(losses[0] / losses[1]) if losses[1] else 1 - float(f1[best])
        return {
            "loss": value,
            "F1_strict": float(f1[best]),
            "Precision_strict": float(precision[best]),
            "Recall_strict": float(recall[best]),
        }


def known(circles: Tensor) -> list[Tensor]:
    """The circles (M, 3) of each image, without what fills them up."""
    return [one[~one[:, 0].isnan()] for one in circles]


def drawn_over(image_HWC: np.ndarray, kinds: list[tuple[np.ndarray, str]]) -> np.ndarray:
    """An image of bytes, twice as large, with circles (N, ≥3) of each kind in its colour."""
    import cv2

    large = np.ascontiguousarray(image_HWC.repeat(2, axis=0).repeat(2, axis=1))
    for circles, colour in kinds:
        for x, y, radius, *_ in circles:
            cv2.circle(large, (round(2 * x + 0.5), round(2 * y + 0.5)), max(1, round(2 * radius)), channels(colour), 1, cv2.LINE_AA)
    return large


def _counts(found: list[np.ndarray], truth: list[np.ndarray]) -> np.ndarray:
    """Right, found, known that were found, known (T, 4), of the images' craters that the network should see, above each threshold."""
    above = ([one[one[:, 3] >= least] for one in found] for least in THRESHOLDS)
    return np.array([tallies(kept, truth, STRICT, RADII_PX).counts() for kept in above], float)


def build_task(hparams: Hparams, norm: np.ndarray) -> DetectorTask:
    return DetectorTask(hparams, norm)
