"""What ``cratermill summarise`` takes for a run of 5 000 cells, as if each had been trained and evaluated.

python benchmarks/summarise.py FOLDER [--versions 25] [--splits 10] [--iterations 10] [--epochs 60]

FOLDER becomes a project whose published cells hold made-up curves and scores; given again, it is summarised again.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from cratermill.batch.plan import freeze, make_plan
from cratermill.batch.state import is_done
from cratermill.core.files import write_json, write_table
from cratermill.families import get_family
from cratermill.pipeline.load_config import load_config
from cratermill.pipeline.planning import all_plan, wanted_rows

TABLE = Path(__file__).resolve().parents[1] / "configs" / "crater_unet_version_hparams.csv"
SIZES = 12


def project(folder: Path, versions: int, splits: int, iterations: int) -> Path:
    """A run configuration over the first row of the table, once per version."""
    (folder / "configs").mkdir(parents=True, exist_ok=True)
    with TABLE.open(encoding="utf-8", newline="") as file:
        row = next(csv.DictReader(file))
    rows = [
        row | {"version": version, "test-set": str(list(range(splits))), "trainings_per_test": iterations}
        for version in range(1, versions + 1)
    ]
    with (folder / "configs" / TABLE.name).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        writer.writeheader()
        writer.writerows(rows)
    train = {"crater_unet": {"table": f"configs/{TABLE.name}", "data": {"dots": {"tiles": 60, "tile_px": 128}}}}
    content = {"name": "many", "data": "data/many", "splits": {"count": splits, "test_fraction": 0.2}, "train": train}
    path = folder / "configs" / "many.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def publish(plan, epochs: int) -> None:
    """Every cell's product, of the sizes that trainings of ``epochs`` epochs leave."""
    rng = np.random.default_rng(0)
    names = ("Accuracy", "F1_Score", "IoU", "Precision", "Recall")
    for cell in plan.cells:
        if cell.stage == "summarise" or is_done(plan, cell):
            continue
        folder = plan.product(cell)
        falling = np.exp(-np.arange(epochs) / 15) + rng.normal(0, 0.02, epochs)
        scores = {name: np.clip(0.9 - 0.5 * falling + rng.normal(0, 0.01, epochs), 0, 1) for name in names}
        metrics = {"test-set": cell.params["split"], "iteration": cell.params["iteration"]}
        if cell.stage == "train":
            curve = {"epoch": np.arange(epochs), "lr": 1e-3, "train_loss": falling, "loss": falling + 0.1, **scores}
            write_table(folder / "curve.csv", pd.DataFrame(curve))
            (folder / "best.ckpt").write_bytes(b"made up")
            np.save(folder / "norm.npy", np.zeros(2))
            metrics |= {"loss": 0.1, "val_loss": 0.2, "epochs_run": epochs, "runtime": 60.0}
            metrics |= {name: float(values[-1]) for name, values in scores.items()}
            metrics |= {f"val_{name}": float(values[-1]) for name, values in scores.items()}
        else:
            found = pd.DataFrame(rng.random((40, 7)), columns=["tile", "x", "y", "radius_px", "confidence", "arc", "new"])
            write_table(folder / "craters.csv", found)
            write_table(folder / "precision_recall.csv", pd.DataFrame(rng.random((100, 3))))
            write_table(folder / "scores.csv", pd.DataFrame(rng.random((4 * SIZES, 6))))
            metrics |= {name: float(rng.random()) for name in get_family("crater_unet").metrics}
        made = {"key": cell.key, "stage": cell.stage, "fingerprint": cell.fingerprint, "params": cell.params, "metrics": metrics}
        write_json(folder / "cell.json", made)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    for name, value in {"versions": 25, "splits": 10, "iterations": 10, "epochs": 60}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    given = parser.parse_args()
    config = load_config(project(given.folder, given.versions, given.splits, given.iterations))
    drawn = all_plan(config, wanted_rows(config), "summarise", unprepared=True)
    plan = make_plan("many", config.root, drawn.config, drawn.seed, drawn.cells)
    freeze(plan)
    publish(plan, given.epochs)
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "cratermill", "summarise", plan.run], cwd=config.root, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    page = config.project.results / "crater_unet_results" / "index.html"
    print(f"{len(plan.cells)} cells, exit code {os.waitstatus_to_exitcode(status)}, load {os.getloadavg()[0]:.1f}")
    print(f"{time.perf_counter() - start:.1f} s, CPU {used.ru_utime + used.ru_stime:.1f} s, {used.ru_maxrss / 1024:.0f} MB")
    print(f"index.html: {page.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
