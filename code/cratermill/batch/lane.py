"""One worker process of the local executor, and the thread that listens to it."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
from pathlib import Path


class Lane:
    """A worker process; its messages arrive in `events` as (lane, message), its end as (lane, None)."""

    def __init__(self, number: int, command: list[str], environment: dict, log: Path, events: queue.SimpleQueue):
        self.number, self.log = number, log
        self.index: int | None = None
        self.was_ready = False
        self.closing = False
        with log.open("ab") as stream:
            self._log_start = stream.tell()
            # A process group of its own: Ctrl-C reaches the executor alone, which then asks the workers to save.
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stream, env=environment, process_group=0
            )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        self._listener = threading.Thread(target=self._listen, args=(events,), name=f"worker-{number}", daemon=True)
        self._listener.start()
        threading.Thread(target=self._await_end, args=(events,), name=f"worker-{number}-end", daemon=True).start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def give(self, index: int) -> bool:
        """Send a cell; False when the worker is gone."""
        self.index = index
        if self._write(f"{index}\n"):
            return True
        self.index = None
        return False

    def quit(self, signum: int | None = None) -> None:
        """Ask the worker to end once it is idle; with a signal, to save and stop what it does."""
        self.closing = True
        self._write("quit\n")
        if signum is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signum)

    def kill(self) -> None:
        """End the worker and its helpers at once."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self.bury()

    def bury(self) -> str:
        """Wait for the ended process; says how it ended."""
        self._close_stdin()
        code = self._process.wait()
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

    def _write(self, text: str) -> bool:
        try:
            self._stdin.write(text.encode())
            self._stdin.flush()
        except (BrokenPipeError, ValueError, OSError):
            return False
        return True

    def _close_stdin(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stdin.close()

    def _listen(self, events: queue.SimpleQueue) -> None:
        for line in self._stdout:
            try:
                message = json.loads(line)
            except json.JSONDecodeError:
                continue  # something printed before the worker took its stdout apart
            if message.get("event") == "ready":
                self.was_ready = True
            events.put((self, message))

    def _await_end(self, events: queue.SimpleQueue) -> None:
        self._process.wait()
        # A helper process of the dead worker may hold the pipe open for a while; its last messages need no longer than this.
        self._listener.join(timeout=2.0)
        events.put((self, None))
