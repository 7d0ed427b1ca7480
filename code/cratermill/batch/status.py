"""`cratermill status`: the state of every cell, for people, for scripts, once or again and again."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from dataclasses import asdict

from . import state
from .estimate import duration_text
from .observe import progress_text
from .plan import Plan
from .state import CellState

ORDER = (state.RUNNING, state.FAILED, state.LOST, state.STOPPED, state.BLOCKED, state.QUEUED, state.WAITING, state.DONE)
COLOURS = {
    state.RUNNING: "cyan",
    state.FAILED: "red",
    state.LOST: "red",
    state.STOPPED: "yellow",
    state.BLOCKED: "yellow",
    state.DONE: "green",
}
ROWS_SHOWN = 40
PIPE_WIDTH = 200


def collect(plan: Plan, read=None) -> dict:
    """The run as plain data: `run`, `executing`, `counts`, `cells` (CellState as dicts).

    `read(plan)` gives the states; the default asks no scheduler.
    """
    states = (read or local_states)(plan)
    return {
        "run": plan.run,
        "counts": counts(states),
        "finished": all(cell.state == state.DONE for cell in states),
        "cells": [asdict(cell) for cell in states],
        "time": time.time(),
    }


def counts(states: list[CellState]) -> dict[str, int]:
    """Cells by state, in a fixed order, without zeros."""
    found = Counter(cell.state for cell in states)
    return {name: found[name] for name in ORDER if found[name]}


def local_states(plan: Plan) -> list[CellState]:
    """States of a run on this machine: what its executor will come to is `queued`, once nothing else is missing."""
    from dataclasses import replace

    from .local import is_executing

    states = state.read_states(plan)
    if not is_executing(plan):
        return states
    done = {cell.index for cell in states if cell.state == state.DONE}
    again = (state.WAITING, state.LOST, state.STOPPED)
    ready = {cell.index for cell in plan.cells if set(cell.needs) <= done}
    return [replace(cell, state=state.QUEUED, cause=None) if cell.state in again and cell.index in ready else cell for cell in states]


def show(plan: Plan, *, watch: bool = False, as_json: bool = False, read=None, interval_s: float = 2.0) -> int:
    """Print the status; with `watch` until everything has ended. Exit code 1 when cells failed, were blocked or lost."""
    if as_json:
        found = collect(plan, read)
        print(json.dumps(found, indent=1))
    else:
        found = _watch(plan, read, interval_s) if watch else _print(plan, read)
    return 1 if any(cell["state"] in state.ENDED_BADLY for cell in found["cells"]) else 0


def _print(plan: Plan, read) -> dict:
    from rich.console import Console

    found = collect(plan, read)
    # Into a file or a pipe, names of cells aren't folded.
    Console(width=None if sys.stdout.isatty() else PIPE_WIDTH).print(render(plan, found))
    return found


def _watch(plan: Plan, read, interval_s: float) -> dict:
    """Redraw until no cell can move any more; the pause grows to a minute while nothing changes, Ctrl-C just ends it."""
    from rich.console import Console
    from rich.live import Live

    found, pause = collect(plan, read), interval_s
    if not sys.stdout.isatty():
        return _watch_plain(plan, read, found, interval_s)
    try:
        with Live(render(plan, found), console=Console(), auto_refresh=False) as live:
            while can_move(found):
                time.sleep(pause)
                before, found = found, collect(plan, read)
                pause = interval_s if changed(before, found) else min(60.0, pause * 1.5)
                live.update(render(plan, found), refresh=True)
    except KeyboardInterrupt:
        pass
    return found


def _watch_plain(plan: Plan, read, found: dict, interval_s: float) -> dict:
    pause = interval_s
    print(f"{plan.run}: {counts_text(found['counts'])}", flush=True)
    while can_move(found):
        time.sleep(pause)
        before, found = found, collect(plan, read)
        pause = interval_s if changed(before, found) else min(60.0, pause * 1.5)
        if before["counts"] != found["counts"]:
            print(f"{plan.run}: {counts_text(found['counts'])}", flush=True)
    return found


def can_move(found: dict) -> bool:
    """Whether something runs or is about to; what waits in a scheduler's queue will be run."""
    moving = (state.RUNNING, state.QUEUED)
    return any(cell["state"] in moving or (cell["state"] == state.WAITING and cell["job"]) for cell in found["cells"])


def changed(before: dict, after: dict) -> bool:
    return before["cells"] != after["cells"]


def counts_text(found: dict[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in found.items())


def render(plan: Plan, found: dict):
    """A rich table: one line per stage, then the cells that need eyes (done and waiting ones are only counted)."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    shown = [cell for cell in found["cells"] if cell["state"] not in (state.DONE, state.WAITING)]
    shown.sort(key=lambda cell: (ORDER.index(cell["state"]), cell["index"]))
    table = Table(box=None, pad_edge=False)
    for heading in ("cell", "name", "state", "time", "what"):
        table.add_column(heading, overflow="fold")
    now = time.time()
    for cell in shown[:ROWS_SHOWN]:
        mark = Text(cell["state"], style=COLOURS.get(cell["state"], ""))
        table.add_row(str(cell["index"]), Text(cell["key"]), mark, _time_text(cell, now), Text(_what(cell)))
    more = len(shown) - ROWS_SHOWN
    parts = [Text(f"{plan.run}: {counts_text(found['counts'])}", style="bold"), *_stage_lines(found)]
    parts += [table] if shown else []
    parts += [Text(f"… and {more} more")] if more > 0 else []
    return Group(*parts)


def _stage_lines(found: dict) -> list:
    from rich.text import Text

    stages: dict[str, Counter] = {}
    for cell in found["cells"]:
        stages.setdefault(cell["stage"], Counter())[cell["state"]] += 1
    lines = []
    for stage, counted in stages.items():
        inside = ", ".join(f"{counted[name]} {name}" for name in ORDER if counted[name])
        lines.append(Text(f"  {stage}: {inside}"))
    return lines


def _what(cell: dict) -> str:
    if cell["state"] == state.RUNNING:
        return ", ".join(filter(None, (progress_text(cell["progress"]), f"on {cell['host']}" if cell["host"] else "")))
    return (cell["cause"] or "").split("\n")[0]


def _time_text(cell: dict, now: float) -> str:
    if cell["state"] == state.RUNNING and cell["started"]:
        return duration_text(now - cell["started"])
    return duration_text(cell["seconds"]) if cell["seconds"] else ""
