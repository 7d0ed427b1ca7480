"""Two processes train as one does: the same curve on the same global batches."""

from __future__ import annotations

import subprocess
import sys

import pandas as pd

from cratermill.batch.plan import freeze
from cratermill.config import load_config
from cratermill.launch import plan_training
from tests.stages.conftest import copy_project


def curve(config_path, *launcher: str) -> pd.DataFrame:
    """The learning curve of the config's first connection cell, trained in processes of its own."""
    config = load_config(config_path)
    plan = plan_training(config)
    command = [sys.executable, *launcher, "-m", "cratermill", "cell", str(freeze(plan)), "0"]
    done = subprocess.run(command, cwd=config.root, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return pd.read_csv(plan.product(plan.cells[0]) / "curve.csv")


def test_two_processes_equal_one(prepared, tmp_path):
    configs = []
    for name, trainer in (("one", ""), ("two", "devices: 2, ")):
        config = copy_project(prepared, tmp_path / name)
        config.write_text(config.read_text().replace("trainer: {", "trainer: {" + trainer))
        table = config.parent / "connection.csv"
        # Without batch normalisation, whose statistics each process takes of its own samples; bce is a mean over samples.
        table.write_text(table.read_text().replace("test_efficientnet", "test_convnext").replace(",focal,0.5,", ",bce,,"))
        configs.append(config)
    one = curve(configs[0])
    two = curve(configs[1], "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    pd.testing.assert_frame_equal(one, two, rtol=1e-4, atol=1e-5)
    assert len(one) == 3 and one["train_loss"].iloc[-1] < one["train_loss"].iloc[0]
