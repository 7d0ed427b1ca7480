"""What a person types on a cluster, from `doctor` to the map: the launchers, a profile's file, jobs submitted by hand."""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import yaml

from cratermill.batch import scheduler, submissions
from cratermill.batch.by_submitit import script_of
from cratermill.batch.jobscript import Job
from cratermill.batch.plan import find_run
from cratermill.batch.profile import Profile, Resources
from cratermill.pipeline.load_config import load_config
from tests.batch import fake
from tests.slurm.runs import ENVIRONMENT, PATIENCE_S, TIME_MIN, Bench, Follower
from tests.tiny import tiny_project

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

PROFILE = {
    "executor": "slurm",
    "partition": "main",
    "default": {"cpus": 1, "mem_gb": 1.5, "time_min": TIME_MIN},
    "flags": ["--comment=it's $(touch owned)"],
    "limits": {"max_concurrent": 3},
}


@pytest.fixture
def shell(slurm_cluster, project_folder, tmp_path, monkeypatch):
    """A function that runs a line of shell in a project as install.sh leaves it; says what it printed."""
    root = tmp_path / "Anna's 5% craters"
    root.mkdir()
    shutil.copytree(project_folder / "slurm", root / "slurm")
    (root / "install.sh").write_text("exit 0\n")
    (root / ".venv").symlink_to(project_folder / ".venv")
    here = {"SLURM_CONF": slurm_cluster.env["SLURM_CONF"], "PATH": f"{root}/.venv/bin:{os.environ['PATH']}", **ENVIRONMENT}
    for name, value in here.items():
        monkeypatch.setenv(name, value)

    def run(line: str, code: int = 0) -> str:
        done = subprocess.run(["bash", "-c", line], cwd=root, capture_output=True, text=True, timeout=2 * PATIENCE_S)
        assert done.returncode == code, f"{line}\n{done.stdout}{done.stderr}"
        return done.stderr + done.stdout

    run.root = root
    yield run
    slurm_cluster.clear()


def write_profile(root: Path, **other) -> None:
    path = root / "configs/clusters/mine.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(PROFILE | other))


def test_from_a_profile_to_a_map(shell):
    config = tiny_project(shell.root)
    write_profile(shell.root)
    content = yaml.safe_load(config.read_text())
    for family in content["train"].values():
        family["iterations"] = 1
    content["map"] = {"versions": {"connection": 3, "ejecta": 8}, "craters": [1]}
    content["map"] |= {"analyse": True, "compare": {"truth": "data/tiny", "pictures": 0}}
    config.write_text(yaml.safe_dump(content))
    assert "configs/clusters" in shell("bash slurm/training_slurm_launch.sh configs/tiny.yaml --dry-run", code=2)
    # One cell by hand, as --freeze says; the launcher then does the rest.
    said = shell("cratermill launch train configs/tiny.yaml --freeze")
    line = next(line for line in said.splitlines() if "--array=0-1" in line).replace(
        "--array=0-1", "--array=0 --mem=1500M -c1 --gres=gpu:0"
    )
    shell(line)
    run = find_run(shell.root, "latest")
    Follower(run).wait(lambda states: states[0].state == "done", "the cell by hand")
    said = shell("bash slurm/training_slurm_launch.sh configs/tiny.yaml --through map --profile mine --wait")
    assert "8 cells submitted" in said and re.search(r"9 done[^\n]*\n(?:.*\n)*.*results: [^\n]+$", said.rstrip()), said
    assert re.search(r"composite: job \d+, 1 cell in 1 task, after \d+", said), said
    assert re.search(r"analyse: job \d+", said) and re.search(r"compare: job \d+", said), said
    assert "nothing to retry" in shell("cratermill retry latest"), "with the launch's profile"
    said = shell("bash slurm/mapping_slurm_launch.sh configs/tiny.yaml --profile mine --dry-run")
    assert "0 cells in 0 jobs" in said and "nothing was submitted" in said, (
        "its parts, its composite and what is made of it are there already"
    )
    assert "nothing to submit (4 done)" in shell("bash slurm/mapping_slurm_launch.sh configs/tiny.yaml --profile mine")
    assert (load_config(config).project.results / "output_masks").exists()
    assert list(shell.root.rglob("preview.png")), "the map's picture"
    assert not list(shell.root.rglob("owned")) and not list(shell.root.glob("slurm-*"))


def test_doctor_asks_the_scheduler_and_a_node(shell, slurm_cluster):
    write_profile(shell.root)
    said = shell("cratermill doctor --profile mine --probe")
    assert "probe: job " in said and re.search(r"a job on a node +ok +n\d: Python 3", said)
    assert "valid" in shell("cratermill doctor --probe", code=2).lower(), "a probe needs a profile"
    write_profile(shell.root, partition="short", stages={"train": {"partition": "nowhere"}})
    said = shell("cratermill doctor --profile mine --probe", code=1)
    assert re.search(r"jobs of train +FAILED +invalid partition specified: nowhere; there are main, high, low, short", said)
    assert f"time_min {TIME_MIN} is more than partition short allows: 2 minutes" in said and "probe: job" not in said
    write_profile(shell.root, activate=["source /nowhere/activate", "PATH=/nowhere"])
    said = shell("cratermill doctor --profile mine --probe", code=1)
    assert "/nowhere/activate: No such file" in said and "without an answer" in said
    assert not list((shell.root / "log").iterdir()), "nothing of a probe stays"
    slurm_cluster.wait_until(lambda: not [job for job in scheduler.queue() if job.is_active], "the end of the probes")


HOSTILE = (
    "it's",
    'say "x"',
    "$(touch owned)",
    "`touch owned`",
    r"a\b",
    "end\\",
    r"\"",
    "x # y",
    "a;b|c>owned",
    "%j %u",
    "é 月",
    "--hold",
    "''",
)


def test_sbatch_takes_every_value_as_it_is(shell, tmp_path):
    (tmp_path / "slurm").mkdir()
    for value in HOSTILE:
        profile = Profile(name="x", partition="main", flags=("--hold", f"--comment={value}"), wckey=value)
        script = tmp_path / "job.sh"
        script.write_text(script_of(Job("run.train.1", 1, "/no/slurm", 1, Resources(mem_gb=0.1), "true"), profile))
        job = str(scheduler.submit(script, tmp_path))
        kept = subprocess.run(["squeue", "-h", "-j", job, "-o", "%k|||%w"], capture_output=True, text=True, check=True).stdout
        assert kept.rstrip("\n").split("|||") == [value, value]
    assert not list(tmp_path.rglob("owned"))


def test_a_folder_that_slurm_cannot_write_in_is_said_before(shell):
    write_profile(shell.root / "back\\slash")
    said = shell("cd 'back\\slash' && cratermill doctor --profile mine", code=1)
    assert re.search(r"name of the project's folder +FAILED .*backslash.*rename it", said)


def test_two_login_nodes_at_once_submit_no_cell_twice(shell):
    """Two launches of one plan at the same time from the same shared folder."""
    bench = Bench(None, shell.root, [{"n": n, "steps": 2} for n in range(12)], limits={"max_array_size": 3})
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from tests.slurm.runs import *\n"
        "runner = SlurmExecutor(load(sys.argv[2]), Profile.model_validate_json(sys.argv[3]), work=fake.WORK)\n"
        "try: print('submitted', runner.submit().cells)\n"
        "except Exception as error: print('refused', error)\n"
    )
    words = [sys.executable, "-c", code, str(fake.HERE.parents[2]), str(bench.plan.path), bench.profile.model_dump_json()]
    both = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=PATIENCE_S)[0] for process in both]
    bench.wait_all("done")
    assert all(bench.begun(index) == 1 for index in range(12)), said
    assert len(submissions.read(bench.plan)) == 4
    assert sorted(said)[-1].splitlines()[-1] == "submitted 12", said
    assert sorted(said)[0].startswith(("submitted 0", "refused Run")), said


def test_a_user_s_own_submitit_on_slurm(shell, project_folder):
    """The ten lines of docs/submitit.md, with jobs as small as the cluster."""
    from cratermill.batch.plan import freeze

    freeze(fake.plan_of(shell.root, [{}, {"n": 1, "needs": [0], "stage": "evaluate"}]))
    lines = (project_folder / "docs/submitit.md").read_text().split("```python\n")[1].split("```")[0]
    small = {"local": "slurm", "cpus_per_task=4, mem_gb=16": "cpus_per_task=1, mem_gb=0.5", "plan.path)": f"plan.path), {fake.WORK!r}"}
    for old, new in small.items():
        assert old in lines
        lines = lines.replace(old, new)
    (shell.root / "own.py").write_text(lines)
    assert shell(".venv/bin/python own.py").count("['done']") == 2


def test_dask_workers_are_jobs_and_lost_ones_come_back(shell, slurm_cluster):
    write_profile(shell.root)
    line = [shell.root / ".venv/bin/cratermill", "dask", "start", "--profile", "mine", "--jobs", "2"]
    started = subprocess.Popen(line, cwd=shell.root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        said = until(started, "2 of 2 worker(s) are there")
        use = next(text for text in said if "source " in text).strip()
        (key,) = (shell.root / "log/dask").glob("*/key.pem")
        assert key.stat().st_mode & 0o77 == 0
        compute = "from cratermill.geo.blocks import in_order, _client; print(*in_order(abs, range(-5, 0), 8), len(_client().nthreads()))"
        assert shell(f'{use} && python -c "{compute}"').split()[-6:] == ["5", "4", "3", "2", "1", "2"]
        plain = "unset DASK_DISTRIBUTED__COMM__TLS__CA_FILE DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY"
        assert "5 4 3 2 1" not in shell(f'{use}; {plain}; python -c "{compute}" || exit 3', code=3)  # nobody without the key
        jobs = slurm_cluster.run("squeue", "-h", "-n", "cratermill-dask", "-o", "%i").stdout.split()
        assert len(jobs) == 2
        slurm_cluster.run("scontrol", "update", "partitionname=main", "state=down")  # the next one must not begin before it is missed
        slurm_cluster.run("scancel", jobs[0])
        until(started, "1 of 2 worker(s) are there")
        slurm_cluster.run("scontrol", "update", "partitionname=main", "state=up")
        until(started, "2 of 2 worker(s) are there")
    finally:
        slurm_cluster.run("scontrol", "update", "partitionname=main", "state=up")
        started.send_signal(signal.SIGINT)
        assert started.wait(PATIENCE_S) == 0
    assert not slurm_cluster.run("squeue", "-h", "-n", "cratermill-dask", "-t", "PD,R", "-o", "%i").stdout.split()
    assert not key.exists() and not (shell.root / "owned").exists()


def until(process, words: str) -> list[str]:
    """The lines that a program says up to one with these words; it is killed when they don't come."""
    said, limit = [], threading.Timer(PATIENCE_S, process.kill)
    limit.start()
    try:
        for line in process.stdout:
            said.append(line)
            if words in line:
                return said
    finally:
        limit.cancel()
    raise AssertionError("".join(said))
