"""A process that executes cells one after another: indices in, one JSON line per event out.

It lives as long as its stdin, so that heavy imports are paid once and a killed executor leaves no orphan at work.
"""

from __future__ import annotations

import functools
import json
import os
import queue
import sys
import threading
from typing import Any

from . import plan as plans
from . import works
from .cell import CellResult, run_cell
from .environment import rank
from .signals import StopFlag

# A cell of another run may hold the lock for as long as it needs; the executor stops us if nobody wants to wait.
WAIT_S = 7 * 24 * 3600.0
CELL_VARIABLE = "CRATERMILL_CELL"


def serve(plan_path: str, work: str) -> int:
    """Execute the cells whose indices arrive on stdin, until it ends or a stop is asked for; returns an exit code.

    Events on stdout: {"event": "ready"}, {"event": "progress", "index", "progress"}, {"event": "end", ...CellResult}.
    """
    plan, science = plans.load(plan_path), works.find(work)
    if rank() > 0:
        # Started by rank 0's training as one of its processes, with the same command line: it helps with that cell alone.
        return run_cell(plan, int(os.environ[CELL_VARIABLE]), science).exit_code
    answers = _Answers()
    with StopFlag() as stop:
        indices = _follow_stdin(stop)
        answers.send(event="ready", pid=os.getpid())
        while not stop.requested:
            try:
                index = indices.get(timeout=0.2)
            except queue.Empty:
                continue
            if index is None:
                break
            os.environ[CELL_VARIABLE] = str(index)
            result = run_cell(
                plan,
                index,
                science,
                stop=stop,
                on_report=functools.partial(answers.progress, index),
                log_to_file=True,
                wait_s=WAIT_S,
            )
            # A distributed training leaves a process that can't begin another one.
            last = "LOCAL_RANK" in os.environ
            answers.send(event="end", last=last, **_plain(result))
            if last:
                break
    return 0


def _follow_stdin(stop: StopFlag) -> queue.SimpleQueue[int | None]:
    """Read indices in a thread, which also notices at once that the executor is gone."""
    indices: queue.SimpleQueue[int | None] = queue.SimpleQueue()

    def follow() -> None:
        for line in sys.stdin:
            word = line.strip()
            if word == "quit":
                indices.put(None)
            elif word:
                indices.put(int(word))
        stop.set()

    threading.Thread(target=follow, name="stdin", daemon=True).start()
    return indices


def _plain(result: CellResult) -> dict[str, Any]:
    return {name: value for name, value in result.as_json().items() if name != "metrics"}


class _Answers:
    """The true stdout, kept apart from what libraries print."""

    def __init__(self) -> None:
        self._stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
        # Whatever is printed between cells must not be taken for an answer.
        os.dup2(2, 1)

    def progress(self, index: int, progress: dict[str, Any]) -> None:
        self.send(event="progress", index=index, progress=progress)

    def send(self, **message: Any) -> None:
        try:
            self._stream.write(json.dumps(message, default=str) + "\n")
            self._stream.flush()
        except BrokenPipeError:
            pass  # the executor is gone; stdin tells us so too


if __name__ == "__main__":
    sys.exit(serve(*sys.argv[1:]))
