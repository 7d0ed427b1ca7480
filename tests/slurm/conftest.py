"""A real Slurm cluster for the tests, started and stopped by slurm/dev-cluster.sh; skipped with its reason where it cannot run.

Fixtures: ``slurm_cluster`` (4 nodes with 2 GPUs, accounting), ``slurm_cluster_no_accounting`` (2 nodes) and the factory
``make_slurm_cluster(**options)``; all last for the session. CRATERMILL_REQUIRE_SLURM=1 turns the skip into a failure.
"""

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from tests.slurm.runs import PATIENCE_S, SECONDS_TO_REVOKE

SCRIPT = Path(__file__).resolve().parents[2] / "slurm" / "dev-cluster.sh"
# A node that is told later to start a step refuses it. For so long a requeued job waits, too; tests don't.
CREDENTIAL_S = 60


def script_options(options):
    """``{"max_array_size": 11, "accounting": False}`` as ``["--max-array-size", "11", "--no-accounting"]``."""
    words = []
    for name, value in options.items():
        flag = "--" + name.replace("_", "-")
        if name == "accounting":
            words += [] if value else ["--no-accounting"]
        elif name == "set":
            words += [word for key, text in value.items() for word in ("--set", f"{key}={text}")]
        elif value is True:
            words.append(flag)
        else:
            words += [flag, str(value)]
    return words


class SlurmCluster:
    """One running cluster: ``env`` to give to subprocesses, and short ways to submit, watch and break."""

    def __init__(self, folder, script=SCRIPT, **options):
        self.folder = Path(folder)
        self.script = script
        self.options = options
        # a test run inside a Slurm job must not pass that job's settings on
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "SBATCH_", "SRUN_", "SQUEUE_", "SACCT_"))}
        self.env = clean | {"SLURM_CONF": str(self.folder / "etc" / "slurm.conf")}

    def control(self, *words, check=True):
        """Run dev-cluster.sh for this cluster; returns the CompletedProcess (text)."""
        return self.run(str(self.script), *words, "--dir", str(self.folder), check=check)

    def up(self):
        settings = {"AuthInfo": f"socket={self.folder}/run/munge.socket,cred_expire={CREDENTIAL_S}", **self.options.get("set", {})}
        self.control("up", *script_options({**self.options, "set": settings}))
        return self

    def down(self):
        self.control("down")

    def run(self, *command, check=True, cwd=None):
        """Run any command against the cluster; a failure shows what it said."""
        words = [str(word) for word in command]
        done = subprocess.run(words, env=self.env, cwd=cwd, capture_output=True, text=True, timeout=PATIENCE_S)
        if check and done.returncode:
            raise AssertionError(f"{words} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done

    def sbatch(self, *words, wrap=None, output="/dev/null"):
        """Submit a script (last of ``words``) or a line of shell; returns the job id as text."""
        line = ["--wrap", wrap] if wrap is not None else []
        done = self.run("sbatch", "--parsable", "--open-mode=append", "-o", output, *line, *words)
        return done.stdout.strip().split(";")[0]

    def squeue(self, *jobs):
        """One dict (id, state, reason, node) per job and array task that Slurm still remembers."""
        wanted = ["-j", ",".join(jobs)] if jobs else []
        lines = self.run("squeue", "-h", "-r", "-t", "all", "-o", "%i|%T|%r|%N", *wanted).stdout.splitlines()
        return [dict(zip(("id", "state", "reason", "node"), line.split("|"), strict=True)) for line in lines]

    def states(self, *jobs):
        """``{id: state}`` of jobs and array tasks (``12``, ``13_0``, ``13_1``, …)."""
        return {row["id"]: row["state"] for row in self.squeue(*jobs)}

    def sacct(self, job, fields="JobID,State,ExitCode"):
        """Every run of a job and its steps, as dicts; requeued jobs have several."""
        lines = self.run("sacct", "-n", "-P", "-D", "-j", job, "-o", fields).stdout.splitlines()
        return [dict(zip(fields.split(","), line.split("|"), strict=True)) for line in lines]

    def wait_until(self, true, what, timeout=PATIENCE_S):
        """Ask ``true()`` every 0.2 s; returns its first true answer."""
        end = time.monotonic() + timeout
        while True:
            if answer := true():
                return answer
            if time.monotonic() > end:
                raise AssertionError(f"{what}: not within {timeout} s\n{self.run('squeue', '-t', 'all', check=False).stdout}")
            time.sleep(0.2)

    def wait_for_state(self, job, *states, timeout=PATIENCE_S):
        """Wait until all tasks of the job are in one of the states; returns ``{id: state}``."""

        def reached():
            found = self.states(job)
            return found if found and set(found.values()) <= set(states) else None

        return self.wait_until(reached, f"job {job} in {' or '.join(states)}", timeout)

    def begin_again(self, job):
        """Wait for a requeued job to run, which isn't kept waiting for longer than a node needs to forget its first run."""
        self.wait_for_state(job, "PENDING", "RUNNING")
        time.sleep(SECONDS_TO_REVOKE)
        self.run("scontrol", "update", f"jobid={job}", "StartTime=now", check=False)  # it may have begun
        self.wait_for_state(job, "RUNNING")

    def end_soon(self, job):
        """Put the time limit of a running job in the next seconds: TIMEOUT comes at Slurm's next look, within about 35 s."""
        self.run("scontrol", "update", f"jobid={job}", "EndTime=now+2")

    def kill_node(self, number, keep_steps=False, declare=False):
        """kill -9 a node's slurmd and (unless ``keep_steps``) its jobs; Slurm notices after about 30 s, at once with ``declare``."""
        self.control("fail", f"n{number}", *["--keep-steps"] * keep_steps, *["--declare"] * declare)

    def restore_node(self, number):
        """Give a lost node back; one that is there stays as it is."""
        self.control("restore", f"n{number}")

    def clear(self):
        """End all jobs and bring all nodes back: what one test leaves must not fail the next."""
        self.run("scancel", "--user=root", check=False)
        for number in range(1, self.options["nodes"] + 1):
            self.restore_node(number)
        # Quotas of the next test count what is still being cleared away.
        self.wait_until(lambda: not self.run("squeue", "--noheader").stdout.strip(), "an empty queue")
        self.wait_until(self._all_idle, "idle nodes")

    def _all_idle(self):
        states = dict(line.split() for line in self.run("sinfo", "-h", "-N", "-p", "main", "-o", "%N %T").stdout.splitlines())
        for node in (node for node, state in states.items() if state.startswith("drain")):
            self.run("scontrol", "update", f"nodename={node}", "state=resume")
        return set(states.values()) == {"idle"}


def require_slurm(**options):
    """Skip the test with the script's own reason when this machine cannot run such a cluster."""
    done = subprocess.run([SCRIPT, "check", *script_options(options)], capture_output=True, text=True, timeout=PATIENCE_S)
    if done.returncode:
        reason = " ".join(done.stderr.split())
        # Memory limits by cgroup need a kernel that few containers have; everything else can be installed.
        if os.environ.get("CRATERMILL_REQUIRE_SLURM") == "1" and not options.get("cgroup"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)


@pytest.fixture(scope="session")
def make_slurm_cluster():
    """Factory of clusters; equal options share one cluster; all are stopped at the end of the session."""
    running = {}

    def make(**options):
        key = repr(sorted(options.items()))
        if key not in running:
            require_slurm(**options)
            # not pytest's temporary folder: a socket's path must be short
            cluster = SlurmCluster(tempfile.mkdtemp(prefix="cratermill-slurm-", dir="/tmp"), **options)
            running[key] = cluster  # before it is up: a start that fails halfway is stopped, too
            cluster.up()
        return running[key]

    yield make
    for cluster in running.values():
        cluster.down()
        shutil.rmtree(cluster.folder, ignore_errors=True)


@pytest.fixture(scope="session")
def slurm_cluster(make_slurm_cluster):
    return make_slurm_cluster(nodes=4)


@pytest.fixture(scope="session")
def slurm_cluster_no_accounting(make_slurm_cluster):
    return make_slurm_cluster(nodes=2, accounting=False)
