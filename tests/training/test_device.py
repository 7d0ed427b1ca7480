"""What the machine at hand is good at."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from unittest.mock import create_autospec

import numpy as np
import pynvml
import pytest
import torch
from torch import nn

from cratermill.batch.observe import progress_text
from cratermill.config import Trainer
from cratermill.samples.sending import sent
from cratermill.training import device
from cratermill.training.device import Computing, free_bytes
from cratermill.training.normalised import Normalised


def test_a_compiled_network_takes_the_same_steps_under_the_same_names(monkeypatch):
    """What compilers make of a network is theirs to test: here it is taken apart and run as it stands."""
    graphs: list[torch.fx.GraphModule] = []
    monkeypatch.setattr(device, "BACKEND", lambda graph, _: graphs.append(graph) or graph.forward)
    states = []
    for wanted in (False, True):
        torch.manual_seed(0)
        network = Normalised(nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Conv2d(3, 1, 1)), np.array([[1.0, 2], [3, 4]]))
        if wanted:
            device.compiled(network)
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            network(torch.rand(4, 2, 8, 8)).square().mean().backward()
            optimizer.step()
        assert bool(graphs) is wanted
        states.append(network.state_dict())
    assert states[0].keys() == states[1].keys()
    assert all(torch.allclose(states[0][name], states[1][name], atol=1e-6) for name in states[0])


def test_tiles_are_sampled_where_a_gpu_computes_unless_told_otherwise(monkeypatch):
    where = {name: Computing.of(Trainer(sample_on=name)).sample_on for name in ("auto", "host", "device")}
    assert where == {"auto": None, "host": None, "device": torch.device("cpu")} and Computing.of().sample_on is None
    monkeypatch.setattr(device, "choose_accelerator", lambda _: "gpu")
    monkeypatch.setattr(device, "choose_precision", lambda *_: "32-true")
    where = {name: Computing.of(Trainer(sample_on=name)).sample_on for name in ("auto", "host", "device")}
    assert where == {"auto": torch.device("cuda"), "host": None, "device": torch.device("cuda")}


GPU = torch.device("cuda", 0)
UUID = "1a2b3c4d-0000-1111-2222-333344445555"


@pytest.fixture
def nvml(monkeypatch):
    """A GPU that NVML answers for: its real functions' signatures, its real structures, and a clock that stands still."""
    names = ("nvmlInit", "nvmlDeviceGetHandleByUUID", "nvmlDeviceGetMemoryInfo", "nvmlDeviceGetUtilizationRates")
    stand_in = SimpleNamespace(**{name: create_autospec(getattr(pynvml, name)) for name in names})
    stand_in.nvmlDeviceGetMemoryInfo.return_value = pynvml.c_nvmlMemory_t(total=80 * 10**9, used=11_240_000_000)
    stand_in.nvmlDeviceGetUtilizationRates.return_value = pynvml.c_nvmlUtilization_t(gpu=87, memory=40)
    stand_in.clock = [1000.0]
    monkeypatch.setitem(sys.modules, "pynvml", stand_in)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(uuid=UUID))
    monkeypatch.setattr(device, "time", SimpleNamespace(monotonic=lambda: stand_in.clock[0]))
    return stand_in


def test_load_and_memory_of_the_gpu_at_work_are_told_every_few_seconds(nvml):
    load = device.GpuLoad(GPU)
    assert progress_text({"epoch": 2, **load.now()}) == "epoch 2, GPU 87 %, 11.2 GB"
    nvml.nvmlDeviceGetHandleByUUID.assert_called_once_with(f"GPU-{UUID}")
    handle = nvml.nvmlDeviceGetHandleByUUID.return_value
    nvml.nvmlDeviceGetUtilizationRates.return_value = pynvml.c_nvmlUtilization_t(gpu=3)
    assert load.now()["gpu"] == 87 and nvml.nvmlDeviceGetUtilizationRates.call_count == 1
    nvml.clock[0] += load.EVERY_S + 1
    assert load.now() == {"gpu": 3, "gpu_gb": 11.2}
    nvml.nvmlDeviceGetUtilizationRates.assert_called_with(handle)
    nvml.nvmlDeviceGetMemoryInfo.assert_called_with(handle)


@pytest.mark.parametrize("which", ["no package", "no driver", "silent later", "no GPU"])
def test_where_nvml_does_not_answer_nothing_is_said_and_training_goes_on(nvml, monkeypatch, which):
    if which == "no package":
        monkeypatch.setitem(sys.modules, "pynvml", None)
    elif which == "no driver":
        nvml.nvmlInit.side_effect = pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)
    elif which == "silent later":
        nvml.nvmlDeviceGetUtilizationRates.side_effect = pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
    load = device.GpuLoad(torch.device("cpu") if which == "no GPU" else GPU)
    assert load.now() == {} and progress_text({"epoch": 2, **load.now()}) == "epoch 2"
    assert which != "no GPU" or not nvml.nvmlInit.called


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_what_is_sent_to_this_machine_is_what_was_there(dtype):
    values = np.arange(24, dtype=dtype).reshape(2, 3, 4)
    for given in (values, torch.from_numpy(values)):
        there = sent(given, torch.device("cpu"))
        assert np.array_equal(there.numpy(), values) and there.numpy().dtype == dtype and np.shares_memory(there.numpy(), values)


class OnGpu(torch.Tensor):
    """Notes what is asked of it, as there is no GPU."""

    is_cuda, asked = False, ()

    def is_pinned(self):
        return False

    def pin_memory(self):
        return OnGpu.noting("pinned")

    def to(self, *arguments, **named):
        OnGpu.noting(named)
        return self

    @staticmethod
    def noting(what):
        OnGpu.asked = (*OnGpu.asked, what)
        return OnGpu()


def test_a_gpu_is_sent_pinned_memory_and_nobody_waits(monkeypatch):
    monkeypatch.setattr(OnGpu, "asked", ())
    sent(OnGpu(), torch.device("cuda"))
    assert OnGpu.asked == ("pinned", {"non_blocking": True})


def test_free_memory_is_some_of_this_machine_s():
    assert 1e6 < free_bytes(torch.device("cpu")) < 1e14
