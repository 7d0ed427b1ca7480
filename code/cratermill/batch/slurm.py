"""Run a plan on a Slurm cluster: one array per stage and chunk, submitted at once, each intent written down first.

sbatch is called directly: submitit keeps four files per array task, has no chunks, takes cells' states from sacct alone and
records a job only after sbatch answered; it does what it is good at in `probe.py`.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from ..core.errors import CratermillError, WorkError
from ..core.files import write_text
from . import disk, ledger, scheduler, slurm_state, state
from .by_hand import levels_of
from .estimate import number_of
from .jobscript import Job, job_script
from .ledger import Submission
from .local import run_lock
from .plan import Cell, Plan
from .profile import Profile, Resources
from .slurm_state import Run

FIRST_PAUSE_S, LONGEST_PAUSE_S = 2.0, 60.0
DEFAULT_ARRAY_SIZE = 1001
CELL_COMMAND = (sys.executable, "-m", "cratermill", "cell")


@dataclass(frozen=True)
class Chunk:
    """Cells that go into one array: of one level and stage, with equal resources."""

    level: int
    stage: str
    tasks: tuple[tuple[int, ...], ...]
    resources: Resources


@dataclass(frozen=True)
class Submitted:
    """What one launch gave to the scheduler; `left` are cells for which the user's quota had no room yet."""

    submissions: list[Submission]
    left: list[int]

    @property
    def cells(self) -> int:
        return sum(len(submission.cells) for submission in self.submissions)


class SlurmExecutor:
    """Submits what a frozen plan still lacks; may die at any moment and be run again.

    `say` shows a line to the user. `command` gets the plan's path and cell indices as its last arguments.
    """

    def __init__(self, plan: Plan, profile: Profile, say: Callable[[str], None] = print, command=CELL_COMMAND):
        self.plan, self.profile, self.say, self.command = plan, profile, say, tuple(command)

    # ------------------------------------------------------------------ what to submit

    def wanted(self, run: Run, only=None) -> list[int]:
        """Cells to submit: not done, not in the queue; with `only`, those and what can run once they are done.

        Cells that run always (summaries) are wanted whenever something they need is, or has changed since.
        """
        chosen: set[int] = set()
        for cell, current in zip(self.plan.cells, run.states, strict=True):
            if run.active(cell.index):
                continue
            again = any(need in chosen or run.active(need) for need in cell.needs)
            if current.state == state.DONE:
                again = cell.always and (again or self._is_older_than_needs(cell))
            elif only is not None:
                able = cell.soft_needs or all(need in chosen or run.active(need) or self._done(run, need) for need in cell.needs)
                follows = again and able and (cell.always or current.state in (state.BLOCKED, state.WAITING))
                again = cell.index in only or follows
            else:
                again = True
            if again:
                chosen.add(cell.index)
        return sorted(chosen)

    def _done(self, run: Run, index: int) -> bool:
        return run.states[index].state == state.DONE

    def _is_older_than_needs(self, cell: Cell) -> bool:
        def made(other: Cell) -> float:
            with contextlib.suppress(OSError):
                return (self.plan.product(other) / state.CELL_FILE).stat().st_mtime
            return 0.0

        return any(made(self.plan.cells[need]) > made(cell) for need in cell.needs)

    def chunks(self, indices, resources: dict[int, Resources] | None = None) -> list[Chunk]:
        """Cells by level of the graph, stage and resources, packed into tasks, cut by the site's array size."""
        groups: dict[tuple, list[int]] = {}
        levels = levels_of(self.plan)
        for index in indices:
            cell = self.plan.cells[index]
            asked = (resources or {}).get(index) or self.profile.resources(cell.stage)
            groups.setdefault((levels[index], cell.stage, asked.model_dump_json()), []).append(index)
        size = self.profile.limits.max_array_size or DEFAULT_ARRAY_SIZE
        found = []
        for (level, stage, asked), members in sorted(groups.items()):
            request = Resources.model_validate_json(asked)
            tasks = [tuple(members[start : start + request.pack]) for start in range(0, len(members), request.pack)]
            # The highest index is one less than MaxArraySize, and ours begin at 0.
            found += [Chunk(level, stage, tuple(tasks[start : start + size]), request) for start in range(0, len(tasks), size)]
        return found

    # ------------------------------------------------------------------ submitting

    def launch(self, only=None, resources: dict[int, Resources] | None = None) -> Submitted:
        """Submit once, as far as the quota goes; WorkError when the scheduler refuses or doesn't answer."""
        disk.make_folder(ledger.folder(self.plan), "the run's submissions")
        with run_lock(self.plan):
            number = ledger.next_number(self.plan)
            run = slurm_state.look(self.plan, ask=True)
            if run.silent:
                raise WorkError(run.silent, next_step="try again later; nothing was submitted twice, nothing is lost")
            wanted = self.wanted(run, only)
            run, stale = self._replace_waiting(run, wanted)
            return self._submit(run, sorted({*wanted, *stale}), resources, number)

    def feed(self, submitted: Submitted, resources: dict[int, Resources] | None = None) -> Submitted:
        """Submit what is left as the queue gets room; stays until all is submitted, and may be killed and launched again."""
        pause, left, all_submitted = FIRST_PAUSE_S, submitted.left, list(submitted.submissions)
        while left:
            time.sleep(pause)
            with run_lock(self.plan):
                number = ledger.next_number(self.plan)
                more = self._submit(slurm_state.look(self.plan), left, resources, number)
            pause = FIRST_PAUSE_S if more.submissions else min(LONGEST_PAUSE_S, pause * 1.5)
            left = more.left
            all_submitted += more.submissions
        return Submitted(all_submitted, [])

    def _replace_waiting(self, run: Run, wanted: list[int]) -> tuple[Run, set[int]]:
        """Jobs that wait for older attempts of cells now submitted again must wait for the new ones: cancel, submit anew."""
        chosen, stale = set(wanted), set()
        for cell in self.plan.cells:
            job = run.job(cell.index)
            if cell.index not in chosen and job is not None and job.state in scheduler.WAITING and chosen.intersection(cell.needs):
                submission = run.latest[cell.index]
                together = set(submission.tasks[submission.task_of(cell.index)])
                stale |= together
                chosen |= together
        if not stale:
            return run, stale
        scheduler.cancel(sorted({target_of(run.latest[index], index) for index in stale}))
        gone = {(run.latest[index].job_id, run.latest[index].task_of(index)) for index in stale}
        return replace(run, jobs={key: job for key, job in run.jobs.items() if key not in gone}), stale

    def _submit(self, run: Run, wanted: list[int], resources, number: int) -> Submitted:
        """`number`: the first that was free before `run` was looked at; whoever took it since was faster."""
        room = self._room(run)
        submissions: list[Submission] = []
        left: list[int] = []
        jobs_of = {index: submission.job_id for index, submission in run.latest.items() if submission.job_id in run.active_ids}
        for chunk in self.chunks(wanted, resources):
            members = [index for task in chunk.tasks for index in task]
            if left or room <= 0:
                left += members
                continue
            now, later = chunk.tasks[:room], chunk.tasks[room:]
            left += [index for task in later for index in task]
            room -= len(now)
            submission = self._submit_chunk(number + len(submissions), replace(chunk, tasks=now), jobs_of, submissions, run)
            submissions.append(submission)
            jobs_of.update(dict.fromkeys(submission.cells, submission.job_id))
        return Submitted(submissions, left)

    def _room(self, run: Run) -> int:
        limit = self.profile.limits.max_submitted
        return sys.maxsize if limit is None else limit - run.total_active

    def _submit_chunk(self, number: int, chunk: Chunk, jobs_of: dict, before: list[Submission], run: Run) -> Submission:
        after = self.waits_for(chunk, jobs_of, {before[-1].job_id} if before else at_work(run))
        submission = ledger.new(self.plan, number, chunk.stage, chunk.tasks, chunk.resources.model_dump(), sorted(after), self.profile.name)
        script = self.write_script(submission, chunk)
        try:
            job_id = self._sbatch(script, submission)
        except scheduler.Silent:
            raise  # perhaps it was accepted: the next launch looks for its name
        except CratermillError:
            ledger.write(self.plan, replace(submission, abandoned=True))
            raise
        after = f", after {', '.join(map(str, submission.after))}" if submission.after else ""
        what = f"{number_of(len(submission.cells), 'cell')} in {number_of(len(submission.tasks), 'task')}"
        self.say(f"{submission.stage}: job {job_id}, {what}{after}")
        return ledger.write(self.plan, replace(submission, job_id=job_id))

    def waits_for(self, chunk: Chunk, jobs_of: dict, before: set) -> set:
        """The arrays after which this one begins: those of cells it needs, and where running jobs are bounded those `before`."""
        needs = {need for task in chunk.tasks for index in task for need in self.plan.cells[index].needs}
        # Only one array of a run is at work at a time, so that its own limit is the run's.
        return {jobs_of[need] for need in needs if need in jobs_of} | (before if self.profile.limits.max_concurrent else set())

    def _sbatch(self, script, submission: Submission) -> int:
        try:
            return scheduler.submit(script, self.plan.folder, submission.after)
        except scheduler.Refused as error:
            if "dependency" not in str(error).lower() or not submission.after:
                raise
        # A job it should wait for has ended and is forgotten already: then there's nothing to wait for.
        known = {job.job_id for job in scheduler.queue() if job.is_active}
        return scheduler.submit(script, self.plan.folder, [job_id for job_id in submission.after if job_id in known])

    def write_script(self, submission: Submission, chunk: Chunk):
        path = ledger.script_path(self.plan, submission.number)
        try:
            write_text(path, self.script(submission.number, submission.name, chunk))
        except OSError as error:
            raise disk.cannot_write(path, "a job script", error) from error
        return path

    def script(self, number: int, name: str, chunk: Chunk) -> str:
        limit = self.profile.limits.max_concurrent
        job = Job(name, chunk.stage, number, str(self.plan.path), self.command, chunk.tasks, chunk.resources, limit)
        return job_script(job, self.profile)


def at_work(run: Run) -> set[int]:
    """Array jobs of a run of which something is in the queue."""
    return {submission.job_id for submission in run.submissions if submission.job_id in run.active_ids}


def target_of(submission: Submission, index: int) -> str:
    """What scancel calls the array task of a cell."""
    return f"{submission.job_id}_{submission.task_of(index)}"
