"""Arrays of a bounded run, on a Slurm that is played: never more at work than the bound, no deadlock, and a slow cell holds up few."""

import random
import re

import pytest

from cratermill.batch import operations, scheduler, state, submissions
from cratermill.batch.cell import run_cell
from cratermill.core.files import write_json

from . import fake
from .test_slurm import Scheduler, executor

NEVER = 1e9


class Played(Scheduler):
    """A cluster with room for everything: what may begin begins, in the order of arrays and tasks; `hours` says how long a task takes.

    Tasks of which `fails` says so end badly, the others make the products of their cells.
    """

    def __init__(self, hours, fails=lambda job, task: False):
        super().__init__()
        self.hours, self.fails, self.runner = hours, fails, None
        self.places, self.after, self.left = {}, {}, {}
        self.most = 0

    def submit(self, script, folder, after=()):
        job_id = super().submit(script, folder, after)
        bound = re.search(r"--array=0-\d+%(\d+)", script.read_text())
        self.places[job_id], self.after[job_id] = int(bound[1]) if bound else 10**6, tuple(after)
        return job_id

    def throttle(self, job_id, places):
        self.places[job_id] = places

    def wait_for(self, job_id, after):
        self.after[job_id] = tuple(after)

    def _words(self, job_id, task=None):
        return {job.state for job in self.jobs if job.job_id == job_id and task in (None, job.task)}

    def _ended(self, job):
        job_id, _, task = str(job).partition("_")
        return not self._words(int(job_id), int(task) if task else None) & scheduler.ACTIVE

    def _may_begin(self, job):
        for words in self.after[job.job_id]:
            if words.startswith("aftercorr:"):
                (said,) = self._words(int(words.split(":")[1]), job.task)
                if said not in scheduler.ACTIVE and said != "COMPLETED":
                    return None
                return said == "COMPLETED"
            kinds = [all(map(self._ended, one.split(":")[1:])) for one in words.split("?")]
            if not any(kinds):
                return False
        return True

    def begin(self):
        for position, job in enumerate(self.jobs):
            if job.state == "PENDING":
                may = self._may_begin(job)
                running = sum(one.state == "RUNNING" and one.job_id == job.job_id for one in self.jobs)
                if may is None:
                    self.set(position, "CANCELLED")
                elif may and running < self.places[job.job_id]:
                    self.set(position, "RUNNING")
                    self.left[job.job_id, job.task] = self.hours(job.job_id, job.task)
        self.most = max(self.most, sum(job.state == "RUNNING" for job in self.jobs))

    def step(self):
        """Until the next task ends; False when nothing ends any more."""
        self.begin()
        running = {place: job for place, job in enumerate(self.jobs) if job.state == "RUNNING"}
        if not running:
            return False
        place, job = min(running.items(), key=lambda one: self.left[one[1].job_id, one[1].task])
        passed = self.left[job.job_id, job.task]
        if passed > NEVER / 2:
            return False
        for other in running.values():
            self.left[other.job_id, other.task] -= passed
        if self.fails(job.job_id, job.task):
            self.set(place, "NODE_FAIL")
        else:
            (given,) = [one for one in submissions.read(self.runner.plan) if one.job_id == job.job_id]
            for index in given.tasks[job.task]:
                cell = self.runner.plan.cells[index]
                write_json(self.runner.plan.product(cell) / state.CELL_FILE, {"fingerprint": cell.fingerprint})
                state.note(self.runner.plan, cell, state.DONE, None, slurm={"submission": str(given.number)})
            self.set(place, "COMPLETED")
        return True


@pytest.fixture
def played(monkeypatch):
    """A function that launches cells on a played cluster; returns both."""
    monkeypatch.setattr(scheduler, "configuration", dict)
    monkeypatch.setattr(scheduler, "cluster_name", lambda: "here")

    def launch(root, specs, hours, fails=lambda job, task: False, **profile):
        cluster = Played(hours, fails)
        for name in ("queue", "accounts_for", "named", "submit", "cancel", "throttle", "wait_for", "test_only"):
            monkeypatch.setattr(scheduler, name, getattr(cluster, name))
        cluster.runner = executor(root, specs, **profile)
        cluster.runner.submit()
        return cluster, cluster.runner

    return launch


def states_of(runner):
    return [cell.state for cell in runner.observe().states]


def random_run(draw):
    """Trainings of two kinds, evaluations in jobs of their own, maps of some trainings, and what needs them all."""
    trainings = [{"n": n, "stage": draw.choice(["train", "train", "other"])} for n in range(draw.randint(1, 20))]
    evaluations = [{"n": n, "needs": [n], "stage": "evaluate"} for n in range(len(trainings))]
    maps = [
        {"n": n, "needs": draw.sample(range(len(trainings)), min(2, len(trainings))), "stage": "map"} for n in range(draw.randint(0, 9))
    ]
    specs = [*trainings, *evaluations, *maps]
    summary = {"needs": list(range(2 * len(trainings))), "soft": True, "always": True, "stage": "summarise"}
    stages = {"other": {"mem_gb": 9}, "evaluate": {"mem_gb": draw.choice([8, 64])}}
    return [*specs, summary], {"stages": stages, "limits": {"max_array_size": draw.randint(2, 12), "max_concurrent": draw.randint(1, 9)}}


@pytest.mark.parametrize("seed", range(12))
def test_never_more_than_the_bound_and_all_come_to_their_end(tmp_path, played, seed):
    draw = random.Random(seed)
    specs, profile = random_run(draw)
    bad = {(job, task) for job in range(101, 106) for task in range(12) if draw.random() < 0.15}
    cluster, runner = played(tmp_path, specs, lambda *_: draw.randint(1, 50), lambda *task: task in bad, **profile, retry={"attempts": 9})
    steps, retries = 0, 0
    while cluster.step() or operations.retry(runner)[1] is not None:
        steps += 1
        assert steps < 500, "the same again and again"
        if retries < 4 and draw.random() < 0.1:
            operations.retry(runner)
            retries += 1
    assert steps and cluster.most <= profile["limits"]["max_concurrent"]
    assert set(states_of(runner)) == {"done"}


@pytest.mark.parametrize(
    ("cells", "size", "bound", "done"),
    [
        (40, 12, 8, 39),  # four arrays side by side, of two places each
        (30, 11, 4, 22),  # four of one place: its own array is held up, no other
        (60, 6, 4, 42),  # ten arrays, at most three one after another
        (9, 3, 1, 0),
    ],
)
def test_a_slow_cell_holds_up_its_own_place_only(tmp_path, played, cells, size, bound, done):
    limits = {"max_array_size": size, "max_concurrent": bound}
    hours = lambda *task: NEVER if task == (101, 0) else 1  # noqa: E731
    cluster, runner = played(tmp_path, [{"n": n} for n in range(cells)], hours, limits=limits)
    while cluster.step():
        pass
    assert cluster.most == bound and states_of(runner).count("done") == done


@pytest.mark.parametrize(("cells", "size", "bound", "hours"), [(40, 12, 8, 5), (1500, 1001, 3, 500), (30, 11, 4, 8), (12, 12, 5, 3)])
def test_arrays_of_equal_cells_end_together(tmp_path, played, cells, size, bound, hours):
    limits = {"max_array_size": size, "max_concurrent": bound}
    _, runner = played(tmp_path, [{"n": n} for n in range(cells)], lambda *_: 1, limits=limits)
    given = submissions.read(runner.plan)
    assert all(not one.after for one in given) and sum(one.places for one in given) == bound
    assert max(-(-one.size // one.places) for one in given) == hours == -(-cells // bound)


def test_what_another_run_has_made_is_not_submitted_again(tmp_path, played):
    """A composite is made whenever its parts are: after `launch all`, `launch map` has nothing to do."""
    specs = [{"n": 1, "stage": "map"}, {"needs": [0], "always": True, "stage": "composite"}]
    _, runner = played(tmp_path, [*specs, {"n": 2}], lambda *_: 1)
    for index in (0, 1):
        assert run_cell(runner.plan, index, fake.science).state == "done"
    _, other = played(tmp_path, specs, lambda *_: 1)
    assert submissions.read(other.plan) == [] and states_of(other) == ["done", "done"]
    # Its part is made anew: so is the composite.
    product = other.plan.product(other.plan.cells[0])
    write_json(product / state.CELL_FILE, {"fingerprint": other.plan.cells[0].fingerprint, "again": True})
    assert [one.stage for one in other.submit().submissions] == ["composite"]
