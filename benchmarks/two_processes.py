"""One training by one process against the same by two, on CPU by gloo: scores and time, with and without the search for unused weights.

python benchmarks/two_processes.py      (a planet of a few hundred pixels; a network with batch normalisation, 4 samples per process)
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

WAYS = {
    "one process": ([], ""),
    "two processes": (["trainer.devices=2"], ""),
    "two, without the search for unused weights": (["trainer.devices=2"], "ddp"),
    "two, each with its own batch statistics": (["trainer.devices=2"], "apart"),
}


def one_cell(plan_path: str, index: int, how: str) -> int:
    """What each process does; those that Fabric starts have the same command line."""
    from cratermill.batch.job import run_cells
    from cratermill.batch.plan import load
    from cratermill.pipeline import run_cell, train
    from cratermill.training import loop

    fabric = train.Fabric
    if how == "ddp":
        train.Fabric = lambda **options: fabric(**options | {"strategy": "ddp"})
    if how == "apart":
        loop.share_batch_norm = lambda task, _device: task
    return run_cells(load(plan_path), [index], run_cell)


def measure(folder: Path, iterations: int, epochs: int, changes: list[str], how: str) -> list[dict]:
    """The results of so many iterations of one row."""
    from cratermill.batch.plan import freeze, load
    from cratermill.core.files import read_json
    from cratermill.pipeline.launch import plan_training
    from cratermill.pipeline.load_config import load_config
    from tests.tiny import tiny_project

    folder.mkdir()
    changes = [*changes, f"connection.max_epochs={epochs}", f"connection.trainings_per_test={iterations}"]
    plan = load(freeze(plan_training(load_config(tiny_project(folder), changes))))
    cells = [cell for cell in plan.cells if cell.stage == "train" and cell.params["family"] == "connection"]
    for cell in cells:
        subprocess.run([sys.executable, __file__, "--cell", str(plan.path), str(cell.index), how], check=True, capture_output=True)
    return [read_json(plan.product(cell) / "results.json") for cell in cells]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--iterations", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=8)
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
    print("| | F1 of each iteration | mean F1 | mean loss | s per epoch |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for number, (way, (changes, how)) in enumerate(WAYS.items()):
            try:
                found = measure(Path(folder) / str(number), options.iterations, options.epochs, changes, how)
            except subprocess.CalledProcessError as error:
                print(f"| {way} | fails: {error.stderr.decode().strip().splitlines()[-1]} |", flush=True)
                continue
            scores = [one["F1_Score"] for one in found]
            loss, epoch_s = statistics.mean(one["loss"] for one in found), statistics.median(one["time_per_epoch"] for one in found)
            print(
                f"| {way} | {', '.join(f'{x:.3f}' for x in scores)} | {statistics.mean(scores):.3f} | {loss:.4f} | {epoch_s:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--cell"]:
        sys.exit(one_cell(sys.argv[2], int(sys.argv[3]), sys.argv[4]))
    main()
