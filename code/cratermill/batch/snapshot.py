"""All cells of a run at one moment, by one scan of each folder: what hasn't changed since an earlier look isn't read again.

What was read of cells that are done is kept beside the plan, for other processes; that file is a shortcut, and may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import time
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..core.files import read_json, write_text
from . import state
from .plan import Cell, Plan
from .state import CellState

NAME, FORMAT = "looked.json", 1
KEPT = ("host", "pid", "started", "ended", "seconds", "attempt")
"""Of the record of a cell that is done; the rest tells how it got there."""
YOUNG_NS = 2_000_000_000
WORTH_WRITING, MOST_RUNS = 500, 8
Stamp = tuple[int, int]
"""Inode and time of modification (ns) of a record, or of a product's folder, which is published by a rename; zeros for what isn't there."""
ABSENT: Stamp = (0, 0)


@dataclass
class _Memory:
    """By cell: of those that are done the product's stamp and the state; of others both stamps, the record and whether it is done.

    `in_file`: of how many the file knows.
    """

    done: dict[int, tuple[Stamp, CellState]] = field(default_factory=dict)
    others: dict[int, tuple[Stamp, Stamp, dict[str, Any], bool]] = field(default_factory=dict)
    in_file: int = 0


class Snapshot:
    """`record`, `is_done` and `state` are those of `state.py`, as of when this was made."""

    def __init__(self, plan: Plan):
        self.plan, self.now = plan, time.time()
        self._memory = _memory(plan)
        self._products: dict[str, Stamp] = {}
        for parent, names in _by_parent(plan).items():
            found = _stamps(plan.root / parent, names)
            self._products.update((names[name], stamp) for name, stamp in found.items())

    @functools.cached_property
    def _records(self) -> dict[str, Stamp]:
        """Of cells that weren't known to be done."""
        return _stamps(self.plan.folder / "cells", {f"{cell.index}.json": "" for cell in self.plan.cells if not self._known(cell)})

    def _known(self, cell: Cell) -> CellState | None:
        """The state of a cell that was done already when it was last looked at."""
        stamp, known = self._memory.done.get(cell.index, (ABSENT, None))
        return known if stamp == self._products.get(cell.product) else None

    def record(self, index: int) -> dict[str, Any]:
        return self._row(self.plan.cells[index])[2]

    def is_done(self, cell: Cell) -> bool:
        return self._known(cell) is not None or self._row(cell)[3]

    def state(self, cell: Cell) -> CellState:
        if (known := self._known(cell)) is not None:
            return known
        mine, its, record, done = self._row(cell)
        found = state.judge(cell, record, done, self.now)
        if found.state == state.LOST or (record.get("state") == state.DONE and not done):
            found = state.read_state(self.plan, cell, self.now)  # it may have ended since products and records were looked at
            done = found.state == state.DONE
        if done and cell.always and not record and state.is_settled(self.plan, cell):
            found = replace(found, state=state.DONE)  # by another run, from what is there now
        if done and not cell.always and self._is_old(mine, its):
            self._memory.done[cell.index] = its, (found := replace(found, progress=None))
        return found

    def _row(self, cell: Cell) -> tuple[Stamp, Stamp, dict[str, Any], bool]:
        mine, its = self._records.get(f"{cell.index}.json", ABSENT), self._products.get(cell.product, ABSENT)
        row = self._memory.others.get(cell.index)
        if row is None or row[0] != mine or row[1] != its:
            record = state.read_record(self.plan, cell.index) if mine != ABSENT else {}
            row = mine, its, record, its != ABSENT and state.is_done(self.plan, cell)
            if self._is_old(mine, its):
                self._memory.others[cell.index] = row
        return row

    def _is_old(self, *stamps: Stamp) -> bool:
        """A file may be replaced twice within a tick of the clock: what is young is read again next time."""
        return all(at < self.now * 1e9 - YOUNG_NS for _, at in stamps)

    def states(self) -> list[CellState]:
        """Of all cells, in order, without asking any scheduler."""
        found = [self.state(cell) for cell in self.plan.cells]
        self.keep()
        return found

    def keep(self) -> None:
        """Write down what is known of cells that are done, once that is worth it; who may only read looks as well."""
        done, in_file = self._memory.done, self._memory.in_file
        if len(done) - in_file < max(WORTH_WRITING, in_file // 10) or not self.plan.path.exists():
            return
        written = {index: [*stamp, *(getattr(known, name) for name in KEPT)] for index, (stamp, known) in done.items()}
        with contextlib.suppress(OSError):
            write_text(self.plan.folder / NAME, json.dumps({"format": FORMAT, "cells": written}, separators=(",", ":")))
            self._memory.in_file = len(done)


def read_states(plan: Plan) -> list[CellState]:
    """The states of all cells, in order, without asking any scheduler."""
    return Snapshot(plan).states()


_memories: dict[Path, _Memory] = {}


def _memory(plan: Plan) -> _Memory:
    """What this process, or an earlier one by its file, knows of a run."""
    path = plan.folder / NAME
    if path not in _memories:
        if len(_memories) >= MOST_RUNS:
            _memories.clear()
        _memories[path] = _read(path, plan)
    return _memories[path]


def _read(path: Path, plan: Plan) -> _Memory:
    kept, memory = read_json(path), _Memory()
    with contextlib.suppress(TypeError, ValueError, KeyError, AttributeError, IndexError):  # an odd file is no file
        if kept["format"] == FORMAT:
            for index, (inode, at, *values) in kept["cells"].items():
                cell = plan.cells[int(index)]
                known = CellState(cell.index, cell.key, cell.stage, state.DONE, **dict(zip(KEPT, values, strict=True)))
                memory.done[cell.index] = (inode, at), known
            memory.in_file = len(memory.done)
    return memory


def _stamps(folder: Path, wanted: Collection[str]) -> dict[str, Stamp]:
    found = {}
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name in wanted:
                try:
                    details = entry.stat()
                except OSError:
                    continue  # it was replaced meanwhile
                found[entry.name] = (details.st_ino, details.st_mtime_ns)
    return found


def _by_parent(plan: Plan) -> dict[str, dict[str, str]]:
    """Products by the folder that they lie in, and there by name."""
    found: dict[str, dict[str, str]] = {}
    for cell in plan.cells:
        parent, _, name = cell.product.rstrip("/").rpartition("/")
        found.setdefault(parent, {})[name] = cell.product
    return found
