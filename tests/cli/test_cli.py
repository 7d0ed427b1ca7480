"""The command line as a whole: quick to start, complete, and the same through every door."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cratermill import __version__
from cratermill.cli import app

SCRIPT = Path(sys.prefix) / "bin" / "cratermill"
HEAVY = ["numpy", "pandas", "pydantic", "torch", "rasterio", "yaml", "rich", "lightning", "geopandas", "scipy"]


def call(*arguments, **options):
    return subprocess.run([sys.executable, "-m", "cratermill", *arguments], capture_output=True, text=True, check=False, **options)


def test_help_starts_quickly():
    seconds = []  # of computing, which a busy machine doesn't change
    for _ in range(3):
        before = sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
        assert call("--help").returncode == 0
        seconds.append(sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2]) - before)
    assert min(seconds) < 0.5


def test_nothing_heavy_is_imported_for_help():
    code = "import sys, cratermill.cli; print(*[name for name in sys.argv[1:] if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code, *HEAVY], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == []


def leaves(command, path=()):
    if not hasattr(command, "commands"):
        yield path, command
        return
    for name, sub in command.commands.items():
        yield from leaves(sub, (*path, name))


def commands():
    from typer.main import get_command

    return dict(leaves(get_command(app)))


@pytest.mark.parametrize("path", commands(), ids=" ".join)
def test_every_verb_explains_itself(path):
    answer = CliRunner().invoke(app, [*path, "--help"])
    assert answer.exit_code == 0
    command = commands()[path]
    assert command.help
    assert all(parameter.help for parameter in command.params if parameter.name != "help"), "each option has a help text"


def test_version_and_script():
    assert CliRunner().invoke(app, ["--version"]).stdout == f"cratermill {__version__}\n"
    assert subprocess.run([SCRIPT, "--version"], capture_output=True, text=True, check=True).stdout == f"cratermill {__version__}\n"


def test_shell_completion_is_shown_and_installed(tmp_path):
    # Typer asks which shell called it; the second command keeps bash from replacing itself with the first.
    command = f"'{SCRIPT}' --show-completion; '{SCRIPT}' --install-completion; true"
    answer = subprocess.run(["bash", "-c", command], env={**os.environ, "HOME": str(tmp_path)}, capture_output=True, text=True, check=True)
    assert "_CRATERMILL_COMPLETE=complete_bash" in answer.stdout
    assert "cratermill" in (tmp_path / ".bashrc").read_text()


def test_completion_offers_verbs_and_runs(tmp_path):
    (tmp_path / "log" / "runs" / "moon-12345678").mkdir(parents=True)
    (tmp_path / "log" / "runs" / "moon-12345678" / "plan.json").touch()

    def offered(words, number):
        env = {**os.environ, "_CRATERMILL_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(number)}
        return subprocess.run([SCRIPT], env=env, cwd=tmp_path, capture_output=True, text=True, check=False).stdout.split()

    assert "doctor" in offered("cratermill ", 1)
    assert offered("cratermill sta", 1) == ["status"]
    assert offered("cratermill status m", 2) == ["moon-12345678"]
