"""Workers that take the next open cell until none is left: the cells' own locks decide who gets which, nobody hands them out."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator
from typing import Any

from . import state
from .cell import CellResult, Science, run_cell
from .plan import Cell, Plan
from .signals import StopFlag

ENDED = (state.FAILED, state.BLOCKED)
# A cell whose process died is tried by another worker; one that kills whoever takes it must not kill them all.
MOST_DEATHS = 2


class Pull:
    """What one worker still has before it: `indices` in the order of the plan, those that ended in this turn left out.

    `turn` marks the records of this submission or launch: failures of earlier ones are tried again. `share` of the way through the cells
    is where it begins, so that several workers don't all ask for the same one.
    """

    def __init__(self, plan: Plan, indices: Collection[int], turn: str, share: float = 0.0):
        self.plan, self.turn = plan, turn
        ordered, first = sorted(indices), int(share * len(indices))
        self._left = dict.fromkeys(ordered[first:] + ordered[:first])
        self._known = frozenset(ordered)

    def open_cells(self) -> Iterator[Cell]:
        """Each cell that is left and may be tried, once; much may have happened meanwhile when the next is asked for."""
        for index in list(self._left):
            cell = self.plan.cells[index]
            if self._has_ended(cell):
                del self._left[index]
            elif all(need not in self._known or self._has_ended(self.plan.cells[need]) for need in cell.needs):
                yield cell

    def _has_ended(self, cell: Cell) -> bool:
        if cell.index in self._known and cell.index not in self._left:
            return True
        record = state.read_record(self.plan, cell.index)
        mine = record.get("turn") == self.turn
        if mine and record.get("state") in ENDED:
            return True
        if mine and cell.always:
            return bool(record.get("state") == state.DONE)
        if mine and record.get("state") == state.RUNNING and record.get("tries", 1) >= MOST_DEATHS and not state.is_alive(record):
            state.note(self.plan, cell, state.FAILED, f"its process ended without a word, {MOST_DEATHS} times", "killed")
            return True
        return state.is_settled(self.plan, cell)


def pull(
    plan: Plan, indices: Collection[int], science: Science, stop: StopFlag, turn: str, share: float = 0.0, **options: Any
) -> list[CellResult]:
    """Execute open cells until none is left that nobody has, or a stop is asked for; what others are at isn't waited for.

    Whoever ends a cell goes on with those that waited for it. `options` are those of `run_cell`.
    """
    mine, results = Pull(plan, indices, turn, share), list[CellResult]()
    while found := _round(mine, science, stop, **options):
        results += found
    return results


def _round(mine: Pull, science: Science, stop: StopFlag, **options: Any) -> list[CellResult]:
    """Each open cell that nobody else has, executed; rounds go on until one finds nothing, so none is looked at again for each other."""
    results = list[CellResult]()
    for cell in mine.open_cells():
        if stop.requested:
            break
        result = run_cell(mine.plan, cell.index, science, stop=stop, turn=mine.turn, wait_s=0.0, **options)
        if result.kind == "busy":
            continue
        results.append(result)
        if result.cause:
            print(f"{result.key}: {result.state}: {result.cause}", file=sys.stderr, flush=True)
    return results
