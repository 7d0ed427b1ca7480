"""Two processes train as one does: the same gradients and the same curve on the same global batches."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import torch

from cratermill.batch.plan import Plan, freeze
from cratermill.pipeline.launch import plan_training
from cratermill.pipeline.load_config import load_config
from tests.pipeline.conftest import copy_project

TWO = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")

# The training as it is, but for the gradients of the first global batch, which are kept in a file.
TRAIN = """
import sys
import torch
from cratermill.batch.job import run_cells
from cratermill.batch.plan import load
from cratermill.pipeline import run_cell
from cratermill.training import loop

step = loop.Training.step

def first(training, batch):
    loop.Training.step = step
    loss = step(training, batch)
    if training.fabric.is_global_zero:
        torch.save({name: weight.grad for name, weight in training.task.named_parameters() if weight.grad is not None}, sys.argv[2])
    return loss

loop.Training.step = first
sys.exit(run_cells(load(sys.argv[1]), [0], run_cell))
"""


def without_batch_norm(prepared: Path, folder: Path, trainer: str = "") -> Plan:
    """A frozen plan whose first cell trains a network without batch normalisation, by a loss that is no mean over samples."""
    config = copy_project(prepared, folder)
    config.write_text(config.read_text().replace("trainer: {", "trainer: {" + trainer))
    table = config.parent / "connection.csv"
    table.write_text(table.read_text().replace("test_efficientnet", "test_convnext"))
    plan = plan_training(load_config(config))
    freeze(plan)
    return plan


def train(plan: Plan, folder: Path, *launcher: str) -> tuple[pd.DataFrame, dict[str, torch.Tensor]]:
    """The learning curve of the plan's first cell, and its first gradients, from processes of their own."""
    script, gradients = folder / "train.py", folder / "gradients.pt"
    script.write_text(TRAIN)
    command = [sys.executable, *launcher, str(script), str(plan.path), str(gradients)]
    done = subprocess.run(command, cwd=plan.root, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    return pd.read_csv(plan.product(plan.cells[0]) / "curve.csv"), torch.load(gradients, weights_only=True)


def test_two_processes_equal_one(prepared, tmp_path):
    curve, gradients = train(without_batch_norm(prepared, tmp_path / "one"), tmp_path / "one")
    two_curve, two_gradients = train(without_batch_norm(prepared, tmp_path / "two", "devices: 2, "), tmp_path / "two", *TWO)
    assert gradients.keys() == two_gradients.keys() and len(gradients) > 20
    largest = max(float(gradient.abs().max()) for gradient in gradients.values())
    for name, expected in gradients.items():
        torch.testing.assert_close(
            two_gradients[name], expected, rtol=1e-5, atol=1e-6 * largest, msg=lambda text, name=name: f"{name}: {text}"
        )
    # Sums of 32-bit numbers in another order, nothing else: 1e-6 after three epochs.
    pd.testing.assert_frame_equal(curve, two_curve, rtol=1e-5, atol=1e-7)
    assert len(curve) == 3 and curve["train_loss"].iloc[-1] < curve["train_loss"].iloc[0]
