"""Submission, overhead per cell and status on the Slurm that this shell talks to; nothing is computed.

slurm/dev-cluster.sh up --nodes 4 && eval "$(slurm/dev-cluster.sh env)"
python benchmarks/slurm.py            (about a minute; its jobs are held or last a second, and are cancelled at the end)
"""

from __future__ import annotations

import argparse
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from cratermill.batch import cluster, preflight, scheduler, slurm_state, snapshot, state, status, submissions
from cratermill.batch.plan import Cell, Plan, freeze, load, make_plan
from cratermill.batch.profile import Profile, Resources
from cratermill.batch.slurm import SlurmExecutor
from cratermill.batch.submissions import Submission
from cratermill.core.files import fingerprint, write_json, write_text

NO_OP = f"{Path(__file__).resolve()}:note"
SMALL = Resources(cpus=1, mem_gb=0.5, time_min=5)


def no_op_plan(root: Path, name: str, cells: int, takes_s: Callable[[int], float] = lambda _: 0, evaluated: bool = False) -> Plan:
    """Trainings that take so long each, and an evaluation of each where wanted."""
    params = [{"n": n, "takes_s": takes_s(n)} for n in range(cells)]
    made = [Cell(n, "train", f"cell {n}", given, (), f"log/products/{name}-{n}", fingerprint(given)) for n, given in enumerate(params)]
    for one in made[: cells * evaluated]:
        index, params = cells + one.index, {"n": one.index}
        product = f"log/products/{name}-{index}"
        made.append(Cell(index, "evaluate", f"cell {index}", params, (one.index,), product, fingerprint(params)))
    return make_plan(name, root, {"name": name}, 0, made)


def note(plan: Plan, cell: Cell, _workspace: object) -> dict[str, object]:
    """Work that only notes when it began, and takes as long as it is told to."""
    with (plan.root / f"{plan.run}.{cell.index}.begun").open("a") as begun:
        begun.write(f"{time.time()}\n")
    time.sleep(cell.params.get("takes_s", 0))
    return {}


# ---------------------------------------------------------------------- submission


def submission(root: Path, cells: int, least: int | None = None) -> list[str]:
    """Our launch, by submitit, against sbatch called directly for the same arrays, and one sbatch for every cell; all held.

    `least`: single sbatches measured, the rest in proportion.
    """
    plan = no_op_plan(root, f"submit{cells}", cells)
    profile = Profile(name="benchmark", default=SMALL, flags=("--hold",), limits={"max_array_size": 250})
    began = time.perf_counter()
    cluster.launch(plan, profile, say=lambda _: None)
    whole = time.perf_counter() - began
    cluster.cancel(plan)
    again = load(freeze(no_op_plan(root, f"again{cells}", cells)))
    executor = SlurmExecutor(again, preflight.with_site_limits(profile), say=lambda _: None)
    began = time.perf_counter()
    submitted = executor.submit()
    arrays = time.perf_counter() - began
    files = sum(path.is_file() for path in [*again.folder.rglob("*"), *(root / "log/code").rglob("*")])
    cluster.cancel(again)
    bare = directly(root, executor)
    single = one_by_one(root, executor, least or cells) * cells / (least or cells)
    share = "" if least is None else f" (from {least})"
    ours = f"{arrays:.2f} s, {files} files; with plan and checks {whole:.2f} s"
    what = f"| {cells} cells, {len(submitted.submissions)} array(s)"
    return [
        f"{what} | sbatch called directly for the same arrays | {ours} | {bare:.2f} s | {bare / arrays:.1f} × |",
        f"{what} | one sbatch per cell{share} | {ours} | {single:.1f} s | {single / arrays:.0f} ×; {single / whole:.0f} × |",
    ]


def directly(root: Path, executor: SlurmExecutor) -> float:
    """Seconds for the same arrays without submitit: cells listed in each script, the intent and the id written down as well."""
    plan = load(freeze(no_op_plan(root, f"bare{len(executor.plan.cells)}", len(executor.plan.cells))))
    submissions.folder(plan).mkdir(parents=True, exist_ok=True)
    began, jobs = time.perf_counter(), []
    slurm_state.look(plan, ask=True)
    for number, chunk in enumerate(executor.chunks(range(len(plan.cells))), start=1):
        name, asked = submissions.name_of(plan, chunk.stage, number), chunk.resources
        intent = submissions.new(plan, Submission(number, name, chunk.stage, chunk.tasks, asked.model_dump()))
        lines = ["#!/bin/bash", f"#SBATCH --job-name={name}", f"#SBATCH --array=0-{chunk.size - 1}", "#SBATCH --output=slurm/%A_%a.out"]
        lines += [
            f"#SBATCH --cpus-per-task={asked.cpus}",
            f"#SBATCH --mem={round(asked.mem_gb * 1024)}M",
            f"#SBATCH --time={asked.time_min}",
        ]
        lines += ["#SBATCH --hold", "cells=(", *(f"  {shlex.quote(' '.join(map(str, task)))}" for task in chunk.tasks), ")"]
        lines += [f"exec {sys.executable} -m cratermill cell {shlex.quote(str(plan.path))} ${{cells[$SLURM_ARRAY_TASK_ID]}}"]
        script = write_text(submissions.script_path(plan, number), "\n".join(lines) + "\n")
        jobs.append(scheduler.submit(script, plan.folder))
        submissions.write(plan, replace(intent, job_id=jobs[-1]))
    seconds = time.perf_counter() - began
    scheduler.cancel(map(str, jobs))
    return seconds


def one_by_one(root: Path, executor: SlurmExecutor, cells: int) -> float:
    """Seconds for as many sbatches of one cell each."""
    submissions.folder(executor.plan).mkdir(parents=True, exist_ok=True)
    chunk = executor.chunks([0])[0]
    script = root / "single.sh"
    script.write_text(executor.script(0, "single", chunk))
    began = time.perf_counter()
    jobs = [scheduler.submit(script, executor.plan.folder) for _ in range(cells)]
    seconds = time.perf_counter() - began
    scheduler.cancel(map(str, jobs))
    return seconds


# ---------------------------------------------------------------------- overhead of one cell


def overhead(root: Path, runs: int) -> list[str]:
    """From the first line of a job's script to the first line of its cell's work, against a whole `srun true`."""
    bare = median_seconds("srun", "--mem=100M", "true", runs=runs)
    ours, slurms = zip(*(one_cell(root, number) for number in range(runs)), strict=True)
    python = median_seconds(sys.executable, "-c", "pass", runs=runs)
    program = median_seconds(sys.executable, "-m", "cratermill", "--version", runs=runs)
    middle = statistics.median(ours)
    return [
        f"| a job's first line to its cell's first line | `srun true` | {middle:.2f} s | {bare:.2f} s | {middle / bare:.1f} × |",
        f"\nof which starting Python {python:.2f} s, the program's own imports {program - python:.2f} s, "
        f"the cell's {middle - program:.2f} s; from sbatch to the job's first line {statistics.median(slurms):.2f} s",
    ]


def median_seconds(*command: str, runs: int) -> float:
    times = []
    for _ in range(runs + 1):
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])


def one_cell(root: Path, number: int) -> tuple[float, float]:
    """Seconds from a job's first line to its cell's work, and from sbatch to that first line."""
    plan = load(freeze(no_op_plan(root, f"one{number}", 1)))
    clock = root / f"{number}.start"
    # `activate` lines come first in the script, and bring their own Python.
    lines = (
        f"date +%s.%N > {shlex.quote(str(clock))}",
        "export CRATERMILL_OTHER_CODE=1",
        f"PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH",
    )
    began = time.time()
    SlurmExecutor(plan, Profile(name="benchmark", default=SMALL, activate=lines), say=lambda _: None, work=NO_OP).submit()
    begun = root / f"{plan.run}.0.begun"
    while not begun.exists() or not begun.read_text():
        if time.time() - began > 120:
            raise SystemExit(f"no job began within 2 minutes; see squeue and {plan.folder / 'slurm'}")
        time.sleep(0.01)
    started = float(clock.read_text())
    return float(begun.read_text()) - started, started - began


# ---------------------------------------------------------------------- waiting


def begun(plan: Plan, index: int) -> list[float]:
    path = plan.root / f"{plan.run}.{index}.begun"
    return [float(line) for line in path.read_text().split()] if path.exists() else []


def run_to_the_end(plan: Plan, meanwhile: Callable[[], None] = lambda: None, **profile: object) -> float:
    """Seconds from submitting all cells to the end of the last; `meanwhile` is called at every look."""
    began = time.time()
    os.environ["CRATERMILL_OTHER_CODE"] = "1"
    SlurmExecutor(plan, Profile(name="benchmark", **profile), say=lambda _: None, work=NO_OP).submit()
    while not all(state.is_done(plan, cell) for cell in plan.cells):
        if time.time() - began > 600:
            raise SystemExit(f"not done within 10 minutes: {status.counts(slurm_state.look(plan).states)}")
        meanwhile()
        time.sleep(0.1)
    return time.time() - began


def first_evaluation(root: Path, same_job: bool) -> str:
    """12 trainings of .1 s, one of which takes 20 s, and their evaluations: when do those begin?"""
    plan = load(freeze(no_op_plan(root, f"evaluate{same_job}", 12, lambda n: 20 if n == 3 else 0.1, evaluated=True)))
    stages = {} if same_job else {"evaluate": SMALL.model_copy(update={"cpus": 2})}
    began = time.time()
    run_to_the_end(plan, default=SMALL, stages=stages)
    starts = sorted(begun(plan, index)[0] - began for index in range(12, 24))
    how = "in the jobs of their trainings" if same_job else "as jobs of their own"
    return f"| 12 trainings, one of 20 s; evaluations {how} begin | the slow one's end, 20 s | {starts[0]:.1f} to {starts[-2]:.1f} s | | |"


def many_small(root: Path, cells: int, jobs: int) -> str:
    """Cells of 50 ms, 10 of them of 2 s, by `jobs` jobs that pull, two of which are cancelled on the way, and as one job each."""

    def takes(n: int) -> float:
        return 2 if n % (cells // 10) == 0 else 0.05

    plan = load(freeze(no_op_plan(root, "pulled", cells, takes)))
    ended: list[str] = []

    def cancel_two() -> None:
        if not ended and sum(bool(begun(plan, index)) for index in range(cells)) > cells // 10:
            (one,) = submissions.read(plan)
            ended.extend(f"{one.job_id}_{task}" for task in (0, 1))
            scheduler.cancel(ended)

    pulled = run_to_the_end(plan, cancel_two, default=SMALL.model_copy(update={"pull": jobs}))
    twice = sum(len(begun(plan, index)) > 1 for index in range(cells))
    share = 5
    single = run_to_the_end(load(freeze(no_op_plan(root, "single", cells // share, takes))), default=SMALL) * share
    what = f"| {cells} cells, 10 of them slow, by {jobs} jobs that pull, 2 cancelled | a job each (from {cells // share})"
    return f"{what} | {pulled:.1f} s, {twice} begun twice | {single:.0f} s | {single / pulled:.1f} × |"


# ---------------------------------------------------------------------- status


def looking(root: Path, cells: int) -> str:
    plan = no_op_plan(root, f"look{cells}", cells)
    cluster.launch(plan, Profile(name="benchmark", default=SMALL, flags=("--hold",)), say=lambda _: None)
    asked, ask = [], scheduler.ask
    scheduler.ask = lambda *words, **options: asked.append(words[0]) or ask(*words, **options)
    try:
        began = time.perf_counter()
        found = status.counts(slurm_state.look(plan).states)
        seconds = time.perf_counter() - began
    finally:
        scheduler.ask = ask
    assert found == {"queued": cells}, found
    cluster.cancel(plan)
    return f"| status of {cells} cells, all in the queue | ≤ 1 s and ≤ 2 queries | {seconds:.2f} s, {len(asked)} ({', '.join(asked)}) | | |"


def long_run(root: Path, cells: int) -> str:
    """CPU seconds of looks at a run whose cells are all done: the first ever, the first of another process, and another of the same."""
    plan = load(freeze(no_op_plan(root, f"long{cells}", cells)))
    for cell in plan.cells:
        record = {"state": state.DONE, "host": "n1", "pid": 1, "started": 1.0, "ended": 2.0, "seconds": 1.0, "attempt": 1}
        write_json(plan.state_path(cell.index), {**record, "progress": {"epoch": 3, "history": [0.5] * 20}})
        write_json(plan.product(cell) / state.CELL_FILE, {"fingerprint": cell.fingerprint, "params": cell.params, "metrics": {}})
    time.sleep(snapshot.YOUNG_NS / 1e9)  # what is younger is read again
    seconds = []
    for forgets in (True, True, False):
        if forgets:
            snapshot._memories.clear()
        began = time.process_time()
        assert status.counts(snapshot.read_states(plan)) == {"done": cells}
        seconds.append(time.process_time() - began)
    began = time.process_time()
    load(plan.path)
    read = time.process_time() - began
    first, other, again = seconds
    what = f"| looks at {cells} cells, all done: by another process, again by the same"
    return f"{what} | the first, which reads all, {first:.2f} s | {other:.2f} s, {again:.2f} s; reading the plan {read:.2f} s (CPU) | | |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, nargs="+", default=[200, 1000])
    parser.add_argument("--long", type=int, default=20_000, help="cells of a run that is only looked at")
    parser.add_argument("--runs", type=int, default=9, help="jobs of one cell")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cratermill-benchmark-") as folder:
        root = Path(folder)
        version = subprocess.run(["sbatch", "--version"], capture_output=True, text=True, check=True).stdout.strip()
        print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {time.strftime('%Y-%m-%d')}, {version}\n")
        print("| what | against | ours | baseline | ratio |\n|---|---|---|---|---|")
        for cells in options.cells:
            print("\n".join(submission(root, cells, least=50 if cells > 50 else None)), flush=True)
        print(looking(root, max(options.cells)), flush=True)
        print(long_run(root, options.long), flush=True)
        for same_job in (True, False):
            print(first_evaluation(root, same_job), flush=True)
        print(many_small(root, 300, 8), flush=True)
        print("\n".join(overhead(root, options.runs)))


if __name__ == "__main__":
    main()
