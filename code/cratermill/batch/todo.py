"""Which cells of a plan are asked for, and which of these are still to be run on this machine."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from . import state
from .plan import Plan
from .snapshot import Snapshot


@dataclass(frozen=True)
class Todo:
    """`wanted`: cells that are asked for; `done`: all of the plan that need nothing done; `left`: the wanted others, in plan order."""

    plan: Plan
    wanted: frozenset[int]
    done: frozenset[int]

    @property
    def left(self) -> tuple[int, ...]:
        return tuple(sorted(self.wanted - self.done))


def todo(plan: Plan, only: Collection[int] | None = None, with_needs: bool = True) -> Todo:
    """What is to do now; `only` restricts it to some cells and, unless told otherwise, those they need."""
    done, now = set[int](), Snapshot(plan)
    for cell in plan.cells:
        # A summary of cells that are about to be made isn't settled, whatever its last inputs were.
        if now.is_done(cell) if not cell.always else done.issuperset(cell.needs) and state.is_settled(plan, cell):
            done.add(cell.index)
    chosen = range(len(plan.cells)) if only is None else only
    return Todo(plan, frozenset(_with_needs(plan, chosen) if with_needs else chosen), frozenset(done))


def _with_needs(plan: Plan, only: Iterable[int]) -> set[int]:
    wanted, stack = set[int](), list(only)
    while stack:
        index = stack.pop()
        if index not in wanted:
            wanted.add(index)
            stack.extend(plan.cell(index).needs)
    return wanted
