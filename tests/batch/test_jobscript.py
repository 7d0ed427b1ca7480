"""Job scripts against golden files; with hostile names nothing is executed but the cell. CRATERMILL_GOLDEN=1 writes them anew."""

import os
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest

from cratermill.batch import dask_cluster
from cratermill.batch.by_submitit import script_of
from cratermill.batch.jobscript import Job, own_lines, quoted
from cratermill.batch.profile import Container, Profile, Resources

from . import fake

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
IMAGE = Container(image="/images/it's $(x).sif", bind=("/scratch/a b", "/c:/d:ro"), flags=("--rocm",))
BOXED = Profile(name="boxed", container=IMAGE)


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
    "container": (job("run.map.2", "/p it's/log/runs/r/slurm", "python", gpus=1), BOXED),
    "container-distributed": (job("run.train.3", "/p/log/runs/r/slurm", "python", nodes=2, tasks_per_node=2, gpus=2), BOXED),
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


def test_in_a_container_signals_arrive_and_the_shell_requeues(tmp_path):
    """With an apptainer that only runs what it is given: the warning reaches the cell, which asks; scontrol is called outside."""
    folder = tmp_path / "log/runs/it's/slurm"
    folder.mkdir(parents=True)
    bin = tmp_path / "bin"
    bin.mkdir()
    cell = "import os, signal, sys, time\nsignal.signal(signal.SIGUSR2, lambda *_: (open(os.environ['CRATERMILL_REQUEUE_FILE'], 'w')"
    cell += ".write('7_1'), sys.exit(75)))\nopen(os.environ['STARTED'], 'w').close()\ntime.sleep(300)\n"
    (tmp_path / "cell.py").write_text(cell)
    programs = {
        "apptainer": 'printf "%s\\0" "$@" > "$STARTED.words"; exec python3 "$CELL"',
        "scontrol": 'echo "$@" > "$STARTED.scontrol"',
    }
    for name, text in programs.items():
        (bin / name).write_text(f"#!/bin/sh\n{text}\n")
        (bin / name).chmod(0o755)
    one = Job("r.map.1", 1, str(folder), 1, Resources(gpus=1), "python", None, "/opt/it's/configs", None, str(tmp_path))
    script = tmp_path / "job.sh"
    script.write_text(script_of(one, BOXED))
    started = tmp_path / "started"
    environment = {"PATH": f"{bin}:{os.environ['PATH']}", "SLURM_JOB_ID": "9", "STARTED": str(started), "CELL": str(tmp_path / "cell.py")}
    with subprocess.Popen(["bash", str(script)], cwd=tmp_path, env=environment) as shell:
        until = time.monotonic() + fake.PATIENCE_S
        while not started.exists() and time.monotonic() < until:
            time.sleep(0.02)
        shell.send_signal(signal.SIGUSR2)
        assert shell.wait(fake.PATIENCE_S) == 75
    assert Path(f"{started}.scontrol").read_text() == "requeue 7_1\n" and not list(folder.glob("requeue-*"))
    words = Path(f"{started}.words").read_text().split("\0")[:-1]
    shown = ["--bind", str(tmp_path), "--bind", "/opt/it's/configs", "--bind", "/scratch/a b", "--bind", "/c:/d:ro"]
    assert words == ["exec", "--nv", "--rocm", *shown, IMAGE.image, "python", "-u", "-m", "cratermill.batch", str(folder)]


def test_line_breaks_never_leave_an_sbatch_line():
    with pytest.raises(AssertionError, match="control character"):
        own_lines(CASES["plain"][0], PLAIN.model_copy(update={"account": "x\ntouch owned"}))


def test_percent_in_a_folder_is_no_placeholder():
    name = "/my 50%j/log/runs/r/slurm"
    assert '#SBATCH --output="/my 50%%j/log/runs/r/slurm/%A_%a.out"' in own_lines(job("run.train.1", name, "python"), PLAIN)


def test_quoting_for_sbatch():
    assert quoted("gpu:2") == "gpu:2" and quoted(5) == "5"
    assert quoted('a "b" c\\') == '"a \\"b\\" c\\\\"'


def test_workers_of_dask_are_jobs_of_the_profile(tmp_path):
    folder = tmp_path / "it's 5% $(touch owned)"
    found = dask_cluster.script(FULL, tmp_path, folder)
    asked = FULL.resources("composite")
    assert (
        f"#SBATCH --cpus-per-task={asked.cpus}" in found and "#SBATCH --partition=gpu,gpu-long" in found and "#SBATCH -t 01:00:00" in found
    )
    assert '#SBATCH "--reservation=of the night"' in found or '#SBATCH --reservation="of the night"' in found
    assert "module load cuda/12.4 || exit 1" in found and "source /envs/it/bin/activate" in found and "--protocol tls" in found
    checked = subprocess.run(["bash", "-n"], input=found, text=True, capture_output=True)
    assert checked.returncode == 0, checked.stderr
    assert shlex.quote(str(folder / "use.sh")) in found and "5%%" in found
