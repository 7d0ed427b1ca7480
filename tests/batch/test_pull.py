"""No job waits for nothing: evaluations follow their trainings, workers take the next open cell, retries begin with the next end."""

import itertools
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time

import pytest

from cratermill.batch import cluster, locks, operations, slurm_state, state, submissions
from cratermill.batch.cell import run_cell
from cratermill.batch.plan import freeze, load
from cratermill.batch.profile import Profile
from cratermill.batch.pull import Pull, Share, pull
from cratermill.batch.signals import StopFlag
from cratermill.core.files import read_json, write_json

from . import fake
from .test_slurm import executor, slurm  # noqa: F401 - a fixture

TRAIN_AND_EVALUATE = [*({"n": n} for n in range(3)), *({"n": n, "needs": [n], "stage": "evaluate"} for n in range(3))]
SUMMARY = {"needs": list(range(6)), "soft": True, "always": True, "stage": "summarise"}


def begun(root, index):
    return len(fake.lines(root / f"trace/{index}.begun"))


def test_evaluations_follow_their_trainings_in_the_same_job(root, slurm):  # noqa: F811
    made = executor(root, [*TRAIN_AND_EVALUATE, SUMMARY], limits={"max_concurrent": 2}).submit()
    assert [(one.stage, one.tasks, one.after) for one in made.submissions] == [
        ("train", ((0, 3), (1, 4), (2, 5)), ()),
        ("summarise", ((6,),), (101,)),
    ]


def test_where_they_need_more_each_waits_for_its_own(root, slurm):  # noqa: F811
    stages = {"evaluate": {"mem_gb": 64}}
    runner = executor(root, [*TRAIN_AND_EVALUATE, SUMMARY], stages=stages)
    assert cluster.describe(runner.plan, runner.profile)["after"] == [[], ["submission 1"], ["submission 1", "submission 2"]]
    made = runner.submit()
    assert [(one.how, one.after) for one in made.submissions] == [("afterany", ()), ("aftercorr", (101,)), ("afterany", (101, 102))]
    assert slurm.scripts[102][1] == ("aftercorr:101",)
    # Its training failed: it is cancelled by the scheduler, and blocked for people.
    slurm.set(0, "FAILED")
    slurm.set(3, "CANCELLED")
    states = slurm_state.look(runner.plan).states
    assert (states[0].state, states[3].state, states[3].cause) == ("failed", "blocked", "needs cell 0")
    _, again = operations.retry(runner)
    assert {index for one in again.submissions for index in one.cells} == {0, 3, 6}


def test_a_retry_under_max_concurrent_begins_when_any_job_ends(root, slurm):  # noqa: F811
    runner = executor(root, [{"n": n} for n in range(6)], limits={"max_concurrent": 3})
    runner.submit()
    slurm.set(0, "OUT_OF_MEMORY")
    for index in (1, 2, 3):
        slurm.set(index, "RUNNING")
    _, again = operations.retry(runner)
    assert slurm.throttled == [(101, 2)] and slurm.scripts[102][1] == ("afterany:101_1?afterany:101_2?afterany:101_3",)
    assert "--array=0-0%1\n" in slurm.scripts[102][0] and again.cells == 1
    # The retry has ended: the next launch gives its place back.
    slurm.jobs = [slurm.as_(job, "COMPLETED") if job.job_id == 102 else job for job in slurm.jobs]
    runner.submit(only=set())
    assert slurm.throttled[-1] == (101, 3)


def test_a_retry_takes_a_place_while_other_arrays_wait_for_room(root, slurm):  # noqa: F811
    """A map of another training's waits in the queue: the retry doesn't wait for it, it waits for the retry."""
    specs = [*({"n": n} for n in range(6)), {"needs": [0, 1], "stage": "map"}]
    runner = executor(root, specs, limits={"max_concurrent": 4})
    assert [(one.after, one.how, one.places) for one in runner.submit().submissions] == [((), "afterany", 4), ((101,), "afterany", 1)]
    slurm.set(5, "OUT_OF_MEMORY")
    for index in (1, 2, 3, 4):
        slurm.set(index, "RUNNING")
    operations.retry(runner)
    # The array gives up one of its places; the map waits for the newcomer as well.
    assert slurm.throttled == [(101, 3)] and slurm.scripts[103][1] == ("afterany:101_1?afterany:101_2?afterany:101_3?afterany:101_4",)
    assert slurm.waits == {102: ["afterany:101:103"]} and "--array=0-0%1\n" in slurm.scripts[103][0]
    assert [(one.job_id, one.after, one.places) for one in submissions.read(runner.plan)][:2] == [(101, (), 3), (102, (101, 103), 1)]
    # With a place free meanwhile, the next one begins at once.
    for index in (2, 3, 4):
        slurm.set(index, "NODE_FAIL")
    operations.retry(runner)
    assert slurm.scripts[104][1] == () and slurm.waits[102] == ["afterany:101:103:104"]


def test_evaluations_share_the_bound_with_the_trainings_they_follow(root, slurm):  # noqa: F811
    specs = [*({"n": n} for n in range(12)), *({"n": n, "needs": [n], "stage": "evaluate"} for n in range(12))]
    runner = executor(root, specs, stages={"evaluate": {"mem_gb": 64}}, limits={"max_concurrent": 8})
    assert [(one.how, one.places) for one in runner.submit().submissions] == [("afterany", 8), ("aftercorr", 2)]
    assert slurm.throttled == [(101, 6)]
    slurm.jobs.clear()
    runner = executor(root / "alone", TRAIN_AND_EVALUATE, stages={"evaluate": {"mem_gb": 64}}, limits={"max_concurrent": 1})
    assert [(one.how, one.places) for one in runner.submit().submissions] == [("afterany", 1), ("afterany", 1)]


def test_jobs_that_pull_share_all_cells(root, slurm):  # noqa: F811
    runner = executor(root, [{"n": n} for n in range(20)], default={"pull": 4})
    made = runner.submit()
    assert [(one.size, len(one.cells)) for one in made.submissions] == [(4, 20)] and "--array=0-3\n" in slurm.scripts[101][0]
    slurm.set(2, "RUNNING")
    facts = {"submission": "1", "task": "2", "array_job": "101"}
    write_json(runner.plan.state_path(7), {"state": "running", "slurm": facts, "pid": 1, "host": "n1", "heartbeat": 9e9})
    write_json(runner.plan.state_path(8), {"state": "failed", "kind": "error", "slurm": facts})
    run = slurm_state.look(runner.plan)
    assert (run.states[7].state, run.states[8].state, run.states[9].state) == ("running", "failed", "queued")
    # A failed cell goes again although the workers are still there; the others wait for them.
    assert runner.wanted(run) == [8]
    slurm.jobs = [slurm.as_(job, "TIMEOUT") for job in slurm.jobs]
    assert {cell.kind for cell in slurm_state.look(runner.plan).states} == {"timeout", "error"}
    assert runner.cancel() == []


@pytest.mark.parametrize("before", ["", "NO_LOCKS"])
def test_workers_take_each_cell_once_in_order_of_needs(root, before):
    specs = [{"n": n, "step_s": 0.02} for n in range(8)] + [{"needs": [0, 1], "n": 1, "stage": "evaluate"}, {"do": "fail"}, {"needs": [9]}]
    plan = load(freeze(fake.plan_of(root, specs)))
    workers = [worker(plan, name, before and NO_LOCKS) for name in ("n1", "n2")]
    assert [worker.wait(fake.PATIENCE_S) for worker in workers] == [0, 0]
    assert [begun(root, index) for index in range(11)] == [1] * 10 + [0]
    assert read_json(plan.state_path(10))["state"] == "blocked" and (plan.product(plan.cells[8]) / "cell.json").exists()


def test_on_a_file_system_without_locks_the_beat_decides_between_machines(root):
    """A worker on another machine keeps its cell as long as it beats; once it was silent for long enough, the next one goes on with it."""
    plan = load(freeze(fake.plan_of(root, [{"steps": 6, "hold_at": 3}, {"n": 1}, {"n": 2}])))
    first = worker(plan, "n1", NO_LOCKS)
    while len(fake.lines(root / "trace/0.steps")) < 3:
        assert first.poll() is None
        time.sleep(0.05)
    assert worker(plan, "n2", NO_LOCKS).wait(fake.PATIENCE_S) == 0
    assert [begun(root, index) for index in range(3)] == [1, 1, 1] and not state.is_done(plan, plan.cells[0]), "it beats"
    first.kill()
    first.wait()
    fake.go(root)
    assert worker(plan, "n2", NO_LOCKS).wait(fake.PATIENCE_S) == 0
    assert begun(root, 0) == 1, "nobody on n2 can know that it is dead"
    (claim,) = root.rglob("*.claim")
    os.utime(claim, (time.time() - locks.SILENT_S - 5,) * 2)
    assert worker(plan, "n2", NO_LOCKS).wait(fake.PATIENCE_S) == 0
    assert begun(root, 0) == 2 and len(fake.lines(root / "trace/0.steps")) == 6, "taken over, no step lost or done twice"
    assert not list(root.rglob("*.claim"))


def worker(plan, host, before=""):
    """A process that pulls a plan's cells, and takes itself for one on that host."""
    return subprocess.Popen([sys.executable, "-c", before + WORKER, str(fake.HERE.parents[2]), str(plan.path), host])


NO_LOCKS = """
import errno, fcntl
def refuse(*_):
    raise OSError(errno.ENOLCK, "No locks available")
fcntl.flock = refuse
"""
WORKER = """
import socket, sys
socket.gethostname = lambda: sys.argv[3]
sys.path.insert(0, sys.argv[1])
from cratermill.batch.plan import load
from cratermill.batch.pull import Share, pull
from cratermill.batch.signals import StopFlag
from tests.batch import fake
plan = load(sys.argv[2])
list(pull(plan, range(len(plan.cells)), fake.science, StopFlag(), Share("a turn")))
"""


def test_a_worker_begins_at_its_share_and_looks_at_few_cells(root, monkeypatch):
    plan = load(freeze(fake.plan_of(root, [{"n": n} for n in range(20)])))
    looked, read = [], state.read_record
    monkeypatch.setattr(state, "read_record", lambda plan, index: looked.append(index) or read(plan, index))
    results = list(pull(plan, range(20), fake.science, StopFlag(), Share("a turn", 0.25)))
    assert [result.index for result in results] == [*range(5, 20), *range(5)]
    assert len(looked) <= 20 * 8, "not all of them for each"


def test_what_a_dead_worker_had_is_taken_once_more_and_poison_is_left(root):
    plan = load(freeze(fake.plan_of(root, [{"n": 1}, {"do": "kill"}])))
    dead = {"state": "running", "turn": "a turn", "pid": 2**22 + 1, "host": "", "heartbeat": 0}
    write_json(plan.state_path(0), dead)
    write_json(plan.state_path(1), dead | {"tries": 2})
    results = list(pull(plan, [0, 1], fake.science, StopFlag(), Share("a turn")))
    assert [result.state for result in results] == ["done"]
    assert json.loads(plan.state_path(1).read_text())["kind"] == "killed"


def test_a_worker_that_ends_a_cell_while_another_looks_has_not_died(root, monkeypatch):
    plan = load(freeze(fake.plan_of(root, [{}])))
    state.Record(plan, plan.cells[0], "a turn").open()

    def ends_now(record, now=None):
        run_cell(plan, 0, fake.science, turn="a turn")
        return False

    monkeypatch.setattr(state, "is_alive", ends_now)
    look = Pull(plan, [0], Share("a turn", deaths=1))
    assert list(look.open_cells()) == [] and look.ended == {0: "done"}
    assert read_json(plan.state_path(0))["state"] == "done"


def test_a_disk_that_takes_no_records_ends_the_turn(root, monkeypatch):
    plan = load(freeze(fake.plan_of(root, [{"do": "fail"}, {"n": 1}, {"needs": [0]}])))
    monkeypatch.setattr(state.Record, "close", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    monkeypatch.setattr(state, "note", lambda *_, **__: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    results = list(pull(plan, range(3), fake.science, StopFlag(), Share("a turn")))
    assert [result.state for result in results] == ["failed", "done", "blocked"]


STEP_S = 0.03


def pull_and_die(plan, turn, steps, moment_s):
    """Pull all cells; the process is killed wherever it is, a moment after it has made so many steps."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    made = itertools.count(1)

    def report(**_):
        if next(made) == steps:
            signal.setitimer(signal.ITIMER_REAL, moment_s)

    def science(plan, cell, workspace):
        workspace.report = report
        return fake.science(plan, cell, workspace)

    list(pull(plan, range(len(plan.cells)), science, StopFlag(), Share(turn)))


def test_workers_killed_at_random_leave_what_calm_ones_do(root, tmp_path):
    """Each turn two workers are killed wherever they are, until all is done; the products are those of a run that nobody disturbed."""
    specs = [{"n": n, "steps": 4, "step_s": STEP_S} for n in range(8)] + [{"n": 9, "needs": list(range(8)), "stage": "evaluate"}]
    calm, disturbed = (load(freeze(fake.plan_of(folder, specs))) for folder in (tmp_path / "calm", root))
    list(pull(calm, range(9), fake.science, StopFlag(), Share("calm")))
    draws, ended, forked = random.Random(7), [], multiprocessing.get_context("fork")
    while not all(state.is_done(disturbed, cell) for cell in disturbed.cells):
        assert len(ended) < 80, "every turn gets on"
        deaths = [(f"turn {len(ended)}", draws.randint(1, 2), draws.uniform(0.001, 1.5 * STEP_S)) for _ in range(2)]
        workers = [forked.Process(target=pull_and_die, args=(disturbed, *death)) for death in deaths]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
            ended.append(worker.exitcode)
    assert ended.count(-signal.SIGALRM) > 6 and set(ended) <= {0, -signal.SIGALRM}
    for one, other in zip(calm.cells, disturbed.cells, strict=True):
        made, again = (read_json(plan.product(cell) / "cell.json") for plan, cell in ((calm, one), (disturbed, other)))
        assert {name: made["metrics"][name] for name in ("steps", "loss")} == {name: again["metrics"][name] for name in ("steps", "loss")}
        files = sorted(path.name for path in calm.product(one).iterdir())
        assert files == sorted(path.name for path in disturbed.product(other).iterdir())
        assert all((calm.product(one) / name).read_bytes() == (disturbed.product(other) / name).read_bytes() for name in set(files) & SAME)


SAME = {"best.ckpt", "last.ckpt"}


def test_nobody_waits_for_a_straggler_and_a_stop_ends_the_turn(root):
    plan = load(freeze(fake.plan_of(root, [{"n": n} for n in range(3)])))
    inside, go = threading.Event(), threading.Event()

    def slow(plan, cell, workspace):
        inside.set()
        go.wait(fake.PATIENCE_S)
        return {}

    holder = threading.Thread(target=run_cell, args=(plan, 0, slow), kwargs={"stop": StopFlag()})
    holder.start()
    assert inside.wait(fake.PATIENCE_S)
    stop = StopFlag()
    assert [result.index for result in pull(plan, range(3), fake.science, stop, Share("x"))] == [1, 2]
    stop.set()
    assert not list(pull(plan, range(3), fake.science, stop, Share("y")))
    go.set()
    holder.join()


@pytest.mark.parametrize("killed", [False, True])
def test_jobs_that_pull_several_cells_at_a_time_share_them(root, killed):
    """Two jobs with two cells at work in each; a killed one's cells are taken by the other, which waits for nobody."""
    specs = [{"n": n, "steps": 3, "hold_at": 1} for n in range(4)] + [{"n": n} for n in range(4, 9)]
    plan = load(freeze(fake.plan_of(root, [*specs, {"n": 9, "needs": [4, 5], "stage": "evaluate"}])))
    jobs = [job_that_pulls(plan, task) for task in range(2)]
    until(lambda: [len(fake.lines(root / f"trace/{index}.steps")) for index in range(4)] == [1] * 4, "two cells at work in both jobs")
    if killed:
        os.killpg(jobs[0].pid, signal.SIGKILL)
        jobs[0].wait()
    fake.go(root)
    assert [job.wait(fake.PATIENCE_S) for job in jobs] == [-signal.SIGKILL if killed else 0, 0]
    assert all(state.is_done(plan, cell) for cell in plan.cells)
    # A killed job's processes save themselves and end, or end their cells first.
    assert 10 <= sum(begun(root, index) for index in range(10)) <= (12 if killed else 10)
    assert [len(fake.lines(root / f"trace/{index}.steps")) for index in range(4)] == [3] * 4, "no step lost or done twice"


def test_a_cell_that_kills_its_process_twice_is_left_and_the_others_are_done(root):
    plan = load(freeze(fake.plan_of(root, [{"do": "kill"}, *({"n": n} for n in range(1, 6))])))
    job_that_pulls(plan, 0).wait(fake.PATIENCE_S)
    assert [state.is_done(plan, cell) for cell in plan.cells] == [False] + [True] * 5
    assert begun(root, 0) == 2 and read_json(plan.state_path(0))["kind"] == "killed"


def test_what_is_left_of_a_job_of_several_cells_at_a_time_when_it_is_asked_to_stop(root):
    plan = load(freeze(fake.plan_of(root, [{"n": n, "steps": 3, "hold_at": 1} for n in range(4)])))
    job = job_that_pulls(plan, 0)
    until(lambda: sum(len(fake.lines(root / f"trace/{index}.steps")) for index in range(4)) == 2, "two cells at work")
    job.send_signal(signal.SIGUSR2)
    assert job.wait(fake.PATIENCE_S) == 75
    fake.go(root)
    assert job_that_pulls(plan, 0).wait(fake.PATIENCE_S) == 0
    assert [len(fake.lines(root / f"trace/{index}.steps")) for index in range(4)] == [3] * 4, "no step lost or done twice"


def job_that_pulls(plan, task):
    """One of two jobs of a submission, a process group of its own."""
    environment = os.environ | {"SLURM_ARRAY_TASK_ID": str(task), "SLURM_ARRAY_TASK_COUNT": "2"}
    command = [sys.executable, "-c", JOB, str(fake.HERE.parents[2]), str(plan.path)]
    return subprocess.Popen(command, env=environment, start_new_session=True)


JOB = """
import sys
sys.path.insert(0, sys.argv[1])
from cratermill.batch.job import pull_cells
from cratermill.batch.plan import load
from tests.batch import fake
plan = load(sys.argv[2])
sys.exit(pull_cells(plan, tuple(range(len(plan.cells))), fake.WORK, 1, side_by_side=2))
"""


def until(true, what):
    end = time.monotonic() + fake.PATIENCE_S
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def test_profiles_name_pull():
    assert Profile(name="x", stages={"map": {"pull": 3, "side_by_side": 2}}).resources("map").pull == 3
    with pytest.raises(ValueError, match="map has pull 3 and pack 2: jobs that pull take what is open. Set pack to 1"):
        Profile(name="x", stages={"map": {"pull": 3, "pack": 2}})
