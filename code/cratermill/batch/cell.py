"""Executing one cell: the same function on a laptop and on a cluster."""

from __future__ import annotations

import contextlib
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..core.errors import CratermillError, WorkError, is_full_disk, is_memory, of_machine
from . import disk, provenance, state
from .environment import rank
from .plan import Cell, Plan
from .signals import StopFlag
from .workspace import Busy, Stopped, Workspace

# EX_TEMPFAIL of sysexits.h: stopped or busy, worth another try; schedulers may requeue on it.
TRY_AGAIN = 75
WAIT_FOR_OTHER_S = 60.0

Science = Callable[[Plan, Cell, Workspace], "dict[str, Any] | None"]
OnReport = Callable[[int, "dict[str, Any] | None"], None]
"""Hears of a cell by its index: None when its work begins, then its progress."""


@dataclass(frozen=True)
class CellResult:
    """How one execution ended; `kind` of a failure: input, error, disk, crash, busy."""

    index: int
    key: str
    state: str
    cause: str | None = None
    kind: str | None = None
    metrics: dict[str, Any] | None = None
    seconds: float = 0.0

    @property
    def exit_code(self) -> int:
        """0 done, 75 stopped or busy (try again), 2 bad input, 1 anything else."""
        if self.state == state.DONE:
            return 0
        if self.state == state.STOPPED or self.kind == "busy":
            return TRY_AGAIN
        return 2 if self.kind == "input" else 1

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def run_cell(
    plan: Plan,
    index: int,
    science: Science,
    *,
    stop: StopFlag | None = None,
    on_report: OnReport | None = None,
    log_to_file: bool = False,
    wait_s: float = WAIT_FOR_OTHER_S,
    turn: str | None = None,
) -> CellResult:
    """Execute one cell unless it is done; failures become a result and a record, never an exception.

    `turn` names the submission or launch in the cell's record, for others that work on the same cells.
    `log_to_file` sends everything written to stdout and stderr meanwhile, by whatever library, to the cell's log.
    KeyboardInterrupt (a second Ctrl-C) alone passes through.
    """
    cell = plan.cell(index)
    if state.is_done(plan, cell) and not cell.always:
        return CellResult(index, cell.key, state.DONE)
    missing = missing_needs(plan, cell)
    if missing and not cell.soft_needs:
        return _blocked(plan, cell, missing, turn)
    with contextlib.ExitStack() as stack:
        flag = stop if stop is not None else stack.enter_context(StopFlag())
        try:
            disk.make_folder(plan.state_path(index).parent, "the run's folder")
            if log_to_file:
                stack.enter_context(redirected(plan.log_path(index)))
        except CratermillError as error:
            return _result(cell, state.FAILED, error)
        if rank() > 0:
            return _help(plan, cell, science, flag)
        return _run_locked(plan, cell, science, flag, on_report, wait_s, turn)


def _help(plan: Plan, cell: Cell, science: Science, flag: StopFlag) -> CellResult:
    """Another rank of a distributed cell: the same work in the same folder, while rank 0 locks, records and publishes."""
    try:
        metrics = science(plan, cell, Workspace(plan, cell, flag))
        stopped = metrics is None and flag.requested
        return CellResult(cell.index, cell.key, state.STOPPED if stopped else state.DONE)
    except Stopped:
        return CellResult(cell.index, cell.key, state.STOPPED)
    except CratermillError as error:
        return _result(cell, state.FAILED, error)
    except Exception as error:
        if not flag.requested:
            raise  # the traceback goes to the job's output; rank 0 ends with the job
        return CellResult(cell.index, cell.key, state.STOPPED, _one_line(error))


def missing_needs(plan: Plan, cell: Cell) -> list[Cell]:
    """The cells whose products this one needs and that aren't there."""
    return [plan.cells[need] for need in cell.needs if not state.is_done(plan, plan.cells[need])]


def _blocked(plan: Plan, cell: Cell, missing: list[Cell], turn: str | None) -> CellResult:
    names = ", ".join(need.key for need in missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
    cause = f"needs {names}"
    with contextlib.suppress(OSError):
        state.note(plan, cell, state.BLOCKED, cause, **job_facts(), turn=turn)
    return CellResult(cell.index, cell.key, state.BLOCKED, cause)


def job_facts() -> dict[str, Any]:
    """Which job of which submission this is, for the record; nothing outside Slurm."""
    names = {
        "job": "SLURM_JOB_ID",
        "array_job": "SLURM_ARRAY_JOB_ID",
        "task": "SLURM_ARRAY_TASK_ID",
        "restart": "SLURM_RESTART_COUNT",
        "node": "SLURMD_NODENAME",
        "submission": "CRATERMILL_SUBMISSION",
    }
    found = {name: os.environ[variable] for name, variable in names.items() if variable in os.environ}
    return {"slurm": found} if "job" in found else {}


def _run_locked(
    plan: Plan, cell: Cell, science: Science, flag: StopFlag, on_report: OnReport | None, wait_s: float, turn: str | None
) -> CellResult:
    """Lock, work, publish, unlock; the record says `running` only while the lock is held."""
    record = state.Record(plan, cell, turn, **job_facts())

    def report(progress: dict[str, Any]) -> None:
        record.report(progress)
        if on_report:
            on_report(cell.index, progress)

    workspace = Workspace(plan, cell, flag, report)
    try:
        workspace.open(wait_s)
        if state.is_done(plan, cell) and not cell.always:
            workspace.discard()
            return CellResult(cell.index, cell.key, state.DONE)
        if (ended := _ended_in_turn(plan, cell, turn)) is not None:
            return ended
        record = state.Record(plan, cell, turn, **job_facts())  # again: somebody may have had the cell until a moment ago
        record.open()
        if on_report:
            on_report(cell.index, None)
        _work(plan, cell, science, workspace)
        with contextlib.suppress(OSError):  # later launches are estimated by it, no more
            record.value.update(state.size_of(plan.product(cell)))
        return _closed(record, CellResult(cell.index, cell.key, state.DONE, seconds=time.time() - record.value["started"]))
    except Busy as error:
        return _result(cell, state.WAITING, error, kind="busy")
    except KeyboardInterrupt:
        _closed(record, CellResult(cell.index, cell.key, state.STOPPED, "interrupted", "stopped"))
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - one bad cell must not stop the others; the log has the traceback
        return _closed(record, _failure(cell, error, flag, record))
    finally:
        workspace.close()  # after the last word: who gets the lock next must read it


def _ended_in_turn(plan: Plan, cell: Cell, turn: str | None) -> CellResult | None:
    """How somebody else's attempt of the same turn ended, while this one waited for the lock."""
    known = state.read_record(plan, cell.index)
    if turn is None or known.get("turn") != turn or known.get("state") != state.FAILED:
        return None
    return CellResult(cell.index, cell.key, state.FAILED, known.get("cause"), "busy")


def _work(plan: Plan, cell: Cell, science: Science, workspace: Workspace) -> None:
    if workspace.finished:
        workspace.name_product()
        return
    started = time.time()
    inputs = {"inputs": state.inputs_mark(plan, cell)} if cell.always else {}  # before the work: they may change meanwhile
    metrics = science(plan, cell, workspace)
    if metrics is None and workspace.stop_requested:
        raise Stopped
    ended = time.time()
    made_with = provenance.made_with(plan.provenance)
    times = {"started": started, "ended": ended, "seconds": ended - started}
    workspace.publish(metrics, {"run": plan.run, "made_with": made_with, **times, **inputs})


def _failure(cell: Cell, error: BaseException, flag: StopFlag, record: state.Record) -> CellResult:
    """What an exception means; only unexpected ones are shown with a traceback, in the log."""
    seconds = time.time() - record.value["started"]
    if isinstance(error, Stopped):
        cause = "stopped on request, goes on from its checkpoint"
        return CellResult(cell.index, cell.key, state.STOPPED, cause, "stopped", seconds=seconds)
    if isinstance(error, CratermillError):
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        return _result(cell, state.FAILED, error, seconds=seconds)
    traceback.print_exc()
    sys.stderr.flush()
    if flag.requested:
        # Signals also end helper processes (data loaders); what then breaks here is no fault of the work.
        cause = f"stopped on request, not cleanly ({_one_line(error)}); goes on from its last checkpoint"
        return CellResult(cell.index, cell.key, state.STOPPED, cause, "stopped", seconds=seconds)
    refused = of_machine(error)
    if isinstance(error, OSError) and is_full_disk(error):
        refused = disk.cannot_write(Path(error.filename or cell.product), f"the work of {cell.key}", error)
    cause = _one_line(error) if refused is None else str(refused)
    kind = "oom" if is_memory(error) else "disk" if is_full_disk(error) else "crash"
    return CellResult(cell.index, cell.key, state.FAILED, cause, kind, seconds=seconds)


def _result(cell: Cell, outcome: str, error: CratermillError, *, kind: str | None = None, seconds: float = 0.0) -> CellResult:
    if kind is None:
        full = isinstance(error, WorkError) and isinstance(error.__cause__, OSError)
        kind = "disk" if full else "input" if error.exit_code == 2 else "error"
    return CellResult(cell.index, cell.key, outcome, str(error), kind, seconds=seconds)


def _closed(record: state.Record, result: CellResult) -> CellResult:
    try:
        record.close(result.state, result.cause, result.kind)
    except OSError as error:
        # The product, if any, is safe; only the word about it is lost.
        print(f"can't write {record.path}: {error.strerror}", file=sys.stderr)
    return result


def _one_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:300]}" if text else type(error).__name__


@contextlib.contextmanager
def redirected(path: Path) -> Iterator[None]:
    """Append stdout and stderr of this process and its children to `path` (file descriptors, so C libraries too)."""
    try:
        target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise disk.cannot_write(path, "the log", error) from error
    with contextlib.suppress(OSError):  # a full disk shows itself soon enough
        os.write(target, f"=== {time.strftime('%Y-%m-%d %H:%M:%S')} process {os.getpid()}\n".encode())
    _flush()
    saved = [os.dup(1), os.dup(2)]
    os.dup2(target, 1)
    os.dup2(target, 2)
    os.close(target)
    try:
        yield
    finally:
        _flush()
        for number, descriptor in enumerate(saved, start=1):
            os.dup2(descriptor, number)
            os.close(descriptor)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
