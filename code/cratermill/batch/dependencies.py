"""Which jobs an array waits for: those of the cells it needs, and where running jobs are bounded those that leave no room.

Slurm bounds the tasks of one array, not of several: each array of a bounded run has so many places, and those that may be at work
at the same time have no more together than the bound. Arrays of one level share them, so that a slow cell holds up its own place only;
what needs an array takes over its places.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from . import scheduler, submissions
from .chunks import Chunk
from .slurm_state import SlurmRun
from .submissions import Submission

ALL, EACH, ANY = "afterany", "aftercorr", "any"
FEW = 50
"""Tasks of an array that a dependency names one by one."""
Share = tuple[frozenset[int], int]
"""So many places, once these arrays have ended."""


@dataclass(frozen=True)
class After:
    """The jobs (5) or array tasks (5_3) that an array waits for: all of them ended, each task of the one array well, or any ended.

    `at_once`: the new array's places; `throttle`: an array that gives up places for it, and what it keeps; `holds`: arrays of earlier
    launches that wait for room, and so for the new one, too.
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
    """What is in the queue of a run, as it grows while arrays are submitted; `chunks`: all that a launch is about to submit.

    Where running jobs are bounded the places are known as shares: so many are free once these arrays have ended.
    """

    def __init__(self, run: SlurmRun, bound: int | None, chunks: Sequence[Chunk] = ()):
        self.run, self.bound = run, bound
        self.plan = run.plan
        self._by_cell = {index: one for index, one in run.latest.items() if one.job_id in run.active_ids}
        self._before = frozenset(one.job_id for one in at_work(run) if one.job_id is not None)
        self._later = [one for one in in_turn(run)[1] if one.how == ALL]
        self._new: list[Submission] = []
        self._to_come = list(chunks)
        self._order = Order(run.submissions)
        self._shares, self._joins = self._first_shares()
        # What is left of the places, and how many are taken, with the array that was asked for last.
        self._next: tuple[list[Share], int] = [], 0

    def _first_shares(self) -> tuple[list[Share], After | None]:
        """The places before anything is submitted; beside others at work those that are free, or one that they give up."""
        if self.bound is None or not self._before:
            return [(frozenset(), self.bound or 0)], None
        if (free := min(free_places(self.run, self.bound), self.bound)) > 0:
            return [(frozenset(), free), (self._before, self.bound - free)], None
        given = given_up(self.run, self.bound)
        return [(self._before, self.bound - (given is not None))], given

    def add(self, submission: Submission) -> None:
        """An array was submitted as `after` said."""
        job_id = submission.job_id
        assert job_id is not None, submission
        self._by_cell.update(dict.fromkeys(submission.cells, submission))
        self._new.append(submission)
        left, taken = self._next
        self._shares = [*left, (frozenset({job_id}), taken)]
        self._order.add(submission)
        held = self._holds(self._order.gone(begun=[job_id]))
        self._later = [replace(one, after=(*one.after, job_id)) if one in held else one for one in self._later]
        for one in held:
            self._order.add(replace(one, after=(*one.after, job_id)))

    def after(self, chunk: Chunk) -> After:
        """What a chunk waits for, and how many of its tasks may run at a time."""
        needs = {need for index in chunk.cells for need in self.plan.cells[index].needs} - set(chunk.cells)
        jobs = {job for need in needs if need in self._by_cell and (job := self._by_cell[need].job_id) is not None}
        each = len(jobs) == 1 and self._follows_task_by_task(chunk)
        if self.bound is None:
            return After(tuple(jobs), EACH) if each else After(self._tasks_with(needs))
        if self._joins is not None and not self._new and not jobs:
            self._next = self._shares, 1
            return replace(self._joins, holds=self._holds(frozenset()))
        return (self._alongside(chunk, *jobs) if each else None) or self._in_turn(chunk, jobs)

    def _alongside(self, chunk: Chunk, job: int) -> After | None:
        """Task by task with the array of `job`: by places that nobody has, or some of its own; None where it has but one."""
        began, alone = self._order.gone(begun=[job]), frozenset({job})
        usable = [share for share in self._shares if share[0] <= began]
        throttle: tuple[Submission, int] | None = None
        if places := sum(places for _, places in usable):
            mine = self._part(places, chunk)
        else:
            places = next((places for who, places in self._shares if who == alone), 0)
            if places < 2:
                return None
            # Evaluations are short: a quarter of the places keeps up with the trainings that they follow.
            mine, usable = min(chunk.size, max(1, places // 4)), [(alone, places)]
            throttle = next(one for one in self._new if one.job_id == job), places - mine
        self._take(mine, usable)
        return After((job,), EACH, mine, throttle, self._holds(began))

    def _in_turn(self, chunk: Chunk, jobs: set[int]) -> After:
        """After what it needs, by the places that those leave; where they leave none, by those of whoever was submitted longest ago."""
        ended = self._order.gone(jobs)
        if not any(who <= ended for who, _ in self._shares):
            jobs = jobs | next(who for who, _ in sorted(self._shares, key=lambda share: share[0] == self._before))
            ended = self._order.gone(jobs)
        usable = [share for share in self._shares if share[0] <= ended]
        mine = self._part(sum(places for _, places in usable), chunk)
        self._take(mine, usable)
        return After(tuple(sorted(jobs)), ALL, mine, holds=self._holds(ended))

    def _part(self, places: int, chunk: Chunk) -> int:
        """A chunk's part of some places, which it shares with those of its level that are still to come: as its size, one at least."""
        others = [one.size for one in self._to_come[len(self._new) + 1 :] if one.level == chunk.level]
        part = round(places * chunk.size / (chunk.size + sum(others)))
        return min(chunk.size, max(1, min(part, places - len(others))))

    def _take(self, number: int, usable: Sequence[Share]) -> None:
        """Note what is left, should an array take so many of these places."""
        left, still = list[Share](), number
        for who, places in self._shares:
            taken = min(still, places) if (who, places) in usable else 0
            still -= taken
            if places > taken:
                left.append((who, places - taken))
        self._next = left, number

    def _holds(self, ended: Collection[int]) -> tuple[Submission, ...]:
        return tuple(one for one in self._later if one.job_id not in ended)

    def _tasks_with(self, cells: Collection[int]) -> tuple[int | str, ...]:
        """The jobs of cells: of arrays only the tasks that have one, where those aren't all, or so many that it would be a long list."""
        found = dict[int, set[int]]()
        for index in cells:
            if (one := self._by_cell.get(index)) is not None and one.job_id is not None:
                found.setdefault(one.job_id, set()).update(one.tasks_of(index))
        sizes = {one.job_id: range(one.size) for one in self._new}
        whole = {job: set(sizes.get(job) or _tasks_of(self.run, job, scheduler.ACTIVE)) for job in found}
        few = {job for job, tasks in found.items() if len(tasks) <= FEW and not tasks >= whole[job]}
        return tuple(one for job in sorted(found) for one in ([f"{job}_{task}" for task in sorted(found[job])] if job in few else [job]))

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
                    unlike = one.pull or one.size < chunk.size
                    if cell.soft_needs or one not in self._new or unlike or list(one.tasks_of(need)) != [number]:
                        return False
        return True


class Order:
    """Which arrays have ended for sure once others have ended, or have begun."""

    def __init__(self, given: Sequence[Submission]):
        self._by_job: dict[int, Submission] = {}
        for one in given:
            self.add(one)

    def add(self, one: Submission) -> None:
        if one.job_id is not None:
            self._by_job[one.job_id] = one

    def gone(self, ended: Collection[int] = (), begun: Collection[int] = ()) -> frozenset[int]:
        """`ended` themselves, and all that had ended before."""
        found, looked = set[int](), set[tuple[int, bool]]()
        todo = [*((job, True) for job in ended), *((job, False) for job in begun)]
        while todo:
            job, whole = look = todo.pop()
            if look in looked:
                continue
            looked.add(look)
            found.update([job] * whole)
            if (one := self._by_job.get(job)) is not None:
                todo += [(before, one.how == ALL or (whole and self._as_long(one, before))) for before in map(array_of, one.after)]
        return frozenset(found)

    def _as_long(self, one: Submission, followed: int) -> bool:
        """Whether an array that follows another task by task ends after all of its tasks."""
        return one.how == EACH and followed in self._by_job and self._by_job[followed].size == one.size


def free_places(run: SlurmRun, bound: int) -> int:
    """How many of a run's places nobody has now. Arrays that wait for others to end have theirs from those."""
    now, _ = in_turn(run)
    return bound - sum(min(one.places or bound, len(_tasks_of(run, one.job_id, scheduler.ACTIVE))) for one in now)


def given_up(run: SlurmRun, bound: int) -> After | None:
    """A place that the largest array gives up when any of its jobs ends; None when all have but one."""
    now, _ = in_turn(run)
    giver = max(now, key=lambda one: one.places or bound)
    places, running = giver.places or bound, _tasks_of(run, giver.job_id, scheduler.AT_WORK)
    if places < 2 or not running:
        return None
    return After(tuple(f"{giver.job_id}_{task}" for task in running), ANY, 1, (giver, places - 1))


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
    """The run once the array with most tasks waiting has the places that ended ones have left.

    Arrays that wait may have been promised those places: then only an array that all of them wait for may have them until it ends.
    """
    now, later = in_turn(run)
    chains = [{array_of(job) for job in one.after} - {other.job_id for other in later} for one in later if one.how == ALL]
    now = [one for one in now if all(not chain or one.job_id in chain for chain in chains)]
    if bound is None or not now:
        return run
    active = {one.number: len(_tasks_of(run, one.job_id, scheduler.ACTIVE)) for one in now}
    spare = free_places(run, bound)
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


def _tasks_of(run: SlurmRun, job_id: int | None, states: Collection[str]) -> list[int]:
    return sorted(job.task for job in run.jobs.values() if job.job_id == job_id and job.state in states)
