"""`doctor --probe`: one tiny job that runs as a stage's would, and what a node then says of itself."""

from __future__ import annotations

import contextlib
import functools
import os
import pickle
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..core.errors import WorkError
from . import disk, provenance, scheduler
from .jobscript import Job
from .preflight import Check, check_folder
from .profile import Profile
from .submissions import result_path

TIME_MIN, WARN_S = 5, 10
POLL_S = 2.0
# A network file system may show a file some seconds after the job has ended; a job that failed rarely has an answer.
GRACE_S, GRACE_FAILED_S = 20.0, 3.0


def probe(profile: Profile, root: Path, stage: str = "train", timeout_s: float = 300, say: Callable[[str], None] = print) -> Check:
    """Run one job with the resources of `stage` and judge what its node says; nothing of it stays in the queue or on the disk.

    It goes the way of every cell, through submitit, which also brings its answer, or its traceback, back.
    """
    folder = disk.make_folder(root / "log" / f"probe-{os.getpid()}" / "slurm", "the probe")
    job_id = None
    try:
        job_id = _submit(profile, folder, stage)
        say(f"probe: job {job_id} submitted; waiting up to {timeout_s / 60:.0f} minutes for its node")
        return judge(_await(job_id, folder, timeout_s), profile.resources(stage).gpus)
    except WorkError as error:
        return Check("a job on a node", False, str(error))
    finally:
        if job_id is not None:
            with contextlib.suppress(scheduler.Refused, scheduler.Silent):
                scheduler.cancel([str(job_id)])
        shutil.rmtree(folder.parent, ignore_errors=True)


def _submit(profile: Profile, folder: Path, stage: str) -> int:
    from .by_submitit import CellExecutor

    asked = profile.resources(stage)
    # One process for a few minutes, however long and however many a training's are; its warning must come after its beginning.
    small = asked.model_copy(update={"time_min": min(TIME_MIN, asked.time_min), "nodes": 1, "tasks_per_node": 1})
    brief = profile.model_copy(update={"warn_s": min(profile.warn_s, WARN_S), "requeue": False})
    job = Job("cratermill-probe", 1, str(folder), 1, small, sys.executable)
    try:
        return CellExecutor(job, brief).submit_array(functools.partial(describe_node, str(folder), bool(asked.gpus)))
    except scheduler.Refused as error:
        raise WorkError(f"sbatch refused the probe: {error}") from error


def _await(job_id: int, folder: Path, timeout_s: float) -> dict[str, Any]:
    """submitit's own waiting trusts sacct, which may be off; the answer's file and the queue don't need it."""
    until, over = time.monotonic() + timeout_s, False
    answer, found = result_path(folder, 1), list[scheduler.JobTask]()
    while time.monotonic() < until:
        if answer.exists():
            return _answer(answer)
        found = [one for one in scheduler.queue() if one.job_id == job_id]
        if found and not found[0].is_active and not over:
            over = True
            until = min(until, time.monotonic() + (GRACE_S if found[0].state == "COMPLETED" else GRACE_FAILED_S))
        time.sleep(POLL_S)
    said = " ".join(_words(folder).split())[-600:] or "no word"
    if over:
        raise WorkError(f"job {job_id} ended as {found[0].state} on {found[0].node or 'no node'} without an answer: {said}")
    if found and found[0].state in scheduler.WAITING:
        raise WorkError(f"job {job_id} still waits after {timeout_s:.0f} s ({found[0].reason}); see sinfo and squeue --me")
    raise WorkError(f"job {job_id} gave no answer within {timeout_s:.0f} s: {said}")


def _answer(path: Path) -> dict[str, Any]:
    """What submitit brought back: our own function's dict, pickled by our own job."""
    with path.open("rb") as stream:
        outcome, result = pickle.load(stream)  # noqa: S301 - written by our own job, in a folder of this user
    if outcome != "success":
        raise WorkError(f"the probe failed on its node: {result}")
    return dict(result)


def _words(folder: Path) -> str:
    return "\n".join(path.read_text(errors="replace") for path in sorted(folder.glob("*.out")))


def judge(found: dict[str, Any], gpus: int) -> Check:
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


def describe_node(folder: str, ask_torch: bool) -> dict[str, Any]:
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
