"""Launching on a cluster, from profile to jobs in the queue; and what that would cost."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from ..core.errors import CratermillError, InputError
from ..core.paths import Project
from . import preflight, slurm_state, state, status
from .dry_run import text_of
from .estimate import number_of
from .plan import Plan, freeze
from .profile import Profile, load_profile
from .slurm import SlurmExecutor, Submitted
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
        raise InputError(f"Profile {profile.name} is for this machine", next_step="choose a cluster's profile, or --executor local")


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
    require_slurm(profile)
    check_products(plan, overwrite)
    profile = preflight.with_site_limits(profile)
    preflight.require(preflight.run_checks(plan, profile, more_checks))
    freeze(plan)
    executor = SlurmExecutor(plan, profile, say)
    submitted = executor.submit()
    _tell(plan, submitted, say)
    if submitted.left:
        submitted = executor.feed(submitted)
        say("all submitted")
    return status.show(plan, watch=True, observe=slurm_state.watch) if wait else 0


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
    say(status.results_line(plan) or f"results will lie in {Project(plan.root).results}; their names are said by status once all is done")
    say(f"Next: cratermill status {plan.run} --watch")


def describe(plan: Plan, profile: Profile) -> dict[str, Any]:
    """What a launch would submit now, with the site's limits; without a scheduler, what the run's files say."""
    try:
        profile, run = preflight.with_site_limits(profile), slurm_state.look(plan)
    except CratermillError:
        run = SlurmRun(plan, state.read_states(plan))
    return SlurmExecutor(plan, profile).describe(run)


def dry_run(plan: Plan, profile: Profile, as_json: bool = False, say: Callable[[str], None] = print) -> int:
    found = describe(plan, profile)
    say(json.dumps(found) if as_json else text_of(found))
    return 0
