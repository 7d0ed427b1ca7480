"""A hand-made folder of EJMAP's, and a copy of it that a test may spoil."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cratermill.ejmap_import import Options, Report, import_ejmap
from tests.ejmap_folder import ejmap_folder
from tests.tiny import tiny_project


@pytest.fixture(scope="session")
def prepared(tmp_path_factory) -> Path:
    """The config of the prepared project that EJMAP's folder is made from."""
    return tiny_project(tmp_path_factory.mktemp("prepared"))


@pytest.fixture(scope="session")
def whole(prepared: Path, tmp_path_factory) -> Path:
    """EJMAP's folder; tests must not change it."""
    return ejmap_folder(tmp_path_factory.mktemp("ejmap") / 'EJ "map" o\'brien', prepared)


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """A copy of EJMAP's folder that belongs to the test."""
    return Path(shutil.copytree(whole, tmp_path / whole.name))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty project."""
    (tmp_path / "my project" / "configs").mkdir(parents=True)
    return tmp_path / "my project"


@pytest.fixture
def bring(root: Path):
    """``bring(folder, trust=True, …)`` imports into ``data/mercury`` of the empty project."""

    def run(folder: Path, **options) -> Report:
        return import_ejmap(folder, root, Options("data/mercury", **options), lambda *_: None)

    return run
