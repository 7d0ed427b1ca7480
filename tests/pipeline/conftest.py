"""A tiny project, prepared once, and trained once, for all tests of the stages."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.tiny import tiny_project


@pytest.fixture(scope="session")
def prepared(tmp_path_factory) -> Path:
    """The config of a prepared tiny project; tests must not change it."""
    return tiny_project(tmp_path_factory.mktemp("tiny o'brien"))


@pytest.fixture(scope="session")
def trained(prepared: Path, tmp_path_factory) -> Path:
    """The config of a tiny project with all its cells done."""
    from cratermill.batch.cell import run_cell
    from cratermill.batch.plan import freeze
    from cratermill.pipeline import run_cell as science
    from cratermill.pipeline.launch import plan_training
    from cratermill.pipeline.load_config import load_config

    config = copy_project(prepared, tmp_path_factory.mktemp("trained"))
    plan = plan_training(load_config(config))
    freeze(plan)
    for cell in plan.cells:
        result = run_cell(plan, cell.index, science)
        assert result.state == "done", f"{cell.key}: {result.cause}"
    return config


@pytest.fixture
def project(prepared: Path, tmp_path: Path) -> Path:
    """The config of a prepared project of the test's own."""
    return copy_project(prepared, tmp_path)


def copy_project(config: Path, to: Path) -> Path:
    root = config.parents[1]
    shutil.copytree(root, to / "project")
    return to / "project" / config.relative_to(root)
