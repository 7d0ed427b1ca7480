"""What every way of running a plan offers, and the state of a run as a value: read once per look and handed on.

Another scheduler is one file with such a class, and one entry of EXECUTORS.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

from . import state
from .plan import Plan
from .profile import Profile, Resources
from .state import CellState

EXECUTORS = {"local": "local:LocalExecutor", "slurm": "slurm:SlurmExecutor"}
"""Names that profiles may say, and the classes behind them."""


@dataclass(frozen=True)
class Run:
    """All that is known of a run at one moment. `silent`: why the scheduler couldn't be asked, for people."""

    plan: Plan
    states: list[CellState]
    silent: str | None = None

    def active(self, index: int) -> bool:
        """Whether a cell is at work, or will be without anybody doing anything."""
        return self.states[index].state in (state.RUNNING, state.QUEUED)

    def done(self, index: int) -> bool:
        return self.states[index].state == state.DONE


class Outcome(Protocol):
    """What came of a submission."""

    @property
    def exit_code(self) -> int:
        """0 when all went well; 1 when cells failed; 130 when interrupted."""


class Executor(Protocol):
    """Runs what a frozen plan still lacks; may die at any moment and be used again."""

    plan: Plan

    def observe(self) -> Run:
        """The run as it stands; asks the scheduler once and writes nothing."""

    def wanted(self, run: Run, only: Collection[int] | None = None) -> list[int]:
        """Cells to submit: neither done nor at work; with `only`, those and what can run once they are done."""

    def describe(self, run: Run) -> dict[str, Any]:
        """What `submit` would do now, as plain data."""

    def submit(self, only: Collection[int] | None = None, resources: Mapping[int, Resources] | None = None) -> Outcome:
        """Do it: here and now, or by giving it to a scheduler. WorkError when somebody else is at it or the scheduler says no."""


def executor_of(plan: Plan, profile: Profile, say: Callable[[str], None] = print) -> Executor:
    """The executor that a profile names."""
    module, _, name = EXECUTORS[profile.executor].partition(":")
    made = getattr(importlib.import_module(f".{module}", __package__), name).by_profile(plan, profile, say)
    return cast(Executor, made)


def wanted(run: Run, only: Collection[int] | None = None) -> list[int]:
    """Cells to submit, by the states of a run: not done, not at work; with `only`, those and what can run once they are done.

    Cells that run always (summaries) are wanted whenever something they need is, or has changed since.
    """
    chosen: set[int] = set()
    for cell in run.plan.cells:
        if run.active(cell.index):
            continue
        again = any(need in chosen or run.active(need) for need in cell.needs)
        if run.done(cell.index):
            again = cell.always and (again or not state.is_settled(run.plan, cell))
        elif only is not None:
            able = cell.soft_needs or all(need in chosen or run.active(need) or run.done(need) for need in cell.needs)
            follows = again and able and (cell.always or run.states[cell.index].state in (state.BLOCKED, state.WAITING))
            again = cell.index in only or follows
        else:
            again = True
        if again:
            chosen.add(cell.index)
    return sorted(chosen)
