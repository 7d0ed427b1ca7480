"""What training asks of a family's network: losses, optimisers and scores, and nothing about loops or devices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from .all_processes import loss_of_all
from .binary_scores import Counts

Batch = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Shown:
    """A batch for people to look at. ``image`` (B, C, h, w) raw; ``error`` (B,): 0 is right, and more is worse.

    ``target`` and ``prediction``: for each sample shares (h, w) from 0 to 1, a picture (h, w, 3) of bytes, or words.
    """

    image: np.ndarray
    target: Any
    prediction: Any
    error: np.ndarray


class Task(nn.Module):
    """A network with its losses. ``network`` is what a checkpoint keeps; ``parts`` losses are taken in turn on every batch."""

    network: nn.Module
    parts = 1
    gradient_clip: float | None = None
    """Largest norm of the gradients of a step; None: as they come."""

    def optimizers(self) -> list[tuple[torch.optim.Optimizer, Any]]:
        """One (optimiser, scheduler or None) per part; schedulers step once per epoch."""
        raise NotImplementedError

    def forward(self, batch: Batch, part: int = 0) -> torch.Tensor:
        """The loss (scalar) of one part on one batch."""
        raise NotImplementedError

    def after_step(self) -> None:
        """Called after each optimisation step, for weights that follow others. What it changes must lie in the state dict."""

    def end_epoch(self, epoch: int, folder: Path) -> None:
        """Called after each epoch, in one process, for pictures of the progress; must draw no global random numbers."""

    def shown(self, batch: Batch) -> Shown | None:
        """What the network makes of a batch, for sheets of samples; called without gradients, must draw no global random numbers."""
        return None

    def start_scoring(self) -> None:
        raise NotImplementedError

    def score(self, batch: Batch) -> None:
        """Add one batch of validation or test data to the scores; called without gradients."""
        raise NotImplementedError

    def scores(self, sum_over_processes: Callable[[torch.Tensor], torch.Tensor]) -> dict[str, float]:
        """Named scores of all batches since :meth:`start_scoring`, those of all processes together; ``loss`` is one of them."""
        raise NotImplementedError


class BinaryTask(Task):
    """One logit per tile or pixel. Scores come from counts over the whole set, so they do not depend on the batch size."""

    def __init__(
        self,
        network: nn.Module,
        make_loss: Callable[[], nn.Module],
        make_optimizer: Callable[[nn.Module], Any],
        make_scheduler: Callable[[Any], Any],
    ):
        super().__init__()
        self.network = network
        self._make_loss, self._make_optimizer, self._make_scheduler = make_loss, make_optimizer, make_scheduler

    @property
    def loss(self) -> nn.Module:
        """Built when it is asked for: networks at work need none, and libraries of losses take seconds to load."""
        if "loss" not in self._modules:
            self._modules["loss"] = self._make_loss().to(next(self.network.parameters()).device)
        return cast(nn.Module, self._modules["loss"])

    def optimizers(self) -> list[tuple[torch.optim.Optimizer, Any]]:
        _ = self.loss  # before anybody asks for the task's state
        optimizer = self._make_optimizer(self.network)
        return [(optimizer, self._make_scheduler(optimizer))]

    def logits(self, batch: Batch) -> torch.Tensor:
        """Logits shaped like ``batch["target"]``, in 32 bits: losses are not taken in half precision."""
        extra = (batch["extra"],) if "extra" in batch else ()
        return self.network(batch["image"], *extra).float()

    def forward(self, batch: Batch, part: int = 0) -> torch.Tensor:
        return loss_of_all(self.loss, self.logits(batch), batch["target"])

    def shown(self, batch: Batch) -> Shown:
        """The error is the mean difference of probability and target."""
        probability, target, image = (one.cpu().numpy() for one in (self.logits(batch).sigmoid(), batch["target"], batch["image"]))
        error = np.abs(probability - target).reshape(len(target), -1).mean(axis=1)
        if target.ndim == 4:
            return Shown(image, target[:, 0], probability[:, 0], error)
        said, found = ([f"{value:.3g}" for value in one.reshape(-1)] for one in (target, probability))
        return Shown(image, said, found, error)

    def start_scoring(self) -> None:
        self.counts = Counts.zeros(next(self.network.parameters()).device)

    def score(self, batch: Batch) -> None:
        logits = self.logits(batch)
        self.counts.add(logits > 0, batch["target"] > 0.5, self.loss(logits, batch["target"]))

    def scores(self, sum_over_processes: Callable[[torch.Tensor], torch.Tensor]) -> dict[str, float]:
        return self.counts.summed(sum_over_processes).scores()


def binary_task(hparams: Any, network: nn.Module, norm: Any, extra_channels: list[int] | None = None) -> BinaryTask:
    """The task of a row on raw inputs: normalisation inside the network, loss, optimiser and schedule as the row says."""
    from functools import partial

    from .normalised import Normalised
    from .optim import build_loss, build_optimizer, build_scheduler

    return BinaryTask(
        Normalised(network, norm, extra_channels),
        partial(build_loss, hparams),
        partial(build_optimizer, hparams),
        partial(build_scheduler, hparams),
    )
