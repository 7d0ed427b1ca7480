"""`doctor --probe`: one tiny job that runs as a stage's would, and what a node then says of itself."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from ..core.errors import WorkError
from . import disk, provenance, scheduler
from .preflight import Check, check_folder
from .profile import Profile

TIME_MIN = 5
POLL_S = 2.0
# A network file system may show a file some seconds after the job has ended; a job that failed rarely has an answer.
GRACE_S, GRACE_FAILED_S = 20.0, 3.0


def probe(profile: Profile, root: Path, stage: str = "train", timeout_s: float = 300, say: Callable[[str], None] = print) -> Check:
    """Run one job with the resources of `stage` and judge what its node says; nothing of it stays in the queue or on the disk.

    submitit brings the function to the node and its answer, or its traceback, back.
    """
    folder = disk.make_folder(root / "log", "the probe") / f"probe-{os.getpid()}"
    job = None
    try:
        job = _submit(profile, folder, stage)
        say(f"probe: job {job.job_id} submitted; waiting up to {timeout_s / 60:.0f} minutes for its node")
        return judge(_await(job, timeout_s), profile.resources(stage).gpus)
    except WorkError as error:
        return Check("a job on a node", False, str(error))
    finally:
        if job is not None:
            with contextlib.suppress(scheduler.Refused, scheduler.Silent):
                scheduler.cancel([job.job_id])
        shutil.rmtree(folder, ignore_errors=True)


def _submit(profile: Profile, folder: Path, stage: str):
    import submitit
    from submitit.core.utils import FailedJobError

    resources = profile.resources(stage)
    executor = submitit.SlurmExecutor(folder=folder, python="python" if profile.activate else None)
    options = {"account": profile.account, "qos": profile.qos, "constraint": profile.constraint, "exclude": profile.exclude}
    given = {name: value for name, value in options.items() if value is not None}
    if resources.gpus:
        given["gres"] = f"{profile.gres_name}:{resources.gpus}"
    executor.update_parameters(
        job_name="cratermill-probe",
        partition=resources.partition or profile.partition,
        time=min(TIME_MIN, resources.time_min),
        mem=f"{round(resources.mem_gb * 1024)}M",
        cpus_per_task=resources.cpus,
        setup=[*(f"module load {shlex.quote(name)} || exit 1" for name in profile.modules), *(profile.activate or ("unset PYTHONPATH",))],
        wckey=profile.wckey or "",
        additional_parameters=dict(map(_flag, profile.flags)),
        **given,
    )
    try:
        return executor.submit(describe_node, str(folder), bool(resources.gpus))
    except FailedJobError as error:
        raise WorkError(f"sbatch refused the probe: {error}") from error


def _flag(flag: str) -> tuple[str, str | bool]:
    """`--reservation=night` as submitit wants it: ("reservation", "night"), a bare `--exclusive` as ("exclusive", True)."""
    name, equals, value = flag.lstrip("-").partition("=")
    return name, value if equals else True


def _await(job, timeout_s: float) -> dict:
    """submitit's own waiting trusts sacct, which may be off; the answer's file and the queue don't need it."""
    until, over = time.monotonic() + timeout_s, False
    while time.monotonic() < until:
        if job.paths.result_pickle.exists():
            return job.result()
        found = [one for one in scheduler.queue() if one.job_id == int(job.job_id)]
        if found and not found[0].is_active and not over:
            over = True
            until = min(until, time.monotonic() + (GRACE_S if found[0].state == "COMPLETED" else GRACE_FAILED_S))
        time.sleep(POLL_S)
    said = " ".join(_words(job).split())[-600:]
    if over:
        raise WorkError(
            f"job {job.job_id} ended as {found[0].state} on {found[0].node or 'no node'} without an answer: {said or 'no word'}"
        )
    if found and found[0].state in scheduler.WAITING:
        raise WorkError(f"job {job.job_id} still waits after {timeout_s:.0f} s ({found[0].reason}); see sinfo and squeue --me")
    raise WorkError(f"job {job.job_id} gave no answer within {timeout_s:.0f} s: {said or 'no word'}")


def _words(job) -> str:
    """What the job and its step said; the file of the job itself has another name than that of its step."""
    return "\n".join(path.read_text(errors="replace") for path in sorted(Path(job.paths.folder).glob(f"{job.job_id}*_log.err")))


def judge(found: dict, gpus: int) -> Check:
    """What a node said as a check; not well when it can't write here, has other code, or torch sees no GPU where one was asked for."""
    where = f"{found['node']}: Python {found['python']} at {found['executable']}"
    if not found["writable"]:
        return Check("a job on a node", False, f"{where}, but it can't write: {found['detail']}")
    if found["code_sha256"] != provenance.code_hash():
        return Check(
            "a job on a node", False, f"{where}, but its cratermill isn't the one here: is the folder shared, the environment the same?"
        )
    if gpus and not found["gpus"]:
        return Check("a job on a node", False, f"{where}, but torch sees no GPU there, so trainings would use the CPU")
    return Check("a job on a node", True, where + (f", {found['gpus']} GPU(s)" if gpus else ""))


def describe_node(folder: str, ask_torch: bool) -> dict:
    """Run on a node: what Python, what code, whether the project's folder is there and writable, how many GPUs torch sees."""
    import platform
    import socket
    import sys

    checked = check_folder(Path(folder))
    found = {
        "node": os.environ.get("SLURMD_NODENAME", socket.gethostname()),
        "python": platform.python_version(),
        "executable": sys.executable,
        "code_sha256": provenance.code_hash(),
        "writable": bool(checked.ok),
        "detail": checked.detail,
        "gpus": 0,
    }
    if ask_torch:
        import torch

        found["gpus"] = torch.cuda.device_count()
    return found
