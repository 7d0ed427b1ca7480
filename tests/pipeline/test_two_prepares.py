"""Two ``cratermill prepare`` of one data folder at once are one after the other."""

from __future__ import annotations

import subprocess
import sys
import time

from tests.conftest import ROOT
from tests.families.chips_common.case import write_project


def test_of_two_at_once_the_second_waits_and_finds_nothing_to_do(tmp_path):
    config = str(write_project(tmp_path, "sgan"))
    commands = [["-m", "tests.pipeline.held_prepare", str(tmp_path), config], ["-m", "cratermill", "prepare", config]]
    started: list[subprocess.Popen[str]] = []
    try:
        for command in commands:
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
            started.append(subprocess.Popen([sys.executable, *command], cwd=ROOT, **pipes))
            while len(started) == 1 and not (tmp_path / "held").exists():
                assert started[0].poll() is None, started[0].communicate()
                time.sleep(0.05)
        assert started[1].stderr is not None
        said = next(line for line in started[1].stderr if not line.startswith("prepare: "))  # which says what it begins with
        assert f"waiting: process {started[0].pid} on" in said and "prepares" in said
        (tmp_path / "go").touch()
        answers = [process.communicate(timeout=900)[0] for process in started]
        assert [process.returncode for process in started] == [0, 0]
        assert "1 steps done" in answers[0] and "nothing to do" in answers[1]
    finally:
        (tmp_path / "go").touch()
        for process in started:
            process.kill()
            process.wait()
