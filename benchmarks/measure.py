"""Time and peak memory of functions, each in a process of its own, so that neither caches nor memory of one show in another."""

from __future__ import annotations

import json
import multiprocessing
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Measured:
    """Median seconds of the runs by the clock and on the CPU, largest memory of the process in MB (libraries included), the last result."""

    seconds: float
    cpu_s: float
    peak_mb: float
    value: Any = None


@dataclass(frozen=True)
class Row:
    """One line of a benchmark: ours against a baseline from the same run, and what the project asks for."""

    what: str
    baseline: str
    ours: Measured
    theirs: Measured
    wanted_ratio: float
    wanted_mb: float | None = None

    @property
    def ratio(self) -> float:
        return self.theirs.seconds / self.ours.seconds

    @property
    def cpu_ratio(self) -> float:
        """The same in CPU seconds of all threads: hardly moved by what else the machine does."""
        return self.theirs.cpu_s / self.ours.cpu_s

    @property
    def reached(self) -> bool:
        return self.ratio >= self.wanted_ratio and (self.wanted_mb is None or self.ours.peak_mb <= self.wanted_mb)


def measure(function: Callable, *arguments, runs: int = 3, warm: bool = False) -> Measured:
    """Call a module-level function ``runs`` times in a fresh process; its module is imported before the clock starts. ``warm``: and once
    more before them, so that what it imports itself counts neither."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(sender, function, arguments, runs, warm))
    process.start()
    sender.close()
    try:
        result = receiver.recv()
    except EOFError:
        raise SystemExit(f"{function.__name__} died; see above") from None
    finally:
        process.join()
    return result


def _child(sender, function: Callable, arguments: tuple, runs: int, warm: bool) -> None:
    times, cpu, value = [], [], function(*arguments) if warm else None
    for _ in range(runs):
        start, cpu_start = time.perf_counter(), time.process_time()
        value = function(*arguments)
        times.append(time.perf_counter() - start)
        cpu.append(time.process_time() - cpu_start)
    sender.send(Measured(statistics.median(times), statistics.median(cpu), _peak_mb(), value))


def _peak_mb() -> float:
    # VmHWM, not getrusage: the latter starts with the parent's memory.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def show(rows: list[Row], notes: dict[str, Any] | None = None, json_path: str | Path | None = None) -> None:
    """Print a table in Markdown, ready for docs/benchmarks.md, and write the same as JSON if asked to."""
    machine = f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {platform.machine()}, Python {platform.python_version()}"
    print(f"\n{machine}, {time.strftime('%Y-%m-%d')}\n")
    print("| what | against | ours (CPU) | baseline (CPU) | ratio (wanted) | ratio of CPU | memory (wanted) |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        ours, theirs = row.ours, row.theirs
        seconds = f"{ours.seconds:.3f} s ({ours.cpu_s:.3f}) | {theirs.seconds:.2f} s ({theirs.cpu_s:.2f})"
        ratio = f"{row.ratio:.1f} × (≥ {row.wanted_ratio:g}){'' if row.reached else ' **missed**'} | {row.cpu_ratio:.1f} ×"
        memory = f"{ours.peak_mb:.0f} MB against {theirs.peak_mb:.0f} MB" + (f" (≤ {row.wanted_mb:.0f})" if row.wanted_mb else "")
        print(f"| {row.what} | {row.baseline} | {seconds} | {ratio} | {memory} |")
    for key, value in (notes or {}).items():
        print(f"\n{key}: {value}")
    if json_path:
        content = {"rows": [{**_plain(row), "ratio": row.ratio, "reached": row.reached} for row in rows], "notes": notes or {}}
        Path(json_path).write_text(json.dumps(content, indent=1), encoding="utf-8")


def _plain(row: Row) -> dict:
    content = asdict(row)
    for side in ("ours", "theirs"):
        content[side].pop("value")
    return content
