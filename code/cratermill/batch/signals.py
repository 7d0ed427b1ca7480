"""Asking the work to stop: handlers only set a flag, the training loop saves at its next step."""

from __future__ import annotations

import os
import signal
import threading

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2)


class StopFlag:
    """True once SIGTERM, SIGUSR2 or Ctrl-C came (a second Ctrl-C interrupts at once); a context manager.

    Handlers are installed in the main thread only; elsewhere the flag can still be set by `set`.
    """

    def __init__(self):
        self.requested = False
        self.signum: int | None = None
        self._owner = os.getpid()
        self._previous: dict = {}

    def __bool__(self) -> bool:
        return self.requested

    def __enter__(self) -> StopFlag:
        if threading.current_thread() is threading.main_thread():
            for signum in STOP_SIGNALS:
                self._previous[signum] = signal.signal(signum, self._handle)
        return self

    def __exit__(self, *_) -> None:
        for signum, handler in self._previous.items():
            # A handler set from C is reported as None and can't be put back.
            signal.signal(signum, handler if handler is not None else signal.SIG_DFL)
        self._previous.clear()

    def set(self, signum: int | None = None) -> None:
        self.requested, self.signum = True, signum

    def _handle(self, signum, _frame) -> None:
        if os.getpid() != self._owner:
            # A forked data loader inherits this handler; it has nothing to save and must end as it would have.
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)
            return
        again = self.requested and self.signum == signal.SIGINT and signum == signal.SIGINT
        self.set(signum)
        if again:
            raise KeyboardInterrupt
