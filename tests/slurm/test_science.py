"""Real trainings on a real Slurm: the same numbers as on this machine, and as without a disturbance."""

import csv
import json
import shutil

import pytest

from cratermill.batch import operations
from cratermill.batch.cell import run_cell
from cratermill.batch.cluster import cancel, launch
from cratermill.batch.plan import freeze, load
from cratermill.batch.profile import Profile
from cratermill.batch.slurm import SlurmExecutor
from cratermill.batch.works import STAGES
from cratermill.pipeline import run_cell as science
from cratermill.pipeline.launch import plan_training
from cratermill.pipeline.load_config import load_config
from cratermill.pipeline.search import open_search
from tests.slurm import slow_steps
from tests.slurm.runs import ENVIRONMENT, PATIENCE_S, TIME_MIN, Follower
from tests.tiny import tiny_project

pytestmark = [pytest.mark.slurm, pytest.mark.slow]
CLOCKS = ("runtime", "time_per_epoch", "seconds")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """The config of a tiny prepared project; copied by each test."""
    return tiny_project(tmp_path_factory.mktemp("tiny o'brien"))


@pytest.fixture
def project(prepared, tmp_path):
    """A function that makes a copy of the project and changes its config's text."""

    def copy(name, *changes):
        root = tmp_path / name
        shutil.copytree(prepared.parents[1], root)
        config = root / prepared.relative_to(prepared.parents[1])
        text = config.read_text()
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        config.write_text(text)
        return config

    return copy


@pytest.fixture
def cluster(slurm_cluster, monkeypatch):
    for name, value in {**ENVIRONMENT, "SLURM_CONF": slurm_cluster.env["SLURM_CONF"], "OMP_NUM_THREADS": "1"}.items():
        monkeypatch.setenv(name, value)
    yield slurm_cluster
    slurm_cluster.clear()


def profile(**options):
    usual = {"name": "test", "partition": "main", "default": {"cpus": 1, "mem_gb": 1.5, "time_min": TIME_MIN}, "warn_s": 10}
    return Profile(**usual | options)


def metrics(plan, cell):
    made = json.loads((plan.product(cell) / "cell.json").read_text())["metrics"]
    return {name: value for name, value in made.items() if name not in CLOCKS}


def tree(config):
    results = config.parents[1] / "results"
    return sorted(path.relative_to(results).as_posix() for path in results.rglob("*") if path.is_file())


def test_one_plan_three_ways_gives_the_same_numbers_and_files(project, cluster):
    """On this machine, as jobs of their own by submitit, and by workers that pull."""
    one_family = ("csv}, ejecta: {table: configs/ejecta.csv}}", "csv, iterations: 1}}")
    here, *others = (project(name, one_family) for name in ("here's", "there $(x)", "pulled"))
    plan = plan_training(load_config(here))
    freeze(plan)
    for cell in plan.cells:
        assert run_cell(plan, cell.index, science).state == "done"
    jobs, pulled = (plan_training(load_config(config)) for config in others)
    assert jobs.identity == pulled.identity == plan.identity
    assert launch(jobs, profile(), say=lambda _: None) == 0
    assert launch(pulled, profile(default={"cpus": 1, "mem_gb": 1.5, "time_min": TIME_MIN, "pull": 2}), say=lambda _: None) == 0
    for other, config in zip((jobs, pulled), others, strict=True):
        Follower(other).wait_all("done", timeout=2 * PATIENCE_S)
        for cell, twin in zip(plan.cells, other.cells, strict=True):
            if cell.stage in ("train", "evaluate"):
                assert metrics(plan, cell) == metrics(other, twin), cell.key
        assert tree(here) == tree(config) and tree(here)
    assert {row["gpu_hours"] for row in operations.efficiency(jobs)["cells"]} == {0.0}


def curve(plan, cell) -> list[dict[str, float]]:
    with (plan.product(cell) / "curve.csv").open() as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def one_training(config, name):
    plan = plan_training(load_config(config))
    freeze(plan)
    return plan, next(cell for cell in plan.cells if cell.stage == "train" and cell.params["family"] == name)


SLOWLY = f"{slow_steps.__file__}:slowly"


def submit(plan, cell, work=STAGES, **options):
    SlurmExecutor(load(plan.path), profile(**options), say=lambda _: None, work=work).submit(only={cell.index})
    return Follower(plan)


def preempt(cluster, following, cell):
    """Let a job of the `high` partition take all nodes once the training has made a step, where it waits for that."""
    following.wait_done(cell.index, lambda _: slow_steps.held(following.plan).exists())
    following.preempt(cluster, cell.index)


def test_preempted_training_ends_bit_equal(project, cluster):
    straight, broken = project("straight"), project("broken")
    plan, cell = one_training(straight, "ejecta")
    assert run_cell(plan, cell.index, science).state == "done"
    other, twin = one_training(broken, "ejecta")
    following = submit(other, twin, SLOWLY, partition="low")
    preempt(cluster, following, twin)
    following.wait_done(twin.index, hurry=True)
    assert json.loads(other.state_path(twin.index).read_text())["attempt"] == 2
    assert curve(plan, cell) == curve(other, twin) and metrics(plan, cell) == metrics(other, twin)


def test_a_search_that_is_killed_waits_for_its_jobs_and_trains_nothing_again(project, cluster):
    search = "search: {family: ejecta, from: 8, columns: {lr: [0.003, 0.001]}, trials: 2, parallel: 2}\n"
    config = project("searched", ("csv}}", "csv, splits: [0], iterations: 1}}\n" + search))
    submitted = []

    def killed(plan):
        submitted.append(plan)
        assert launch(plan, profile(), say=lambda _: None) == 0
        raise KeyboardInterrupt  # its jobs go on

    with pytest.raises(KeyboardInterrupt):
        open_search(config, killed, lambda _: None).go()
    again = open_search(config, lambda plan: launch(plan, profile(), wait=True, say=lambda _: None), lambda _: None)
    found = again.go()
    (plan,) = submitted
    assert [cell.stage for cell in plan.cells] == ["train"] * 2
    assert {json.loads(plan.state_path(cell.index).read_text())["attempt"] for cell in plan.cells} == {1}
    scores = {cell.params["version"]: metrics(plan, cell)["val_F1_Score"] for cell in plan.cells}
    assert found["trials"] == {"complete": 2} and found["cells"] == 2 and found["score"] == max(scores.values()) == scores[found["best"]]
    assert (again.config.root / found["page"]).exists()


DISTRIBUTED = ("trainer: {accelerator: cpu,", "trainer: {devices: 2, nodes: 2, accelerator: cpu,")


def test_two_nodes_of_two_processes_survive_preemption(project, cluster):
    resources = {"cpus": 1, "mem_gb": 3.5, "time_min": TIME_MIN, "nodes": 2, "tasks_per_node": 2}
    curves = []
    for name, partition, work in (("undisturbed", "main", STAGES), ("preempted", "low", SLOWLY)):
        config = project(name, DISTRIBUTED)
        plan, cell = one_training(config, "connection")
        following = submit(plan, cell, work, partition=partition, default=resources)
        if partition == "low":
            preempt(cluster, following, cell)
        following.wait_done(cell.index, hurry=True)
        assert json.loads(plan.state_path(cell.index).read_text())["attempt"] == (2 if partition == "low" else 1)
        curves.append(curve(plan, cell))
        cancel(plan)
    assert len(curves[0]) == len(curves[1]) == 3
    for one, other in zip(*curves, strict=True):
        # Not bit-equal: the first step after a start sums gradients in another order than later ones.
        assert one == pytest.approx(other, rel=1e-3, abs=1e-5)
