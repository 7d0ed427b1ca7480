"""Plans of fake cells on a real Slurm: what a night on a cluster may bring."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from dataclasses import replace

import pytest

from cratermill.batch import operations, preflight, provenance, scheduler, slurm_state, status, submissions
from cratermill.batch.plan import freeze, load
from cratermill.core.errors import WorkError
from tests.batch import fake
from tests.slurm import no_locks
from tests.slurm.runs import ENVIRONMENT, TIME_MIN, Bench, undisturbed_loss

pytestmark = pytest.mark.slurm


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / 'a project\'s $(folder) "x"'
    folder.mkdir()
    return folder


@pytest.fixture
def on(monkeypatch):
    """Points this process at a cluster, and sees to it that no job of the test outlives it."""
    used = []

    def use(cluster):
        for name, value in {**ENVIRONMENT, "SLURM_CONF": cluster.env["SLURM_CONF"]}.items():
            monkeypatch.setenv(name, value)
        used.append(cluster)
        return cluster

    yield use
    for cluster in used:
        cluster.clear()


@pytest.fixture
def cluster(slurm_cluster, on):
    return on(slurm_cluster)


def summarised(specs):
    return [*specs, {"needs": list(range(len(specs))), "soft": True, "always": True, "stage": "summarise", "key": "summary"}]


@pytest.fixture
def bounded(make_slurm_cluster, on):
    """A cluster of small arrays that keeps to the quotas of its accounting and binds processes to their cores, of which it has no more than
    there are."""
    settings = {"AccountingStorageEnforce": "limits", "TaskPlugin": "task/affinity"}
    return on(make_slurm_cluster(nodes=2, cpus=2, max_array_size=11, set=settings))


def test_thirty_cells_in_arrays_of_at_most_eleven_and_four_at_once(bounded, root, monkeypatch):
    # What stands in the shell of whoever launches from within a job of his own.
    for name, value in {"SBATCH_QOS": "nowhere", "RANK": "3", "LOCAL_RANK": "1", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    specs = summarised([{"n": n, "steps": 3, "step_s": 0.1} for n in range(30)])
    bench = Bench(bounded, root, specs, limits={"max_array_size": 11, "max_concurrent": 4})
    submitted = bench.launch()
    assert [len(submission.tasks) for submission in submitted.submissions] == [8, 7, 7, 8, 1]
    assert [submission.after for submission in submitted.submissions[:4]] == [()] * 4, "none waits for another to end"
    bench.wait_all("done")
    assert bench.most_at_once() <= 4
    assert all(bench.begun(index) == 1 for index in range(31))
    # Launched again, nothing is done again.
    assert bench.launch().submissions == []
    files = [path for path in bench.plan.folder.rglob("*") if path.is_file()]
    assert len(files) / 31 <= 3, "files in the run's folder, per cell"


def test_preempted_cells_go_on_where_they_were(cluster, root):
    bench = Bench(cluster, root, [{"n": n, "steps": 60, "hold_at": 30} for n in range(2)], partition="low")
    bench.launch()
    bench.wait_steps([0, 1], 30)
    states = bench.preempt(cluster, 0, 1)
    assert all("went back into the queue" in cell.cause for cell in states)
    assert [bench.steps(index) for index in (0, 1)] == [30, 30]
    fake.go(root)
    bench.wait_all("done", hurry=True)
    for index in (0, 1):
        assert bench.metrics(index)["loss"] == undisturbed_loss(60)
        assert bench.begun(index) == 2 and bench.steps(index) == 60, "no step was lost or done twice"
    rows = cluster.wait_until(lambda: len(found := operations.efficiency(bench.plan)["cells"]) == 2 and found, "both last words")
    for row in rows:
        record = json.loads(bench.plan.state_path(row["cell"]).read_text())
        assert row["attempts"] == 2 and record["before_s"] > 0, "both attempts count"
        assert row["elapsed_s"] > record["seconds"]


def test_distributed_cell_is_preempted_and_goes_on(cluster, root):
    resources = {"cpus": 1, "mem_gb": 0.2, "time_min": TIME_MIN, "nodes": 2, "tasks_per_node": 2}
    bench = Bench(cluster, root, [{"steps": 40, "hold_at": 20}], partition="low", default=resources)
    bench.launch()
    bench.wait(lambda _: bench.steps(0) == 20 and bench.begun(0) == 4, "work of all four processes")
    bench.preempt(cluster, 0)
    bench.wait(lambda _: bench.begun(0) == 8, "work of all four again", hurry=True)
    fake.go(root)
    bench.wait_all("done")
    assert bench.metrics(0)["loss"] == undisturbed_loss(40) and bench.begun(0) == 8, "two times four processes"


def test_lost_node(cluster, root):
    bench = Bench(cluster, root, summarised([{"n": n, "steps": 40, "hold_at": 20} for n in range(4)]), requeue=False)
    bench.launch()
    bench.wait_steps(range(4), 20)
    node = bench.look().states[0].host
    cluster.kill_node(node[1:], declare=True)
    try:
        fake.go(root)
        states = bench.wait(lambda states: all(cell.state in ("done", "failed", "lost") for cell in states), "ended")
        hit = [cell for cell in states if cell.state != "done" and cell.stage == "train"]
        assert hit and {cell.kind for cell in hit} <= {"node", "lost"}, [(cell.kind, cell.cause) for cell in hit]
        chosen, submitted = operations.retry(bench.executor)
        assert set(chosen.cells) >= {cell.index for cell in hit} and not chosen.not_again
        assert chosen.resources[hit[0].index].mem_gb == 0.1 and submitted.cells == len(hit) + 1
        states = bench.wait_all("done")
        for index in range(4):
            assert bench.metrics(index)["loss"] == undisturbed_loss(40)
            assert bench.steps(index) == 40
    finally:
        cluster.restore_node(node[1:])


def test_a_bad_night_then_retry(cluster, root):
    specs = [
        {"key": "hungry", "do": "hog", "hog_mb": 120, "hold_s": 600},
        {"key": "slow", "do": "deaf", "deaf_s": 600},
        {"key": "wrong", "do": "fail"},
        {"key": "long", "steps": 40, "hold_at": 20},
        {"key": "good", "steps": 2},
        {"key": "depends", "needs": [2], "stage": "evaluate"},
    ]
    bench = Bench(cluster, root, summarised(specs), warn_s=60)
    bench.launch()
    bench.wait(lambda _: bench.steps(3) == 20 and bench.begun(1), "work of those that will be hit")
    slow, long = bench.tasks_of(1, 3)
    cluster.end_soon(slow)
    # Within the warning time, but not over: the cell is asked to save itself.
    cluster.run("scontrol", "update", f"jobid={long}", "EndTime=now+70")
    bench.wait(lambda _: bench.begun(3) == 2, "the second beginning", hurry=True)
    cluster.run("scontrol", "update", f"jobid={long}", "TimeLimit=60")

    def all_hit(states):
        ended = all(states[index].state == outcome for index, outcome in enumerate(("failed", "failed", "failed")))
        return ended and states[4].state == "done"

    states = bench.wait(all_hit, "ends")
    causes = {cell.key: (cell.state, cell.kind) for cell in states}
    assert causes["hungry"] == ("failed", "oom") and causes["slow"] == ("failed", "timeout")
    assert causes["wrong"] == ("failed", "error")
    chosen, submitted = operations.retry(bench.executor)
    assert chosen.resources[0].mem_gb == 0.2 and chosen.resources[1].time_min == 2 * TIME_MIN
    assert "mend it" in chosen.not_again[2] and 3 not in chosen.resources
    fake.go(root)
    # The summary that waited in the queue was replaced by one that waits for the new jobs too.
    summaries = [submission for submission in submissions.read(bench.plan) if submission.stage == "summarise"]
    assert len(summaries) == 2 and set(summaries[1].after) >= {submission.job_id for submission in submitted.submissions[:2]}
    states = bench.wait(lambda states: all(cell.state in ("done", "failed", "blocked") for cell in states), "the end")
    assert [cell.state for cell in states] == ["done", "done", "failed", "done", "done", "blocked", "done"]
    assert states[5].cause == "needs wrong" and status.counts(states) == {"failed": 1, "blocked": 1, "done": 5}
    assert bench.metrics(3)["loss"] == undisturbed_loss(40) and bench.steps(3) == 40 and bench.begun(3) == 2
    # Mended and asked for, it goes again, and so does what waited for it.
    (root / "mended").touch()
    chosen, submitted = operations.retry(bench.executor, errors=True)
    assert chosen.cells == [2, 5]
    bench.wait_all("done")


SUBMITTER = """
import os, sys
sys.path.insert(0, sys.argv[1])
from cratermill.batch import scheduler, slurm, submissions
from cratermill.batch.plan import freeze, load
from cratermill.batch.profile import Profile
moment, profile, work = sys.argv[3], Profile.model_validate_json(sys.argv[4]), sys.argv[5]
count = [0]
def dying(function, before):
    def wrapped(*arguments, **options):
        count[0] += 1
        if before and count[0] == 2: os.kill(os.getpid(), 9)
        answer = function(*arguments, **options)
        if not before and count[0] == 2: os.kill(os.getpid(), 9)
        return answer
    return wrapped
scheduler.submit = dying(scheduler.submit, moment == "before sbatch")
slurm.SlurmExecutor(load(sys.argv[2]), profile, work=work).submit()
"""


@pytest.mark.parametrize("moment", ["before sbatch", "after sbatch"])
def test_submitter_killed_while_submitting(cluster, root, moment):
    specs = summarised([{"n": n, "steps": 2} for n in range(6)])
    bench = Bench(cluster, root, specs, limits={"max_array_size": 2})
    words = [str(fake.HERE.parents[2]), str(bench.plan.path), moment, bench.profile.model_dump_json(), fake.WORK]
    ended = subprocess.run([sys.executable, "-c", SUBMITTER, *words], check=False, stdout=subprocess.DEVNULL)
    assert ended.returncode == -signal.SIGKILL
    bench.launch()
    bench.wait_all("done")
    assert all(bench.begun(index) == 1 for index in range(7))
    jobs, given = {}, {submission.name: submission for submission in submissions.read(bench.plan)}
    for job in scheduler.queue():
        if job.name in given:
            for index in given[job.name].tasks[job.task]:
                jobs.setdefault(index, set()).add((job.job_id, job.task))
    assert all(len(found) == 1 for found in jobs.values()) and set(jobs) == set(range(7)), jobs


def test_without_accounting_states_are_right_even_when_the_queue_has_forgotten(make_slurm_cluster, on, root):
    cluster = on(make_slurm_cluster(nodes=2, accounting=False, set={"MinJobAge": 2}))
    assert not scheduler.has_accounting()
    specs = [
        {"do": "hog", "hog_mb": 120, "hold_s": 600},
        {"do": "kill"},
        {"do": "fail"},
        {"steps": 2},
        {"needs": [3], "steps": 40, "hold_at": 20},
    ]
    bench = Bench(cluster, root, specs)
    bench.launch()
    # Nobody looks at the killed one until Slurm has forgotten it.
    cluster.wait_until(lambda: bench.steps(4) == 20, "steps of the last cell")
    bench.executor.cancel({4})
    ids = {submission.job_id for submission in submissions.read(bench.plan)}
    cluster.wait_until(lambda: not any(job.job_id in ids for job in scheduler.queue()), "jobs forgotten")
    states = bench.look().states
    found = [(cell.state, cell.kind) for cell in states]
    assert found[1] in (("lost", "lost"), ("failed", "killed")), "whether cancel looked in time"
    assert found[:1] + found[2:] == [("failed", "oom"), ("failed", "error"), ("done", None), ("failed", "cancelled")]
    assert "goes on from its checkpoint" in states[4].cause
    fake.go(root)
    chosen, _ = operations.retry(bench.executor)
    assert chosen.cells == [0, 1, 4] and chosen.resources[0].mem_gb == 0.2
    states = bench.wait(lambda states: states[4].state == "done" and states[0].state == "done", "mended by retry")
    assert bench.metrics(4)["loss"] == undisturbed_loss(40) and bench.steps(4) == 40


def test_two_launches_at_once(cluster, root):
    one = Bench(cluster, root, summarised([{"n": n, "product": f"log/products/one-{n}"} for n in range(4)]), name="one")
    two = Bench(cluster, root, summarised([{"n": n, "product": f"log/products/two-{n}"} for n in range(4)]), name="two")
    # They share their folders and the name of the summary's product differs, as results of different configs do.
    threads = [threading.Thread(target=bench.launch) for bench in (one, two)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for bench in (one, two):
        bench.wait(lambda states: all(cell.state == "done" for cell in states[:4]), "done")
    assert len({job.name for job in scheduler.queue() if job.name.split(".")[0] in (one.plan.run, two.plan.run)}) == 4


def test_thousand_cells(cluster, root, monkeypatch):
    bench = Bench(cluster, root, [{"n": n} for n in range(1000)], flags=["--hold"])
    began = time.process_time()
    submitted = bench.launch()
    seconds = time.process_time() - began
    assert submitted.cells == 1000 and seconds < 5
    asked = []
    ask = scheduler.ask
    monkeypatch.setattr(scheduler, "ask", lambda *words, **options: asked.append(words[0]) or ask(*words, **options))
    began = time.process_time()
    assert bench.counts() == {"queued": 1000}
    looked = time.process_time() - began
    assert looked < 1 and len(asked) <= 2
    print(f"1000 cells: submitted in {seconds:.2f} s of CPU, status in {looked:.2f} s with {len(asked)} queries")
    assert bench.executor.cancel() == list(range(1000))
    assert bench.counts() == {"failed": 1000}


def test_quota_is_kept_and_the_rest_fed_as_room_appears(cluster, root):
    bench = Bench(cluster, root, summarised([{"n": n, "steps": 3, "step_s": 0.1} for n in range(8)]), limits={"max_submitted": 3})
    submitted = bench.launch()
    assert submitted.cells == 3 and len(submitted.left) == 6
    bench.executor.feed(submitted)
    bench.wait_all("done")
    assert all(bench.begun(index) == 1 for index in range(9))


def test_an_array_larger_than_the_quota_of_a_qos_is_cut(bounded, root):
    quota = ["sacctmgr", "-i", "modify", "qos", "normal", "set"]
    bounded.run(*quota, "MaxSubmitJobsPerUser=5")
    try:
        bench = Bench(bounded, root, summarised([{"n": n} for n in range(9)]))
        assert preflight.with_site_limits(bench.profile).limits.max_submitted == 5
        # A launch that wasn't told of it learns it from the refusal.
        submitted = bench.launch()
        assert [one.size for one in submitted.submissions] == [4] and len(submitted.left) == 6
        bench.executor.feed(submitted)
        bench.wait_all("done")
        assert all(bench.begun(index) == 1 for index in range(10))
    finally:
        bounded.run(*quota, "MaxSubmitJobsPerUser=-1")


def test_several_cells_per_job_side_by_side(cluster, root):
    resources = {"cpus": 2, "mem_gb": 0.3, "time_min": TIME_MIN, "gpus": 1, "pack": 3, "side_by_side": 2}
    bench = Bench(cluster, root, [{"n": n, "steps": 5, "step_s": 0.1} for n in range(5)], default=resources)
    submitted = bench.launch()
    assert [len(task) for task in submitted.submissions[0].tasks] == [3, 2]
    bench.wait_all("done")
    assert {bench.metrics(index)["gpu"] for index in range(5)} <= {"0", "1"}
    # A product is there a moment before its cell's last word.
    cluster.wait_until(lambda: len(operations.efficiency(bench.plan)["cells"]) == 5, "all last words")
    report = operations.efficiency(bench.plan)["groups"][0]
    assert report["cells"] == 5 and report["gpu_hours"] > 0 and report["wait_s"] is not None


def test_jobs_that_pull_have_several_cells_at_work(cluster, root):
    resources = {"cpus": 2, "mem_gb": 0.3, "time_min": TIME_MIN, "gpus": 1, "pull": 2, "side_by_side": 2}
    held = [{"n": n, "steps": 2, "hold_at": 1} for n in range(4)]
    bench = Bench(cluster, root, [*held, *({"n": n} for n in range(4, 9))], default=resources)
    assert [one.size for one in bench.launch().submissions] == [2]
    bench.wait(lambda states: all(bench.steps(index) == 1 and states[index].state == "running" for index in range(4)), "two in both jobs")
    fake.go(root)
    bench.wait_all("done")
    assert [bench.begun(index) for index in range(9)] == [1] * 9


def test_two_logs_and_the_order_of_words(cluster, root):
    bench = Bench(cluster, root, [{"do": "fail"}])
    bench.launch()
    bench.wait_all("failed")
    # The job speaks after its cell.
    (output,) = slurm_state.output_paths(bench.plan, submissions.read(bench.plan)[0], 0)
    cluster.wait_until(lambda: output.exists() and "cell 0: failed" in output.read_text(), "both logs")
    said = []
    operations.follow_log(bench.plan, 0, said.append)
    assert "the loss is NaN" in said[0] and "cell 0: failed" in said[1]


def test_template_by_hand(cluster, root, project_folder):
    """`sbatch --array=… slurm/train.slurm PLAN` runs the same line as the launcher."""
    bench = Bench(cluster, root, [{"n": n} for n in range(2)])
    # A project folder as install.sh leaves it, but for the program.
    (root / ".venv/bin").mkdir(parents=True)
    (root / "slurm").symlink_to(project_folder / "slurm")
    program = root / ".venv/bin/cratermill"
    program.write_text(f'#!/bin/sh\nshift\nexec {shlex.join((sys.executable, str(fake.HERE), "--cell"))} "$@"\n')
    program.chmod(0o755)
    options = ["--parsable", "--array=0-1", "--mem=100M", "--cpus-per-task=1", "--output=/dev/null"]
    for template in ("train.slurm", "map.slurm"):
        words = ["sbatch", *options, str(project_folder / "slurm" / template), str(bench.plan.path)]
        job = subprocess.run(words, check=True, env={**cluster.env, **ENVIRONMENT}, capture_output=True, text=True).stdout.strip()
        cluster.wait_for_state(job, "COMPLETED")
        bench.wait_all("done")
        shutil.rmtree(root / "log/products")


def test_jobs_run_the_code_they_were_sent_with(cluster, root, monkeypatch):
    monkeypatch.delenv("CRATERMILL_OTHER_CODE")
    bench = Bench(cluster, root, [{}])
    frozen = json.loads(bench.plan.path.read_text())
    # As if the sources had been edited, and the same plan launched again with them, while the job waited.
    frozen["provenance"]["code_sha256"] = "0" * 64
    bench.plan.path.write_text(json.dumps(frozen))
    bench.launch()
    bench.wait_all("done")
    (copy,) = (root / "log/code").iterdir()
    assert bench.metrics(0)["package"] == str(copy / "cratermill")


def test_a_changed_copy_of_the_code_is_refused_on_the_node(cluster, root, monkeypatch):
    monkeypatch.delenv("CRATERMILL_OTHER_CODE")
    bench = Bench(cluster, root, [{}])
    with zipfile.ZipFile(provenance.keep_code(root), "a") as archive:
        archive.writestr("cratermill/more.py", "")
    bench.launch()
    states = bench.wait_all("failed", "lost")
    assert "code has changed" in slurm_state.output_paths(bench.plan, submissions.read(bench.plan)[0], 0)[0].read_text()
    assert states[0].cause


def test_scheduler_that_does_not_answer(root, monkeypatch, tmp_path):
    conf = tmp_path / "slurm.conf"
    conf.write_text("ClusterName=none\nSlurmctldHost=localhost\nSlurmctldPort=1\nNodeName=localhost\nPartitionName=x Nodes=ALL\n")
    monkeypatch.setenv("SLURM_CONF", str(conf))
    bench = Bench(None, root, [{}])
    with pytest.raises(WorkError):
        bench.launch()
    assert load(bench.plan.path).cells


def test_what_a_site_s_wrapper_says_who_looks_meanwhile_and_what_others_run_changes_nothing(cluster, root, monkeypatch):
    # A wrapper that prints more than the id, and fails after Slurm has taken the job.
    wrapper = root / "bin/sbatch"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\n{shlex.quote(shutil.which("sbatch"))} "$@"\necho your project has 12 hours left\nexit 1\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{wrapper.parent}:{os.environ['PATH']}")
    bench = Bench(cluster, root, [{"n": n} for n in range(4)], flags=["--hold"], limits={"max_array_size": 2})
    submit = scheduler.submit
    monkeypatch.setattr(scheduler, "submit", lambda *words: bench.counts() and submit(*words))  # somebody looks between intent and answer
    assert bench.launch().cells == 4 and bench.launch().submissions == []
    mine = {job.job_id: job.name for job in scheduler.queue() if job.name.startswith(bench.plan.run)}
    assert {one.job_id: one.name for one in submissions.read(bench.plan)} == mine and len(mine) == 2
    # An id that another job has by now, as after a new start of the cluster's database.
    other = cluster.sbatch("--hold", "--mem=100M", wrap="true")
    first = submissions.read(bench.plan)[0]
    submissions.write(bench.plan, replace(first, job_id=int(other)))
    bench.executor.cancel()
    assert cluster.states(other) == {other: "PENDING"} and cluster.states(str(first.job_id)).popitem()[1] == "PENDING"
    # Seen from the login node of another cluster than the one that it was submitted to.
    for one in submissions.read(bench.plan):
        submissions.write(bench.plan, replace(one, cluster="another"))
    with pytest.raises(WorkError, match="was submitted to cluster another, this is devcluster"):
        bench.launch()
    # A run's folder that was removed while its jobs wait.
    shutil.rmtree(bench.plan.folder)
    freeze(bench.plan)
    with pytest.raises(WorkError, match="its folder knows nothing of"):
        bench.launch()


@pytest.mark.parametrize("stages", [{}, {"evaluate": {"cpus": 2, "mem_gb": 0.1, "time_min": TIME_MIN}}], ids=["same job", "a job each"])
def test_evaluations_begin_when_their_own_training_ends(cluster, root, stages):
    trainings = [{"n": n, "steps": 2, "hold_at": 1 if n == 0 else None} for n in range(4)]
    evaluations = [{"n": n, "needs": [n], "stage": "evaluate"} for n in range(4)]
    bench = Bench(cluster, root, summarised([*trainings, *evaluations]), stages=stages)
    bench.launch()

    def nobody_is_held_up(states):
        assert states[4].state in ("queued", "waiting") and states[8].state != "done", "what needs the straggler"
        others = all(states[index].state == "done" for index in (5, 6, 7))
        return others and states[0].state == "running" and bench.steps(0) == 1

    bench.wait(nobody_is_held_up, "three evaluations while the straggler is at work")
    fake.go(root)
    bench.wait_all("done")
    assert all(bench.begun(index) == 1 for index in range(9))


def test_a_retry_under_a_bound_waits_for_one_job_and_what_waits_for_room_for_it(cluster, root):
    held = [{"n": n, "steps": 4, "hold_at": 2} for n in range(1, 4)]
    specs = [{"do": "fail"}, *held, {"needs": [2, 3], "stage": "map"}]
    bench = Bench(cluster, root, specs, limits={"max_concurrent": 2})
    bench.launch()
    bench.wait(lambda states: states[0].state == "failed" and bench.steps(1) == bench.steps(2) == 2, "two at work, one ended")
    (root / "mended").touch()
    operations.retry(bench.executor, errors=True)
    first, mapping, again = submissions.read(bench.plan)
    assert (again.how, mapping.after) == ("any", (first.job_id, again.job_id))
    cluster.run("scancel", f"{first.job_id}_1")

    def retried(states):
        assert states[2].state not in ("done", "failed") and states[4].state not in ("running", "done", "failed"), "held"
        return (states[0].state, states[2].state, states[4].state) == ("done", "running", "waiting")

    bench.wait(retried, "the retry, while others are at work and wait")
    fake.go(root)
    bench.wait(lambda states: [cell.state for cell in states[2:]] == ["done"] * 3, "the others and the map")
    assert bench.most_at_once() <= 2


@pytest.mark.parametrize("work", [fake.WORK, no_locks.WORK], ids=["locks", "no locks"])
def test_jobs_that_pull_lose_nothing_when_some_are_cancelled(cluster, root, work):
    cells = [{"n": n, "steps": 40, "hold_at": 20 if n < 2 else None} for n in range(40)]
    bench = Bench(cluster, root, summarised(cells), default={"cpus": 1, "mem_gb": 0.1, "time_min": TIME_MIN, "pull": 4}, work=work)
    bench.launch()
    bench.wait_steps([0, 1], 20)
    (submission,) = [one for one in submissions.read(bench.plan) if one.stage == "train"]
    task = json.loads(bench.plan.state_path(0).read_text())["slurm"]["task"]
    scheduler.cancel([f"{submission.job_id}_{task}"])
    cluster.wait_for_state(f"{submission.job_id}_{task}", "CANCELLED")  # the worker that is left must find the cell free
    fake.go(root)
    bench.wait_all("done")
    assert bench.begun(0) == 2 and bench.steps(0) == 40 and bench.metrics(0)["loss"] == undisturbed_loss(40), "taken over, no step lost"
    assert sum(bench.begun(index) for index in range(1, 40)) == 39


def test_a_job_cancelled_while_pending_is_cancelled(cluster, root):
    bench = Bench(cluster, root, [{"n": n} for n in range(3)], flags=["--hold"])
    submitted = bench.launch()
    cluster.run("scancel", str(submitted.submissions[0].job_id))  # by hand: nothing of ours knows
    states = bench.wait_all("failed")
    assert {cell.kind for cell in states} == {"cancelled"}


def test_each_process_has_the_cores_it_asked_for(bounded, root):
    resources = {"cpus": 2, "mem_gb": 0.2, "time_min": TIME_MIN, "nodes": 2, "tasks_per_node": 1}
    bench = Bench(bounded, root, [{"do": "cores"}], default=resources)
    bench.launch()
    bench.wait_all("done")
    bounded.wait_until(lambda: fake.lines(root / "trace/0.cores") == ["2", "2"], "both processes' word")
