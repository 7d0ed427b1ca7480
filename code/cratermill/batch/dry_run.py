"""What a launch on Slurm would submit, as data and for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import dependencies, estimate
from .chunks import Chunk
from .dependencies import After
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
    afters = _afters(run, chunks, profile)
    measured = estimate.describe(plan, gpus=lambda stage: _gpus(profile.resources(stage)))
    named = [(number, f"{plan.run}.{chunk.stage}.{number}", chunk) for number, chunk in enumerate(chunks, start=1)]
    scripts = [executor.script(*one, after.at_once) for one, after in zip(named, afters, strict=True)]
    return {
        "run": plan.run,
        "profile": profile.name,
        "cells": len(wanted),
        "in_queue": sum(run.active(cell.index) for cell in plan.cells),
        "jobs": sum(chunk.size for chunk in chunks),
        "submissions": len(chunks),
        "gpu_hours": round(sum(_gpu_hours(chunk) for chunk in chunks), 2),
        "longest_chain_min": _longest_chain(chunks, afters),
        "stages": [{"stage": chunk.stage, "tasks": chunk.size, **chunk.resources.model_dump()} for chunk in chunks],
        "after": [[_named(job) for job in _in_order(after.jobs)] for after in afters],
        "scripts": scripts,
        "limits": {"max_array_size": profile.limits.max_array_size, "max_submitted": profile.limits.max_submitted},
        "measured": {name: value for name, value in measured.items() if name not in ("todo", "stages")} | {"todo": len(measured["todo"])},
    }


def _afters(run: SlurmRun, chunks: Sequence[Chunk], profile: Profile) -> list[After]:
    """What each submission would wait for; numbers below zero are submissions that are no jobs yet."""
    known, found = dependencies.Known(run, profile.limits.max_concurrent, chunks), []
    for number, chunk in enumerate(chunks, start=1):
        found.append(after := known.after(chunk))
        known.add(Submission(number, "", chunk.stage, chunk.tasks, {}, after.jobs, after.how, job_id=-number, pull=chunk.pull))
    return found


def _is_new(job: int | str) -> bool:
    return dependencies.array_of(job) < 0


def _named(job: int | str) -> str:
    return f"submission {str(job)[1:]}" if _is_new(job) else f"job {job}"


def _in_order(jobs: Sequence[int | str]) -> list[int | str]:
    return sorted(jobs, key=lambda job: (_is_new(job), abs(dependencies.array_of(job)), str(job)))


def _gpus(asked: Resources) -> float:
    """GPUs that one cell has to itself."""
    return asked.gpus * asked.nodes / asked.side_by_side


def _gpu_hours(chunk: Chunk) -> float:
    asked = chunk.resources
    return asked.gpus * asked.nodes * asked.time_min / 60 * chunk.size


def _longest_chain(chunks: Sequence[Chunk], afters: Sequence[After]) -> int:
    """Minutes, if every job took its whole time limit and waited for nothing but others of its run."""
    ends = dict[int, int]()
    for number, (chunk, after) in enumerate(zip(chunks, afters, strict=True), start=1):
        rounds = -(-chunk.size // (after.at_once or chunk.size))
        begins = max((ends.get(-dependencies.array_of(job), 0) for job in after.jobs), default=0)
        ends[number] = begins + rounds * chunk.resources.time_min
    return max(ends.values(), default=0)


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
