"""The state of every cell of a run on Slurm: queue, records, products, and accounting where there is one."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import time
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..core.errors import CratermillError, InputError, WorkError
from . import locks, scheduler, snapshot, state, submissions
from .executor import Run
from .plan import Cell, Plan
from .scheduler import JobTask
from .snapshot import Snapshot
from .state import CellState
from .submissions import Submission

# Slurm's words for an end, as kind and cause; anything else is judged by what the cell itself wrote.
ENDS = {
    "TIMEOUT": ("timeout", "hit its time limit"),
    "DEADLINE": ("timeout", "hit its deadline"),
    "OUT_OF_MEMORY": ("oom", "used more memory than it asked for"),
    "NODE_FAIL": ("node", "its node failed"),
    "BOOT_FAIL": ("node", "its node didn't boot"),
    "PREEMPTED": ("preempted", "preempted by another job"),
    "CANCELLED": ("cancelled", "cancelled"),
    "REVOKED": ("cancelled", "revoked"),
}
# What slurmstepd writes into a job's output; all there is without accounting once the queue has forgotten the job.
EVIDENCE = (
    (re.compile(r"DUE TO TIME LIMIT"), "TIMEOUT"),
    (re.compile(r"oom.kill|Out Of Memory|[Ee]xceeded (job|step) memory limit|memory limit.*being killed"), "OUT_OF_MEMORY"),
    (re.compile(r"DUE TO NODE FAILURE"), "NODE_FAIL"),
    (re.compile(r"DUE TO PREEMPTION"), "PREEMPTED"),
    (re.compile(r"\*\*\* (JOB|STEP) .*CANCELLED AT \S+ \*\*\*"), "CANCELLED"),
)
TAIL_BYTES = 8192
Jobs = dict[tuple[int, int], JobTask]
NEVER, LAUNCH = "DependencyNeverSatisfied", "JobLaunchFailure"


@dataclass(frozen=True)
class SlurmRun(Run):
    """A run on Slurm; `jobs` by (job id, task), those of the run's own submissions. `foreign`: jobs of this run that its folder lacks."""

    submissions: list[Submission] = field(default_factory=list)
    jobs: dict[tuple[int, int], JobTask] = field(default_factory=dict)
    total_active: int = 0
    foreign: tuple[str, ...] = ()

    @functools.cached_property
    def latest(self) -> dict[int, Submission]:
        """The newest submission of each cell."""
        return submissions.latest_by_cell(self.submissions)

    @functools.cached_property
    def active_ids(self) -> set[int]:
        """Array jobs of which something is in the queue."""
        return {job.job_id for job in self.jobs.values() if job.is_active}

    def job(self, index: int) -> JobTask | None:
        """The newest job of a cell, if the scheduler still knows it; of several that pull, one that is in the queue."""
        return job_of(self.latest.get(index), index, self.jobs)

    def active(self, index: int) -> bool:
        """Whether a job of this cell is in the queue (waiting or running) and will come to it."""
        submission, current = self.latest.get(index), self.states[index]
        if current.state == state.DONE:
            return False  # its job is only being cleared away
        if submission is not None and submission.pull and current.state in (state.FAILED, state.BLOCKED):
            return False  # its workers go on with other cells
        job = self.job(index)
        return bool(job and job.is_active)

    def without(self, gone: Collection[tuple[int | None, int]]) -> SlurmRun:
        """The run once these jobs are cancelled."""
        return replace(self, jobs={key: job for key, job in self.jobs.items() if key not in gone})


def job_of(submission: Submission | None, index: int, jobs: Jobs) -> JobTask | None:
    """The job of a cell; of several that pull one that is in the queue."""
    if submission is None or submission.job_id is None:
        return None
    found = [job for task in submission.tasks_of(index) if (job := jobs.get((submission.job_id, task))) is not None]
    return next((job for job in found if job.is_active), found[0] if found else None)


def look(plan: Plan, *, ask: bool = False, queue: list[JobTask] | None = None) -> SlurmRun:
    """Ask once (the queue) or twice (also the accounting, for jobs that ended without a word and aren't remembered). Writes nothing.

    A run that never submitted anything has nothing to ask for, unless told to `ask` how full the queue is. `queue`: asked before.
    """
    given, asked = submissions.read(plan), float("inf")
    try:
        if queue is None:
            asked, queue = time.time(), scheduler.queue() if given or ask else []
    except scheduler.Silent as error:
        return SlurmRun(plan, snapshot.read_states(plan), str(error).splitlines()[0], given)
    return _judged(plan, [found(plan, submission, queue) for submission in given], queue, asked)


def settled(plan: Plan) -> SlurmRun:
    """The same for who holds the run's lock: intents without a job are given up, and what was learnt of ends is written down.

    WorkError when the scheduler is silent, and when jobs may be at work that this run's folder can't tell of.
    """
    run = look(plan, ask=True)
    if run.silent:
        raise scheduler.Silent(run.silent, next_step="try again later; nothing was submitted twice, nothing is lost")
    _require_own_jobs(run)
    _require_same_cluster(run)
    known = {submission.number: submission for submission in submissions.read(plan)}
    for submission in run.submissions:
        if submission != known.get(submission.number) or submission.job_id is None:
            submissions.write(plan, replace(submission, abandoned=submission.job_id is None))
    kept = [submission for submission in run.submissions if submission.job_id is not None]
    remember(run)
    return replace(run, submissions=kept)


def watch(plan: Plan) -> SlurmRun:
    """A look that also keeps what only the scheduler knew, if the run's lock is free and its folder may be written to."""
    run = look(plan)
    if _unwritten(run) and not locks.is_executing(plan):
        with contextlib.suppress(CratermillError), locks.run_lock(plan):
            remember(run)
    return run


def remember(run: SlurmRun) -> None:
    """Write down how cells ended of which only the scheduler knows it, for it soon forgets; only who holds the run's lock may."""
    for current, submission, record in _unwritten(run):
        facts = {"submission": str(submission.number), "array_job": str(submission.job_id), "job": str(submission.job_id)}
        cell = run.plan.cells[current.index]
        with contextlib.suppress(OSError):  # the next look finds it out again, as long as the scheduler knows
            state.note(run.plan, cell, current.state, current.cause, current.kind, slurm=facts, ended=record.get("heartbeat"))


def _unwritten(run: SlurmRun) -> list[tuple[CellState, Submission, dict[str, Any]]]:
    found = []
    for current in run.states:
        submission = run.latest.get(current.index)
        if submission is None or current.state != state.FAILED or current.kind == "dependency":
            continue
        record = state.read_record(run.plan, current.index)
        if not is_mine(record, submission) or record.get("state") != state.FAILED:
            found.append((current, submission, record))
    return found


def _require_own_jobs(run: SlurmRun) -> None:
    if run.foreign:
        raise WorkError(
            f"Jobs of {run.plan.run} are in the queue that its folder knows nothing of: {', '.join(run.foreign[:3])}",
            valid="a run's folder is only removed once its jobs have ended",
            next_step=f"end them, then launch again: scancel --name={','.join(run.foreign[:3])}",
        )


def _require_same_cluster(run: SlurmRun) -> None:
    """Ids of another cluster's jobs mean other jobs here, or none."""
    here = scheduler.cluster_name()
    others = {one.cluster for one in run.latest.values() if one.cluster} - {here}
    open_cells = [index for index, one in run.latest.items() if one.cluster and one.cluster != here and not run.done(index)]
    if here and others and open_cells:
        raise WorkError(
            f"{run.plan.run} was submitted to cluster {', '.join(sorted(others))}, this is {here}",
            next_step="launch, retry or cancel it on a login node of that cluster",
        )


def _judged(plan: Plan, given: list[Submission], queue: list[JobTask], asked: float) -> SlurmRun:
    names = {submission.job_id: submission.name for submission in given}
    # Ids are used again, after a year or on another cluster; names aren't.
    jobs = {(job.job_id, job.task): job for job in queue if names.get(job.job_id) == job.name}
    latest = submissions.latest_by_cell(given)
    now = Snapshot(plan)
    jobs.update(_forgotten(now, latest, jobs))
    looked = _Look(plan, jobs, latest, now, asked)
    states = [looked.judge(cell) for cell in plan.cells]
    now.keep()
    known = {submission.name for submission in given}
    foreign = {job.name for job in queue if job.is_active and job.name not in known and _is_of_run(job, plan)}
    return SlurmRun(plan, states, None, given, jobs, sum(job.is_active for job in queue), tuple(sorted(foreign)))


def _is_of_run(job: JobTask, plan: Plan) -> bool:
    """Whether a job is of this run; another project's folder may hold a run of the same name, if its plan is the same."""
    here = {"", str(plan.folder), os.path.realpath(plan.folder)}
    return job.name.startswith(f"{plan.run}.") and job.folder in here


def found(plan: Plan, submission: Submission, queue: list[JobTask]) -> Submission:
    """A submission with its job id, where its submitter died before it wrote that down; without one if there is no trace of a job."""
    if submission.job_id is not None:
        return submission
    job_id = next((job.job_id for job in queue if job.name == submission.name), None) or _traced(plan, submission)
    return replace(submission, job_id=job_id)


def _traced(plan: Plan, submission: Submission) -> int | None:
    """The job id that a cell of this submission wrote into its record, or the accounting knows."""
    for index in submission.cells:
        record = state.read_record(plan, index)
        facts = record.get("slurm", {})
        if is_mine(record, submission) and (known := str(facts.get("array_job", facts.get("job")))).isdecimal():
            return int(known)
    try:
        return scheduler.named(submission.name, submission.created)
    except (scheduler.Refused, scheduler.Silent, InputError):
        return None


def _forgotten(now: Snapshot, latest: dict[int, Submission], jobs: Jobs) -> Jobs:
    """Jobs whose cells have no last word and which the queue no longer knows, from the accounting if there is one."""
    missing: dict[int, Submission] = {}
    for index, submission in latest.items():
        if submission.job_id is None or _has_last_word(now, index, submission):
            continue
        if not all((submission.job_id, task) in jobs for task in submission.tasks_of(index)):
            missing[submission.job_id] = submission
    if not missing:
        return {}
    try:
        known = scheduler.accounts_for(missing, min(one.created for one in missing.values()))
    except (scheduler.Refused, scheduler.Silent, InputError):
        return {}
    mine = [job for job in known if job.job_id in missing and job.name in ("", missing[job.job_id].name)]
    return {(job.job_id, job.task): job for job in mine if (job.job_id, job.task) not in jobs}


def is_mine(record: dict[str, Any], submission: Submission) -> bool:
    """Whether a cell's record was written by a job of this submission."""
    return bool(record.get("slurm", {}).get("submission") == str(submission.number))


def _has_last_word(now: Snapshot, index: int, submission: Submission) -> bool:
    if now.is_done(now.plan.cells[index]):
        return True
    record = now.record(index)
    return is_mine(record, submission) and record.get("state") in (state.FAILED, state.BLOCKED, state.DONE)


@dataclass(frozen=True)
class _Look:
    """What is known at this moment, to judge cells by; `asked`: when the queue was asked (s since the epoch), inf if that isn't known."""

    plan: Plan
    jobs: Jobs
    latest: dict[int, Submission]
    now: Snapshot
    asked: float

    def judge(self, cell: Cell) -> CellState:
        """The state of one cell."""
        base = self.now.state(cell)
        submission = self.latest.get(cell.index)
        if submission is None or (base.state == state.DONE and not cell.always):
            return base
        if submission.job_id is None:
            # Its submitter is at it, or died: who holds the run's lock finds out.
            return replace(base, state=state.WAITING, kind=None, cause="being submitted")
        record = self.now.record(cell.index)
        mine = is_mine(record, submission)
        if mine and base.state in (state.FAILED, state.BLOCKED, state.DONE):
            return base
        job = self._job(cell.index, submission, record, mine)
        if job is not None and job.is_active:
            return self._in_queue(replace(base, job=f"{job.job_id}_{job.task}"), job, mine, submission)
        return self._ended(cell, base, submission, job, mine)

    def _job(self, index: int, submission: Submission, record: dict[str, Any], mine: bool) -> JobTask | None:
        """Of those that pull, the one that has begun the cell; while that waits or is gone, any other that may take it."""
        if mine and submission.pull and (task := str(record["slurm"].get("task", ""))).isdecimal():
            own = self.jobs.get((submission.job_id or 0, int(task)))
            if own is not None and own.state in scheduler.AT_WORK:
                return own
        return job_of(submission, index, self.jobs)

    def _in_queue(self, base: CellState, job: JobTask, mine: bool, submission: Submission) -> CellState:
        if job.reason == NEVER:
            return replace(base, state=state.FAILED, kind="dependency", cause="its job waits for one that can never end well")
        if job.state in scheduler.WAITING:
            if mine and base.state == state.RUNNING and (base.started or 0.0) > self.asked:
                return base  # it began after the queue was read
            if mine:
                how = "went back into the queue" + (f" ({base.cause})" if base.state == state.STOPPED and base.cause else "")
                return replace(base, state=state.QUEUED, kind=None, cause=how)
            waits = state.WAITING if job.reason == "Dependency" else state.QUEUED
            return replace(base, state=waits, kind=None, cause=None if waits == state.WAITING else _reason(job))
        if (mine and base.state == state.RUNNING) or (not submission.pull and self._is_next(base.index, submission)):
            return replace(base, state=state.RUNNING, kind=None, cause=None, host=job.node or base.host)
        return replace(base, state=state.QUEUED, kind=None, cause="its job runs other cells first")

    def _is_next(self, index: int, submission: Submission) -> bool:
        """Whether a job of several cells is on its way to this one: it is at none, and the first that hasn't ended."""
        ahead = None
        for other in submission.together(index):
            record = self.now.record(other)
            if is_mine(record, submission) and record.get("state") == state.RUNNING and not self.now.is_done(self.plan.cells[other]):
                return False
            if ahead is None and not _has_last_word(self.now, other, submission):
                ahead = other
        return ahead == index

    def _ended(self, cell: Cell, base: CellState, submission: Submission, job: JobTask | None, mine: bool) -> CellState:
        """The job is over and the cell has no product: why?"""
        missing = [self.plan.cells[need] for need in cell.needs if not self.now.is_done(self.plan.cells[need])]
        if missing and not mine and not cell.soft_needs and cell.index not in submission.cancelled:
            return replace(base, state=state.BLOCKED, kind=None, cause="needs " + ", ".join(need.key for need in missing[:3]))
        kind, cause = self._why(cell, base, submission, job, mine)
        if base.state == state.STOPPED:
            cause += "; saved, goes on from its checkpoint"
        outcome = state.LOST if kind == "lost" else state.FAILED
        return replace(base, state=outcome, kind=kind, cause=cause)

    def _why(self, cell: Cell, base: CellState, submission: Submission, job: JobTask | None, mine: bool) -> tuple[str, str]:
        word = job.state if job is not None else None
        if word not in ENDS or (word == "CANCELLED" and cell.index not in submission.cancelled):
            # Sites without memory cgroups call a job FAILED or CANCELLED that was killed for its memory; other words in the output
            # of a job that Slurm still knows are of a run before it was requeued.
            said = (evidence(path) for path in output_paths(self.plan, submission, cell.index))
            word = next((one for one in said if one and (word is None or one == "OUT_OF_MEMORY")), word)
        if word in ENDS:
            return ENDS[word]
        if cell.index in submission.cancelled:
            return ENDS["CANCELLED"]
        slurms = f"{word}, {job.reason}" if job is not None and job.reason not in ("None", "") else word
        if mine and base.state == state.STOPPED and job is not None and job.reason == LAUNCH:
            return "node", f"its job could not begin again ({slurms})"
        if mine and base.state == state.STOPPED:
            # It saved itself at the warning before the time limit, and the job wasn't requeued.
            return "timeout", "its time limit was near"
        if word in (None, "COMPLETED"):
            return "lost", "its job is gone without a word" if mine or word is None else "its job ended before it began"
        return "killed", f"its process ended without a word (its job as {slurms})"


def _reason(job: JobTask) -> str | None:
    return None if job.reason in ("None", "") else f"waits: {job.reason}"


def output_paths(plan: Plan, submission: Submission, index: int) -> list[Path]:
    """Where the scheduler puts what the jobs of a cell say outside of its cells' logs."""
    return [submissions.folder(plan) / f"{submission.job_id}_{task}.out" for task in submission.tasks_of(index)]


def evidence(path: Path) -> str | None:
    """The scheduler's last word in a job's output, as one of ENDS; earlier words may be of runs before a requeue."""
    try:
        with path.open("rb") as stream:
            stream.seek(max(0, path.stat().st_size - TAIL_BYTES))
            lines = stream.read().decode(errors="replace").splitlines()
    except OSError:
        return None
    words = [word for line in lines for pattern, word in EVIDENCE if pattern.search(line)]
    # "CANCELLED" alone only repeats what the line before gives the reason of.
    reasons = [word for word in words[-2:] if word == "OUT_OF_MEMORY"]
    return reasons[0] if reasons else words[-1] if words else None
