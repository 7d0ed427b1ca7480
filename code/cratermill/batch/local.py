"""Run a plan on this machine: a bounded number of worker processes, each with its own GPU."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..core.errors import InputError, WorkError
from ..core.machine import cores
from . import estimate, state, status, works
from .environment import clean_environment
from .executor import Run
from .locks import run_lock
from .plan import Cell, Plan
from .profile import Profile, Resources
from .pull import ENDED, Pull, Share
from .signals import StopFlag
from .slot import Slot, parent_for
from .todo import todo

if TYPE_CHECKING:
    from .preflight import Check

STOP_GRACE_S, KILL_GRACE_S = 120.0, 5.0
# A look that writes down what it learnt holds the run for a moment.
WAIT_FOR_LOOK_S = 2.0
TICK_S = 0.2
# What a worker found nothing of to do is held by another run: asked for again so much later.
HELD_S = 1.0


@dataclass(frozen=True)
class RunResult:
    """How a run ended on this machine."""

    plan: Plan
    states: dict[int, str]
    causes: dict[int, str]
    wanted: frozenset[int]
    interrupted: bool
    signum: int | None
    seconds: float

    @property
    def counts(self) -> dict[str, int]:
        return dict(Counter(self.states.get(cell.index, state.WAITING) for cell in self.plan.cells))

    @property
    def exit_code(self) -> int:
        if self.interrupted:
            return 130
        return 0 if all(self.states.get(index) == state.DONE for index in self.wanted) else 1

    def troubles(self) -> list[tuple[str, str, str]]:
        """(key, state, cause) of every cell that failed or was blocked, in order."""
        bad = [(index, outcome) for index, outcome in sorted(self.states.items()) if outcome in (state.FAILED, state.BLOCKED)]
        return [(self.plan.cells[index].key, outcome, self.causes.get(index, "")) for index, outcome in bad]


class LocalExecutor:
    """Runs what a frozen plan still lacks with `workers` processes; cells that fail don't stop the others.

    `gpus` are CUDA device names, one leased to each worker (`workers_per_gpu` share one); default: those visible here.
    `work` names the function that does a cell's work (works.py). `observer` (observe.py) shows what happens.
    `only` restricts the run to some cells and those they need. A job of a cluster that runs its share of cells isn't the
    `whole_run`: it takes just those cells, and doesn't keep others from executing the run. With `share` it is one of several jobs
    that pull: it ends when it finds no open cell, and doesn't wait for what the others are at.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        workers=1,
        gpus=None,
        workers_per_gpu=1,
        work=works.STAGES,
        observer=None,
        only=None,
        whole_run=True,
        share: Share | None = None,
    ):
        self.plan, self.observer, self.only, self.whole_run = plan, observer, only, whole_run
        self.share = share
        self.workers = workers
        self.gpus = leases(visible_gpus() if gpus is None else list(gpus), workers, workers_per_gpu)
        self.work = work
        self._slots: list[Slot] = []
        self._deaths_at_start = 0

    @classmethod
    def by_profile(cls, plan: Plan, profile: Profile, say: Callable[[str], None]) -> LocalExecutor:
        return cls(plan, workers=profile.workers, workers_per_gpu=profile.workers_per_gpu)

    def check(self, more: Callable[[], list[Check]] | None = None) -> None:
        """What it needs shows itself when it runs."""

    def see_through(self, outcome: RunResult) -> None:
        """All is over when `submit` returns."""

    def cancel(self, only: Collection[int] | None = None) -> list[int]:
        """InputError: whoever runs it holds it in the foreground."""
        raise InputError(f"{self.plan.run} runs on this machine", next_step="Ctrl-C ends a launch that still runs; launch again to go on")

    def observe(self) -> Run:
        """The run by what its cells wrote."""
        return status.local_run(self.plan)

    def wanted(self, run: Run, only: Collection[int] | None = None) -> list[int]:
        """Cells to run: what isn't done; with `only`, those and what they need."""
        return list(todo(self.plan, only, with_needs=self.whole_run).left)

    def describe(self, run: Run) -> dict[str, Any]:
        """What `submit` would do, and how long it may take."""
        return estimate.describe(self.plan, self.workers, self.only)

    def submit(self, only: Collection[int] | None = None, resources: Mapping[int, Resources] | None = None) -> RunResult:
        """Run until nothing is left to do; returns instead of raising when cells fail or Ctrl-C comes.

        WorkError when another launch executes this run, or when workers can't even start.
        """
        began = time.time()
        self.only = self.only if only is None else only
        lock = run_lock(self.plan, WAIT_FOR_LOOK_S) if self.whole_run else contextlib.nullcontext()
        with lock, StopFlag() as stop:
            # Only now: what another launch was doing is finished.
            now = todo(self.plan, self.only, with_needs=self.whole_run)
            self._left, self.states, self.causes = dict.fromkeys(now.left), dict.fromkeys(now.done, state.DONE), dict[int, str]()
            self._mine = self.share or Share(f"here {os.getpid()} {time.time_ns()}", deaths=1)
            self._not_before, self._held = 0.0, set[int]()
            self._is_over = False  # others that pull have what is left
            self._tell("start", now)
            try:
                self._loop(stop)
            finally:
                self._end_slots(stop)
                self._tell("close", stop.requested)
        return RunResult(self.plan, self.states, self.causes, now.wanted, stop.requested, stop.signum, time.time() - began)

    # ------------------------------------------------------------------ the loop

    def _loop(self, stop: StopFlag) -> None:
        while self._left and not stop.requested and not (self._is_over and not self._slots):
            self._start_slots()
            self._handle_events(TICK_S)

    def _start_slots(self) -> None:
        """As many workers as there are open cells that none is on its way to; each takes them by itself, and ends when it finds none."""
        while len(self._slots) < self.workers and self._may_start():
            on_their_way = sum(slot.index is None for slot in self._slots)
            if not any(itertools.islice(self._open(), on_their_way, None)):
                return
            self._start_slot()

    def _open(self) -> Iterator[Cell]:
        for index in self._left:
            cell = self.plan.cells[index]
            if self.states.get(index) != state.RUNNING and not any(need in self._left for need in cell.needs):
                yield cell

    def _may_start(self) -> bool:
        """All slots have one parent: when it is gone, those that it has forked end first."""
        return not self._is_over and time.monotonic() >= self._not_before and (not self._slots or self._parent.alive)

    def _start_slot(self) -> None:
        taken = {slot.number for slot in self._slots}
        number = next(number for number in range(self.workers) if number not in taken)
        environment, log = self._environment(number), self.plan.folder / "workers.log"
        if not self._slots:
            self._parent = parent_for(self.work, self._stages(), environment, log)
        task = {"plan": str(self.plan.path), "indices": list(self._left), "share": self._mine}
        self._slots.append(Slot(number, self._parent, task, environment, log))

    def _stages(self) -> frozenset[str]:
        return frozenset(self.plan.cells[index].stage for index in self._left)

    def _environment(self, number: int) -> dict[str, str]:
        environment = clean_environment() if self.whole_run else dict(os.environ)
        if self.gpus:
            environment["CUDA_VISIBLE_DEVICES"] = self.gpus[number]
        if self.workers > 1:
            # Every worker using every core makes all of them slower.
            threads = max(1, cores() // self.workers)
            environment.setdefault("OMP_NUM_THREADS", str(threads))
        return environment

    def _handle_events(self, timeout_s: float) -> None:
        if not self._slots:
            time.sleep(timeout_s)
            return
        for slot, message in self._parent.events(self._slots, timeout_s):
            self._handle(slot, message)

    def _handle(self, slot: Slot, message: dict | None) -> None:
        if message is None:
            self._bury(slot)
        elif message["event"] == "ready":
            self._deaths_at_start = 0
        elif message["event"] == "progress":
            slot.index, slot.was_useful = message["index"], True
            self.states[slot.index] = state.RUNNING
            self._tell("cell", slot.index, state.RUNNING, message["progress"])
        elif message["event"] == "end":
            slot.index, slot.was_useful = None, True
            self._finish(message["index"], message["state"], message["cause"])

    def _finish(self, index: int, outcome: str, cause: str | None = None) -> None:
        if index not in self._left:
            return
        self.states[index], self._not_before = outcome, 0.0
        if cause:
            self.causes[index] = cause
        if outcome in ENDED:
            del self._left[index]
        self._tell("cell", index, outcome, cause)

    def _bury(self, slot: Slot) -> None:
        """A worker ended: its cell, if any, failed with the reason; two deaths in a row before any work end the run."""
        how = slot.how_it_ended()
        self._slots.remove(slot)
        if not slot.was_ready:
            self._deaths_at_start += 1
            if self._deaths_at_start >= 2:
                raise WorkError(f"Workers can't start: {how}\n{slot.last_words()}", next_step=f"look into {slot.log}")
            return
        if self.share is not None:
            # Whoever comes next takes its cell once more, or leaves it as poison; what others are at isn't waited for.
            if slot.index is not None:
                del self.states[slot.index]
            self._is_over = self._is_over or not slot.was_useful
            return
        if slot.index is not None:
            with contextlib.suppress(OSError):
                state.note(self.plan, self.plan.cells[slot.index], state.FAILED, how, "killed", turn=self._mine.turn)
            self._finish(slot.index, state.FAILED, how)
        self._learn()
        if not slot.was_useful and self._left:
            self._not_before = time.monotonic() + HELD_S
            self._tell_of_held()

    def _learn(self) -> None:
        """What came to an end without a word of its worker: it was killed, or another run made it."""
        look = Pull(self.plan, self._left, self._mine)
        for _ in look.open_cells():
            pass
        for index, outcome in look.ended.items():
            self._finish(index, outcome, state.read_record(self.plan, index).get("cause") if outcome != state.DONE else None)

    def _tell_of_held(self) -> None:
        for cell in self._open():
            if cell.index not in self._held:
                self._held.add(cell.index)
                self._tell("cell", cell.index, state.RUNNING, {"doing": "another run is at it, waiting"})

    # ------------------------------------------------------------------ the end

    def _end_slots(self, stop: StopFlag) -> None:
        """Let workers go; those at work save themselves first, unless a second Ctrl-C or the grace period ends that."""
        for slot in self._slots:
            slot.quit(signal.SIGTERM if slot.index is not None else None)
        if any(slot.pid is None for slot in self._slots):
            self._parent.close(at_once=True)  # what isn't forked yet needn't be
        with contextlib.suppress(KeyboardInterrupt):
            self._see_slots_end(STOP_GRACE_S)
        for slot in self._slots:
            slot.kill()
        self._see_slots_end(KILL_GRACE_S)
        for index, outcome in self.states.items():
            if outcome == state.RUNNING:
                self.states[index] = state.STOPPED

    def _see_slots_end(self, within_s: float) -> None:
        """Hear the last words of workers that were asked to end, until all have."""
        until = time.monotonic() + within_s
        while self._slots and time.monotonic() < until:
            for slot, message in self._parent.events(self._slots, TICK_S):
                if message is None:
                    self._slots.remove(slot)
                else:
                    self._handle(slot, message)

    def _tell(self, what: str, *details) -> None:
        if self.observer is not None:
            getattr(self.observer, what)(*details)


def visible_gpus() -> list[str]:
    """CUDA device names for leases, without importing torch: CUDA_VISIBLE_DEVICES, else what nvidia-smi lists."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [name.strip() for name in given.split(",") if name.strip() and name.strip() != "-1"]
    try:
        answer = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [str(number) for number, line in enumerate(line for line in answer.stdout.splitlines() if line.startswith("GPU "))]


def leases(gpus: list[str], workers: int, workers_per_gpu: int = 1) -> list[str]:
    """The device of each worker (empty without GPUs); InputError when there are more workers than leases."""
    if workers < 1:
        raise InputError(f"--workers {workers}", valid="1 or more")
    if not gpus:
        return []
    if workers > len(gpus) * workers_per_gpu:
        valid = f"at most {len(gpus) * workers_per_gpu} with {len(gpus)} GPU(s) and {workers_per_gpu} worker(s) on each"
        step = "small trainings may share a GPU: put 'workers_per_gpu: 2' into a profile (configs/clusters/) and name it with --profile"
        raise InputError(f"--workers {workers}", valid=valid, next_step=step)
    return [gpus[number % len(gpus)] for number in range(workers)]
