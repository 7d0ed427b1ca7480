"""`cratermill status`: the state of every cell, for people, for scripts, once or again and again."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import CratermillError
from ..core.files import read_json
from ..core.paths import Project
from . import locks, slurm_state, snapshot, state, submissions
from . import plan as plans
from .estimate import duration_text
from .executor import Run, given_to
from .observe import progress_text
from .plan import Plan
from .state import CellState

if TYPE_CHECKING:
    from rich.console import Group
    from rich.text import Text

    from .scheduler import JobTask

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


Observe = Callable[[Plan], Run]


def collect(plan: Plan, observe: Observe | None = None) -> dict[str, Any]:
    """The run as plain data: `run`, `counts`, `finished`, `cells` (CellState as dicts), `silent` (why the scheduler wasn't heard).

    `observe` looks at the run; the default asks no scheduler.
    """
    run = (observe or local_run)(plan)
    return {
        "run": plan.run,
        "counts": counts(run.states),
        "finished": all(cell.state == state.DONE for cell in run.states),
        "cells": [dict(vars(cell)) for cell in run.states],
        "silent": run.silent,
        "warnings": warnings_of(plan),
        "time": time.time(),
    }


def counts(states: list[CellState]) -> dict[str, int]:
    """Cells by state, in a fixed order, without zeros."""
    found = Counter(cell.state for cell in states)
    return {name: found[name] for name in ORDER if found[name]}


def local_run(plan: Plan) -> Run:
    """A run on this machine: what its executor will come to is `queued`, once nothing else is missing."""
    states = snapshot.read_states(plan)
    if not locks.is_executing(plan):
        return Run(plan, states)
    done = {cell.index for cell in states if cell.state == state.DONE}
    again = (state.WAITING, state.LOST, state.STOPPED)
    ready = {cell.index for cell in plan.cells if set(cell.needs) <= done}
    queued = [replace(cell, state=state.QUEUED, cause=None) if cell.state in again and cell.index in ready else cell for cell in states]
    return Run(plan, queued)


def show(plan: Plan, *, watch: bool = False, as_json: bool = False, observe: Observe | None = None, interval_s: float = 2.0) -> int:
    """Print the status; with `watch` until everything has ended. Exit code 1 when cells failed, were blocked or lost."""
    if as_json:
        found = collect(plan, observe)
        print(json.dumps(found, indent=1))
    else:
        found = _watch(plan, observe, interval_s) if watch else _print(plan, observe)
        for text in warnings_of(plan):
            print(f"warning: {text}")
        if found["finished"] and (line := results_line(plan)):
            print(line)
    return 1 if any(cell["state"] in state.ENDED_BADLY for cell in found["cells"]) else 0


def list_runs(root: Path) -> list[dict[str, Any]]:
    """The runs of a project, newest first: `run`, `state`, `counts`, `age_s`, `config` and `body`; the scheduler is asked once for all."""
    from . import scheduler

    paths = sorted(Project(root).run("any").parent.glob("*/plan.json"), key=lambda path: -path.stat().st_mtime)
    submitted = any((path.parent / "slurm").is_dir() for path in paths)
    try:
        queue = scheduler.queue() if submitted else []
    except CratermillError:
        queue = []
    return [_row_of_run(path, queue) for path in paths]


def _row_of_run(path: Path, queue: list[JobTask]) -> dict[str, Any]:
    row: dict[str, Any] = {"run": path.parent.name, "state": "unreadable", "counts": {}, "age_s": time.time() - path.stat().st_mtime}
    try:
        plan = plans.load(path)
    except CratermillError:
        return {**row, "config": "", "body": ""}
    run = _look(plan, queue)
    found = counts(run.states)
    settled = next(
        (name for name in (state.RUNNING, state.QUEUED, *state.ENDED_BADLY, state.STOPPED, state.WAITING) if name in found), None
    )
    known = {name: str(plan.config.get(name) or "") for name in ("name", "body")}
    return {**row, "state": settled or state.DONE, "counts": found, "config": known["name"], "body": known["body"]}


def _look(plan: Plan, queue: list[JobTask]) -> Run:
    if submissions.read(plan):
        return slurm_state.look(plan, queue=queue)
    executor = given_to(plan)
    return local_run(plan) if executor is None else executor.observe()


def results_of(plan: Plan) -> list[str]:
    """The files that people read which the summaries of a run have made, as they name them."""
    made = [read_json(plan.product(cell) / state.CELL_FILE) or {} for cell in plan.cells if cell.always and state.is_done(plan, cell)]
    return list(dict.fromkeys(str(path) for one in made for path in (one.get("metrics") or {}).get("results", ())))


def warnings_of(plan: Plan) -> list[str]:
    """What the summaries and composites of a run have to warn of."""
    made = [read_json(plan.product(cell) / state.CELL_FILE) or {} for cell in plan.cells if cell.always and state.is_done(plan, cell)]
    return list(dict.fromkeys(str(text) for one in made for text in (one.get("metrics") or {}).get("warnings", ())))


def results_line(plan: Plan) -> str | None:
    """Where to look, in a line; None as long as there is nothing."""
    whole = f"{Project(plan.root).relative(Project(plan.root).results)}/index.html"
    found = sorted(results_of(plan), key=lambda path: path == whole)
    if found and found[-1] == whole:
        more = f" and {len(found) - 4} more" if len(found) > 4 else ""
        return f"results: {', '.join(found[:-1][:3])}{more}; all of them: {whole}"
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    return f"results: {', '.join(found[:3])}{more}" if found else None


def _print(plan: Plan, observe: Observe | None) -> dict[str, Any]:
    from rich.console import Console

    found = collect(plan, observe)
    # Into a file or a pipe, names of cells aren't folded.
    Console(width=None if sys.stdout.isatty() else PIPE_WIDTH).print(render(plan, found))
    return found


def _watch(plan: Plan, observe: Observe | None, interval_s: float) -> dict[str, Any]:
    """Redraw until no cell can move any more; the pause grows to a minute while nothing changes, Ctrl-C just ends it."""
    from rich.console import Console
    from rich.live import Live

    found, pause = collect(plan, observe), interval_s
    if not sys.stdout.isatty():
        return _watch_plain(plan, observe, found, interval_s)
    try:
        with Live(render(plan, found), console=Console(), auto_refresh=False) as live:
            while can_move(found):
                time.sleep(pause)
                before, found = found, collect(plan, observe)
                pause = interval_s if changed(before, found) else min(60.0, pause * 1.5)
                live.update(render(plan, found), refresh=True)
    except KeyboardInterrupt:
        pass
    return found


def _watch_plain(plan: Plan, observe: Observe | None, found: dict[str, Any], interval_s: float) -> dict[str, Any]:
    pause = interval_s
    print(f"{plan.run}: {counts_text(found['counts'])}", flush=True)
    if found["silent"]:
        print(found["silent"], flush=True)
    while can_move(found):
        time.sleep(pause)
        before, found = found, collect(plan, observe)
        pause = interval_s if changed(before, found) else min(60.0, pause * 1.5)
        if before["counts"] != found["counts"]:
            print(f"{plan.run}: {counts_text(found['counts'])}", flush=True)
    return found


def can_move(found: dict[str, Any]) -> bool:
    """Whether something runs or is about to; what waits in a scheduler's queue will be run."""
    moving = (state.RUNNING, state.QUEUED)
    return any(cell["state"] in moving or (cell["state"] == state.WAITING and cell["job"]) for cell in found["cells"])


def changed(before: dict[str, Any], after: dict[str, Any]) -> bool:
    return bool(before["cells"] != after["cells"])


def counts_text(found: dict[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in found.items())


def render(plan: Plan, found: dict[str, Any]) -> Group:
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
        table.add_row(str(cell["index"]), Text(cell["key"]), mark, time_text(cell, now), Text(what_text(cell)))
    more = len(shown) - ROWS_SHOWN
    parts: list[Text | Table] = [Text(f"{plan.run}: {counts_text(found['counts'])}", style="bold"), *_stage_lines(found)]
    parts += [Text(found["silent"], style="yellow")] if found["silent"] else []
    parts += [table] if shown else []
    parts += [Text(f"… and {more} more")] if more > 0 else []
    return Group(*parts)


def _stage_lines(found: dict[str, Any]) -> list[Text]:
    from rich.text import Text

    stages: dict[str, Counter] = {}
    for cell in found["cells"]:
        stages.setdefault(cell["stage"], Counter())[cell["state"]] += 1
    lines = []
    for stage, counted in stages.items():
        inside = ", ".join(f"{counted[name]} {name}" for name in ORDER if counted[name])
        lines.append(Text(f"  {stage}: {inside}"))
    return lines


def what_text(cell: dict[str, Any]) -> str:
    if cell["state"] == state.RUNNING:
        return ", ".join(filter(None, (progress_text(cell["progress"]), f"on {cell['host']}" if cell["host"] else "")))
    return (cell["cause"] or "").split("\n")[0]


def time_text(cell: dict[str, Any], now: float) -> str:
    if cell["state"] == state.RUNNING and cell["started"]:
        return duration_text(now - cell["started"])
    return duration_text(cell["seconds"]) if cell["seconds"] else ""
