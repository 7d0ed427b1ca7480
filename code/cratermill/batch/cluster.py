"""Launching on a cluster, from profile to jobs in the queue; and what that would cost."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from ..core.errors import CratermillError, InputError
from . import preflight, slurm_state, state, status
from .estimate import duration_text, number_of
from .plan import Plan, freeze
from .profile import Profile, load_profile
from .slurm import Chunk, SlurmExecutor, Submitted, at_work
from .workspace import check_products

PROFILE_VARIABLE = "CRATERMILL_PROFILE"


def choose_profile(name: str | None, root: Path, known_stages=()) -> Profile:
    """The profile named here or by $CRATERMILL_PROFILE; InputError with the names there are, when none is."""
    name = name or os.environ.get(PROFILE_VARIABLE)
    if not name:
        names = ", ".join(sorted(path.stem for path in (root / "configs/clusters").glob("*.yaml"))) or "none yet"
        next_step = "name one with --profile; copy configs/clusters/example.yaml to make one"
        raise InputError("A cluster needs a profile", valid=names, next_step=next_step)
    return load_profile(name, root, known_stages)


def require_slurm(profile: Profile) -> None:
    if profile.executor != "slurm":
        raise InputError(f"Profile {profile.name} is for this machine", next_step="choose a cluster's profile, or --executor local")


def launch(
    plan: Plan,
    profile: Profile,
    *,
    overwrite: bool = False,
    wait: bool = False,
    more_checks: Callable | None = None,
    say: Callable[[str], None] = print,
) -> int:
    """Check, freeze and submit what a plan still lacks; returns 0, or with `wait` the exit code of the finished run.

    Stays in the foreground only while the user's quota leaves no room for the rest; it may be killed and given again.
    """
    require_slurm(profile)
    check_products(plan, overwrite)
    profile = preflight.with_site_limits(profile)
    preflight.require(preflight.run_checks(plan, profile, more_checks))
    freeze(plan)
    executor = SlurmExecutor(plan, profile, say)
    submitted = executor.launch()
    _tell(plan, submitted, say)
    if submitted.left:
        submitted = executor.feed(submitted)
        say("all submitted")
    return status.show(plan, watch=True, read=slurm_state.states) if wait else 0


def _tell(plan: Plan, submitted: Submitted, say: Callable[[str], None]) -> None:
    if not submitted.submissions and not submitted.left:
        found = status.counts(slurm_state.look(plan).states)
        say(f"{plan.run}: nothing to submit ({status.counts_text(found)})")
    else:
        say(f"{plan.run}: {number_of(submitted.cells, 'cell')} submitted")
    if submitted.left:
        say(
            f"{number_of(len(submitted.left), 'cell')} left for when there is room in your quota; Ctrl-C is harmless, launch again to go on"
        )
    say(f"Next: cratermill status {plan.run} --watch")


def describe(plan: Plan, profile: Profile, with_scripts: bool = True) -> dict:
    """What a launch would submit now: scripts, jobs, and bounds by the time limits on GPU-hours and on the longest chain."""
    profile, run = _as_known(plan, profile)
    executor = SlurmExecutor(plan, profile)
    wanted = executor.wanted(run)
    chunks = executor.chunks(wanted)
    scripts = [executor.script(number, f"{plan.run}.{chunk.stage}.{number}", chunk) for number, chunk in enumerate(chunks, start=1)]
    return {
        "run": plan.run,
        "profile": profile.name,
        "cells": len(wanted),
        "in_queue": sum(run.active(cell.index) for cell in plan.cells),
        "jobs": sum(len(chunk.tasks) for chunk in chunks),
        "submissions": len(chunks),
        "gpu_hours": round(sum(_gpu_hours(chunk) for chunk in chunks), 2),
        "longest_chain_min": _longest_chain(chunks, profile),
        "stages": [{"stage": chunk.stage, "tasks": len(chunk.tasks), **chunk.resources.model_dump()} for chunk in chunks],
        "after": _afters(executor, run, chunks),
        "scripts": scripts if with_scripts else [],
    }


def _as_known(plan: Plan, profile: Profile) -> tuple[Profile, slurm_state.Run]:
    """The profile with the site's limits and the run as the queue shows it; without a scheduler, what their files say."""
    try:
        return preflight.with_site_limits(profile), slurm_state.look(plan)
    except CratermillError:
        return profile, slurm_state.Run(plan, [], {}, state.read_states(plan))


def _afters(executor: SlurmExecutor, run: slurm_state.Run, chunks: list[Chunk]) -> list[list[str]]:
    """What each submission would wait for: others by their number here, jobs in the queue by their id."""
    jobs_of = {index: f"job {one.job_id}" for index, one in run.latest.items() if one.job_id in run.active_ids}
    before, found = {f"job {job_id}" for job_id in at_work(run)}, []
    for number, chunk in enumerate(chunks, start=1):
        found.append(sorted(executor.waits_for(chunk, jobs_of, before)))
        before = {f"submission {number}"}
        jobs_of.update({index: f"submission {number}" for task in chunk.tasks for index in task})
    return found


def _gpu_hours(chunk: Chunk) -> float:
    asked = chunk.resources
    return asked.gpus * asked.nodes * asked.time_min / 60 * len(chunk.tasks)


def _longest_chain(chunks: list[Chunk], profile: Profile) -> int:
    """Minutes, if every job took its whole time limit and none waited but for `max_concurrent`."""
    levels: dict[int, int] = {}
    for chunk in chunks:
        at_a_time = profile.limits.max_concurrent or len(chunk.tasks)
        rounds = -(-len(chunk.tasks) // at_a_time)
        minutes = rounds * chunk.resources.time_min
        # Arrays of one level run one after another where the number of running jobs is bounded, else side by side.
        before = levels.get(chunk.level, 0)
        levels[chunk.level] = before + minutes if profile.limits.max_concurrent else max(before, minutes)
    return sum(levels.values())


def describe_text(found: dict) -> str:
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
    lines.append("nothing was submitted")
    return "\n".join(lines)


def dry_run(plan: Plan, profile: Profile, as_json: bool = False, say: Callable[[str], None] = print) -> int:
    found = describe(plan, profile)
    say(json.dumps(found) if as_json else describe_text(found))
    return 0
