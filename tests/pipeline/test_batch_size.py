"""Batches as large as the memory."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from lightning.fabric import Fabric

from cratermill.core.errors import InputError
from cratermill.families import get_family
from cratermill.pipeline import batch_size
from cratermill.pipeline.load_config import load_config
from cratermill.pipeline.train import begin
from cratermill.training.cell import FIRST
from tests.pipeline.test_train import FakeWorkspace, params_of


@pytest.mark.parametrize(("limit", "samples", "expected"), [(40, 1000, 32), (64, 1000, 64), (1000, 100, 64), (3, 50, 2)])
def test_the_largest_power_of_two_that_fits(tmp_path, limit, samples, expected):
    gpu, asked = torch.device("cuda"), []
    assert batch_size.chosen_size(tmp_path, gpu, 1, samples, lambda size: asked.append(size) or size <= limit) == expected
    assert max(asked) <= 2 * expected
    # A stopped cell goes on with it, whatever else the GPU has to hold then.
    assert batch_size.chosen_size(tmp_path, gpu, 1, samples, lambda size: False) == expected


def test_a_gpu_for_one_sample_is_refused():
    with pytest.raises(InputError, match="two samples"):
        batch_size.largest(lambda size: False, 100)


def test_a_step_that_runs_out_of_memory_does_not_fit(prepared, tmp_path, monkeypatch):
    config = load_config(prepared)
    params, workspace, family = params_of(config, "connection"), FakeWorkspace(tmp_path / "cell"), get_family("connection")
    training = begin(Fabric(accelerator="cpu"), config, family, params, FIRST, workspace, workspace.folder)
    sizes, real = [], training.step
    monkeypatch.setattr(training, "step", lambda batch: sizes.append(len(batch["image"])) or real(batch))
    fits = partial(batch_size.fits, lambda: training, training.loaders.data)
    assert fits(16) and sizes == [16] * batch_size.STEPS

    def full(batch):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(training, "step", full)
    assert not fits(16)


def test_without_a_gpu_it_is_refused_before_anything_is_trained(prepared, tmp_path):
    config = load_config(prepared, ["trainer.batch_size=auto"])
    workspace = FakeWorkspace(tmp_path / "cell")
    with pytest.raises(InputError, match="one GPU"):
        begin(
            Fabric(accelerator="cpu"), config, get_family("connection"), params_of(config, "connection"), FIRST, workspace, workspace.folder
        )
