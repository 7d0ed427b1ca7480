"""What every way of running a plan offers, and the state of a run as a value: read once per look and handed on.

Another scheduler is one file with such a class, and an entry point that names it (docs/another-scheduler.md).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ..core.files import read_json, write_json
from . import state
from .plan import Plan
from .profile import EXECUTORS, Profile, Resources, all_executors
from .state import CellState

if TYPE_CHECKING:
    from .preflight import Check

GIVEN = "profile.json"
"""In a run's folder: the profile by which it was last given to a scheduler."""


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

    @classmethod
    def by_profile(cls, plan: Plan, profile: Profile, say: Callable[[str], None]) -> Executor:
        """The executor for a plan at a site; `say` shows a line to the user. Asks nobody yet."""

    def check(self, more: Callable[[], list[Check]] | None = None) -> None:
        """InputError where a launch can't succeed, before anything is written; `more` are checks that know of the work."""

    def observe(self) -> Run:
        """The run as it stands; asks the scheduler once and writes nothing."""

    def wanted(self, run: Run, only: Collection[int] | None = None) -> list[int]:
        """Cells to submit: neither done nor at work; with `only`, those and what can run once they are done."""

    def describe(self, run: Run) -> dict[str, Any]:
        """What `submit` would do now, as plain data."""

    def submit(self, only: Collection[int] | None = None, resources: Mapping[int, Resources] | None = None) -> Outcome:
        """Do it: here and now, or by giving it to a scheduler. WorkError when somebody else is at it or the scheduler says no."""

    def see_through(self, outcome: Any) -> None:
        """Say what `submit` came to (`outcome` is its own), and stay while that needs somebody: until a quota has room for the rest."""

    def cancel(self, only: Collection[int] | None = None) -> list[int]:
        """End the jobs of cells, or of all; returns the cells concerned."""


def executor_of(plan: Plan, profile: Profile, say: Callable[[str], None] = print) -> Executor:
    """The executor that a profile names."""
    where = EXECUTORS.get(profile.executor) or all_executors()[profile.executor]
    module, _, name = where.partition(":")
    made: type[Executor] = getattr(importlib.import_module(module), name)
    return made.by_profile(plan, profile, say)


def note_given(plan: Plan, profile: Profile) -> None:
    """Write down by which profile a run was given to a scheduler."""
    write_json(plan.folder / GIVEN, profile.model_dump())


def given_to(plan: Plan, say: Callable[[str], None] = print) -> Executor | None:
    """The executor that a run was given to, by what `note_given` wrote; None where it wasn't."""
    known = read_json(plan.folder / GIVEN)
    return executor_of(plan, Profile(**known), say) if isinstance(known, dict) else None


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
