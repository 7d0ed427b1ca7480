"""The processes that execute cells on this machine: a parent that has loaded what cells need, and the workers that it forks.

`python -m cratermill.batch.worker WORK STAGE...` is the parent. It only imports: it computes nothing, opens nothing and touches no GPU,
so that each worker is as a process of its own would be, seconds earlier. Both end with the executor, however that ends.
"""

from __future__ import annotations

import contextlib
import functools
import os
import queue
import signal
import sys
import threading
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import recv_handle
from pathlib import Path
from typing import Any

from . import plan as plans
from . import works
from .cell import CellResult, run_cell
from .environment import rank
from .signals import STOP_SIGNALS, StopFlag

# A cell of another run may hold the lock for as long as it needs; the executor stops us if nobody wants to wait.
WAIT_S = 7 * 24 * 3600.0
CELL_VARIABLE = "CRATERMILL_CELL"
PLAN_VARIABLE = "CRATERMILL_WORKER_PLAN"


def main(work: str, *stages: str) -> int:
    if rank() > 0:
        # Started by rank 0's training as one of its processes, with the same command line: it helps with that cell alone.
        return run_cell(plans.load(os.environ[PLAN_VARIABLE]), int(os.environ[CELL_VARIABLE]), works.find(work)).exit_code
    for signum in STOP_SIGNALS:
        signal.signal(signum, signal.SIG_IGN)  # workers save themselves on these; until then somebody has to wait for them
    control = Connection(os.dup(0))
    with Path(os.devnull).open() as nothing:
        os.dup2(nothing.fileno(), 0)
    works.preload(work, stages)
    link = _fork_workers(control)
    return 0 if link is None else _begin(work, link)


def _fork_workers(control: Connection) -> Connection | None:
    """Fork a worker for each link that arrives, and tell of it: ("forked", pid), later ("ended", pid, status).

    Returns None when the executor is gone, and in a worker its link.
    """
    endings, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            ready = wait([control, endings])
            if endings in ready:
                os.read(endings, 4096)
                _tell_of_endings(control)
            if control not in ready:
                continue
            link = recv_handle(control)
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                for signum in (*STOP_SIGNALS, signal.SIGCHLD):
                    signal.signal(signum, signal.SIG_DFL)
                for descriptor in (endings, wake):
                    os.close(descriptor)
                control.close()
                return Connection(link)
            os.close(link)
            control.send(("forked", pid))
    return None


def _tell_of_endings(control: Connection) -> None:
    with contextlib.suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            control.send(("ended", found[0], os.waitstatus_to_exitcode(found[1])))


def _begin(work: str, link: Connection) -> int:
    """Become the worker that an executor asks for: its own process group, environment, folder and output."""
    # Ctrl-C reaches the executor alone, which then asks the workers to save.
    os.setpgid(0, 0)
    try:
        asked = link.recv()
    except EOFError:
        return 0
    os.environ.clear()
    os.environ.update(asked["environment"], **{PLAN_VARIABLE: asked["plan"]})
    os.chdir(asked["cwd"])
    log = os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()  # Python's own generator is seeded anew by the fork
    return serve(asked["plan"], work, link)


def serve(plan_path: str, work: str, link: Connection) -> int:
    """Execute the cells whose indices arrive, until None does, the link ends or a stop is asked for; returns an exit code.

    Answers: {"event": "ready"}, {"event": "progress", "index", "progress"}, {"event": "end", ...CellResult}.
    """
    plan, science = plans.load(plan_path), works.find(work)
    say = functools.partial(_say, link, threading.Lock())
    with StopFlag() as stop:
        indices = _follow(link, stop)
        say(event="ready")
        while not stop.requested:
            try:
                index = indices.get(timeout=0.2)
            except queue.Empty:
                continue
            if index is None:
                break
            os.environ[CELL_VARIABLE] = str(index)
            on_report = functools.partial(_progress, say, index)
            result = run_cell(plan, index, science, stop=stop, on_report=on_report, log_to_file=True, wait_s=WAIT_S)
            # A distributed training leaves a process that can't begin another one.
            last = "LOCAL_RANK" in os.environ
            say(event="end", last=last, **_plain(result))
            if last:
                break
    return 0


def _follow(link: Connection, stop: StopFlag) -> queue.SimpleQueue[int | None]:
    """Read indices in a thread, which also notices at once that the executor is gone."""
    indices: queue.SimpleQueue[int | None] = queue.SimpleQueue()

    def follow() -> None:
        with contextlib.suppress(EOFError, OSError):
            while True:
                indices.put(link.recv())
        stop.set()

    threading.Thread(target=follow, name="link", daemon=True).start()
    return indices


def _say(link: Connection, guard: threading.Lock, **message: Any) -> None:
    with contextlib.suppress(OSError), guard:  # the executor is gone: the thread that reads notices it, too
        link.send(message)


def _progress(say: Any, index: int, progress: dict[str, Any]) -> None:
    say(event="progress", index=index, progress=progress)


def _plain(result: CellResult) -> dict[str, Any]:
    return {name: value for name, value in result.as_json().items() if name != "metrics"}


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
