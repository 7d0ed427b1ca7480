"""The few questions and orders that Slurm gets from us, each one process without a shell."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import InputError, WorkError
from .environment import clean_environment

# Waiting again after having run, or for the first time.
WAITING = frozenset({"PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"})
AT_WORK = frozenset({"CONFIGURING", "RUNNING", "COMPLETING", "SUSPENDED", "RESIZING", "SIGNALING", "STAGE_OUT", "STOPPED"})
ACTIVE = WAITING | AT_WORK
TIMEOUT_S = 60.0
FIELDS = "%F|%K|%T|%r|%N|%A|%j|%Z"
LIST_LENGTH = 200


class Silent(WorkError):
    """The scheduler didn't answer; nothing is known of any job."""


class Refused(WorkError):
    """The scheduler said no."""


class NoRoom(Refused):
    """More jobs than the user may have in the queue."""


class Unclear(Silent):
    """It said yes, but not which job it made of it."""


@dataclass(frozen=True)
class JobTask:
    """One array task as the scheduler sees it; `state` is Slurm's word, `reason` why it waits, `folder` where it works."""

    job_id: int
    task: int
    state: str
    reason: str = ""
    node: str = ""
    name: str = ""
    folder: str = ""

    @property
    def is_active(self) -> bool:
        return self.state in ACTIVE


def ask(*command: str, timeout_s: float = TIMEOUT_S, cwd: str | None = None) -> str:
    """stdout of a command; Silent when it can't be reached or hangs, Refused (with its words) when it fails."""
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False, env=clean_environment(), cwd=cwd)
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
        raise refusal(command[0], said)
    return answer.stdout


def refusal(command: str, said: str) -> Refused:
    """What a no means."""
    kind = NoRoom if re.search(r"MaxSubmit\w*Limit|MaxJobCount", said) else Refused
    return kind(f"{command}: {said}")


def queue() -> list[JobTask]:
    """All array tasks of this user that Slurm remembers, ended ones included (for MinJobAge): one query."""
    text = ask("squeue", "--noheader", "--array", "--states=all", f"--user={os.geteuid()}", f"--format={FIELDS}")
    return [found for found in map(_queue_line, text.splitlines()) if found]


def _queue_line(line: str) -> JobTask | None:
    # Names and folders of other jobs may hold the mark; ours hold none before the folder.
    parts = line.strip().split("|")
    if len(parts) < 7 or not parts[0].isdigit():
        return None
    task = int(parts[1]) if parts[1].isdigit() else 0
    return JobTask(int(parts[0]), task, parts[2], parts[3], parts[4], parts[6], "|".join(parts[7:]))


def accounts_for(job_ids: Iterable[int], since: float) -> list[JobTask]:
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
    return [found for line in text.splitlines() for found in _account_lines(line)]


def named(name: str, since: float) -> int | None:
    """The job of that name in the accounting."""
    start = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(since - 60))
    options = ("--noheader", "--parsable2", "--allocations", "--format=JobID,State,NodeList,JobName")
    # A pending array stands there as A_[0-9].
    lines = ask("sacct", *options, f"--starttime={start}", f"--name={name}").splitlines()
    ids = [re.match(r"\d+", line) for line in lines if line.endswith(f"|{name}")]
    return int(ids[0][0]) if ids and ids[0] else None


def _account_lines(line: str) -> list[JobTask]:
    job, state, node, name = (line.split("|", 3) + [""] * 4)[:4]
    match = re.fullmatch(r"(\d+)(?:_(\d+)|_\[([\d,:%-]+)\])?", job)
    if not match or not state:
        return []
    word = state.split()[0]  # "CANCELLED by 1000"
    tasks = [int(match[2] or 0)] if match[3] is None else _tasks_in(match[3])
    return [JobTask(int(match[1]), task, word, node=node, name=name) for task in tasks if match[3] is None or word not in WAITING]


def _tasks_in(text: str) -> list[int]:
    """`2-5,8%3`: tasks that never began stand together; while they wait, the queue knows more of them."""
    found: list[int] = []
    for part in text.partition("%")[0].split(","):
        first, _, last = part.partition(":")[0].partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def submit(script: Path, folder: Path, after: Sequence[str] = ()) -> int:
    """sbatch a script file from `folder`, with the dependencies `after` (afterany:5:6, ...); returns the job id.

    Refused when sbatch ends badly, Unclear when it ends well without naming a job, Silent when it doesn't answer.
    """
    # `,` means all of them, `?` any of them; a dependency may have one kind only.
    words = ["--dependency=" + ",".join(after), "--kill-on-invalid-dep=yes"] if after else []
    said = ask("sbatch", "--parsable", *words, str(script), cwd=str(folder))
    found = job_id_in(said)
    if found is None:
        raise Unclear(f"sbatch answered {said.strip()!r}, which names no job", next_step="launch again: its job is looked for by its name")
    return found


def test_only(script: Path, folder: Path) -> None:
    """Whether sbatch would take a script; Refused with its words if not."""
    ask("sbatch", "--test-only", str(script), cwd=str(folder))


def job_id_in(said: str) -> int | None:
    """The job that sbatch names; sites' wrappers print lines of their own before it and after it."""
    for line in said.splitlines():
        if match := re.fullmatch(r"(?:Submitted batch job )?(\d+)(?:;\S*)?(?: on cluster \S+)?", line.strip()):
            return int(match[1])
    return None


def cancel(targets: Iterable[str]) -> None:
    """scancel jobs (`5`) or array tasks (`5_3`); those that ended meanwhile are no error."""
    targets = list(targets)
    for start in range(0, len(targets), LIST_LENGTH):
        ask("scancel", "--quiet", *targets[start : start + LIST_LENGTH])


def throttle(job_id: int, places: int) -> None:
    """Bound the running tasks of an array from now on."""
    ask("scontrol", "update", f"jobid={job_id}", f"arraytaskthrottle={places}")


def wait_for(job_id: int, after: Sequence[str]) -> None:
    """Let a job that waits begin after these dependencies, instead of those it had."""
    ask("scontrol", "update", f"jobid={job_id}", "dependency=" + ",".join(after))


def cluster_name() -> str:
    """What the cluster calls itself; empty where that isn't told."""
    try:
        return _cluster_name(os.environ.get("SLURM_CONF", ""))
    except (Refused, Silent, InputError):
        return ""


@functools.cache
def _cluster_name(_configuration: str) -> str:
    return configuration().get("ClusterName", "")


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
