"""Workers that take the next open cell until none is left: the cells' own locks decide who gets which, nobody hands them out.

The tasks of a job array that pull are such workers, and so are the processes of a run on one machine.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from . import state
from .cell import CellResult, Science, run_cell
from .plan import Cell, Plan
from .signals import StopFlag

ENDED = (state.DONE, state.FAILED, state.BLOCKED)
# A cell whose process died is tried by another worker; one that kills whoever takes it must not kill them all.
MOST_DEATHS = 2


@dataclass(frozen=True)
class Share:
    """A worker's part in what several do.

    `turn` marks the records of this submission or launch: failures of earlier ones are tried again. `begin` of the way through the cells
    is where it begins, so that several workers don't all ask for the same one. A cell is left after so many `deaths` of processes.
    """

    turn: str
    begin: float = 0.0
    deaths: int = MOST_DEATHS


class Pull:
    """What one worker still has before it: `indices` in the order of the plan, those that ended in this turn left out."""

    def __init__(self, plan: Plan, indices: Collection[int], share: Share):
        self.plan, self.turn, self.deaths = plan, share.turn, share.deaths
        ordered, first = sorted(indices), int(share.begin * len(indices))
        self._left = dict.fromkeys(ordered[first:] + ordered[:first])
        self._known = frozenset(ordered)
        self.ended: dict[int, str] = {}
        """How cells ended, as far as it was looked at."""

    def open_cells(self) -> Iterator[Cell]:
        """Each cell that is left and may be tried, once; much may have happened meanwhile when the next is asked for."""
        for index in list(self._left):
            cell = self.plan.cells[index]
            if self._has_ended(cell):
                del self._left[index]
            elif self._is_ready(cell):
                yield cell

    def _is_ready(self, cell: Cell) -> bool:
        return all(need not in self._known or self._has_ended(self.plan.cells[need]) for need in cell.needs)

    def _has_ended(self, cell: Cell) -> bool:
        if cell.index not in self.ended and (outcome := self._outcome(cell)):
            self.ended[cell.index] = outcome
        return cell.index in self.ended

    def _outcome(self, cell: Cell) -> str | None:
        """How a cell ended, for anybody's part; None while it is open or at work."""
        record = state.read_record(self.plan, cell.index)
        known, mine = record.get("state"), record.get("turn") == self.turn
        if mine and known in (state.FAILED, state.BLOCKED):
            return str(known)
        if mine and cell.always:
            return state.DONE if known == state.DONE else None
        if mine and known == state.RUNNING and record.get("tries", 1) >= self.deaths and self._died(cell, record):
            times = f", {self.deaths} times" if self.deaths > 1 else ""
            state.note(self.plan, cell, state.FAILED, f"its process ended without a word{times}", "killed")
            return state.FAILED
        # A summary of cells that are about to be made isn't settled, whatever its last inputs were.
        return state.DONE if (not cell.always or self._is_ready(cell)) and state.is_settled(self.plan, cell) else None

    def _died(self, cell: Cell, record: dict[str, Any]) -> bool:
        """Whether the process of a record is gone without another word, which it may have said until a moment ago."""
        return not state.is_alive(record) and state.read_record(self.plan, cell.index) == record


def pull(plan: Plan, indices: Collection[int], science: Science, stop: StopFlag, share: Share, **options: Any) -> Iterator[CellResult]:
    """Execute open cells until none is left that nobody has, or a stop is asked for; what others are at isn't waited for.

    Yields how each ended. Whoever ends a cell goes on with those that waited for it. `options` are those of `run_cell`.
    """
    mine, found = Pull(plan, indices, share), True
    while found:  # rounds through all of them, until one finds nothing: so none is looked at again for each other
        found = False
        for cell in mine.open_cells():
            if stop.requested:
                return
            result = run_cell(plan, cell.index, science, stop=stop, turn=share.turn, wait_s=0.0, **options)
            if result.kind == "busy":
                continue
            found = True
            if result.state in ENDED:  # its record may not say so, on a full disk
                mine.ended[cell.index] = result.state
            yield result
