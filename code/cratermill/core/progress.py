"""Showing how a long step gets on: a bar in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much is done, and how much there is."""

LINE_EVERY_S = 10.0


@contextlib.contextmanager
def shown(stream=None) -> Iterator[Progress]:
    """A callback that shows progress on ``stream`` (stderr by default, so that answers on stdout stay clean)."""
    stream = stream or sys.stderr
    if stream.isatty():
        with _bar(stream) as show:
            yield show
    else:
        yield _lines(stream)


@contextlib.contextmanager
def _bar(stream) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bars(*columns, console=Console(file=stream), transient=True) as bars:
        task = bars.add_task("", total=None)
        yield lambda what, done, total: bars.update(task, description=what, completed=done, total=total)


def _lines(stream) -> Progress:
    """At most one line per LINE_EVERY_S, and one whenever something else begins that is not over at once."""
    last = time.monotonic() - LINE_EVERY_S
    before = None

    def show(what: str, done: int, total: int) -> None:
        nonlocal last, before
        now = time.monotonic()
        if what and done < total and (now - last >= LINE_EVERY_S or what != before and now - last >= 1):
            last, before = now, what
            print(f"{what}: {done}/{total}", file=stream, flush=True)

    return show
