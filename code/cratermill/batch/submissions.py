"""What was given to the scheduler for a run: one small file per submission, written before the scheduler is asked.

So whoever launches next knows of every job, even if the submitter died between asking and writing down the answer.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from ..core.errors import WorkError
from ..core.files import read_json, write_json
from . import disk
from .plan import Plan


@dataclass(frozen=True)
class Submission:
    """Tasks of one array; `job_id` is None between intent and answer. `name` is unique among all jobs of this user.

    `after`: jobs, or array tasks as 5_3, that it waits for, `how` in the scheduler's word. `pull`: so many array tasks share the
    cells of the one entry of `tasks`, each taking the next open one. `places`: how many tasks may run at a time, where that is bounded.
    """

    number: int
    name: str
    stage: str
    tasks: tuple[tuple[int, ...], ...]
    resources: dict[str, Any]
    after: tuple[int | str, ...] = ()
    how: str = "afterany"
    job_id: int | None = None
    created: float = field(default_factory=time.time)
    cancelled: tuple[int, ...] = ()
    abandoned: bool = False
    profile: str = ""
    cluster: str = ""
    pull: int = 0
    places: int | None = None

    @functools.cached_property
    def _tasks_by_cell(self) -> dict[int, int]:
        return {index: number for number, task in enumerate(self.tasks) for index in task}

    @property
    def cells(self) -> set[int]:
        return set(self._tasks_by_cell)

    @property
    def size(self) -> int:
        """The number of array tasks."""
        return self.pull or len(self.tasks)

    def tasks_of(self, index: int) -> range:
        """The array tasks that may execute a cell: one, or where they pull all of them."""
        return range(self.pull) if self.pull else range(self._tasks_by_cell[index], self._tasks_by_cell[index] + 1)

    def together(self, index: int) -> tuple[int, ...]:
        """The cells that share a cell's job, in the order in which they run."""
        return self.tasks[self._tasks_by_cell[index]]


def folder(plan: Plan) -> Path:
    return plan.folder / "slurm"


def script_path(plan: Plan, number: int) -> Path:
    return folder(plan) / f"{number}.sh"


def pickle_path(folder: Path, number: int | str) -> Path:
    """The work of a submission, for its tasks."""
    return folder / f"{number}.pkl"


def result_path(folder: Path, number: int | str) -> Path:
    """What a function that returns has returned."""
    return folder / f"{number}.result.pkl"


def read(plan: Plan) -> list[Submission]:
    """All submissions of a run, in order; those known never to have reached the scheduler, and odd files, are left out."""
    paths = sorted(folder(plan).glob("[0-9]*.json"), key=_number)
    found = [_submission(plan, read_json(path)) for path in paths]
    return [submission for submission in found if submission is not None and not submission.abandoned]


def _submission(plan: Plan, value: Any) -> Submission | None:
    """What a file holds, if it is a submission of this plan; whatever else lies there never keeps anybody from looking."""
    try:
        tasks = tuple(tuple(map(int, task)) for task in value["tasks"])
        known = {one.name for one in fields(Submission)}
        lists = {name: tuple(value[name]) for name in ("after", "cancelled")}
        found = Submission(**{**{name: item for name, item in value.items() if name in known}, "tasks": tasks, **lists})
    except (KeyError, TypeError, ValueError):
        return None
    sound = all(0 <= index < len(plan.cells) for index in found.cells) and isinstance(found.resources, dict)
    numbers = isinstance(found.job_id, int | None) and isinstance(found.created, int | float) and isinstance(found.places, int | None)
    return found if sound and numbers else None


def _number(path: Path) -> int:
    return int(path.stem) if path.stem.isdecimal() else 0


def next_number(plan: Plan) -> int:
    return max(map(_number, folder(plan).glob("[0-9]*.json")), default=0) + 1


def write(plan: Plan, submission: Submission) -> Submission:
    """Write a submission down, lasting when this returns."""
    path = folder(plan) / f"{submission.number}.json"
    try:
        disk.make_folder(path.parent, "the run's submissions")
        write_json(path, asdict(submission))
        disk.sync(path)
        disk.sync(path.parent)
    except OSError as error:
        raise disk.cannot_write(path, "a submission", error) from error
    return submission


def new(plan: Plan, intent: Submission) -> Submission:
    """Write an intent down under its number; WorkError when that is taken, for then another launch is at it.

    Where files can't be locked across nodes, only this keeps two launches at the same time from submitting the same cells.
    """
    path = folder(plan) / f"{intent.number}.json"
    try:
        disk.make_folder(path.parent, "the run's submissions")
        path.touch(exist_ok=False)
    except FileExistsError as error:
        next_step = f"see what it does with: cratermill status {plan.run}; launch again once it has ended"
        raise WorkError(f"Another launch submits {plan.run} at this moment", next_step=next_step) from error
    except OSError as error:
        raise disk.cannot_write(path, "a submission", error) from error
    return write(plan, intent)


def name_of(plan: Plan, stage: str, number: int) -> str:
    """A job's name; the time makes it unique even if the run's folder was removed and made again."""
    return f"{plan.run}.{stage}.{number}.{int(time.time()) % 1_000_000:06d}{os.getpid() % 1000:03d}"


def latest_by_cell(submissions: list[Submission]) -> dict[int, Submission]:
    """The newest submission of each cell."""
    return {index: submission for submission in submissions for index in submission.cells}


def attempts_by_cell(submissions: list[Submission]) -> dict[int, int]:
    """How many jobs each cell has had."""
    counted: dict[int, int] = {}
    for submission in submissions:
        for index in submission.cells:
            counted[index] = counted.get(index, 0) + 1
    return counted


def mark_cancelled(plan: Plan, submission: Submission, indices: Iterable[int]) -> Submission:
    return write(plan, replace(submission, cancelled=tuple(sorted({*submission.cancelled, *indices}))))
