"""What the launchers make of --through."""

import subprocess

import pytest

SCRIPT = 'set -euo pipefail; source "$0"; split_through train "$@"; printf "%s\\n" "${verb[@]}" -- ${rest[@]+"${rest[@]}"}'


@pytest.fixture
def split(project_folder):
    def run(*options):
        words = ["bash", "-c", SCRIPT, project_folder / "slurm" / "launcher.sh", *options]
        return subprocess.run(words, capture_output=True, text=True, timeout=300)

    return run


@pytest.mark.parametrize(
    ("options", "verb", "rest"),
    [
        ((), ["train"], []),
        (("--workers", "2"), ["train"], ["--workers", "2"]),
        (("--through", "map", "--dry-run"), ["all"], ["--dry-run"]),
        (("--set", "name=it's $(x) *", "--through=evaluate", ""), ["all", "--until", "evaluate"], ["--set", "name=it's $(x) *", ""]),
        (("--through=prepare", "--through=map"), ["all"], []),
    ],
)
def test_through_says_what_to_launch_and_leaves_the_rest(split, options, verb, rest):
    done = split(*options)
    assert (done.returncode, done.stdout.splitlines()) == (0, [*verb, "--", *rest]), done.stderr


@pytest.mark.parametrize("options", [("--through",), ("--through=",), ("--dry-run", "--through", "")])
def test_through_without_a_stage_is_refused(split, options):
    done = split(*options)
    assert done.returncode != 0 and not done.stdout and "needs a stage" in done.stderr
