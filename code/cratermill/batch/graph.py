"""Which cell may run next, given how the others ended."""

from __future__ import annotations

from . import state
from .plan import Plan
from .snapshot import Snapshot

ENDED = (state.DONE, state.FAILED, state.BLOCKED, state.STOPPED)


class Graph:
    """Cells become ready in plan order once those they need have ended; hard needs must have ended well.

    A cell's state is one of the names in `state`; blocked cells carry the culprits' names.
    """

    def __init__(self, plan: Plan, only=None, with_needs: bool = True):
        self.plan = plan
        self.states: dict[int, str] = {}
        self.causes: dict[int, str] = {}
        self.kinds: dict[int, str] = {}
        self._running: set[int] = set()
        now = Snapshot(plan)
        for cell in plan.cells:
            # A summary of cells that are about to be made isn't settled, whatever its last inputs were.
            if now.is_done(cell) if not cell.always else all(map(self.states.get, cell.needs)) and state.is_settled(plan, cell):
                self.states[cell.index] = state.DONE
        self.already_done = frozenset(self.states)
        only = range(len(plan.cells)) if only is None else only
        self.wanted = frozenset(self._with_needs(only) if with_needs else only)
        self._open = [cell.index for cell in plan.cells if cell.index in self.wanted and cell.index not in self.states]
        self.todo = tuple(self._open)

    def _with_needs(self, only) -> set[int]:
        wanted, stack = set(), list(only)
        while stack:
            index = stack.pop()
            if index not in wanted:
                wanted.add(index)
                stack.extend(need for need in self.plan.cell(index).needs)
        return wanted

    def take(self) -> int | None:
        """The next ready cell, now counted as running; None while there is none."""
        for position, index in enumerate(self._open):
            if self._is_ready(index):
                del self._open[position]
                self._running.add(index)
                self.states[index] = state.RUNNING
                return index
        return None

    def finish(self, index: int, outcome: str, cause: str | None = None, kind: str | None = None) -> list[int]:
        """Note how a running cell ended; returns the cells that can never run because of it."""
        self._running.discard(index)
        self.states[index] = outcome
        if cause:
            self.causes[index] = cause
        if kind:
            self.kinds[index] = kind
        return self._block() if outcome != state.DONE else []

    def put_back(self, index: int) -> None:
        """A taken cell wasn't begun after all."""
        self._running.discard(index)
        del self.states[index]
        self._open.insert(0, index)
        self._open.sort()

    @property
    def ended(self) -> bool:
        """True when nothing runs and nothing can be taken any more."""
        return not self._running and not self._open

    def _is_ready(self, index: int) -> bool:
        return all(self.states.get(need) in ENDED for need in self.plan.cells[index].needs if need in self.wanted)

    def _block(self) -> list[int]:
        """Block what needs a cell that ended badly; plan order makes one pass enough."""
        blocked = []
        for index in list(self._open):
            cell = self.plan.cells[index]
            culprits = [need for need in cell.needs if self.states.get(need) in (state.FAILED, state.BLOCKED, state.STOPPED)]
            if culprits and not cell.soft_needs:
                self._open.remove(index)
                # A stopped need isn't the user's problem to solve: the cell just waits for the next launch.
                stopped = all(self.states[need] == state.STOPPED for need in culprits)
                self.states[index] = state.STOPPED if stopped else state.BLOCKED
                self.causes[index] = "needs " + ", ".join(self.plan.cells[need].key for need in culprits[:3])
                blocked.append(index)
        return blocked
