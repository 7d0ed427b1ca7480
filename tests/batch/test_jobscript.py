"""Job scripts against golden files; with hostile names nothing is executed but the cell. CRATERMILL_GOLDEN=1 writes them anew."""

import os
import subprocess
from pathlib import Path

import pytest

from cratermill.batch.jobscript import Job, own_lines, quoted
from cratermill.batch.profile import Profile, Resources
from cratermill.batch.submission import script_of

GOLDEN = Path(__file__).parent / "golden"
HOSTILE = '/data/it\'s "x" $(touch owned)\n`touch owned`;#/log/runs/r/slurm'

FULL = Profile(
    name="full",
    partition="gpu,gpu-long",
    account="my project",
    qos='it\'s "high"',
    constraint="a100|h100&ib",
    exclude="node[07-08]",
    wckey="$(touch owned)",
    gres_name="gpu:a100",
    modules=("cuda/12.4", "$(touch owned); x"),
    activate=("source /envs/it/bin/activate",),
    flags=("--reservation=of the night", "--exclusive"),
    requeue=False,
)
PLAIN = Profile(name="plain")


def job(name, folder, python, tasks=1, limit=None, **resources):
    code = folder.partition("/log/")[0] + "/log/code/0123.zip"
    return Job(name, int(name.split(".")[2]), folder, tasks, Resources(**resources), python, code, "/opt/it's/configs", limit)


CASES = {
    "plain": (job("run.train.1", "/project/log/runs/r/slurm", "/venv/bin/python"), PLAIN),
    "hostile": (
        job("run.train.12", HOSTILE, "/envs/it's $(x)/python", 3, 4, cpus=8, mem_gb=0.5, gpus=2, time_min=90),
        FULL.model_copy(update={"activate": ()}),
    ),
    "packed": (job("run.map.2", "/p/log/runs/r/slurm", "python", 2, pack=3, side_by_side=2), FULL),
    "distributed": (job("run.train.3", "/p/log/runs/r/slurm", "/v/python", cpus=3, nodes=2, tasks_per_node=4, gpus=4), PLAIN),
}


@pytest.mark.parametrize("name", CASES)
def test_golden(name):
    script = script_of(*CASES[name])
    path = GOLDEN / f"{name}.sh"
    if os.environ.get("CRATERMILL_GOLDEN"):
        path.write_text(script)
    assert script == path.read_text()


@pytest.mark.parametrize("name", CASES)
def test_scripts_are_bash(name):
    assert subprocess.run(["bash", "-n"], input=script_of(*CASES[name]), text=True, check=False).returncode == 0


def test_hostile_names_reach_the_program_unchanged(tmp_path):
    """The script runs with a program that prints its arguments; nothing else in it is executed."""
    program = tmp_path / "show it's $(x)"
    program.write_text('#!/bin/sh\nfor word in "$PYTHONPATH" "$CRATERMILL_CONFIGS" "$@"; do printf "%s\\0" "$word"; done\n')
    program.chmod(0o755)
    one = job("n.train.1", HOSTILE, str(program))
    profile = PLAIN.model_copy(update={"wckey": "$(touch owned)", "account": "`touch owned`"})
    path = tmp_path / "job.sh"
    path.write_text(script_of(one, profile))
    done = subprocess.run(["bash", str(path)], cwd=tmp_path, capture_output=True, check=True)
    assert done.stdout.decode().split("\0")[:-1] == [one.code, one.configs, "-u", "-m", "cratermill.batch", HOSTILE]
    assert not (tmp_path / "owned").exists()


def test_line_breaks_never_leave_an_sbatch_line():
    with pytest.raises(AssertionError, match="control character"):
        own_lines(CASES["plain"][0], PLAIN.model_copy(update={"account": "x\ntouch owned"}))


def test_percent_in_a_folder_is_no_placeholder():
    name = "/my 50%j/log/runs/r/slurm"
    assert '#SBATCH --output="/my 50%%j/log/runs/r/slurm/%A_%a.out"' in own_lines(job("run.train.1", name, "python"), PLAIN)


def test_quoting_for_sbatch():
    assert quoted("gpu:2") == "gpu:2" and quoted(5) == "5"
    assert quoted('a "b" c\\') == '"a \\"b\\" c\\\\"'
