"""Train one cell: one row of a table on one TV-Test split and one random Train-Val split."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lightning.fabric import Fabric, seed_everything

from ..core.errors import InputError
from ..core.files import content_digest, fingerprint, write_json
from ..families import cell_params, get_family
from ..families.base import Family
from ..families.members import CHECKPOINT, WEIGHTS
from ..training.cell import FIRST, CellParams, Datasets, Round
from ..training.checkpoint import load
from ..training.device import choose_accelerator, choose_precision, compiled, is_bf16_fast, loader_workers
from ..training.loaders import Loaders
from ..training.loop import BEST, Training
from .batch_size import BATCH_SIZE, chosen_size, fits
from .data_set import data_set

if TYPE_CHECKING:
    from ..batch.plan import Cell, Plan
    from ..config import Config, Trainer
    from ..core.work import Workspace
    from ..training.task import Task


def train(config: Config, params: CellParams, workspace: Workspace) -> dict:
    """Fit, keep the best epoch by validation, score it once on the Test tiles; write checkpoint, norm, curve and results.

    Raises ``WorkError`` on a NaN loss and ``InputError`` on data that cannot be trained on. A stopped cell goes on from its
    last step with the same random numbers.
    """
    family = get_family(params.family)
    fabric = start_fabric(config.run.trainer)
    round, rounds, earlier_s = FIRST, family.rounds(params.hparams), 0.0
    while True:
        folder = round_folder(workspace.folder, round.number, rounds)
        training = begin(fabric, config, family, params, round, workspace, folder)
        training.fit()
        if round.number == rounds - 1:
            return finish(training, params, folder, earlier_s)
        earlier_s += training.seconds
        round = Round(round.number + 1, load(folder / BEST, params.family, params.version))


def round_folder(folder: Path, number: int, rounds: int) -> Path:
    """The last round's files are the cell's own; those of earlier rounds lie in folders beside them."""
    if number == rounds - 1:
        return folder
    earlier = folder / f"round-{number}"
    earlier.mkdir(exist_ok=True)
    return earlier


def begin(fabric: Fabric, config: Config, family: Family, params: CellParams, round: Round, workspace: Workspace, folder: Path) -> Training:
    """One round's data, network and loop, nothing trained yet."""
    hparams, data = row_and_data(config, family, params, round)

    def training_with(loaders: Any) -> Training:
        seed_everything((params.seed + round.number) % 2**32, verbose=False)
        task = build_task(family, params, hparams, data)
        if fabric.device.type == "cuda" or is_bf16_fast():
            task = task.to(memory_format=torch.channels_last)
        if config.run.trainer.compile:
            compiled(task.network)
        return Training(fabric, task, loaders, params, hparams, data.norm, workspace, folder)

    size = hparams.batch_size
    if config.run.trainer.batch_size == "auto":
        size = chosen_size(folder, fabric.device, fabric.world_size, len(data.train), partial(fits, partial(training_with, None), data))
    options = config.run.trainer
    workers = loader_workers(options.loader_workers)
    loaders = Loaders(data, size, workers, fabric.global_rank, fabric.world_size, fabric.device, options.keep_on_device)
    training = training_with(loaders)
    training.loggers, training.pictures_every = list(config.run.trainer.logger), config.run.trainer.pictures_every
    return training


def row_and_data(config: Config, family: Family, params: CellParams, round: Round) -> tuple[Any, Datasets]:
    """The row as this round trains by it, and what it trains on."""
    hparams = family.round_hparams(params.hparams, round.number)
    data = family.datasets(config, params, round)
    require_samples(data, params)
    data.mark = fingerprint(family.data_fingerprint(config, hparams))
    return hparams, data


def build_task(family: Family, params: CellParams, hparams: Any, data: Datasets) -> Task:
    return family.task(replace(params, hparams=hparams), data.norm)


def start_fabric(options: Trainer) -> Fabric:
    """Fabric on what is there: CPU, one GPU, many GPUs or nodes."""
    # Neither helps a user: cells need no srun of their own, and a resumed schedule steps before the optimiser does.
    warnings.filterwarnings("ignore", message=".*`srun` command is available.*")
    warnings.filterwarnings("ignore", message=".*`lr_scheduler.step\\(\\)` before `optimizer.step\\(\\)`.*")
    accelerator = choose_accelerator(options.accelerator)
    precision: Any = choose_precision(options.precision, accelerator)  # one of the words that Fabric lists
    alone = options.devices == 1 and options.nodes == 1
    # Some networks have weights that no loss reaches (old heads, layers a decoder leaves out); plain DDP stops at them. It also
    # sums the gradients of the first steps after a start in another order, so that a resumed training would be another one.
    strategy = "auto" if alone else "ddp_find_unused_parameters_true"
    fabric = Fabric(accelerator=accelerator, devices=options.devices, num_nodes=options.nodes, precision=precision, strategy=strategy)
    # Fabric would round all that a network is given to 16 bits: greys and metres before they are normalised, and what is to be learnt.
    fabric.strategy.precision.convert_input = lambda data: data  # type: ignore[method-assign]
    fabric.launch()
    return fabric


def finish(training: Training, params: CellParams, folder: Path, earlier_s: float) -> dict:
    """Score the best epoch on the Test tiles, on which nothing was chosen, and write the cell's files."""
    best = load(folder / BEST, params.family, params.version)
    best.load_into(training.task.network, folder / BEST)
    scores = training.evaluate(training.loaders.test())
    training.count_time()
    results = {
        "test-set": params.split,
        "iteration": params.iteration,
        **scores,
        "epochs_run": training.epoch,
        "best_epoch": best.epoch,
        **{f"val_{name}": value for name, value in best.scores.items()},
        "runtime": earlier_s + training.seconds,
        "time_per_epoch": training.seconds / max(1, training.epoch),
        "gpu_name": torch.cuda.get_device_name() if training.fabric.device.type == "cuda" else "cpu",
        "precision": str(training.fabric.strategy.precision.precision),
        "parameters": sum(weight.numel() for weight in training.task.network.parameters()),
    }
    if (folder / BATCH_SIZE).exists():
        results["batch_size"] = training.loaders.batch_size
    if training.fabric.is_global_zero:
        if params.iteration == 0:  # one sheet per split is what people look at
            training.write_samples()
        np.save(folder / "norm.npy", training.norm)
        write_json(folder / "results.json", results)
        write_json(folder / WEIGHTS, {CHECKPOINT: content_digest(folder / CHECKPOINT)})  # for maps, which tell weights by it
    return results


def require_samples(data: Datasets, params: CellParams) -> None:
    for name, part, least in (("training", data.train, 2), ("validation", data.val, 1), ("test", data.test, 1)):
        if len(part) < least:
            raise InputError(
                f"{params.family} version {params.version}, split {params.split}: only {len(part)} {name} samples",
                next_step="draw more tiles, or change val_frac or the split",
            )


def run(config: Config, plan: Plan, cell: Cell, workspace: Workspace) -> dict:
    params = cell_params(cell.params)
    return {**train(config, params, workspace), "data_set": data_set(config, params.family)}
