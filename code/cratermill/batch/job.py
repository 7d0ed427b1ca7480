"""What a cluster's job does: some cells, then back into the queue when the time limit was too short for them."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

from ..core.errors import InputError
from . import provenance, state
from .cell import TRY_AGAIN, Science, run_cell
from .local import LocalExecutor
from .plan import Plan
from .ranks import rank
from .signals import StopFlag


def run_cells(plan: Plan, indices, science: Science, *, side_by_side=1, other_code=False, worker_command=None) -> int:
    """Execute cells, one after another or several at a time; returns an exit code (0, 1, 2 or 75: try again).

    InputError when the code isn't that of the plan, unless `other_code`. Within a Slurm job, what cells print goes to
    their logs, and a job whose warning signal (USR2) came requeues itself once its cells have saved themselves.
    """
    refuse_other_code(plan, other_code)
    indices = [plan.cell(index).index for index in indices]
    if side_by_side > 1 and len(indices) > 1:
        codes, signum = _side_by_side(plan, indices, side_by_side, worker_command)
    else:
        codes, signum = _one_by_one(plan, indices, science)
    code = next((code for code in (1, 2, TRY_AGAIN) if code in codes), 0)
    if in_slurm() and rank() == 0:
        if code == 0:
            _drop_empty_output(plan)
        elif signum == signal.SIGUSR2 and TRY_AGAIN in codes:
            requeue()
    return code


def refuse_other_code(plan: Plan, other_code: bool = False) -> None:
    """InputError when the package's sources aren't those the plan was frozen with."""
    frozen = plan.provenance.get("code_sha256")
    if frozen in (None, provenance.code_hash()) or other_code or os.environ.get("CRATERMILL_OTHER_CODE") == "1":
        return
    commit = (plan.provenance.get("commit") or "unknown")[:12]
    raise InputError(
        f"The code has changed since run {plan.run} was launched (commit {commit})",
        valid=f"the code of that commit and {plan.folder / 'code.diff'}, if there is one",
        next_step="launch again to go on with the new code, or set CRATERMILL_OTHER_CODE=1",
    )


def in_slurm() -> bool:
    """Whether this is one of our jobs, and not just a shell that somebody got from Slurm."""
    return "SLURM_JOB_ID" in os.environ and "CRATERMILL_MAX_REQUEUES" in os.environ


def _one_by_one(plan: Plan, indices: list[int], science: Science) -> tuple[set[int], int | None]:
    codes = set()
    with StopFlag() as stop:
        for index in indices:
            if stop.requested:
                codes.add(TRY_AGAIN)
                break
            result = run_cell(plan, index, science, stop=stop, log_to_file=in_slurm() and rank() == 0)
            codes.add(result.exit_code)
            if result.cause:
                print(f"{result.key}: {result.state}: {result.cause}", file=sys.stderr, flush=True)
    return codes, stop.signum


def _side_by_side(plan: Plan, indices: list[int], workers: int, command) -> tuple[set[int], int | None]:
    """Worker processes that share this job's CPUs and devices."""
    workers = min(workers, len(indices))
    options = {"workers": workers, "workers_per_gpu": workers, "worker_command": command}
    result = LocalExecutor(plan, only=indices, whole_run=False, **options).run()
    codes = set()
    for index in indices:
        outcome = result.states.get(index, state.WAITING)
        codes.add({state.DONE: 0, state.STOPPED: TRY_AGAIN, state.WAITING: TRY_AGAIN}.get(outcome, 1))
    for key, outcome, cause in result.troubles():
        print(f"{key}: {outcome}: {cause}", file=sys.stderr, flush=True)
    return codes, result.signum


def requeue() -> bool:
    """Put this job back into the queue, if the profile allows it and it hasn't been there too often."""
    if int(os.environ.get("SLURM_RESTART_COUNT", 0)) >= int(os.environ.get("CRATERMILL_MAX_REQUEUES", 0)):
        return False
    job = os.environ["SLURM_JOB_ID"]
    if "SLURM_ARRAY_JOB_ID" in os.environ:
        job = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    try:
        answer = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        print(f"can't requeue {job}: {error}", file=sys.stderr)
        return False
    if answer.returncode:
        print(f"can't requeue {job}: {answer.stderr.strip()}", file=sys.stderr, flush=True)
    return answer.returncode == 0


def _drop_empty_output(plan: Plan) -> None:
    """Remove the scheduler's output file of a job that went well and has nothing to say: a thousand cells, a thousand files."""
    with contextlib.suppress(OSError):
        details = os.fstat(1)
        path = Path("/proc/self/fd/1").readlink()
        if stat.S_ISREG(details.st_mode) and details.st_size == 0 and path.parent == plan.folder / "slurm":
            path.unlink()
