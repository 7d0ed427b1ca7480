"""One interface, two executors: wanted, describe, submit, observe."""

import pytest

from cratermill.batch import executor as executors
from cratermill.batch.plan import freeze, load
from cratermill.batch.profile import Profile

from . import fake
from .test_slurm import slurm  # noqa: F401 - a fixture


@pytest.mark.parametrize("name", executors.EXECUTORS)
def test_a_profile_names_its_executor(root, slurm, name):  # noqa: F811
    plan = load(freeze(fake.plan_of(root, [{}, {"needs": [0], "stage": "evaluate"}])))
    made = executors.executor_of(plan, Profile(name="x", executor=name), lambda _: None)
    run = made.observe()
    assert [cell.state for cell in run.states] == ["waiting", "waiting"] and not run.active(0) and not run.done(0)
    assert made.wanted(run) == [0, 1]
    assert made.describe(run)["run"] == plan.run
    assert hasattr(made, "submit") and not list(plan.folder.glob("slurm/*.json")), "so far it only looked"
