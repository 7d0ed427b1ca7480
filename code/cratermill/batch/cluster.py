"""Launching on a cluster, from profile to jobs in the queue; and what that would cost."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from ..core.errors import CratermillError, InputError
from ..core.paths import Project
from . import operations, preflight, slurm_state, snapshot, status, submissions
from .dry_run import text_of
from .executor import Executor, executor_of, given_to, note_given
from .plan import Plan, freeze
from .profile import Profile, load_profile
from .slurm import SlurmExecutor
from .slurm import cancel as cancel_jobs
from .slurm_state import SlurmRun
from .workspace import check_products

PROFILE_VARIABLE = "CRATERMILL_PROFILE"


def choose_profile(name: str | None, root: Path, known_stages: Collection[str] = ()) -> Profile:
    """The profile named here or by $CRATERMILL_PROFILE; InputError with the names there are, when none is."""
    name = name or os.environ.get(PROFILE_VARIABLE)
    if not name:
        names = ", ".join(sorted(path.stem for path in (root / "configs/clusters").glob("*.yaml"))) or "none yet"
        next_step = "name one with --profile; copy configs/clusters/example.yaml to make one"
        raise InputError("A cluster needs a profile", valid=names, next_step=next_step)
    return load_profile(name, root, known_stages)


def require_slurm(profile: Profile) -> None:
    if profile.executor != "slurm":
        where = "this machine" if profile.executor == "local" else f"{profile.executor}: launch again does what is missing or failed"
        raise InputError(f"Profile {profile.name} is for {where}", next_step="choose a profile of Slurm, or --executor local")


def launch(
    plan: Plan,
    profile: Profile,
    *,
    overwrite: bool = False,
    wait: bool = False,
    more_checks: Callable[[], list[preflight.Check]] | None = None,
    say: Callable[[str], None] = print,
) -> int:
    """Check, freeze and submit what a plan still lacks; returns 0, or with `wait` the exit code of the finished run.

    Stays in the foreground only while the user's quota leaves no room for the rest; it may be killed and given again.
    """
    check_products(plan, overwrite)
    executor = executor_of(plan, profile, say)
    if _is_wanted(executor):
        executor.check(more_checks)
    freeze(plan)
    note_given(plan, profile)
    outcome = executor.submit()
    executor.see_through(outcome)
    say(status.results_line(plan) or f"results will lie in {Project(plan.root).results}; their names are said by status once all is done")
    say(f"Next: cratermill status {plan.run} --watch")
    return status.show(plan, watch=True, observe=observer(plan)) if wait else outcome.exit_code


def _is_wanted(executor: Executor) -> bool:
    """Whether there is anything to do; where that can't be seen, `check` says why."""
    try:
        return bool(executor.wanted(executor.observe()))
    except CratermillError:
        return True


def observer(plan: Plan) -> status.Observe | None:
    """How to look at a run: through the scheduler that it was given to, or (None) by its own files."""
    if submissions.read(plan):
        return slurm_state.watch
    executor = given_to(plan)
    return None if executor is None else lambda _: executor.observe()


def describe(plan: Plan, profile: Profile) -> dict[str, Any]:
    """What a launch would submit now, with the site's limits; without a scheduler, what the run's files say."""
    executor = executor_of(plan, profile)
    if not isinstance(executor, SlurmExecutor):
        return executor.describe(executor.observe())
    try:
        executor.profile, run = preflight.with_site_limits(profile), executor.observe()
    except CratermillError:
        run = SlurmRun(plan, snapshot.read_states(plan))
    return executor.describe(run)


def dry_run(plan: Plan, profile: Profile, as_json: bool = False, say: Callable[[str], None] = print) -> int:
    found = describe(plan, profile)
    say(text_of(found) if profile.executor == "slurm" and not as_json else json.dumps(found, indent=None if as_json else 1))
    return 0


def cancel(plan: Plan, only: Collection[int] | None = None) -> list[int]:
    """Cancel what a run, or some of its cells, have in a queue; returns the cells concerned."""
    if not submissions.read(plan) and (executor := given_to(plan)) is not None:
        return executor.cancel(only)
    operations.require_submitted(plan)
    return cancel_jobs(plan, only)
