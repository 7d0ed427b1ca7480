"""The processes that execute cells on this machine: a parent that has loaded what cells need, and the workers that it forks.

`python -m cratermill.batch.worker WORK STAGE...` is the parent. It only imports: it computes nothing, opens nothing and touches no GPU,
so that each worker is as a process of its own would be, seconds earlier. Both end with the executor, however that ends.
"""

from __future__ import annotations

import contextlib
import functools
import os
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
from .pull import pull
from .signals import STOP_SIGNALS, StopFlag

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
    return serve(asked, work, link)


def serve(asked: dict[str, Any], work: str, link: Connection) -> int:
    """Execute open cells among `asked["indices"]` until there is none, the link ends or a stop is asked for; returns an exit code.

    Says: {"event": "ready"}, {"event": "progress", "index", "progress"} (None: it begins), {"event": "end", ...CellResult}.
    """
    plan, science = plans.load(asked["plan"]), works.find(work)
    say = functools.partial(_say, link, threading.Lock())
    with StopFlag() as stop:
        threading.Thread(target=_follow, args=(link, stop), name="link", daemon=True).start()
        say(event="ready")
        on_report = functools.partial(_report, say)
        for result in pull(plan, asked["indices"], science, stop, asked["share"], on_report=on_report, log_to_file=True):
            say(event="end", **_plain(result))
            # A distributed training leaves a process that can't begin another one; a GPU or a library may be left in a bad way.
            if "LOCAL_RANK" in os.environ or result.kind in ("crash", "oom"):
                break
    return 0


def _follow(link: Connection, stop: StopFlag) -> None:
    """Whatever the executor says, or its end, asks to stop."""
    with contextlib.suppress(EOFError, OSError):
        link.recv()
    stop.set()


def _say(link: Connection, guard: threading.Lock, **message: Any) -> None:
    with contextlib.suppress(OSError), guard:  # the executor is gone: the thread that reads notices it, too
        link.send(message)


def _report(say: Any, index: int, progress: dict[str, Any] | None) -> None:
    if progress is None:
        os.environ[CELL_VARIABLE] = str(index)
    say(event="progress", index=index, progress=progress)


def _plain(result: CellResult) -> dict[str, Any]:
    return {name: value for name, value in result.as_json().items() if name != "metrics"}


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
