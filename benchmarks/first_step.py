"""From starting Python to the first optimisation step of a demo cell, against importing torch and lightning.

python benchmarks/first_step.py CONFIG      (a config with prepared data, e.g. configs/demo/demo.yaml after 'cratermill demo')
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time

STEP = """
import sys, tempfile
from pathlib import Path
from cratermill.pipeline.load_config import load_config
from cratermill.training.cell import CellParams
from cratermill.training import loop
from cratermill.pipeline.train import train
from cratermill.batch import plan as plans

class Stop(Exception): pass
def told(self): raise Stop
loop.Training.tell = told

plan = plans.load(sys.argv[1])
from cratermill.pipeline.load_config import parse_config
config = parse_config(plan.config, plan.root)
class Workspace:
    folder = Path(tempfile.mkdtemp()); stop_requested = False
    def report(self, **_): pass
    def keep_going(self): pass
try:
    train(config, CellParams(**plan.cells[int(sys.argv[2])].params), Workspace())
except Stop:
    pass
"""


def seconds(code: str, *arguments: str, runs: int = 5) -> tuple[float, float]:
    """Median seconds of a fresh interpreter by the clock and on the CPU; the first run, which fills the file cache, is left out."""
    times = []
    for _ in range(runs + 1):
        start, cpu_start = time.perf_counter(), children_cpu_s()
        subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True)
        times.append((time.perf_counter() - start, children_cpu_s() - cpu_start))
    wall, cpu = zip(*times[1:], strict=True)
    return statistics.median(wall), statistics.median(cpu)


def children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    from pathlib import Path

    from cratermill.batch.plan import freeze
    from cratermill.pipeline.launch import plan_training
    from cratermill.pipeline.load_config import load_config

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    plan = plan_training(load_config(options.config))
    path = freeze(plan)
    baseline, baseline_cpu = seconds("import torch, lightning", runs=options.runs)
    print(f"import torch, lightning: {baseline:.2f} s (CPU {baseline_cpu:.2f} s)\n")
    print("| cell | first step after (CPU) | ratio (wanted ≤ 3) | ratio of CPU |\n|---|---|---|---|")
    seen = set()
    for cell in plan.cells:
        row = (cell.params.get("family"), cell.params.get("version"))
        if cell.stage == "train" and row not in seen:
            seen.add(row)
            ours, cpu = seconds(STEP, str(path), str(cell.index), runs=options.runs)
            print(
                f"| {row[0]} version {row[1]} | {ours:.2f} s ({cpu:.2f}) | {ours / baseline:.2f} | {cpu / baseline_cpu:.2f} |", flush=True
            )


if __name__ == "__main__":
    main()
