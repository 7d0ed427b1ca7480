"""Which jobs an array waits for: those of the cells it needs, and where running jobs are bounded those that leave no room.

Slurm bounds the tasks of one array, not of several: each array of a bounded run has so many places, and those that may be at work
at the same time have no more together than the bound.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from dataclasses import dataclass, replace

from . import scheduler, submissions
from .chunks import Chunk
from .slurm_state import SlurmRun
from .submissions import Submission

ALL, EACH, ANY = "afterany", "aftercorr", "any"


@dataclass(frozen=True)
class After:
    """The jobs (5) or array tasks (5_3) that an array waits for: all of them ended, each task of the one array well, or any ended.

    `at_once`: the new array's places; `throttle`: an array that gives up places for it, and what it keeps; `holds`: arrays that wait
    for room, and so for the new one, too.
    """

    jobs: tuple[int | str, ...] = ()
    how: str = ALL
    at_once: int | None = None
    throttle: tuple[Submission, int] | None = None
    holds: tuple[Submission, ...] = ()

    def words(self) -> list[str]:
        """As sbatch's --dependency takes it."""
        if not self.jobs:
            return []
        if self.how == ANY:
            return ["?".join(f"{ALL}:{job}" for job in self.jobs)]
        return [f"{self.how}:" + ":".join(map(str, self.jobs))]

    def among(self, active: Collection[int]) -> After:
        """Without the jobs that have ended."""
        kept = tuple(job for job in self.jobs if array_of(job) in active)
        return replace(self, jobs=kept, how=self.how if self.how == ANY else ALL)


class Known:
    """What is in the queue of a run, as it grows while arrays are submitted."""

    def __init__(self, run: SlurmRun, bound: int | None):
        self.run, self.bound = run, bound
        self.plan = run.plan
        self._by_cell = {index: one for index, one in run.latest.items() if one.job_id in run.active_ids}
        self._before = {one.job_id for one in at_work(run) if one.job_id is not None}
        self._new: list[Submission] = []
        # Of a launch beside others at work: the places that its arrays hand on to each other, and those others.
        self._places, self._others = bound, set[int]()

    def add(self, submission: Submission) -> None:
        self._by_cell.update(dict.fromkeys(submission.cells, submission))
        assert submission.job_id is not None, submission
        self._before = {submission.job_id}
        self._new.append(submission)

    def after(self, chunk: Chunk) -> After:
        """What a chunk waits for, and how many of its tasks may run at a time."""
        own = set(chunk.cells)
        needs = {need for index in chunk.cells for need in self.plan.cells[index].needs if need in self._by_cell and need not in own}
        jobs = {job for need in needs if (job := self._by_cell[need].job_id) is not None}
        if len(jobs) == 1 and (self.bound is None or jobs >= self._before) and self._follows_task_by_task(chunk):
            if self.bound is None:
                return After(tuple(jobs), EACH)
            followed = self._new[-1]
            if (places := followed.places or self.bound) > 1:
                # Evaluations are short: a quarter of the places keeps up with the trainings that they follow.
                mine = max(1, places // 4)
                return After(tuple(jobs), EACH, mine, (followed, places - mine))
        if self.bound is not None:
            if not jobs and not self._new and self._before and (shared := beside(self.run, self.bound, chunk)) is not None:
                self._places, self._others = shared.at_once, self._before
                return shared
            jobs |= self._before
            if jobs >= self._others:
                self._places, self._others = self.bound, set()
        return After(tuple(sorted(jobs)), ALL, self._places)

    def _follows_task_by_task(self, chunk: Chunk) -> bool:
        """Whether task i of the chunk needs just what task i of one array submitted now makes, and nothing else of it."""
        if chunk.pull:
            return False
        for number, task in enumerate(chunk.tasks):
            for index in task:
                cell = self.plan.cells[index]
                for need in cell.needs:
                    one = self._by_cell.get(need)
                    if need in task or one is None:
                        continue
                    if cell.soft_needs or one not in self._new or one.pull or list(one.tasks_of(need)) != [number]:
                        return False
        return True


def beside(run: SlurmRun, bound: int, chunk: Chunk) -> After | None:
    """A place for a retry beside what is at work: a free one now, or one that the largest array gives up when any of its jobs ends.

    None when there are no places but those of single jobs. Arrays that wait for others wait for the newcomer, too, so that the places
    of those at work are theirs afterwards.
    """
    now, later = in_turn(run)
    holds = tuple(one for one in later if one.how == ALL)
    free = bound - sum(min(one.places or bound, len(_tasks(run, one, scheduler.ACTIVE))) for one in now)
    if free > 0:
        return After((), ALL, min(free, chunk.size), holds=holds)
    giver = max(now, key=lambda one: one.places or bound)
    places, running = giver.places or bound, _tasks(run, giver, scheduler.AT_WORK)
    if places < 2 or not running:
        return None
    return After(tuple(f"{giver.job_id}_{task}" for task in running), ANY, 1, (giver, places - 1), holds)


def make_room(run: SlurmRun, after: After) -> None:
    """Bound the array at work; without that, one job too many would run beside it."""
    if after.throttle is not None:
        one, places = after.throttle
        assert one.job_id is not None, one
        with contextlib.suppress(scheduler.Refused):  # it has ended meanwhile
            scheduler.throttle(one.job_id, places)
        submissions.write(run.plan, replace(one, places=places))


def hold(run: SlurmRun, after: After, job_id: int) -> None:
    """Let arrays that wait for room wait for a new job as well."""
    for one in after.holds:
        jobs = [job for job in one.after if array_of(job) in run.active_ids]
        assert one.job_id is not None, one
        with contextlib.suppress(scheduler.Refused):  # it has begun or ended meanwhile
            scheduler.wait_for(one.job_id, After((*jobs, job_id)).words())
            submissions.write(run.plan, replace(one, after=(*one.after, job_id)))


def give_back(run: SlurmRun, bound: int | None) -> SlurmRun:
    """The run once the array with most tasks waiting has the places that ended ones have left."""
    now, _ = in_turn(run)
    if bound is None or not now:
        return run
    active = {one.number: len(_tasks(run, one, scheduler.ACTIVE)) for one in now}
    spare = bound - sum(min(one.places or bound, active[one.number]) for one in now)
    taker = max(now, key=lambda one: active[one.number] - (one.places or bound))
    if spare <= 0 or active[taker.number] <= (taker.places or bound):
        return run
    grown = replace(taker, places=(taker.places or bound) + spare)
    make_room(run, After(throttle=(taker, grown.places or bound)))
    return replace(run, submissions=[grown if one is taker else one for one in run.submissions])


def at_work(run: SlurmRun) -> list[Submission]:
    """Arrays of a run of which something is in the queue."""
    return [one for one in run.submissions if one.job_id in run.active_ids]


def in_turn(run: SlurmRun) -> tuple[list[Submission], list[Submission]]:
    """The arrays in the queue that may be at work now, and those that wait for others to end."""
    now, later = list[Submission](), list[Submission]()
    for one in at_work(run):
        waits = {array_of(job) for job in one.after} & (run.active_ids if one.how == ALL else {other.job_id for other in later})
        (later if waits else now).append(one)
    return now, later


def array_of(job: int | str) -> int:
    """5 of an array task 5_3."""
    return int(str(job).partition("_")[0])


def _tasks(run: SlurmRun, one: Submission, states: Collection[str]) -> list[int]:
    return sorted(job.task for job in run.jobs.values() if job.job_id == one.job_id and job.state in states)
