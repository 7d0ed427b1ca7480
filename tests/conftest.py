"""Shared by all tests: a quiet, offline, repeatable process, and the way to data that is not part of the project."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

# Set before anything heavy is imported, and inherited by every program that a test starts.
os.environ.update(
    HF_HUB_OFFLINE="1",  # a test that would download weights fails at once
    MPLBACKEND="Agg",
    NO_COLOR="1",
    COLUMNS="120",
    PYTHONHASHSEED="0",
    OMP_NUM_THREADS="1",  # networks of tests are so small that threads only wait for each other
    CUBLAS_WORKSPACE_CONFIG=":4096:8",
)

# Shells ignore SIGINT for what they start in the background, and every program would inherit that: Ctrl-C couldn't be tried.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parents[1]
REAL_DATA = ROOT.parent / "shared" / "real-data"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of ``tests/run.sh --fast``; files that take long come first, so that none is still running alone at the end."""
    chosen = [ROOT / line for line in (ROOT / "tests" / "fast.txt").read_text(encoding="utf-8").splitlines()]
    for item in items:
        if any(item.path.is_relative_to(part) for part in chosen) and not item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.fast)
    long = {item.path for item in items if item.get_closest_marker("slow") or item.get_closest_marker("slurm")}
    items.sort(key=lambda item: item.path not in long)


@pytest.fixture
def project_folder() -> Path:
    """The folder that holds the project under test."""
    return ROOT


@pytest.fixture
def real_data():
    """``real_data("mosaics/mercury.tif")`` gives that path, or skips the test where the data is absent."""

    def find(name: str) -> Path:
        path = REAL_DATA / name
        if not path.exists():
            pytest.skip(f"real data '{name}' is not on this machine")
        return path

    return find


@pytest.fixture
def small_disk(tmp_path):
    """A mounted disk of 256 kB in a folder of its own; skipped where mounting isn't allowed."""
    folder = tmp_path / "small disk"
    folder.mkdir()
    answer = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)], capture_output=True, text=True, check=False)
    if answer.returncode:
        pytest.skip(f"can't mount a small tmpfs: {answer.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def read_only(tmp_path):
    """A function that makes a folder unwritable even for root; skipped where mounting isn't allowed."""
    mounted: list[Path] = []

    def freeze(folder: Path) -> None:
        if os.geteuid():
            folder.chmod(0o555)
            return
        for options in (["--bind"], ["-o", "remount,ro,bind"]):
            names = [str(folder), str(folder)] if options == ["--bind"] else [str(folder)]
            answer = subprocess.run(["mount", *options, *names], capture_output=True, text=True, check=False)
            if answer.returncode:
                pytest.skip(f"can't make a folder read-only for root: {answer.stderr.strip()}")
            if options == ["--bind"]:
                mounted.append(folder)

    yield freeze
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)
