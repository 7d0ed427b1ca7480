"""Remarks about input that is used as it is, but that its owner should know of: each once per process, on stderr."""

from __future__ import annotations

import sys
import threading

_said: set[str] = set()
_lock = threading.Lock()


def notice(text: str) -> None:
    """Say it, unless it was said already."""
    with _lock:
        new = text not in _said
        _said.add(text)
    if new:
        print(f"Warning: {text}", file=sys.stderr, flush=True)
