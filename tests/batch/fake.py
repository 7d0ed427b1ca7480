"""Work without science, for tests of batch: what a cell does stands in its params. Also an executor to kill.

A cell with ``hold_at`` waits after that step until it is asked to stop or the test says `go`: however slow the machine, the test finds it
at work, and never sleeps so long that it would surely be.

python fake.py --run PLAN N      an executor with N workers
python fake.py --cell PLAN I     one cell
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import cratermill
from cratermill.batch.environment import rank
from cratermill.batch.plan import Cell, fingerprint, load, make_plan
from cratermill.batch.workspace import Stopped
from cratermill.core.errors import WorkError

HERE = Path(__file__).resolve()
WORK = f"{HERE}:science"
"""What names this work to executors."""
PATIENCE_S = 600
"""How long tests wait: a limit for what hangs, not for what is slow."""


HUNGRY = {
    "hungry torch": RuntimeError("[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried …"),
    "hungry GPU": type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory. Tried to allocate 20.00 GiB"),
    "hungry system": OSError(12, "Cannot allocate memory"),
}
"""How torch, a GPU and the system say that memory is too little."""


def science(plan, cell, workspace):
    """Do `params["do"]`; every step is appended to trace/<index>, so that tests see what was done twice."""
    trace = plan.root / "trace"
    trace.mkdir(exist_ok=True)
    (trace / f"{cell.index}.begun").open("a").write(f"{os.getpid()}\n")
    do = cell.params.get("do", "ok")
    first = len(lines(trace / f"{cell.index}.begun")) == 1
    print(f"doing {do}", flush=True)
    if do == "fail" and not (plan.root / "mended").exists():
        raise WorkError("the loss is NaN", next_step="lower the learning rate")
    if do == "crash":
        raise ZeroDivisionError("unexpected")
    if do == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if do == "hog":
        kept = [bytearray(1 << 20) for _ in range(cell.params["hog_mb"])]
        time.sleep(cell.params.get("hold_s", 0) if first else 0)
        print(len(kept))
    if do == "deaf" and first:
        time.sleep(cell.params["deaf_s"])
    if do == "cores":
        spoken, until = trace / f"{cell.index}.cores", time.monotonic() + PATIENCE_S
        with spoken.open("a") as file:
            file.write(f"{len(os.sched_getaffinity(0))}\n")
        while len(lines(spoken)) < int(os.environ["SLURM_NTASKS"]) and time.monotonic() < until:
            time.sleep(0.1)  # so quick a cell would be done before the other process has begun
    if do in HUNGRY:
        raise HUNGRY[do]
    if do == "full":
        raise OSError(28, "No space left on device", str(workspace.folder / "best.ckpt"))
    if rank() > 0:
        return _follow(cell, workspace)
    began = time.time()
    try:
        return _steps(trace, cell, workspace)
    finally:
        (trace / f"{cell.index}.spans").open("a").write(f"{began} {time.time()}\n")


def _follow(cell, workspace):
    """Another process of a distributed cell: as long at work as rank 0, but it writes nothing."""
    for step in range(cell.params.get("steps", 1)):
        _hold(cell, workspace, step)
        time.sleep(cell.params.get("step_s", 0))
        if workspace.stop_requested:
            raise Stopped
    return {}


def _hold(cell, workspace, step):
    """Wait after the step `hold_at` for the test's word."""
    while step == cell.params.get("hold_at") and not (workspace.plan.root / "go").exists():
        if workspace.stop_requested:
            raise Stopped
        time.sleep(0.05)


def go(root):
    """Let cells go on that wait at their step `hold_at`, also later ones."""
    (root / "go").touch()


def _steps(trace, cell, workspace):
    checkpoint = workspace.folder / "last.ckpt"
    step, loss = json.loads(checkpoint.read_text()) if checkpoint.exists() else (0, 1.0)
    total = cell.params.get("steps", 1)
    while step < total:
        _hold(cell, workspace, step)
        time.sleep(cell.params.get("step_s", 0))
        step += 1
        # A curve that depends on every step before, and on no clock.
        loss = loss * 0.9 + 0.01 * ((step * 7919) % 13)
        (trace / f"{cell.index}.steps").open("a").write(f"{step}\n")
        whole = checkpoint.with_suffix(".new")  # a node may die in the middle of a write
        whole.write_text(json.dumps([step, loss]))
        whole.replace(checkpoint)
        workspace.report(step=step, steps=total)
        if workspace.stop_requested and step < total:
            raise Stopped
    (workspace.folder / "best.ckpt").write_text(json.dumps(cell.params))
    place = {"pid": os.getpid(), "package": str(Path(cratermill.__file__).parent)}
    return {"steps": step, "loss": loss, "gpu": os.environ.get("CUDA_VISIBLE_DEVICES"), **place}


def plan_of(root, specs, name="fake", seed=1):
    """A plan from `specs`: dicts of params, with `needs`, `soft`, `always`, `stage`, `key` and `product` taken out of them."""
    cells = []
    for index, spec in enumerate(specs):
        spec = dict(spec)
        options = {to: spec.pop(by) for by, to in (("soft", "soft_needs"), ("always", "always")) if by in spec}
        needs, stage = tuple(spec.pop("needs", ())), spec.pop("stage", "train")
        key, product = spec.pop("key", f"cell {index}"), spec.pop("product", f"log/products/{index}")
        cells.append(Cell(index, stage, key, spec, needs, product, fingerprint({"stage": stage, **spec}), **options))
    return make_plan(name, root, {"name": name}, seed, cells)


def lines(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


def main() -> int:
    from cratermill.batch.job import run_cells
    from cratermill.batch.local import LocalExecutor
    from cratermill.batch.observe import PlainObserver

    if sys.argv[1] == "--run":
        executor = LocalExecutor(load(sys.argv[2]), workers=int(sys.argv[3]), work=WORK, observer=PlainObserver())
        return executor.submit().exit_code
    at_a_time = int(sys.argv.pop(3)) if sys.argv[3] == "--side-by-side" and sys.argv.pop(3) else 1
    return run_cells(load(sys.argv[2]), map(int, sys.argv[3:]), WORK, side_by_side=at_a_time)


if __name__ == "__main__":
    sys.exit(main())
