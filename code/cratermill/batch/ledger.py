"""What was given to the scheduler for a run: one small file per submission, written before the scheduler is asked.

So whoever launches next knows of every job, even if the submitter died between asking and writing down the answer.
"""

from __future__ import annotations

import functools
import os
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from ..core.errors import WorkError
from ..core.files import read_json, write_json
from . import disk
from .plan import Plan


@dataclass(frozen=True)
class Submission:
    """Tasks of one array; `job_id` is None between intent and answer. `name` is unique among all jobs of this user."""

    number: int
    name: str
    stage: str
    tasks: tuple[tuple[int, ...], ...]
    resources: dict
    after: tuple[int, ...] = ()
    job_id: int | None = None
    created: float = field(default_factory=time.time)
    cancelled: tuple[int, ...] = ()
    abandoned: bool = False
    profile: str = ""

    @functools.cached_property
    def _tasks_by_cell(self) -> dict[int, int]:
        return {index: number for number, task in enumerate(self.tasks) for index in task}

    @property
    def cells(self) -> set[int]:
        return set(self._tasks_by_cell)

    def task_of(self, index: int) -> int:
        """The array task that executes a cell."""
        return self._tasks_by_cell[index]


def folder(plan: Plan) -> Path:
    return plan.folder / "slurm"


def script_path(plan: Plan, number: int) -> Path:
    return folder(plan) / f"{number}.sh"


def read(plan: Plan) -> list[Submission]:
    """All submissions of a run, in order; those known never to have reached the scheduler are left out."""
    found = []
    paths = sorted(folder(plan).glob("[0-9]*.json"), key=lambda path: int(path.stem))
    for path in paths:
        value = read_json(path)
        if value:
            tasks = tuple(tuple(task) for task in value["tasks"])
            lists = {name: tuple(value[name]) for name in ("after", "cancelled")}
            found.append(Submission(**{**value, "tasks": tasks, **lists}))
    return [submission for submission in found if not submission.abandoned]


def next_number(plan: Plan) -> int:
    numbers = [int(path.stem) for path in folder(plan).glob("[0-9]*.json")]
    return max(numbers, default=0) + 1


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


def new(plan: Plan, number: int, stage: str, tasks, resources: dict, after=(), profile: str = "") -> Submission:
    """The intent of a submission, written down; WorkError when that number is taken, for then another launch is at it.

    Where files can't be locked across nodes, only this keeps two launches at the same time from submitting the same cells.
    """
    path = folder(plan) / f"{number}.json"
    try:
        disk.make_folder(path.parent, "the run's submissions")
        path.touch(exist_ok=False)
    except FileExistsError as error:
        next_step = f"see what it does with: cratermill status {plan.run}; launch again once it has ended"
        raise WorkError(f"Another launch submits {plan.run} at this moment", next_step=next_step) from error
    except OSError as error:
        raise disk.cannot_write(path, "a submission", error) from error
    # The time makes the name unique even if the run's folder was removed and made again.
    name = f"{plan.run}.{stage}.{number}.{int(time.time()) % 1_000_000:06d}{os.getpid() % 1000:03d}"
    return write(plan, Submission(number, name, stage, tuple(tuple(task) for task in tasks), resources, tuple(after), profile=profile))


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


def mark_cancelled(plan: Plan, submission: Submission, indices) -> Submission:
    return write(plan, replace(submission, cancelled=tuple(sorted({*submission.cancelled, *indices}))))
