"""Which jobs an array waits for: those of the cells it needs, and where running jobs are bounded those that leave no room."""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from dataclasses import dataclass, replace

from . import scheduler
from .chunks import Chunk
from .ledger import Submission
from .slurm_state import SlurmRun

ALL, EACH, ANY = "afterany", "aftercorr", "any"


@dataclass(frozen=True)
class After:
    """The jobs (5) or array tasks (5_3) that an array waits for: all of them ended, each task of the one array well, or any ended.

    `at_once`: how many of the new array's tasks may run; `throttle`: to how many an array at work is bounded for that.
    """

    jobs: tuple[int | str, ...] = ()
    how: str = ALL
    at_once: int | None = None
    throttle: tuple[int, int] | None = None

    def words(self) -> list[str]:
        """As sbatch's --dependency takes it."""
        if not self.jobs:
            return []
        if self.how == ANY:
            return ["?".join(f"{ALL}:{job}" for job in self.jobs)]
        return [f"{self.how}:" + ":".join(map(str, self.jobs))]

    def among(self, active: Collection[int]) -> After:
        """Without the jobs that have ended."""
        kept = tuple(job for job in self.jobs if int(str(job).partition("_")[0]) in active)
        return replace(self, jobs=kept, how=self.how if self.how == ANY else ALL)


class Known:
    """What is in the queue of a run, as it grows while arrays are submitted."""

    def __init__(self, run: SlurmRun, bound: int | None):
        self.run, self.bound = run, bound
        self.plan = run.plan
        self._by_cell = {index: one for index, one in run.latest.items() if one.job_id in run.active_ids}
        self._before = at_work(run)
        self._new: list[Submission] = []

    def add(self, submission: Submission) -> None:
        self._by_cell.update(dict.fromkeys(submission.cells, submission))
        assert submission.job_id is not None, submission
        self._before = {submission.job_id}
        self._new.append(submission)

    def after(self, chunk: Chunk) -> After:
        """What a chunk waits for, and how many of its tasks may run at a time."""
        own = set(chunk.cells)
        needs = {need for index in chunk.cells for need in self.plan.cells[index].needs if need in self._by_cell and need not in own}
        jobs = {self._by_cell[need].job_id for need in needs}
        if self.bound is not None and not jobs >= self._before:
            if not jobs and not self._new and (shared := self._beside(chunk)) is not None:
                return shared
            # Only one array of a run is at work at a time, so that its own limit is the run's.
            jobs |= self._before
        elif len(jobs) == 1 and self._follows_task_by_task(chunk):
            return After(tuple(job for job in jobs if job is not None), EACH, self.bound)
        return After(tuple(sorted(job for job in jobs if job is not None)), ALL, self.bound)

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

    def _beside(self, chunk: Chunk) -> After | None:
        """Begin as soon as any job of the one array at work ends, which from then on has one place less: retries don't wait for its end."""
        if len(self._before) != 1 or self.bound is None or self.bound < 2:
            return None
        (job_id,) = self._before
        tasks = [job.task for job in self.run.jobs.values() if job.job_id == job_id and job.is_active]
        running = [job.task for job in self.run.jobs.values() if job.job_id == job_id and job.state in scheduler.AT_WORK]
        free = self.bound - len(tasks)
        if free > 0:
            return After((), ALL, min(free, chunk.size))
        return After(tuple(f"{job_id}_{task}" for task in sorted(running)), ANY, 1, (job_id, self.bound - 1)) if running else None


def make_room(after: After) -> None:
    """Bound the array at work; without that, one job too many would run beside it."""
    if after.throttle is not None:
        job_id, places = after.throttle
        with contextlib.suppress(scheduler.Refused):  # it has ended meanwhile
            scheduler.throttle(job_id, places)


def give_back(run: SlurmRun, bound: int | None) -> None:
    """All places again for an array that gave one up for a retry, once that has ended and it is alone."""
    alone = at_work(run)
    if bound is not None and len(alone) == 1 and any(one.how == ANY for one in run.submissions):
        make_room(After(throttle=(alone.pop(), bound)))


def at_work(run: SlurmRun) -> set[int]:
    """Array jobs of a run of which something is in the queue."""
    return {one.job_id for one in run.submissions if one.job_id is not None and one.job_id in run.active_ids}
