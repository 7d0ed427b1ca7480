"""From starting Python to the first optimisation step of a demo cell, against importing torch and lightning.

python benchmarks/first_step.py CONFIG      (a config with prepared data, e.g. configs/demo/demo.yaml after 'cratermill demo')
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

STEP = """
import sys, tempfile
from pathlib import Path
from cratermill.config import load_config
from cratermill.families.base import CellParams
from cratermill.stages import loop
from cratermill.stages.train import train
from cratermill.batch import plan as plans

class Stop(Exception): pass
def told(self): raise Stop
loop.Training.tell = told

plan = plans.load(sys.argv[1])
from cratermill.config import parse_config
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


def seconds(code: str, *arguments: str, runs: int = 5) -> float:
    """Median wall time of a fresh interpreter; the first run, which fills the file cache, is left out."""
    times = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def main() -> None:
    from pathlib import Path

    from cratermill.batch.plan import freeze
    from cratermill.config import load_config
    from cratermill.launch import plan_training

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    plan = plan_training(load_config(parser.parse_args().config))
    path = freeze(plan)
    baseline = seconds("import torch, lightning")
    print(f"import torch, lightning: {baseline:.2f} s\n\n| cell | first step after | ratio (wanted ≤ 3) |\n|---|---|---|")
    seen = set()
    for cell in plan.cells:
        row = (cell.params.get("family"), cell.params.get("version"))
        if cell.stage == "train" and row not in seen:
            seen.add(row)
            ours = seconds(STEP, str(path), str(cell.index))
            print(f"| {row[0]} version {row[1]} | {ours:.2f} s | {ours / baseline:.2f} |", flush=True)


if __name__ == "__main__":
    main()
