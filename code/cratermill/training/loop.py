"""The training loop: epochs of steps that can stop after any step and go on from there, bit for bit.

The loop is our own on Lightning Fabric (devices, precision, DDP) because Lightning's Trainer resumes in the middle of an epoch
only with the data of the wrong epoch, saves in place, and pickles its callbacks.
"""

from __future__ import annotations

import csv
import math
import time
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from lightning.fabric import Fabric

from ..core.errors import WorkError
from ..core.files import atomic_path
from ..core.work import Stopped, Workspace
from ..samples.brightness import brightness_of
from .all_processes import share_batch_norm
from .cell import SAMPLES, CellParams
from .checkpoint import Checkpoint, read_tensors
from .device import GpuLoad
from .events import BackgroundLogger
from .loaders import Loaders
from .sheets import judged, progress
from .task import Batch, Task

BEST, LAST, CURVE = "best.ckpt", "last.ckpt", "curve.csv"
HISTORY = 30
"""Epochs whose score is told to who watches."""
SAVE_EVERY_S = 600.0
"""Longest time between two saves of the whole state within an epoch."""
LOOK_EVERY_S, MOST_UNSEEN = 0.5, 50
"""About how long a GPU works on before its losses, and whether to stop, are looked at, and for how many steps at most."""


class Training:
    """Fits one task. ``folder`` gets ``best.ckpt`` (best epoch on validation), ``last.ckpt`` (to go on from) and ``curve.csv``."""

    def __init__(
        self,
        fabric: Fabric,
        task: Task,
        loaders: Loaders,
        params: CellParams,
        hparams: Any,
        norm: np.ndarray,
        workspace: Workspace,
        folder: Path,
    ):
        self.fabric, self.loaders, self.params, self.hparams, self.norm = fabric, loaders, params, hparams, norm
        self.workspace, self.folder = workspace, folder
        self.task = task = share_batch_norm(task, fabric.device) if fabric.world_size > 1 else task
        pairs = task.to(fabric.device).optimizers()
        self.schedulers = [scheduler for _, scheduler in pairs]
        self.model, *self.optimizers = fabric.setup(task, *(optimizer for optimizer, _ in pairs))
        self.epoch = self.batch = 0
        self.seconds = 0.0
        self.set_loss(0.0)
        # Reading a number off a GPU waits for all that it was given to do; on a CPU every step is looked at.
        self.every = self.unseen = 1
        self.curve: list[dict[str, float]] = []
        self.loggers: list[str] = []
        self.pictures_every = 0
        self.pictures: dict[str, int] = {}
        self.load = GpuLoad(fabric.device)
        self._clock = self._saved = self._start = self._looked = time.monotonic()
        self._began = 0

    # --- the loop -------------------------------------------------------------------------------------------------------

    def fit(self) -> None:
        """Train to the last epoch, or until the validation score has not risen for ``early_stop_patience`` epochs."""
        if (self.folder / LAST).exists():
            self.resume(self.folder / LAST)
        self.logger = self.new_logger()
        try:
            self.fit_epochs()
        finally:
            self.logger.close()
        self.write_curve()

    def fit_epochs(self) -> None:
        while self.epoch < self.hparams.max_epochs and not self.out_of_patience():
            self.train_epoch()
            scores = self.evaluate(self.loaders.val())
            self.end_epoch(scores)
            self.stop_if_asked()
        if self.best_epoch < 0:
            self.save_best({})  # no epoch was asked for: the network as it was built

    def train_epoch(self) -> None:
        self.model.train()
        for batch in self.loaders.train(self.epoch, skip=self.batch):
            self.loss_total += self.step(batch)
            self.batch += 1
            for scheduler in self.schedulers:
                if hasattr(scheduler, "reach"):
                    scheduler.reach(self.epoch + self.batch / self.loaders.train_batches)
            if self.unseen >= self.every or self.batch == self.loaders.train_batches:
                self.look()
            else:
                self.unseen += 1

    def look(self) -> None:
        """After as many steps as take a while: whether the losses are finite, how far it is, whether to stop."""
        self.require_finite(self.loss_sum)
        self.tell()
        if self.fabric.device.type != "cpu":
            self.every = self.steps_unseen((time.monotonic() - self._looked) / self.unseen)
        self.unseen, self._looked = 1, time.monotonic()
        self.stop_if_asked()

    def steps_unseen(self, step_s: float) -> int:
        """How many steps to make before the next look; the same in all processes, which then stop together."""
        mean_s = self.mean_over_processes(step_s)
        return max(1, min(MOST_UNSEEN, int(LOOK_EVERY_S / max(mean_s, 1e-6))))

    @property
    def loss_sum(self) -> float:
        return float(self.loss_total)

    def set_loss(self, value: float) -> None:
        self.loss_total = torch.tensor(value, dtype=torch.float64, device=self.fabric.device)

    def step(self, batch: Batch) -> torch.Tensor:
        """One optimisation step per part; returns the sum of the losses, on the device."""
        total = torch.zeros((), dtype=torch.float64, device=self.fabric.device)
        for part, optimizer in enumerate(self.optimizers):
            optimizer.zero_grad(set_to_none=True)
            loss = self.model(batch, part)
            self.fabric.backward(loss)
            if self.task.gradient_clip:
                self.fabric.clip_gradients(self.model, optimizer, max_norm=self.task.gradient_clip)
            optimizer.step()
            total += loss.detach()
        self.task.after_step()
        return total

    @torch.no_grad()
    def evaluate(self, loader: Any) -> dict[str, float]:
        """Scores on validation or test data."""
        self.model.eval()
        self.task.start_scoring()
        for batch in loader:
            with self.fabric.autocast():
                self.task.score(batch)
        return self.task.scores(self.summed)

    def end_epoch(self, scores: dict[str, float]) -> None:
        """Record the epoch, keep it if it is the best, step the schedulers, save."""
        lr = self.optimizers[0].param_groups[0]["lr"]
        train_loss = self.mean_over_processes(self.loss_sum) / max(1, self.batch)
        self.curve.append({"epoch": self.epoch, "lr": lr, "train_loss": train_loss, **scores})
        self.logger.log("scalars", self.epoch, told(self.curve[-1]))
        if self.best_epoch == self.epoch:
            self.save_best(scores)
        if self.fabric.is_global_zero:
            self.task.end_epoch(self.epoch, self.folder)
            self.tell_pictures()
        for scheduler in self.schedulers:
            if scheduler is not None and not hasattr(scheduler, "reach"):
                scheduler.step()
        self.epoch, self.batch = self.epoch + 1, 0
        self.set_loss(0.0)
        self.save_last()

    def summed(self, values: torch.Tensor) -> torch.Tensor:
        """Over all processes; Fabric keeps the kind of what it is given."""
        return cast(torch.Tensor, self.fabric.all_reduce(values, reduce_op="sum"))

    def mean_over_processes(self, value: float) -> float:
        if self.fabric.world_size == 1:
            return value
        return float(self.summed(torch.tensor(value, dtype=torch.float64, device=self.fabric.device))) / self.fabric.world_size

    # --- judging ---------------------------------------------------------------------------------------------------------

    @property
    def best_epoch(self) -> int:
        """The epoch of the best validation score; on a tie the lower loss decides, since scores of few tiles are often equal."""
        rank = self.hparams.validation_rank
        best = max(self.curve, key=lambda row: rank(self.hparams.val_metric, row), default={"epoch": -1})
        return int(best["epoch"])

    def out_of_patience(self) -> bool:
        patience = self.hparams.early_stop_patience
        return patience is not None and self.epoch - self.best_epoch > patience

    def require_finite(self, loss: float) -> None:
        """Raise ``WorkError`` once the sum of the losses isn't; the sum of finite ones stays so."""
        if not math.isfinite(loss):
            raise WorkError(
                f"the loss became {loss} in epoch {self.epoch}, batch {self.batch} of {self.params.family} version {self.params.version}",
                next_step="lower lr or change the loss in a new row; if the mosaic may hold NaN or infinity, mark such pixels as nodata",
            )

    def stop_if_asked(self) -> None:
        """Save and leave once a signal has asked for it; all processes together."""
        asked = self.workspace.stop_requested
        if self.fabric.world_size > 1:
            asked = bool(self.summed(torch.tensor(float(asked), device=self.fabric.device)))
        if asked:
            self.save_last()
            # Not every process need have got the signal, but all must leave together.
            raise Stopped
        elif time.monotonic() - self._saved > SAVE_EVERY_S:
            self.save_last()

    def new_logger(self) -> BackgroundLogger:
        """One process tells of all."""
        one = self.params
        facts = {"family": one.family, "version": one.version, "split": one.split, "iteration": one.iteration, **one.plain_row()}
        return BackgroundLogger(self.loggers if self.fabric.is_global_zero else [], self.folder, facts, [told(row) for row in self.curve])

    def tell_pictures(self) -> None:
        """Predictions of a few validation samples every ``pictures_every`` epochs, and what a family draws of its progress, once each."""
        if self.loggers and self.pictures_every and self.epoch % self.pictures_every == 0:
            with self.fabric.autocast():
                sheet = progress(self.task, self.loaders.data.val, self.fabric.device)
            if sheet is not None:
                self.logger.log("picture", self.epoch, "predictions", sheet)
        for path in sorted(self.folder.glob("*.png")) if self.loggers else ():
            mark = path.stat().st_mtime_ns
            if self.pictures.get(path.name) != mark:
                self.pictures[path.name] = mark
                self.logger.log("picture", self.epoch, path.stem, path.read_bytes())

    def tell(self) -> None:
        last = self.curve[-1] if self.curve else {}
        done = (self.epoch * self.loaders.train_batches + self.batch) - self._began
        seconds = time.monotonic() - self._start
        rate = done / seconds if seconds > 0 else None
        left = self.hparams.max_epochs * self.loaders.train_batches - self._began - done
        self.workspace.report(
            epoch=self.epoch,
            epochs=self.hparams.max_epochs,
            step=self.batch,
            steps=self.loaders.train_batches,
            loss=self.loss_sum / self.batch,
            metric=last.get(self.hparams.val_metric),
            metric_name=self.hparams.val_metric,
            history=[row.get(self.hparams.val_metric) for row in self.curve[-HISTORY:]],
            steps_per_s=rate,
            left_s=left / rate if rate else None,
            **self.load.now(),
        )

    def write_samples(self) -> None:
        """The best, middle and worst of the Test samples, beside the checkpoint."""
        with self.fabric.autocast():
            sheet = judged(self.task, self.loaders.data.test, self.fabric.device)
        if sheet is not None:
            with atomic_path(self.folder / SAMPLES) as temporary:
                temporary.write_bytes(sheet)

    # --- keeping -----------------------------------------------------------------------------------------------------------

    @cached_property
    def seen(self) -> dict[str, list[float]]:
        """How bright the raw images are, by validation samples: they are drawn as those of training are, and not augmented."""
        data = self.loaders.data
        return brightness_of(data.val if data.shown is None else data.shown)

    def save_best(self, scores: dict[str, float]) -> None:
        if self.fabric.is_global_zero:
            weights = {name: value.detach().cpu() for name, value in self.task.network.state_dict().items()}
            one = self.params
            facts = one.family, one.version, one.split, one.iteration, one.seed, one.plain_row()
            Checkpoint(*facts, self.norm, weights, scores, self.best_epoch, self.seen, self.loaders.data.mark).save(self.folder / BEST)

    def save_last(self) -> None:
        """The whole state, random numbers of every process included; replaces the older one in one step."""
        self.count_time()
        loss_sum = self.mean_over_processes(self.loss_sum)
        random_states = cast(torch.Tensor, self.fabric.all_gather(random_state(self.fabric.device))).reshape(self.fabric.world_size, -1)
        if self.fabric.is_global_zero:
            state = {
                "model": self.task.state_dict(),
                "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
                "schedulers": [scheduler and plain_state(scheduler) for scheduler in self.schedulers],
                "precision": self.fabric.strategy.precision.state_dict(),
                "random_states": random_states.cpu(),
                "epoch": self.epoch,
                "batch": self.batch,
                "loss_sum": loss_sum,
                "seconds": self.seconds,
                "curve": self.curve,
            }
            with atomic_path(self.folder / LAST) as temporary:
                torch.save(state, temporary)
        self.fabric.barrier()
        self._saved = time.monotonic()

    def resume(self, path: Path) -> None:
        """Go on from a saved state."""
        state = read_tensors(path)
        self.task.load_state_dict(state["model"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        for scheduler, saved in zip(self.schedulers, state["schedulers"], strict=True):
            if scheduler is not None:
                load_plain_state(scheduler, saved)
        self.fabric.strategy.precision.load_state_dict(state["precision"])
        self.epoch, self.batch = state["epoch"], state["batch"]
        self.set_loss(state["loss_sum"])
        self.seconds, self.curve = state["seconds"], list(state["curve"])
        self._began, self._start = self.epoch * self.loaders.train_batches + self.batch, time.monotonic()
        states = state["random_states"]
        set_random_state(states[min(self.fabric.global_rank, len(states) - 1)], self.fabric.device)

    def count_time(self) -> None:
        now = time.monotonic()
        self.seconds, self._clock = self.seconds + now - self._clock, now

    def write_curve(self) -> None:
        if self.fabric.is_global_zero and self.curve:
            with atomic_path(self.folder / CURVE) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, list(self.curve[0]))
                writer.writeheader()
                writer.writerows(self.curve)


def told(row: dict[str, float]) -> dict[str, float]:
    """What loggers call the values of an epoch."""
    names = {"train_loss": "training/loss", "lr": "training/lr"}
    return {names.get(name, f"validation/{name}"): float(value) for name, value in row.items() if name != "epoch"}


def plain_state(scheduler: Any) -> dict[str, Any]:
    """A scheduler's state without objects: a sequence of schedulers keeps each one's own state."""
    state = {name: value for name, value in scheduler.state_dict().items() if not name.startswith("_schedulers")}
    inner = getattr(scheduler, "_schedulers", [])
    return {"own": _plain(state), "inner": [plain_state(one) for one in inner]}


def load_plain_state(scheduler: Any, state: dict[str, Any]) -> None:
    scheduler.__dict__.update(state["own"])
    for one, saved in zip(getattr(scheduler, "_schedulers", []), state["inner"], strict=True):
        load_plain_state(one, saved)


def _plain(state: dict[str, Any]) -> dict[str, Any]:
    kinds = (int, float, str, bool, list, dict, tuple, type(None), torch.Tensor)
    return {name: value for name, value in state.items() if isinstance(value, kinds)}


def random_state(device: torch.device) -> torch.Tensor:
    """The state of torch's generators of this process as one tensor of bytes, on ``device``."""
    parts = [torch.get_rng_state()]
    if device.type == "cuda":
        parts.append(torch.cuda.get_rng_state(device))
    return torch.cat(parts).to(device)


def set_random_state(state: torch.Tensor, device: torch.device) -> None:
    state = state.cpu()
    size = len(torch.get_rng_state())
    # A copy, because torch reads a part of a larger tensor from the wrong place, and may crash.
    torch.set_rng_state(state[:size].clone())
    if device.type == "cuda" and len(state) > size:
        torch.cuda.set_rng_state(state[size:].clone(), device)
