"""What can be done with a run on a cluster: retry with what its cells lacked, logs, efficiency."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..core.errors import InputError
from . import slurm_state, state, submissions
from .estimate import number_of
from .plan import Cell, Plan
from .profile import Profile, Resources, Retry
from .slurm import SlurmExecutor, Submitted
from .slurm_state import SlurmRun
from .state import CellState
from .submissions import Submission

# Kinds of failure that are the work's own fault: the same again would fail the same again.
OWN_FAULT = ("error", "crash", "input", "disk")
MISSING = (state.WAITING, state.BLOCKED, state.LOST, state.STOPPED)


@dataclass(frozen=True)
class RetryPlan:
    """Which cells would be submitted again with what; `not_again` says why of the others that failed."""

    resources: dict[int, Resources] = field(default_factory=dict)
    because: dict[int, str] = field(default_factory=dict)
    not_again: dict[int, str] = field(default_factory=dict)

    @property
    def cells(self) -> list[int]:
        return sorted(self.resources)


def plan_retry(
    run: SlurmRun,
    profile: Profile,
    *,
    failed: bool = True,
    missing: bool = True,
    errors: bool = False,
    only: Collection[int] | None = None,
) -> RetryPlan:
    """Choose cells and resources by cause: OOM gets more memory, a time-out more time, what the cluster did goes as it was.

    Python's own errors go again only with `errors` or when named in `only`; named cells also pass the limit of attempts.
    """
    found = RetryPlan()
    attempts = submissions.attempts_by_cell(run.submissions)
    for current in run.states:
        index = current.index
        if current.state in (state.DONE, state.RUNNING, state.QUEUED) or run.active(index) or (only is not None and index not in only):
            continue
        if only is None and not (failed and current.state in (state.FAILED, state.LOST)) and not (missing and current.state in MISSING):
            continue
        if only is None and run.plan.cells[index].always and current.kind in OWN_FAULT:
            continue  # a summary of what is incomplete; it goes again with what it lacks
        if only is None and current.kind in OWN_FAULT and not errors:
            found.not_again[index] = f"{first_line(current.cause)} (its own error: mend it, then retry --errors)"
        elif only is None and attempts.get(index, 0) >= profile.retry.attempts:
            found.not_again[index] = f"{number_of(attempts[index], 'attempt')}, as many as the profile allows: {first_line(current.cause)}"
        else:
            _choose(found, run, profile, current)
    return found


def _choose(found: RetryPlan, run: SlurmRun, profile: Profile, current: CellState) -> None:
    last = run.latest.get(current.index)
    before = Resources(**last.resources) if last else profile.resources(current.stage)
    asked = raised(before, current.kind, profile.retry)
    if asked is None:
        bound = "memory" if current.kind == "oom" else "time"
        found.not_again[current.index] = f"{first_line(current.cause)}; it had all the {bound} that the profile's retry allows"
    else:
        found.resources[current.index] = asked
        found.because[current.index] = "; ".join(filter(None, (first_line(current.cause) or current.state, more_text(before, asked))))


def raised(before: Resources, kind: str | None, retry: Retry) -> Resources | None:
    """The resources of the next attempt; None when the limit is reached already."""
    if kind == "oom":
        more = min(before.mem_gb * retry.mem_factor, retry.mem_gb_max or float("inf"))
        return before.model_copy(update={"mem_gb": more}) if more > before.mem_gb else None
    if kind == "timeout":
        more = int(min(before.time_min * retry.time_factor, retry.time_min_max or float("inf")))
        return before.model_copy(update={"time_min": more}) if more > before.time_min else None
    return before


def more_text(before: Resources, asked: Resources) -> str:
    """What the next attempt gets more: `now 16 GB instead of 8`."""
    if asked.mem_gb != before.mem_gb:
        return f"now {asked.mem_gb:g} GB instead of {before.mem_gb:g}"
    return f"now {asked.time_min} minutes instead of {before.time_min}" if asked.time_min != before.time_min else ""


def require_submitted(plan: Plan) -> str:
    """The name of the profile that the newest submission was made by; InputError for a run that no launch has submitted."""
    given = submissions.read(plan)
    if not given:
        next_step = "launch it again: only what is missing or failed is done; Ctrl-C ends a launch that still runs"
        raise InputError(f"No launch has submitted {plan.run} to a cluster", next_step=next_step)
    return given[-1].profile


def retry(executor: SlurmExecutor, **choice: Any) -> tuple[RetryPlan, Submitted | None]:
    """Submit again what `plan_retry` chooses, and what waits for it; Submitted is None when there's nothing to do."""
    chosen = plan_retry(executor.observe(), executor.profile, **choice)
    if not chosen.cells:
        return chosen, None
    return chosen, executor.submit(only=set(chosen.cells), resources=chosen.resources)


def log_files(plan: Plan, index: int) -> list[Path]:
    """The files in which a cell's words stand: its own log, then what the scheduler said around it."""
    paths = [plan.log_path(plan.cell(index).index)]
    for submission in submissions.read(plan):
        if index in submission.cells and submission.job_id:
            paths += slurm_state.output_paths(plan, submission, index)
    return [path for path in paths if path.exists() and path.stat().st_size]


def follow_log(plan: Plan, index: int, write: Callable[[str], object], *, follow: bool = False, pause_s: float = 1.0) -> None:
    """Write a cell's logs; with `follow` go on with what is appended until the cell has ended."""
    paths = log_files(plan, index)
    if not paths and not follow:
        raise InputError(f"Cell {index} of {plan.run} has said nothing yet", next_step=f"cratermill status {plan.run}")
    for path in paths:
        write(path.read_text(encoding="utf-8", errors="replace"))
    path, offset = plan.log_path(index), plan.log_path(index).stat().st_size if plan.log_path(index).exists() else 0
    while follow:
        ended = state.read_state(plan, plan.cells[index]).state not in (state.RUNNING, state.QUEUED, state.WAITING)
        if path.exists() and path.stat().st_size > offset:
            with path.open(encoding="utf-8", errors="replace") as stream:
                stream.seek(offset)
                write(stream.read())
                offset = stream.tell()
        if ended:
            return
        time.sleep(pause_s)


def efficiency(plan: Plan) -> dict[str, Any]:
    """Used against asked, per cell and per group (stage, family, version): from the cells' own records, no scheduler.

    Seconds, hours and shares (0 to 1). Time and GPU-hours are those of all attempts of a cell, shares those of the last;
    None where nothing was measured (cells that were killed leave no usage).
    """
    latest = submissions.latest_by_cell(submissions.read(plan))
    rows = [row for cell in plan.cells if (row := _usage(plan, cell, latest.get(cell.index)))]
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["stage"], row["family"], row["version"]), []).append(row)
    return {"run": plan.run, "cells": rows, "groups": [_summary(name, members) for name, members in groups.items()]}


def _usage(plan: Plan, cell: Cell, submission: Submission | None) -> dict[str, Any] | None:
    record = state.read_record(plan, cell.index)
    if not record.get("seconds"):
        return None
    asked = Resources(**submission.resources) if submission else None
    seconds, cpu_s, memory = record["seconds"], record.get("cpu_s"), record.get("max_rss_mb")
    elapsed = seconds + record.get("before_s", 0.0)
    # A requeued cell has waited more than once; its first wait alone can be told.
    wait = record["started"] - submission.created if submission and record.get("attempt", 1) == 1 and "started" in record else None
    return {
        "cell": cell.index,
        "key": cell.key,
        "stage": cell.stage,
        "family": cell.params.get("family", ""),
        "version": cell.params.get("version", ""),
        "state": record.get("state"),
        "attempts": record.get("attempt", 1),
        "elapsed_s": round(elapsed, 1),
        "wait_s": None if wait is None else round(wait, 1),
        "cpu_share": None if cpu_s is None or asked is None else round(cpu_s / (seconds * asked.cpus), 3),
        "memory_share": None if memory is None or asked is None else round(memory / 1024 / asked.mem_gb, 3),
        "gpu_hours": 0.0 if asked is None else round(elapsed / 3600 * asked.gpus * asked.nodes / asked.side_by_side, 4),
    }


def _summary(name: tuple[Any, ...], rows: list[dict[str, Any]]) -> dict[str, Any]:
    def middle(what: str) -> float | None:
        values = [row[what] for row in rows if row[what] is not None]
        return round(statistics.median(values), 3) if values else None

    stage, family, version = name
    found: dict[str, Any] = {"stage": stage, "family": family, "version": version, "cells": len(rows)}
    found |= {what: middle(what) for what in ("elapsed_s", "wait_s", "cpu_share", "memory_share")}
    return {**found, "gpu_hours": round(sum(row["gpu_hours"] for row in rows), 4)}


def first_line(text: str | None) -> str:
    return (text or "").split("\n")[0]
