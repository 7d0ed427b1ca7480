"""From starting Python to the first optimisation step of a demo cell, against importing torch and lightning; and from the moment at which
a local run asks for another worker, which is forked from a process that has loaded the libraries.

python benchmarks/first_step.py CONFIG      (a config with prepared data, e.g. configs/demo/demo.yaml after 'cratermill demo')
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import replace


def preload(stages) -> None:
    from cratermill.pipeline import preload

    preload(stages)


def until_first_step(plan, cell, workspace) -> dict:
    """The work of a training cell, as an executor calls it, up to the end of its first step: CPU seconds of its process until then."""
    from cratermill.families import cell_params
    from cratermill.pipeline.load_config import parse_config
    from cratermill.pipeline.train import train
    from cratermill.training import loop

    class FirstStep(Exception):
        pass

    def told(self):
        raise FirstStep

    loop.Training.tell = told
    try:
        train(parse_config(plan.config, plan.root), cell_params(cell.params), workspace)
    except FirstStep:
        return {"cpu_s": time.process_time()}
    raise AssertionError("it never made a step")


STEP = """
import runpy, sys, tempfile
from pathlib import Path
from cratermill.batch import plan as plans

class Workspace:
    folder = Path(tempfile.mkdtemp()); stop_requested = False
    def report(self, **_): pass
    def keep_going(self): pass

plan = plans.load(sys.argv[1])
runpy.run_path(sys.argv[3])["until_first_step"](plan, plan.cells[int(sys.argv[2])], Workspace())
"""


def seconds_forked(plan, index: int, runs: int) -> tuple[float, float]:
    """Median seconds from asking for a worker to the first step, by the clock and on the CPU; the first run, in which its parent loads,
    is left out."""
    from cratermill.batch.slot import Slot, parent_for
    from cratermill.core.files import read_json

    log = plan.folder / "workers.log"
    parent = parent_for(f"{__file__}:until_first_step", frozenset({"train"}), os.environ, log)
    times = []
    for _ in range(runs + 1):
        shutil.rmtree(plan.product(plan.cells[index]), ignore_errors=True)
        start = time.perf_counter()
        slot = Slot(0, parent, {"plan": str(plan.path), "indices": [index], "turn": f"here {time.time_ns()}"}, os.environ, log)
        ended = [message for _, message in until_end(parent, slot) if message and message["event"] == "end"]
        assert ended and ended[0]["state"] == "done", (ended, slot.last_words())
        taken = time.perf_counter() - start
        times.append((taken, read_json(plan.product(plan.cells[index]) / "cell.json")["metrics"]["cpu_s"]))
    shutil.rmtree(plan.product(plan.cells[index]), ignore_errors=True)
    wall, cpu = zip(*times[1:], strict=True)
    return statistics.median(wall), statistics.median(cpu)


def until_end(parent, slot):
    while True:
        for one, message in parent.events([slot], 60.0):
            yield one, message
            if message is None:
                return
            if message["event"] == "end":
                slot.quit()


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

    from cratermill.batch.plan import freeze, load, make_plan
    from cratermill.pipeline.launch import plan_training
    from cratermill.pipeline.load_config import load_config

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    plan = plan_training(load_config(options.config))
    # Beside the results of the config, which may be there already.
    cells = [replace(cell, product=f"log/first_step/{cell.index}") for cell in plan.cells if cell.stage == "train"]
    plan = make_plan("first_step", plan.root, plan.config, plan.seed, [replace(cell, index=index) for index, cell in enumerate(cells)])
    path = freeze(plan)
    baseline, baseline_cpu = seconds("import torch, lightning", runs=options.runs)
    print(f"import torch, lightning: {baseline:.2f} s (CPU {baseline_cpu:.2f} s)\n")
    print("| cell | first step after (CPU) | ratio (wanted ≤ 3) | ratio of CPU | forked (CPU) |\n|---|---|---|---|---|")
    seen = set()
    for cell in plan.cells:
        row = (cell.params.get("family"), cell.params.get("version"))
        if row not in seen:
            seen.add(row)
            ours, cpu = seconds(STEP, str(path), str(cell.index), __file__, runs=options.runs)
            forked, forked_cpu = seconds_forked(load(path), cell.index, options.runs)
            ratios = f"{ours / baseline:.2f} | {cpu / baseline_cpu:.2f}"
            print(f"| {row[0]} version {row[1]} | {ours:.2f} s ({cpu:.2f}) | {ratios} | {forked:.2f} s ({forked_cpu:.2f}) |", flush=True)


if __name__ == "__main__":
    main()
