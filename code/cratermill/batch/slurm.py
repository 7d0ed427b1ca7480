"""Run a plan on a Slurm cluster: arrays of tasks, submitted at once through submitit, each intent written down first."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..core.errors import CratermillError
from . import chunks, dependencies, disk, dry_run, executor, preflight, provenance, scheduler, slurm_state, status, submissions, works
from .chunks import Chunk
from .dependencies import After
from .estimate import number_of
from .job import Cells
from .jobscript import Job
from .locks import run_lock
from .plan import Plan
from .profile import Profile, Resources
from .slurm_state import SlurmRun
from .submissions import Submission

# A launch that submits is done within this time, one that feeds sleeps in between.
LOCK_WAIT_S = 30.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 2.0, 60.0
# A look that writes down what it learnt holds the run for a moment.
WAIT_FOR_LOOK_S = 5.0
# How long a job may take to show itself in the queue, where sbatch's answer wasn't clear.
SHOWS_ITSELF_S = (0.0, 0.5, 1.5)


@dataclass(frozen=True)
class Submitted:
    """What one launch gave to the scheduler; `left` are cells for which the user's quota had no room yet."""

    submissions: list[Submission]
    left: list[int]

    @property
    def cells(self) -> int:
        return sum(len(submission.cells) for submission in self.submissions)

    @property
    def exit_code(self) -> int:
        """Whatever becomes of the jobs."""
        return 0


class SlurmExecutor:
    """Submits what a frozen plan still lacks; may die at any moment and be run again.

    `say` shows a line to the user. `work` names the function that does a cell's work (`works.py`).
    """

    def __init__(self, plan: Plan, profile: Profile, say: Callable[[str], None] = print, work: str = works.STAGES):
        self.plan, self.profile, self.say, self.work = plan, profile, say, work
        self._configs = provenance.configs_folder()

    @classmethod
    def by_profile(cls, plan: Plan, profile: Profile, say: Callable[[str], None]) -> SlurmExecutor:
        return cls(plan, profile, say)

    def check(self, more: Callable[[], list[preflight.Check]] | None = None) -> None:
        """All that can be known before anything is queued; also asks for the site's limits."""
        self.profile = preflight.with_site_limits(self.profile)
        preflight.require(preflight.run_checks(self.plan, self.profile, more))

    # ------------------------------------------------------------------ looking

    def observe(self) -> SlurmRun:
        """The run by the queue, by what cells wrote, and by the accounting where there is one."""
        return slurm_state.look(self.plan)

    def wanted(self, run: executor.Run, only: Collection[int] | None = None) -> list[int]:
        """Cells to submit: not done, not in the queue; with `only`, those and what can run once they are done."""
        return executor.wanted(run, only)

    def describe(self, run: executor.Run) -> dict[str, Any]:
        """What a launch would submit now: scripts, jobs, and bounds by the time limits on GPU-hours and on the longest chain."""
        assert isinstance(run, SlurmRun), run
        return dry_run.describe(self, run)

    def chunks(self, indices: Collection[int], asked: Mapping[int, Resources] | None = None, run: SlurmRun | None = None) -> list[Chunk]:
        """The arrays that cells go into."""
        active = {cell.index for cell in self.plan.cells if run is not None and run.active(cell.index)}
        return chunks.chunks_of(self.plan, self.profile, indices, asked, active)

    # ------------------------------------------------------------------ submitting

    def submit(self, only: Collection[int] | None = None, resources: Mapping[int, Resources] | None = None) -> Submitted:
        """Submit once, as far as the quota goes; WorkError when the scheduler refuses or doesn't answer."""
        disk.make_folder(submissions.folder(self.plan), "the run's submissions")
        provenance.keep_code(self.plan.root)
        with run_lock(self.plan, WAIT_FOR_LOOK_S):
            number = submissions.next_number(self.plan)
            run = self._settled()
            wanted = self.wanted(run, only)
            run, stale = self._replace_waiting(run, wanted)
            return self._submit(run, sorted({*wanted, *stale}), resources, number)

    def cancel(self, only: Collection[int] | None = None) -> list[int]:
        return cancel(self.plan, only)

    def see_through(self, outcome: Submitted) -> None:
        """Say what was submitted, and feed what the user's quota has left."""
        made, left = outcome.cells, len(outcome.left)
        if made or left:
            self.say(f"{self.plan.run}: {number_of(made, 'cell')} submitted")
        else:
            found = status.counts(slurm_state.look(self.plan).states)
            self.say(f"{self.plan.run}: nothing to submit ({status.counts_text(found)})")
        if left:
            self.say(f"{number_of(left, 'cell')} left for when there is room in your quota; Ctrl-C is harmless, launch again to go on")
            self.feed(outcome)
            self.say("all submitted")

    def feed(self, submitted: Submitted, resources: Mapping[int, Resources] | None = None) -> Submitted:
        """Submit what is left as the queue gets room; stays until all is submitted, and may be killed and launched again."""
        pause, left, all_submitted = FIRST_PAUSE_S, submitted.left, list(submitted.submissions)
        while left:
            time.sleep(pause)
            with run_lock(self.plan, WAIT_FOR_LOOK_S):
                number = submissions.next_number(self.plan)
                more = self._submit(self._settled(), left, resources, number)
            pause = FIRST_PAUSE_S if more.submissions else min(LONGEST_PAUSE_S, pause * 1.5)
            left = more.left
            all_submitted += more.submissions
        return Submitted(all_submitted, [])

    def _settled(self) -> SlurmRun:
        return dependencies.give_back(slurm_state.settled(self.plan), self.profile.limits.max_concurrent)

    def _replace_waiting(self, run: SlurmRun, wanted: list[int]) -> tuple[SlurmRun, set[int]]:
        """Jobs that wait for older attempts of cells now submitted again must wait for the new ones: cancel, submit anew."""
        chosen, stale = set(wanted), set[int]()
        for cell in self.plan.cells:
            job = run.job(cell.index)
            if cell.index not in chosen and job is not None and job.state in scheduler.WAITING and chosen.intersection(cell.needs):
                together = set(run.latest[cell.index].together(cell.index))
                stale |= together
                chosen |= together
        if not stale:
            return run, stale
        scheduler.cancel(sorted({target for index in stale for target in targets_of(run.latest[index], index)}))
        gone = {(run.latest[index].job_id, task) for index in stale for task in run.latest[index].tasks_of(index)}
        return run.without(gone), stale

    def _submit(self, run: SlurmRun, wanted: list[int], resources: Mapping[int, Resources] | None, number: int) -> Submitted:
        """`number`: the first that was free before `run` was looked at; whoever took it since was faster."""
        room = self._room(run)
        given: list[Submission] = []
        left: list[int] = []
        chunked = self.chunks(wanted, resources, run)
        known = dependencies.Known(run, self.profile.limits.max_concurrent, chunked)
        for chunk in chunked:
            if left or room <= 0:
                left += chunk.cells
                continue
            now, later = cut(chunk, room)
            made, refused = self._submit_within_quota(number + len(given), now, known)
            left += [*refused, *(index for task in later for index in task)]
            if made is not None:
                room -= made.size
                given.append(made)
                known.add(made)
        return Submitted(given, left)

    def _room(self, run: SlurmRun) -> int:
        limit = self.profile.limits.max_submitted
        return sys.maxsize if limit is None else limit - run.total_active

    def _submit_within_quota(self, number: int, chunk: Chunk, known: dependencies.Known) -> tuple[Submission | None, list[int]]:
        """An array, or as much of it as a quota allows that nobody told us of; and the cells that found no room."""
        size = chunk.size
        while size:
            now, later = cut(chunk, size)
            try:
                return self._submit_chunk(number, now, known), [index for task in later for index in task]
            except scheduler.NoRoom:
                number, size = number + 1, size // 2
        return None, chunk.cells

    def _submit_chunk(self, number: int, chunk: Chunk, known: dependencies.Known) -> Submission:
        after = known.after(chunk)
        name = submissions.name_of(self.plan, chunk.stage, number)
        asked = chunk.resources.model_dump()
        intent = Submission(number, name, chunk.stage, chunk.tasks, asked, after.jobs, after.how, pull=chunk.pull, places=after.at_once)
        submission = submissions.new(self.plan, replace(intent, profile=self.profile.name, cluster=scheduler.cluster_name()))
        try:
            dependencies.make_room(known.run, after)
            job_id = self._hand_over(submission, chunk, after)
        except scheduler.Silent:
            raise  # perhaps it was accepted: the next launch looks for its name
        except CratermillError:
            submissions.write(self.plan, replace(submission, abandoned=True))
            raise
        waits = f", after {', '.join(map(str, submission.after))}" if submission.after else ""
        what = f"{number_of(len(submission.cells), 'cell')} in {number_of(submission.size, 'task')}"
        self.say(f"{submission.stage}: job {job_id}, {what}{waits}")
        made = submissions.write(self.plan, replace(submission, job_id=job_id))
        dependencies.hold(known.run, after, job_id)
        return made

    def _hand_over(self, submission: Submission, chunk: Chunk, after: After) -> int:
        """Give an array to the scheduler through submitit; whatever it answers, the queue knows whether it has it."""
        from .by_submitit import CellExecutor

        job = self.job(submission.number, submission.name, chunk, after.at_once)
        runner = CellExecutor(job, self.profile)
        cells = self.cells(submission.number, chunk)
        try:
            return runner.submit_array(cells, after.words())
        except (scheduler.Refused, scheduler.Unclear) as error:
            if (found := self._in_queue(submission.name, isinstance(error, scheduler.Unclear))) is not None:
                return found
            if "dependency" not in str(error).lower() or not after.jobs:
                raise
        # A job it should wait for has ended and is forgotten already: then there's nothing to wait for.
        active = {job.job_id for job in scheduler.queue() if job.is_active}
        return runner.submit_array(cells, after.among(active).words())

    def _in_queue(self, name: str, patiently: bool) -> int | None:
        """The job of that name, whatever sbatch said of it."""
        for pause in SHOWS_ITSELF_S if patiently else SHOWS_ITSELF_S[:1]:
            time.sleep(pause)
            with contextlib.suppress(scheduler.Silent, scheduler.Refused):
                found = next((job.job_id for job in scheduler.queue() if job.name == name), None)
                if found is not None:
                    return found
        return None

    def cells(self, number: int, chunk: Chunk) -> Cells:
        """The work of an array, as it travels to the nodes."""
        code = provenance.code_hash() if self._code() else None
        return Cells(str(self.plan.path), chunk.tasks, number, self.work, chunk.resources.side_by_side, code, chunk.pull > 0)

    def job(self, number: int, name: str, chunk: Chunk, at_once: int | None) -> Job:
        """What the scheduler is asked for an array."""
        configs = None if self._configs is None else str(self._configs)
        folder, code = str(submissions.folder(self.plan)), self._code()
        return Job(name, number, folder, chunk.size, chunk.resources, sys.executable, code, configs, at_once, str(self.plan.root))

    def script(self, number: int, name: str, chunk: Chunk, at_once: int | None = None) -> str:
        from .by_submitit import script_of

        return script_of(self.job(number, name, chunk, at_once), self.profile)

    def _code(self) -> str | None:
        """The copy of the code that jobs run; PYTHONPATH can't name a path with a colon, there they run what is installed."""
        path = str(provenance.code_path(self.plan.root))
        return None if ":" in path else path


def cancel(plan: Plan, only: Collection[int] | None = None) -> list[int]:
    """Cancel the queued and running jobs of a run, or those of some cells; returns the cells concerned.

    A job of several cells is cancelled as a whole. Running cells save themselves first.
    """
    with run_lock(plan, LOCK_WAIT_S):
        run = slurm_state.look(plan)
        if run.silent:
            raise scheduler.Silent(run.silent)
        targets, concerned = set[str](), set[int]()
        for cell in plan.cells:
            if (only is None or cell.index in only) and run.active(cell.index):
                submission = run.latest[cell.index]
                targets.update(targets_of(submission, cell.index))
                concerned.update(index for index in submission.together(cell.index) if run.active(index))
        for submission in run.submissions:
            if mine := submission.cells & concerned:
                submissions.mark_cancelled(plan, submission, mine)
        scheduler.cancel(sorted(targets))
    return sorted(concerned)


def cut(chunk: Chunk, size: int) -> tuple[Chunk, Sequence[tuple[int, ...]]]:
    """The first `size` tasks of a chunk, and the others' cells; those that pull need no more tasks than there is room for."""
    if chunk.pull:
        return replace(chunk, pull=min(chunk.pull, size)), ()
    return replace(chunk, tasks=chunk.tasks[:size]), chunk.tasks[size:]


def targets_of(submission: Submission, index: int) -> list[str]:
    """What scancel calls the array tasks of a cell."""
    return [f"{submission.job_id}_{task}" for task in submission.tasks_of(index)]
