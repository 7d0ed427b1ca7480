"""What a cluster's job does: some cells, then back into the queue when the time limit was too short for them."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from ..core.errors import CratermillError, InputError, WorkError
from ..core.files import write_text
from . import plan as plans
from . import provenance, pull, state, works
from .cell import TRY_AGAIN, CellResult, Science, run_cell
from .environment import REQUEUE_FILE, rank
from .plan import Plan
from .signals import StopFlag

EXIT = {state.DONE: 0, state.STOPPED: TRY_AGAIN, state.WAITING: TRY_AGAIN}
"""Exit code for how a cell ended, where not with an error."""


@dataclass(frozen=True)
class Cells:
    """The work of a submission as plain values: task i executes the cells `tasks[i]` of a plan. Called on the node, by submitit.

    `work` names the function that does a cell's work (`works.py`), `code` the hash of the code that was sent along.
    """

    plan: str
    tasks: tuple[tuple[int, ...], ...]
    number: int
    work: str = works.STAGES
    side_by_side: int = 1
    code: str | None = None
    pull: bool = False

    def __call__(self) -> NoReturn:
        """Ends the process: what returned would be pickled as a result, and a stopped cell has none."""
        try:
            plan, task = plans.load(self.plan), int(os.environ["SLURM_ARRAY_TASK_ID"])
            refuse_other_code(plan, expected=self.code)
            if self.pull:
                code = pull_cells(plan, self.tasks[0], self.work, self.number, self.side_by_side)
            else:
                code = run_cells(plan, self.tasks[task], self.work, side_by_side=self.side_by_side)
        except CratermillError as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            code = error.exit_code
        sys.stdout.flush()
        raise SystemExit(code)


@dataclass(frozen=True)
class OneCell:
    """A cell of a frozen plan as a function of its number, for executors of users' own: returns its CellResult as a dict."""

    plan: str
    work: str = works.STAGES

    def __call__(self, index: int) -> dict[str, Any]:
        """Execute the cell, unless it is done; WorkError, for submitit to show, if it doesn't come to its end."""
        plan = plans.load(self.plan)
        result = run_cell(plan, index, works.find(self.work))
        if result.state != state.DONE:
            raise WorkError(f"{result.key}: {result.state}: {result.cause}", next_step=f"see {plan.log_path(index)}, then run it again")
        return result.as_json()

    def checkpoint(self, index: int) -> Any:
        """submitit asks for this when it is preempted: the same again, the cell goes on from its last checkpoint."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, index)


def run_cells(plan: Plan, indices: Iterable[int], work: str | Science, *, side_by_side: int = 1) -> int:
    """Execute cells, one after another or several at a time; returns an exit code (0, 1, 2 or 75: try again).

    Within a Slurm job, what cells print goes to their logs, and a job whose warning signal (USR2) came requeues itself
    once its cells have saved themselves.
    """
    indices = [plan.cell(index).index for index in indices]
    if side_by_side > 1 and len(indices) > 1:
        assert isinstance(work, str), "other processes find the work by its name"
        outcomes, signum = _side_by_side(plan, indices, side_by_side, work)
        codes = {EXIT.get(outcome, 1) for outcome in outcomes.values()}
    else:
        codes, signum = _one_by_one(plan, indices, works.find(work))
    code = next((code for code in (1, 2, TRY_AGAIN) if code in codes), 0)
    if in_slurm() and rank() == 0:
        if code == 0:
            _drop_empty_output(plan)
        elif signum == signal.SIGUSR2 and TRY_AGAIN in codes:
            requeue()
    return code


def pull_cells(plan: Plan, indices: tuple[int, ...], work: str, number: int, side_by_side: int = 1) -> int:
    """One of several tasks that share cells, each taking the next open one, or several at a time; with cells left at the warning, back
    into the queue."""
    begin = int(os.environ.get("SLURM_ARRAY_TASK_ID", 0)) / int(os.environ.get("SLURM_ARRAY_TASK_COUNT", 1))
    share = pull.Share(f"slurm {number}", begin)
    # One at a time, each is looked at when its turn comes.
    left = [index for index in indices if not state.is_done(plan, plan.cells[index])] if side_by_side > 1 else []
    if len(left) > 1:
        outcomes, signum = _side_by_side(plan, left, side_by_side, work, share)
        ended = [outcome for outcome in outcomes.values() if outcome != state.WAITING]  # that is others' part
        codes, got_done = {EXIT.get(outcome, 1) for outcome in ended}, state.DONE in ended
    else:
        with StopFlag() as stop:
            results = []
            for result in pull.pull(plan, indices, works.find(work), stop, share, log_to_file=True):
                _tell(result)
                results.append(result)
        codes, signum = {result.exit_code for result in results}, stop.signum
        got_done = any(result.state == state.DONE for result in results)
    if signum == signal.SIGUSR2:
        # Whoever has got something done may come back as often as it takes.
        requeue(without_bound=got_done)
        return TRY_AGAIN
    if not codes - {0}:
        _drop_empty_output(plan)
    return next((code for code in (1, 2, TRY_AGAIN) if code in codes), 0)


def refuse_other_code(plan: Plan, other_code: bool = False, expected: str | None = None) -> None:
    """InputError when the package's sources aren't those the plan was frozen with, or those `expected` (of an earlier launch of it)."""
    frozen = expected or plan.provenance.get("code_sha256")
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
            _tell(result)
    return codes, stop.signum


def _tell(result: CellResult) -> None:
    if result.cause:
        print(f"{result.key}: {result.state}: {result.cause}", file=sys.stderr, flush=True)


def _side_by_side(
    plan: Plan, indices: list[int], workers: int, work: str, share: pull.Share | None = None
) -> tuple[dict[int, str], int | None]:
    """Worker processes that share this job's CPUs and devices: how each cell ended, and the signal that ended them."""
    from .local import LocalExecutor

    workers = min(workers, len(indices))
    result = LocalExecutor(plan, only=indices, whole_run=False, work=work, workers=workers, workers_per_gpu=workers, share=share).submit()
    for key, outcome, cause in result.troubles():
        print(f"{key}: {outcome}: {cause}", file=sys.stderr, flush=True)
    return {index: result.states.get(index, state.WAITING) for index in indices}, result.signum


def requeue(without_bound: bool = False) -> bool:
    """Put this job back into the queue, if the profile allows it and it hasn't been there too often."""
    bound = int(os.environ.get("CRATERMILL_MAX_REQUEUES", 0))
    if bound == 0 or (not without_bound and int(os.environ.get("SLURM_RESTART_COUNT", 0)) >= bound):
        return False
    job = os.environ["SLURM_JOB_ID"]
    if "SLURM_ARRAY_JOB_ID" in os.environ:
        job = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    if REQUEUE_FILE in os.environ:  # in a container: the shell around it has scontrol
        write_text(Path(os.environ[REQUEUE_FILE]), job)
        return True
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
