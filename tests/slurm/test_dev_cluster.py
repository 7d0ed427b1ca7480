"""slurm/dev-cluster.sh: it starts, shows, breaks and stops a real Slurm; and what that Slurm does to jobs (docs/slurm-behaviour.md)."""

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.slurm.runs import PATIENCE_S

pytestmark = pytest.mark.slurm

HOG = "import time; kept = [bytearray(1 << 20) for _ in range(300)]; time.sleep(60)"
HOG_LINE = f"exec {shlex.quote(sys.executable)} -c {shlex.quote(HOG)}"


def script(project_folder, *words, **options):
    command = [project_folder / "slurm" / "dev-cluster.sh", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False, **options)


def processes_of(folder):
    """Pids of all processes that hold a file of the cluster open."""
    found = set()
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            target = str(link.readlink())
        except OSError:
            continue  # it ended meanwhile
        if target.startswith(f"{folder}/"):
            found.add(int(link.parts[2]))
    return found


def is_running(pid):
    line = Path("/proc", pid, "cmdline")
    return line.exists() and bool(line.read_bytes())  # empty once it has ended, even if nobody waited for it


@pytest.fixture
def short_folder():
    """A folder for a cluster of its own: sockets need short paths."""
    folder = Path(tempfile.mkdtemp(prefix="cratermill-test-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


# --- the script -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["up", "--nodes", "0"], "--nodes 0 is not a whole number from 1 to 64"),
        (["up", "--gpus", "1; reboot"], "--gpus 1; reboot is not a whole number"),
        (["up", "--nodes"], "--nodes needs a value"),
        (["up", "--set", "no value"], "is not KEY=VALUE"),
        (["up", "--fast"], "unknown option --fast"),
        (["up", "now"], "unexpected word 'now'"),
        (["upp"], "unknown command upp"),
        (["up", "--dir", "/tmp/with space"], "Slurm cannot work in the folder '/tmp/with space'"),
        (["status", "--dir", "/tmp/no-cluster-here"], "no cluster in /tmp/no-cluster-here"),
        (["env", "--dir", "/tmp/no-cluster-here"], "no cluster in /tmp/no-cluster-here"),
    ],
)
def test_bad_words_are_refused_with_exit_2(project_folder, words, said):
    done = script(project_folder, *words)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stdout == ""


def test_missing_packages_are_named_with_the_way_to_get_them(project_folder, tmp_path):
    for name in ("bash", "dirname", "realpath", "cut", "sort", "tr", "paste"):
        (tmp_path / name).symlink_to(shutil.which(name))
    text = (project_folder / "slurm" / "dev-cluster.sh").read_text()
    copy = tmp_path / "dev-cluster.sh"
    copy.write_text(text.replace('PATH="$PATH:/usr/sbin:/sbin"\n', ""))  # else the packages of this machine are found
    (tmp_path / "dev-cluster").symlink_to(project_folder / "slurm" / "dev-cluster")
    done = subprocess.run(["bash", copy, "check"], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "not installed: slurmctld slurmd sbatch munged" in done.stderr
    assert "apt-get install -y --no-install-recommends" in done.stderr
    assert "mariadb-server munge procps slurm-wlm slurmdbd util-linux" in done.stderr


def test_a_folder_with_other_things_is_never_taken(project_folder, slurm_cluster_no_accounting, short_folder):
    (short_folder / "thesis.txt").write_text("dear")
    done = script(project_folder, "up", "--dir", short_folder)
    assert done.returncode == 2
    assert "is no cluster of this script" in done.stderr
    assert script(project_folder, "down", "--dir", short_folder).returncode == 0
    assert [path.name for path in short_folder.iterdir()] == ["thesis.txt"]


def test_up_status_env_down(project_folder, slurm_cluster_no_accounting, short_folder, tmp_path):
    """A second cluster beside another, run by a script in a folder with a hostile name; nothing is left of it."""
    checkout = tmp_path / "my 'own' $(checkout)"
    shutil.copytree(project_folder / "slurm", checkout / "slurm")
    here = ["--dir", short_folder]
    up = script(checkout, "up", "--nodes", "1", "--gpus", "1", "--no-accounting", "--set", "KillWait=3", *here)
    assert up.returncode == 0, up.stderr
    try:
        assert "already up" in script(checkout, "up", *here).stderr
        status = script(checkout, "status", *here)
        assert status.returncode == 0
        assert "slurmd.n1    running" in status.stdout
        assert "idle n1" in status.stdout
        setting = script(checkout, "env", *here).stdout
        assert setting == f"export SLURM_CONF={short_folder}/etc/slurm.conf\n"
        noted = tmp_path / "pid"
        job = f"echo $$ > '{noted}.part' && mv '{noted}.part' '{noted}' && exec sleep 600"
        line = f"{setting} scontrol show config | grep KillWait; sbatch -o /dev/null --wrap {shlex.quote(job)}"
        shown = subprocess.run(["bash", "-ec", line], capture_output=True, text=True, check=True).stdout
        assert "= 3 sec" in shown
        slurm_cluster_no_accounting.wait_until(noted.exists, "start of the job")
        assert is_running(noted.read_text().strip())
    finally:
        down = script(checkout, "down", *here)
    assert down.returncode == 0
    assert not processes_of(short_folder)
    assert not is_running(noted.read_text().strip())
    assert not short_folder.exists()
    again = script(checkout, "down", *here)
    assert (again.returncode, again.stdout) == (0, f"no cluster in {short_folder}\n")
    assert slurm_cluster_no_accounting.control("status").returncode == 0  # the neighbour still stands


def test_a_start_that_fails_or_is_interrupted_leaves_nothing(project_folder, slurm_cluster_no_accounting, short_folder, tmp_path):
    command = [project_folder / "slurm" / "dev-cluster.sh", "up", "--dir", short_folder]
    failed = subprocess.run(
        [*command, "--no-accounting", "--set", "SelectType=select/nonsense"],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert failed.returncode == 1
    assert "the cluster did not start" in failed.stderr
    assert "nonsense" in failed.stderr
    assert not short_folder.exists()
    silent = tmp_path / "mariadb-admin"  # the start gets no further than its database, of which it never hears
    silent.write_text("#!/bin/sh\nexit 1\n")
    silent.chmod(0o755)
    path = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    with subprocess.Popen(command, env=path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as starting:
        slurm_cluster_no_accounting.wait_until((short_folder / "run" / "mysql.socket").exists, "start of the database")
        starting.terminate()
        assert starting.wait(timeout=PATIENCE_S) == 1
    assert not processes_of(short_folder)
    assert not short_folder.exists()


def test_a_cluster_that_was_killed_is_replaced(project_folder, slurm_cluster_no_accounting, short_folder):
    options = ["--nodes", "1", "--gpus", "0", "--no-accounting", "--dir", short_folder]
    assert script(project_folder, "up", *options).returncode == 0
    try:
        for pid in processes_of(short_folder):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        assert script(project_folder, "status", "--dir", short_folder).returncode == 1
        again = script(project_folder, "up", *options)
        assert again.returncode == 0, again.stderr
    finally:
        script(project_folder, "down", "--dir", short_folder)


def accounted(cluster, job):
    """What the accounting says of a job's runs and steps; it hears of ends a moment after the queue."""

    def heard():
        rows = cluster.sacct(job)
        return rows if rows and not any(row["State"] in ("PENDING", "RUNNING") for row in rows) else None

    return cluster.wait_until(heard, f"accounting of {job}")


# --- the cluster ----------------------------------------------------------------------------------------------------------


def test_each_task_sees_its_own_gpu(slurm_cluster, tmp_path):
    out, begun = tmp_path / "job %A_%a.txt", tmp_path / "begun"
    begun.mkdir()
    # Each keeps its device until all have begun.
    together = f"touch {begun}/$SLURM_ARRAY_TASK_ID; until [ $(ls {begun} | wc -l) = 8 ]; do sleep 0.2; done"
    line = f"echo $SLURMD_NODENAME:$CUDA_VISIBLE_DEVICES; {together}"
    job = slurm_cluster.sbatch("--array=0-7", "--gres=gpu:1", output=out, wrap=line)
    slurm_cluster.wait_for_state(job, "COMPLETED")
    seen = {(tmp_path / f"job {job}_{task}.txt").read_text().strip() for task in range(8)}
    assert seen == {f"n{node}:{gpu}" for node in (1, 2, 3, 4) for gpu in (0, 1)}


def test_steps_over_two_nodes_get_a_device_each(slurm_cluster):
    line = "echo $SLURMD_NODENAME:$CUDA_VISIBLE_DEVICES"
    done = slurm_cluster.run("srun", "-N2", "--ntasks-per-node=2", "--gpus-per-task=1", "bash", "-c", line)
    lines = done.stdout.split()
    assert len(set(lines)) == 4
    assert {text.split(":")[1] for text in lines} == {"0", "1"}


@pytest.mark.usefixtures("slow_endings")  # starts the half minute that the last tests wait for
def test_max_array_size_bounds_the_index(make_slurm_cluster):
    cluster = make_slurm_cluster(nodes=1, gpus=0, accounting=False, max_array_size=11)
    job = cluster.sbatch("--array=0-10", wrap="true")
    assert len(cluster.wait_for_state(job, "COMPLETED")) == 11
    refused = cluster.run("sbatch", "--array=11-11", "--wrap", "true", check=False)
    assert refused.returncode == 1
    assert "Invalid job array specification" in refused.stderr


def test_without_accounting_sacct_says_so_and_squeue_knows(slurm_cluster_no_accounting):
    cluster = slurm_cluster_no_accounting
    job = cluster.sbatch(wrap="exit 3")
    cluster.wait_for_state(job, "FAILED")
    assert cluster.squeue(job)[0]["reason"] == "NonZeroExitCode"
    done = cluster.run("sacct", check=False)
    assert done.returncode == 1
    assert "Slurm accounting storage is disabled" in done.stderr


def test_accounting_keeps_states_and_exit_codes(slurm_cluster):
    job = slurm_cluster.sbatch("--array=0-1", wrap="exit $SLURM_ARRAY_TASK_ID")
    slurm_cluster.wait_for_state(job, "COMPLETED", "FAILED")

    def ended():
        rows = {row["JobID"]: (row["State"], row["ExitCode"]) for row in slurm_cluster.sacct(job)}
        return rows if len(rows) == 4 and not any(state in ("PENDING", "RUNNING") for state, _ in rows.values()) else None

    rows = slurm_cluster.wait_until(ended, "accounting of both tasks")
    assert rows[f"{job}_0"] == ("COMPLETED", "0:0")
    assert rows[f"{job}_1"] == ("FAILED", "1:0")


def test_memory_limit_by_polling(slurm_cluster, tmp_path):
    """Without cgroups the job is FAILED by signal 9: only its log tells that memory was the cause."""
    log = tmp_path / "log.txt"
    job = slurm_cluster.sbatch("--mem=100", output=log, wrap=HOG_LINE)
    assert slurm_cluster.wait_for_state(job, "FAILED", "OUT_OF_MEMORY", "CANCELLED") == {job: "FAILED"}
    assert accounted(slurm_cluster, job)[0] == {"JobID": job, "State": "FAILED", "ExitCode": "0:9"}
    assert "exceeded memory limit" in log.read_text()


def test_memory_limit_by_cgroup(make_slurm_cluster, tmp_path):
    cluster = make_slurm_cluster(nodes=1, gpus=0, accounting=False, cgroup=True)
    log = tmp_path / "log.txt"
    job = cluster.sbatch("--mem=100", output=log, wrap=HOG_LINE)
    assert cluster.wait_for_state(job, "FAILED", "OUT_OF_MEMORY", "CANCELLED") == {job: "OUT_OF_MEMORY"}
    assert cluster.squeue(job)[0]["reason"] == "OutOfMemory"
    assert "oom-kill event" in log.read_text()


def test_higher_partition_preempts_and_the_job_comes_back(slurm_cluster, tmp_path):
    log = tmp_path / "log.txt"
    # Traps run between two commands: however late the signal comes, one is soon over.
    wrap = 'trap "echo got TERM; exit 0" TERM; echo "start ${SLURM_RESTART_COUNT:-0}"; while :; do sleep 0.1; done'
    low = slurm_cluster.sbatch("-p", "low", "-c", "4", "-w", "n1", output=log, wrap=wrap)
    slurm_cluster.wait_until(lambda: log.exists() and "start 0" in log.read_text(), "first start")
    high = slurm_cluster.sbatch("-p", "high", "-c", "4", "-w", "n1", wrap="sleep 1")
    slurm_cluster.wait_for_state(high, "COMPLETED")
    slurm_cluster.begin_again(low)
    slurm_cluster.wait_until(lambda: "start 1" in log.read_text(), "second start")
    slurm_cluster.run("scancel", low)
    slurm_cluster.wait_for_state(low, "CANCELLED")
    text = log.read_text()
    assert "DUE TO PREEMPTION" in text
    assert text.index("start 0") < text.index("got TERM") < text.index("start 1")
    assert [row["State"] for row in accounted(slurm_cluster, low) if row["JobID"] == low] == ["PREEMPTED", "CANCELLED by 0"]


@pytest.fixture(scope="module")
def slow_endings(slurm_cluster, tmp_path_factory):
    """Jobs that end by a time limit and by the loss of node n4, all in the same half minute."""
    begun = tmp_path_factory.mktemp("begun")
    limited = slurm_cluster.sbatch("-p", "short", "-w", "n3", wrap=f"touch {begun}/limited; exec sleep 600")
    # they fill n4: Slurm would send more jobs to the dead node until it notices
    kept = slurm_cluster.sbatch("-w", "n4", "-c", "2", "--requeue", wrap=f"touch {begun}/kept; exec sleep 601")
    lost = slurm_cluster.sbatch("-w", "n4", "-c", "2", "--no-requeue", wrap=f"touch {begun}/lost; exec sleep 602")
    # RUNNING is said before the node has answered: killed in between, a job fails as one that could not be launched.
    slurm_cluster.wait_until(lambda: len(list(begun.iterdir())) == 3, "the first line of three jobs")
    slurm_cluster.end_soon(limited)
    slurm_cluster.kill_node(4)
    yield {"limited": limited, "kept": kept, "lost": lost}
    slurm_cluster.clear()


def test_time_limit(slurm_cluster, slow_endings):
    job = slow_endings["limited"]
    slurm_cluster.wait_for_state(job, "TIMEOUT")
    assert slurm_cluster.squeue(job)[0]["reason"] == "TimeLimit"
    assert [row["State"] for row in accounted(slurm_cluster, job)] == ["TIMEOUT", "CANCELLED"]


def test_real_loss_of_a_node(slurm_cluster, slow_endings):
    slurm_cluster.wait_for_state(slow_endings["lost"], "NODE_FAIL")
    slurm_cluster.wait_for_state(slow_endings["kept"], "PENDING")
    assert slurm_cluster.squeue(slow_endings["lost"])[0]["reason"] == "NodeDown"
    assert "down*" in slurm_cluster.run("sinfo", "-h", "-n", "n4", "-o", "%T").stdout
    assert slurm_cluster.control("status", check=False).returncode == 1
    slurm_cluster.restore_node(4)
    kept = slow_endings["kept"]
    slurm_cluster.begin_again(kept)

    def runs():
        return [row["State"] for row in slurm_cluster.sacct(kept) if row["JobID"] == kept] == ["NODE_FAIL", "RUNNING"]

    slurm_cluster.wait_until(runs, "accounting of both runs")
    assert slurm_cluster.control("status").returncode == 0


def test_declared_loss_of_a_node_acts_at_once(slurm_cluster, tmp_path):
    job = slurm_cluster.sbatch("-w", "n2", "--no-requeue", wrap=f"touch {tmp_path}/begun; exec sleep 603")
    slurm_cluster.wait_until((tmp_path / "begun").exists, "the job's first line")
    slurm_cluster.kill_node(2, declare=True)
    try:
        assert slurm_cluster.states(job) == {job: "NODE_FAIL"}
    finally:
        slurm_cluster.restore_node(2)
