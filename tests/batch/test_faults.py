"""What went wrong on real clusters, each with its test: no cell twice, no foreign job touched, and a true word for people."""

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace

import pytest

from cratermill.batch import environment, locks, operations, preflight, scheduler, slurm_state, state, status, submissions
from cratermill.batch.cell import run_cell
from cratermill.batch.plan import freeze, load
from cratermill.batch.profile import Profile, Resources
from cratermill.batch.scheduler import JobTask
from cratermill.core.errors import InputError, WorkError
from cratermill.core.files import write_json
from cratermill.core.locks import this_process

from . import fake
from .test_slurm import SPECS, executor, intent, slurm  # noqa: F401 - a fixture


def files_of(plan):
    return {path: path.read_bytes() for path in plan.folder.rglob("*") if path.is_file()}


def test_looking_writes_nothing_while_another_submits(root, slurm):  # noqa: F811
    runner = executor(root, [{}, {"n": 1}])
    intent(runner.plan)
    before = files_of(runner.plan)
    assert [cell.cause for cell in slurm_state.look(runner.plan).states] == ["being submitted", None]
    with locks.run_lock(runner.plan):
        before[runner.plan.folder / locks.RUN_LOCK] = (runner.plan.folder / locks.RUN_LOCK).read_bytes()
        slurm_state.watch(runner.plan)
        assert files_of(runner.plan) == before
    assert runner.submit().cells == 2, "who holds the lock knows that nobody is at it any more"


def test_what_a_look_learnt_is_kept_only_with_the_run_s_lock(root, slurm):  # noqa: F811
    runner = executor(root, [{}])
    runner.submit()
    slurm.set(0, "NODE_FAIL")
    with locks.run_lock(runner.plan):
        assert slurm_state.watch(runner.plan).states[0].kind == "node" and not runner.plan.state_path(0).exists()
    slurm_state.watch(runner.plan)
    assert json.loads(runner.plan.state_path(0).read_text())["kind"] == "node"


@pytest.mark.parametrize(
    ("said", "job"),
    [
        ("12\n", 12),
        ("12;devcluster\n", 12),
        ("site: 3 nodes are down\nSubmitted batch job 12\nYour balance: 99 hours\n", 12),
        ("Submitted batch job 12 on cluster b\n", 12),
        ("thank you\n", None),
        ("", None),
    ],
)
def test_the_job_is_looked_for_in_all_lines(said, job):
    assert scheduler.job_id_in(said) == job


@pytest.mark.parametrize("error", [scheduler.Unclear("sbatch answered 'ok'"), scheduler.Refused("sbatch: plugin said something odd")])
def test_after_an_odd_answer_the_queue_is_asked_for_the_name(root, slurm, monkeypatch, error):  # noqa: F811
    runner, submit = executor(root, [{}]), slurm.submit

    def accept_and_say_something_odd(*words):
        submit(*words)
        raise error

    monkeypatch.setattr(scheduler, "submit", accept_and_say_something_odd)
    assert runner.submit().submissions[0].job_id == 101
    assert runner.submit().submissions == []


def test_yes_without_a_job_is_no_refusal(root, slurm, monkeypatch):  # noqa: F811
    monkeypatch.setattr("cratermill.batch.slurm.SHOWS_ITSELF_S", (0.0,))

    def say_yes(*_):
        raise scheduler.Unclear("sbatch answered 'ok'")

    runner, submit = executor(root, [{}]), scheduler.submit
    monkeypatch.setattr(scheduler, "submit", say_yes)
    with pytest.raises(scheduler.Unclear):
        runner.submit()
    (lost,) = submissions.read(runner.plan)
    slurm.jobs.append(JobTask(55, 0, "PENDING", name=lost.name))
    monkeypatch.setattr(scheduler, "submit", submit)
    assert runner.submit().submissions == [] and submissions.read(runner.plan)[0].job_id == 55


def test_recycled_ids_are_other_jobs(root, slurm):  # noqa: F811
    runner = executor(root, [{}])
    runner.submit()
    slurm.jobs = [JobTask(101, 0, "RUNNING", name="somebody's")]
    slurm.accounting = [JobTask(101, 0, "COMPLETED", name="somebody's")]
    assert slurm_state.look(runner.plan).states[0].state == "lost"
    assert runner.cancel() == [] and slurm.cancelled == []


def test_from_another_cluster_nothing_is_submitted_again(root, slurm, monkeypatch):  # noqa: F811
    runner = executor(root, [{}])
    runner.submit()
    slurm.jobs.clear()
    monkeypatch.setattr(scheduler, "cluster_name", lambda: "there")
    with pytest.raises(WorkError, match="was submitted to cluster here, this is there"):
        runner.submit()


def test_a_removed_run_is_known_by_its_jobs(root, slurm):  # noqa: F811
    runner = executor(root, [{}])
    runner.submit()
    (runner.plan.folder / "slurm/1.json").unlink()
    with pytest.raises(WorkError, match="scancel --name=fake-"):
        runner.submit()
    slurm.jobs = [replace(job, folder="/another/project/log/runs/of/the/same/name") for job in slurm.jobs]
    assert runner.submit().cells == 1


def test_an_array_larger_than_a_quota_nobody_told_of_is_cut(root, slurm, monkeypatch):  # noqa: F811
    runner, submit = executor(root, [{"n": n} for n in range(10)]), slurm.submit

    def within_quota(script, folder, after=()):
        size = script.read_text().split("--array=0-")[1].split()[0]
        if int(size) + 1 + len(slurm.jobs) > 6:
            raise scheduler.NoRoom("sbatch: QOSMaxSubmitJobPerUserLimit")
        return submit(script, folder, after)

    monkeypatch.setattr(scheduler, "submit", within_quota)
    made = runner.submit()
    assert (made.cells, made.left) == (5, [5, 6, 7, 8, 9])
    assert [one.number for one in submissions.read(runner.plan)] == [2]


def test_quotas_of_associations_and_qos(monkeypatch):
    answers = {"assoc": "lab||1000||normal|normal,long\n", "qos": "normal|40||\nlong|5||\n"}
    monkeypatch.setattr(scheduler, "ask", lambda *words: answers[words[2]])
    monkeypatch.setattr(scheduler, "configuration", dict)
    assert preflight.with_site_limits(Profile(name="x")).limits.max_submitted == 40
    assert preflight.with_site_limits(Profile(name="x", qos="long")).limits.max_submitted == 5
    with pytest.raises(scheduler.NoRoom):
        raise scheduler.refusal("sbatch", "error: AssocMaxSubmitJobLimit\nerror: Batch job submission failed")


def test_efficiency_counts_all_attempts(root, slurm):  # noqa: F811
    runner = executor(root, [{}], default={"gpus": 1})
    runner.submit()
    path, now = runner.plan.state_path(0), time.time()
    write_json(path, {"state": "running", "attempt": 1, "started": now - 7200, "heartbeat": now - 3600, "pid": 1, "host": "gone"})
    state.note(runner.plan, runner.plan.cells[0], "failed", "its node failed", "node", ended=now - 3600)
    assert run_cell(runner.plan, 0, fake.science).state == "done"
    (row,) = operations.efficiency(runner.plan)["cells"]
    assert row["attempts"] == 2 and row["gpu_hours"] == pytest.approx(1, rel=0.01)


def test_a_silent_scheduler_is_said(root, slurm, monkeypatch, capsys):  # noqa: F811
    runner = executor(root, [{}])
    runner.submit()

    def silent():
        raise scheduler.Silent("The scheduler doesn't answer: timed out")

    monkeypatch.setattr(scheduler, "queue", silent)
    assert status.show(runner.plan, observe=slurm_state.watch) == 0
    assert "The scheduler doesn't answer: timed out" in capsys.readouterr().out
    assert status.show(runner.plan, observe=slurm_state.watch, as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["silent"].startswith("The scheduler doesn't answer")


def test_a_warning_after_the_end_is_refused():
    with pytest.raises(ValueError, match="warn_s 600 is no less than map's time_min 10"):
        Profile(name="x", warn_s=600, stages={"map": Resources(time_min=10)})


def test_the_launching_shell_s_own_job_is_not_handed_on(monkeypatch):
    for name in ("RANK", "LOCAL_RANK", "MASTER_PORT", "SBATCH_QOS", "SLURM_PROCID", "SLURM_CONF", "OMP_NUM_THREADS"):
        monkeypatch.setenv(name, "1")
    assert {"SLURM_CONF", "OMP_NUM_THREADS", "PATH"} <= set(environment.clean_environment())
    assert not {"RANK", "LOCAL_RANK", "MASTER_PORT", "SBATCH_QOS", "SLURM_PROCID"} & set(environment.clean_environment())


def test_readers_can_look(root, slurm, read_only):  # noqa: F811
    runner = executor(root, [{}])
    runner.submit()
    slurm.set(0, "TIMEOUT")
    read_only(runner.plan.folder)
    assert slurm_state.watch(runner.plan).states[0].kind == "timeout"
    assert status.local_run(runner.plan).states[0].state == "waiting"


def test_one_odd_file_keeps_nobody_from_looking(root, slurm):  # noqa: F811
    runner = executor(root, SPECS)
    runner.submit()
    odd = [
        "7",
        '{"state": "running"}',
        '{"state": "odd", "pid": "x"}',
        '{"state": "failed", "started": "noon", "progress": 3, "slurm": []}',
    ]
    for index, text in enumerate(odd):
        runner.plan.state_path(index).write_text(text)
    (runner.plan.folder / "slurm/9.json").write_text('{"tasks": [[99]], "after": [], "cancelled": []}')
    (runner.plan.folder / "slurm/1x.json").write_text("[]")
    assert len(slurm_state.look(runner.plan).states) == 4
    assert status.show(runner.plan, as_json=True) in (0, 1)


@pytest.mark.parametrize("change", [{"product": "../elsewhere"}, {"product": "/etc"}, {"needs": [5]}, {"needs": [0]}, {"index": 3}])
def test_a_plan_that_leads_elsewhere_is_refused(root, change):
    path = freeze(fake.plan_of(root, [{}]))
    value = json.loads(path.read_text())
    value["cells"][0] |= change
    path.write_text(json.dumps(value))
    with pytest.raises(InputError, match="is no whole plan of cratermill"):
        load(path)


# ---------------------------------------------------------------------- file systems without locks


@pytest.fixture
def no_locks(monkeypatch):
    monkeypatch.setattr(locks, "reaches_others", lambda path: False)


def test_without_locks_a_claim_decides(root, no_locks):
    first = locks.take(root / "x.lock")
    assert first is not None and locks.take(root / "x.lock") is None and locks.is_taken(root / "x.lock")
    first.close()
    again = locks.take(root / "x.lock")
    assert again is not None
    again.close()
    assert not locks.is_taken(root / "x.lock") and [path.name for path in root.iterdir()] == ["x.lock"]


def test_without_locks_the_dead_and_the_silent_give_way(root, no_locks):
    claim = root / "x.lock.claim"
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    me = asdict(this_process())
    claim.write_text(json.dumps(me | {"pid": ended.pid}))
    assert (lock := locks.take(root / "x.lock")) is not None
    lock.close()
    claim.write_text(json.dumps(me | {"host": "another"}))
    assert locks.take(root / "x.lock") is None, "its beat is young"
    os.utime(claim, (time.time() - locks.SILENT_S - 5,) * 2)
    assert (lock := locks.take(root / "x.lock")) is not None
    lock.close()


def test_without_locks_many_heirs_of_the_dead_never_hold_it_together(root, no_locks):
    claim, most, inside = root / "x.lock.claim", [], []
    claim.write_text(json.dumps(asdict(replace(this_process(), began="1"))))

    def heir():
        while (lock := locks.take(root / "x.lock")) is None:
            time.sleep(0.005)
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.01)
        inside.pop()
        lock.close()

    heirs = [threading.Thread(target=heir) for _ in range(8)]
    for thread in heirs:
        thread.start()
    for thread in heirs:
        thread.join()
    assert most == [1] * 8


def test_without_locks_a_cell_is_not_run_twice(root, no_locks):
    plan = load(freeze(fake.plan_of(root, [{"n": 1}])))
    seen = []

    def work(plan, cell, workspace):
        seen.append(run_cell(plan, 0, fake.science, wait_s=0).kind)
        return {}

    assert run_cell(plan, 0, work).state == "done" and seen == ["busy"]
    assert sorted(path.name for path in plan.product(plan.cells[0]).iterdir()) == ["cell.json"]
    assert locks.locks_work(root)[0] is False


def test_room_is_asked_on_the_disks_of_log_and_results(root, small_disk):
    (root / "results").symlink_to(small_disk)
    names = {check.name: check.ok for check in preflight.check_rooms(root, 1)}
    assert names == {"room on the disk of log/": True, "room on the disk of results/": False}


def test_runs_are_listed_newest_first_whatever_lies_there(root, slurm):  # noqa: F811
    assert status.list_runs(root) == []
    done = load(freeze(fake.plan_of(root, [{"product": "log/products/first"}], name="first")))
    run_cell(done, 0, fake.science)
    os.utime(done.path, (time.time() - 7200,) * 2)
    runner = executor(root, [{}, {"n": 1}])
    runner.submit()
    slurm.set(0, "RUNNING")
    (root / "log/runs/odd").mkdir()
    (root / "log/runs/odd/plan.json").write_text("{")
    os.utime(root / "log/runs/odd/plan.json", (0, 0))
    found = status.list_runs(root)
    assert [(one["run"], one["state"]) for one in found] == [(runner.plan.run, "running"), (done.run, "done"), ("odd", "unreadable")]
    assert found[0]["counts"] == {"running": 1, "queued": 1} and 7100 < found[1]["age_s"] < 7300 and found[1]["config"] == "first"


def test_where_the_results_are_is_said_at_the_end(root, capsys):
    plan = load(freeze(fake.plan_of(root, [{"always": True, "stage": "summarise"}])))
    run_cell(plan, 0, lambda *_: {"results": ["results/conn_results/leaderboard.csv"]})
    (root / "results/conn_results").mkdir(parents=True)
    (root / "results/conn_results/leaderboard.csv").touch()
    assert status.show(plan) == 0
    assert capsys.readouterr().out.endswith("results: results/conn_results/leaderboard.csv\n")
