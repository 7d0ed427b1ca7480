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
from pathlib import Path

from cratermill.batch import cluster, ledger, operations, preflight, scheduler, slurm_state, status
from cratermill.batch.plan import Cell, Plan, freeze, load, make_plan
from cratermill.batch.profile import Profile, Resources
from cratermill.batch.slurm import SlurmExecutor
from cratermill.core.files import fingerprint

NO_OP = (sys.executable, str(Path(__file__).resolve()), "--cell")
SMALL = Resources(cpus=1, mem_gb=0.5, time_min=5)


def no_op_plan(root: Path, name: str, cells: int) -> Plan:
    params = [{"n": n} for n in range(cells)]
    made = [Cell(n, "train", f"cell {n}", given, (), f"log/products/{name}-{n}", fingerprint(given)) for n, given in enumerate(params)]
    return make_plan(name, root, {"name": name}, 0, made)


def execute() -> None:
    """The line of a job, `cratermill cell PLAN INDEX`, with work that only notes when it began."""
    from cratermill import cli
    from cratermill import pipeline as stages

    def note(plan, cell, _workspace):
        (plan.root / f"{plan.run}.{cell.index}.begun").write_text(str(time.time()))
        return {}

    stages.run_cell = note
    sys.argv[1] = "cell"
    cli.main()


# ---------------------------------------------------------------------- submission


def submission(root: Path, cells: int, least: int | None = None) -> str:
    """Our launch against one sbatch for every cell, all held; `least`: sbatches measured, the rest in proportion."""
    plan = no_op_plan(root, f"submit{cells}", cells)
    profile = Profile(name="benchmark", default=SMALL, flags=("--hold",))
    began = time.perf_counter()
    cluster.launch(plan, profile, say=lambda _: None)
    whole = time.perf_counter() - began
    operations.cancel(plan)
    again = load(freeze(no_op_plan(root, f"again{cells}", cells)))
    executor = SlurmExecutor(again, preflight.with_site_limits(profile), say=lambda _: None)
    began = time.perf_counter()
    submitted = executor.launch()
    arrays = time.perf_counter() - began
    operations.cancel(again)
    single = one_by_one(root, executor, least or cells) * cells / (least or cells)
    share = "" if least is None else f" (from {least})"
    return (
        f"| {cells} cells, {len(submitted.submissions)} array(s) | one sbatch per cell{share} | {arrays:.2f} s; with plan and checks "
        f"{whole:.2f} s | {single:.1f} s | {single / arrays:.0f} ×; {single / whole:.0f} × |"
    )


def one_by_one(root: Path, executor: SlurmExecutor, cells: int) -> float:
    """Seconds for as many sbatches of one cell each."""
    ledger.folder(executor.plan).mkdir(parents=True, exist_ok=True)
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
    SlurmExecutor(plan, Profile(name="benchmark", default=SMALL, activate=lines), say=lambda _: None, command=NO_OP).launch()
    begun = root / f"{plan.run}.0.begun"
    while not begun.exists() or not begun.read_text():
        if time.time() - began > 120:
            raise SystemExit(f"no job began within 2 minutes; see squeue and {plan.folder / 'slurm'}")
        time.sleep(0.01)
    started = float(clock.read_text())
    return float(begun.read_text()) - started, started - began


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
    operations.cancel(plan)
    return f"| status of {cells} cells, all in the queue | ≤ 1 s and ≤ 2 queries | {seconds:.2f} s, {len(asked)} ({', '.join(asked)}) | | |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, nargs="+", default=[200, 1000])
    parser.add_argument("--runs", type=int, default=9, help="jobs of one cell")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cratermill-benchmark-") as folder:
        root = Path(folder)
        version = subprocess.run(["sbatch", "--version"], capture_output=True, text=True, check=True).stdout.strip()
        print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {time.strftime('%Y-%m-%d')}, {version}\n")
        print("| what | against | ours | baseline | ratio |\n|---|---|---|---|---|")
        for cells in options.cells:
            print(submission(root, cells, least=200 if cells > 200 else None), flush=True)
        print(looking(root, max(options.cells)), flush=True)
        print("\n".join(overhead(root, options.runs)))


if __name__ == "__main__":
    execute() if sys.argv[1:2] == ["--cell"] else main()
