"""The Slurm executor without Slurm: chunks, states and retries from made-up answers of the scheduler."""

import contextlib
import json
import re
import time

import pytest

from cratermill.batch import cluster, dry_run, operations, scheduler, slurm_state, state, submissions
from cratermill.batch.by_hand import submission_lines
from cratermill.batch.cell import run_cell
from cratermill.batch.plan import freeze, load
from cratermill.batch.profile import Profile, Resources
from cratermill.batch.scheduler import JobTask
from cratermill.batch.slurm import SlurmExecutor
from cratermill.core.errors import InputError, WorkError
from cratermill.core.files import read_json, write_json

from . import fake


class Scheduler:
    """Answers like Slurm, without any."""

    def __init__(self):
        self.jobs, self.accounting, self.scripts, self.cancelled, self.next_id = [], None, {}, [], 100
        self.throttled, self.waits = [], {}

    def queue(self):
        return list(self.jobs)

    def accounts_for(self, job_ids, since):
        if self.accounting is None:
            raise scheduler.Refused("Slurm accounting storage is disabled")
        return [job for job in self.accounting if job.job_id in job_ids]

    def named(self, name, since):
        raise scheduler.Refused("Slurm accounting storage is disabled")

    def submit(self, script, folder, after=()):
        self.next_id += 1
        text = script.read_text()
        name = text.split("--job-name=")[1].split()[0]
        self.scripts[self.next_id] = (text, tuple(after))
        tasks = int(re.search(r"--array=0-(\d+)", text)[1]) + 1
        self.jobs += [JobTask(self.next_id, task, "PENDING", name=name) for task in range(tasks)]
        return self.next_id

    def throttle(self, job_id, places):
        self.throttled.append((job_id, places))

    def wait_for(self, job_id, after):
        self.waits[job_id] = after

    def test_only(self, script, folder):
        pass

    def cancel(self, targets):
        self.cancelled += targets
        self.jobs = [job if f"{job.job_id}_{job.task}" not in targets else self.as_(job, "CANCELLED") for job in self.jobs]

    def as_(self, job, word, reason="", node=""):
        return JobTask(job.job_id, job.task, word, reason, node, job.name)

    def set(self, index, word, reason="", node="n1"):
        """The newest job whose first task is this one goes over to another state."""
        self.jobs = [self.as_(job, word, reason, node) if position == index else job for position, job in enumerate(self.jobs)]


@pytest.fixture
def slurm(monkeypatch):
    answers = Scheduler()
    monkeypatch.setattr(scheduler, "configuration", dict)
    monkeypatch.setattr(scheduler, "cluster_name", lambda: "here")
    for name in ("queue", "accounts_for", "named", "submit", "cancel", "throttle", "wait_for", "test_only"):
        monkeypatch.setattr(scheduler, name, getattr(answers, name))
    return answers


def executor(root, specs, **profile):
    plan = load(freeze(fake.plan_of(root, specs)))
    return SlurmExecutor(plan, Profile(name="test", **profile), say=lambda _: None)


def intent(plan):
    number = submissions.next_number(plan)
    name = submissions.name_of(plan, "train", number)
    return submissions.new(plan, submissions.Submission(number, name, "train", ((0,),), Resources().model_dump()))


SPECS = [{}, {}, {}, {"needs": [0, 1, 2], "soft": True, "always": True, "stage": "summarise"}]


def test_stages_wait_for_those_they_need(root, slurm):
    specs = [{}, {}, {"needs": [0, 1], "stage": "evaluate"}, {"needs": [2], "soft": True, "stage": "summarise"}]
    made = executor(root, specs).submit()
    assert [(one.stage, one.after) for one in made.submissions] == [("train", ()), ("evaluate", (101,)), ("summarise", (102,))]
    assert slurm.scripts[103][1] == ("afterany:102",)


def test_a_map_waits_for_its_own_trainings(root, slurm):
    specs = [
        *({"n": n} for n in range(6)),
        {"needs": [1, 4], "stage": "map"},
        {"needs": list(range(6)), "soft": True, "stage": "summarise"},
    ]
    runner = executor(root, specs)
    assert cluster.describe(runner.plan, runner.profile)["after"] == [[], ["submission 1_1", "submission 1_4"], ["submission 1"]]
    assert [one.after for one in runner.submit().submissions] == [(), ("101_1", "101_4"), (101,)]
    assert slurm.scripts[102][1] == ("afterany:101_1:101_4",)


def test_chunks_by_index_resources_and_packing(root, slurm):
    runner = executor(root, [{"n": n} for n in range(25)], limits={"max_array_size": 10})
    assert [len(chunk.tasks) for chunk in runner.chunks(range(25))] == [10, 10, 5]
    more = runner.chunks(range(25), {3: Resources(mem_gb=64)})
    assert sorted(len(chunk.tasks) for chunk in more) == [1, 4, 10, 10]
    packed = executor(root, [{"n": n} for n in range(25)], default={"pack": 4}).chunks(range(25))
    assert [len(task) for task in packed[0].tasks] == [4, 4, 4, 4, 4, 4, 1]


def test_max_concurrent_holds_across_chunks(root, slurm):
    made = executor(root, [{"n": n} for n in range(25)], limits={"max_array_size": 10, "max_concurrent": 3}).submit()
    assert [(len(one.tasks), one.after, one.places) for one in made.submissions] == [(8, (), 1), (9, (), 1), (8, (), 1)]
    assert all("%1\n" in text for text, _ in slurm.scripts.values())


def test_launch_again_submits_nothing_twice(root, slurm):
    runner = executor(root, SPECS)
    assert runner.submit().cells == 4
    assert runner.submit().submissions == []
    slurm.set(0, "RUNNING")
    assert runner.submit().submissions == []


def test_only_some_cells_and_what_can_run_then(root, slurm):
    specs = [{}, {"n": 1}, {"needs": [0], "stage": "evaluate"}, {"needs": [0, 1], "stage": "evaluate", "n": 2}]
    made = executor(root, specs).submit(only={0})
    assert [one.tasks for one in made.submissions] == [((0, 2),)], "the evaluation follows in the same job"


def test_intent_without_an_answer_is_found_by_its_name_or_submitted_again(root, slurm):
    runner = executor(root, [{}])
    lost = intent(runner.plan)
    slurm.jobs.append(JobTask(77, 0, "PENDING", name=lost.name))
    assert runner.submit().submissions == []
    assert submissions.read(runner.plan)[0].job_id == 77
    slurm.jobs.clear()
    (runner.plan.folder / "slurm/1.json").unlink()
    intent(runner.plan)
    assert runner.submit().cells == 1
    assert [one.number for one in submissions.read(runner.plan)] == [2], "the intent is remembered as given up"


def test_intent_whose_cell_has_begun_is_not_submitted_again(root, slurm, monkeypatch):
    runner = executor(root, [{"do": "fail"}])
    intent(runner.plan)
    for name, value in {"SLURM_JOB_ID": "56", "SLURM_ARRAY_JOB_ID": "55", "CRATERMILL_SUBMISSION": "1"}.items():
        monkeypatch.setenv(name, value)
    run_cell(runner.plan, 0, fake.science)
    run = slurm_state.look(runner.plan)
    assert run.submissions[0].job_id == 55 and run.states[0].kind == "error"


def test_without_locks_two_launches_at_once_submit_no_cell_twice(root, slurm, monkeypatch):
    one, other = executor(root, [{"n": n} for n in range(4)]), executor(root, [{"n": n} for n in range(4)])
    monkeypatch.setattr("cratermill.batch.slurm.run_lock", lambda plan, wait_s: contextlib.nullcontext())
    look = slurm_state.look

    def look_then_be_slow(plan, **options):
        found = look(plan, **options)
        monkeypatch.setattr(slurm_state, "look", look)
        assert other.submit().cells == 4
        return found

    monkeypatch.setattr(slurm_state, "look", look_then_be_slow)
    with pytest.raises(WorkError, match="Another launch submits fake-"):
        one.submit()
    assert len(slurm.scripts) == 1 and one.submit().submissions == []


def test_retry_takes_the_profile_of_the_launch(root, slurm):
    runner = executor(root, [{}])
    with pytest.raises(InputError, match="No launch has submitted fake-"):
        operations.require_submitted(runner.plan)
    runner.submit()
    assert operations.require_submitted(runner.plan) == "test"


def test_refused_submission_says_why_and_leaves_no_trace(root, slurm, monkeypatch):
    def refuse(*_, **__):
        raise scheduler.Refused("sbatch: invalid partition specified: nowhere")

    runner = executor(root, [{}])
    monkeypatch.setattr(scheduler, "submit", refuse)
    with pytest.raises(WorkError, match="invalid partition"):
        runner.submit()
    assert submissions.read(runner.plan) == []


def test_quota(root, slurm):
    runner = executor(root, [{"n": n} for n in range(5)], limits={"max_submitted": 3})
    slurm.jobs.append(JobTask(9, 0, "RUNNING", name="another of mine"))
    made = runner.submit()
    assert made.cells == 2 and made.left == [2, 3, 4]


def test_a_job_of_several_cells_is_at_the_first_that_has_not_ended(root, slurm):
    runner = executor(root, [{"n": n} for n in range(3)], default={"pack": 3})
    runner.submit()
    slurm.set(0, "RUNNING")

    def states():
        return [cell.state for cell in slurm_state.look(runner.plan).states]

    assert states() == ["running", "queued", "queued"], "before the first has said a word"
    mine = {"submission": "1", "array_job": "101"}
    write_json(runner.plan.state_path(0), {"state": "failed", "slurm": mine})
    assert states() == ["failed", "running", "queued"]
    write_json(runner.plan.state_path(2), {"state": "running", "slurm": mine, "pid": 1, "host": "n1", "heartbeat": 9e9})
    assert states() == ["failed", "queued", "running"], "it says itself where it is"


def test_what_begins_while_the_queue_is_read_did_not_go_back_into_it(root, slurm, monkeypatch):
    runner = executor(root, [{}])
    runner.submit()
    record = {"state": "running", "slurm": {"submission": "1", "array_job": "101"}, "pid": 1, "host": "n1", "heartbeat": 9e9}

    def slow_queue():
        found = slurm.queue()  # its job waits
        write_json(runner.plan.state_path(0), {**record, "started": time.time()})
        return found

    monkeypatch.setattr(scheduler, "queue", slow_queue)
    assert slurm_state.look(runner.plan).states[0].state == "running"
    monkeypatch.setattr(scheduler, "queue", slurm.queue)
    again = slurm_state.look(runner.plan).states[0]
    assert (again.state, again.cause) == ("queued", "went back into the queue")


@pytest.mark.parametrize(
    ("word", "reason", "expected"),
    [
        ("PENDING", "Resources", ("queued", None)),
        ("PENDING", "Dependency", ("waiting", None)),
        ("PENDING", "DependencyNeverSatisfied", ("failed", "dependency")),
        ("RUNNING", "None", ("running", None)),
        ("REQUEUE_HOLD", "", ("queued", None)),
        ("TIMEOUT", "", ("failed", "timeout")),
        ("OUT_OF_MEMORY", "", ("failed", "oom")),
        ("NODE_FAIL", "", ("failed", "node")),
        ("PREEMPTED", "", ("failed", "preempted")),
        ("CANCELLED", "", ("failed", "cancelled")),
        ("FAILED", "", ("failed", "killed")),
        ("COMPLETED", "", ("lost", "lost")),
    ],
)
def test_states_of_a_cell_that_wrote_nothing(root, slurm, word, reason, expected):
    runner = executor(root, [{}])
    runner.submit()
    slurm.set(0, word, reason)
    found = slurm_state.watch(runner.plan).states[0]
    assert (found.state, found.kind) == expected
    # What was learnt of an end is kept when the scheduler has forgotten it.
    if found.state == "failed" and word != "PENDING":
        slurm.jobs.clear()
        again = slurm_state.look(runner.plan).states[0]
        assert (again.state, again.kind) == expected


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("slurmstepd: error: *** JOB 5 ON n1 CANCELLED AT 2026-01-01T00:00:00 DUE TO TIME LIMIT ***", "timeout"),
        ("slurmstepd: error: Detected 1 oom_kill event in StepId=5.batch. Some of the step tasks have been OOM Killed.", "oom"),
        ("error: StepId=2.batch exceeded memory limit (3 > 1), being killed\n*** JOB 2 ON n1 CANCELLED AT 2026-01-01T00:00:00 ***", "oom"),
        ("*** JOB 5 ON n1 CANCELLED AT x DUE TO PREEMPTION ***\nwork\n*** JOB 5 ON n1 CANCELLED AT x DUE TO NODE FAILURE ***", "node"),
        ("*** JOB 5 ON n1 CANCELLED AT 2026-01-01T00:00:00 ***", "cancelled"),
        ("nothing of use", "lost"),
    ],
)
def test_without_accounting_the_output_tells(root, slurm, text, kind):
    runner = executor(root, [{}])
    runner.submit()
    slurm.jobs.clear()
    (runner.plan.folder / "slurm/101_0.out").write_text(text)
    assert slurm_state.look(runner.plan).states[0].kind == kind


@pytest.mark.parametrize(("record", "kind"), [("stopped", "node"), ("running", "killed")])
def test_a_requeued_job_that_cannot_begin_again_says_so(root, slurm, record, kind):
    """The output's last word is of the run before: why it was requeued isn't why it failed."""
    runner = executor(root, [{}])
    runner.submit()
    write_json(runner.plan.state_path(0), {"state": record, "slurm": {"submission": "1"}, "attempt": 1, "pid": 1, "host": "n1"})
    (runner.plan.folder / "slurm/101_0.out").write_text("*** JOB 101 ON n1 CANCELLED AT x DUE TO PREEMPTION ***\n")
    slurm.set(0, "FAILED", "JobLaunchFailure")
    found = slurm_state.look(runner.plan).states[0]
    assert (found.state, found.kind) == ("failed", kind) and "JobLaunchFailure" in found.cause and "preempted" not in found.cause


def test_accounting_is_asked_once_and_only_for_the_unexplained(root, slurm):
    runner = executor(root, [{"n": 1}, {"n": 2}])
    runner.submit()
    slurm.jobs.clear()
    slurm.accounting = [JobTask(101, 0, "TIMEOUT"), JobTask(101, 1, "NODE_FAIL")]
    assert [cell.kind for cell in slurm_state.look(runner.plan).states] == ["timeout", "node"]


def test_retry_by_cause_within_limits(root, slurm):
    retry = {"mem_gb_max": 12, "time_min_max": 100, "attempts": 3}
    runner = executor(root, [{"n": n} for n in range(5)], default={"mem_gb": 8, "time_min": 60}, retry=retry)
    runner.submit()
    for index, word in enumerate(("OUT_OF_MEMORY", "TIMEOUT", "NODE_FAIL", "PREEMPTED", "FAILED")):
        slurm.set(index, word)
    state.note(runner.plan, runner.plan.cells[4], "failed", "ValueError: x", "crash", slurm={"submission": "1"})
    chosen, submitted = operations.retry(runner)
    asked = {index: (one.mem_gb, one.time_min) for index, one in chosen.resources.items()}
    assert asked == {0: (12, 60), 1: (8, 100), 2: (8, 60), 3: (8, 60)} and submitted.cells == 4
    assert chosen.because[0].endswith("; now 12 GB instead of 8") and chosen.because[1].endswith("; now 100 minutes instead of 60")
    assert chosen.because[2] == "its node failed"
    assert "ValueError: x (its own error" in chosen.not_again[4]
    named = operations.plan_retry(slurm_state.look(runner.plan), runner.profile, only={4})
    assert named.cells == [4]
    # The same end again: now the limits are reached.
    slurm.jobs = [slurm.as_(job, "OUT_OF_MEMORY") if job.job_id > 101 else job for job in slurm.jobs]
    again = operations.plan_retry(slurm_state.look(runner.plan), runner.profile)
    assert "all the memory" in again.not_again[0] and again.resources[2].mem_gb == 12


def test_too_many_attempts(root, slurm):
    runner = executor(root, [{}], retry={"attempts": 1})
    runner.submit()
    slurm.set(0, "NODE_FAIL")
    chosen, submitted = operations.retry(runner)
    assert submitted is None and "1 attempt, as many as the profile allows" in chosen.not_again[0]


def test_retry_replaces_what_waits_in_the_queue(root, slurm):
    runner = executor(root, SPECS)
    runner.submit()
    slurm.set(0, "NODE_FAIL")
    slurm.set(3, "PENDING", "Dependency")
    _, submitted = operations.retry(runner)
    assert slurm.cancelled == ["102_0"]
    assert [(one.stage, one.after) for one in submitted.submissions] == [("train", ()), ("summarise", (101, 103))]


def test_stopped_without_requeue_is_a_time_out_with_a_checkpoint(root, slurm):
    runner = executor(root, [{}], requeue=False)
    runner.submit()
    write_json(runner.plan.state_path(0), {"state": "stopped", "slurm": {"submission": "1"}, "attempt": 1})
    slurm.set(0, "COMPLETED")
    found = slurm_state.look(runner.plan).states[0]
    assert (found.state, found.kind) == ("failed", "timeout") and "goes on from its checkpoint" in found.cause


def test_cancel_some_cells(root, slurm):
    runner = executor(root, [{"n": n} for n in range(4)], default={"pack": 2})
    runner.submit()
    assert runner.cancel({1}) == [0, 1], "they share a job"
    assert slurm.cancelled == ["101_0"]
    assert [cell.kind for cell in slurm_state.look(runner.plan).states] == ["cancelled", "cancelled", None, None]


def test_dry_run_submits_nothing_and_counts(root, slurm, capsys):
    limits = {"max_concurrent": 2}
    stages = {"train": {"gpus": 1, "time_min": 60}, "summarise": {"time_min": 10}}
    plan = fake.plan_of(root, SPECS)
    profile = Profile(name="test", limits=limits, stages=stages)
    found = cluster.describe(plan, profile)
    assert (found["jobs"], found["gpu_hours"], found["longest_chain_min"]) == (4, 3.0, 130)
    assert cluster.dry_run(plan, profile) == 0
    said = capsys.readouterr().out
    assert said.count("#!/bin/bash") == 2 and "at most 3.0 GPU-hours, longest chain 2 h 10 min" in said.replace("130 min", "2 h 10 min")
    assert slurm.scripts == {} and not plan.folder.exists()
    assert cluster.dry_run(plan, profile, as_json=True) == 0 and json.loads(capsys.readouterr().out)["cells"] == 4


def test_dry_run_says_what_waits_for_what_and_knows_the_queue(root, slurm, capsys):
    runner = executor(root, SPECS, limits={"max_array_size": 2})
    assert cluster.describe(runner.plan, runner.profile)["after"] == [[], [], ["submission 1", "submission 2"]]
    bounded = Profile(name="test", limits={"max_array_size": 2, "max_concurrent": 1})
    assert cluster.describe(runner.plan, bounded)["after"] == [[], ["submission 1"], ["submission 1", "submission 2"]]
    cluster.dry_run(runner.plan, bounded)
    assert "--- submission 2 of 3, begins when submission 1 ended\n" in capsys.readouterr().out
    # What is in the queue isn't submitted again, and a dry run says so.
    runner.submit(only={0, 1})
    found = cluster.describe(runner.plan, bounded)
    assert (found["cells"], found["in_queue"], found["after"]) == (1, 3, [["job 101", "job 102"]])
    assert "in the queue already: 3 cells" in dry_run.text_of(found)


def test_lines_to_submit_by_hand(root):
    plan = fake.plan_of(root, [{}, {"n": 1}, {"needs": [0], "stage": "evaluate"}, {"n": 2}, {"needs": [2], "stage": "summarise"}])
    lines = submission_lines(plan, "slurm/train.slurm", root)
    run = f"log/runs/{plan.run}"
    assert lines[0] == f"job=$(sbatch --parsable --array=0-1,3 -o {run}/slurm/%A_%a.out slurm/train.slurm {run}/plan.json)"
    assert [line.split("--array=")[1].split()[0] for line in lines] == ["0-1,3", "2", "4"]
    assert all("--dependency=afterany:$job " in line for line in lines[1:])


def test_dry_run_knows_the_site_s_array_size(root, slurm, monkeypatch):
    monkeypatch.setattr(scheduler, "configuration", lambda: {"MaxArraySize": "3"})
    plan = fake.plan_of(root, [{"n": n} for n in range(7)])
    assert cluster.describe(plan, Profile(name="test", limits={"max_submitted": 99}))["submissions"] == 3


def test_efficiency_from_records(root, slurm):
    runner = executor(root, [{"family": "net", "version": 3}], default={"cpus": 2, "mem_gb": 4, "gpus": 1})
    runner.submit()
    record = {
        "state": "done",
        "started": submissions.read(runner.plan)[0].created + 30,
        "seconds": 1800,
        "cpu_s": 2700,
        "max_rss_mb": 1024,
        "attempt": 1,
    }
    write_json(runner.plan.state_path(0), record)
    found = operations.efficiency(runner.plan)["groups"][0]
    expected = {"version": 3, "elapsed_s": 1800, "wait_s": 30, "cpu_share": 0.75, "memory_share": 0.25, "gpu_hours": 0.5}
    assert {name: found[name] for name in expected} == expected


def test_answers_of_squeue_and_sacct_are_read():
    assert scheduler._queue_line("12|3|RUNNING|None|n[1-2]|15|a|/b|c") == JobTask(12, 3, "RUNNING", "None", "n[1-2]", "a", "/b|c")
    assert scheduler._queue_line("12|N/A|PENDING|Resources||12|x|/").task == 0
    assert scheduler._queue_line("slurm_load_jobs error") is None
    assert scheduler._account_lines("12_3|CANCELLED by 1000|n1|x") == [JobTask(12, 3, "CANCELLED", node="n1", name="x")]
    assert scheduler._account_lines("12_[4-9]|PENDING||x") == []
    assert [job.task for job in scheduler._account_lines("12_[4-6,9%2]|CANCELLED by 0||x")] == [4, 5, 6, 9]


def test_environment_of_sbatch(monkeypatch):
    for name in ("SBATCH_PARTITION", "SLURM_JOB_ID", "SLURM_CONF", "HOME"):
        monkeypatch.setenv(name, "x")
    kept = scheduler.clean_environment()
    assert "SBATCH_PARTITION" not in kept and "SLURM_JOB_ID" not in kept and kept["SLURM_CONF"] == "x" and kept["HOME"] == "x"


def test_damaged_record_of_a_submission_is_left_out(root, slurm):
    runner = executor(root, [{}])
    runner.submit()
    (runner.plan.folder / "slurm/2.json").write_text("{")
    assert len(submissions.read(runner.plan)) == 1 and submissions.next_number(runner.plan) == 3
    assert read_json(runner.plan.folder / "slurm/1.json")["job_id"] == 101
