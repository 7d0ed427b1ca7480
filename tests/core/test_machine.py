"""What is ours of a machine, and that no cell's numbers depend on what the process did before."""

import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from cratermill.core import machine
from cratermill.pipeline import run_cell


def test_a_slurm_task_has_its_own_cores(monkeypatch):
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "3")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert machine.cores() == machine.threads() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert (machine.cores(), machine.threads()) == (3, 2)
    monkeypatch.delenv("SLURM_CPUS_PER_TASK")
    assert machine.cores() >= 1


def test_a_cell_has_its_own_number_of_threads_whatever_the_process_did_before(monkeypatch, tmp_path):
    seen = []
    stage = SimpleNamespace(run=lambda *_: seen.append(torch.get_num_threads()))
    monkeypatch.setitem(sys.modules, "cratermill.pipeline.train", stage)
    plan, cell = SimpleNamespace(config={"name": "x", "data": "data"}, root=tmp_path), SimpleNamespace(stage="train")
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        run_cell(plan, cell, SimpleNamespace(report=lambda **_: None))
        assert seen == [machine.threads()] == [before]
    finally:
        torch.set_num_threads(before)


def test_freed_memory_stays_for_the_next_array():
    """Pages that 20 arrays of 40 MB one after the other are given by the system: those of one or two, not of each."""
    code = (
        "import resource; from cratermill.core.machine import keep_memory; {}\n"
        "faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "fill = lambda: bytearray(b'x') * 40_000_000\n"
        "fill(); before = faults(); [len(fill()) for _ in range(20)]; print(faults() - before)"
    )
    usual, kept = (int(subprocess.check_output([sys.executable, "-c", code.format(call)])) for call in ("", "keep_memory()"))
    assert kept < 40_000_000 / 4096 < usual / 2


@pytest.mark.parametrize("text", ["", "0", "many"])
def test_odd_values_of_the_environment_count_for_nothing(monkeypatch, text):
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", text)
    assert machine.cores() >= 1
