"""One state per cell, worked out from its product, its record in the run folder and whether its process lives."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import socket
import sys
import threading
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..core.files import fingerprint, read_json, write_json
from ..core.locks import process_start
from .locks import BEAT_S, SILENT_S
from .plan import Cell, Plan

WAITING, QUEUED, RUNNING, DONE = "waiting", "queued", "running", "done"
FAILED, BLOCKED, STOPPED, LOST = "failed", "blocked", "stopped", "lost"
STATES = (WAITING, QUEUED, RUNNING, DONE, FAILED, BLOCKED, STOPPED, LOST)
ENDED_BADLY = (FAILED, BLOCKED, LOST)

CELL_FILE = "cell.json"
REPORT_S = 1.0


@dataclass(frozen=True)
class CellState:
    """What a person or a script wants to know of a cell; `kind` of a failure is error, disk, killed, timeout, oom, ...

    `job` is the scheduler's name for it while it is in the queue.
    """

    index: int
    key: str
    stage: str
    state: str
    cause: str | None = None
    kind: str | None = None
    progress: dict[str, Any] | None = None
    host: str | None = None
    pid: int | None = None
    started: float | None = None
    ended: float | None = None
    seconds: float | None = None
    attempt: int = 0
    job: str | None = None


class Record:
    """The state file of a running cell; beats on its own every BEAT_S so that silence means death."""

    def __init__(self, plan: Plan, cell: Cell, turn: str | None = None, **extra: Any):
        previous = read_record(plan, cell.index)
        self.path = plan.state_path(cell.index)
        now = time.time()
        self.value: dict[str, Any] = {
            "state": RUNNING,
            "stage": cell.stage,
            "group": list(cell.group),
            "pid": os.getpid(),
            "pid_started": process_start(os.getpid()),
            "host": socket.gethostname(),
            "started": now,
            "heartbeat": now,
            "attempt": previous.get("attempt", 0) + 1,
            "before_s": previous.get("before_s", 0.0) + _spent(previous),
            "progress": {},
            "turn": turn,
            "tries": previous.get("tries", 1) + 1 if turn and turn == previous.get("turn") and previous.get("state") == RUNNING else 1,
            **extra,
        }
        self._usage = cpu_seconds()
        self._guard = threading.Lock()
        self._written = 0.0
        self._ended = threading.Event()
        self._beat: threading.Thread | None = None

    def open(self) -> None:
        """Write the record (OSError if that's impossible) and begin to beat."""
        self._write()
        self._beat = threading.Thread(target=self._beating, name="heartbeat", daemon=True)
        self._beat.start()

    def report(self, progress: dict[str, Any]) -> None:
        """Keep the newest progress; written at most once per REPORT_S. A full disk must not stop the work itself."""
        with self._guard:
            self.value["progress"].pop("doing", None)  # what was under way before
            self.value["progress"].update(progress)
        if time.time() - self._written >= REPORT_S:
            self._write_quietly()

    def close(self, state: str, cause: str | None = None, kind: str | None = None) -> None:
        """Write the last word; OSError if it can't be written."""
        self._ended.set()
        if self._beat:
            self._beat.join()
        now = time.time()
        with self._guard:
            self.value.update(state=state, cause=cause, kind=kind, ended=now, seconds=now - self.value["started"])
            self.value.update(cpu_s=round(cpu_seconds() - self._usage, 2), max_rss_mb=peak_memory_mb(), gpu=used_gpu())
        self._write()

    def _beating(self) -> None:
        while not self._ended.wait(BEAT_S):
            self._write_quietly()

    def _write_quietly(self) -> None:
        with contextlib.suppress(OSError):  # the next beat tries again; silence shows as `lost` only after SILENT_S
            self._write()

    def _write(self) -> None:
        with self._guard:
            self._written = self.value["heartbeat"] = time.time()
            write_json(self.path, self.value)


def used_gpu() -> bool:
    """Whether this process has had to do with a GPU; torch is asked only where the work has imported it."""
    torch = sys.modules.get("torch")
    return bool(torch and torch.cuda.is_initialized())


def size_of(product: Path) -> dict[str, int]:
    """How much disk and how many files a product takes."""
    sizes = [path.stat().st_size for path in product.rglob("*") if path.is_file()]
    return {"bytes": sum(sizes), "files": len(sizes)}


def _spent(record: dict[str, Any]) -> float:
    """Seconds of the attempt that a record tells of; one that was killed ended at its last beat."""
    if record.get("seconds") or not record.get("started"):
        return float(record.get("seconds") or 0.0)
    return max(0.0, float(record.get("heartbeat", record["started"]) - record["started"]))


def note(
    plan: Plan, cell: Cell, state: str, cause: str | None = None, kind: str | None = None, *, ended: float | None = None, **extra: Any
) -> None:
    """Record the state of a cell that doesn't run here (blocked, killed, submitted), keeping what its record knew."""
    value = read_record(plan, cell.index) or {"attempt": 0}
    value.update(state=state, cause=cause, kind=kind, stage=cell.stage, group=list(cell.group), **extra)
    value["ended"] = ended or time.time()
    if value.get("started"):
        value["seconds"] = value["ended"] - value["started"]
    write_json(plan.state_path(cell.index), value)


_KINDS: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("state", "stage", "cause", "kind", "host", "pid_started"), str),
    **dict.fromkeys(("started", "heartbeat", "ended", "seconds", "cpu_s", "max_rss_mb", "before_s"), (int, float)),
    **dict.fromkeys(("pid", "attempt", "tries", "bytes", "files"), int),
    **dict.fromkeys(("progress", "slurm"), dict),
    "group": list,
    "gpu": bool,
}


def read_record(plan: Plan, index: int) -> dict[str, Any]:
    """What a cell wrote of itself; entries of another kind than ours are left out, so that one odd file keeps nobody from looking."""
    value = read_json(plan.state_path(index))
    if not isinstance(value, dict) or value.get("state", WAITING) not in STATES:
        return {}
    return {name: item for name, item in value.items() if name not in _KINDS or isinstance(item, _KINDS[name])}


def is_done(plan: Plan, cell: Cell) -> bool:
    """True when the product is there and was made from these very parameters."""
    path = plan.product(cell) / CELL_FILE
    try:
        found = path.stat()
        return _made_from(path, found.st_ino, found.st_size, found.st_mtime_ns) == cell.fingerprint
    except (OSError, ValueError, TypeError, KeyError, RecursionError):  # none of them is remembered
        return False


@lru_cache(maxsize=1 << 16)
def _made_from(path: Path, inode: int, size: int, modified_ns: int) -> Any:
    """The fingerprint that stands in a product: read once per file, as a summary asks several times for each of thousands."""
    return json.loads(path.read_text(encoding="utf-8"))["fingerprint"]


def is_settled(plan: Plan, cell: Cell) -> bool:
    """True when a launch has nothing to do for a cell: done, and where it is always made, from the inputs that are there now.

    A product that names its files (``results`` in its metrics) must still have them.
    """
    if not cell.always:
        return is_done(plan, cell)
    made = read_json(plan.product(cell) / CELL_FILE)
    if not isinstance(made, dict) or made.get("fingerprint") != cell.fingerprint or made.get("inputs") != inputs_mark(plan, cell):
        return False
    return all((plan.root / path).exists() for path in (made.get("metrics") or {}).get("results", ()))


def inputs_mark(plan: Plan, cell: Cell) -> str:
    """Changes when a product that a cell needs is made, made again or lost, and when the code changes."""
    needs = [plan.cells[need] for need in cell.needs]
    return fingerprint([plan.provenance.get("code_sha256"), *([need.key, need.fingerprint, _made_at(plan, need)] for need in needs)])


def _made_at(plan: Plan, cell: Cell) -> int | None:
    if not is_done(plan, cell):
        return None
    try:
        return (plan.product(cell) / CELL_FILE).stat().st_mtime_ns
    except OSError:
        return None


def read_state(plan: Plan, cell: Cell, now: float | None = None) -> CellState:
    """The state of one cell, without asking any scheduler."""
    found = judge(cell, read_record(plan, cell.index), is_done(plan, cell), now)
    # Its process may have said its last word and ended between the look at its record and the look for it.
    return judge(cell, read_record(plan, cell.index), is_done(plan, cell), now) if found.state == LOST else found


def judge(cell: Cell, record: dict[str, Any], done: bool, now: float | None = None) -> CellState:
    """The state of a cell by its record and whether its product is there."""
    state, cause, kind = record.get("state", WAITING), record.get("cause"), record.get("kind")
    if state == RUNNING and not is_alive(record, now):
        state, kind, cause = LOST, "lost", f"process {record.get('pid')} on {record.get('host')} ended without a word"
    if done and (not cell.always or state in (DONE, LOST)):
        state, cause, kind = DONE, None, None
    elif state == DONE and not done:
        state, cause = WAITING, "its product is gone"
    names = ("progress", "host", "pid", "started", "ended", "seconds")
    extra = {name: record.get(name) for name in names}
    return CellState(cell.index, cell.key, cell.stage, state, cause, kind, attempt=record.get("attempt", 0), **extra)


def is_alive(record: dict[str, Any], now: float | None = None) -> bool:
    """Whether the process of a `running` record lives: asked here, or judged by its beats on another host."""
    if record.get("host") == socket.gethostname():
        started = process_start(record.get("pid", 0))
        return started is not None and started == record.get("pid_started")
    return (now or time.time()) - record.get("heartbeat", 0) < SILENT_S


def cpu_seconds() -> float:
    """CPU time of this process and of its children that ended."""
    total = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        usage = resource.getrusage(who)
        total += usage.ru_utime + usage.ru_stime
    return total


def peak_memory_mb() -> float:
    """Largest resident size of this process so far, in MB."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
