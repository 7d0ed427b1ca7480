"""The state of every cell of a run on Slurm: queue, records, products, and accounting where there is one."""

from __future__ import annotations

import contextlib
import functools
import re
from dataclasses import dataclass, replace
from pathlib import Path

from ..core.errors import InputError
from ..core.files import read_json
from . import ledger, scheduler, state
from .ledger import Submission
from .plan import Cell, Plan
from .scheduler import JobTask
from .state import CellState

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
NEVER = "DependencyNeverSatisfied"


@dataclass(frozen=True)
class Run:
    """All that is known of a run at one moment; `jobs` by (job id, task). `silent`: the scheduler didn't answer."""

    plan: Plan
    submissions: list[Submission]
    jobs: dict[tuple[int, int], JobTask]
    states: list[CellState]
    silent: str | None = None
    total_active: int = 0

    @functools.cached_property
    def latest(self) -> dict[int, Submission]:
        """The newest submission of each cell."""
        return ledger.latest_by_cell(self.submissions)

    @functools.cached_property
    def active_ids(self) -> set[int]:
        """Array jobs of which something is in the queue."""
        return {job.job_id for job in self.jobs.values() if job.is_active}

    def job(self, index: int) -> JobTask | None:
        """The newest job of a cell, if the scheduler still knows it."""
        submission = self.latest.get(index)
        return self.jobs.get((submission.job_id, submission.task_of(index))) if submission else None

    def active(self, index: int) -> bool:
        """Whether a job of this cell is in the queue (waiting or running)."""
        job = self.job(index)
        return bool(job and job.is_active)


def look(plan: Plan, *, ask: bool = False) -> Run:
    """Ask once (the queue) or twice (also the accounting, for jobs that ended without a word and aren't remembered).

    A run that never submitted anything has nothing to ask for, unless told to `ask` how full the queue is.
    """
    submissions = ledger.read(plan)
    try:
        queue = scheduler.queue() if submissions or ask else []
    except scheduler.Silent as error:
        return Run(plan, submissions, {}, state.read_states(plan), silent=str(error).splitlines()[0])
    submissions = settle(plan, submissions, queue)
    jobs = {(job.job_id, job.task): job for job in queue}
    latest = ledger.latest_by_cell(submissions)
    jobs.update(_forgotten(plan, latest, jobs))
    packed = _at_work(plan, submissions, jobs)
    states = [_judge(plan, cell, latest.get(cell.index), jobs, packed) for cell in plan.cells]
    return Run(plan, submissions, jobs, states, total_active=sum(job.is_active for job in queue))


def states(plan: Plan) -> list[CellState]:
    """For `status.show(read=...)`."""
    return look(plan).states


def settle(plan: Plan, submissions: list[Submission], queue: list[JobTask]) -> list[Submission]:
    """Find out what became of submissions whose submitter died before it wrote down the job id."""
    settled = []
    for submission in submissions:
        if submission.job_id is None:
            job_id = next((job.job_id for job in queue if job.name == submission.name), None) or _traced(plan, submission)
            submission = ledger.write(plan, replace(submission, job_id=job_id, abandoned=job_id is None))
        if not submission.abandoned:
            settled.append(submission)
    return settled


def _traced(plan: Plan, submission: Submission) -> int | None:
    """The job id that a cell of this submission wrote into its record, or the accounting knows."""
    for index in submission.cells:
        facts = (read_json(plan.state_path(index)) or {}).get("slurm", {})
        if facts.get("submission") == str(submission.number):
            return int(facts.get("array_job", facts["job"]))
    try:
        return scheduler.named(submission.name, submission.created)
    except (scheduler.Refused, InputError):
        return None


def _forgotten(plan: Plan, latest: dict[int, Submission], jobs: dict) -> dict[tuple[int, int], JobTask]:
    """Jobs whose cells have no last word and which the queue no longer knows, from the accounting if there is one."""
    missing: dict[int, float] = {}
    for index, submission in latest.items():
        if (submission.job_id, submission.task_of(index)) in jobs or _has_last_word(plan, index, submission):
            continue
        missing[submission.job_id] = submission.created
    if not missing:
        return {}
    try:
        found = scheduler.accounts_for(missing, min(missing.values()))
    except (scheduler.Refused, scheduler.Silent, InputError):
        return {}
    return {(job.job_id, job.task): job for job in found}


def _has_last_word(plan: Plan, index: int, submission: Submission) -> bool:
    record = read_json(plan.state_path(index)) or {}
    mine = record.get("slurm", {}).get("submission") == str(submission.number)
    return state.is_done(plan, plan.cells[index]) or (mine and record.get("state") in (state.FAILED, state.BLOCKED, state.DONE))


def _at_work(plan: Plan, submissions: list[Submission], jobs: dict) -> dict[int, int]:
    """In jobs that run several cells: which cell of the running ones has begun, by job and task (several side by side: any)."""
    found = {}
    for submission in submissions:
        for number, task in enumerate(submission.tasks):
            if len(task) > 1 and (submission.job_id, number) in jobs:
                for index in task:
                    record = read_json(plan.state_path(index)) or {}
                    if record.get("slurm", {}).get("submission") == str(submission.number):
                        found[index] = submission.number
    return found


def _judge(plan: Plan, cell: Cell, submission: Submission | None, jobs: dict, begun: dict[int, int]) -> CellState:
    """The state of one cell; what a scheduler said of its end is written down, for it soon forgets."""
    base = state.read_state(plan, cell)
    if submission is None or (base.state == state.DONE and not cell.always):
        return base
    task = submission.task_of(cell.index)
    job = jobs.get((submission.job_id, task))
    record = read_json(plan.state_path(cell.index)) or {}
    mine = record.get("slurm", {}).get("submission") == str(submission.number)
    if job is not None and job.is_active:
        base = replace(base, job=f"{job.job_id}_{task}")
        return _in_queue(base, job, mine, len(submission.tasks[task]) > 1, begun)
    if base.state == state.DONE and mine:
        return base
    if mine and base.state in (state.FAILED, state.BLOCKED):
        return base
    return _ended(plan, cell, base, submission, job, mine)


def _in_queue(base: CellState, job: JobTask, mine: bool, packed: bool, begun: dict[int, int]) -> CellState:
    if job.reason == NEVER:
        return replace(base, state=state.FAILED, kind="dependency", cause="its job waits for one that can never end well")
    if job.state in scheduler.WAITING:
        if mine:
            how = "went back into the queue" + (f" ({base.cause})" if base.state == state.STOPPED and base.cause else "")
            return replace(base, state=state.QUEUED, kind=None, cause=how)
        waits = state.WAITING if job.reason == "Dependency" else state.QUEUED
        return replace(base, state=waits, kind=None, cause=None if waits == state.WAITING else _reason(job))
    if mine and base.state in (state.FAILED, state.BLOCKED):
        return base
    if packed and base.index not in begun:
        return replace(base, state=state.QUEUED, kind=None, cause="its job runs other cells first")
    return replace(base, state=state.RUNNING, kind=None, cause=None, host=job.node or base.host)


def _reason(job: JobTask) -> str | None:
    return None if job.reason in ("None", "") else f"waits: {job.reason}"


def _ended(plan: Plan, cell: Cell, base: CellState, submission: Submission, job: JobTask | None, mine: bool) -> CellState:
    """The job is over and the cell has no product: why?"""
    word = job.state if job is not None else None
    if word not in ENDS or (word == "CANCELLED" and cell.index not in submission.cancelled):
        # Sites without memory cgroups call a job FAILED or CANCELLED that was killed for its memory.
        word = evidence(output_path(plan, submission, cell.index)) or word
    kind, cause = ENDS.get(word, (None, None))
    if kind is None and mine and base.state == state.STOPPED:
        # It saved itself at the warning before the time limit, and the job wasn't requeued.
        kind, cause = "timeout", "its time limit was near"
    if kind is None and cell.index in submission.cancelled:
        kind, cause = ENDS["CANCELLED"]
    if kind is None and word in (None, "COMPLETED"):
        kind, cause = ("lost", "its job is gone without a word") if mine or word is None else ("lost", "its job ended before it began")
    if kind is None:
        kind, cause = "killed", f"its process ended without a word (its job as {word})"
    if base.state == state.STOPPED:
        cause += "; saved, goes on from its checkpoint"
    outcome = state.LOST if kind == "lost" else state.FAILED
    found = replace(base, state=outcome, kind=kind, cause=cause)
    _remember(plan, cell, found, submission)
    return found


def _remember(plan: Plan, cell: Cell, found: CellState, submission: Submission) -> None:
    if found.state != state.FAILED:
        return
    with contextlib.suppress(OSError):  # only looking must be possible in a folder of somebody else
        facts = {"submission": str(submission.number), "array_job": str(submission.job_id), "job": str(submission.job_id)}
        last_seen = (read_json(plan.state_path(cell.index)) or {}).get("heartbeat")
        state.note(plan, cell, found.state, found.cause, found.kind, slurm=facts, ended=last_seen)


def output_path(plan: Plan, submission: Submission, index: int) -> Path:
    """Where the scheduler puts what a job says outside of its cells' logs."""
    return ledger.folder(plan) / f"{submission.job_id}_{submission.task_of(index)}.out"


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
