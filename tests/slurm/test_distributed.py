"""One training over two nodes of two processes each equals the training of a single process."""

import pandas as pd
import pytest

from cratermill.batch.plan import load
from cratermill.batch.profile import Profile
from cratermill.batch.slurm import SlurmExecutor
from tests.pipeline.test_distributed import train, without_batch_norm
from tests.slurm.runs import ENVIRONMENT, PATIENCE_S, TIME_MIN, Follower
from tests.tiny import tiny_project

pytestmark = [pytest.mark.slurm, pytest.mark.slow]


def test_two_nodes_of_two_processes_equal_one_process(slurm_cluster, tmp_path, monkeypatch):
    for name, value in {**ENVIRONMENT, "SLURM_CONF": slurm_cluster.env["SLURM_CONF"]}.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "tiny").mkdir()
    prepared = tiny_project(tmp_path / "tiny")
    alone, _ = train(without_batch_norm(prepared, tmp_path / "one"), tmp_path / "one")
    plan = without_batch_norm(prepared, tmp_path / "four", "devices: 2, nodes: 2, ")
    resources = {"cpus": 1, "mem_gb": 3.5, "time_min": TIME_MIN, "nodes": 2, "tasks_per_node": 2}
    profile = Profile(name="test", partition="main", default=resources)
    SlurmExecutor(load(plan.path), profile, say=lambda _: None).submit(only={0})
    try:
        Follower(plan).wait_done(0, timeout=2 * PATIENCE_S)
    finally:
        slurm_cluster.clear()
    together = pd.read_csv(plan.product(plan.cells[0]) / "curve.csv")
    pd.testing.assert_frame_equal(alone, together, rtol=1e-5, atol=1e-7)
