"""What the work of a cell sees of the run that it belongs to, whoever runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol


class Stopped(Exception):
    """Raised by the work once it has saved itself after ``stop_requested``; the cell goes on from there next time."""


class Workspace(Protocol):
    """A folder of the cell's own, published when everything is there, and two ways to talk with whoever runs it."""

    folder: Path

    @property
    def stop_requested(self) -> bool:
        """True when the work should save itself, then raise :class:`Stopped`."""

    def report(self, **progress: Any) -> None:
        """Tell how far the work is (epoch, epochs, step, metric, rate, …); cheap, to be called often."""

    def keep_going(self) -> None:
        """Raise :class:`Stopped` when asked to stop; for work whose steps are all saved already."""
