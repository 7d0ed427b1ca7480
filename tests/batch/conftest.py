import os
import subprocess
from pathlib import Path

import pytest


@pytest.fixture
def root(tmp_path):
    """A project folder with a name that breaks whatever forgets to quote."""
    folder = tmp_path / 'a project\'s $(folder) "x"'
    folder.mkdir()
    return folder


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
