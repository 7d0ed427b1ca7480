"""A family of a few numbers: two rounds, two optimisers in turn, a copy of the weights that follows. Tests the shape, not science."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import nn

from cratermill.families.base import Family
from cratermill.samples.sampler import EpochOrder
from cratermill.training.cell import FIRST, Datasets
from cratermill.training.fields import Integer
from cratermill.training.hparams import RowHparams
from cratermill.training.optim import build_optimizer
from cratermill.training.task import Task

ROW = {
    "version": 1,
    "version_run": True,
    "test_set": [0],
    "trainings_per_test": 1,
    "val_frac": 0.5,
    "batch_size": 4,
    "lr": 0.1,
    "optimizer": "Adam",
    "max_epochs": 3,
    "val_metric": "error",
}


class Hparams(RowHparams):
    lower_is_better: ClassVar[frozenset[str]] = frozenset({"loss", "error"})
    val_metric: Literal["error", "loss"] = "error"
    rounds: Integer = 2
    max_epochs: Integer = 3


class Samples(torch.utils.data.Dataset):
    def __init__(self, values: np.ndarray):
        self.values = torch.as_tensor(values, dtype=torch.float32)

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, key: Any) -> dict[str, torch.Tensor]:
        index = key[2] if isinstance(key, tuple) else key
        return {"image": self.values[index, None]}


class ToyTask(Task):
    """One weight drawn to the samples' mean, another pushed away from the first; the network keeps their running mean."""

    parts = 2

    def __init__(self, hparams: Hparams):
        super().__init__()
        self.hparams = hparams
        self.pulled, self.other, self.network = nn.Linear(1, 1), nn.Linear(1, 1), nn.Linear(1, 1)
        self.drop = nn.Dropout(0.5)

    def optimizers(self):
        return [(build_optimizer(self.hparams, part), None) for part in (self.pulled, self.other)]

    def forward(self, batch, part: int = 0):
        if part == 0:
            return ((self.drop(self.pulled(torch.ones_like(batch["image"]))) - batch["image"]) ** 2).mean()
        return (self.other(batch["image"]) - self.pulled(batch["image"]).detach()).abs().mean()

    @torch.no_grad()
    def after_step(self) -> None:
        for kept, weight in zip(self.network.parameters(), self.pulled.parameters(), strict=True):
            kept.lerp_(weight, 0.5)

    def end_epoch(self, epoch: int, folder: Path) -> None:
        (folder / f"sheet_{epoch}.txt").write_text("a picture")

    def start_scoring(self) -> None:
        self.sums = torch.zeros(2, dtype=torch.float64)

    def score(self, batch) -> None:
        error = (self.network(torch.ones_like(batch["image"])) - batch["image"]).abs()
        self.sums += torch.tensor([float(error.sum()), len(error)], dtype=torch.float64)

    def scores(self, sum_over_processes):
        total, count = sum_over_processes(self.sums).tolist()
        return {"loss": total / count, "error": total / count}


class Toy(Family):
    name, short = "toy", "toy"
    metrics, lower_is_better = ("error",), frozenset({"error"})

    def __init__(self) -> None:
        self.seen: list = []

    def hparams_model(self):
        return Hparams

    def rounds(self, hparams) -> int:
        return hparams.rounds

    def round_hparams(self, hparams, number: int):
        return hparams.model_copy(update={"max_epochs": hparams.max_epochs + number})

    def data_fingerprint(self, config, row) -> str:
        return "the same always"

    def datasets(self, config, params, round=FIRST) -> Datasets:
        self.seen.append((round.number, round.previous and round.previous.epoch))
        values = np.random.default_rng(params.seed + round.number).normal(3 + round.number, 1, 24)
        return Datasets(Samples(values[:12]), Samples(values[12:18]), Samples(values[18:]), EpochOrder(12, params.seed), np.ones((2, 1)))

    def task(self, params, norm):
        return ToyTask(params.hparams)
