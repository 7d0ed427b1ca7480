"""The worker processes of the local executor, seen from there: who was forked, what they say, how they ended."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import send_handle
from pathlib import Path
from typing import Any

# What libraries read once, when they are loaded: a parent serves those executors that agree in it.
AT_LOADING = ("OMP_", "MKL_", "OPENBLAS_", "NUMEXPR_", "NUMBA_", "KMP_", "LD_", "PYTHON", "TORCH", "PYTORCH_", "CRATERMILL_")


class Parent:
    """A process that has loaded the modules of some stages and forks workers; it ends with this process."""

    def __init__(self, work: str, stages: frozenset[str], environment: Mapping[str, str], log: Path):
        self.work, self.stages, self.environment = work, stages, at_loading(environment)
        self._control, theirs = Pipe()
        self._asked: list[Slot] = []
        self._slots: dict[int, Slot] = {}
        # Imports look for GPUs; asking CUDA itself would spoil it for what is forked.
        environment = {**environment, "PYTORCH_NVML_BASED_CUDA_CHECK": "1"}
        command = [sys.executable, "-m", f"{__package__}.worker", work, *sorted(stages)]
        with log.open("ab") as said:
            self._process = subprocess.Popen(command, stdin=theirs.fileno(), stdout=said, stderr=said, env=environment, process_group=0)
        theirs.close()

    def serves(self, work: str, stages: frozenset[str], environment: Mapping[str, str]) -> bool:
        return self.alive and (self.work, self.environment) == (work, at_loading(environment)) and stages <= self.stages

    @property
    def alive(self) -> bool:
        return not self._control.closed and self._process.poll() is None

    def fork(self, slot: Slot, link: Connection) -> None:
        """Ask for a worker at the other end of a slot's link."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # then its end is told of by `events`
            send_handle(self._control, link.fileno(), self._process.pid)
        self._asked.append(slot)

    def events(self, slots: Sequence[Slot], timeout_s: float) -> Iterator[tuple[Slot, dict[str, Any] | None]]:
        """What workers said since, as (slot, message), and their ends as (slot, None); waits for the first of it."""
        links = {slot.link: slot for slot in slots if not slot.link.closed}
        ready = wait([*links, *([] if self._control.closed else [self._control])], timeout_s)
        for link, slot in links.items():
            if link in ready:
                yield from slot.messages()
        if self._control in ready:
            yield from self._news()
        if self._control.closed:  # nobody is left who could tell how they ended
            for slot in [*self._asked, *(slot for slot in self._slots.values() if slot.link.closed)]:
                self._forget(slot)
                yield slot, None

    def close(self, at_once: bool = False) -> None:
        """Let it go; its workers go on."""
        if at_once or not self._slots:
            self._process.kill()
        if not self._control.closed:
            self._control.close()
        self._process.wait()

    def _news(self) -> Iterator[tuple[Slot, dict[str, Any] | None]]:
        try:
            while self._control.poll():
                what, pid, *code = self._control.recv()
                if what == "forked":
                    self._slots[pid] = self._asked.pop(0)
                    self._slots[pid].pid = pid
                else:
                    slot = self._slots[pid]
                    slot.exit_code = code[0]
                    yield from slot.messages()
                    self._forget(slot)
                    yield slot, None
        except (EOFError, ConnectionResetError):
            self._control.close()

    def _forget(self, slot: Slot) -> None:
        slot.ended = True
        self._asked = [other for other in self._asked if other is not slot]
        self._slots.pop(slot.pid or 0, None)


_parents: list[Parent] = []


def parent_for(work: str, stages: frozenset[str], environment: Mapping[str, str], log: Path) -> Parent:
    """The parent that this process has, or a new one in its place when it doesn't serve."""
    if _parents and not _parents[0].serves(work, stages, environment):
        _parents.pop().close()
    if not _parents:
        atexit.register(close_parents)
        _parents.append(Parent(work, stages, environment, log))
    return _parents[0]


def close_parents() -> None:
    """Let go what this process has started; one that still loads would do so for nobody."""
    while _parents:
        _parents.pop().close()


def at_loading(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(AT_LOADING)}


class Slot:
    """A place for one worker at a time, and the link to it."""

    def __init__(self, number: int, parent: Parent, task: Mapping[str, Any], environment: Mapping[str, str], log: Path):
        self.number, self.log = number, log
        self.index: int | None = None
        """The cell that it is at."""
        self.pid: int | None = None
        self.exit_code: int | None = None
        self.was_ready = self.was_useful = self.ended = False
        self._log_start = log.stat().st_size if log.exists() else 0
        self.link, theirs = Pipe()
        parent.fork(self, theirs)
        theirs.close()
        self._send({**task, "environment": dict(environment), "cwd": str(Path.cwd()), "log": str(log)})

    def quit(self, signum: int | None = None) -> None:
        """Ask the worker to end; with a signal, to save and stop what it does."""
        self._send(None)
        if signum is not None and self.pid is not None and not self.ended:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signum)

    def kill(self) -> None:
        """End the worker and its helpers at once."""
        if self.pid is not None and not self.ended:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def messages(self) -> Iterator[tuple[Slot, dict[str, Any]]]:
        """What the worker said that wasn't read yet."""
        try:
            while not self.link.closed and self.link.poll():
                message = self.link.recv()
                self.was_ready = self.was_ready or message["event"] == "ready"
                yield self, message
        except (EOFError, ConnectionResetError):
            self.link.close()

    def how_it_ended(self) -> str:
        code = self.exit_code
        if code is None:
            return "its worker ended together with the process that started it"
        if code >= 0:
            return f"its worker ended with exit code {code}"
        name = signal.Signals(-code).name if -code in signal.valid_signals() else str(-code)
        hint = " (often: out of memory)" if -code == signal.SIGKILL else ""
        return f"its worker was killed by {name}{hint}"

    def last_words(self, lines: int = 15) -> str:
        """The end of what this worker wrote to the common log."""
        with self.log.open("rb") as stream:
            stream.seek(self._log_start)
            text = stream.read().decode(errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def _send(self, what: object) -> None:
        with contextlib.suppress(OSError):  # the worker is gone: its end is on its way as an event
            self.link.send(what)
