"""Showing a local run: live bars in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, TextIO

from . import state
from .estimate import duration_text
from .todo import Todo

if TYPE_CHECKING:
    from rich.progress import TaskID

MARKS = {state.DONE: "done", state.FAILED: "FAILED", state.BLOCKED: "blocked", state.STOPPED: "stopped"}


def make_observer(stream: TextIO | None = None) -> Observer:
    """A RichObserver when `stream` (default: stdout) is a terminal, else a PlainObserver."""
    stream = stream or sys.stdout
    return RichObserver() if stream.isatty() else PlainObserver(stream)


def progress_text(progress: dict[str, Any] | None) -> str:
    """Progress as few words: `epoch 3/10, step 120, loss 0.41, 12 it/s`; what isn't known yet (None) is left out."""
    progress = {name: value for name, value in (progress or {}).items() if value is not None}
    if set(progress) == {"doing"}:
        return f"{progress['doing']} …"
    parts = []
    history, metric_name, left = progress.pop("history", None), progress.pop("metric_name", "metric"), progress.pop("left_s", None)
    rate, gpu, memory = (progress.pop(name, None) for name in ("steps_per_s", "gpu", "gpu_gb"))
    metric = progress.pop("metric", None)
    for name, total in (("epoch", "epochs"), ("step", "steps"), ("item", "items")):
        if name in progress:
            whole = progress.pop(total, None)
            parts.append(f"{name} {progress.pop(name)}" + (f"/{whole}" if whole else ""))
    for name, value in progress.items():
        parts.append(f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}")
    parts += [f"{metric_name} {metric:.4g} {sparkline(history or [])}".rstrip()] if metric is not None else []
    parts += [f"{rate:.3g} steps/s"] if rate is not None else []
    parts += [f"{duration_text(left)} left"] if left is not None else []
    parts += [f"GPU {gpu} %, {memory} GB"] if gpu is not None else []
    return ", ".join(parts)


def sparkline(values: list[float | None]) -> str:
    """The last values as bars of eight heights, from the least to the most; blanks where there is none."""
    known = [value for value in values if value is not None and value == value]
    if len(known) < 2:
        return ""
    low, high = min(known), max(known)
    bars = "▁▂▃▄▅▆▇█"
    return "".join(" " if v is None or v != v else bars[round((v - low) / ((high - low) or 1) * (len(bars) - 1))] for v in values)


def fraction(progress: dict[str, Any] | None) -> float | None:
    """Share of the work done, if the progress tells: by items, else epochs, else steps."""
    for name, total in (("item", "items"), ("epoch", "epochs"), ("step", "steps")):
        if progress and progress.get(total) and name in progress:
            return min(1.0, progress[name] / progress[total])
    return None


class Observer:
    """What both observers know: how many cells there are, how many ended, when each began."""

    def start(self, todo: Todo) -> None:
        self.cells = todo.plan.cells
        self.total = len(todo.left)
        self.ended = 0
        self.began: dict[int, float] = {}
        self.begin(len(todo.done & todo.wanted))

    def cell(self, index: int, outcome: str, detail: Any) -> None:
        """A cell began (RUNNING, None), got on (RUNNING, progress) or ended (its state, its cause)."""
        if outcome == state.RUNNING:
            self.began.setdefault(index, time.monotonic())
            self.moved(index, detail)
            return
        if outcome == state.WAITING:
            return
        self.ended += 1
        seconds = time.monotonic() - self.began.pop(index, time.monotonic())
        self.finished(index, outcome, detail, seconds)

    def begin(self, already: int) -> None:
        """The run begins; so many cells are done already."""
        raise NotImplementedError

    def moved(self, index: int, progress: dict[str, Any] | None) -> None:
        raise NotImplementedError

    def finished(self, index: int, outcome: str, cause: str | None, seconds: float) -> None:
        raise NotImplementedError

    def line_of(self, index: int, outcome: str, cause: str | None, seconds: float) -> str:
        text = f"[{self.ended}/{self.total}] {self.cells[index].key}  {MARKS.get(outcome, outcome)}"
        if outcome in (state.DONE, state.STOPPED):
            return f"{text} ({duration_text(seconds)})"
        return f"{text}: {str(cause).splitlines()[0]}" if cause else text


class PlainObserver(Observer):
    """One line when a cell begins or ends, one at most every `every_s` on how it gets on."""

    def __init__(self, stream: TextIO | None = None, every_s: float = 30.0):
        self.stream, self.every_s = stream or sys.stdout, every_s
        self._shown: dict[int, float] = {}

    def begin(self, already: int) -> None:
        self._say(f"{self.total} cells to do" + (f", {already} done already" if already else "") + ("; starting …" if self.total else ""))

    def moved(self, index: int, progress: dict[str, Any] | None) -> None:
        now = time.monotonic()
        if progress is None:
            self._shown[index] = now
            self._say(f"{self.cells[index].key}  begins")
        elif set(progress) == {"doing"} or now - self._shown.get(index, 0) >= self.every_s:
            self._shown[index] = now
            self._say(f"{self.cells[index].key}  {progress_text(progress)}")

    def finished(self, index: int, outcome: str, cause: str | None, seconds: float) -> None:
        self._say(self.line_of(index, outcome, cause, seconds))

    def close(self, interrupted: bool) -> None:
        if interrupted:
            self._say("interrupted; unfinished cells go on from their last checkpoint when launched again")

    def _say(self, text: str) -> None:
        print(f"{time.strftime('%H:%M:%S')} {text}", file=self.stream, flush=True)


class RichObserver(Observer):
    """A bar for all cells and one for each that runs."""

    def begin(self, already: int) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bars = Progress(*columns, TextColumn("{task.fields[how]}", markup=False))
        self._tasks: dict[int, TaskID] = {}
        self._all = self._bars.add_task("cells", total=self.total, how=f"{already} done already" if already else "starting …")
        self._bars.start()

    def moved(self, index: int, progress: dict[str, Any] | None) -> None:
        self._bars.update(self._all, how="")
        if index not in self._tasks:
            self._tasks[index] = self._bars.add_task(self.cells[index].key, total=None, how="")
        share = fraction(progress)
        done, total = (round(100 * share), 100) if share is not None else (None, None)
        self._bars.update(self._tasks[index], how=progress_text(progress), completed=done, total=total)

    def finished(self, index: int, outcome: str, cause: str | None, seconds: float) -> None:
        if index in self._tasks:
            self._bars.remove_task(self._tasks.pop(index))
        self._bars.update(self._all, completed=self.ended)
        style = None if outcome == state.DONE else "red" if outcome == state.FAILED else "yellow"
        self._bars.console.print(self.line_of(index, outcome, cause, seconds), style=style, markup=False, highlight=False)

    def close(self, interrupted: bool) -> None:
        self._bars.stop()
        if interrupted:
            self._bars.console.print("interrupted; unfinished cells go on from their last checkpoint when launched again")
