"""Remarks about input that is used as it is, but that its owner should know of: each once per process, on stderr."""

from __future__ import annotations

import sys
import threading

_said: set[str] = set()
_lock = threading.Lock()


def notice(text: str, once: str | None = None) -> None:
    """Say it, unless it was said already; or anything else by the name ``once``."""
    with _lock:
        new = (once or text) not in _said
        _said.add(once or text)
    if new:
        print(f"Warning: {text}", file=sys.stderr, flush=True)
