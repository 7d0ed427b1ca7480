"""Short ways to launch a plan of fake cells on a test cluster and to wait for what becomes of it."""

from __future__ import annotations

import json
import subprocess
import time

from cratermill.batch import slurm_state, status
from cratermill.batch.plan import freeze, load
from cratermill.batch.profile import Profile
from cratermill.batch.slurm import SlurmExecutor, targets_of
from tests.batch import fake

PATIENCE_S = fake.PATIENCE_S
# Of jobs that wait for the test's word meanwhile: longer than the test waits.
TIME_MIN = 2 * PATIENCE_S // 60
# A node refuses a job that comes back within the second in which it was taken away: "already killed, do not launch".
SECONDS_TO_REVOKE = 3
# Others may be editing the sources while these tests run.
ENVIRONMENT = {"CRATERMILL_OTHER_CODE": "1"}


class Follower:
    """Waits for what becomes of a run."""

    def __init__(self, plan):
        self.plan = plan
        self._back_since = {}

    def look(self):
        return slurm_state.look(self.plan)

    def states(self):
        return [cell.state for cell in self.look().states]

    def counts(self):
        return status.counts(self.look().states)

    def wait(self, true, what, timeout=PATIENCE_S, hurry=False):
        """Look every 0.3 s until `true(states)`; returns the states (CellState) of that moment.

        `hurry`: a requeued job waits for a while before it begins again; tests don't.
        """
        until = time.monotonic() + timeout
        while True:
            run = self.look()
            if hurry:
                self._start_now(run)
            if true(run.states):
                return run.states
            if time.monotonic() > until:
                shown = [(cell.key, cell.state, cell.cause) for cell in run.states if cell.state != "done"]
                raise AssertionError(f"{what}: not within {timeout} s: {shown}\n{[job for job in run.jobs.values() if job.is_active]}")
            time.sleep(0.3)

    def wait_all(self, *wanted, timeout=PATIENCE_S, hurry=False):
        return self.wait(lambda states: {cell.state for cell in states} <= set(wanted), f"all {wanted}", timeout, hurry)

    def wait_done(self, index, enough=lambda cell: False, timeout=PATIENCE_S, hurry=False):
        """Until a cell is done, or `enough(cell)`; its failure ends the waiting."""

        def reached(states):
            assert states[index].state not in ("failed", "blocked", "lost"), states[index]
            return states[index].state == "done" or enough(states[index])

        return self.wait(reached, f"cell {index} done", timeout, hurry)

    def preempt(self, cluster, *indices):
        """Let a job of the `high` partition take all nodes until these cells are back in the queue, which so can't be missed."""
        taker = cluster.sbatch("--partition=high", "--nodes=4", "--exclusive", "--mem=0", wrap="exec sleep 900")
        try:
            return self.wait(lambda states: all(states[index].state == "queued" for index in indices), "back in the queue")
        finally:
            cluster.run("scancel", taker)

    def _start_now(self, run):
        waiting = {f"{job.job_id}_{job.task}" for job in run.jobs.values() if job.state == "PENDING" and job.reason != "Dependency"}
        self._back_since = {job: self._back_since.get(job, time.monotonic()) for job in waiting}
        for job, since in self._back_since.items():
            if time.monotonic() - since > SECONDS_TO_REVOKE:
                subprocess.run(["scontrol", "update", f"jobid={job}", "StartTime=now"], check=False, capture_output=True)


class Bench(Follower):
    """One run of fake cells below `root` on a cluster."""

    def __init__(self, cluster, root, specs, name="fake", work=fake.WORK, **profile):
        super().__init__(load(freeze(fake.plan_of(root, specs, name=name))))
        self.cluster, self.root = cluster, root
        options = {
            "name": "test",
            "partition": "main",
            "default": {"cpus": 1, "mem_gb": 0.1, "time_min": TIME_MIN},
            "warn_s": 10,
            **profile,
        }
        self.profile = Profile(**options)
        self.said = []
        self.executor = SlurmExecutor(self.plan, self.profile, say=self.said.append, work=work)

    def launch(self, **options):
        return self.executor.submit(**options)

    def wait_steps(self, indices, least=3):
        """Until these cells run and have made some steps."""
        self.wait(lambda states: all(self.steps(index) >= least for index in indices), f"steps of {indices}")

    def steps(self, index):
        return len(fake.lines(self.root / "trace" / f"{index}.steps"))

    def begun(self, index):
        return len(fake.lines(self.root / "trace" / f"{index}.begun"))

    def metrics(self, index):
        return json.loads((self.plan.product(self.plan.cells[index]) / "cell.json").read_text())["metrics"]

    def tasks_of(self, *indices):
        """Slurm's names of the array tasks of cells."""
        run = self.look()
        return [target for index in indices for target in targets_of(run.latest[index], index)]

    def most_at_once(self):
        """The largest number of cells that were at work at the same time."""
        moments = []
        for path in (self.root / "trace").glob("*.spans"):
            for line in path.read_text().splitlines():
                began, ended = map(float, line.split())
                moments += [(began, 1), (ended, -1)]
        at_once = most = 0
        for _, change in sorted(moments):
            at_once += change
            most = max(most, at_once)
        return most


def undisturbed_loss(steps):
    """The loss that a fake cell comes to after so many steps without any interruption."""
    loss = 1.0
    for step in range(1, steps + 1):
        loss = loss * 0.9 + 0.01 * ((step * 7919) % 13)
    return loss
