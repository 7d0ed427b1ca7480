"""What a launch on Slurm would submit, as data and for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import dependencies, estimate
from .chunks import Chunk
from .estimate import duration_text, number_of
from .profile import Profile, Resources
from .slurm_state import SlurmRun
from .submissions import Submission

if TYPE_CHECKING:
    from .slurm import SlurmExecutor


def describe(executor: SlurmExecutor, run: SlurmRun) -> dict[str, Any]:
    """Scripts, jobs, what waits for what, and bounds by the time limits on GPU-hours and on the longest chain."""
    plan, profile = executor.plan, executor.profile
    wanted = executor.wanted(run)
    chunks = executor.chunks(wanted, run=run)
    measured = estimate.describe(plan, gpus=lambda stage: _gpus(profile.resources(stage)))
    scripts = [executor.script(number, f"{plan.run}.{chunk.stage}.{number}", chunk) for number, chunk in enumerate(chunks, start=1)]
    return {
        "run": plan.run,
        "profile": profile.name,
        "cells": len(wanted),
        "in_queue": sum(run.active(cell.index) for cell in plan.cells),
        "jobs": sum(chunk.size for chunk in chunks),
        "submissions": len(chunks),
        "gpu_hours": round(sum(_gpu_hours(chunk) for chunk in chunks), 2),
        "longest_chain_min": _longest_chain(chunks, profile),
        "stages": [{"stage": chunk.stage, "tasks": chunk.size, **chunk.resources.model_dump()} for chunk in chunks],
        "after": _afters(run, chunks, profile),
        "scripts": scripts,
        "limits": {"max_array_size": profile.limits.max_array_size, "max_submitted": profile.limits.max_submitted},
        "measured": {name: value for name, value in measured.items() if name not in ("todo", "stages")} | {"todo": len(measured["todo"])},
    }


def _afters(run: SlurmRun, chunks: Sequence[Chunk], profile: Profile) -> list[list[str]]:
    """What each submission would wait for: others by their number here, jobs in the queue by their id."""
    known, found = dependencies.Known(run, profile.limits.max_concurrent), []
    for number, chunk in enumerate(chunks, start=1):
        after = known.after(chunk)
        found.append([f"submission {-job}" if isinstance(job, int) and job < 0 else f"job {job}" for job in _in_order(after.jobs)])
        # Numbers below zero are no jobs yet.
        known.add(Submission(number, "", chunk.stage, chunk.tasks, {}, job_id=-number, pull=chunk.pull))
    return found


def _in_order(jobs: Sequence[int | str]) -> list[int | str]:
    return sorted(jobs, key=lambda job: (isinstance(job, int) and job < 0, abs(job) if isinstance(job, int) else 0, str(job)))


def _gpus(asked: Resources) -> float:
    """GPUs that one cell has to itself."""
    return asked.gpus * asked.nodes / asked.side_by_side


def _gpu_hours(chunk: Chunk) -> float:
    asked = chunk.resources
    return asked.gpus * asked.nodes * asked.time_min / 60 * chunk.size


def _longest_chain(chunks: Sequence[Chunk], profile: Profile) -> int:
    """Minutes, if every job took its whole time limit and none waited but for `max_concurrent`."""
    levels: dict[int, int] = {}
    for chunk in chunks:
        at_a_time = profile.limits.max_concurrent or chunk.size
        rounds = -(-chunk.size // at_a_time)
        minutes = rounds * chunk.resources.time_min
        # Arrays of one level run one after another where the number of running jobs is bounded, else side by side.
        before = levels.get(chunk.level, 0)
        levels[chunk.level] = before + minutes if profile.limits.max_concurrent else max(before, minutes)
    return sum(levels.values())


def text_of(found: dict[str, Any]) -> str:
    """The same for people."""
    lines = []
    for number, (script, after) in enumerate(zip(found["scripts"], found["after"], strict=True), start=1):
        begins = f", begins when {', '.join(after)} ended" if after else ""
        lines += [f"--- submission {number} of {found['submissions']}{begins}", script.rstrip()]
    cells, jobs, submissions = (number_of(found[name], name[:-1]) for name in ("cells", "jobs", "submissions"))
    lines.append("---")
    if found["in_queue"]:
        lines.append(f"in the queue already: {number_of(found['in_queue'], 'cell')}")
    lines.append(f"run {found['run']} on {found['profile']}: {cells} in {jobs}, {submissions}")
    chain = duration_text(found["longest_chain_min"] * 60)
    lines.append(f"at most {found['gpu_hours']} GPU-hours, longest chain {chain} (if every job took its whole time limit)")
    lines += estimate.cost_lines(found["measured"])
    room = found["limits"]["max_submitted"]
    if room and found["jobs"] > room:
        lines.append(f"your quota takes {room} of these jobs at a time: the launch stays and submits the rest as room appears")
    lines.append("nothing was submitted")
    return "\n".join(lines)
