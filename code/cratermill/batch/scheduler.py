"""The few questions and orders that Slurm gets from us, each one process without a shell."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from dataclasses import dataclass

from ..core.errors import InputError, WorkError

# Waiting again after having run, or for the first time.
WAITING = frozenset({"PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"})
AT_WORK = frozenset({"CONFIGURING", "RUNNING", "COMPLETING", "SUSPENDED", "RESIZING", "SIGNALING", "STAGE_OUT", "STOPPED"})
ACTIVE = WAITING | AT_WORK
TIMEOUT_S = 60.0
FIELDS = "%F|%K|%T|%r|%N|%A|%j"
LIST_LENGTH = 200


class Silent(WorkError):
    """The scheduler didn't answer; nothing is known of any job."""


class Refused(WorkError):
    """The scheduler said no."""


@dataclass(frozen=True)
class JobTask:
    """One array task as the scheduler sees it; `state` is Slurm's word, `reason` why it waits."""

    job_id: int
    task: int
    state: str
    reason: str = ""
    node: str = ""
    name: str = ""

    @property
    def is_active(self) -> bool:
        return self.state in ACTIVE


def ask(*command: str, timeout_s: float = TIMEOUT_S, **options) -> str:
    """stdout of a command; Silent when it can't be reached or hangs, Refused (with its words) when it fails."""
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False, env=clean_environment(), **options)
    except FileNotFoundError as error:
        raise InputError(
            f"There is no {command[0]} on this machine", next_step="use a login node of the cluster, or --executor local"
        ) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Silent(f"{command[0]} doesn't answer: {error}", next_step="try again later; nothing is lost") from error
    if answer.returncode:
        said = answer.stderr.strip() or answer.stdout.strip() or f"exit code {answer.returncode}"
        if "configuration source" in said:
            raise Silent(
                f"{command[0]} finds no Slurm cluster here: {said.splitlines()[-1]}", next_step="is this a login node? nothing is lost"
            )
        if re.search(r"[Uu]nable to contact|[Cc]onnection (refused|timed out)|Socket timed out|not responding", said):
            raise Silent(f"The scheduler doesn't answer: {said}", next_step="try again later; nothing is lost")
        raise Refused(f"{command[0]}: {said}")
    return answer.stdout


def clean_environment() -> dict[str, str]:
    """Without SBATCH_* (they override the script) and without the variables of a job we may be in; PYTHON's stay."""
    keep = {"SLURM_CONF", "SLURM_CLUSTERS"}
    return {
        name: value
        for name, value in os.environ.items()
        if name in keep or not name.startswith(("SBATCH_", "SLURM_", "SQUEUE_", "SACCT_", "SLURMD_", "CRATERMILL_SUBMISSION"))
    }


def queue() -> list[JobTask]:
    """All array tasks of this user that Slurm remembers, ended ones included (for MinJobAge): one query."""
    text = ask("squeue", "--noheader", "--array", "--states=all", f"--user={os.geteuid()}", f"--format={FIELDS}")
    return [found for found in map(_queue_line, text.splitlines()) if found]


def _queue_line(line: str) -> JobTask | None:
    # The reason may hold anything but the field's own mark; names come last because they are ours.
    parts = line.strip().split("|")
    if len(parts) < 7 or not parts[0].isdigit():
        return None
    task = int(parts[1]) if parts[1].isdigit() else 0
    return JobTask(int(parts[0]), task, parts[2], parts[3], parts[4], "|".join(parts[6:]))


def accounts_for(job_ids, since: float) -> list[JobTask]:
    """The same from the accounting, for jobs that the queue has forgotten: one query. Refused where there is none."""
    start = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(since - 60))
    ids = ",".join(str(number) for number in sorted(job_ids))
    text = ask(
        "sacct",
        "--noheader",
        "--parsable2",
        "--allocations",
        f"--starttime={start}",
        f"--jobs={ids}",
        "--format=JobID,State,NodeList,JobName",
    )
    return [found for found in map(_account_line, text.splitlines()) if found]


def named(name: str, since: float) -> int | None:
    """The job of that name in the accounting."""
    start = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(since - 60))
    options = ("--noheader", "--parsable2", "--allocations", "--format=JobID,State,NodeList,JobName")
    # A pending array stands there as A_[0-9].
    lines = ask("sacct", *options, f"--starttime={start}", f"--name={name}").splitlines()
    ids = [re.match(r"\d+", line) for line in lines if line.endswith(f"|{name}")]
    return int(ids[0][0]) if ids and ids[0] else None


def _account_line(line: str) -> JobTask | None:
    job, state, node, name = (line.split("|", 3) + [""] * 4)[:4]
    # "A_[2-5]" stands for tasks that never began; the queue knows more of them.
    match = re.fullmatch(r"(\d+)(?:_(\d+))?", job)
    # "CANCELLED by 1000": the first word is the state.
    return JobTask(int(match[1]), int(match[2] or 0), state.split()[0], node=node, name=name) if match and state else None


def submit(script, folder, after=(), test_only: bool = False) -> int | None:
    """sbatch a script file from `folder`, to begin after the jobs `after` have ended; returns the job id."""
    command = ["sbatch", "--parsable"]
    if after:
        command.append("--dependency=afterany:" + ":".join(str(job_id) for job_id in after))
    if test_only:
        command.append("--test-only")
    said = ask(*command, str(script), cwd=str(folder))
    if test_only:
        return None
    match = re.match(r"(\d+)", said.strip().splitlines()[-1] if said.strip() else "")
    if not match:
        raise Refused(f"sbatch answered {said.strip()!r}, which is no job id")
    return int(match[1])


def cancel(targets) -> None:
    """scancel jobs (`5`) or array tasks (`5_3`); those that ended meanwhile are no error."""
    targets = list(targets)
    for start in range(0, len(targets), LIST_LENGTH):
        ask("scancel", "--quiet", *targets[start : start + LIST_LENGTH])


def configuration() -> dict[str, str]:
    """`scontrol show config` as a mapping."""
    found = {}
    for line in ask("scontrol", "show", "config").splitlines():
        name, equals, value = line.partition("=")
        if equals:
            found[name.strip()] = value.strip()
    return found


def time_limits() -> dict[str, float]:
    """The longest time of a job by partition, in minutes; the default partition's also as `default`."""
    found = {}
    for line in ask("sinfo", "--noheader", "--format=%P|%l").splitlines():
        name, _, limit = line.partition("|")
        found[name.rstrip("*")] = minutes(limit)
        if name.endswith("*"):
            found["default"] = minutes(limit)
    return found


def minutes(text: str) -> float:
    """Slurm's `1-02:03:04`, `03:04` (minutes, seconds) or `infinite` in minutes."""
    match = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", text.strip())
    if not match:
        return float("inf")
    days, hours, mins, seconds = (int(part or 0) for part in match.groups())
    return days * 1440 + hours * 60 + mins + seconds / 60


def has_accounting() -> bool:
    """Whether sacct is of any use here."""
    if not shutil.which("sacct"):
        return False
    return "none" not in configuration().get("AccountingStorageType", "none")
