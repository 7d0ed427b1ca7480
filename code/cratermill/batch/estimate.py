"""What a launch would do and how long it would take, judged by earlier cells of the same kind."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path

from ..core.files import read_json
from ..core.paths import Project
from . import state
from .plan import Plan
from .todo import todo

RECENT_RUNS = 20
MOST_RECORDS = 1000
"""Records of one run that are looked at, evenly spread; a planet's run has a hundred times as many."""


AT_A_TIME = (1, 4, 16, 64, 256)
"""Numbers of jobs at a time for which the time by the clock is told."""
MEASURED = ("seconds", "bytes", "files")
Rates = dict[tuple[tuple[str, str], bool], dict[str, float]]
"""By (stage, family) and whether a GPU was used."""


def known_rates(root: Path, middle: Callable[[list[float]], float] = statistics.median) -> Rates:
    """Median seconds, bytes and files of finished cells, from the newest runs of this project; or another ``middle``."""
    folders = sorted(Project(root).run("any").parent.glob("*/cells"), key=lambda folder: folder.stat().st_mtime)[-RECENT_RUNS:]
    values: dict[tuple[tuple[str, str], bool], dict[str, list[float]]] = {}
    for folder in folders:
        paths = sorted(folder.glob("*.json"))
        for path in paths[:: max(1, len(paths) // MOST_RECORDS)]:
            record = read_json(path) or {}
            if record.get("state") == state.DONE and record.get("seconds"):
                of_group = values.setdefault((tuple(record["group"]), bool(record.get("gpu"))), {})
                for name in MEASURED:
                    of_group.setdefault(name, []).extend([record[name]] if name in record else [])
    return {group: {name: middle(found) for name, found in one.items() if found} for group, one in values.items()}


def describe(plan: Plan, workers: int = 1, only=None, gpus: Callable[[str], float] | None = None) -> dict:
    """The launch as data: per stage and family how many cells, how many are left, and what they take by earlier cells (None: unknown).

    ``gpus``: how many GPUs a cell of a stage has to itself. Where it has any, only cells that used one say how long it takes; without
    ``gpus`` the cells of this machine do, with a GPU or not.
    """
    now = todo(plan, only)
    rates = known_rates(plan.root)
    rows: dict[tuple[str, str], dict] = {}
    for index in sorted(now.wanted):
        group = plan.cells[index].group
        row = rows.setdefault(group, {"stage": group[0], "family": group[1], "cells": 0, "done": 0, "todo": 0})
        row["cells"] += 1
        row["done" if index in now.done else "todo"] += 1
    for group, row in rows.items():
        known = _rates_for(rates, group, None if gpus is None else gpus(group[0]) > 0)
        row["seconds_per_cell"] = known.get("seconds")
        row |= {name: known[name] * row["todo"] if name in known else None for name in MEASURED}
    left = [row for row in rows.values() if row["todo"]]
    total = _sum(left, "seconds")
    keys = [plan.cells[index].key for index in now.left]
    found = {"run": plan.run, "workers": workers, "stages": list(rows.values()), "todo": keys}
    found |= {"seconds": None if total is None else total / workers, "bytes": _sum(left, "bytes"), "files": _sum(left, "files")}
    found["unknown"] = [" ".join(filter(None, (row["stage"], row["family"]))) for row in left if row["seconds"] is None]
    found["clock_s"] = {str(jobs): _clock(left, jobs) for jobs in AT_A_TIME}
    if gpus is not None:
        found["gpu_hours"] = None if total is None else sum(row["seconds"] * gpus(row["stage"]) for row in left) / 3600
    return found


def _rates_for(rates: Rates, group: tuple[str, str], gpu: bool | None) -> dict[str, float]:
    """What is known of a group; of ``gpu`` True nothing that ran without one, else rather what ran without."""
    with_gpu, without = rates.get((group, True), {}), rates.get((group, False), {})
    if gpu is None:
        return with_gpu or without
    return with_gpu if gpu else without or with_gpu


def _sum(rows: list[dict], name: str) -> float | None:
    return None if any(row[name] is None for row in rows) else sum(row[name] for row in rows)


def _clock(rows: list[dict], jobs: int) -> float | None:
    """Seconds by the clock with so many cells at a time, one stage after another, none waiting in a queue."""
    if any(row["seconds"] is None for row in rows):
        return None
    return sum(-(-row["todo"] // jobs) * row["seconds_per_cell"] for row in rows)


def describe_text(description: dict) -> str:
    """The same for people."""
    lines = [f"run {description['run']}: {len(description['todo'])} cells to do"]
    for row in description["stages"]:
        name = " ".join(filter(None, (row["stage"], row["family"])))
        each = f", about {duration_text(row['seconds_per_cell'])} each" if row["seconds_per_cell"] else ""
        lines.append(f"  {name}: {row['todo']} to do, {row['done']} done{each}")
    if description["seconds"] is not None:
        lines.append(f"  estimate: {duration_text(description['seconds'])} with {description['workers']} worker(s)")
    else:
        lines.append("  no estimate yet: no earlier cells of some of these kinds")
    return "\n".join([*lines, *(f"  {line}" for line in cost_lines(description))])


def cost_lines(description: dict) -> list[str]:
    """What earlier cells of the same kinds say of time, disk and files; which of it nobody knows yet."""
    from ..core.room import readable

    lines = []
    if description["unknown"]:
        lines.append(f"unknown, since no cell of these was finished on such a machine yet: {', '.join(description['unknown'])}")
    elif description["todo"]:
        lines.append("by earlier cells: " + ", ".join(f"{jobs} at a time {duration_text(s)}" for jobs, s in description["clock_s"].items()))
    if description.get("gpu_hours") is not None:
        lines.append(f"by earlier cells: {description['gpu_hours']:.3g} GPU-hours")
    if description["bytes"] is not None and description["todo"]:
        lines.append(f"what cells keep in log/: about {readable(description['bytes'])} in {description['files']:,.0f} files")
    elif description["todo"]:
        lines.append("disk and files: unknown")
    return lines


def number_of(count: int, what: str) -> str:
    """`1 cell`, `2 cells`."""
    return f"{count} {what}" + ("" if count == 1 else "s")


def duration_text(seconds: float) -> str:
    """`0.4 s`, `45 s`, `12 min`, `3 h 20 min`, `2 d 4 h`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"
