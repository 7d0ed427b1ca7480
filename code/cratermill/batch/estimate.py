"""What a launch would do and how long it would take, judged by earlier cells of the same kind."""

from __future__ import annotations

import statistics
from pathlib import Path

from ..core.files import read_json
from ..core.paths import Project
from . import state
from .graph import Graph
from .plan import Plan

RECENT_RUNS = 20


def known_durations(root: Path) -> dict[tuple[str, str], float]:
    """Median seconds of finished cells by (stage, family), from the newest runs of this project."""
    folders = sorted(Project(root).run("any").parent.glob("*/cells"), key=lambda folder: folder.stat().st_mtime)[-RECENT_RUNS:]
    seconds: dict[tuple[str, str], list[float]] = {}
    for folder in folders:
        for path in folder.glob("*.json"):
            record = read_json(path) or {}
            if record.get("state") == state.DONE and record.get("seconds"):
                seconds.setdefault(tuple(record["group"]), []).append(record["seconds"])
    return {group: statistics.median(values) for group, values in seconds.items()}


def describe(plan: Plan, workers: int = 1, only=None) -> dict:
    """The launch as data: per stage and family how many cells, how many are left, and an estimate in seconds (or None)."""
    graph = Graph(plan, only)
    durations = known_durations(plan.root)
    rows: dict[tuple[str, str], dict] = {}
    for index in sorted(graph.wanted):
        group = plan.cells[index].group
        row = rows.setdefault(group, {"stage": group[0], "family": group[1], "cells": 0, "done": 0, "todo": 0})
        row["cells"] += 1
        row["todo" if index in graph.todo else "done"] += 1
    for group, row in rows.items():
        row["seconds_per_cell"] = durations.get(group)
        row["seconds"] = None if group not in durations else durations[group] * row["todo"]
    needed = [row["seconds"] for row in rows.values() if row["todo"]]
    total = None if None in needed else sum(needed) / workers
    todo = [plan.cells[index].key for index in graph.todo]
    return {"run": plan.run, "workers": workers, "stages": list(rows.values()), "seconds": total, "todo": todo}


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
    return "\n".join(lines)


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
